"""Random 500-bp windows of a genome on disk: against pyfaidx."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyfaidx

from glmbench.genomes.codes import build_genome
from glmbench.genomes.windows import Windows, random_windows
from glmbench.sequences.alphabet import decode
from glmbench.sequences.markov import fit_markov, sample_markov
from harness import Measurement, race

CONTIGS, CONTIG_LENGTH, WINDOWS, WIDTH, LINE, SEED = 5, 3_000_000, 20_000, 500, 60, 0


def measure() -> Measurement:
    with tempfile.TemporaryDirectory() as folder:
        fasta = Path(folder) / "genome.fa"
        _write_genome(fasta)
        genome = build_genome(fasta, Path(folder) / "genome")
        reader = pyfaidx.Fasta(str(fasta), as_raw=True)

        def ours() -> Windows:
            return random_windows(genome, WIDTH, WINDOWS, np.random.default_rng(SEED))

        windows = ours()
        places = list(windows.intervals().iter_rows())

        def theirs() -> list[str]:
            return [reader[contig][start:end] for contig, start, end in places]

        assert theirs() == [decode(codes) for codes in windows.codes]
        return race(
            "genome_windows",
            ours,
            theirs,
            amount=WINDOWS,
            unit="windows/s",
            what_is_theirs="pyfaidx.Fasta(as_raw=True)[contig][start:end]",
            note=f"{WINDOWS} windows of {WIDTH} bp out of {CONTIGS * CONTIG_LENGTH} bp; ours draws the places too",
        )


def _write_genome(path: Path) -> None:
    rng = np.random.default_rng(SEED)
    model = fit_markov(rng.integers(0, 4, size=2_000, dtype=np.uint8), 3)
    with path.open("w") as file:
        for number, codes in enumerate(sample_markov(model, CONTIGS, CONTIG_LENGTH, rng)):
            bases = decode(codes)
            lines = (bases[start : start + LINE] for start in range(0, len(bases), LINE))
            file.write(f">contig{number}\n" + "\n".join(lines) + "\n")
