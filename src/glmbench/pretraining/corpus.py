"""A corpus: genomes as memory-mapped base codes, what may be trained on and what is held out.

The folder holds `shards/00000 …` (one genome folder a source file, see `genomes.codes`), `training.parquet`,
`held_out.parquet` and `manifest.json`. It keeps bases, not tokens: crops begin at any base of either strand and are
tokenised when they are drawn, so one corpus serves every tokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from glmbench.errors import DataError
from glmbench.genomes.codes import Genome, build_genome, open_genome, read_alphabet_counts
from glmbench.genomes.sequence_files import as_fasta, sequence_files, without_endings
from glmbench.pretraining.held_out import STRETCH_SCHEMA, HeldOut, Shard, choose_held_out, subtract
from glmbench.sequences.alphabet import DEFAULT_POLICY, AlphabetCounts, AlphabetPolicy
from glmbench.sequences.typing import Codes
from glmbench.storage.atomic import atomic_folder
from glmbench.storage.hashing import sha256_file, sha256_json

FORMAT = 1
_SUSPICIOUS_IUPAC = 0.1
"""Share of ambiguity codes other than N above which letters are taken for amino acids: eight of them are both."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file of sequences.

    Attributes:
        path: FASTA or GenBank, plain, gzip or (FASTA only) bgzip.
        species: what tables call it; None for the file's name without endings.
    """

    path: Path
    species: str | None = None

    @property
    def name(self) -> str:
        """The species."""
        return self.species or without_endings(self.path.name)


@dataclass(frozen=True)
class Corpus:
    """An open corpus.

    Attributes:
        folder: where it is.
        manifest: what `manifest.json` says.
        shards: the genomes, one a source file; their codes are memory-mapped.
        training: stretches without N that may be trained on: shard (index), contig, start, end, 0-based half-open.
        held_out: stretches without N that are never trained on, in the same form.
    """

    folder: Path
    manifest: dict[str, Any]
    shards: tuple[Genome, ...]
    training: pl.DataFrame
    held_out: pl.DataFrame

    @property
    def species(self) -> tuple[str, ...]:
        """The species of each shard."""
        return tuple(file["species"] for file in self.manifest["files"])

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know about the sources."""
        return tuple(self.manifest["notes"])

    @property
    def training_bases(self) -> int:
        """Known bases that may be trained on."""
        return int((self.training["end"] - self.training["start"]).sum())

    def content_hash(self) -> str:
        """A hash of every base and of which are held out."""
        return str(self.manifest["content"])

    def codes(self, stretches: pl.DataFrame) -> Iterator[Codes]:
        """The codes of each stretch (a row of `training` or `held_out`), views into the files."""
        for shard, contig, start, end in stretches.iter_rows():
            yield self.shards[shard].fetch(contig, start, end)


def build_corpus(
    sources: Sequence[Path | Source],
    folder: Path,
    *,
    held_out: HeldOut = HeldOut(),
    policy: AlphabetPolicy = DEFAULT_POLICY,
) -> Corpus:
    """Read genomes into a corpus folder and open it; a folder built from the same input is opened as it is.

    Args:
        sources: files, or folders whose FASTA and GenBank files are all taken. Their order does not matter.
        folder: appears whole or not at all.
        held_out: what is never trained on.
        policy: what happens to letters other than A, C, G, T.

    Raises:
        DataError: a file is malformed, has no known base, looks like protein, or holds the same sequences as another;
            everything would be held out; or `folder` was built from something else.
        UsageError: there is no such file, or a folder holds none; a file is given twice; a name to hold out fits
            nothing.
    """
    files = _files(sources)
    request = describe_request(sources, held_out=held_out, policy=policy)
    if not folder.exists():
        with atomic_folder(folder) as temporary:
            _fill(temporary, files, request, held_out, policy)
    corpus = open_corpus(folder)
    if corpus.manifest["request"] != request:
        different = [key for key, value in request.items() if corpus.manifest["request"].get(key) != value]
        raise DataError(
            f"{folder} holds a corpus of other {', '.join(different)} than asked for (see its manifest.json); choose "
            "another folder or remove this one"
        )
    return corpus


def describe_request(
    sources: Sequence[Path | Source],
    *,
    held_out: HeldOut = HeldOut(),
    policy: AlphabetPolicy = DEFAULT_POLICY,
) -> dict[str, Any]:
    """All that decides a corpus, as plain values: hashes of its files, what is held out, the alphabet policy."""
    inputs = [_describe_input(source) for source in _files(sources)]
    return {"format": FORMAT, "inputs": inputs, "held_out": _plain(held_out), "policy": asdict(policy)}


def open_corpus(folder: Path) -> Corpus:
    """Open a corpus folder; the codes are memory-mapped, not read.

    Raises:
        DataError: the folder is no corpus, or a file in it is missing or changed.
    """
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder} is no corpus: {path.name} cannot be read ({error})") from error
    if not isinstance(manifest, dict) or "request" not in manifest or manifest["request"].get("format") != FORMAT:
        raise DataError(f"{path} is not a corpus manifest of format {FORMAT}; remove {folder} and build it again")
    for name, sha256 in manifest["tables"].items():
        if not (folder / name).is_file() or sha256_file(folder / name) != sha256:
            raise DataError(f"{folder / name} is missing or changed; remove {folder} and build it again")
    shards = tuple(open_genome(_shard(folder, index)) for index in range(len(manifest["files"])))
    training, held_out = (pl.read_parquet(folder / f"{name}.parquet") for name in ("training", "held_out"))
    return Corpus(folder, manifest, shards, training, held_out)


def _files(sources: Sequence[Path | Source]) -> list[Source]:
    given = [source if isinstance(source, Source) else Source(source) for source in sources]
    sequence_files(source.path for source in given)  # refuses what is named twice, by whatever paths
    files = [Source(path, source.species) for source in given for path in sequence_files([source.path])]
    return sorted(files, key=lambda source: (source.name, source.path.name))


def _describe_input(source: Source) -> dict[str, Any]:
    size, sha256 = source.path.stat().st_size, sha256_file(source.path)
    return {"name": source.path.name, "species": source.name, "bytes": size, "sha256": sha256}


def _plain(held_out: HeldOut) -> dict[str, Any]:
    names = {"contigs": sorted(held_out.contigs), "files": sorted(held_out.files)}
    return {**names, "fraction": held_out.fraction_in_blocks, "block": held_out.block, "seed": held_out.seed}


def _shard(folder: Path, index: int) -> Path:
    return folder / "shards" / f"{index:05d}"


def _fill(
    folder: Path, files: Sequence[Source], request: dict[str, Any], held_out: HeldOut, policy: AlphabetPolicy
) -> None:
    shards: list[Shard] = []
    records: list[dict[str, Any]] = []
    for index, source in enumerate(files):
        genome, counts, sha256 = _build_shard(source, _shard(folder, index), policy)
        same = [files[i].path for i, other in enumerate(shards) if other.sha256 == sha256]
        if same:
            raise DataError(f"{source.path} holds the same sequences as {same[0]}; give one of them only")
        stretches = _known(genome)
        shards.append(Shard(source.path.name, source.name, sha256, stretches, tuple(genome.contigs["name"].to_list())))
        letters = {**asdict(counts), "bases": counts.bases, "contigs": genome.contigs.height}
        known = int((stretches["end"] - stretches["start"]).sum())
        records.append({**request["inputs"][index], **letters, "known": known, "codes_sha256": sha256})
    taken = choose_held_out(shards, held_out)
    whole = [s.stretches.select(pl.lit(i, pl.Int64).alias("shard"), pl.all()) for i, s in enumerate(shards)]
    tables = {"training": subtract(pl.concat(whole), taken), "held_out": taken}
    if tables["training"].is_empty():
        raise DataError("nothing is left to train on: all known bases are held out; hold out less")
    for name, table in tables.items():
        table.write_parquet(folder / f"{name}.parquet")
    for index, record in enumerate(records):
        record["held_out"] = _bases_of(taken, index)
    manifest = {
        "request": request,
        "files": records,
        "notes": _notes(records),
        "bases": {name: _bases_of(table) for name, table in tables.items()},
        "tables": {f"{name}.parquet": sha256_file(folder / f"{name}.parquet") for name in tables},
        "content": sha256_json([[s.sha256 for s in shards], [list(map(list, t.rows())) for t in tables.values()]]),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _build_shard(source: Source, folder: Path, policy: AlphabetPolicy) -> tuple[Genome, AlphabetCounts, str]:
    with as_fasta(source.path) as fasta:
        genome = build_genome(fasta, folder, policy)
    counts = read_alphabet_counts(folder)
    if counts.iupac > _SUSPICIOUS_IUPAC * (counts.bases + counts.iupac):
        raise DataError(
            f"{source.path}: {counts.iupac} of {counts.bases + counts.iupac} letters are ambiguity codes such as R, Y, "
            "K or M; is this protein? A corpus is made of DNA"
        )
    if _known(genome).is_empty():
        why = f"all {counts.n} letters are N" if not counts.lower_case else "all letters are read as N"
        raise DataError(f"{source.path} has no known base ({why} under the policy {asdict(policy)}); leave it out")
    return genome, counts, sha256_file(folder / "codes.npy")


def _known(genome: Genome) -> pl.DataFrame:
    """Maximal stretches without N: contig, start, end."""
    contigs = genome.contigs.select(pl.lit(0, pl.Int64).alias("shard"), contig="name", start=pl.lit(0), end="length")
    runs = genome.n_runs.select(pl.lit(0, pl.Int64).alias("shard"), pl.all())
    return subtract(contigs.cast(pl.Schema(STRETCH_SCHEMA)), runs).drop("shard")


def _bases_of(stretches: pl.DataFrame, shard: int | None = None) -> int:
    part = stretches if shard is None else stretches.filter(pl.col("shard") == shard)
    return int((part["end"] - part["start"]).sum())


def _notes(records: Sequence[dict[str, Any]]) -> list[str]:
    notes: list[str] = []
    for record in records:
        letters = record["bases"] + record["n"] + record["iupac"]
        if record["lower_case"] == letters:
            notes.append(f"{record['name']}: all letters are lower case, so nothing is known of masked repeats")
        if record["iupac"]:
            notes.append(f"{record['name']}: {record['iupac']} ambiguity codes are read as N")
    return notes
