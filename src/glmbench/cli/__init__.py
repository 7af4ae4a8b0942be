"""The command line: one file per verb, imports inside the command.

Exit codes: 0 all went well, 1 a job or a check of something failed, 2 the request could not be understood.
"""

from __future__ import annotations

import errno
import os
import sys
import warnings

import typer

from glmbench.cli import (
    check,
    cite,
    compare,
    doctor,
    embed,
    env,
    get,
    impute,
    ls,
    npmi,
    plan,
    predict,
    pretrain,
    report,
    run,
    score,
    score_variants,
    show,
    simulate,
    tokenizer,
)
from glmbench.errors import GlmbenchError, UsageError

app = typer.Typer(
    help="Measure what genomic language models learned: on real tasks, beside controls, with paired statistics.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

for verb in (ls, show, get, check, plan, run, compare, report, cite, npmi, pretrain, simulate, doctor):
    app.command(verb.__name__.rpartition(".")[2])(verb.command)
for verb in (embed, score, impute, predict):
    app.command(verb.__name__.rpartition(".")[2])(verb.command)
app.command("score-variants")(score_variants.command)
app.add_typer(tokenizer.app, name="tokenizer")
app.add_typer(env.app, name="env")


def main() -> None:
    """The console script: errors meant for people are one line on standard error, without a trace."""
    # Threads that wait by spinning make training ten times slower as soon as another process wants the same core;
    # read when torch loads its OpenMP, so it stands here.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    warnings.formatwarning = _in_one_line
    try:
        app()
    except GlmbenchError as error:
        print(f"glmbench: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except BrokenPipeError:  # `glmbench ls | head`
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if error.filename is None and not full:
            raise
        what = error.filename or "a file cannot be written; make room and give the same command again"
        print(f"glmbench: {what}: {error.strerror}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("glmbench: interrupted; what is finished stays, the same command goes on", file=sys.stderr)
        sys.exit(130)


def _in_one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """A warning for people, without the line of code that gave it."""
    return f"glmbench: {message}\n"
