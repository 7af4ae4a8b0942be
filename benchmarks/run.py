"""Run the benchmarks and keep their figures: `python benchmarks/run.py [--only NAME] [--out FILE]`."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from glmbench.errors import Unsupported
from glmbench.storage.atomic import write_text
from harness import Measurement

FOLDER = Path(__file__).parent
PREFIX = "bench_"


def main() -> None:
    names = sorted(path.stem.removeprefix(PREFIX) for path in FOLDER.glob(f"{PREFIX}*.py"))
    parser = argparse.ArgumentParser(description="Time glmbench beside what a user would do without it.")
    parser.add_argument("--only", metavar="NAME", choices=names, help=f"one of {', '.join(names)}; all when not given")
    parser.add_argument("--out", type=Path, default=FOLDER / "results.json", help="a list of figures; others are kept")
    arguments = parser.parse_args()
    measurements = []
    for name in [arguments.only] if arguments.only else names:
        try:
            measured = importlib.import_module(f"{PREFIX}{name}").measure()
        except Unsupported as reason:
            Console(stderr=True).print(f"{name} left out: {reason}")
            continue
        for measurement in measured if isinstance(measured, list) else [measured]:
            save(arguments.out, measurement)
            measurements.append(measurement)
    Console(width=None if sys.stdout.isatty() else 160, markup=False).print(table(measurements))


def save(out: Path, measurement: Measurement) -> None:
    """Put one measurement in the place of the one of its name; the others in the file stay."""
    kept = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else []
    entries = {entry["name"]: entry for entry in kept} | {measurement.name: asdict(measurement)}
    write_text(out, json.dumps([entries[name] for name in sorted(entries)], indent=1) + "\n")


def table(measurements: list[Measurement]) -> Table:
    shown = Table("benchmark", "ours", "theirs", "ratio", "unit", "what is theirs", title="Benchmarks")
    for column in (1, 2, 3):
        shown.columns[column].justify = "right"
    for each in measurements:
        figures = (f"{each.ours:,.3g}", f"{each.theirs:,.3g}", f"{each.ratio:.1f}x")
        shown.add_row(each.name, *figures, each.unit, each.what_is_theirs)
    return shown


if __name__ == "__main__":
    main()
