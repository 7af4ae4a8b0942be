"""GenBank flat files: their sequences as FASTA, for the fast reader. Annotations are left alone."""

from __future__ import annotations

import gzip
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from glmbench.errors import DataError
from glmbench.genomes.fasta import compression_of


def write_genbank_as_fasta(genbank: Path, fasta: Path) -> None:
    """Write the sequence of every record of a GenBank file (plain or gzip), named by accession and version.

    Raises:
        DataError: not GenBank, truncated, or a record without its sequence (a `CONTIG` line instead of `ORIGIN`).
    """
    from Bio import BiopythonParserWarning, SeqIO
    from Bio.Seq import UndefinedSequenceError

    parse: Callable[..., Any] = SeqIO.parse  # it is not typed
    opened = open if compression_of(genbank) == "none" else gzip.open
    records = 0
    try:
        with warnings.catch_warnings(), opened(genbank, "rt") as text, fasta.open("w", encoding="utf-8") as out:
            warnings.simplefilter("ignore", BiopythonParserWarning)  # on annotations, which are not read
            warnings.filterwarnings("error", "Premature end", BiopythonParserWarning)
            for record in parse(text, "genbank"):
                out.write(f">{record.id} {record.description}\n{record.seq}\n")
                records += 1
    except UndefinedSequenceError:
        raise DataError(
            f"{genbank}: record {record.id} has no sequence; get the full GenBank record, or FASTA"
        ) from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{genbank} is truncated or corrupt gzip: {error}; get it again") from error
    except (ValueError, BiopythonParserWarning) as error:
        raise DataError(f"{genbank} is not a whole GenBank file: {error}; get it again") from error
    if not records:
        raise DataError(f"{genbank} is not GenBank: it has no record (a line that starts with LOCUS)")
