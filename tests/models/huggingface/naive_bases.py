"""What language models say of bases, one sequence at a time, in loops over tokens and vocabulary: slow and plain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

MARKED = ("[", "<")


def save_model(folder: Path, network: Any, tokenizer: Any, seed: int = 0) -> Path:
    """A checkpoint with weights that are large enough to tell inputs apart."""
    from glmbench.networks.quiet import quiet

    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.15 * torch.randn(parameter.shape))
    with quiet():
        network.eval().save_pretrained(folder)
    if hasattr(tokenizer, "save"):
        tokenizer.save(folder)
    else:
        tokenizer.save_pretrained(folder)
    return folder


class Naive:
    """A network of transformers and a tokenizer whose tokens spell what they stand for."""

    def __init__(self, network: Any, tokenizer: Any, kmer: int | None = None) -> None:
        self.network, self.tokenizer, self.kmer = network, tokenizer, kmer
        self.vocabulary = {index: token for token, index in tokenizer.get_vocab().items()}

    def tokens(self, text: str) -> tuple[list[int], list[tuple[int, int] | None]]:
        """Ids with special tokens, and the span of each, None of special ones."""
        joined = text
        if self.kmer:
            joined = " ".join(text[i : i + self.kmer] for i in range(len(text) - self.kmer + 1))
        ids = list(self.tokenizer(joined)["input_ids"])
        spans: list[tuple[int, int] | None] = []
        at = 0
        for index, token in enumerate(ids):
            name = self.vocabulary[token]
            unknown = token == self.tokenizer.unk_token_id
            if name.startswith(MARKED) and not unknown:
                spans.append(None)
                continue
            size = self.kmer or (1 if unknown else len(name))
            spans.append((at, at + size))
            at += 1 if self.kmer else size
            assert index or unknown or name
        return ids, spans

    @torch.inference_mode()
    def logits(self, ids: Sequence[int]) -> torch.Tensor:
        """Logits (tokens, vocabulary) of one row."""
        rows = torch.tensor([list(ids)])
        return self.network(input_ids=rows, attention_mask=torch.ones_like(rows)).logits[0].double()

    def at_place(self, logits: torch.Tensor, place: int) -> np.ndarray:
        """Probabilities of four bases at a place of a token."""
        p = torch.softmax(logits, 0)
        sums = np.zeros(4)
        for index, token in self.vocabulary.items():
            if not token.startswith(MARKED) and set(token) <= set("ACGT") and place < len(token):
                sums["ACGT".index(token[place])] += float(p[index])
        return sums / sums.sum()

    def masked(self, text: str, position: int) -> np.ndarray:
        """Probabilities (4,) of a hidden base: mean over all tokens that cover it, all of them masked."""
        ids, spans = self.tokens(text)
        covering = [i for i, span in enumerate(spans) if span and span[0] <= position < span[1]]
        mask = self.tokenizer.mask_token_id
        logits = self.logits([mask if i in covering else token for i, token in enumerate(ids)])
        return np.mean([self.at_place(logits[i], position - spans[i][0]) for i in covering], axis=0)

    def cut_four_times(self, text: str, position: int) -> np.ndarray:
        """The same where tokens depend on the bases."""
        own = [self.masked(text[:position] + base + text[position + 1 :], position)[i] for i, base in enumerate("ACGT")]
        return np.array(own) / np.sum(own)

    def amid_its_token(self, text: str, position: int) -> np.ndarray:
        """Probabilities (4,) of a base given the other bases of its one token."""
        ids, spans = self.tokens(text)
        (at,) = [i for i, span in enumerate(spans) if span and span[0] <= position < span[1]]
        place, name = position - spans[at][0], self.vocabulary[ids[at]]
        logits = self.logits([self.tokenizer.mask_token_id if i == at else token for i, token in enumerate(ids)])[at]
        names = self.tokenizer.get_vocab()
        p = torch.softmax(torch.stack([logits[names[name[:place] + base + name[place + 1 :]]] for base in "ACGT"]), 0)
        return p.numpy()

    def unmasked(self, text: str) -> np.ndarray:
        """Probabilities (length, 4) from one pass that hides nothing."""
        ids, spans = self.tokens(text)
        logits = self.logits(ids)
        said: list[list[np.ndarray]] = [[] for _ in text]
        for row, span in zip(logits, spans, strict=True):
            for base in range(*(span or (0, 0))):
                said[base].append(self.at_place(row, base - span[0]))
        return np.array([np.mean(each, axis=0) for each in said])
