"""The cards against the specifications, and against the files where these are here."""

import re
from collections import Counter
from pathlib import Path

import pytest

from glmbench.errors import MissingData
from glmbench.storage.fetch import Access
from glmbench.suites.suite import load
from glmbench.tasks.card import TaskCard
from glmbench.tasks.registry import cards, find
from glmbench.tasks.table import TableTask
from glmbench.tasks.task import LetterCounts

PUBLISHED = tuple(card for card in cards() if card.files)

_SHOTS = {"train-10": 20, "train-50": 100, "train-100": 200, "train-500": 1000}
_SPLICE_SHOTS = {"train-10": 300, "train-50": 1500, "train-100": 3000, "train-500": 15000}
GENEMASK_SIZES: dict[str, dict[str, int | None]] = {
    "genemask/prom-core": {**_SHOTS, "train-1000": 2000, "test": 5920},
    "genemask/prom-300": {**_SHOTS, "train-1000": 2000, "test": None},
    "genemask/cohn-enh": {**_SHOTS, "train-1000": None, "test": None},
    "genemask/splice-40": {**_SPLICE_SHOTS, "train-1000": None, "train": None, "dev": 2700, "test": 3000},
}

GUE_SIZES = {
    "gue/EMP/H3": (11971, 1497, 1497),
    "gue/EMP/H3K14ac": (26438, 3305, 3305),
    "gue/EMP/H3K36me3": (27904, 3488, 3488),
    "gue/EMP/H3K4me1": (25341, 3168, 3168),
    "gue/EMP/H3K4me2": (24545, 3069, 3069),
    "gue/EMP/H3K4me3": (29439, 3680, 3680),
    "gue/EMP/H3K79me3": (23069, 2884, 2884),
    "gue/EMP/H3K9ac": (22224, 2779, 2779),
    "gue/EMP/H4": (11679, 1461, 1461),
    "gue/EMP/H4ac": (27275, 3410, 3410),
    "gue/mouse/0": (6478, 810, 810),
    "gue/mouse/1": (53952, 6745, 6745),
    "gue/mouse/2": (2620, 328, 328),
    "gue/mouse/3": (1904, 239, 239),
    "gue/mouse/4": (15064, 1883, 1883),
    "gue/virus/covid": (73335, 9166, 9168),
    "gue/tf/0": (32378, 1000, 1000),
    "gue/tf/1": (30672, 1000, 1000),
    "gue/tf/2": (19000, 1000, 1000),
    "gue/tf/3": (27294, 1000, 1000),
    "gue/tf/4": (19000, 1000, 1000),
    "gue/prom/prom_300_all": (47356, 5920, 5920),
    "gue/prom/prom_300_notata": (42452, 5307, 5307),
    "gue/prom/prom_300_tata": (4904, 613, 613),
    "gue/prom/prom_core_all": (47356, 5920, 5920),
    "gue/prom/prom_core_notata": (42452, 5307, 5307),
    "gue/prom/prom_core_tata": (4904, 613, 613),
    "gue/splice/reconstructed": (36496, 4562, 4562),
    "gue+/EPI/GM12878": (10000, 2000, 2000),
    "gue+/EPI/HeLa-S3": (10000, 2000, 2000),
    "gue+/EPI/HUVEC": (10000, 2000, 2000),
    "gue+/EPI/IMR90": (10000, 2000, 2000),
    "gue+/EPI/K562": (10000, 2000, 2000),
    "gue+/EPI/NHEK": (10000, 2000, 2000),
    "gue+/fungi_species_20": (8000, 1000, 1000),
    "gue+/virus_species_40": (4000, 500, 500),
}

GUE_GROUPS = {"EMP": 10, "TF-M": 5, "CVC": 1, "TF-H": 5, "PD": 3, "CPD": 3, "SSP": 1, "EPI": 6, "SC": 2}

CLASSES = {"gue/virus/covid": 9, "gue/splice/reconstructed": 3, "genemask/splice-40": 3}
CLASSES |= {"gue+/fungi_species_20": 20, "gue+/virus_species_40": 25}

HELD = {
    "genemask/prom-core": {"test": [2926, 2994], "train-10": [10, 10], "train-1000": [1000, 1000]},
    "genemask/prom-300": {f"train-{n}": [n, n] for n in (10, 50, 100, 500, 1000)},
    "genemask/cohn-enh": {f"train-{n}": [n, n] for n in (10, 50, 100, 500)},
    "genemask/splice-40": {f"train-{n}": [10 * n] * 3 for n in (10, 50, 100, 500)}
    | {"test": [1048, 986, 966], "dev": [943, 885, 872]},
    "gue/tf/0": {"train": [16206, 16172], "dev": [483, 517], "test": [500, 500]},
    "gue/tf/1": {"train": [15332, 15340], "dev": [504, 496], "test": [500, 500]},
    "gue/mouse/0": {"train": [3229, 3249], "dev": [415, 395], "test": [405, 405]},
    "gue/mouse/2": {"train": [1311, 1309], "dev": [163, 165], "test": [164, 164]},
    "gue/prom/prom_core_all": {"train": [23705, 23651], "dev": [2941, 2979], "test": [2952, 2968]},
    "gue/prom/prom_core_tata": {"train": [2455, 2449], "dev": [306, 307], "test": [304, 309]},
}


def test_all_of_the_three_suites_are_here() -> None:
    published = {card.name for card in PUBLISHED}
    assert published == set(GENEMASK_SIZES) | set(GUE_SIZES)
    assert sum(name.startswith("gue/") for name in published) == 28
    assert sum(name.startswith("gue+/") for name in published) == 8


@pytest.mark.parametrize("name", GENEMASK_SIZES)
def test_sizes_of_genemask(name: str) -> None:
    assert {file.split: file.rows for file in find(name).files} == GENEMASK_SIZES[name]


@pytest.mark.parametrize("name", GUE_SIZES)
def test_sizes_of_gue(name: str) -> None:
    card = find(name)
    assert {file.split: file.rows for file in card.files} == dict(
        zip(("train", "dev", "test"), GUE_SIZES[name], strict=True)
    )
    second = find(f"{name}@2")
    assert second.derivation is not None
    assert second.derivation.rule == "deduplicated"


def test_gue_counts_its_sets_under_nine_tasks() -> None:
    assert Counter(find(name).group for name in GUE_SIZES) == GUE_GROUPS
    for aggregate in load("gue").aggregates:
        for group, members in aggregate.groups.items():
            assert {find(name).group for name in members} == {group}


@pytest.mark.parametrize("card", PUBLISHED, ids=lambda card: card.reference)
def test_every_card_is_complete(card: TaskCard) -> None:
    assert card.title
    assert card.description
    assert card.notes
    assert card.species
    assert card.length
    assert card.split_rule
    assert card.licence
    assert re.match(r"@\w+\{\w+,", card.citation.strip())
    assert card.metric in card.metrics
    assert {"mcc", "accuracy", "macro_f1"} <= set(card.metrics)
    assert len(card.classes) == CLASSES.get(card.name, 2)
    assert len({file.split for file in card.files}) == len(card.files)
    for file in card.files:
        assert file.urls
        assert all(url.startswith("https://") for url in file.urls)
        assert file.verifiable or card.name.startswith("gue+/")
        assert re.fullmatch("[0-9a-f]{64}", file.sha256 or "0" * 64)
        assert re.fullmatch("[0-9a-f]{40}", file.git_blob or "0" * 40)


def test_main_metrics() -> None:
    for card in PUBLISHED:
        wanted = "accuracy" if card.name.startswith("genemask/") else "macro_f1" if "covid" in card.name else "mcc"
        assert card.metric == wanted


def test_only_the_edited_promoters_state_a_parent_child_rule() -> None:
    stated = {card.reference: card.leakage for card in PUBLISHED if card.leakage}
    core = {"parent_child": {"min_identity": 46, "length": 70}}
    longer = {"parent_child": {"min_identity": 160, "length": 300}}
    assert stated == {"genemask/prom-core@1": core, "genemask/prom-core@2": core, "genemask/prom-300@1": longer}


def test_the_two_splice_tests_of_the_source_are_one_file(shared_data: Path) -> None:
    listed = dict(reversed(line.split()) for line in (shared_data / "MANIFEST.sha256").read_text().splitlines())
    folder = "genemask/Data-B_fewshot-task-datasets/Splice-40"
    test = next(file for file in find("genemask/splice-40").files if file.split == "test")
    assert test.sha256 == listed[f"{folder}/test.tsv"] == listed[f"{folder}/full-dataset/test.tsv"]


@pytest.mark.real_data
@pytest.mark.parametrize("name", HELD)
def test_the_files_in_the_mirror_are_what_the_card_says(shared_data: Path, tmp_path: Path, name: str) -> None:
    task = TableTask(find(name), Access(tmp_path, str(shared_data), offline=True))
    for split, counts in HELD[name].items():
        examples = task.load(split)
        assert examples["label"].value_counts().sort("label").rows() == list(enumerate(counts))
        assert examples["sequence"].str.len_bytes().unique().to_list() == [task.card.length]
        assert examples["id"].n_unique() == examples.height
        assert task.letters(split) == LetterCounts(rows=examples.height)
    assert len(task.data_hash()) == 64


@pytest.mark.real_data
@pytest.mark.parametrize("name", sorted({**GENEMASK_SIZES, **GUE_SIZES}))
def test_what_the_mirror_lacks_is_missing_with_the_command(shared_data: Path, tmp_path: Path, name: str) -> None:
    task = TableTask(find(name), Access(tmp_path, str(shared_data), offline=True))
    absent = set(task.splits()) - set(HELD.get(name, {}))
    if name == "genemask/prom-core":
        absent -= {"train-50", "train-100", "train-500"}
    for split in absent:
        with pytest.raises(MissingData, match=re.escape(f"glmbench get {name}")):
            task.load(split)
