from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from glmbench.errors import DataError, Unsupported, UsageError
from glmbench.models import registry
from glmbench.models.reference import ModelReference, parse_reference
from glmbench.models.zoo import zoo
from glmbench.models.zoo.card import ZooCard
from glmbench.models.zoo.table import BEGIN, END, table, with_table

PAGE = Path(__file__).parents[3] / "docs" / "zoo.md"


@pytest.mark.parametrize("name", zoo.names())
def test_a_card_is_whole(name: str) -> None:
    card = zoo.load_card(name)
    assert card.name == name
    assert card.family
    assert card.title
    assert card.citation
    if card.runs in ("native", "transformers"):
        assert card.tried == "tiny stand-in"
        assert card.objective
        assert card.tokens
        assert card.species
        assert card.sources
    if card.tokens == "overlapping k-mers":
        k = int(card.options["kmer"])
        assert card.vocabulary == 4**k + len(card.special)
        assert (card.context, card.context_bp) == (512, 510 + k - 1)  # [CLS] and [SEP]
    if card.tokens == "k-mers side by side":
        assert card.vocabulary == 4096 + 5 + len(card.special)
        assert card.context is not None
        assert card.context_bp == 6 * (card.context - 1)  # <cls>
    if card.reference is not None:
        assert parse_reference(str(card.reference)) == card.reference
    if card.repository is not None:
        assert zoo.card_of(card.repository) is card


def test_repositories_are_known_by_their_names_in_any_case() -> None:
    card = zoo.card_of("instadeepai/Nucleotide-Transformer-v2-50m-multi-species")
    assert card is not None
    assert card.name == "nt-v2-50m"
    assert zoo.card_of("some-lab/some-model") is None


def test_an_unknown_name_has_advice() -> None:
    with pytest.raises(UsageError, match=r"no model 'dnabert-7' \(did you mean dnabert"):
        zoo.load_card("dnabert-7")
    with pytest.raises(UsageError, match="no model"):
        registry.load("zoo:dnabert-7")


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ("zoo:dnabert-6", "hf:zhihan1996/DNA_bert_6?kmer=6"),
        ("zoo:dnabert-6?kmer=5&pool=cls", "hf:zhihan1996/DNA_bert_6?kmer=5&pool=cls"),
        ("zoo:dnabert-6@v1", "hf:zhihan1996/DNA_bert_6@v1?kmer=6"),
        ("zoo:grover", "hf:PoetschLab/GROVER@f6ed259a321aacb629cf638a1568c2a40b381cfe"),
        ("zoo:grover@main?layer=3", "hf:PoetschLab/GROVER@main?layer=3"),
        ("zoo:moderngena-base@abc?pool=max", "worker:moderngena-base?pool=max&revision=abc"),
    ],
)
def test_a_name_stands_for_a_reference_and_the_users_words_win(asked: str, wanted: str) -> None:
    assert str(zoo.resolve(parse_reference(asked))) == wanted


def test_loading_goes_by_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, bool, bool]] = []

    def load(reference: ModelReference, *, trust_remote_code: bool = False, offline: bool = False) -> Any:
        asked.append((str(reference), trust_remote_code, offline))

    monkeypatch.setattr("glmbench.models.huggingface.loading.load_huggingface", load)
    registry.load("zoo:dnabert-3?layer=2", offline=True)
    registry.load("zoo:caduceus-ps-131k", trust_remote_code=True)
    own_code = "hf:kuleshov-group/caduceus-ps_seqlen-131k_d_model-256_n_layer-16"
    assert asked == [("hf:zhihan1996/DNA_bert_3?kmer=3&layer=2", False, True), (own_code, True, False)]


def test_code_of_a_repository_needs_leave_and_what_cannot_run_says_why() -> None:
    with pytest.raises(UsageError, match=r"mamba-ssm.*--trust-remote-code|--trust-remote-code.*mamba-ssm"):
        registry.load("zoo:caduceus-ps-131k")
    with pytest.raises(Unsupported, match="alignment of 100 vertebrates"):
        registry.load("zoo:gpn-msa-sapiens")


def test_a_checkpoint_of_the_hub_gets_the_facts_of_its_card(tmp_path: Path) -> None:
    from glmbench.models.huggingface.checkpoint import Checkpoint
    from glmbench.models.huggingface.checkpoint_card import describe

    reference = ModelReference("hf", "songlab/gpn-brassicales")
    known = describe(Checkpoint(tmp_path, "songlab/gpn-brassicales"), reference, "0")
    assert known.pretraining["species"] == ["Arabidopsis thaliana", "seven other Brassicales"]
    assert (known.licence, known.description) == ("MIT", "GPN, Brassicales")
    (tmp_path / "glmbench.json").write_text(json.dumps({"licence": "own", "pretraining": {"species": ["mine"]}}))
    stated = describe(Checkpoint(tmp_path, "songlab/gpn-brassicales"), reference, "0")
    assert (stated.licence, stated.pretraining["species"]) == ("own", ["mine"])
    assert describe(Checkpoint(tmp_path, "some-lab/other"), reference, "0").description == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tried": "not run here"}, "a reason belongs"),
        ({"reason": "why?"}, "a reason belongs"),
        ({"repository": None}, "needs a repository"),
        ({"revision": "main"}, "revision"),
        ({"runs": "worker"}, "environment"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_card_that_contradicts_itself_is_refused(changes: dict[str, Any], message: str) -> None:
    card = {"name": "x", "title": "X", "family": "X", "runs": "native", "repository": "a/b", "tried": "tiny stand-in"}
    ZooCard.model_validate(card)
    with pytest.raises(ValidationError, match=message):
        ZooCard.model_validate(card | changes)


def test_the_page_has_the_table_of_these_cards() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_table(page), "run python -m glmbench.models.zoo.table docs/zoo.md"
    assert table().count("\n") == len(zoo.names()) + 2
    with pytest.raises(DataError, match="no marks"):
        with_table(f"{END} {BEGIN}")


def test_cards_are_read_without_heavy_libraries() -> None:
    code = (
        "import sys; from glmbench.models.zoo import zoo; zoo.names(); "
        "print([name for name in ('torch', 'transformers', 'numpy', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_ls_and_show(capsys: pytest.CaptureFixture[str]) -> None:
    from glmbench.cli import ls, show

    ls.command("models", "nt-v2", as_json=True)
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == [f"zoo:nt-v2-{size}" for size in ("50m", "100m", "250m", "500m")]
    ls.command("models")
    out = capsys.readouterr().out
    assert "kmer:5" in out
    assert "hf:zhihan1996/DNA_bert_6?kmer=6" in out
    show.command("zoo:dnabert-6")
    out = capsys.readouterr().out
    assert "89,196,549" in out
    assert "512 tokens, 515 bp" in out
    show.command("zoo:dnabert-6", as_json=True)
    assert json.loads(capsys.readouterr().out)["options"] == {"kmer": "6"}


def test_a_run_plans_the_random_twin_of_a_model_of_the_zoo() -> None:
    from glmbench.evaluation.plan import _random_twin

    assert _random_twin("zoo:dnabert-6?layer=1") == "random:zhihan1996/DNA_bert_6?kmer=6&layer=1"
    assert _random_twin("zoo:evo2-7b") is None


def test_a_card_names_the_packages_of_its_worker() -> None:
    from glmbench.models.workers.card import find_card

    card, _ = find_card("moderngena-base")
    assert card.environment is not None
    assert "transformers>=4.45,<5.0" in card.environment.packages
    assert card.options["checkpoint"] == "AIRI-Institute/moderngena-base"
