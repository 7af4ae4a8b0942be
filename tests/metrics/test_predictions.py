from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from glmbench.errors import DataError
from glmbench.metrics.predictions import per_base_frame, prediction_arrays
from glmbench.metrics.scores import evaluate


def labelled(labels: object, scores: list[list[float]]) -> pl.DataFrame:
    ids = [f"test/{i}" for i in range(len(scores))]
    columns = {f"score_{j}": column for j, column in enumerate(zip(*scores, strict=True))}
    return pl.DataFrame({"id": ids, "group": ids, "label": labels, **columns}, strict=False)


class TestSeveralLabels:
    def test_arrays(self):
        got = prediction_arrays(labelled([[0, 1], [1, 1]], [[0.1, 0.9], [1.0004, 0.5]]), "multilabel")
        assert got.labels.tolist() == [[0, 1], [1, 1]]
        assert got.scores.tolist() == [[0.1, 0.9], [1.0, 0.5]]
        assert got.labels.dtype == np.int64

    def test_evaluated_by_name(self):
        frame = labelled([[0, 1], [1, 1], [1, 0]], [[0.1, 0.9], [0.8, 0.7], [0.7, 0.2]])
        assert evaluate(frame, ["mean_auroc", "mean_f1"]) == {"mean_auroc": 1.0, "mean_f1": 1.0}

    @pytest.mark.parametrize(
        ("labels", "scores", "said"),
        [
            ([[0, 1], [2, 1]], [[0.1, 0.9]] * 2, r"label \[2, 1\] of test/1: want 0 or 1"),
            ([[0, 1], [1]], [[0.1, 0.9]] * 2, r"label \[1\] of test/1: want 0 or 1 for each of the 2"),
            ([[0, 1], [1, None]], [[0.1, 0.9]] * 2, r"label \[1, None\] of test/1"),
            ([[0, 1], None], [[0.1, 0.9]] * 2, "label None of test/1"),
            ([0, 1], [[0.1, 0.9]] * 2, "column label of Int64; want a list"),
            ([[0, 1], [1, 1]], [[0.1, 0.9], [0.2, 1.5]], "score_1 of test/1 is 1.5; want the probability"),
            ([[0, 1], [1, 1]], [[0.1, 0.9], [-2.0, 0.5]], "score_0 of test/1 is -2"),
            ([[0, 1], [1, 1]], [[0.1, 0.9], [0.1, float("nan")]], "score_1 of test/1"),
        ],
    )
    def test_what_cannot_be_scored_is_named(self, labels, scores, said):
        with pytest.raises(DataError, match=said):
            prediction_arrays(labelled(labels, scores), "multilabel")


class TestPerBase:
    examples = pl.DataFrame(
        {"id": ["test/3", "test/10"], "group": ["g", "h"], "label": [[0, -1, 1], [1, 0]], "sequence": ["ACG", "TT"]}
    )

    def test_a_row_for_each_labelled_base(self):
        scores = [np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]], np.float32), np.array([[0.3, 0.7], [0.6, 0.4]])]
        got = per_base_frame(self.examples, scores)
        assert got.columns == ["id", "group", "label", "score_0", "score_1"]
        assert got["id"].to_list() == ["test/3:0000", "test/3:0002", "test/10:0000", "test/10:0001"]
        assert got["group"].to_list() == ["g", "g", "h", "h"]
        assert got["label"].to_list() == [0, 1, 1, 0]
        assert got["score_1"].to_list() == pytest.approx([0.1, 0.8, 0.7, 0.4])
        assert got.schema["score_0"] == pl.Float64
        assert evaluate(got, ["mcc", "accuracy"]) == {"mcc": 1, "accuracy": 1}

    def test_long_sequences(self):
        long = pl.DataFrame({"id": ["test/0"], "group": ["g"], "label": [[1] * 10_002]})
        assert per_base_frame(long, [np.ones((10_002, 1))])["id"][-1] == "test/0:10001"

    @pytest.mark.parametrize(
        ("shapes", "said"),
        [
            ([(3, 2)], "1 arrays of scores for 2 examples"),
            ([(3, 2), (3, 2)], r"test/10 have the shape \(3, 2\), want \(2, 2\)"),
            ([(3, 2), (2, 3)], r"test/10 have the shape \(2, 3\), want \(2, 2\)"),
        ],
    )
    def test_scores_that_do_not_fit_are_refused(self, shapes, said):
        with pytest.raises(DataError, match=said):
            per_base_frame(self.examples, [np.zeros(shape) for shape in shapes])
        with pytest.raises(DataError, match="0 arrays of scores for 0 examples"):
            per_base_frame(self.examples.clear(), [])
