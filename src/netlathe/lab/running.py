"""How a device can run a network: the runtimes, precisions and threads that its card knows something of."""

from __future__ import annotations

from typing import NamedTuple

from netlathe.choose.place import MCU
from netlathe.cost.count import BYTES
from netlathe.device import micro
from netlathe.device.card import DeviceCard
from netlathe.errors import unknown
from netlathe.runtimes.registry import DEFAULT


class Run(NamedTuple):
    """A runtime, a precision and a number of threads."""

    runtime: str
    precision: str
    threads: int

    @property
    def name(self) -> str:
        """As an address writes it: onnxruntime/fp32/1."""
        return f"{self.runtime}/{self.precision}/{self.threads}"

    @property
    def said(self) -> str:
        """For people: onnxruntime, fp32, 1 thread."""
        return f"{self.runtime}, {self.precision}, {self.threads} thread{'s' * (self.threads > 1)}"


def runs(card: DeviceCard) -> list[Run]:
    """Models first, then rates of a runtime, then the precisions with a peak; fp32 before others. Never empty."""
    if card.class_ == MCU:
        rates = [figure.of for figure in card.find("rate")]
        return [Run(name, "int8", 1) for name in rates or [micro.ENGINE]]
    found = [Run(m.runtime, m.precision, m.threads) for m in card.models]
    found += [Run(figure.of, "fp32", 1) for figure in card.find("rate")]
    if not found:
        found = [Run(DEFAULT, precision, 1) for precision in card.precisions if precision in BYTES]
    found.sort(key=lambda run: (run.precision != "fp32", run.threads))
    return list(dict.fromkeys(found)) or [Run(DEFAULT, "fp32", 1)]


def run_of(card: DeviceCard, name: str) -> Run:
    """The run of that name, else the first. Raises NetlatheError for one that the device does not have."""
    found = {run.name: run for run in runs(card)}
    if name and name not in found:
        raise unknown(f"way to run a network on {card.id}", name, found, code="lab.run")
    return found[name] if name else next(iter(found.values()))
