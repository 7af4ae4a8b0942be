from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from frame_task import CARD, FrameTask, gc_rows, write_table
from glmbench.errors import MissingData
from glmbench.evaluation import leakage
from glmbench.evaluation.job import Result
from glmbench.evaluation.leakage import RULES_VERSION, beside_copies, find_copies, kept_copies
from glmbench.evaluation.objects import Objects
from glmbench.evaluation.plan import plan
from glmbench.evaluation.request import Request
from glmbench.evaluation.run import run
from glmbench.evaluation.store import Store
from glmbench.evaluation.summary import OTHER_REPLICATES, SEED, arms
from glmbench.metrics.predictions import COPIED
from glmbench.metrics.resampling import interval, replicates
from glmbench.metrics.scores import evaluate
from glmbench.sequences.encoding import reverse_complement
from glmbench.storage.fetch import Access

EXACT, STRAND, NEAR, FROM_DEV = "test/1", "test/3", "test/4", "test/7"


def changed(sequence: str, places: int) -> str:
    """The sequence with its first bases replaced by others."""
    return sequence[:places].translate(str.maketrans("ACGT", "CATG")) + sequence[places:]


def task_with_copies(test_rows: int = 10) -> FrameTask:
    train, dev = gc_rows(40, seed=1), gc_rows(12, seed=2, split="dev")
    test = gc_rows(test_rows, seed=3, split="test")
    given = {
        EXACT: train["sequence"][5],
        STRAND: reverse_complement(train["sequence"][6]),
        NEAR: changed(train["sequence"][7], 4),  # 36 of 40 bases: just nine in ten
        "test/5": changed(train["sequence"][8], 5),  # 35 of 40: just not
        FROM_DEV: dev["sequence"][0],
    }
    return FrameTask({
        "train": train,
        "dev": dev,
        "test": test.with_columns(sequence=pl.col("id").replace_strict(given, default=pl.col("sequence"))),
    })  # fmt: skip


def answers(task: FrameTask, wrong: tuple[str, ...] = ()) -> pl.DataFrame:
    """Predictions that are right but for the rows named."""
    test = task.load("test")
    said = pl.when(pl.col("id").is_in(list(wrong))).then(1 - pl.col("label")).otherwise(pl.col("label"))
    frame = test.with_columns(score_1=said.cast(pl.Float32))
    return frame.with_columns(score_0=1 - pl.col("score_1")).select("id", "group", "label", "score_0", "score_1")


def test_copies_are_found_by_kind_in_train_and_dev() -> None:
    found = find_copies(task_with_copies())
    assert found.exact == (EXACT, FROM_DEV)
    assert found.reverse_complement == (STRAND,)
    assert found.near == (NEAR,)
    assert found.rows == {EXACT, STRAND, NEAR, FROM_DEV}
    assert found.counts() == {
        "exact": 2, "reverse_complement": 1, "near": 1, "of": 10, "splits": ["train", "dev"]
    }  # fmt: skip


def test_a_row_with_two_kinds_of_partner_is_left_out_once(tmp_path: Path) -> None:
    both = gc_rows(1, seed=1)["sequence"][0]
    train = gc_rows(4, seed=4).with_columns(sequence=pl.Series([both, reverse_complement(both), "A" * 40, "C" * 40]))
    test = gc_rows(3, seed=5, split="test").with_columns(sequence=pl.Series([both, "AC" * 20, "AG" * 20]))
    task = FrameTask({"train": train, "test": test})
    details = beside_copies(task, answers(task), tmp_path, replicates=20)[0]
    assert (details["leakage"]["exact"], details["leakage"]["reverse_complement"]) == (1, 1)
    assert details["without_copies"]["rows"] == 2


def test_a_copy_under_another_label_is_a_copy() -> None:
    train, test = gc_rows(4, seed=1), gc_rows(4, seed=2, split="test")
    turned = test.with_columns(sequence=train["sequence"].reverse())
    assert len(find_copies(FrameTask({"train": train, "test": turned})).exact) == 4


def test_a_split_that_is_a_part_of_test_gives_nothing_away() -> None:
    task = task_with_copies()
    test = task.load("test")
    inside = FrameTask({"train": task.load("train"), "dev": test.head(6), "test": test})
    assert find_copies(inside).splits == ("train",)
    assert find_copies(inside).exact == (EXACT,)
    assert find_copies(FrameTask({"train": test.head(6), "test": test})).splits == ("train",)
    more = pl.concat([test.head(6), gc_rows(1, seed=9, split="dev")])
    assert find_copies(FrameTask({"train": task.load("train"), "dev": more, "test": test})).splits == ("train", "dev")


def test_pairs_are_copies_only_where_both_sequences_are(tmp_path: Path) -> None:
    train, test = gc_rows(8, seed=1), gc_rows(4, seed=2, split="test")
    second = pl.Series(["ACGTTGCA" * 5] * 4)
    task = FrameTask({
        "train": train.with_columns(sequence_2=pl.concat([second, second])),
        "test": test.with_columns(sequence=train["sequence"].head(4), sequence_2=second),
    })  # fmt: skip
    assert find_copies(task).splits == ("train",)
    other = task.load("train").with_columns(sequence_2=pl.lit("TTTTGGGG" * 5))
    inside = FrameTask({"train": other, "dev": task.load("test"), "test": task.load("test")})
    assert find_copies(inside).splits == ("train",)  # dev is in test, pair by pair


def test_near_duplicates_of_too_large_splits_are_not_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_with_copies()
    monkeypatch.setattr(leakage, "MOST_COMPARED", (10 * 40) * (52 * 40))
    assert find_copies(task).near == (NEAR,)
    monkeypatch.setattr(leakage, "MOST_COMPARED", (10 * 40) * (52 * 40) - 1)
    assert find_copies(task).near is None
    details = beside_copies(task, answers(task), tmp_path, replicates=20)[0]
    assert details["leakage"]["near"] is None
    assert details["without_copies"]["rows"] == 7


def test_the_score_without_copies_is_that_of_the_other_rows(tmp_path: Path) -> None:
    task = task_with_copies()
    details = beside_copies(task, answers(task, wrong=(EXACT, FROM_DEV)), tmp_path, replicates=50)[0]
    assert (details["without_copies"]["rows"], details["without_copies"]["value"]) == (6, 1.0)
    spoiled = beside_copies(task, answers(task, wrong=("test/0", "test/2", "test/6")), tmp_path, replicates=50)[0]
    # rows 0 2 5 6 8 9 have the labels 0 0 1 0 0 1; with 0, 2 and 6 taken for ones: TP 2, FN 0, FP 3, TN 1
    assert spoiled["without_copies"]["value"] == pytest.approx((2 * 1 - 3 * 0) / (5 * 2 * 4 * 1) ** 0.5)
    json.dumps(spoiled, allow_nan=False)


def test_of_labels_by_base_all_bases_of_a_copy_are_left_out(tmp_path: Path) -> None:
    task = task_with_copies()
    bases = pl.DataFrame({"base": ["0001", "0017"]})
    by_base = answers(task).join(bases, how="cross").with_columns(id=pl.format("{}:{}", "id", "base")).drop("base")
    wrong = by_base.with_columns(label=pl.when(pl.col("id") == f"{NEAR}:0017").then(1).otherwise("label"))
    card = CARD.model_copy(update={"kind": "per-base"})
    of_bases = FrameTask({split: task.load(split) for split in task.splits()}, card)
    without = beside_copies(of_bases, wrong, tmp_path, replicates=20)[0]["without_copies"]
    assert (without["rows"], without["value"]) == (6, 1.0)


def test_where_every_row_is_a_copy_there_is_no_score(tmp_path: Path) -> None:
    train = gc_rows(12, seed=1)
    test = train.head(6).with_columns(id=pl.format("test/{}", pl.int_range(6)), group=pl.col("id"))
    task = FrameTask({"train": train, "test": test})
    details = beside_copies(task, answers(task), tmp_path, replicates=20)[0]
    assert details["without_copies"] == {"rows": 0, "value": None, "low": None, "high": None}


def test_without_a_copy_there_is_no_second_score(tmp_path: Path) -> None:
    task = FrameTask({"train": gc_rows(20, seed=1), "test": gc_rows(10, seed=2, split="test")})
    assert beside_copies(task, answers(task), tmp_path, replicates=20)[0] == {
        "leakage": {"exact": 0, "reverse_complement": 0, "near": 0, "of": 10, "splits": ["train"]}
    }


class Counting(FrameTask):
    loads = 0

    def load(self, split: str, *, context: int | None = None) -> pl.DataFrame:
        self.loads += 1
        return super().load(split, context=context)


def test_copies_are_looked_for_once(tmp_path: Path) -> None:
    task = task_with_copies()
    counting = Counting({split: task.load(split) for split in task.splits()})
    first = kept_copies(counting, tmp_path)
    loads = counting.loads
    assert kept_copies(counting, tmp_path) == first
    assert counting.loads == loads
    assert [path.name for path in (tmp_path / "leakage").iterdir()] == [f"{task.data_hash()}.json"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:20],
        lambda text: "",
        lambda text: text.replace(f'"rules":{RULES_VERSION}', '"rules":0').replace(EXACT, "test/0"),
        lambda text: text.replace('"exact"', '"exakt"'),
    ],
)
def test_a_file_that_is_broken_or_of_other_rules_is_made_anew(tmp_path: Path, spoil: Callable[[str], str]) -> None:
    task = task_with_copies()
    good = kept_copies(task, tmp_path)
    (path,) = (tmp_path / "leakage").iterdir()
    whole = path.read_text()
    path.write_text(spoil(whole))
    assert path.read_text() != whole
    assert kept_copies(task, tmp_path) == good
    assert path.read_text() == whole


def test_a_cache_that_cannot_be_written_to_costs_no_figure(tmp_path: Path) -> None:
    (tmp_path / "leakage").write_text("a file where the folder should be")
    task = task_with_copies()
    assert beside_copies(task, answers(task), tmp_path, replicates=20)[0]["leakage"]["exact"] == 2


class Absent(FrameTask):
    absent: tuple[str, ...] = ()

    def load(self, split: str, *, context: int | None = None) -> pl.DataFrame:
        if split in self.absent:
            raise MissingData(f"{split}.csv is missing; get it with glmbench get")
        return super().load(split, context=context)


def test_splits_that_are_missing_leave_a_reason_and_no_figure(tmp_path: Path) -> None:
    task = task_with_copies()
    splits = {split: task.load(split) for split in task.splits()}
    missing = Absent(splits)
    missing.absent = ("train",)
    assert beside_copies(missing, answers(task), tmp_path, replicates=20)[0] == {
        "leakage": {"reason": "not looked for: train.csv is missing; get it with glmbench get"}
    }
    assert not (tmp_path / "leakage").exists()
    missing.absent = ("dev",)  # nobody knows what it should hold: it takes no part, as in corrected versions
    assert find_copies(missing).splits == ("train",)


def test_simulated_tasks_and_tasks_without_training_rows_are_left_alone(tmp_path: Path) -> None:
    task = task_with_copies()
    splits = {split: task.load(split) for split in task.splits()}
    simulated = FrameTask(splits, CARD.model_copy(update={"parameters": {"generator": "promoter"}}))
    assert beside_copies(simulated, answers(task), tmp_path, replicates=20)[0] == {}
    alone = FrameTask({"test": splits["test"]})
    assert beside_copies(alone, answers(task), tmp_path, replicates=20)[0] == {}


def ran(tmp_path: Path, limit: int | None = None) -> Result:
    (result,) = run_on_table_with_copies(tmp_path, limit=limit, budgets=("full",), seeds=1).results()
    return result


def run_on_table_with_copies(tmp_path: Path, **options: Any) -> Store:
    """The rows are those of `write_table` and two of its training rows, in test as well."""
    folder = write_table(tmp_path / "table")
    train = (folder / "train.csv").read_text().splitlines()
    with (folder / "test.csv").open("a") as file:
        file.write(f"{train[1]}\n{train[2]}\n")
    objects = Objects(Access(cache=tmp_path / "cache", offline=True))
    request = Request(models=("kmer:2",), tasks=(str(folder),), controls=False, **options)
    store = Store(tmp_path / "store")
    for _ in run(plan(request, objects), store, objects):
        pass
    return store


def test_of_several_fits_the_score_without_copies_has_the_interval_of_their_other_rows(tmp_path: Path) -> None:
    (arm,) = arms(run_on_table_with_copies(tmp_path, budgets=("10",), seeds=3))
    others = [predictions.filter(~pl.col("id").is_in(["test/60", "test/61"])) for predictions in arm.predictions]
    assert [rows.height for rows in others] == [60] * 3
    without = arm.without_copies
    assert without is not None
    assert without.value == pytest.approx(np.mean([evaluate(rows, ("mcc",))["mcc"] for rows in others]))
    assert (without.low, without.high) == interval(replicates("mcc", others, n=OTHER_REPLICATES, seed=SEED))
    assert (without.low, without.high) != arm.interval("mcc")


def test_results_of_several_fits_without_marked_rows_have_no_interval_there(tmp_path: Path) -> None:
    store = run_on_table_with_copies(tmp_path, budgets=("10",), seeds=3)
    (arm,) = arms(store)
    for result in arm.results:
        path = store.folder / "results" / result.job.address / "predictions.parquet"
        pl.read_parquet(path).drop(COPIED).write_parquet(path)
    (arm,) = arms(store)
    assert arm.without_copies is not None
    assert arm.without_copies.value is not None
    assert (arm.without_copies.low, arm.without_copies.high) == (None, None)


def test_fits_that_do_not_agree_which_rows_have_copies_have_no_interval_or_no_score(tmp_path: Path) -> None:
    """Other rules found other rows: fits of two versions of glmbench in one store."""
    store = run_on_table_with_copies(tmp_path, budgets=("10",), seeds=2)
    (arm,) = arms(store)
    folder = store.folder / "results" / arm.results[0].job.address
    marked = pl.read_parquet(folder / "predictions.parquet")
    marked.with_columns(pl.col("id").is_in(["test/0", "test/1"]).alias(COPIED)).write_parquet(
        folder / "predictions.parquet"
    )
    (arm,) = arms(store)
    assert arm.without_copies is not None
    assert (arm.without_copies.low, arm.without_copies.high) == (None, None)
    result = json.loads((folder / "result.json").read_text())
    result["details"]["without_copies"]["rows"] = 59
    (folder / "result.json").write_text(json.dumps(result))
    (arm,) = arms(store)
    assert arm.without_copies is None


def test_a_run_keeps_what_a_score_owes_to_copies(tmp_path: Path) -> None:
    result = ran(tmp_path)
    assert result.status == "ok"
    assert result.details["leakage"] == {
        "exact": 2, "reverse_complement": 0, "near": 0, "of": 62, "splits": ["train"]
    }  # fmt: skip
    without = result.details["without_copies"]
    assert without["rows"] == 60
    assert without["low"] < without["value"] < without["high"]
    assert without["value"] != result.metrics["mcc"]


def test_a_trial_run_does_not_look_for_copies(tmp_path: Path) -> None:
    assert not {"leakage", "without_copies"} & ran(tmp_path, limit=30).details.keys()


def test_the_cache_of_real_data_counts_as_check_does(shared_data: Path, tmp_path: Path) -> None:
    task = Objects(Access(cache=tmp_path, mirror=str(shared_data), offline=True)).task("gue/mouse/2")
    counts = find_copies(task).counts()
    assert counts == {"exact": 0, "reverse_complement": 0, "near": 3, "of": 328, "splits": ["train", "dev"]}
