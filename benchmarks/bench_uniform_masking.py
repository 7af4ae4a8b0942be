"""Uniform masking of a batch, against transformers' collator."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import torch

from glmbench.pretraining.objectives.corruption import Corruption
from glmbench.pretraining.objectives.objective import MaskingObjective
from glmbench.pretraining.objectives.uniform import UniformMasking
from glmbench.tokenizers.tokenizer import SpecialTokens, Tokens, with_ends
from harness import Measurement, race

K, ROWS, LENGTH, RATE = 6, 256, 512, 0.15
NAMES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SPECIAL = SpecialTokens(unknown=1, cls=2, sep=3, pad=0, mask=4)
VOCABULARY = len(NAMES) + 4**K


def random_tokens(seed: int) -> Tokens:
    """Overlapping 6-mers of random bases, 512 tokens a row with [CLS] and [SEP]."""
    inner = LENGTH - 2
    bases = np.random.default_rng(seed).integers(0, 4, (ROWS, inner + K - 1))
    ids = sum(bases[:, j : j + inner] * 4 ** (K - 1 - j) for j in range(K)) + len(NAMES)
    starts = np.tile(np.arange(inner, dtype=np.int32), ROWS)
    offsets = np.arange(ROWS + 1, dtype=np.int64) * inner
    return with_ends(Tokens(ids.reshape(-1).astype(np.int32), offsets, starts, starts + K), SPECIAL)


def collator() -> Any:
    """Transformers' own, over a tokenizer of the same vocabulary."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast

    words = [*NAMES, *("".join(kmer) for kmer in product("ACGT", repeat=K))]
    model = WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(model),
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    return DataCollatorForLanguageModeling(tokenizer, mlm=True, mlm_probability=RATE)


def race_collator(name: str, objective: MaskingObjective) -> Measurement:
    """One batch masked by the objective and by the collator, from lists of ids as its users have them."""
    tokens, rng, theirs = random_tokens(0), np.random.default_rng(0), collator()
    features = [{"input_ids": row.tolist()} for row in tokens.ids.reshape(ROWS, LENGTH)]
    hidden = len(objective.mask(tokens, rng).positions) / (ROWS * (LENGTH - 2))
    labelled = (theirs(features)["labels"] != -100).sum().item() / (ROWS * (LENGTH - 2))
    assert abs(labelled - RATE) < 0.01, f"the collator hides {labelled:.3f} of the tokens"
    ready = torch.from_numpy(tokens.ids.astype(np.int64).reshape(ROWS, LENGTH))
    ends = torch.from_numpy(np.isin(tokens.ids, SPECIAL.ids).reshape(ROWS, LENGTH))
    inner = _rate(lambda: theirs.torch_mask_tokens(ready.clone(), special_tokens_mask=ends))
    return race(
        name,
        lambda: objective.mask(tokens, rng),
        lambda: theirs(features),
        amount=ROWS * LENGTH,
        unit="tokens/s",
        what_is_theirs="transformers.DataCollatorForLanguageModeling on lists of ids",
        note=f"{ROWS} rows of {LENGTH} 6-mers, one thread; ours hides {hidden:.3f} of them, theirs {labelled:.3f}; "
        f"its torch_mask_tokens alone, on a ready tensor with its special-tokens mask: {inner:,.3g} tokens/s",
    )


def _rate(call: Callable[[], object], rounds: int = 7) -> float:
    call()
    seconds = []
    for _ in range(rounds):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return ROWS * LENGTH / statistics.median(seconds)


def measure() -> Measurement:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return race_collator("uniform_masking", UniformMasking(Corruption(SPECIAL, VOCABULARY), RATE))
    finally:
        torch.set_num_threads(threads)
