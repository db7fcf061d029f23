"""How far from its roofs a CPU or a GPU runs each class of operators: python benchmarks/derive_efficiency.py

Fits time = slowness(class) * time at the roofs + calls * overhead to public timm tables of devices with a card, and
writes src/netlathe/device/efficiency.csv, which `device.latency` uses for cards without a model of their own. The
interval of a GPU is that of the other GPU's fit (quantiles of measured / predicted); only one CPU has both a table and
a card, so its interval is of held-out families and wider by WIDER each way.
"""

from __future__ import annotations

import csv
from pathlib import Path
from statistics import geometric_mean

import numpy as np
from bench_latency_public import FOLDS, load_table, load_timm, of_family

from netlathe.device.features import total
from netlathe.device.fit import error, fit, held_out

OUT = Path(__file__).parent.parent / "src/netlathe/device/efficiency.csv"
WIDER = 2.0
GPUS = ("rtx-3090", "rtx-4090")
SOURCE = "timm results @aa4b585, Apache-2.0"


def rows_of(card: str, table: str) -> tuple[list[dict[str, float]], list[float], list[int]]:
    """Features at the roofs, ms an image and fold of the networks in a table; overhead is shared by a batch."""
    timm, times = load_timm(), load_table(table)
    names = [str(name) for name in timm[f"{card}.columns"]]
    rows, ms, folds = [], [], []
    for key, family, values in zip(timm["keys"], timm["family"], timm[card], strict=True):
        if key in times:
            y, batch = times[key]
            row = {name: float(v) for name, v in zip(names, values, strict=True) if v}
            rows.append(row | {"calls.calls": row["calls.calls"] / batch})
            ms.append(y)
            folds.append(of_family(timm, family))
    return rows, ms, folds


def main() -> None:
    cpu = rows_of("i9-10940x", "fp32-nchw-pt240-cpu-i9_10940x-dynamo")
    gpus = [rows_of(card, f"amp-nchw-pt240-cu124-{card.replace('-', '')}") for card in GPUS]
    seen = held_out(cpu[0], cpu[1], cpu[2])
    bar = error([y / p for y, p in zip(cpu[1], seen, strict=True)])
    print(f"cpu, held-out families: MAPE {bar.mape:.1%}, {bar.low:.2f} to {bar.high:.2f} over {FOLDS} folds")
    lines = lines_of("cpu", [fit(*cpu[:2])], bar.low / WIDER, bar.high * WIDER, f"fitted to i9-10940X, {SOURCE}")
    models = [fit(rows, ms) for rows, ms, _ in gpus]
    ratios = [
        y / total(row, models[1 - i]) for i, (rows, ms, _) in enumerate(gpus) for row, y in zip(rows, ms, strict=True)
    ]
    bar = error(ratios)
    print(f"gpu, each with the other's slowness: MAPE {bar.mape:.1%}, {bar.low:.2f} to {bar.high:.2f}")
    lines += lines_of("gpu", models, bar.low, bar.high, f"fitted to RTX 3090 and 4090, {SOURCE}")
    with OUT.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("sort", "class", "value", "source"))
        writer.writerows(lines)


def lines_of(
    sort: str, models: list[dict[str, float]], low: float, high: float, source: str
) -> list[tuple[str, str, str, str]]:
    """The rows of a sort: geometric means over devices, at least a tenth (a roof is rarely ten times too low)."""
    classes = sorted({name.rpartition(".")[0] for model in models for name in model if name.endswith(".roof")})
    values = {c: geometric_mean(max(m.get(f"{c}.roof", 0.1), 0.1) for m in models) for c in classes}
    calls = float(np.mean([model.get("calls.calls", 0.0) for model in models]))
    rows = values | {"call_ms": calls, "low": low, "high": high}
    return [(sort, name, f"{value:.4g}", source) for name, value in rows.items()]


if __name__ == "__main__":
    main()
