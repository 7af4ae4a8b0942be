from __future__ import annotations

from importlib import resources

import polars as pl
import pytest

from glmbench.suites.published import DOUBTFUL
from glmbench.suites.suite import load

FOLDER = resources.files("glmbench.suites") / "published"
COLUMNS = ["suite", "task", "model", "metric", "value", "source", "table", "flag", "caveat"]
GROUPS = {
    "EMP": [f"gue/EMP/{mark}" for mark in
            ("H3", "H3K14ac", "H3K36me3", "H3K4me1", "H3K4me2", "H3K4me3", "H3K79me3", "H3K9ac", "H4", "H4ac")],
    "TF-M": [f"gue/mouse/{i}" for i in range(5)],
    "CVC": ["gue/virus/covid"],
    "TF-H": [f"gue/tf/{i}" for i in range(5)],
    "PD": [f"gue/prom/prom_300_{kind}" for kind in ("all", "notata", "tata")],
    "CPD": [f"gue/prom/prom_core_{kind}" for kind in ("all", "notata", "tata")],
    "SSP": ["gue/splice/reconstructed"],
}  # fmt: skip
SETS = [name for names in GROUPS.values() for name in names]


def read(name: str) -> pl.DataFrame:
    text = (FOLDER / name).read_bytes()
    return pl.read_csv(text, schema_overrides={"value": pl.Float64}).with_columns(pl.col(pl.String).fill_null(""))


@pytest.fixture(scope="module")
def gue() -> pl.DataFrame:
    return read("gue.csv")


def firm(gue: pl.DataFrame) -> pl.DataFrame:
    """Figures of papers on the 28 sets, and those of the CNN and HyenaDNA: whole columns of tables."""
    rows = gue.filter(pl.col("task").str.starts_with("gue/"))
    return rows.filter(~pl.col("flag").is_in(["second-hand", "another-protocol"]))


def test_every_column_has_each_of_the_28_sets_once(gue):
    rows = firm(gue)
    assert gue.columns == COLUMNS
    assert len(SETS) == 28
    assert rows["model"].n_unique() == 13
    for _, of_model in rows.group_by("model"):
        assert sorted(of_model["task"]) == sorted(SETS)
    assert rows.filter(pl.col("table") == "Table 6").height == 280
    assert (gue["suite"] == "gue").all()
    assert gue["value"].is_between(0, 1).all()
    assert gue.filter(gue.select("task", "model", "metric", "source").is_duplicated()).is_empty()


def test_rows_are_of_sets_and_means_of_the_suite(gue):
    listed = {task.partition("@")[0] for task in load("gue").tasks["released"]}
    means = {f"gue:{name}" for name in [*GROUPS, "mean-28", "mean-7-tasks"]}
    assert set(gue["task"]) <= listed | means


def test_flags_are_those_that_have_words(gue):
    assert set(gue["flag"]) == {"", "recomputed", *DOUBTFUL}
    assert gue.filter(pl.col("flag").is_in(list(DOUBTFUL)) & (pl.col("caveat") == "")).is_empty()
    assert all(f"`{flag}`" in (FOLDER / "README.md").read_text(encoding="utf-8") for flag in DOUBTFUL)


def test_covid_is_macro_f1_and_all_else_mcc(gue):
    rows = gue.filter(pl.col("task").str.starts_with("gue/") & (pl.col("flag") != "another-protocol"))
    covid = rows["task"] == "gue/virus/covid"
    assert set(rows.filter(covid)["metric"]) == {"macro_f1"}
    assert set(rows.filter(~covid)["metric"]) == {"mcc"}
    assert set(gue.filter(pl.col("flag") == "another-protocol")["metric"]) == {"mcc"}


def test_printed_cells(gue):
    def value(model: str, task: str) -> float:
        return gue.filter((pl.col("model") == model) & (pl.col("task") == task))["value"].item()

    assert value("DNABERT-2", "gue/EMP/H3") == 0.7827
    assert value("NT-2500M-multi", "gue/splice/reconstructed") == 0.8935
    assert value("DNABERT 3-mer", "gue/prom/prom_core_tata") == 0.7815
    assert value("DNABERT-2◆", "gue/virus/covid") == 0.6849
    assert value("METAGENE-1", "gue/mouse/4") == 0.466
    assert value("HyenaDNA", "gue/prom/prom_300_tata") == 0.053


def test_means_follow_from_the_rows(gue):
    means = gue.filter(pl.col("flag") == "recomputed")
    assert means.height == 10 * 9 + 2
    rows = firm(gue)
    for row in means.iter_rows(named=True):
        own = rows.filter(pl.col("model") == row["model"])
        of = dict(zip(own["task"], own["value"], strict=True))
        tasks = {name: sum(of[s] for s in sets) / len(sets) for name, sets in GROUPS.items()}
        expected = {**tasks, "mean-28": sum(of.values()) / 28, "mean-7-tasks": sum(tasks.values()) / 7}
        assert row["value"] == pytest.approx(expected[row["task"].removeprefix("gue:")], abs=0.5001e-4), row


def test_other_means_are_at_second_hand(gue):
    others = gue.filter(pl.col("task").str.starts_with("gue:") & (pl.col("flag") != "recomputed"))
    assert dict(zip(others["model"], others["value"], strict=True)) == {
        "AIDO.DNA-7B": 0.733, "DeepGene 118M": 0.6779, "DeepGene 85M": 0.6692
    }  # fmt: skip
    assert set(others["flag"]) == {"second-hand"}
    assert set(others["task"]) == {"gue:mean-28"}


def test_the_mean_that_does_not_follow_from_its_rows_is_noted(gue):
    row = gue.filter((pl.col("model") == "NT-500M-1000G") & (pl.col("task") == "gue:mean-28"))
    assert row["value"].item() == 0.5779
    assert "0.5823" in row["caveat"].item()


def test_uncertain_columns_are_flagged_and_low_trust_ones_left_out(gue):
    uncertain = gue.filter(pl.col("flag") == "uncertain-metric")
    assert set(uncertain["model"]) == {"CNN", "HyenaDNA"}
    assert set(uncertain["table"]) == {"Table 9"}
    assert uncertain.height == 56
    assert not gue.filter(pl.col("model").is_in(["CNN", "HyenaDNA"]) & (pl.col("flag") != "uncertain-metric")).height
    named = gue.filter(pl.col("model").str.contains("GROVER|GENA"))
    assert set(named["flag"]) == {"another-protocol"}


def test_one_protocol_for_all_models_stands_apart(gue):
    mark = gue.filter(pl.col("flag") == "another-protocol")
    assert set(mark["source"]) == {"zhangtaolab/dnallmmark 8d99daf"}
    assert mark["model"].str.ends_with(" (DNALLM-Mark)").all()
    per_model = mark.group_by("model").len()
    assert sorted(per_model["len"]) == [14, *[17] * 11]  # one model could not read the three long sets

    def value(model: str, task: str) -> float:
        rows = mark.filter((pl.col("model") == f"{model} (DNALLM-Mark)") & (pl.col("task") == task))
        return rows["value"].item()

    assert value("DNABERT-2 117M", "gue/prom/prom_core_all") == 0.579
    assert value("NT-v2 500M-multi", "gue+/EPI/GM12878") == 0.0
    assert value("Omni-DNA 700M", "gue/EMP/H3K14ac") == 0.648
    assert value("GenomeOcean 500M", "gue+/virus_species_40") == 0.487


def test_of_gue_plus_only_what_was_confirmed(gue):
    plus = gue.filter(pl.col("task").str.starts_with("gue+/") & (pl.col("flag") != "another-protocol"))
    assert set(plus.select("task", "model", "value").rows()) == {
        ("gue+/fungi_species_20", "DNABERT-2", 0.9304),
        ("gue+/fungi_species_20", "NT-2500M-multi", 0.9285),
    }
    assert set(plus["flag"]) == {"second-hand"}


def test_genemask_has_no_rows_and_the_folder_says_why():
    empty = read("genemask.csv")
    assert empty.columns == COLUMNS
    assert empty.height == 0
    assert "could not be had" in (FOLDER / "README.md").read_text(encoding="utf-8")
