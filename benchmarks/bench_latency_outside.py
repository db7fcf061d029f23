"""Forecasts of networks whose style the zoo lacks: python benchmarks/bench_latency_outside.py [--export] [--measure]

114 small and middle networks of timm, 69 families (benchmarks/data/outside_networks.csv, chosen by hand before anything
was measured, up to about 6 GMACs), with random weights, batch 1, one thread, under ONNX Runtime fp32 and OpenVINO bf16.
The families are in two halves by a hash of their names: what was changed was chosen while looking at one half
("development"), and the other ("test") was looked at when all of it was done. The forecasts are those of a calibration
of this machine, made as `netlathe device calibrate` makes it. For each half:

  error     MAPE, median, share within 10 %, Kendall tau of forecasts, for graphs read from ONNX files and from torch
  interval  how many of the networks the 90 % interval holds, and its width, high / low
  reading   how many networks have the same forecast, within 5 %, read from torch and from their ONNX file

`--export` writes the ONNX files (torch's exporter, opset 17; some minutes), `--measure` calibrates and measures each
network twice in fresh processes, in two passes over all of them (half an hour; an interrupted one goes on where it
was), and writes benchmarks/data/outside_latency.csv and the calibrations beside it. Without them the committed
measurements are read; graphs still need the files and timm. `--residuals` prints the networks of the development half.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import logging
import pickle
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple

import numpy as np

from netlathe.arch.graph import Graph
from netlathe.bench.calibrate import calibrate
from netlathe.bench.machine import this_machine
from netlathe.bench.measure import measure
from netlathe.bench.raw import refit, write_raw
from netlathe.device.card import Model
from netlathe.device.latency import LatencyPrediction, by_model
from netlathe.files import cache_dir
from netlathe.lower.libraries import import_library
from netlathe.read.module import ForeignModule, InputShape
from netlathe.read.onnx import read_onnx
from netlathe.read.onnx_file import OnnxFile

DATA = Path(__file__).parent / "data"
LIST, MEASURED = DATA / "outside_networks.csv", DATA / "outside_latency.csv"
SETTINGS = (("onnxruntime", "fp32"), ("openvino", "bf16"))
TARGET = {"onnxruntime": 12, "openvino": 15}
SECONDS, PASSES, ALIKE = 0.8, 2, 0.05
HALVES = ("development", "test")


class Measured(NamedTuple):
    """A network under a runtime: the quiet estimate of each pass in ms, and whether others used the machine."""

    name: str
    family: str
    ms: tuple[float, ...]
    contended: int


def networks() -> dict[str, str]:
    """name -> family, the module of timm or the paper."""
    with LIST.open() as file:
        return {row["name"]: row["family"] for row in csv.DictReader(file)}


def half_of(family: str) -> str:
    return HALVES[hashlib.sha256(family.encode()).digest()[0] % 2]


def module_of(name: str, device: str) -> tuple[Any, tuple[int, ...]]:
    """The module with random weights, and its input."""
    timm = import_library("timm")
    import torch

    torch.manual_seed(0)
    with torch.device(device):
        module = timm.create_model(name).eval()
    return module, tuple(module.pretrained_cfg["input_size"])


def export(folder: Path) -> None:
    """An ONNX file for every network that is not there yet; one that torch cannot export is left out."""
    for name in networks():
        path = folder / name / "model.onnx"
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            module, shape = module_of(name, "cpu")
            ForeignModule(name, module, (InputShape(shape),)).onnx(path.parent)
        except Exception as error:
            print(f"{name}: {type(error).__name__}: {str(error).splitlines()[0][:100]}", file=sys.stderr)


def run_measurements(folder: Path) -> None:
    """Two passes over all networks under every runtime, between calibrations; each result is kept at once."""
    log_file = folder / "measured.jsonl"
    done: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for line in log_file.read_text().splitlines() if log_file.exists() else ():
        record = json.loads(line)
        done.setdefault((record["runtime"], record["network"]), []).append(record)
    for runtime, precision in SETTINGS:
        path = calibration_path(runtime, precision)
        if not path.exists():
            print(f"calibrating {runtime} {precision}", file=sys.stderr)
            write_raw(DATA / "outside_calibration.toml", runtime, calibrate(runtime, precision=precision, force=True))
    for i in range(PASSES):
        for runtime, precision in SETTINGS:
            for name in networks():
                path, records = folder / name / "model.onnx", done.setdefault((runtime, name), [])
                if not path.exists() or len(records) > i:
                    continue
                (one,) = measure([OnnxFile(name, path)], seconds=SECONDS, runtime=runtime, precision=precision)
                records.append(one.record())
                with log_file.open("a") as file:
                    file.write(json.dumps(one.record()) + "\n")
                print(i, runtime, name, f"{one.quiet_ms:.2f} ms", file=sys.stderr)
    write_table(done)


def write_table(done: dict[tuple[str, str], list[dict[str, Any]]]) -> None:
    """The committed table of what was measured."""
    families = networks()
    rows = [
        (
            runtime,
            name,
            families[name],
            *(f"{r['quiet_ms']:.4f}" for r in good[:PASSES]),
            sum(r["contended"] for r in good),
        )
        for (runtime, name), records in sorted(done.items())
        if name in families and len(good := [r for r in records if r["failure"] is None]) >= PASSES
    ]
    loads = [r["foreign_load"] for records in done.values() for r in records]
    with MEASURED.open("w", newline="") as file:
        file.write(f"# {this_machine().cpu} ({this_machine().id}), others used {mean(loads):.2f} cores in the mean\n")
        csv.writer(file).writerows([("runtime", "network", "family", "ms", "again_ms", "contended"), *rows])


def calibration_path(runtime: str, precision: str) -> Path:
    return DATA / f"outside_calibration.{runtime}-{precision}-1.json"


def read_measured(runtime: str) -> list[Measured]:
    """The committed measurements under a runtime."""
    with MEASURED.open() as file:
        next(file)
        return [
            Measured(row["network"], row["family"], (float(row["ms"]), float(row["again_ms"])), int(row["contended"]))
            for row in csv.DictReader(file)
            if row["runtime"] == runtime
        ]


def graphs(name: str, folder: Path) -> dict[str, Graph]:
    """The graph of a network read from its file and from torch, kept as long as the code that reads is the same."""
    source = hashlib.sha256()
    for path in sorted((Path(read_onnx.__code__.co_filename).parent).glob("*.py")):
        source.update(path.read_bytes())
    kept = folder / "graphs" / f"{name}.{source.hexdigest()[:8]}.pickle"
    if kept.exists():
        found: dict[str, Graph] = pickle.loads(kept.read_bytes())
        return found
    from netlathe.read.torch import read_module

    module, shape = module_of(name, "meta")
    found = {"onnx": read_onnx(folder / name / "model.onnx"), "torch": read_module(module, shape).graph}
    kept.parent.mkdir(exist_ok=True)
    kept.write_bytes(pickle.dumps(found))
    return found


def kendall(a: Sequence[float], b: Sequence[float]) -> float:
    i, j = np.triu_indices(len(a), 1)
    x, y = np.asarray(a), np.asarray(b)
    return float(np.sign((x[i] - x[j]) * (y[i] - y[j])).mean())


def forecast(graph: Graph, model: Model, runtime: str) -> LatencyPrediction:
    return by_model(graph, model, runtime, 1, ())


def report(folder: Path, residuals: bool) -> None:
    """The tables."""
    with MEASURED.open() as file:
        print(next(file).strip("# \n"))
    for runtime, precision in SETTINGS:
        _, calibration = refit(calibration_path(runtime, precision))
        model, real = calibration.model, read_measured(runtime)
        again = [abs(m.ms[1] / m.ms[0] - 1) for m in real]
        print(
            f"\n{runtime} {precision}: {len(real)} networks of {len({m.family for m in real})} families; "
            f"{100 * mean(m.contended / PASSES for m in real):.0f} % of the measurements on a busy machine; "
            f"measured again: median {100 * median(again):.1f} %, mean {100 * mean(again):.1f} % apart\n"
            f"  calibrated on {model.networks} networks of the zoo, each family left out: MAPE "
            f"{100 * model.error.mape:.1f} %"
        )
        for half in (*HALVES, "both"):
            part = [m for m in real if half in (half_of(m.family), "both")]
            for line in score(part, model, runtime, folder):
                print(f"  {half:12s} {line}")
        print(f"  wanted       MAPE {TARGET[runtime]} %, tau 0.93, 86 to 94 % inside, the same from both readings")
        if residuals:
            for m in (m for m in real if half_of(m.family) == HALVES[0]):
                p = forecast(graphs(m.name, folder)["onnx"], model, runtime)
                print(f"    {m.name:28s} {mean(m.ms):9.3f} ms  {100 * (p.total_ms / mean(m.ms) - 1):+6.1f} %")


def score(part: list[Measured], model: Model, runtime: str, folder: Path) -> Iterator[str]:
    """A line for each reading, and one of their agreement."""
    ms = [mean(m.ms) for m in part]
    found = {}
    for reading in ("onnx", "torch"):
        made = [forecast(graphs(m.name, folder)[reading], model, runtime) for m in part]
        found[reading] = [p.total_ms for p in made]
        off = [abs(p.total_ms / y - 1) for p, y in zip(made, ms, strict=True)]
        inside = mean(p.low_ms <= y <= p.high_ms for p, y in zip(made, ms, strict=True))
        yield (
            f"{reading:5s} n={len(part):3d}  MAPE {100 * mean(off):4.1f} %  median {100 * median(off):4.1f} %  "
            f"within 10 % {100 * mean(o <= 0.1 for o in off):3.0f} %  tau {kendall(found[reading], ms):.3f}  "
            f"90 % interval holds {100 * inside:.0f} %, width {median(p.high_ms / p.low_ms for p in made):.2f}"
        )
    apart = [abs(a / b - 1) for a, b in zip(found["torch"], found["onnx"], strict=True)]
    same = 100 * mean(a <= ALIKE for a in apart)
    yield f"torch and ONNX within {100 * ALIKE:.0f} %: {same:.0f} %, at most {100 * max(apart):.1f} % apart"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--export", action="store_true")
    options.add_argument("--measure", action="store_true")
    options.add_argument("--residuals", action="store_true")
    options.add_argument("--folder", type=Path, default=cache_dir() / "outside", help="of ONNX files and graphs")
    chosen = options.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    chosen.folder.mkdir(parents=True, exist_ok=True)
    if chosen.export:
        export(chosen.folder)
    if chosen.measure:
        run_measurements(chosen.folder)
    report(chosen.folder, chosen.residuals)


if __name__ == "__main__":
    main()
