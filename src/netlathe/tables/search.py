"""The front of a search: trials that nothing beats in score and costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from netlathe.tables.table import Column, Table, make_table
from netlathe.units import show_bytes, show_count, show_ms

COSTS = {  # how a cost is written, and how important it is
    "macs": (show_count, 2),
    "params": (show_count, 4),
    "size": (show_bytes, 3),
    "memory": (show_bytes, 3),
    "latency": (show_ms, 2),
}


def show_score(score: float) -> str:
    """Hundredths of a point, six digits of something large."""
    return f"{score:.2f}" if abs(score) < 10_000 else f"{score:.6g}"


def show_genotype(genotype: Sequence[int]) -> str:
    """The decisions in a few letters."""
    return ("" if max(genotype, default=0) < 10 else "-").join(map(str, genotype))


def show_choices(trial: Mapping[str, Any]) -> str:
    """What a trial chose, by name; the genotype where a search did not write names down."""
    choices = trial.get("choices")
    if not choices:
        return show_genotype(trial["genotype"])
    return ", ".join(f"{name} {option}" for name, option in choices.items())


def front_table(trials: Sequence[dict[str, Any]], *, title: str = "", caption: str = "") -> Table:
    """A row a trial, with the costs that all of them have."""

    def cost(name: str) -> Column:
        show, priority = COSTS[name]
        return Column(name, lambda trial: trial["costs"][name], show, priority=priority)

    columns = (
        Column("trial", "number", text=True),
        Column("score", "score", show_score),
        *(cost(name) for name in COSTS if all(name in trial["costs"] for trial in trials)),
        Column("network", show_choices, priority=3, text=True),
    )
    return make_table(columns, trials, title=title, caption=caption)
