"""Rows that decide when to stop: never in test, whole groups, every class."""

from __future__ import annotations

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from frame_task import FrameTask, gc_rows
from glmbench.methods.held_out import held_out_rows, usable_dev_rows


def test_a_dev_split_inside_test_is_not_usable() -> None:
    test = gc_rows(100, seed=2, split="test")
    task = FrameTask({"train": gc_rows(50, seed=1), "dev": test.head(60), "test": test})
    assert usable_dev_rows(task, task.load("train")) is None


def test_dev_rows_that_are_in_test_or_train_are_left_out() -> None:
    train, test, own = gc_rows(50, seed=1), gc_rows(50, seed=2), gc_rows(30, seed=3, split="dev")
    task = FrameTask({"train": train, "dev": pl.concat([own, train.head(5), test.tail(7)]), "test": test})
    usable = usable_dev_rows(task, train)
    assert usable is not None
    assert usable["sequence"].to_list() == own["sequence"].to_list()


def test_a_task_without_dev_or_with_a_handful_has_none() -> None:
    train = gc_rows(50, seed=1)
    assert usable_dev_rows(FrameTask({"train": train}), train) is None
    assert usable_dev_rows(FrameTask({"train": train, "dev": gc_rows(19, seed=5)}), train) is None


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 120), st.integers(1, 7), st.integers(0, 3), st.floats(0.05, 0.5))
def test_groups_stay_whole_and_classes_stay_in_train(rows: int, group: int, seed: int, share: float) -> None:
    frame = gc_rows(rows, seed=0).with_columns(
        group=pl.format("{}-{}", pl.col("label"), pl.int_range(pl.len()) // 2 // group)
    )
    chosen = frame.with_columns(out=held_out_rows(frame, share, seed, stratify=True))
    assert chosen.group_by("group").agg(pl.col("out").n_unique())["out"].max() == 1
    assert set(chosen.filter(~pl.col("out"))["label"]) == set(frame["label"])
    for _, part in chosen.group_by("label"):
        assert part["out"].sum() <= share * part.height + group


def test_the_share_is_taken_of_every_class() -> None:
    frame = pl.concat([gc_rows(400, seed=0).filter(pl.col("label") == 0), gc_rows(40, seed=1)]).with_columns(
        group=pl.int_range(pl.len()).cast(pl.String)
    )
    out = frame.filter(held_out_rows(frame, 0.25, 0, stratify=True))
    assert out.group_by("label").len().sort("label")["len"].to_list() == [55, 5]
    assert held_out_rows(frame, 0.25, 0, stratify=False).sum() == 60
