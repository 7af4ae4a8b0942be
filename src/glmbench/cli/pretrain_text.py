"""What `glmbench pretrain` says to people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from glmbench.cli.printing import print_table, seconds

_NAMED = 6
"""Species that are named; of more the number is told."""


def print_plan(plan: Mapping[str, Any]) -> None:
    """The table of `--plan`."""
    hidden = plan["hidden"]
    objective = str(plan["objective"]["name"])
    for name, shares in hidden.items():
        hides = f"{name} hides" if len(hidden) > 1 else "hides"
        objective += f", {hides} {shares['tokens']:.1%} of tokens, {shares['nucleotides']:.1%} of nucleotides"
    rows = [
        ("corpus", f"{large(plan['training_bases'])} bases to train on, {large(plan['held_out_bases'])} held out"),
        ("species", named(plan["species"])),
        ("tokenizer", f"{plan['tokenizer']}, {plan['vocabulary']:,} tokens"),
        ("network", f"{plan['network']}, {large(plan['parameters'])} weights"),
        ("objective", objective),
        ("steps", f"{plan['steps']:,} of {plan['tokens_per_step']:,} tokens, peak rate {plan['lr']:.2g}"),
        ("in all", f"{large(plan['tokens'])} tokens, {large(plan['bases'])} bases, {plan['epochs']:,g} epochs"),
        ("operations", "not counted for this network" if plan["flops"] is None else f"{plan['flops']:.2e}"),
        ("time", f"about {seconds(plan['seconds'])} here, by timing a few small steps; evaluations come on top"),
    ]
    for name, text in rows:
        print(f"{name:<11}{text}")


def print_report(report: Mapping[str, Any], out: Path) -> None:
    """What came of a pre-training."""
    cost, network = report["cost"], report["network"]
    print(
        f"{network['name']}: {network['parameters']:,} weights, {report['steps']:,} steps, {cost['units']:,} tokens, "
        f"{cost['bases']:,} bases in {seconds(cost['wall_s'])}"
    )
    print(_speed(cost))
    if report["quality"]:
        first = report["quality"][0]
        print(f"Bits per base of the same {first['positions']:,} hidden bases in {first['windows']} held-out windows")
        print_table(
            ("model", "bits/base", "95 % interval", "accuracy"),
            [(row["model"], f"{row['bits_per_base']:.4f}", _interval(row), f"{row['accuracy']:.3f}")
             for row in report["quality"]],
            right=("bits/base", "accuracy"),
        )  # fmt: skip
        print(_time_to_quality(cost["seconds_to_order_0"]))
    for note in report["notes"]:
        print(f"note: {note}")
    print(f"\nNext: glmbench run --suite genemask --model hf:{out}")


def large(number: float) -> str:
    """`1.2 M`; below ten thousand to the unit."""
    for unit, name in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= max(unit, 1e4):
            return f"{number / unit:.3g} {name}"
    return f"{number:,.0f}"


def named(species: Sequence[str]) -> str:
    """The first species, and how many more there are."""
    more = len(species) - _NAMED
    return ", ".join(species[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _speed(cost: Mapping[str, Any]) -> str:
    text = f"{cost['units_per_s'] or 0:,.0f} tokens/s end to end, {cost['model_units_per_s'] or 0:,.0f} in the network"
    if cost["flop_utilisation"] is not None:
        text += f", {cost['flop_utilisation']:.0%} of this device's matrix products"
    return f"{text}; {cost['peak_memory_mb']:,.0f} MB at most"


def _interval(row: Mapping[str, Any]) -> str:
    return "one block only" if row["low"] is None else f"[{row['low']:.4f}, {row['high']:.4f}]"


def _time_to_quality(until: float | None) -> str:
    if until is None:
        return "no evaluation while training was below the order-0 Markov model"
    return f"below the order-0 Markov model after {seconds(until)} of training"
