"""What a calibration measured, kept beside the card: to fit its model again, and to look at.

One JSON file a model, by runtime, precision and threads. Networks, probes and operators go by their names, which this
version of Netlathe has to know for a refit.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from netlathe import zoo
from netlathe.arch.network import Network
from netlathe.bench.calibrate import NETWORKS, Calibration, Conditions, TimedNetwork, card_of, fit_calibration
from netlathe.bench.machine import this_machine
from netlathe.bench.operators import operator_networks
from netlathe.bench.probes import probe_networks
from netlathe.device.card import DeviceCard, Model, save
from netlathe.errors import NetlatheError
from netlathe.files import make_folder, write_json

FORMAT = 1


def raw_path(card: Path, model: Model) -> Path:
    """Beside a card: my-server.onnxruntime-fp32-1.json."""
    return card.with_suffix(f".{model.runtime}-{model.precision}-{model.threads}.json")


def write_raw(card: Path, runtime: str, calibration: Calibration) -> Path:
    """Keep what a calibration of `runtime` (its name here) measured; returns the file."""
    c, m, path = calibration, calibration.model, raw_path(card, calibration.model)
    conditions = Conditions(runtime, m.runtime_version, m.precision, m.threads, m.machine, m.date)
    timed = (*c.operators, *c.probes, *c.networks)
    times = [{"network": t.network.name, "ms": t.ms, "cold_ms": t.cold_ms} for t in timed]
    load = {"foreign_load": c.foreign_load, "slowdown": c.slowdown}
    write_json(path, {"format": FORMAT, **conditions._asdict(), **load, "times": times})
    return path


def save_calibrations(
    path: Path, calibrations: Sequence[tuple[str, Calibration]], before: DeviceCard | None, *, cuda: bool = False
) -> None:
    """Write the card of this machine with what was calibrated under each runtime, and the measurements beside it."""
    make_folder(path.parent)
    save(card_of(this_machine(), [one for _, one in calibrations], before, cuda=cuda), path)
    for runtime, calibration in calibrations:
        write_raw(path, runtime, calibration)


def read_raw_files(card: Path) -> list[tuple[str, Calibration]]:
    """Every calibration kept beside a card, fitted again. Raises NetlatheError where there is none."""
    files = sorted(card.parent.glob(f"{card.stem}.*-*-*.json"))
    if not files:
        hint = "netlathe device calibrate measures, and keeps what it measured"
        raise NetlatheError(
            "nothing that was measured is kept beside this card", code="device.raw", path=str(card), hint=hint
        )
    return [refit(path) for path in files]


def refit(path: Path) -> tuple[str, Calibration]:
    """The runtime and the calibration of a kept file, fitted by the present code.

    Raises NetlatheError where it cannot be read.
    """
    try:
        document = json.loads(path.read_text())
        conditions = Conditions(**{name: document[name] for name in Conditions._fields})
        by_name = {network.name: network for network in calibration_networks()}
        timed = [timed_network(by_name[row["network"]], row) for row in document["times"] if row["network"] in by_name]
        loads = float(document["foreign_load"]), float(document["slowdown"])
        return conditions.runtime, fit_calibration(conditions, timed, *loads)
    except OSError as error:
        raise NetlatheError(f"cannot read this file: {error.strerror}", code="device.raw", path=str(path)) from None
    except (ValueError, KeyError, TypeError) as error:
        hint = "netlathe device calibrate measures anew"
        message = f"these are no measurements of a calibration: {type(error).__name__} {error}"
        raise NetlatheError(message, code="device.raw", path=str(path), hint=hint) from None


def timed_network(network: Network, row: dict[str, Any]) -> TimedNetwork:
    """A row of the file."""
    return TimedNetwork(network, network.graph(), float(row["ms"]), float(row["cold_ms"]))


def calibration_networks() -> list[Network]:
    """All that a calibration may have measured."""
    return [*operator_networks(), *probe_networks(), *(zoo.get(name) for name in NETWORKS)]
