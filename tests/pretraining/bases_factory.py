"""Hidden bases and a corpus without files, and tokenizers and networks whose every number is known."""

import numpy as np
import polars as pl
import torch

from glmbench.pretraining.bits_per_base import HiddenBases
from glmbench.sequences.alphabet import encode_batch
from glmbench.tokenizers.tokenizer import SpecialTokens, Tokens

SPECIAL = SpecialTokens(unknown=0, cls=1, sep=2, pad=3, mask=4)


def hidden_bases(sequences, positions):
    """`positions`: one tuple a sequence."""
    windows = encode_batch(sequences)
    places = pl.DataFrame(
        {
            "shard": 0,
            "species": "toy",
            "contig": "one",
            "start": np.arange(len(sequences)) * 100_000,
            "end": np.arange(len(sequences)) * 100_000 + windows.lengths,
        }
    )
    window = np.repeat(np.arange(len(sequences)), [len(p) for p in positions])
    return HiddenBases(windows, places, window, np.concatenate([np.array(p, dtype=np.int64) for p in positions]))


class GreedyTokenizer:
    """The longest token that fits, from the left."""

    name, kind, overlap, special = "greedy", "bpe", 0, SPECIAL

    def __init__(self, *tokens):
        self.vocabulary = ("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]", *tokens)

    def encode(self, sequences):
        ids, starts, ends, offsets = [], [], [], [0]
        for i in range(len(sequences)):
            text = "".join("ACGT"[code] for code in sequences[i])
            at = 0
            while at < len(text):
                token = max((t for t in self.vocabulary[5:] if text.startswith(t, at)), key=len)
                ids.append(self.vocabulary.index(token))
                starts.append(at)
                at += len(token)
                ends.append(at)
            offsets.append(len(ids))
        as_int32 = [np.array(values, dtype=np.int32) for values in (ids, starts, ends)]
        return Tokens(as_int32[0], np.array(offsets), *as_int32[1:])

    def content_hash(self):
        return "-".join(self.vocabulary)


class ConstantNetwork:
    """Says the same of every token: the probabilities it was given. Remembers what it saw."""

    def __init__(self, probabilities):
        self.logits = torch.log(torch.tensor(probabilities)) + 3.0
        self.seen = []

    def packed_states(self, ids, packing, asked):
        self.seen.append(np.split(ids.numpy(), packing.offsets[1:-1].numpy()))
        return torch.zeros(len(asked), 1)

    def head(self, states):
        return self.logits.expand(len(states), -1)


class NeighbourNetwork:
    """Logits from the ids before and after a token in its own sequence."""

    def __init__(self, vocabulary, seed=0):
        self.table = torch.randn(2, vocabulary, vocabulary, generator=torch.Generator().manual_seed(seed))

    def packed_states(self, ids, packing, asked):
        neighbours = torch.zeros(len(ids), 2, dtype=torch.int64)
        for start, end in zip(packing.offsets[:-1].tolist(), packing.offsets[1:].tolist(), strict=True):
            neighbours[start + 1 : end, 0] = ids[start : end - 1]
            neighbours[start : end - 1, 1] = ids[start + 1 : end]
        return neighbours[asked]

    def head(self, states):
        return self.table[0, states[:, 0]] + self.table[1, states[:, 1]]
