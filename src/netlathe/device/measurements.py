"""Measured networks in a file become latency models; and which networks are worth measuring.

A file has a line a measurement: network,latency_ms and, where they are not the defaults, runtime, threads, precision,
batch. The latency is of one batch. A network is named as on the command line, with @resolution for other images.
Further columns describe the device, and what the runner of a kit (`bench.kit`) measured beside the latency.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping
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
KIT = "netlathe.kit/1"  # the format of a kit: of its manifest, and of the lines that its runner writes
DESCRIBES = ("processor", "system", "runtime_version")  # columns about the device
EVIDENCE = ("low_ms", "high_ms", "loaded_ms", "runs", "macs", "sha256", "kit")  # columns that the runner adds
LEAST = 5  # networks that a model needs
SHORT = 10_000_000  # MACs below which a run is too short to time with a phone's tools
HINT = "`netlathe device kit -o kit/` makes a folder that measures the right networks, `device probe-set` names them"

NOTE = "fitted to measurements from elsewhere: their statistic and their discipline are not known here"
KIT_NOTE = "fitted to quiet estimates that the runner of a kit measured on the device"


class MeasuredOn(NamedTuple):
    """What the file says of the device, and whether the runner of a kit measured there; empty where it does not."""

    processor: str = ""
    system: str = ""
    runtime_version: str = ""
    kit: str = ""


class MeasuredNetwork(NamedTuple):
    """A line of the file."""

    name: str
    graph: Graph
    ms: float
    runtime: str
    threads: int
    precision: str
    batch: int
    device: MeasuredOn = MeasuredOn()

    @property
    def way(self) -> tuple[str, int, str, int]:
        """Runtime, threads, precision and batch: what a model is of."""
        return self.runtime, self.threads, self.precision, self.batch


class ProbeNetwork(NamedTuple):
    """A network that could be measured."""

    name: str
    macs: int
    row: FeatureRow


def read(path: str | Path) -> list[MeasuredNetwork]:
    """The measurements of a CSV file. Raises one NetlatheError that lists every fault with its line."""
    text = read_text(path)
    try:
        columns, rows = parse_csv(text)
    except csv.Error as error:
        message = f"this is no CSV file: {error}"
        raise NetlatheError(message, code="device.measurements", path=str(path), hint=HINT) from None
    legal = (*NEEDED, *DEFAULTS, *DESCRIBES, *EVIDENCE)
    faults = [Fault("line 1", f"the column {name} is missing") for name in NEEDED if name not in columns]
    for name in columns:
        if name not in legal:
            faults.append(Fault("line 1", f"unknown column {name!r} ({suggest(name, legal)})"))
    networks: list[MeasuredNetwork] = []
    first: dict[tuple[str, str, int, str, int], int] = {}
    if "kit" in columns and rows and rows[-1].cells["kit"] != KIT and not text.endswith("\n"):
        torn = rows.pop().line
        faults.append(
            Fault(f"line {torn}", "it is incomplete: run the kit's measure.py again, it measures what is missing")
        )
    for row in rows if not any(fault.path == "line 1" for fault in faults) else ():
        at = row.line
        measured = parse_row(row, faults)
        if measured is None:
            continue
        key = (measured.name, *measured.way)
        if key in first:
            message = f"{measured.name} was measured in line {first[key]} already: keep one, their median"
            faults.append(Fault(f"line {at}", message))
        first.setdefault(key, at)
        networks.append(measured)
    if not faults:
        sizes: dict[tuple[str, int, str, int], int] = defaultdict(int)
        for m in networks:
            sizes[m.way] += 1
        for condition, count in sizes.items():
            if count < LEAST:
                faults.append(Fault(f"{count} networks of {' '.join(map(str, condition))}", f"a model needs {LEAST}"))
        faults += [Fault("", "there are no measurements")] * (not networks)
        faults += several_devices(networks)
    if faults:
        raise faults_error(faults, code="device.measurements", path=str(path), hint=HINT)
    return networks


def several_devices(networks: list[MeasuredNetwork]) -> list[Fault]:
    """What is wrong with a file whose lines are of several processors, or of several versions of a runtime."""
    faults = []
    for name, groups in (
        ("processor", {(): networks}),
        ("runtime_version", {way: [m for m in networks if m.way == way] for way in {m.way for m in networks}}),
    ):
        for group in groups.values():
            values = dict.fromkeys(value for m in group if (value := getattr(m.device, name)))
            if len(values) > 1:
                faults.append(
                    Fault(name, f"{' and '.join(values)}: a card is of one device, so give each its own file")
                )
    return faults


def parse_row(row: CsvRow, faults: list[Fault]) -> MeasuredNetwork | None:
    """A row, or None and what is wrong with it."""
    before, at = len(faults), f"line {row.line}"
    if row.surplus:
        faults.append(Fault(at, "more values than columns"))
    written = {name: value for name, value in row.cells.items() if value}
    cells = DEFAULTS | {"precision": usual_precision(written.get("runtime", registry.DEFAULT))} | written
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
    faults += [Fault(at, message) for message in other_kit(cells, graph)]
    if len(faults) > before or graph is None or ms is None:
        return None
    device = MeasuredOn(*(cells.get(name, "") for name in (*DESCRIBES, "kit")))
    way = runtime, whole["threads"], cells["precision"], whole["batch"]
    return MeasuredNetwork(cells["network"], graph, ms, *way, device)


def other_kit(cells: Mapping[str, str], graph: Graph | None) -> Iterator[str]:
    """Why a line is none of a kit that this Netlathe could have made."""
    remedy = "make a new kit with `netlathe device kit`"
    if cells.get("kit", KIT) != KIT:
        yield f"it is of a kit {cells['kit']!r}, and this Netlathe reads {KIT}: {remedy}"
    elif graph is not None and "macs" in cells:
        macs = sum(op.macs for op in graph.ops)
        if cells["macs"] != str(macs):
            yield f"{cells['network']} had {cells['macs']} MACs in that kit, and has {macs} here: {remedy}"


def usual_precision(runtime: str) -> str:
    """What a runtime computes in where nothing is said: int8 on microcontrollers, else fp32."""
    name = registry.forecast_name(runtime)
    own = next((r.precisions for r in registry.RUNTIMES.values() if r.forecast_name == name), None)
    return own[0] if own else DEFAULTS["precision"]


def positive(text: str) -> float | None:
    """A positive number, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) and number > 0 else None


def network_named(text: str) -> Net:
    """resnet50, resnet50@160, mobilenetv1:alpha=0.5@128, my.json or model.onnx. Raises NetlatheError."""
    networks = load_any(text)
    if len(networks) != 1:
        raise NetlatheError(f"{text!r} names {len(networks)} networks, but one was measured", code="load.many")
    return networks[0]


def fit_models(networks: list[MeasuredNetwork], today: str) -> list[Model]:
    """A model of each runtime, threads, precision and batch in the measurements."""
    settings: dict[tuple[str, int, str, int], list[MeasuredNetwork]] = defaultdict(list)
    for m in networks:
        settings[m.way].append(m)
    models = []
    for (runtime, threads, precision, batch), group in settings.items():
        rows = [feature_row(m.graph, runtime, batch) for m in group]
        names = [m.name.partition("@")[0] for m in group]
        fitted = fit_measured(rows, [m.ms for m in group], priors_for(runtime), names)
        models.append(
            Model(
                runtime=runtime,
                date=today,
                networks=len(group),
                coefficients=fitted.coefficients,
                parts=fitted.parts,
                unseen=fitted.unseen,
                error=fitted.error,
                threads=threads,
                precision=precision,
                batch=batch,
                held_out="each network left out in turn",
                note=KIT_NOTE if all(m.device.kit for m in group) else NOTE,
                runtime_version=described(group, "runtime_version"),
                machine=", ".join(filter(None, (described(group, name) for name in ("processor", "system")))),
            )
        )
    return models


def described(networks: list[MeasuredNetwork], name: str) -> str:
    """What the first of these that says anything of it says of the device."""
    return next((value for m in networks if (value := getattr(m.device, name))), "")


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
