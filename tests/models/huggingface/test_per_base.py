"""Heads on single bases: which tokens cover a base, and the network against a plain loop over bases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from family_checkpoints import dnabert, gpn, grover, hyenadna
from torch import Tensor
from torch.nn import functional
from transformers import FNetConfig, FNetModel

from glmbench.errors import DataError, Unsupported
from glmbench.models.huggingface.encoder import HuggingFaceModel
from glmbench.models.huggingface.per_base import BaseCollate, PerBaseNetwork, _cover, _slots
from glmbench.models.huggingface.token_windows import TokenWindows, Windows
from glmbench.models.registry import load

SEQUENCES = ["ACGTTGCATTAGCCGATACGGATC", "GATTACA", "acgtnnacgtt", "TTGACCAGTACGTAA", "CCCC"]


def cover(spans: list[tuple[int, int]], length: int, before: int = 0) -> list[list[int]]:
    starts, ends = np.array(spans, np.int64).T
    return [values.tolist() for values in _cover(starts, ends, length, before)]


def test_a_base_of_overlapping_3_mers_is_covered_by_up_to_three() -> None:
    first, last, place = cover([(0, 3), (1, 4), (2, 5), (3, 6)], 6)
    assert first == [0, 0, 0, 1, 2, 3]
    assert last == [0, 1, 2, 3, 3, 3]
    assert place == [0, 1, 2, 2, 2, 2]


def test_a_base_of_longer_tokens_is_covered_by_one_and_has_a_place_in_it() -> None:
    first, last, place = cover([(0, 3), (3, 4), (4, 6)], 6)
    assert first == last == [0, 0, 0, 1, 2, 2]
    assert place == [0, 1, 2, 0, 0, 1]


def test_special_tokens_before_the_bases_are_counted() -> None:
    assert cover([(0, 1), (1, 2)], 2, before=2) == [[2, 3], [2, 3], [0, 0]]


def test_one_token_a_base_and_one_token_for_all() -> None:
    assert cover([(base, base + 1) for base in range(4)], 4) == [[0, 1, 2, 3], [0, 1, 2, 3], [0] * 4]
    assert cover([(0, 3)], 3) == [[0] * 3, [0] * 3, [0, 1, 2]]
    assert cover([(0, 70)], 70)[2] == [*range(64), *[63] * 6], "places beyond the last share its vector"


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, checkpoint: Callable[[str], Path]) -> Callable[[str], str]:
    """3-mers that overlap, tokens that differ in length, or one token a base."""
    makers = {"3-mers": lambda folder: dnabert(folder, 3), "byte pairs": grover, "hyenadna": hyenadna, "gpn": gpn}
    made: dict[str, Path] = {}

    def found(kind: str) -> str:
        if kind not in makers:
            return f"hf:{checkpoint(kind)}"
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp("by base")
            makers[kind](made[kind])
        return f"hf:{made[kind]}" + ("?kmer=3" if kind == "3-mers" else "")

    return found


def network_of(reference: str, outputs: int = 3) -> tuple[PerBaseNetwork, BaseCollate, HuggingFaceModel]:
    model = load(reference)
    assert isinstance(model, HuggingFaceModel)
    module, collate = model.trainable(outputs, seed=0, per_base=True)
    assert isinstance(module, PerBaseNetwork)
    assert isinstance(collate, BaseCollate)
    return module.eval(), collate, model


def scores(module: PerBaseNetwork, collate: BaseCollate, sequences: list[str]) -> list[Tensor]:
    with torch.inference_mode():
        whole = module(*collate.batch(collate.encode(sequences), np.arange(len(sequences))))
    return [row[: len(sequence)] for row, sequence in zip(whole, sequences, strict=True)]


def by_loop(module: PerBaseNetwork, model: HuggingFaceModel, sequence: str) -> Tensor:
    """Base by base from the states of a sequence alone, as the model itself gives them."""
    (found,) = model.states([sequence], "-1")
    head: Any = module.head
    rows = []
    for base in range(len(sequence)):
        covering = [index for index in range(len(found.starts)) if found.starts[index] <= base < found.ends[index]]
        state = torch.from_numpy(found.values[covering]).mean(0)
        place = base - found.starts[covering[0]]
        rows.append(head.out(functional.gelu(head.dense(state + head.places.weight[place]))))
    return torch.stack(rows)


@pytest.mark.parametrize("kind", ["3-mers", "byte pairs", "dnabert2", "bert", "gpt2", "hyenadna", "gpn"])
def test_scores_are_those_of_a_loop_over_bases_also_in_company(kind: str, reference: Callable[[str], str]) -> None:
    module, collate, model = network_of(reference(kind))
    whole = scores(module, collate, SEQUENCES)
    with torch.no_grad():
        for sequence, found in zip(SEQUENCES, whole, strict=True):
            assert found.shape == (len(sequence), 3)
            torch.testing.assert_close(found, by_loop(module, model, sequence), rtol=1e-4, atol=1e-5)
    assert whole[0].std(dim=0).min() > 1e-3, "bases differ"


@pytest.mark.parametrize("kind", ["3-mers", "byte pairs", "bert", "esm"])
def test_padding_makes_no_difference(kind: str, reference: Callable[[str], str]) -> None:
    module, collate, _ = network_of(reference(kind))
    whole = scores(module, collate, SEQUENCES)
    for sequence, found in zip(SEQUENCES, whole, strict=True):
        torch.testing.assert_close(found, scores(module, collate, [sequence])[0], rtol=1e-4, atol=1e-5)


def test_bases_of_one_token_differ_by_their_places_alone(reference: Callable[[str], str]) -> None:
    module, collate, _ = network_of(reference("byte pairs"))
    with torch.no_grad():
        module.head.places.weight.zero_()
    encoded = collate.encode(SEQUENCES[:1])
    same = np.diff(encoded.first) == 0
    assert same.any()
    assert not same.all()
    steps = scores(module, collate, SEQUENCES[:1])[0].diff(dim=0).abs().max(dim=1).values
    assert (steps[torch.from_numpy(same)] == 0).all()
    assert (steps[torch.from_numpy(~same)] > 1e-4).all()


def test_gradients_reach_every_part_and_are_finite(reference: Callable[[str], str]) -> None:
    module, collate, _ = network_of(reference("3-mers"))
    module(*collate.batch(collate.encode(SEQUENCES), np.arange(len(SEQUENCES)))).pow(2).sum().backward()
    assert all(parameter.requires_grad for parameter in module.parameters())
    got = {name: parameter.grad for name, parameter in module.named_parameters() if parameter.grad is not None}
    assert all(torch.isfinite(gradient).all() for gradient in got.values())
    touched = {name for name, gradient in got.items() if gradient.any()}
    assert {"head.out.weight", "head.dense.weight", "head.places.weight"} <= touched
    assert any("layer.0.attention" in name for name in touched)


def test_the_head_alone_is_fresh(reference: Callable[[str], str]) -> None:
    module, _, model = network_of(reference("dnabert2"))
    assert module.fresh == {"head"}
    given = model._network.body.state_dict()
    assert all(torch.equal(module.body.state_dict()[name], tensor) for name, tensor in given.items())
    assert not any(parameter.requires_grad for parameter in model._network.body.parameters())


def test_batches_are_padded_ids_with_the_tokens_of_each_base(reference: Callable[[str], str]) -> None:
    _, collate, _ = network_of(reference("bert"))
    ids, mask, first, last, place, _ = collate.batch(collate.encode(["ACG", "TTGAC"]), np.array([1, 0]))
    assert ids.tolist() == [[2, 8, 8, 7, 5, 6, 3], [2, 5, 6, 7, 3, 0, 0]]
    assert mask is not None
    assert mask.tolist() == [[1] * 7, [1] * 5 + [0] * 2]
    assert first.tolist() == last.tolist() == [[1, 2, 3, 4, 5], [1, 2, 3, 0, 0]]
    assert not place.any()


def test_sequences_that_are_too_long_are_refused_and_never_cut(reference: Callable[[str], str]) -> None:
    _, collate, _ = network_of(reference("bert"))
    with pytest.raises(Unsupported, match="1 of 2 sequences have more than 64 tokens"):
        collate.encode(["ACGT", "A" * 63])
    assert len(collate.encode(["A" * 62]).first) == 62
    with pytest.raises(Unsupported, match=r"1 of 1 sequences .* 10 tokens.*window"):
        collate.limited(10, "refuse", 0.25).encode(["ACGTACGTA"])
    with pytest.raises(Unsupported, match="max_length is 65 tokens, the model reads 64"):
        collate.limited(65, None, 0.25)
    with pytest.raises(Unsupported, match="goes with labels of sequences"):
        collate.limited(None, "truncate", 0.25)
    with pytest.raises(Unsupported, match="more than 64 tokens"):  # whatever the reference says of overflow
        network_of(f"{reference('bert')}?overflow=truncate")[1].encode(["A" * 70])
    for length in (1, 2):
        with pytest.raises(Unsupported, match=f"max_length is {length} tokens, of which 2 are special ones"):
            collate.limited(length, "window", 0.25)
    with pytest.raises(DataError, match="has no token"):
        collate.encode([""])
    assert len(collate.encode([])) == 0


def _random(*lengths: int) -> list[str]:
    rng = np.random.default_rng(0)
    return ["".join(rng.choice(list("ACGT"), length)) for length in lengths]


@pytest.mark.parametrize("kind", ["3-mers", "byte pairs", "dnabert2", "bert"])
def test_beyond_the_context_a_token_has_the_mean_of_its_states_in_all_windows(
    kind: str, reference: Callable[[str], str]
) -> None:
    module, whole, _ = network_of(reference(kind))
    collate = whole.limited(14, "window", 0.5)
    before, room = len(whole.reader.prefix), collate.reader.room
    assert room is not None
    sequences = _random(90, 7, 41)
    with torch.no_grad():
        for sequence, found in zip(sequences, scores(module, collate, sequences), strict=True):
            (read,) = whole.reader.limited(None, "truncate").read([sequence]).pieces
            tokens = read.ids[before : before + read.tokens]
            states: list[list[Tensor]] = [[] for _ in tokens]
            for start in TokenWindows(room, 0.5, (), (), 0).starts(len(tokens)):
                own = tokens[start : start + room]
                ids = torch.tensor([[*whole.reader.prefix, *own, *whole.reader.suffix]])
                for token, state in enumerate(module._states(ids, None)[0, before : before + len(own)]):
                    states[start + token].append(state)
            assert (max(map(len, states)) > 1) == (len(tokens) > room)
            means = torch.stack([torch.stack(some).mean(0) for some in states])
            head: Any = module.head
            for base in range(len(sequence)):
                covering = [i for i in range(len(read.starts)) if read.starts[i] <= base < read.ends[i]]
                place = torch.tensor(base - read.starts[covering[0]])
                wanted = head(means[covering].mean(0), place)
                torch.testing.assert_close(found[base], wanted, rtol=1e-4, atol=1e-5)


def test_a_token_of_no_base_does_not_come_to_the_next_sequence() -> None:
    """As a tokenizer might put at the end: three bases have four tokens here."""
    ids, nothing = torch.tensor([[9, 1, 2, 3, 4, 9]] * 2), np.zeros(2, np.int64)
    windows = Windows(ids, None, np.array([0, 1]), nothing, nothing + 4)
    assert _slots(windows, 1, 3).tolist() == [[6, 0, 1, 2, 6, 6], [6, 3, 4, 5, 6, 6]]


def test_windows_change_nothing_where_sequences_fit(reference: Callable[[str], str]) -> None:
    module, collate, _ = network_of(reference("byte pairs"))
    whole = scores(module, collate, SEQUENCES)
    for found, wanted in zip(scores(module, collate.limited(None, "window", 0.25), SEQUENCES), whole, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_windows_of_bases_are_counted_and_their_work_is_that_of_all(reference: Callable[[str], str]) -> None:
    _, collate, _ = network_of(reference("bert"))
    windows = collate.limited(12, "window", 0.5)  # 10 bases a window, 5 apart
    assert windows.encode(_random(30, 4)).work.tolist() == [5 * 12, 6]
    notes = windows.notes(_random(30, 4, 10))
    assert (notes["in_windows"], notes["windows"], notes["tokens"]) == (1, 7, 44)


def test_the_reference_may_ask_for_windows(reference: Callable[[str], str]) -> None:
    _, collate, _ = network_of(f"{reference('bert')}?overflow=window")
    assert len(collate.encode(["A" * 70]).first) == 70


def test_a_network_that_knows_no_padding_wants_one_length() -> None:
    config = FNetConfig(
        vocab_size=9, hidden_size=8, num_hidden_layers=1, intermediate_size=8, pad_token_id=0, max_position_embeddings=9
    )
    module = PerBaseNetwork(FNetModel(config), 2).eval()
    ids, place = torch.full((1, 4), 5), torch.zeros(1, 4, dtype=torch.int64)
    assert module(ids, None, place, place, place).shape == (1, 4, 2)
    with pytest.raises(Unsupported, match="knows no padding"):
        module(ids, torch.tensor([[1, 1, 1, 0]]), place, place, place)


def test_notes_count_tokens(reference: Callable[[str], str]) -> None:
    _, collate, _ = network_of(reference("3-mers"))
    wanted = {"sequences": 2, "tokens": 5 + 2, "unknown_tokens": 3, "truncated": 0}
    assert collate.notes(["ACGNACG", "ACGT"]) == wanted
    assert collate.notes(["ACGTACG", "ANGT"]) == wanted | {"unknown_tokens": 2}


def test_more_sequences_than_are_read_at_a_time_keep_their_order(
    reference: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, collate, _ = network_of(reference("byte pairs"))
    whole, notes = collate.encode(SEQUENCES), collate.notes(SEQUENCES)
    np.testing.assert_array_equal(whole.bases, np.cumsum([0, *map(len, SEQUENCES)]))
    monkeypatch.setattr("glmbench.models.huggingface.per_base._CHUNK", 2)
    again = collate.encode(SEQUENCES)
    for name in ("values", "offsets", "bases", "first", "last", "place"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))
    assert collate.notes(SEQUENCES) == notes
