from __future__ import annotations

import csv
import io

from report_factory import MODELS, make_report

from glmbench.report.data import ReportData, Score, TaskInfo
from glmbench.report.text import citations, listing, methods_sentences, rank, to_csv


def test_the_methods_paragraph_names_what_was_run() -> None:
    text = " ".join(methods_sentences(make_report(tasks=2)))
    for expected in (
        "glmbench 0.1.0 on 2 tasks: genemask/task-1@1 and gue/tf/0@2.",
        "beside 4 controls",
        "10, 50, 100 and 500 labelled examples per class and the full training split, 1 to 10 fits",
        "two-level bootstrap (fits × resampling units), 95 % percentile, resampling unit: example",
        "Benjamini–Hochberg",
        "The protocol was `corrected`: tasks deduplicated",
        "2 jobs skipped and 1 job failed; the reasons are listed.",
        "Published figures",
        "Stand-ins",
        "Where test rows have an exact, reverse-complement or near-duplicate in a training or dev split",
        "Species of the tasks in pre-training, by the models' cards: seen (10 scores), not seen (10 scores) and "
        "unknown (10 scores).",
    ):
        assert expected in text


def test_the_methods_paragraph_leaves_out_what_was_not_run() -> None:
    data = make_report(tasks=1, models={"kmer:5": MODELS["kmer:5"]})
    text = " ".join(methods_sentences(data))
    assert "scratch" not in text
    assert "Stand-ins" not in text
    assert "No model besides controls was run beside 1 control (kmer:5)." in text
    assert methods_sentences(ReportData()) == []


def test_a_citation_stands_once_however_often_it_is_given() -> None:
    entry = "@article{one,\n  title = {x},\n}"
    data = ReportData(
        citations=(entry, f"{entry}\n\n@misc{{two,\n}}"),
        tasks=(TaskInfo(name="t@1", citation="@article{ONE, title={other spelling}}"),),
    )
    assert citations(data) == [entry, "@misc{two,\n}"]


def test_only_tasks_that_were_scored_are_cited() -> None:
    score = Score(task="a@1", model="m", model_name="m", metric="mcc", value=0.1)
    tasks = (TaskInfo(name="a@1", citation="@misc{a}"), TaskInfo(name="b@1", citation="@misc{b}"))
    assert citations(ReportData(scores=(score,), tasks=tasks)) == ["@misc{a}"]


def test_csv_holds_every_score_and_metric() -> None:
    data = make_report(tasks=2)
    rows = list(csv.DictReader(io.StringIO(to_csv(data))))
    assert len(rows) == len(data.scores)
    first = next(row for row in rows if row["model"] == "kmer:5" and row["budget"] == "10")
    score = next(s for s in data.scores if s.model == "kmer:5" and s.budget == "10" and s.task == first["task"])
    assert float(first["value"]) == score.value
    assert float(first["accuracy_low"]) == score.low
    assert first["mcc_low"] == ""
    assert (float(first["without_copies"]), first["copied_rows"]) == (score.without_copies, "43")
    cnn = next(row for row in rows if row["model"] == "onehot-cnn")
    assert (cnn["truncated_share"], cnn["collapsed"], cnn["retried"]) == ("0.034", "1", "1")
    assert cnn["corrected_task"] == "genemask/task-1@3"
    assert {row["species_seen"] for row in rows if row["kind"] == "model"} == {"seen", "not seen"}
    assert {row["collapsed"] for row in rows if row["kind"] == "published"} == {""}


def test_small_words() -> None:
    assert [listing(list(names)) for names in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]
    decided = Score(task="t", model="m", model_name="m", metric="mcc", value=0.1, rank_low=1, rank_high=1)
    assert rank(decided) == "1"
    assert rank(decided.model_copy(update={"rank_low": None})) == ""
