"""`glmbench predict`: what a classifier or a regressor says of sequences."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glmbench.cli.options import AsJson, Offline, TrustRemoteCode
from glmbench.cli.own_files import Column, Genome, Input, ModelReference, Overflow, Step, TailOption, Window

Out = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", help="A table: .parquet, .tsv, .csv or .jsonl (also with .gz). Default: TSV to standard output."
    ),
]


def command(
    source: Input,
    model: ModelReference,
    out: Out = None,
    window: Window = None,
    step: Step = None,
    tail: TailOption = "keep",
    overflow: Overflow = None,
    genome: Genome = None,
    column: Column = None,
    trust_remote_code: TrustRemoteCode = False,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Ask a classifier or a regressor about sequences: a row for each, a column for each output.

    What `glmbench run` fitted and kept is -m fitted:STORE/ADDRESS. Of two or more classes the most probable one stands
    in the column `label`. A model that classifies bases gives a row for each. With --window the model goes along a
    genome: a row for each window.
    """
    from glmbench.cli.own_files import load, records_of, say_done, to_standard_output, written
    from glmbench.inference import answers
    from glmbench.inference.capabilities import cannot
    from glmbench.inference.driving import CHUNK
    from glmbench.inference.records import in_chunks
    from glmbench.inference.sinks import TABLE_ENDINGS, ending_of, write_table
    from glmbench.models.model import Predicts, PredictsEachBase

    if out is not None:
        ending_of(out, TABLE_ENDINGS)
    opened, records = records_of(source, genome, column, window, step, tail)
    loaded = load(model, trust_remote_code=trust_remote_code, offline=offline, overflow=overflow)
    if isinstance(loaded, PredictsEachBase):
        answer = answers.predict_bases(loaded, located=opened.located)
    elif isinstance(loaded, Predicts):
        answer = answers.predict(loaded, located=opened.located)
    else:
        raise cannot(loaded, "predict: it has no trained outputs")
    chunks = in_chunks(records, CHUNK)
    if out is None:
        done = to_standard_output(loaded, chunks, answer, answers.ROWS, as_json=as_json, total=opened.total)
    else:
        target = out
        done = written(
            target,
            {"verb": "predict", "chunk": CHUNK},
            loaded,
            chunks,
            answer,
            lambda parts: write_table(parts.tables(answers.ROWS), target),
            total=opened.total,
        )
    say_done(done, loaded, out, as_json)
