from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import pytest

from file_models import Composition, Triplets
from glmbench.errors import DataError, GlmbenchError, Unsupported, UsageError
from glmbench.inference import answers
from glmbench.inference.capabilities import cannot, with_options
from glmbench.inference.driving import Counts, Tables, run_kept, run_streamed
from glmbench.inference.records import Record, in_chunks, whole
from glmbench.models.kmer import KmerModel
from glmbench.models.model import States
from glmbench.storage.parts import open_parts

RECORDS = [whole(f"r{i}", "ACGT" * (i + 1)) for i in range(10)]


def chunks(records: Sequence[Record] = RECORDS) -> list[list[Record]]:
    return list(in_chunks(records, 40))


def test_a_finished_chunk_is_not_computed_again(tmp_path: Path) -> None:
    out, model = tmp_path / "o.parquet", Composition("x")
    answer = answers.embed(model, located=False)

    def fails_at(records: Sequence[Record]) -> Tables:
        if model.calls == 2:
            raise Unsupported("too long")
        return answer(records)

    with (
        pytest.raises(Unsupported, match=r"too long \[records r6 to r7; the longest of them, r7, has 32 bases\]"),
        open_parts(out, {"a": 1}) as parts,
    ):
        run_kept(chunks(), fails_at, parts, model=model)
    assert (model.calls, sorted(p.name for p in out.with_name("o.parquet.part").glob("*.json"))) == (
        2,
        ["000000.json", "000001.json", "request.json"],
    )
    with open_parts(out, {"a": 1}) as parts:
        done = run_kept(chunks(), answer, parts, model=model)
        assert done.counts == Counts(records=10, windows=10, bases=220, passes=10)
        assert (done.reused, done.computed, model.calls) == (2, 220 - 40 - 44, 4)
        found = pl.concat([pl.read_parquet(path) for path in parts.tables(answers.ROWS)])
    whole_run: list[pl.DataFrame] = []
    run_streamed(chunks(), answer, lambda tables: whole_run.append(tables[answers.ROWS]), model=model)
    assert found.equals(pl.concat(whole_run))


def test_a_changed_input_is_computed_anew_and_nothing_of_the_old_stays(tmp_path: Path) -> None:
    out, model = tmp_path / "o.parquet", Composition("x")
    answer = answers.embed(model, located=False)
    with open_parts(out, {}) as parts:
        run_kept(chunks(), answer, parts, model=model)
    changed = [RECORDS[0], whole("new", "TTTT"), *RECORDS[2:6]]
    with open_parts(out, {}) as parts:
        done = run_kept(chunks(changed), answer, parts, model=model)
        names = pl.concat([pl.read_parquet(path) for path in parts.tables(answers.ROWS)])["name"].to_list()
    assert names == [record.name for record in changed]
    assert done.reused == 0


def test_a_full_disk_leaves_what_is_finished(tmp_path: Path) -> None:
    out, model = tmp_path / "o.parquet", Composition("x")
    answer = answers.embed(model, located=False)

    def full(records: Sequence[Record]) -> Tables:
        if model.calls == 2:
            raise OSError(28, "No space left on device")
        return answer(records)

    with (
        pytest.raises(GlmbenchError, match=r"No space left on device; 2 finished chunks stay in .*o.parquet.part"),
        open_parts(out, {}) as parts,
    ):
        run_kept(chunks(), full, parts, model=model)
    with open_parts(out, {}) as parts:
        assert run_kept(chunks(), answer, parts, model=model).reused == 2


def test_memory_is_bounded_by_the_chunk() -> None:
    """Of an endless stream of records no more than a chunk is ever held."""
    held, longest = 0, 0

    def stream() -> Iterator[Record]:
        nonlocal held
        for index in range(3000):
            held += 1
            yield whole(f"r{index}", "ACGT")

    def answer(records: Sequence[Record]) -> Tables:
        nonlocal held, longest
        longest = max(longest, held)
        held -= len(records)
        return {}

    done = run_streamed(in_chunks(stream(), 400), answer, lambda tables: None, model=Composition("x"))
    assert (done.counts.records, longest) == (3000, 100)


def test_vectors_that_are_no_numbers_are_refused() -> None:
    class Broken(Composition):
        def embed(self, sequences: Sequence[str]) -> np.ndarray[Any, Any]:
            return np.array([[0.0], [np.nan]], dtype=np.float32)

    with pytest.raises(DataError, match="NaN or infinite values for record r1"):
        answers.embed(Broken("x"), located=False)(RECORDS[:2])


@pytest.mark.parametrize("precision", ["float16", "float32"])
def test_states_that_are_no_numbers_are_refused(precision: Literal["float16", "float32"]) -> None:
    class Broken(Triplets):
        def _states(self, sequence: str, layer: str) -> States:
            found = super()._states(sequence, layer)
            found.values[2, 1] = np.nan
            return found

    with pytest.raises(DataError, match="layer input has NaN or infinite states over record r2"):
        answers.embed_bases(Broken("x"), "input", precision, windowed=False)(RECORDS[2:4])


def test_options_of_a_reference() -> None:
    assert with_options("hf:a/b?layer=2", pool="max", overflow=None) == "hf:a/b?layer=2&pool=max"
    with pytest.raises(UsageError, match="says layer, and so does --layer"):
        with_options("hf:a/b?layer=2", layer="3")


def test_what_a_model_can_do_is_said() -> None:
    assert str(cannot(KmerModel((3,)), "fly")) == (
        "kmer:3 cannot fly; what it gives: one vector a sequence (glmbench embed)"
    )


def test_marker_is_written_after_its_tables(tmp_path: Path) -> None:
    out, model = tmp_path / "o.parquet", Composition("x")
    with open_parts(out, {}) as parts:
        run_kept(chunks(), answers.embed(model, located=False), parts, model=model)
        marker = parts.folder / "000001.json"
        assert json.loads(marker.read_text())["notes"] == {"records": 2, "windows": 2, "bases": 44, "passes": 2}
        marker.write_text("{")  # not whole: computed again
        assert run_kept(chunks(), answers.embed(model, located=False), parts, model=model).reused == 3
