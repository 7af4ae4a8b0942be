"""BPE ids of 500-bp sequences: against the tokenizers library's fastest call, ids identical, CPU seconds.

Two vocabularies: one trained on the same genome, and DNABERT-2's released file where the data lie beside the checkout.
The figure is the lower ratio of the two.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np
from tokenizers import Encoding, Tokenizer

from bench_bpe_training import PIECE, SHARED_DATA, genome_pieces
from glmbench.sequences.alphabet import decode, encode_batch
from glmbench.tokenizers.bpe import BPETokenizer
from glmbench.tokenizers.bpe_training import train_bpe
from glmbench.tokenizers.tokenizer import Tokens
from harness import Measurement, race

SIZE, SEQUENCES = 4_096, 2_000
RELEASED = SHARED_DATA / "tokenizers" / "dnabert2" / "tokenizer.json"


def measure() -> Measurement:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one thread; several would cost the library more CPU seconds
    pieces, source = genome_pieces(10_000)
    texts = [decode(piece) for piece in pieces[-SEQUENCES:]]
    tokenizers = {f"{SIZE} tokens trained on it": train_bpe(pieces, SIZE)}
    if RELEASED.is_file():
        tokenizers["DNABERT-2's released file"] = BPETokenizer.from_file(RELEASED)
    figures = [_race(tokenizer, texts, f"{name}; {source}") for name, tokenizer in tokenizers.items()]
    lowest, *others = sorted(figures, key=lambda figure: figure.ratio)
    more = "".join(f"; {each.ratio:.1f}x on {each.note}" for each in others)
    return Measurement(
        name=lowest.name,
        ours=lowest.ours,
        theirs=lowest.theirs,
        ratio=lowest.ratio,
        unit=lowest.unit,
        what_is_theirs=lowest.what_is_theirs,
        note=f"{SEQUENCES} sequences of {PIECE} bp, from strings to ids and spans; {lowest.note}{more}",
    )


def _race(tokenizer: BPETokenizer, texts: list[str], note: str) -> Measurement:
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(Path(folder))
        library = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    library.normalizer = None  # the text is upper case: the library is spared what it need not do

    def ours() -> Tokens:
        return tokenizer.encode(encode_batch(texts))

    def theirs() -> list[Encoding]:
        return library.encode_batch_fast(texts, add_special_tokens=False)

    assert np.array_equal(np.concatenate([encoding.ids for encoding in theirs()]), ours().ids)
    return race(
        "bpe_encoding",
        ours,
        theirs,
        amount=sum(map(len, texts)) / 1e6,
        unit="Mbp/CPU-s",
        what_is_theirs="tokenizers Tokenizer.encode_batch_fast, one thread",
        note=note,
        clock=time.process_time,
    )
