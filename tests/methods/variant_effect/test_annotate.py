from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pysam
import pytest
from filelock import FileLock

from glmbench.errors import DataError, UsageError
from glmbench.genomes.reference_genome import GenomeInMemory
from glmbench.genomes.variants import Region, Selection
from glmbench.methods.variant_effect.annotate import Summary, annotate
from glmbench.methods.variant_effect.definitions import settings_for
from glmbench.methods.variant_effect.score import score_variants
from glmbench.models.model import Model
from markov_stand_ins import Answering, Both, BothAndLikelihood, Left

RNG = np.random.default_rng(3)
CONTIGS = {name: "".join(RNG.choice(list("ACGT"), 400)) for name in ("a", "b")}
CONTIGS["a"] = CONTIGS["a"][:200] + "NNN" + CONTIGS["a"][203:]


def vcf_lines() -> list[str]:
    rows = []
    for name, sequence in CONTIGS.items():
        for start in [0, 1, 50, 51, 80, 195, 300, 398, 399]:
            ref = sequence[start]
            alts = ",".join(base for base in "ACGT" if base != ref)
            rows.append(
                f"{name}\t{start + 1}\trs{start}\t{ref}\t{alts}\t31.5\tPASS\tAF=0.1,0.25,0.5;OLD=x\tGT:Z\t0/1:7"
            )
        rows.append(f"{name}\t311\t.\t{sequence[310:314]}\t{sequence[310]},<DEL>,*\t.\tq10\t.\tGT:Z\t1/2:.")
        rows.append(f"{name}\t321\t.\t{sequence[320]}\t.\t.\t.\t.\tGT:Z\t./.:.")
        rows.append(f"{name}\t331\t.\t{sequence[330]}\t{sequence[330]}CC\t.\t.\t.\tGT:Z\t./.:.")
    return rows


@pytest.fixture
def files(tmp_path: Path) -> tuple[Selection, Path]:
    fasta = tmp_path / "genome.fa"
    fasta.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in CONTIGS.items()))
    header = '##fileformat=VCFv4.2\n##contig=<ID=a>\n##INFO=<ID=AF,Number=A,Type=Float,Description="frequency">\n'
    columns = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tone\n"
    (tmp_path / "in.vcf").write_text(header + columns + "\n".join(vcf_lines()) + "\n")
    return Selection(tmp_path / "in.vcf"), fasta


def run(model: Model, files: tuple[Selection, Path], out: Path, **options: object) -> Summary:
    annotating = {key: options.pop(key) for key in ("chunk", "prefix", "on_mismatch") if key in options}
    settings = settings_for(model, width=40, **options)
    return annotate(model, *files, out, settings, **{"chunk": 5, **annotating})


@pytest.mark.parametrize("name", ["out.vcf", "out.vcf.gz", "out.vcf.bgz"])
def test_what_is_written_is_what_score_variants_says(files: tuple[Selection, Path], tmp_path: Path, name: str) -> None:
    done = run(BothAndLikelihood(), files, tmp_path / name)
    alleles = [
        (record[0], int(record[1]) - 1, record[3], None if alt == "." else alt)
        for record in (line.split("\t") for line in vcf_lines())
        for alt in record[4].split(",")
    ]
    schema = {"contig": pl.String, "start": pl.Int64, "ref": pl.String, "alt": pl.String}
    variants = pl.DataFrame(alleles, schema=schema, orient="row")
    wanted = score_variants(BothAndLikelihood(), variants, GenomeInMemory(CONTIGS), width=40)
    rows = wanted.alleles.iter_rows(named=True)
    written = 0
    with pysam.VariantFile(str(tmp_path / name)) as file:
        assert file.header.info["GLM_LLR"].number == "A"
        assert [file.header.info[f"GLM_{x}"].type for x in ("LLR", "N", "STATUS")] == ["Float", "Integer", "String"]
        assert "ln p(alt) - ln p(ref)" in file.header.info["GLM_LLR"].description
        for record in file:
            for number in range(max(1, len(record.alts or ()))):
                row = next(rows)
                assert record.info["GLM_STATUS"][number] == row["status"]
                if row["status"] != "scored":
                    assert "GLM_LLR" not in record.info or record.info["GLM_LLR"][number] is None
                    continue
                assert record.info["GLM_MODE"][number] == row["mode"]
                assert record.info["GLM_WINDOW"][number] == f"{row['window_start'] + 1}-{row['window_end']}"
                assert record.info["GLM_N"][number] == row["window_n"]
                for score in ("llr", "abs_llr", "llr_per_entropy", "entropy"):
                    value = record.info.get(f"GLM_{score.upper()}", [None] * 9)[number]
                    assert (value is None) == (row[score] is None)
                    assert value is None or value == pytest.approx(row[score], rel=1e-5, abs=1e-6)
                    written += value is not None
    assert next(rows, None) is None
    assert written > 200
    assert done.scored == wanted.alleles.filter(status="scored").height == 58
    assert done.skipped == {"symbolic": 2, "spanning_deletion": 2, "missing": 2}
    assert done.modes == {"masked": 54, "likelihood": 4}
    assert (done.records, done.with_n, done.found) == (24, 3, 0)
    assert done.forwards == wanted.forwards
    assert not (tmp_path / f"{name}.part").exists()


def test_what_was_there_stays(files: tuple[Selection, Path], tmp_path: Path) -> None:
    """Records come out as htslib itself would write them, undefined tags and samples included, and scores are added."""
    run(Both(), files, tmp_path / "out.vcf")
    lines = [line for line in (tmp_path / "out.vcf").read_text().splitlines() if not line.startswith("#")]
    for before, after in zip(vcf_lines(), lines, strict=True):
        old, new = before.split("\t"), after.split("\t")
        assert new[:7] + new[8:] == old[:7] + old[8:]
        kept = [field for field in new[7].split(";") if not field.startswith("GLM_")]
        assert kept == ([] if old[7] == "." else old[7].split(";"))
    header = (tmp_path / "out.vcf").read_text()
    assert "##contig=<ID=b>" in header
    assert '##glmbench=<ID=GLM,Model="stand-in:chain",Fingerprint="chain",Modes="masked",Width="40"' in header


def test_parquet_holds_every_allele(files: tuple[Selection, Path], tmp_path: Path) -> None:
    run(Answering(outputs=()), files, tmp_path / "out.parquet")
    table = pl.read_parquet(tmp_path / "out.parquet")
    assert table.height == 64
    assert table["id"].drop_nulls()[0] == "rs0"
    assert table.filter(status="scored").select("difference_0", "difference_1").null_count().row(0) == (0, 0)


def test_a_file_scored_by_two_models(files: tuple[Selection, Path], tmp_path: Path) -> None:
    run(Both(), files, tmp_path / "one.vcf.gz", prefix="ONE")
    again = (Selection(tmp_path / "one.vcf.gz"), files[1])
    with pytest.raises(DataError, match=r"has INFO fields ONE_STATUS, .* already; choose another name by --prefix"):
        run(Left(), again, tmp_path / "two.vcf.gz", prefix="ONE")
    run(Left(), again, tmp_path / "two.vcf.gz", prefix="TWO")
    with pysam.VariantFile(str(tmp_path / "two.vcf.gz")) as file:
        first = next(iter(file))
        assert len(first.info["ONE_LLR"]) == len(first.info["TWO_LLR"]) == 3


class Interrupted(Both):
    """Stops at its third call."""

    calls = 0

    def fill(self, sequences: Sequence[str], positions: Sequence[int]) -> np.ndarray:
        self.calls += 1
        if self.calls == 3:
            raise KeyboardInterrupt
        return super().fill(sequences, positions)


def test_an_interrupted_run_goes_on(files: tuple[Selection, Path], tmp_path: Path) -> None:
    whole = run(Both(), files, tmp_path / "whole.vcf")
    with pytest.raises(KeyboardInterrupt):
        run(Interrupted(), files, tmp_path / "out.vcf")
    assert not (tmp_path / "out.vcf").exists()
    second = Both()
    done = run(second, files, tmp_path / "out.vcf")
    assert (done.found, done.scored, done.forwards) == (10, whole.scored, whole.forwards)
    assert 0 < second.passes < whole.forwards
    assert (tmp_path / "out.vcf").read_bytes() == (tmp_path / "whole.vcf").read_bytes()


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = sys.argv[1:3]
from markov_stand_ins import Both
from test_annotate import run
from glmbench.genomes.variants import Selection

class Killed(Both):
    calls = 0
    def fill(self, sequences, positions):
        self.calls += 1
        if self.calls == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().fill(sequences, positions)

folder = Path(sys.argv[3])
run(Killed(), (Selection(folder / "in.vcf"), folder / "genome.fa"), folder / "out.vcf.gz")
"""


def test_a_killed_run_goes_on(files: tuple[Selection, Path], tmp_path: Path) -> None:
    here = Path(__file__).parent
    words = [sys.executable, "-c", KILLED, str(here), str(here.parents[1]), str(tmp_path)]
    assert subprocess.run(words, env=os.environ).returncode == -signal.SIGKILL
    assert not (tmp_path / "out.vcf.gz").exists()
    done = run(Both(), files, tmp_path / "out.vcf.gz")
    assert done.found == 15
    run(Both(), files, tmp_path / "whole.vcf.gz")
    assert (tmp_path / "out.vcf.gz").read_bytes() == (tmp_path / "whole.vcf.gz").read_bytes()


def test_something_else_than_what_was_interrupted_is_refused(files: tuple[Selection, Path], tmp_path: Path) -> None:
    out = tmp_path / "out.vcf"
    with pytest.raises(KeyboardInterrupt):
        run(Interrupted(), files, out)
    with pytest.raises(UsageError, match=r"another request \(different: strands was forward, now is both\)"):
        run(Both(), files, out, strands="both")
    other = Both()
    other.card = other.card.model_copy(update={"fingerprint": "other"})
    with pytest.raises(UsageError, match="fingerprint was chain, now is other"):
        run(other, files, out)


def test_of_a_changed_file_the_changed_chunks_are_scored_anew(files: tuple[Selection, Path], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(Interrupted(), files, tmp_path / "out.vcf")
    files[0].vcf.write_text(files[0].vcf.read_text().replace("rs50", "rs5000"))
    done = run(Both(), files, tmp_path / "out.vcf")
    run(Both(), files, tmp_path / "whole.vcf")
    assert done.found == 5  # of the two chunks that were finished, the one without rs50
    assert (tmp_path / "out.vcf").read_bytes() == (tmp_path / "whole.vcf").read_bytes()


def test_one_process_writes_an_output(files: tuple[Selection, Path], tmp_path: Path) -> None:
    out = tmp_path / "out.vcf"
    with pytest.raises(KeyboardInterrupt):
        run(Interrupted(), files, out)
    model = Both()
    with FileLock(tmp_path / "out.vcf.part" / "lock"), pytest.raises(UsageError, match="another process is writing"):
        run(model, files, out)
    assert model.passes == 0


def test_no_file_is_replaced(files: tuple[Selection, Path], tmp_path: Path) -> None:
    """Not even by itself."""
    before, model = files[0].vcf.read_bytes(), Both()
    with pytest.raises(UsageError, match=r"in\.vcf exists already; choose another --out"):
        run(model, files, files[0].vcf)
    assert files[0].vcf.read_bytes() == before
    assert model.passes == 0


@pytest.mark.parametrize("change", ["moved", "fewer", "more"])
def test_a_file_that_changes_meanwhile(files: tuple[Selection, Path], tmp_path: Path, change: str) -> None:
    """No score is put on another record than its own."""
    vcf = files[0].vcf
    before = vcf.read_text()
    last = vcf_lines()[-1] + "\n"
    after = {"moved": before.replace("a\t51\t", "a\t52\t"), "fewer": before.removesuffix(last), "more": before + last}

    class Changing(Both):
        def fill(self, sequences: Sequence[str], positions: Sequence[int]) -> np.ndarray:
            vcf.write_text(after[change])
            return super().fill(sequences, positions)

    with pytest.raises(DataError, match=r"in\.vcf changed while it was scored"):
        run(Changing(), files, tmp_path / "out.vcf", chunk=100)
    assert not (tmp_path / "out.vcf").exists()


@pytest.mark.parametrize(
    ("outputs", "wanted"),
    [
        (("a b", "a_b"), ["GLM_DIFFERENCE_A_B", "GLM_DIFFERENCE_A_B_2"]),
        (("süß", "x²"), ["GLM_DIFFERENCE_S__", "GLM_DIFFERENCE_X_"]),
        (("same", "same"), ["GLM_DIFFERENCE_0", "GLM_DIFFERENCE_1"]),
    ],
)
def test_fields_of_outputs_have_names_of_their_own(
    files: tuple[Selection, Path], tmp_path: Path, outputs: tuple[str, ...], wanted: list[str]
) -> None:
    run(Answering(outputs=outputs), files, tmp_path / "out.vcf")
    run(Answering(outputs=()), files, tmp_path / "plain.vcf")
    with pysam.VariantFile(str(tmp_path / "out.vcf")) as file, pysam.VariantFile(str(tmp_path / "plain.vcf")) as plain:
        assert [name for name in file.header.info if "DIFFERENCE" in name] == wanted
        for record, other in zip(file, plain, strict=True):
            for number, name in enumerate(wanted):
                assert record.info.get(name) == other.info.get(f"GLM_DIFFERENCE_{number}")


def test_nothing_is_scored_where_a_ref_mismatches(files: tuple[Selection, Path], tmp_path: Path) -> None:
    wrong = "C" if CONTIGS["b"][20] != "C" else "G"
    with files[0].vcf.open("a") as file:
        file.write(f"b\t21\t.\t{wrong}\tT\t.\t.\t.\tGT:Z\t./.:.\nchr7\t5\t.\tA\tC\t.\t.\t.\tGT:Z\t./.:.\n")
    model = Both()
    with pytest.raises(
        DataError, match=rf"at 2 of 26 variants: b:21 REF {wrong}, genome .*chr7:5 REF A, no such contig"
    ):
        run(model, files, tmp_path / "out.vcf")
    assert model.passes == 0
    done = run(model, files, tmp_path / "out.vcf", on_mismatch="skip")
    assert (done.skipped["ref_mismatch"], done.skipped["no_such_contig"]) == (1, 1)
    with pysam.VariantFile(str(tmp_path / "out.vcf")) as file:
        assert [record.info["GLM_STATUS"] for record in file][-2:] == [("ref_mismatch",), ("no_such_contig",)]


def test_regions_and_limits_select_records(files: tuple[Selection, Path], tmp_path: Path) -> None:
    vcf = files[0].vcf
    done = run(Both(), (Selection(vcf, Region("b", 40, 100)), files[1]), tmp_path / "out.vcf")
    assert done.records == 3
    assert run(Both(), (Selection(vcf, limit=2), files[1]), tmp_path / "two.vcf").records == 2
    with pytest.raises(DataError, match="has no variants in this region"):
        run(Both(), (Selection(vcf, Region("b", 5, 8)), files[1]), tmp_path / "none.vcf")


def test_an_empty_genome_is_said(
    files: tuple[Selection, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty.fa"
    empty.touch()
    with pytest.raises(DataError, match=r"empty\.fa is empty; a FASTA file was wanted"):
        run(Both(), (files[0], empty), tmp_path / "out.vcf")
    assert capfd.readouterr().err == ""


def test_an_output_that_cannot_be_written_is_refused_first(files: tuple[Selection, Path], tmp_path: Path) -> None:
    model = Both()
    with pytest.raises(UsageError, match=r"want a name that ends in \.vcf, \.vcf\.gz"):
        run(model, files, tmp_path / "out.txt")
    with pytest.raises(UsageError, match=r"/proc/version/out\.vcf cannot be written: .* choose another --out"):
        run(model, files, Path("/proc/version/out.vcf"))
    assert model.passes == 0
