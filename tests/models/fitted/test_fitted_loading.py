"""`fitted:PATH`: the folders that it stands for, models that have moved, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fitted_predictors import KINDS, answers, fit, inputs, saved
from safetensors.numpy import load_file, save_file

from glmbench.errors import DataError, MissingData, UsageError
from glmbench.models.fitted.loading import find_folder
from glmbench.models.reference import ModelReference
from glmbench.models.registry import load
from tiny_checkpoints import save

Checkpoint = Callable[[str], Path]
Keep = Callable[[str, Path], Path]


@pytest.fixture(scope="module")
def fits() -> dict[str, Any]:
    return {}


@pytest.fixture
def keep(fits: dict[str, Any], checkpoint: Checkpoint) -> Keep:
    """Writes a predictor of a kind, fitted once, into a folder."""

    def kept(name: str, folder: Path) -> Path:
        kind = KINDS[name]
        if name not in fits:
            fits[name] = fit(kind, kind.model.format(**{model: checkpoint(model) for model in ("bert", "dnabert2")}))
        return saved(fits[name], kind, folder)

    return kept


def test_it_is_found_by_its_folder_by_the_result_s_and_by_an_address(keep: Keep, tmp_path: Path) -> None:
    address = "0123abcd" * 8
    store = tmp_path / "store"
    folder = keep("probe", store / "results" / address / "fitted")
    places = [folder, folder.parent, store / address, store / address[:4], store / address[:11]]
    assert {find_folder(place) for place in places} == {folder}
    found = [load(f"fitted:{place}") for place in places]
    assert {model.card.fingerprint for model in found} == {found[0].card.fingerprint}
    asked = inputs(KINDS["probe"])
    for model in found:
        np.testing.assert_array_equal(answers(model, asked), answers(found[0], asked))


def test_an_address_must_be_one_s_alone(keep: Keep, tmp_path: Path) -> None:
    first, second = ("0123" + end * 60 for end in "ab")
    keep("probe", tmp_path / "results" / first / "fitted")
    (tmp_path / "results" / second).mkdir()
    assert find_folder(tmp_path / "0123") == tmp_path / "results" / first / "fitted", "the other kept nothing"
    keep("probe", tmp_path / "results" / second / "fitted")
    with pytest.raises(UsageError, match=r"2 results of .* begin with 0123; give more of the address"):
        load(f"fitted:{tmp_path}/0123")
    assert find_folder(tmp_path / "0123b") == tmp_path / "results" / second / "fitted"


@pytest.mark.parametrize("place", ["", "012", "9999", "nothing-here", "results/0123"])
def test_where_nothing_was_kept_it_says_what_is_wanted(place: str, keep: Keep, tmp_path: Path) -> None:
    keep("probe", tmp_path / "results" / ("0123" * 16) / "fitted")
    with pytest.raises(UsageError, match=r"no fitted predictor at .*fitted\.json.*--keep all"):
        load(f"fitted:{tmp_path / place}")


def test_the_home_folder_may_be_meant(keep: Keep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep("probe", tmp_path / "kept")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load("fitted:~/kept").card.reference == "fitted:~/kept"


@pytest.mark.parametrize(
    ("reference", "problem"), [("fitted:x?modle=kmer:2", "modle"), ("fitted:a/b@main", "revision")]
)
def test_options_and_revisions_that_there_are_not(reference: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        load(reference)


def moved_to(folder: Path, model: str) -> str:
    return str(ModelReference("fitted", str(folder), options={"model": model}))


@pytest.mark.parametrize("name", ["finetune", "lora"])
def test_a_model_that_has_moved_is_named(name: str, keep: Keep, checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = keep(name, tmp_path / "kept")
    wanted = answers(load(f"fitted:{folder}"), inputs(KINDS[name]))
    new = shutil.copytree(checkpoint("dnabert2"), tmp_path / "new place")
    about = json.loads((folder / "fitted.json").read_text())
    (folder / "fitted.json").write_text(json.dumps(about | {"model": f"hf:{tmp_path}/gone"}))
    with pytest.raises(UsageError, match=r"cannot be loaded .*gone.*\?model=REFERENCE"):
        load(f"fitted:{folder}")
    again = load(moved_to(folder, f"hf:{new}"))
    np.testing.assert_array_equal(answers(again, inputs(KINDS[name])), wanted)


def test_a_model_of_the_hub_that_is_not_here_is_missing(keep: Keep, tmp_path: Path) -> None:
    folder = keep("finetune", tmp_path / "kept")
    about = json.loads((folder / "fitted.json").read_text())
    (folder / "fitted.json").write_text(json.dumps(about | {"model": "hf:nobody/has-this"}))
    with pytest.raises(MissingData, match=r"nobody/has-this, which cannot be loaded .*\?model=REFERENCE"):
        load(f"fitted:{folder}", offline=True)


@pytest.mark.parametrize("name", ["finetune", "lora"])
def test_another_model_than_the_one_that_was_fitted_is_refused(name: str, keep: Keep, tmp_path: Path) -> None:
    folder = keep(name, tmp_path / "kept")
    other = save(tmp_path / "other", "dnabert2", seed=1)
    with pytest.raises(DataError, match=r"fitted to hf:.* with fingerprint \w{12}…, hf:.*other has \w{12}…"):
        load(moved_to(folder, f"hf:{other}"))


def test_a_model_whose_files_have_changed_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    kind = KINDS["probe of a checkpoint"]
    base = shutil.copytree(checkpoint("bert"), tmp_path / "base")
    folder = saved(fit(kind, kind.model.format(bert=base)), kind, tmp_path / "kept")
    load(f"fitted:{folder}")
    shutil.copytree(save(tmp_path / "other", "bert", seed=1), base, dirs_exist_ok=True)
    with pytest.raises(DataError, match="its weights, tokenizer or options have changed"):
        load(f"fitted:{folder}")


def test_another_spec_of_a_model_without_files_is_refused(keep: Keep, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"fitted to kmer:2 .* kmer:3 has"):
        load(moved_to(keep("probe", tmp_path / "kept"), "kmer:3"))


@pytest.mark.parametrize("name", ["probe", "finetune", "lora", "scratch", "finetune by base"])
@pytest.mark.parametrize("left", [0, 5, 0.5, 0.99])
def test_weights_that_were_cut_off_are_damaged(name: str, left: float, keep: Keep, tmp_path: Path) -> None:
    file = keep(name, tmp_path / "kept") / "weights.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[: left if isinstance(left, int) else int(left * len(whole))])
    with pytest.raises(DataError, match=r"kept.* damaged"):
        load(f"fitted:{tmp_path}/kept")


@pytest.mark.parametrize("name", ["probe", "lora", "scratch"])
def test_weights_that_are_not_there_are_damaged(name: str, keep: Keep, tmp_path: Path) -> None:
    (keep(name, tmp_path / "kept") / "weights.safetensors").unlink()
    with pytest.raises(DataError, match=r"cannot read .*weights\.safetensors"):
        load(f"fitted:{tmp_path}/kept")


@pytest.mark.parametrize(("name", "other"), [("scratch", "finetune"), ("finetune", "scratch"), ("lora", "finetune"),
                                             ("scratch", "scratch by base"), ("probe", "lora")])  # fmt: skip
def test_weights_of_another_network_are_refused(name: str, other: str, keep: Keep, tmp_path: Path) -> None:
    folder, stranger = keep(name, tmp_path / "kept"), keep(other, tmp_path / "stranger")
    shutil.copy(stranger / "weights.safetensors", folder / "weights.safetensors")
    with pytest.raises(DataError, match="damaged"):
        load(f"fitted:{folder}")


@pytest.mark.parametrize("gone", ["coefficients", "intercepts"])
def test_a_linear_model_without_all_of_its_numbers_is_damaged(gone: str, keep: Keep, tmp_path: Path) -> None:
    file = keep("probe", tmp_path / "kept") / "weights.safetensors"
    arrays = load_file(file)
    del arrays[gone]
    save_file(arrays, file)
    with pytest.raises(DataError, match=f"damaged: '{gone}'"):
        load(f"fitted:{tmp_path}/kept")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"version": 2}', "not JSON"], ids=["empty", "half", "list", "bare", "later", "text"]
)
@pytest.mark.parametrize("name", ["probe", "scratch"])
def test_a_description_that_is_damaged_is_named(name: str, text: str, keep: Keep, tmp_path: Path) -> None:
    file = keep(name, tmp_path / "kept") / "fitted.json"
    file.write_text(text)
    with pytest.raises(DataError, match=r"cannot read .*fitted\.json"):
        load(f"fitted:{tmp_path}/kept")


@pytest.mark.parametrize("change", [{"part": "tree"}, {"version": 2}, {"seed": "x"}, {"more": 1}, {"precision": "fp8"}])
def test_a_description_that_says_what_cannot_be_is_damaged(
    change: dict[str, object], keep: Keep, tmp_path: Path
) -> None:
    file = keep("probe", tmp_path / "kept") / "fitted.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(DataError, match=f"(?s)cannot read .*{next(iter(change))}"):
        load(f"fitted:{tmp_path}/kept")


def test_the_fingerprint_is_of_all_that_decides_the_answers(keep: Keep, tmp_path: Path) -> None:
    folder, same = keep("probe", tmp_path / "kept"), keep("probe", tmp_path / "same")
    first = load(f"fitted:{folder}").card
    assert load(f"fitted:{same}").card.fingerprint == first.fingerprint, "whatever the folder's name"
    arrays = load_file(folder / "weights.safetensors")
    save_file(arrays | {"intercepts": arrays["intercepts"] + 1e-9}, folder / "weights.safetensors")
    assert load(f"fitted:{folder}").card.fingerprint != first.fingerprint
    assert first.description == "probe of kmer:2 on test/frames@1, budget full, seed 3"
    assert first.kind == "model", "of a control as well"


def test_columns_have_no_names_where_the_task_named_fewer(keep: Keep, tmp_path: Path) -> None:
    file = keep("probe", tmp_path / "kept") / "fitted.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"classes": ["rich"]}))
    assert load(f"fitted:{tmp_path}/kept").card.outputs == ()


def test_adapters_of_which_some_are_missing_are_damaged(keep: Keep, tmp_path: Path) -> None:
    file = keep("lora", tmp_path / "kept") / "weights.safetensors"
    save_file({name: array for name, array in load_file(file).items() if "lora_B" not in name}, file)
    with pytest.raises(DataError, match="damaged, or of another network"):
        load(f"fitted:{tmp_path}/kept")


@pytest.mark.parametrize(
    "change",
    [{"target": {}}, {"target": {"kind": "classes", "outputs": 2, "x": 1}}, {"form": {"x": 1}},
     {"form": {"lora": {"rank": 2}}}],
    ids=["no target", "odd target", "odd form", "half a recipe"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["probe", "scratch"])
def test_fields_that_no_version_has_written_are_damage(
    name: str, change: dict[str, object], keep: Keep, tmp_path: Path
) -> None:
    file = keep(name, tmp_path / "kept") / "fitted.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(DataError, match=r"fitted\.json is damaged"):
        load(f"fitted:{tmp_path}/kept")


def test_a_network_answers_in_the_precision_that_is_asked_for(keep: Keep, tmp_path: Path) -> None:
    file = keep("finetune", tmp_path / "kept") / "fitted.json"
    wanted = answers(load(f"fitted:{file.parent}"), inputs(KINDS["finetune"]))
    file.write_text(json.dumps(json.loads(file.read_text()) | {"precision": "bf16"}))
    assert load(f"fitted:{file.parent}").precision == "bf16"
    again = load(f"fitted:{file.parent}?precision=fp32")
    assert again.precision == "fp32"
    np.testing.assert_array_equal(answers(again, inputs(KINDS["finetune"])), wanted)
    with pytest.raises(UsageError, match="precision"):
        load(f"fitted:{file.parent}?precision=fp16")
