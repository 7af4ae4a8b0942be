"""Embedding sequences of mixed lengths by a 12 x 768 encoder: against padded batches of the same network, CPU seconds.

Padded to 512 and padded to the longest of 16 in the order they come are what scripts do; tokenizing and pooling are in
every figure. What is multiplied at all is held against the rate of the matrix products alone.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel

from bench_bpe_encoding import RELEASED
from bench_bpe_training import genome_pieces
from glmbench.models.huggingface.encoder import HuggingFaceModel
from glmbench.models.registry import load
from glmbench.networks.dnabert2 import DNABERT2Model
from glmbench.networks.dnabert2_config import DNABERT2Config
from glmbench.networks.quiet import quiet
from glmbench.tokenizers.bpe import BPETokenizer
from glmbench.tokenizers.bpe_training import train_bpe
from glmbench.training.precision import Precision, fast_bf16, resolve
from harness import Measurement

SEQUENCES, PADDED, BATCH, LONGEST, MEAN, SEED, ROUNDS = 32, 4, 16, 512, 97, 0, 2
DIM, WIDE, LAYERS = 768, 3072, 12
ROWS = 2_048
BERT_SHAPES = [(DIM, DIM)] * 4 + [(DIM, WIDE), (WIDE, DIM)]
DNABERT2_SHAPES = [(DIM, 3 * DIM), (DIM, DIM), (DIM, 2 * WIDE), (WIDE, DIM)]
"""Inputs and outputs of the linear layers of one layer."""
CPU = torch.device("cpu")
Clocked = Callable[[], object]


def measure() -> list[Measurement]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on a shared machine two threads wait for each other, and the ratio is theirs
    try:
        with tempfile.TemporaryDirectory() as folder:
            return _measure(Path(folder))
    finally:
        torch.set_num_threads(threads)


def _measure(folder: Path) -> list[Measurement]:
    vocabulary = _save_tokenizer(folder / "bert")
    _save_tokenizer(folder / "dnabert2")
    sizes = {"vocab_size": vocabulary, "pad_token_id": 3}
    torch.manual_seed(SEED)
    with quiet():
        BertModel(BertConfig(**sizes), add_pooling_layer=False).save_pretrained(folder / "bert")
        DNABERT2Model(DNABERT2Config(**sizes), add_pooling_layer=False).save_pretrained(folder / "dnabert2")
    ours, dnabert2 = _loaded(f"hf:{folder}/bert"), _loaded(f"hf:{folder}/dnabert2")
    theirs = Theirs(folder / "bert")
    sequences, lengths = _sequences(theirs.tokenizer)

    padded, mixed = sequences[:PADDED], sequences
    candidates: dict[str, Clocked] = {
        "ours": lambda: ours.embed(sequences),
        "padded": lambda: theirs(padded, "max_length"),
        "mixed": lambda: theirs(mixed, "longest"),
        "products": _products(BERT_SHAPES),
        "dnabert2": lambda: dnabert2.embed(sequences),
        "its products": _products(DNABERT2_SHAPES),
    }
    with_bf16 = fast_bf16(CPU)
    if with_bf16:
        rough = _loaded(f"hf:{folder}/bert?precision=bf16")
        candidates["bf16"] = lambda: rough.embed(sequences)
    for model in (ours, dnabert2, *([rough] if with_bf16 else [])):
        model.embed(sequences[:1])  # how the network is run is found out at first
    seconds, results = _in_turns(candidates)

    features = np.asarray(results["ours"])
    difference = max(np.abs(features[:PADDED] - results["padded"]).max(), np.abs(features - results["mixed"]).max())
    assert difference < 1e-4, f"embeddings differ by {difference}"
    tokens = int(lengths.sum())
    rate = SEQUENCES / seconds["ours"]
    sizes_and_input = (
        f" of {LAYERS} layers and {DIM} features, {SEQUENCES} sequences with {tokens:,} tokens (mean "
        f"{lengths.mean():.0f}, longest {lengths.max()}), one thread, float32 products by "
        f"{'oneDNN' if resolve('fp32', CPU).matmul == 'medium' else 'the default library'} for both"
    )
    what = "BERT" + sizes_and_input
    unit, who = "sequences/CPU s", "transformers BertModel of the same weights (sdpa), mean over real tokens, "
    by_512, by_longest = PADDED / seconds["padded"], SEQUENCES / seconds["mixed"]
    note = f"{what}; embeddings differ by at most {difference:.1e}"
    return [
        Measurement("embedding", rate, by_512, rate / by_512, unit, who + f"rows padded to {LONGEST}", note),
        Measurement(
            "embedding_random_order", rate, by_longest, rate / by_longest, unit,
            who + f"batches of {BATCH} as they come, padded to their longest", note,
        ),
        _of_peak("embedding_of_peak", tokens, BERT_SHAPES, seconds["ours"], seconds["products"], what),
        _of_peak(
            "embedding_dnabert2_of_peak", tokens, DNABERT2_SHAPES, seconds["dnabert2"], seconds["its products"],
            "DNABERT-2's network" + sizes_and_input,
        ),
        *([_bf16(features, np.asarray(results["bf16"]), seconds, what)] if with_bf16 else []),
    ]  # fmt: skip


class Theirs:
    """What scripts do: batches of 16 in the order they come, padded by the tokenizer."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        with quiet():
            self.network = AutoModel.from_pretrained(folder, add_pooling_layer=False).eval()
        self.precision = resolve("fp32", CPU)

    def __call__(self, sequences: Sequence[str], padding: str) -> NDArray[np.float32]:
        """Mean over the tokens between [CLS] and [SEP], (batch, dim)."""
        parts = []
        for start in range(0, len(sequences), BATCH):
            inputs = self.tokenizer(
                sequences[start : start + BATCH], padding=padding, max_length=LONGEST, truncation=True,
                return_tensors="pt", return_token_type_ids=False,
            )  # fmt: skip
            with torch.inference_mode(), self.precision.matmuls():
                states = self.network(**inputs).last_hidden_state
            of_bases = inputs["attention_mask"].clone()
            of_bases.scatter_(1, inputs["attention_mask"].sum(1, keepdim=True) - 1, 0)
            of_bases[:, 0] = 0
            parts.append((states * of_bases[:, :, None]).sum(1) / of_bases.sum(1, keepdim=True))
        found: NDArray[np.float32] = torch.cat(parts).numpy()
        return found


def _save_tokenizer(folder: Path) -> int:
    """DNABERT-2's released tokenizer where it lies beside the checkout, else one trained here; its size."""
    tokenizer = BPETokenizer.from_file(RELEASED) if RELEASED.is_file() else train_bpe(genome_pieces(5_000)[0], 4_096)
    folder.mkdir()
    tokenizer.save(folder)
    return len(tokenizer.vocabulary)


def _loaded(reference: str) -> HuggingFaceModel:
    model = load(reference)
    assert isinstance(model, HuggingFaceModel)
    return model


def _sequences(tokenizer: Any) -> tuple[list[str], NDArray[np.int64]]:
    """Random DNA in random order whose tokens, special ones included, are lognormal quantiles with a mean of 97."""
    rng, quantiles = np.random.default_rng(SEED), (np.arange(SEQUENCES) + 0.5) / SEQUENCES
    wanted = np.exp(4.4 + 0.6 * np.array([NormalDist().inv_cdf(share) for share in rng.permutation(quantiles)]))
    wanted = np.clip(wanted * MEAN / wanted.mean(), 16, LONGEST)
    bases = "".join(rng.choice(list("ACGT"), 20_000))
    a_token = len(bases) / len(tokenizer(bases, verbose=False)["input_ids"])
    sequences = ["".join(rng.choice(list("ACGT"), int((count - 2) * a_token))) for count in wanted]
    return sequences, np.array([len(row) for row in tokenizer(sequences)["input_ids"]])


def _products(shapes: list[tuple[int, int]]) -> Clocked:
    """The linear layers of one layer alone, on as many rows as a batch has tokens."""
    inputs = {width: torch.randn(ROWS, width) for width, _ in shapes}
    weights = [(torch.randn(out, width), torch.randn(out)) for width, out in shapes]
    precision: Precision = resolve("fp32", CPU)

    def run() -> None:
        with torch.inference_mode(), precision.matmuls():
            for weight, bias in weights:
                functional.linear(inputs[weight.shape[1]], weight, bias)

    return run


def _in_turns(candidates: dict[str, Clocked]) -> tuple[dict[str, float], dict[str, object]]:
    """Median CPU seconds of each candidate, timed in turns, and what it gave."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    results: dict[str, object] = {}
    for _ in range(ROUNDS):
        for name, candidate in candidates.items():
            begin = time.process_time()
            results[name] = candidate()
            seconds[name].append(time.process_time() - begin)
    return {name: statistics.median(spent) for name, spent in seconds.items()}, results


def _of_peak(
    name: str, tokens: int, shapes: list[tuple[int, int]], ours: float, products: float, what: str
) -> Measurement:
    """Useful work of the linear layers a second: of the whole of `embed`, and of the layers alone."""
    a_token = 2 * sum(width * out for width, out in shapes) / 1e9
    rate, peak = LAYERS * tokens * a_token / ours, ROWS * a_token / products
    return Measurement(
        name, rate, peak, rate / peak, "useful GFLOP/CPU s", f"functional.linear of the same shapes on {ROWS:,} rows",
        f"{what}; attention, norms, tokenizing and pooling count as nothing done",
    )  # fmt: skip


def _bf16(exact: NDArray[np.float32], rough: NDArray[np.float32], seconds: dict[str, float], what: str) -> Measurement:
    difference = np.abs(rough - exact)
    cosine = (rough * exact).sum(1) / np.linalg.norm(rough, axis=1) / np.linalg.norm(exact, axis=1)
    return Measurement(
        "embedding_bf16", SEQUENCES / seconds["bf16"], SEQUENCES / seconds["ours"], seconds["ours"] / seconds["bf16"],
        "sequences/CPU s", "glmbench in fp32",
        f"{what}; embeddings differ by {difference.max():.1e} at most and {difference.mean():.1e} on average, "
        f"at a mean size of {np.abs(exact).mean():.2f}; lowest cosine {cosine.min():.5f}",
    )  # fmt: skip
