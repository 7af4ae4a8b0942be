"""Keras files as language models: what they are asked is what the network would be asked by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies
from numpy.typing import NDArray

from glmbench.errors import DataError, Unsupported
from glmbench.models.keras.keras_model import KerasModel
from glmbench.models.keras.language_models import WindowLanguageModel
from glmbench.models.keras.place_language_models import PlaceLanguageModel
from glmbench.models.model import Predicts
from glmbench.models.registry import load
from glmbench.networks.keras.loading import load_network
from keras_files import file

BASES = "ACGT"
SETTINGS = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
dna = strategies.text("ACGTNacgtR", min_size=1, max_size=90)


def text(length: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list(BASES), length))


def one_hot(sequence: str, vocabulary: str = "acgt") -> torch.Tensor:
    """(1, length, letters); what is no letter of the vocabulary is zero."""
    rows = [[float(letter == base.lower()) for letter in vocabulary] for base in sequence]
    return torch.tensor(rows).reshape(1, len(sequence), len(vocabulary))


def ask(name: str, *inputs: torch.Tensor) -> NDArray[np.float32]:
    return load_network(file(name)).network(list(inputs))[0][0].numpy()


@pytest.fixture(scope="module")
def model() -> Callable[[str], KerasModel]:
    """A model by its file's name and options, loaded once."""
    made: dict[str, KerasModel] = {}

    def get(reference: str) -> KerasModel:
        if reference not in made:
            name, _, options = reference.partition("?")
            loaded = load(f"h5:{file(name)}" + (f"?{options}" if options else ""))
            assert isinstance(loaded, KerasModel)
            made[reference] = loaded
        return made[reference]

    return get


Models = Callable[[str], "WindowLanguageModel | PlaceLanguageModel"]


def test_the_base_at_the_end(model: Models) -> None:
    lstm = model("lstm?position=end&vocabulary=acgt")
    assert lstm.reach == "left"
    sequence = text(70)
    got = lstm.fill([sequence, sequence, sequence], [60, 5, 0])
    zeros = torch.zeros(1, 45, 4)
    by_hand = [
        ask("lstm", one_hot(sequence[10:60])),
        ask("lstm", torch.cat((zeros, one_hot(sequence[:5])), dim=1)),
        ask("lstm", torch.zeros(1, 50, 4)),
    ]
    np.testing.assert_allclose(np.exp(got), np.concatenate(by_hand), atol=1e-6)


def test_the_vocabulary_is_the_order_of_columns(model: Models) -> None:
    other = model("lstm?position=end&vocabulary=tgca")
    sequence = text(50)
    wanted = ask("lstm", one_hot(sequence, "tgca"))[:, ::-1]
    np.testing.assert_allclose(np.exp(other.fill([sequence + "A"], [50])), wanted, atol=1e-6)


def test_letters_beyond_the_bases_are_left_out_of_the_answer(model: Models) -> None:
    six = model("seq_hard?position=end&vocabulary=lpacgt")
    sequence = text(80)
    wanted = ask("seq_hard", one_hot(sequence, "lpacgt"))[:, 2:]
    got = np.exp(six.fill([sequence + "A"], [80]))
    np.testing.assert_allclose(got, wanted / wanted.sum(), atol=1e-6)


def test_the_base_between_two_inputs(model: Models) -> None:
    middle = model("target_middle")
    assert middle.reach == "both"
    sequence = text(60)
    left, right = one_hot(sequence[5:30]), one_hot(sequence[31:56][::-1])  # the right flank is read towards the base
    got = np.exp(middle.fill([sequence], [30]))
    np.testing.assert_allclose(got, ask("target_middle", left, right), atol=1e-6)
    short = sequence[20:40]  # 10 left, 9 right: filled up at the far ends
    zeros = torch.zeros(1, 15, 4), torch.zeros(1, 16, 4)
    left = torch.cat((zeros[0], one_hot(short[:10])), dim=1)
    right = torch.cat((zeros[1], one_hot(short[11:][::-1])), dim=1)
    np.testing.assert_allclose(np.exp(middle.fill([short], [10])), ask("target_middle", left, right), atol=1e-6)


def test_the_base_between_joined_halves(model: Models) -> None:
    middle = model("cnn?position=middle&vocabulary=acgt")
    assert middle.reach == "both"
    sequence = text(70)
    got = np.exp(middle.fill([sequence], [33]))
    wanted = ask("cnn", one_hot(sequence[3:33] + sequence[34:64]))
    np.testing.assert_allclose(got, wanted, atol=1e-6)


def test_the_next_base_at_every_place(model: Models) -> None:
    causal = model("causal_places")
    assert causal.reach == "left"
    sequence = text(20)
    rows = torch.cat((torch.zeros(1, 1, 4), one_hot(sequence), torch.zeros(1, 3, 4)), dim=1)
    wanted = ask("causal_places", rows)[0, :20]
    np.testing.assert_allclose(np.exp(causal.scan([sequence])[0]), wanted, atol=1e-6)


def test_a_hidden_token(model: Models) -> None:
    masked = model("transformer")
    assert masked.reach == "both"
    sequence = text(30)
    tokens = [0] * 20 + [BASES.index(base) + 1 for base in sequence]
    tokens[20 + 7] = 5
    wanted = ask("transformer", torch.tensor([tokens], dtype=torch.float32))[0, 27, 1:5]
    np.testing.assert_allclose(np.exp(masked.fill([sequence], [7]))[0], wanted / wanted.sum(), atol=1e-6)


def test_a_hidden_column(model: Models) -> None:
    filler = model("imputation")
    sequence = text(20)
    rows = one_hot(sequence[:4] + "n" + sequence[5:], "acgtn")
    wanted = ask("imputation", rows).reshape(20, 4)[4]
    np.testing.assert_allclose(np.exp(filler.fill([sequence], [4]))[0], wanted, atol=1e-6)


LANGUAGE = ["lstm", "masked_lstm", "target_middle", "cnn?position=middle", "causal_places", "transformer", "imputation"]


@pytest.mark.parametrize("name", LANGUAGE)
@given(sequences=strategies.lists(dna, min_size=1, max_size=3), data=strategies.data())
@SETTINGS
def test_answers(name: str, model: Models, sequences: list[str], data: strategies.DataObject) -> None:
    asked = model(name)
    positions = [data.draw(strategies.integers(0, len(sequence) - 1)) for sequence in sequences]
    log_p = asked.fill(sequences, positions)
    np.testing.assert_allclose(np.exp(log_p).sum(1), 1, atol=1e-5)
    alone = [asked.fill([sequence], [position]) for sequence, position in zip(sequences, positions, strict=True)]
    np.testing.assert_allclose(log_p, np.concatenate(alone), atol=2e-5)
    hidden = [s[:p] + "T" + s[p + 1 :] for s, p in zip(sequences, positions, strict=True)]
    np.testing.assert_allclose(log_p, asked.fill(hidden, positions), atol=2e-5)
    tracks = asked.scan([sequence.lower() for sequence in sequences])
    assert [track.shape for track in tracks] == [(len(sequence), 4) for sequence in sequences]
    if name not in ("transformer", "imputation"):  # whose single pass sees the base
        rows = np.stack([track[position] for track, position in zip(tracks, positions, strict=True)])
        np.testing.assert_allclose(log_p, rows, atol=2e-5)
    if asked.reach == "left":
        cut = [sequence[: position + 1] for sequence, position in zip(sequences, positions, strict=True)]
        np.testing.assert_allclose(log_p, asked.fill(cut, positions), atol=2e-5)


@pytest.mark.parametrize("name", LANGUAGE)
def test_the_likelihood_is_the_sum_over_known_bases(name: str, model: Models) -> None:
    asked = model(name)
    sequence = text(17) + "N" + text(9, seed=1)
    rows = asked.fill([sequence] * len(sequence), range(len(sequence)))
    wanted = sum(rows[place, BASES.index(base)] for place, base in enumerate(sequence) if base != "N")
    np.testing.assert_allclose(asked.log_likelihood([sequence, "NNN"]), [wanted, 0], rtol=1e-5)


@pytest.mark.parametrize("name", LANGUAGE)
def test_a_likelihood_is_summed_in_blocks(name: str, model: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more positions are asked at once than a block has, wherever sequences end."""
    sequences = [text(17), text(3, seed=1) + "N", text(25, seed=2)]
    wanted = model(name).log_likelihood(sequences)
    asked: list[int] = []
    ask = type(model(name))._ask

    def watched(self: KerasModel, batch: object, sequence: Sequence[int], *rest: object, **how: bool) -> object:
        asked.append(len(sequence))
        return ask(self, batch, sequence, *rest, **how)

    monkeypatch.setattr("glmbench.models.keras.language_models.BLOCK", 8)
    monkeypatch.setattr(type(model(name)), "_ask", watched)
    np.testing.assert_allclose(model(name).log_likelihood(sequences), wanted, rtol=1e-5)
    assert asked == [8] * 5 + [6]


def test_equal_questions_go_through_the_network_once(model: Models) -> None:
    lstm = model("lstm")
    sequence = text(60)
    before = lstm.passes
    lstm.fill([sequence, sequence, sequence[:55] + "TTTTT"], [55, 55, 55])
    assert lstm.passes - before == 1
    middle = model("cnn?position=middle")
    before = middle.passes
    middle.fill([sequence, sequence[:30] + "N" + sequence[31:]], [30, 30])
    assert middle.passes - before == 1


def test_places_of_one_pass_are_asked_in_one_pass(model: Models) -> None:
    masked = model("transformer")
    before = masked.passes
    masked.scan([text(50), text(30, seed=1)])
    assert masked.passes - before == 2
    masked.scan([text(100)])  # windows of 50 that overlap by half
    assert masked.passes - before == 2 + 3


def test_longer_sequences_are_refused_where_that_was_said(model: Models) -> None:
    strict = model("transformer?overflow=refuse")
    assert (strict.card.context, model("transformer").card.context) == (50, None)
    for call in (strict.scan, strict.log_likelihood, strict.embed):
        with pytest.raises(Unsupported, match=r"51 bases, the network reads 50"):
            call([text(51)])
    with pytest.raises(Unsupported, match="51 bases"):
        strict.fill([text(51)], [0])


def test_positions_outside_are_refused(model: Models) -> None:
    for name in ("lstm", "transformer"):
        for position in (-1, 5):
            with pytest.raises(DataError, match=rf"position {position} of sequence 1 lies outside its 5 bases"):
                model(name).fill(["ACGTA", "ACGTA"], [0, position])
        with pytest.raises(DataError, match="wanted one position of each"):
            model(name).fill(["ACGTA", "ACGTA"], [0])


def test_language_models_do_not_classify(model: Models) -> None:
    assert not isinstance(model("lstm"), Predicts)
    assert isinstance(model("lstm?position=none"), Predicts)


def test_outputs_that_are_no_probabilities(tmp_path: Path) -> None:
    from keras_files import dense, layer, random_arrays, sequential, write

    config = sequential((2, 4), layer("Flatten", "flatten"), dense(4, activation="relu"))
    path = write(tmp_path / "relu.h5", config, {"dense": random_arrays(0, (8, 4), (4,))})
    with pytest.raises(DataError, match=r"no probabilities of bases.*position=none"):
        load(f"h5:{path}?position=end&vocabulary=acgt")
    assert isinstance(load(f"h5:{path}?position=none"), Predicts)
