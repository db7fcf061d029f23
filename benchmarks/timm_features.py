"""Features of the fixed list of timm networks: python benchmarks/timm_features.py (about 15 minutes on one core).

Reads benchmarks/data/timm_networks.csv (name, image side), builds each network on the meta device, reads it with
`read_module` and writes benchmarks/data/timm_features.npz: names, sides, family (the Python module that defines the
model's class), the features of `device.features` for one image under eager torch, and, for three cards, the time at the
roofs by class. bench_latency_public.py and derive_efficiency.py need only that file.

The list was made once from the timm tables of ../shared/data: every network of 0.05 to 25 GMACs with the same image
size in the RTX 3090, RTX 4090, i7-12700H and i9-10940X tables of torch 2.4, in the order of the SHA-256 of name@side.
"""

from __future__ import annotations

import csv
import logging
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from netlathe.arch.graph import Graph
from netlathe.device.card import load
from netlathe.device.features import features, fused, roofs

DATA = Path(__file__).parent / "data"
CARDS = {"i9-10940x": ("fp32", 4), "rtx-3090": ("fp16", 2), "rtx-4090": ("fp16", 2)}  # precision, bytes an element


def networks() -> list[tuple[str, int]]:
    """The fixed list."""
    with (DATA / "timm_networks.csv").open() as file:
        return [(row["name"], int(row["side"])) for row in csv.DictReader(file)]


def read(name: str, side: int) -> tuple[str, Graph]:
    """The family and the graph of a timm network."""
    import timm
    import torch

    from netlathe.read.torch import read_module

    with torch.device("meta"):
        module = timm.create_model(name).eval()
    return type(module).__module__.rpartition(".")[2], read_module(module, (3, side, side)).graph


def matrix(rows: list[dict[str, float]]) -> tuple[Any, Any]:
    """Names of the columns, and the rows as float32."""
    names = sorted({name for row in rows for name in row})
    return np.array(names), np.array([[row.get(name, 0.0) for name in names] for row in rows], np.float32)


def write(found: Iterable[tuple[str, int, str, Graph]]) -> None:
    """The file of features."""
    nets = list(found)
    groups = [fused(graph, "torch") for *_, graph in nets]
    columns, table = matrix([features(group) for group in groups])
    out = {"name": [n[0] for n in nets], "side": [n[1] for n in nets], "family": [n[2] for n in nets],
           "macs": [sum(op.macs for op in graph.ops) for *_, graph in nets]}  # fmt: skip
    out |= {"columns": columns, "features": table}
    for card_name, (precision, width) in CARDS.items():
        card = load(card_name)
        peak, bandwidth = card.peak(precision), card.bandwidth()
        out[f"{card_name}.columns"], out[card_name] = matrix([roofs(g, peak, bandwidth, width) for g in groups])
    np.savez_compressed(DATA / "timm_features.npz", **out)  # type: ignore[arg-type]


def main() -> None:
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    from netlathe.lower.libraries import declare_torchvision_operators

    declare_torchvision_operators()
    nets = networks()
    found = []
    for i, (name, side) in enumerate(nets):
        found.append((name, side, *read(name, side)))
        print(f"\r{i + 1} of {len(nets)}  {name:60}", end="", file=sys.stderr, flush=True)
    write(found)


if __name__ == "__main__":
    main()
