"""Keras files as models: conformance of all, states and their spans, classifiers, what is said and what is guessed."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from glmbench.errors import DataError, MissingData, Unsupported, UsageError
from glmbench.models.conformance import check
from glmbench.models.keras.classifier import KerasClassifier
from glmbench.models.keras.keras_model import KerasModel
from glmbench.models.keras.language_models import WindowLanguageModel
from glmbench.models.model import CountsPasses, Embeds, Inspectable, Predicts, PredictsBases, ScoresSequences
from glmbench.models.registry import load
from glmbench.networks.keras.loading import load_network
from glmbench.sequences.encoding import reverse_complement
from keras_files import NAMES, architecture_of, dense, file, layer, random_arrays, sequential, stored, write

CLASSIFIERS = ("embedding_mask", "genomenet_gap", "genomenet_gru", "gru_kinds", "nested_rc", "nested_twice")
OPTIONS = {"seq_hard": "?vocabulary=lpacgt"}


def text(length: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def one_hot(sequence: str) -> torch.Tensor:
    return torch.tensor([[float(letter == base) for letter in "ACGT"] for base in sequence])[None]


@cache
def model(name: str, options: str = "") -> KerasModel:
    loaded = load(f"h5:{file(name)}{options}")
    assert isinstance(loaded, KerasModel)
    return loaded


@pytest.mark.parametrize("name", NAMES)
def test_every_file_keeps_what_its_capabilities_promise(name: str, tmp_path: Path) -> None:
    options = OPTIONS.get(name, "")
    if name == "weights_only":
        options = f"?architecture={architecture_of('lstm', tmp_path)}"
    loaded = model(name, options)
    assert isinstance(loaded, Embeds)
    assert isinstance(loaded, Inspectable)
    assert isinstance(loaded, CountsPasses)
    assert isinstance(loaded, Predicts) == (name in CLASSIFIERS)
    assert isinstance(loaded, PredictsBases) == isinstance(loaded, ScoresSequences) == (name not in CLASSIFIERS)
    assert [finding for finding in check(loaded) if not finding.ok] == []


def test_a_classifier_gives_what_the_network_gives() -> None:
    inputs, wanted = stored("genomenet_gap")
    sequences = ["".join("ACGT"[int(row.argmax())] for row in x) for x in inputs[0]]
    np.testing.assert_allclose(model("genomenet_gap").predict(sequences), wanted, atol=1e-6)


def test_two_strands_through_one_network() -> None:
    both = model("nested_rc")
    assert both.card.strands == "both"
    sequence = text(60)
    turned = reverse_complement(sequence)
    inputs = [one_hot(sequence), one_hot(turned)]
    wanted = load_network(file("nested_rc")).network(inputs)[0][0].numpy()
    np.testing.assert_allclose(both.predict([sequence]), wanted, atol=1e-6)
    np.testing.assert_allclose(both.predict([turned]), wanted, atol=1e-6)
    np.testing.assert_allclose(both.embed([turned]), both.embed([sequence]), atol=1e-6)


def test_other_lengths_of_classifiers() -> None:
    plain, open_to_all = model("genomenet_gap"), model("genomenet_gap", "?overflow=window&short=pad")
    assert (plain.card.context, plain.card.input_length) == (60, 60)
    assert (open_to_all.card.context, open_to_all.card.input_length) == (None, None)
    sequence = text(130)
    with pytest.raises(Unsupported, match=r"130 bases, the network reads 60; .*overflow=window"):
        plain.predict([sequence])
    with pytest.raises(Unsupported, match=r"59 bases, the network reads 60; .*short=pad"):
        plain.predict([sequence[:59]])
    parts = [sequence[:60], sequence[60:120], sequence[70:]]
    np.testing.assert_allclose(open_to_all.predict([sequence])[0], plain.predict(parts).mean(0), atol=1e-6)
    np.testing.assert_allclose(open_to_all.predict(["A"]), plain.predict(["N" * 59 + "A"]), atol=1e-6)


def test_inputs_of_any_length() -> None:
    free = model("embedding_mask")
    assert (free.card.context, free.card.input_length) == (None, None)
    sequences = [text(12), text(300, 1), text(12, 2)]
    together = free.predict(sequences)
    np.testing.assert_allclose(together, np.concatenate([free.predict([s]) for s in sequences]), atol=1e-6)
    tokens = torch.tensor([["ACGT".index(base) + 1.0 for base in sequences[1]]])
    wanted = load_network(file("embedding_mask")).network([tokens])[0][0].numpy()
    np.testing.assert_allclose(together[1:2], wanted, atol=1e-6)


def test_one_sigmoid_is_two_classes(tmp_path: Path) -> None:
    config = sequential((2, 4), layer("Flatten", "flatten"), dense(1, activation="sigmoid"))
    path = write(tmp_path / "binary.h5", config, {"dense": random_arrays(0, (8, 1), (1,))})
    (tmp_path / "binary.json").write_text(json.dumps({"classes": ["no", "yes"], "name": "is it?"}))
    binary = load(f"h5:{path}")
    assert isinstance(binary, KerasClassifier)
    assert (binary.card.outputs, binary.card.name) == (("no", "yes"), "is it?")
    scores = binary.predict(["AC", "GT"])
    wanted = load_network(path).network([torch.cat((one_hot("AC"), one_hot("GT")))])[0][0].numpy()
    np.testing.assert_allclose(scores, np.concatenate((1 - wanted, wanted), axis=1), atol=1e-6)


def test_one_number_is_a_regression(tmp_path: Path) -> None:
    config = sequential((2, 4), layer("Flatten", "flatten"), dense(1, activation="linear"))
    path = write(tmp_path / "number.h5", config, {"dense": random_arrays(0, (8, 1), (1,))})
    regression = load(f"h5:{path}?vocabulary=acgt")
    assert isinstance(regression, Predicts)
    assert regression.predict(["AC", "GT", "NN"]).shape == (3, 1)


def test_spans_follow_strides_and_padding() -> None:
    cnn = model("cnn")  # 60 bases, pooled by 3, 3 and 2, the rest dropped
    states = cnn.states([text(60)], "max_pooling1d_2")[0]
    assert states.values.shape == (3, 32)
    assert list(zip(states.starts, states.ends, strict=True)) == [(0, 18), (18, 36), (36, 60)]
    short = cnn.states([text(30)], "max_pooling1d_2")[0]  # thirty places of padding before it
    assert list(zip(short.starts, short.ends, strict=True)) == [(-1, -1), (0, 6), (6, 30)]
    end = cnn.states([text(30)], "flatten")[0]
    assert (end.values.shape[0], end.starts.tolist(), end.ends.tolist()) == (1, [0], [30])


def test_states_of_several_windows() -> None:
    lstm = model("lstm")
    sequence = text(120)
    states = lstm.states([sequence], "lstm")[0]
    assert states.starts.tolist() == list(range(120))
    assert states.ends.tolist() == list(range(1, 121))
    last = lstm.states([sequence[70:]], "lstm")[0]  # the third window ends with the sequence
    np.testing.assert_allclose(states.values[100:], last.values[30:], atol=1e-6)
    first = lstm.states([sequence[:50]], "lstm")[0]
    np.testing.assert_allclose(states.values[:50], first.values, atol=1e-6)


def test_flanks_are_given_in_the_order_of_bases() -> None:
    middle = model("target_middle")  # 25 bases on either side
    states = middle.states([text(51)], "conv1d_14")[0]
    assert states.starts.tolist() == [0, *range(27, 51)]
    assert states.ends.tolist() == list(range(27, 52))
    sequence = text(51)
    right = one_hot(sequence[26:][::-1])
    network = load_network(file("target_middle")).network
    _, found = network([one_hot(sequence[:25]), right], {"conv1d_14"})
    np.testing.assert_allclose(states.values, found["conv1d_14"][0].flip(0).numpy(), atol=1e-6)


def test_embeddings_are_pooled_states() -> None:
    sequences = [text(60), text(130, 1), text(20, 2)]
    for pool in ("mean", "max", "last"):
        pooled = model("cnn", f"?layer=max_pooling1d_1&pool={pool}&vocabulary=acgt&position=end")
        values = [one.values[one.starts >= 0] for one in pooled.states([sequences[0], sequences[2]], "max_pooling1d_1")]
        by_hand = {"mean": lambda v: v.mean(0), "max": lambda v: v.max(0), "last": lambda v: v[-1]}[pool]
        got = pooled.embed(sequences)
        np.testing.assert_allclose(got[[0, 2]], np.stack([by_hand(v) for v in values]), atol=1e-5)
    windows = model("cnn").embed([sequences[1], sequences[1][:60], sequences[1][60:120], sequences[1][70:]])
    weighted = (60 * windows[1] + 60 * windows[2] + 10 * windows[3]) / 130
    np.testing.assert_allclose(windows[0], weighted, atol=1e-5)


def test_layers_by_number() -> None:
    """As Python counts, in the reference as well as in `embed --per-base`; the same model as by name."""
    names = load(f"h5:{file('cnn')}").layers()
    for number in (0, 1, -1, -len(names)):
        by_number, by_name = (load(f"h5:{file('cnn')}?layer={layer}") for layer in (number, names[number]))
        assert by_number.card.fingerprint == by_name.card.fingerprint
    with pytest.raises(UsageError, match="no layer '-99'"):
        load(f"h5:{file('cnn')}?layer=-99")


def test_a_held_unit_reaches_the_answer_and_is_let_go() -> None:
    lstm = model("lstm", "?position=end&vocabulary=acgt")
    assert isinstance(lstm, WindowLanguageModel)
    sequence = text(50)
    free = lstm.fill([sequence], [49])
    with lstm.clamped("lstm", 3, 1.5):
        assert (lstm.states([sequence], "lstm")[0].values[:, 3] == 1.5).all()
        assert np.abs(lstm.fill([sequence], [49]) - free).max() > 1e-4
    np.testing.assert_array_equal(lstm.fill([sequence], [49]), free)
    with lstm.clamped("dense_1", 0, 0.5):  # the output itself
        assert lstm.fill([sequence], [49])[0, 0] > free[0, 0]
    with pytest.raises(UsageError, match="units 0 to 15, got 16"), lstm.clamped("lstm", 16, 0.0):
        pass
    with pytest.raises(UsageError, match=r"no layer 'lstm_7' \(did you mean"), lstm.clamped("lstm_7", 0, 0.0):
        pass


def test_inside_nested_networks() -> None:
    nested = model("nested_twice")
    names = nested.layers()
    label = next(name for name in names if name.endswith("lstm_5") or "/lstm" in name)
    assert label.count("/") == 2  # a network in a network
    sequence = text(18)
    with nested.clamped(label, 0, 2.0):
        assert (nested.states([sequence], label)[0].values[:, 0] == 2).all()


def test_what_is_guessed_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    guessing = load(f"h5:{file('lstm')}")
    said = capsys.readouterr().err
    assert "guessed position=end" in said
    assert "vocabulary=acgt (deepG's default)" in said
    assert "Guessed, as neither the reference nor a card says it: position=end" in guessing.card.description
    told = model("lstm", "?position=end&vocabulary=acgt&trained_on=PRO")
    assert capsys.readouterr().err == ""
    assert "Guessed" not in told.card.description
    assert told.card.pretraining == {"trained_on": "PRO"}
    assert told.card.parameters == 2876
    assert "50 before it" in told.card.description


def test_the_reference_counts_before_the_card_and_the_card_before_a_guess(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(shutil.copy(file("cnn"), tmp_path / "cnn.hdf5"))
    card = {"vocabulary": "tgca", "position": "middle", "trained_on": "EUK", "licence": "CC0-1.0", "name": "mine"}
    (tmp_path / "glmbench.json").write_text(json.dumps(card))
    by_card = load(f"h5:{path}")
    assert isinstance(by_card, WindowLanguageModel)
    assert (by_card.reach, by_card.card.tokenizer) == ("both", "bases, vocabulary tgca")
    assert (by_card.card.name, by_card.card.licence) == ("mine", "CC0-1.0")
    assert by_card.card.pretraining == {"trained_on": "EUK"}
    by_hand = load(f"h5:{path}?position=end&vocabulary=acgt")
    assert isinstance(by_hand, WindowLanguageModel)
    assert by_hand.reach == "left"
    assert by_hand.card.fingerprint != by_card.card.fingerprint
    assert capsys.readouterr().err == ""
    (tmp_path / "cnn.json").write_text('{"vocabulry": "acgt"}')
    with pytest.raises(DataError, match=r"cnn\.json: vocabulry: .*wanted keys name"):
        load(f"h5:{path}")


def test_an_architecture_beside_the_file_is_no_card(tmp_path: Path) -> None:
    path = Path(shutil.copy(file("weights_only"), tmp_path / "net.hdf5"))
    architecture = architecture_of("lstm", tmp_path).rename(tmp_path / "net.json")
    loaded = load(f"h5:{path}?architecture={architecture}&position=end&vocabulary=acgt")
    assert isinstance(loaded, WindowLanguageModel)
    whole: NDArray[np.float32] = model("lstm").embed([text(50)])
    np.testing.assert_array_equal(loaded.embed([text(50)]), whole)


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("lstm", "?position=left", UsageError, "wanted one of end, middle, none"),
        ("lstm", "?vocab=acgt", UsageError, "unknown option 'vocab'.*did you mean vocabulary"),
        ("lstm", "?vocabulary=acgu", UsageError, "wanted the letters a, c, g, t"),
        ("lstm", "?vocabulary=acgtn", UsageError, "has 5 letters, the network reads 4"),
        ("seq_hard", "", UsageError, "reads 6 letters, and no file says which"),
        ("lstm", "?layer=lstm_9", UsageError, "no layer 'lstm_9'"),
        ("lstm", "?vocabulary=", UsageError, "is empty"),
        ("genomenet_gap", "?position=end", UsageError, "has 2 outputs; wanted one a letter, 4"),
        ("target_middle", "?position=end", UsageError, "has two inputs; wanted middle"),
        ("transformer", "?position=end", UsageError, "an output at every place"),
        ("nowhere", "", MissingData, "no such file"),
    ],
)
def test_references_that_are_refused(name: str, options: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        load(f"h5:{file(name)}{options}")


def test_a_revision_is_refused() -> None:
    with pytest.raises(UsageError, match="no revisions"):
        load("h5:folder/model@main")


def test_empty_input_and_other_letters() -> None:
    lstm = model("lstm")
    with pytest.raises(DataError, match="no sequences"):
        lstm.embed([])
    with pytest.raises(DataError, match="is empty"):
        lstm.embed(["ACGT", ""])
    with pytest.raises(DataError, match="letter 'J' at position 1"):
        lstm.embed(["AJ"])
    np.testing.assert_array_equal(lstm.embed(["ACRYN"]), lstm.embed(["acnnn"]))
