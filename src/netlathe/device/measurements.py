"""Measured networks in a file become latency models; and which networks are worth measuring.

A file has a line a measurement: network,latency_ms and, where they are not the defaults, runtime, threads, precision,
batch. The latency is of one batch. A network is named as on the command line, with @resolution for other images.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from netlathe import zoo
from netlathe.arch.graph import Graph
from netlathe.arch.net import Net
from netlathe.device.card import Model
from netlathe.device.features import FeatureRow
from netlathe.device.fit_measured import fit_measured
from netlathe.device.latency import feature_row
from netlathe.device.population import priors_for
from netlathe.device.vocabulary import PRECISIONS
from netlathe.documents.faults import Fault, faults_error, suggest
from netlathe.documents.tables import CsvRow, parse_csv
from netlathe.errors import NetlatheError
from netlathe.files import read_text
from netlathe.load import load_any
from netlathe.runtimes import registry
from netlathe.units import read_digits

DEFAULTS = {"runtime": registry.DEFAULT, "threads": "1", "precision": "fp32", "batch": "1"}
NEEDED = ("network", "latency_ms")
LEAST = 5  # networks that a model needs
SHORT = 10_000_000  # MACs below which a run is too short to time with a phone's tools
HINT = "`netlathe device probe-set -n 10` says which networks to measure"


class MeasuredNetwork(NamedTuple):
    """A line of the file."""

    name: str
    graph: Graph
    ms: float
    runtime: str
    threads: int
    precision: str
    batch: int


class ProbeNetwork(NamedTuple):
    """A network that could be measured."""

    name: str
    macs: int
    row: FeatureRow


def read(path: str | Path) -> list[MeasuredNetwork]:
    """The measurements of a CSV file. Raises one NetlatheError that lists every fault with its line."""
    try:
        columns, rows = parse_csv(read_text(path))
    except csv.Error as error:
        message = f"this is no CSV file: {error}"
        raise NetlatheError(message, code="device.measurements", path=str(path), hint=HINT) from None
    legal = (*NEEDED, *DEFAULTS)
    faults = [Fault("line 1", f"the column {name} is missing") for name in NEEDED if name not in columns]
    for name in columns:
        if name not in legal:
            faults.append(Fault("line 1", f"unknown column {name!r} ({suggest(name, legal)})"))
    networks: list[MeasuredNetwork] = []
    first: dict[tuple[str, str, int, str, int], int] = {}
    for row in rows if not faults else ():
        at = row.line
        measured = parse_row(row, faults)
        if measured is None:
            continue
        key = (measured.name, *measured[3:])
        if key in first:
            message = f"{measured.name} was measured in line {first[key]} already: keep one, their median"
            faults.append(Fault(f"line {at}", message))
        first.setdefault(key, at)
        networks.append(measured)
    if not faults:
        sizes: dict[tuple[str, int, str, int], int] = defaultdict(int)
        for m in networks:
            sizes[m[3:]] += 1
        for condition, count in sizes.items():
            if count < LEAST:
                faults.append(Fault(f"{count} networks of {' '.join(map(str, condition))}", f"a model needs {LEAST}"))
        faults += [Fault("", "there are no measurements")] * (not networks)
    if faults:
        raise faults_error(faults, code="device.measurements", path=str(path), hint=HINT)
    return networks


def parse_row(row: CsvRow, faults: list[Fault]) -> MeasuredNetwork | None:
    """A row, or None and what is wrong with it."""
    before, at = len(faults), f"line {row.line}"
    if row.surplus:
        faults.append(Fault(at, "more values than columns"))
    cells = DEFAULTS | {name: value for name, value in row.cells.items() if value}
    for name in NEEDED:
        if name not in cells:
            faults.append(Fault(at, f"{name} is missing"))
    ms = positive(cells.get("latency_ms", "1"))
    if ms is None:
        faults.append(Fault(at, f"latency_ms must be a positive number, not {cells['latency_ms']!r}"))
    whole = {name: read_digits(cells[name]) or 0 for name in ("threads", "batch")}
    faults += [Fault(at, f"{k} must be a whole number from 1, not {cells[k]!r}") for k, v in whole.items() if v < 1]
    runtime = registry.forecast_name(cells["runtime"])
    for what, value, legal in (
        ("runtime", runtime, registry.forecast_names()),
        ("precision", cells["precision"], PRECISIONS),
    ):
        if value not in legal:
            faults.append(Fault(at, f"unknown {what} {value!r} (legal: {', '.join(legal)})"))
    graph = None
    try:
        graph = network_named(cells["network"]).graph() if "network" in cells else None
    except NetlatheError as error:
        fix = f" ({error.hint})" if error.hint and "\n" not in error.hint else ""
        faults.append(Fault(at, error.message + fix))
    if len(faults) > before or graph is None or ms is None:
        return None
    return MeasuredNetwork(cells["network"], graph, ms, runtime, whole["threads"], cells["precision"], whole["batch"])


def positive(text: str) -> float | None:
    """A positive number, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) and number > 0 else None


def network_named(text: str) -> Net:
    """resnet50, resnet50@160, mobilenetv1:alpha=0.5@128, my.json or model.onnx. Raises NetlatheError."""
    name, sign, size = text.partition("@")
    resolution = read_digits(size)
    if sign and resolution is None:
        raise NetlatheError(f"{text!r} has no resolution after the @", code="load.choice", hint="write resnet50@160")
    networks = load_any(name, (), resolution)
    if len(networks) != 1:
        raise NetlatheError(f"{name!r} names {len(networks)} networks, but one was measured", code="load.many")
    return networks[0]


def fit_models(networks: list[MeasuredNetwork], today: str) -> list[Model]:
    """A model of each runtime, threads, precision and batch in the measurements."""
    settings: dict[tuple[str, int, str, int], list[MeasuredNetwork]] = defaultdict(list)
    for m in networks:
        settings[m[3:]].append(m)
    models = []
    for (runtime, threads, precision, batch), group in settings.items():
        rows = [feature_row(m.graph, runtime, batch) for m in group]
        fitted = fit_measured(rows, [m.ms for m in group], priors_for(runtime))
        models.append(
            Model(
                runtime=runtime,
                date=today,
                networks=len(group),
                coefficients=fitted.coefficients,
                parts=fitted.parts,
                error=fitted.error,
                threads=threads,
                precision=precision,
                batch=batch,
                held_out="each network left out in turn",
                note="fitted to measurements from elsewhere: their statistic and their discipline are not known here",
            )
        )
    return models


def probe_networks(pattern: str, count: int, most: int | None, runtime: str) -> list[ProbeNetwork]:
    """The image networks of the zoo that match, of SHORT to `most` MACs. Raises NetlatheError below `count`."""
    probes = []
    for name in zoo.names(pattern):
        network = zoo.get(name)
        if len(network.input) != 3 or network.more:
            continue
        graph = network.graph()
        macs = sum(op.macs for op in graph.ops)
        if macs >= SHORT and (most is None or macs <= most):
            probes.append(ProbeNetwork(name, macs, feature_row(graph, runtime)))
    if len(probes) < count:
        message = f"only {len(probes)} networks to choose from, but {count} are asked for"
        raise NetlatheError(message, code="device.candidates", hint="widen --networks or --max-macs, or lower -n")
    return probes
