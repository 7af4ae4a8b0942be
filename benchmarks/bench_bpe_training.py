"""A BPE vocabulary from 500-bp pieces of a genome: against the tokenizers library, merges identical, CPU seconds."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from glmbench.genomes.fasta import read_contigs
from glmbench.sequences.alphabet import N, decode, encode_batch
from glmbench.sequences.markov import fit_markov, sample_markov
from glmbench.sequences.typing import Codes
from glmbench.tokenizers.bpe import DNABERT2_SPECIALS, BPETokenizer
from glmbench.tokenizers.bpe_training import train_bpe
from harness import Measurement, race

SIZE, PIECES, PIECE, MIN_FREQUENCY, SEED = 4_096, 5_000, 500, 2, 0
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
GENOME = SHARED_DATA / "genomes" / "PRO" / "Escherichia_coli_K12_MG1655.fna.gz"


def measure() -> Measurement:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one thread; several would cost the library more CPU seconds
    pieces, source = genome_pieces(PIECES)
    texts = [decode(piece) for piece in pieces]

    def ours() -> BPETokenizer:
        return train_bpe(encode_batch(texts), SIZE, min_frequency=MIN_FREQUENCY)

    def theirs() -> Tokenizer:
        library = Tokenizer(models.BPE(unk_token="[UNK]"))
        library.pre_tokenizer = pre_tokenizers.Whitespace()
        trainer = trainers.BpeTrainer(
            vocab_size=SIZE,
            min_frequency=MIN_FREQUENCY,
            special_tokens=list(DNABERT2_SPECIALS),
            initial_alphabet=list("ACGT"),
            show_progress=False,
        )
        library.train_from_iterator(texts, trainer)
        return library

    mine, model = ours(), json.loads(theirs().to_str())["model"]
    assert [list(merge) for merge in mine.merges] == model["merges"]
    assert {token: i for i, token in enumerate(mine.vocabulary)} == model["vocab"]
    return race(
        "bpe_training",
        ours,
        theirs,
        amount=pieces.size / 1e6,
        unit="Mbp/CPU-s",
        what_is_theirs=f"tokenizers BpeTrainer(vocab_size={SIZE}, min_frequency={MIN_FREQUENCY}), one thread",
        rounds=3,
        note=f"{len(pieces)} pieces of {PIECE} bp of {source}, from strings; {len(mine.merges)} merges, identical",
        clock=time.process_time,
    )


def genome_pieces(most: int) -> tuple[Codes, str]:
    """Pieces without N of a real genome where the data lie beside the checkout, else of a simulated one; its name."""
    if GENOME.is_file():
        codes = np.concatenate([contig.codes for contig in read_contigs(GENOME)])
        source = "E. coli MG1655"
    else:
        rng = np.random.default_rng(SEED)
        model = fit_markov(rng.integers(0, 4, size=2_000, dtype=np.uint8), 3)
        codes, source = sample_markov(model, 1, most * PIECE, rng)[0], "a simulated genome (Markov chain of order 3)"
    pieces = codes[: codes.size // PIECE * PIECE].reshape(-1, PIECE)
    return pieces[(pieces != N).all(axis=1)][:most], source
