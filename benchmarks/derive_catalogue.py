"""The table of networks with published weights: python benchmarks/derive_catalogue.py [--minutes N] [--fresh]

Reads timm's results (../shared/data/timm, Apache-2.0) and the configurations of the installed timm, builds every
network of them on the meta device, reads it as any torch module is read, and writes src/netlathe/catalogue/weights.csv
and networks.xz, where the networks of the zoo at their published resolutions are too. About ten minutes on one idle
core. --minutes stops after so many and writes what there is; the same command goes on. What the present table has is
kept where features, rules and the reader (by a few samples, `version_of_reading`) are those that made it; after a
change of features or rules the graphs in --cache are taken. What does not read is in skipped.csv, with the reason.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import json
import logging
import lzma
import pickle
import sys
import time
import warnings
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from netlathe import zoo
from netlathe.arch.graph import Graph
from netlathe.catalogue.definition import fingerprint, group_counts, rules
from netlathe.catalogue.networks import (
    COUNTS,
    FILE,
    GROUP,
    PEAKS,
    SIZES,
    bounds_of,
    header,
    networks,
    read_columns,
)
from netlathe.catalogue.weights import COLUMNS, NORMALISATIONS
from netlathe.cost.conventions import convention
from netlathe.cost.count import Cost, count
from netlathe.cost.memory import memory
from netlathe.lower.libraries import import_library
from netlathe.read.module_source import BuildRequest
from netlathe.read.timm_source import TimmSource
from netlathe.read.torch import read_module
from netlathe.sources.everything import timm_twins
from netlathe.zoo.published import figures

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared" / "data" / "timm"
OUT = ROOT / "src" / "netlathe" / "catalogue"
SETS = {"imagenet": "results-imagenet", "real": "results-imagenet-real", "v2": "results-imagenetv2-matched-frequency"}
COMMIT = "aa4b585"
# Pieces of a tag that name images beyond ImageNet-1k, and what these are.
DATA = {
    "in12k": "ImageNet-12k", "in21k": "ImageNet-21k", "in22k": "ImageNet-22k", "jft": "JFT-300M", "ig1b": "IG-1B",
    "yfcc100m": "YFCC-100M", "laion2b": "LAION-2B", "laiona": "LAION-A", "openai": "WIT-400M", "webli": "WebLI",
    "swag": "IG-3.6B", "seer": "IG-1B", "m30m": "Merged-30M", "m38m": "Merged-38M",
    "ssld": "unlabelled images (SSLD)",
}  # fmt: skip
# Networks of many kinds, whose graphs tell whether the reader is the one that filled the cache.
SAMPLES = {
    "coatnet_nano_rw_224": 224, "crossvit_9_240": 240, "efficientnet_b0": 224, "levit_128s": 224, "mvitv2_tiny": 224,
    "resnest14d": 224, "swin_tiny_patch4_window7_224": 224, "vit_tiny_patch16_224": 224,
}  # fmt: skip
CLIP = {"eva_giant_patch14_336.clip_ft_in1k": "LAION-400M", "eva_giant_patch14_224.clip_ft_in1k": "LAION-400M"}


class Item(NamedTuple):
    """What the table has a row of."""

    library: str
    name: str
    side: int


class Costs(NamedTuple):
    """What is kept of a network."""

    cost: Cost
    peaks: dict[int, tuple[int, ...]]  # by bytes an element
    groups: dict[tuple[Any, ...], dict[str, int]]  # times by rule
    convention: int  # MACs as timm counts them
    error: str = ""


def results(name: str) -> dict[tuple[str, int], dict[str, str]]:
    """The rows of a table of timm by weights and side."""
    with gzip.open(SHARED / f"{name}.csv.gz", "rt") as file:
        return {(row["model"], int(row["img_size"])): row for row in csv.DictReader(file)}


def pretraining(weights: str) -> str:
    """The images beyond ImageNet-1k that weights rest on, by the pieces of their tag."""
    tag = weights.partition(".")[2]
    names = [DATA[piece] for piece in tag.split("_") if piece in DATA] + [
        CLIP[name] for name in CLIP if name == weights
    ]
    return " + ".join(dict.fromkeys(names))


def weights_rows() -> list[dict[str, Any]]:
    """A row of weights.csv for every weights at every side."""
    timm, tables = import_library("timm"), {name: results(file) for name, file in SETS.items()}
    rows = []
    for (weights, side), row in sorted(tables["imagenet"].items()):
        config = timm.get_pretrained_cfg(weights)
        normalisation = (tuple(config.mean), tuple(config.std))
        [named] = [name for name, values in NORMALISATIONS.items() if values == normalisation]
        line = {"weights": weights, "side": side, "native": config.input_size[-1]}
        line |= {"crop": f"{float(row['crop_pct']):g}", "interpolation": row["interpolation"]}
        line |= {"usual": int(timm.get_pretrained_cfg(config.architecture).tag == config.tag)}
        line |= {"normalisation": named, "licence": config.license or "unknown", "data": pretraining(weights)}
        line |= {"params_M": row["param_count"].replace(",", ""), "hub": config.hf_hub_id or config.url or ""}
        line["hub"] *= line["hub"] != f"timm/{weights}"  # the usual one is left out
        for name, table in tables.items():
            line |= {f"{name}_top{k}": f"{float(table[weights, side][f'top{k}']):g}" for k in (1, 5)}
        rows.append(line)
    return rows


def items() -> list[Item]:
    """Every network at every side."""
    timm = {(weights.partition(".")[0], side) for weights, side in results(SETS["imagenet"])}
    own = {(name, figure.resolution) for name in zoo.names() for figure in figures(name) if figure.top1}
    own |= {(timm_twins()[name], side) for name, side in timm if name in timm_twins()}
    return [Item("timm", *one) for one in sorted(timm)] + [Item("zoo", *one) for one in sorted(own)]


def read(item: Item) -> Graph:
    """The graph of a network."""
    if item.library == "zoo":
        return zoo.get(item.name, resolution=item.side).graph()
    import torch

    shape = (3, item.side, item.side)
    with torch.device("meta"):
        module = TimmSource(item.name).build(BuildRequest(classes=1000, resolution=item.side)).eval()
    return read_module(module, shape).graph


def cached(path: Path, make: Any) -> Any:
    """What a file of the cache holds, made if it is not there."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_bytes(zlib.compress(pickle.dumps(make()), 6))
        part.rename(path)
    return pickle.loads(zlib.decompress(path.read_bytes()))


def costs_of(item: Item, graphs: Path) -> Costs:
    """The costs of a network; what does not read has an error."""

    def graph_or_error() -> Any:
        try:
            return read(item)
        except Exception as error:  # whatever its own code or the reader raises: it is recorded
            return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"

    result = cached(graphs / label(item), graph_or_error)
    if isinstance(result, str):
        return Costs(Cost(), {}, {}, 0, result)
    graph = result
    groups: dict[tuple[Any, ...], dict[str, int]] = {}
    for name, rule in rules().items():
        for key, times in group_counts(graph, rule).items():
            groups.setdefault(key, {})[name] = times
    memories = {size: memory(graph, size) for size in SIZES}
    peaks = {size: tuple(int(getattr(m, name)) for name in PEAKS) for size, m in memories.items()}
    return Costs(count(graph), peaks, groups, int(convention(graph, "timm").macs))


def version_of_reading() -> str:
    """A hash of what is read of a few networks: other graphs of these mean that all have to be read again."""
    graphs = [read(Item("timm", name, side)) for name, side in SAMPLES.items()]
    content = repr(graphs).encode()
    return f"timm-{import_library('timm').__version__}-{hashlib.sha256(content).hexdigest()[:12]}"


def label(item: Item) -> str:
    """The name of its file in the cache."""
    return f"{item.library}-{item.name}@{item.side}"


def from_table() -> dict[Item, Costs]:
    """What the present table has, as it was when it was made."""
    if not (OUT / FILE).is_file():
        return {}
    columns, rows = read_columns(), {}
    names, classes = header()["rules"], header()["classes"]
    for (library, name, side), row in networks().items():
        start, end = bounds_of(row.place)
        keys = zip(*(columns[one][start:end].tolist() for one in ("class", *GROUP)), strict=True)
        times = zip(*(columns[f"rule{i}"][start:end].tolist() for i in range(len(names))), strict=True)
        groups = {
            (classes[key[0]], *key[1:]): {rule: n for rule, n in zip(names, numbers, strict=True) if n}
            for key, numbers in zip(keys, times, strict=True)
        }
        peaks = {size: tuple(int(getattr(row.memories[size], one)) for one in PEAKS) for size in SIZES}
        rows[Item(library, name, side)] = Costs(row.cost, peaks, groups, int(columns["convention"][row.place]))
    return rows


def write_table(rows: list[tuple[Item, Costs]], reading: str) -> None:
    """networks.xz, with the same bytes for the same content."""
    names = list(rules())
    classes = sorted({key[0] for _, costs in rows for key in costs.groups})
    columns: dict[str, Any] = {"groups": np.array([len(costs.groups) for _, costs in rows], "<i4")}
    for i, name in enumerate(COUNTS):
        columns[f"cost.{name}"] = np.array([costs.cost[i] for _, costs in rows], "<i8")
    for size in SIZES:
        for i, name in enumerate(PEAKS):
            columns[f"memory{size}.{name}"] = np.array([costs.peaks[size][i] for _, costs in rows], "<i8")
    columns["convention"] = np.array([costs.convention for _, costs in rows], "<i8")
    keys = [(key, times) for _, costs in rows for key, times in sorted(costs.groups.items())]
    columns["class"] = np.array([classes.index(key[0]) for key, _ in keys], "u1")
    for i, name in enumerate(GROUP):
        columns[name] = np.array([key[i + 1] for key, _ in keys], "<i8")
    for i, name in enumerate(names):
        columns[f"rule{i}"] = np.array([times.get(name, 0) for _, times in keys], "<u2")
    about = {
        "source": f"timm {import_library('timm').__version__}, Apache-2.0, read by Netlathe; the zoo of Netlathe",
        "definition": fingerprint(),
        "reading": reading,
        "rules": names,
        "classes": classes,
        "networks": [[*item, zoo.get(item.name, resolution=item.side).key if item.library == "zoo" else ""]
                     for item, _ in rows],
        "typed": {i: [[kind, [getattr(part, name) for name in COUNTS]] for kind, part in costs.cost.typed]
                  for i, (_, costs) in enumerate(rows) if costs.cost.typed},
        "columns": [[name, column.dtype.str, len(column)] for name, column in columns.items()],
    }  # fmt: skip
    line = json.dumps(about, separators=(",", ":"), sort_keys=True).encode() + b"\n"
    content = line + b"".join(column.tobytes() for column in columns.values())
    (OUT / FILE).write_bytes(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME))


def write_csv(path: Path, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    """A table of text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8")


def main() -> None:
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cache", type=Path, default=Path("/tmp/netlathe-catalogue"))
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--fresh", action="store_true", help="take nothing from the present table")
    options = parser.parse_args()
    start, reading, definition = time.monotonic(), version_of_reading(), fingerprint()
    graphs, sums = options.cache / f"graphs-{reading}", options.cache / f"costs-{definition}-{reading}"
    same = (OUT / FILE).is_file() and (header()["definition"], header()["reading"]) == (definition, reading)
    before = from_table() if same and not options.fresh else {}
    rows, skipped = list[tuple[Item, Costs]](), list[dict[str, Any]]()
    everything = items()
    for i, item in enumerate(everything):
        path, late = sums / label(item), time.monotonic() - start > 60 * options.minutes
        costs = before.get(item) if is_same(item) else None
        if costs is None and (path.is_file() or not late):
            costs = cached(path, lambda item=item: costs_of(item, graphs))
        if costs is None or costs.error:
            why = costs.error if costs else "not read yet"
            skipped.append({"library": item.library, "network": item.name, "side": item.side, "why": why})
        else:
            rows.append((item, costs))
        print(f"\r{i + 1} of {len(everything)}  {item.name:60}", end="", file=sys.stderr, flush=True)
    write_csv(OUT / "skipped.csv", ("library", "network", "side", "why"), skipped)
    write_csv(OUT / "weights.csv", COLUMNS, weights_rows())
    write_table(rows, reading)
    if unread := sum(line["why"] == "not read yet" for line in skipped):
        sys.exit(f"{unread} of {len(everything)} are not read yet: the same command goes on")


def is_same(item: Item) -> bool:
    """Whether the table has the network as it is now: an expression is known by its key."""
    row = networks().get(tuple(item)) if (OUT / FILE).is_file() else None
    return row is not None and (item.library != "zoo" or row.key == zoo.get(item.name, resolution=item.side).key)


if __name__ == "__main__":
    main()
