"""What papers and repositories print about the networks of the zoo: published.csv, a row a result.

Sources and licences are in PUBLISHED.md. Figures are those of the source, never ours: where the counted cost differs
from the printed one by more than its rounding, `note` says why.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """One published result: cost in 1e6 parameters and 1e9 MACs, ImageNet-1k validation accuracy in percent.

    `params_M` and `macs_G` are exact decimals, because their digits say how the source rounded.
    """

    network: str
    resolution: int  # of the evaluation
    params_M: Decimal | None
    macs_G: Decimal | None
    top1: float | None
    top5: float | None
    recipe: str
    crops: int  # averaged at test time; more than one costs as many forward passes
    extra_data: bool  # trained on more than ImageNet-1k
    source: str
    note: str


def figure(row: dict[str, str]) -> Figure:
    """A row of the table; an empty cell is None."""
    return Figure(
        network=row["network"],
        resolution=int(row["resolution"]),
        params_M=Decimal(row["params_M"]) if row["params_M"] else None,
        macs_G=Decimal(row["macs_G"]) if row["macs_G"] else None,
        top1=float(row["top1"]) if row["top1"] else None,
        top5=float(row["top5"]) if row["top5"] else None,
        recipe=row["recipe"],
        crops=int(row["crops"]),
        extra_data=row["extra_data"] == "1",
        source=row["source"],
        note=row["note"],
    )


@cache
def table() -> dict[str, tuple[Figure, ...]]:
    """All figures by network, in the order of the file."""
    by_network: dict[str, list[Figure]] = defaultdict(list)
    with Path(__file__).with_name("published.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            by_network[row["network"]].append(figure(row))
    return {network: tuple(rows) for network, rows in by_network.items()}


def figures(network: str) -> tuple[Figure, ...]:
    """Everything published about a network; empty where nothing is."""
    return table().get(network, ())


def best(network: str, resolution: int | None = None, extra_data: bool = False) -> Figure | None:
    """The highest single-crop top-1, at one resolution or at any, by default from ImageNet-1k alone."""
    legal = [
        row
        for row in figures(network)
        if row.top1 is not None
        and row.crops == 1
        and resolution in (None, row.resolution)
        and (extra_data or not row.extra_data)
    ]
    return max(legal, key=lambda row: row.top1 or 0.0, default=None)
