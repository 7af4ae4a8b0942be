from __future__ import annotations

from pathlib import Path

import pytest

from frame_task import write_table
from glmbench.evaluation.estimate import _line_through, _Trial, estimate
from glmbench.evaluation.objects import Objects
from glmbench.evaluation.plan import plan
from glmbench.evaluation.request import Request
from glmbench.evaluation.store import Store
from glmbench.storage.fetch import Access


def trial(seconds: float, rows: int) -> _Trial:
    return _Trial(fit_s=seconds, predict_s=0, rest_s=0, train=rows, test=rows)


@pytest.mark.parametrize(
    ("large", "small", "seconds"),
    [
        (trial(3.0, 200), trial(2.0, 100), 5.0),  # 1 s at any size and 1 s a hundred rows
        (trial(3.0, 200), None, 6.0),
        (trial(2.0, 200), trial(3.0, 100), 2.0),  # noise: no time is ever saved by more rows
        (trial(3.0, 200), trial(3.0, 200), 6.0),
    ],
)
def test_extrapolation_to_400_rows(large: _Trial, small: _Trial | None, seconds: float) -> None:
    assert _line_through(large, small, 400) == pytest.approx(seconds)


def test_a_line_says_what_is_left_and_what_stands_against_it(tmp_path: Path) -> None:
    objects = Objects(Access(cache=tmp_path / "cache", offline=True))
    request = Request(
        models=("kmer:2", "onehot-cnn"), tasks=(str(write_table(tmp_path / "t")),), methods=("probe",), controls=False
    )
    made = plan(request, objects)
    lines = {line.model: line for line in estimate(made, Store(tmp_path / "store"), objects)}
    kmers, cnn = lines["kmer:2"], lines["onehot-cnn"]
    assert (kmers.jobs, kmers.done, kmers.train_rows, kmers.bases) == (1, 0, 120, 180 * 40)
    assert kmers.seconds is not None
    assert kmers.seconds > 0
    assert cnn.reason is not None
    assert cnn.seconds is None
    assert not (tmp_path / "store").exists()
    (unprobed, _) = estimate(made, Store(tmp_path / "store"), objects, probe=False)
    assert unprobed.seconds is None
