"""How sequences and pairs come to a network that is fine-tuned, against what transformers does of the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import AutoTokenizer, BertForSequenceClassification

from glmbench.errors import DataError, Unsupported
from glmbench.models.huggingface.encoder import HuggingFaceModel
from glmbench.models.huggingface.pair_template import PairTemplate
from glmbench.models.huggingface.token_collate import TokenCollate, _fit_pair
from glmbench.models.huggingface.token_windows import TokenWindows
from glmbench.models.registry import load

CLS, SEP = 2, 3
IDS = dict(zip("ACGT", range(5, 9), strict=True))
PAIRS = [("ACGTTGCA", "TTGAC"), ("A", "CCGTA"), ("GATTACAGATT", "C"), ("ACGTTGCA", "TTGAG")]
Checkpoint = Callable[[str], Path]


def model(folder: Path, options: str = "") -> HuggingFaceModel:
    found = load(f"hf:{folder}{options}")
    assert isinstance(found, HuggingFaceModel)
    return found


def network_of(folder: Path, options: str = "", outputs: int = 2) -> tuple[nn.Module, TokenCollate]:
    module, collate = model(folder, options).trainable(outputs, seed=0)
    assert isinstance(collate, TokenCollate)
    return module.eval(), collate


def with_template(folder: Path, target: Path, pair: str) -> Path:
    """The same checkpoint with a tokenizer that was told how to join two sequences."""
    from tokenizers import processors

    shutil.copytree(folder, target)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair=pair, special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
    )
    tokenizer.save_pretrained(target)
    return target


@pytest.fixture(scope="module")
def bert(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose tokenizer joins pairs as BERT's does."""
    target = tmp_path_factory.mktemp("pairs") / "bert"
    return with_template(checkpoint("bert"), target, "[CLS] $A [SEP] $B:1 [SEP]:1")


def scores(module: nn.Module, collate: TokenCollate, sequences: Sequence[Any]) -> Tensor:
    encoded = collate.encode(sequences)
    with torch.inference_mode():
        found: Tensor = module(*collate.batch(encoded, np.arange(len(sequences))))
    return found


def spelled(ids: Tensor) -> list[str]:
    letters = {CLS: "[", SEP: "|", 0: ".", **{index: base for base, index in IDS.items()}}
    return ["".join(letters[index] for index in row) for row in ids.tolist()]


def oracle_of(folder: Path, module: nn.Module, outputs: int = 2) -> Any:
    """transformers' own network with the same weights."""
    oracle = BertForSequenceClassification.from_pretrained(folder, num_labels=outputs).eval()
    state = {name.removeprefix("network."): tensor for name, tensor in module.state_dict().items()}
    assert not oracle.load_state_dict(state, strict=False).unexpected_keys
    return oracle


def test_pairs_are_joined_with_token_types_and_padded(bert: Path) -> None:
    _, collate = network_of(bert)
    ids, mask, kinds, owners = collate.batch(collate.encode(PAIRS[:2]), np.arange(2))
    assert mask is not None
    assert kinds is not None
    assert owners is None
    assert spelled(ids) == ["[ACGTTGCA|TTGAC|", "[A|CCGTA|......."]
    assert mask.tolist() == [[1] * 16, [1] * 9 + [0] * 7]
    assert (kinds * mask).tolist() == [[0] * 10 + [1] * 6, [0] * 3 + [1] * 6 + [0] * 7]


def test_scores_of_pairs_are_those_of_the_tokenizer_s_own_encoding_in_transformers(bert: Path) -> None:
    module, collate = network_of(bert)
    first, second = zip(*PAIRS, strict=True)
    tokenizer = AutoTokenizer.from_pretrained(bert)
    inputs = tokenizer(list(first), list(second), padding=True, return_token_type_ids=True, return_tensors="pt")
    oracle = oracle_of(bert, module)
    with torch.inference_mode():
        wanted = oracle(**inputs).logits
        untyped = oracle(**{**inputs, "token_type_ids": torch.zeros_like(inputs["input_ids"])}).logits
    got = scores(module, collate, PAIRS)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)
    assert (got - untyped).abs().min() > 1e-4, "token types reach the network"
    together = scores(module, collate, ["".join(pair) for pair in PAIRS])
    assert (got - together).abs().min() > 1e-4, "a pair is not its concatenation"


def test_the_order_of_a_pair_and_its_company(bert: Path) -> None:
    module, collate = network_of(bert)
    whole = scores(module, collate, PAIRS)
    for row, pair in enumerate(PAIRS):
        torch.testing.assert_close(scores(module, collate, [pair])[0], whole[row], rtol=1e-4, atol=1e-5)
    turned = scores(module, collate, [pair[::-1] for pair in PAIRS])
    assert (turned - whole).abs().min() > 1e-4


def test_a_tokenizer_that_joins_nothing_between_two_gets_bert_s_form(bert: Path, checkpoint: Checkpoint) -> None:
    plain = checkpoint("bert")
    joined = AutoTokenizer.from_pretrained(plain)("ACG", "GT")["input_ids"]
    assert joined == [IDS[base] for base in "ACGGT"]
    module, collate = network_of(plain)
    assert collate.reader.pairs() == PairTemplate([CLS], [SEP], [SEP])
    torch.testing.assert_close(scores(module, collate, PAIRS), scores(*network_of(bert), PAIRS))


def test_a_form_of_its_own_is_kept(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = with_template(checkpoint("bert"), tmp_path / "roberta", "[CLS] $A [SEP] [SEP] $B [SEP]")
    _, collate = network_of(folder)
    ids, _, kinds, _ = collate.batch(collate.encode([("ACG", "GT")]), np.arange(1))
    assert spelled(ids) == ["[ACG||GT|"]
    assert ids[0].tolist() == AutoTokenizer.from_pretrained(folder)("ACG", "GT")["input_ids"]
    assert kinds is not None
    assert kinds.tolist() == [[0] * 6 + [1] * 3]


@pytest.mark.parametrize("kind", ["gpt2", "mistral"])
def test_a_tokenizer_without_anything_to_part_pairs_with_is_unsupported(kind: str, checkpoint: Checkpoint) -> None:
    module, collate = network_of(checkpoint(kind))
    with pytest.raises(Unsupported, match="pairs = 'concatenate'"):
        collate.encode(PAIRS)
    assert scores(module, collate, ["".join(pair) for pair in PAIRS]).shape == (4, 2)


@pytest.mark.parametrize("kind", ["dnabert2", "esm", "t5"])
def test_networks_of_other_kinds_take_pairs(kind: str, checkpoint: Checkpoint) -> None:
    module, collate = network_of(checkpoint(kind))
    whole = scores(module, collate, PAIRS)
    for row, pair in enumerate(PAIRS):
        torch.testing.assert_close(scores(module, collate, [pair])[0], whole[row], rtol=1e-4, atol=1e-5)
    assert (whole[0] - whole[3]).abs().max() > 1e-5, "the last base of the second sequence counts"


def kept_by(tokenizer: Any, first: int, second: int, room: int) -> tuple[int, int]:
    ids = tokenizer("A" * first, "C" * second, truncation="longest_first", max_length=room + 3)["input_ids"]
    return ids.count(IDS["A"]), ids.count(IDS["C"])


def test_the_longer_of_a_pair_gives_way_as_in_transformers(bert: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(bert)
    for first in range(1, 10):
        for second in range(1, 10):
            for room in range(2, 19):
                kept, wanted = _fit_pair(first, second, room), kept_by(tokenizer, first, second, room)
                halves = room % 2 == 1 and first + second > room and min(first, second) > room // 2
                if halves and first <= second:  # the odd token goes to one of them
                    assert sorted(kept) == sorted(wanted) == [room // 2, room // 2 + 1]
                else:
                    assert kept == wanted, (first, second, room)


@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 300))
def test_a_pair_fills_its_room_and_no_more(first: int, second: int, room: int) -> None:
    a, b = _fit_pair(first, second, room)
    assert a + b == min(first + second, room)
    assert 0 <= a <= first
    assert 0 <= b <= second
    assert abs(a - b) <= 1 or (a == first if a < b else b == second), "only the longer one gives way"


def test_long_pairs_are_refused_or_cut_from_the_longer_one(bert: Path) -> None:
    _, collate = network_of(bert)
    with pytest.raises(Unsupported, match=r"1 of 2 pairs have more than 12 tokens.*too_long"):
        collate.limited(12, None, 0.25).encode([("ACGTA", "ACGT"), ("ACGTACGT", "AC")])
    cut = collate.limited(12, "truncate", 0.25)
    encoded = cut.encode([("ACGTTTTTTTTT", "CCC"), ("GG", "ACGTACGTAAAA"), ("ACGTAC", "GGGGGGGG")])
    ids, mask, _, _ = cut.batch(encoded, np.arange(3))
    assert mask is None
    assert spelled(ids) == ["[ACGTTT|CCC|", "[GG|ACGTACG|", "[ACGT|GGGGG|"]
    with pytest.raises(Unsupported, match="pairs of sequences do not go in windows"):
        collate.limited(12, "window", 0.25).encode(PAIRS)


def test_limits_that_leave_nothing_or_are_beyond_the_model_are_refused(bert: Path) -> None:
    _, collate = network_of(bert)
    for length, problem in ((65, "max_length is 65 tokens, the model reads 64"), (2, "of which 2 are special ones")):
        with pytest.raises(Unsupported, match=problem):
            collate.limited(length, None, 0.25)
    assert collate.limited(None, None, 0.25).reader.context == 64
    assert collate.limited(3, "truncate", 0.25).encode(["ACGT"]).values.tolist() == [CLS, IDS["A"], SEP]


def test_a_sequence_without_tokens_is_an_error_alone_and_in_a_pair(bert: Path) -> None:
    _, collate = network_of(bert)
    with pytest.raises(DataError, match=r"sequence 1 .* has no token"):
        collate.encode(["ACG", ""])
    with pytest.raises(DataError, match=r"sequence 0 .* has no token"):
        collate.encode([("ACG", "")])


WINDOWS = st.tuples(st.integers(1, 400), st.integers(1, 40), st.floats(0, 0.95))


@given(WINDOWS)
def test_windows_cover_every_token_overlap_enough_and_are_the_fewest(drawn: tuple[int, int, float]) -> None:
    tokens, room, overlap = drawn
    starts = TokenWindows(room, overlap, before=(), after=(), pad=0).starts(tokens)
    assert starts[0] == 0
    assert starts[-1] == max(0, tokens - room), "the last one ends where the sequence ends"
    steps = np.diff(starts)
    longest = max(1, int(room * (1 - overlap)))
    assert (steps >= 1).all()
    assert (steps <= longest).all()
    assert (steps <= max(1, room)).all(), "no token is left out"
    assert tokens <= room or room + (len(starts) - 2) * longest < tokens, "one fewer would not do"
    assert not len(steps) or steps.max() - steps.min() <= 1, "evenly placed"


def in_windows(folder: Path, length: int, overlap: float) -> tuple[nn.Module, TokenCollate]:
    module, collate = network_of(folder)
    return module, collate.limited(length, "window", overlap)


@pytest.mark.parametrize("kind", ["bert", "dnabert2", "gpt2"])
def test_the_scores_of_a_long_sequence_are_the_mean_of_its_windows(kind: str, checkpoint: Checkpoint) -> None:
    long = "ACGTTGCATTAGCCGATACGGATCTTCAAGG"  # 31
    module, collate = in_windows(checkpoint(kind), 12, 0.5)
    special = len(collate.reader.prefix) + len(collate.reader.suffix)
    room = 12 - special
    starts = TokenWindows(room, collate.overlap, (), (), 0).starts(31)
    assert len(starts) > 3
    parts = torch.cat([scores(module, collate, [long[start : start + room]]) for start in starts])
    assert parts.std(dim=0).min() > 1e-5
    torch.testing.assert_close(scores(module, collate, [long])[0], parts.mean(0), rtol=1e-4, atol=1e-5)


def test_windows_of_a_batch_do_not_meet_and_padding_counts_for_nothing(checkpoint: Checkpoint) -> None:
    module, collate = in_windows(checkpoint("bert"), 12, 0.25)
    sequences = ["ACG", "ACGTTGCATTAGCCGATACGGATC", "GATTACAGAT", "TTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTC", "A"]
    encoded = collate.encode(sequences)
    ids, mask, kinds, owners = collate.batch(encoded, np.arange(5))
    assert mask is not None
    assert owners is not None
    assert kinds is None
    assert ids.shape[1] == 12
    assert owners.tolist() == sorted(owners.tolist())
    assert torch.bincount(owners).tolist() == [1, 3, 1, 5, 1]
    assert [mask[row].sum().item() for row in (0, -1)] == [5, 3]
    whole = scores(module, collate, sequences)
    for row, sequence in enumerate(sequences):
        torch.testing.assert_close(scores(module, collate, [sequence])[0], whole[row], rtol=1e-4, atol=1e-5)
    with torch.inference_mode():
        turned = module(*collate.batch(encoded, np.array([3, 0])))
    torch.testing.assert_close(turned, whole[[3, 0]], rtol=1e-4, atol=1e-5)


def test_sequences_that_fit_into_one_window_are_read_as_without_windows(checkpoint: Checkpoint) -> None:
    module, collate = in_windows(checkpoint("bert"), 12, 0.25)
    short = ["ACGTACGTAC", "ACG"]
    ids, _, _, owners = collate.batch(collate.encode(short), np.arange(2))
    assert owners is None
    assert spelled(ids) == ["[ACGTACGTAC|", "[ACG|......."]
    torch.testing.assert_close(scores(module, collate, short), scores(*network_of(checkpoint("bert")), short))


def test_the_work_of_a_sequence_is_that_of_all_its_windows(checkpoint: Checkpoint) -> None:
    _, collate = in_windows(checkpoint("bert"), 12, 0.5)
    sequences = ["ACGT", "ACGTACGTAC", "ACGTACGTACGT", "ACGTACGTACGTACGTACGTACGTA"]
    encoded = collate.encode(sequences)
    ids = [collate.batch(encoded, np.array([row]))[0] for row in range(4)]
    assert encoded.work.tolist() == [rows.numel() for rows in ids] == [6, 12, 24, 48]
    plain = network_of(checkpoint("bert"))[1].encode(sequences)
    assert plain.work.tolist() == plain.lengths.tolist() == [6, 12, 14, 27]


def test_gradients_of_windows_reach_the_network_as_their_mean(checkpoint: Checkpoint) -> None:
    long, room = "ACGTTGCATTAGCCGATACG", 10
    module, collate = in_windows(checkpoint("bert"), 12, 0.25)
    module(*collate.batch(collate.encode([long]), np.arange(1))).sum().backward()
    got = {name: parameter.grad.clone() for name, parameter in module.named_parameters() if parameter.grad is not None}
    module.zero_grad()
    starts = TokenWindows(room, collate.overlap, (), (), 0).starts(20)
    for start in starts:
        piece = collate.batch(collate.encode([long[start : start + room]]), np.arange(1))
        (module(*piece).sum() / len(starts)).backward()
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(got.get(name), parameter.grad, rtol=1e-3, atol=1e-5)


def test_notes_count_what_was_cut(checkpoint: Checkpoint) -> None:
    _, collate = network_of(checkpoint("bert"))
    sequences = ["ACGT", "ACGTACGTACGTNN", "ACGTACGTAC", "ACGTACGTACGTACGTACGTACGTA"]  # 4, 14, 10, 25
    assert collate.limited(12, "truncate", 0.25).notes(sequences) == {
        "sequences": 4,
        "tokens": 53,
        "unknown_tokens": 2,
        "truncated": 2,
        "truncated_share": 0.5,
        "cut_tokens": 4 + 15,
    }
    assert collate.notes(sequences)["truncated"] == 0
    assert collate.notes([]) == {
        "sequences": 0, "tokens": 0, "unknown_tokens": 0, "truncated": 0, "truncated_share": 0.0, "cut_tokens": 0,
    }  # fmt: skip


def test_notes_count_windows(checkpoint: Checkpoint) -> None:
    _, collate = in_windows(checkpoint("bert"), 12, 0.5)
    sequences = ["ACGT", "ACGTACGTACGT", "ACGTACGTACGTACGTACGTACGTA"]
    notes = collate.notes(sequences)
    _, _, _, owners = collate.batch(collate.encode(sequences), np.arange(3))
    assert owners is not None
    assert torch.bincount(owners).tolist() == [1, 2, 4]
    assert (notes["in_windows"], notes["windows"]) == (2, 7)
    assert (notes["truncated"], notes["truncated_share"], notes["cut_tokens"]) == (0, 0.0, 0)
    assert notes["tokens"] == 4 + 12 + 25


def test_notes_of_pairs_count_both_and_what_did_not_fit(bert: Path) -> None:
    _, collate = network_of(bert)
    pairs = [("ACGTA", "ACGT"), ("ACGTACGTN", "ACN"), ("A", "ACGTACGTAA")]  # 9, 12 and 11 of 9
    notes = collate.limited(12, "truncate", 0.25).notes(pairs)
    assert (notes["sequences"], notes["tokens"], notes["unknown_tokens"]) == (3, 32, 2)
    assert (notes["truncated"], notes["truncated_share"], notes["cut_tokens"]) == (2, 2 / 3, 3 + 2)
    assert collate.notes(pairs)["truncated"] == 0


def test_more_sequences_than_are_read_at_a_time_keep_their_order(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, collate = network_of(bert)
    singles, pairs = [a + b for a, b in PAIRS], list(PAIRS)
    whole = [collate.encode(singles), collate.encode(pairs)]
    noted = [collate.notes(singles), collate.notes(pairs)]
    monkeypatch.setattr("glmbench.models.huggingface.token_collate.CHUNK", 3)
    for given_, before, notes in zip((singles, pairs), whole, noted, strict=True):
        again = collate.encode(given_)
        np.testing.assert_array_equal(again.values, before.values)
        np.testing.assert_array_equal(again.offsets, before.offsets)
        if before.second is not None:
            np.testing.assert_array_equal(again.second, before.second)
        assert collate.notes(given_) == notes
