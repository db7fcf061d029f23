"""Limits: what a deployed network has to keep, as a budget file says it.

    latency = "10ms"      of a batch, in the package's runtime, precision and threads
    size = "8MB"          of the files that are deployed
    memory = "64MB"       weights and peak activations of a batch
    macs = "300M"         of one image
    accuracy = 0.9        share of images, 0 to 1
All are optional, but one is needed. A package holds the same table under `budget`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from netlathe.deploy.package import FILE, Package
from netlathe.documents.faults import Fault, faults_error, unknown_field
from netlathe.documents.toml import read_toml
from netlathe.errors import NetlatheError
from netlathe.units import byte_count, mac_count, milliseconds, show_bytes, show_count, show_ms


def read_share(value: object) -> float:
    """0.9 -> 0.9. Raises NetlatheError for what is no share."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NetlatheError(f"must be a number between 0 and 1, not {value!r:.40}", hint="write 0.9")
    if not 0 < value <= 1:
        hint = f"write {value / 100:g}" if 1 < value <= 100 else "write 0.9"
        raise NetlatheError(f"must be a share between 0 and 1, not {value:g}", hint=hint)
    return float(value)


def show_share(value: float) -> str:
    """0.9137 -> 91.37 %"""
    return f"{100 * value:.2f} %"


def from_text(read: Callable[[str], float]) -> Callable[[object], float]:
    """A reader of quantities, for values that must be text: a bare number has no unit."""

    def reader(value: object) -> float:
        if not isinstance(value, str):
            raise NetlatheError(f"must be text with a unit, not {value!r:.40}")
        return read(value)

    return reader


class LimitKind(NamedTuple):
    """One kind of limit: how a value is read and printed, and an example. Only accuracy is a limit from below."""

    read: Callable[[object], float]
    show: Callable[[float], str]
    example: str
    at_least: bool = False


KINDS = {
    "latency": LimitKind(from_text(milliseconds), show_ms, '"10ms"'),
    "size": LimitKind(from_text(byte_count), show_bytes, '"8MB"'),
    "memory": LimitKind(from_text(byte_count), show_bytes, '"64MB"'),
    "macs": LimitKind(from_text(mac_count), show_count, '"300M"'),
    "accuracy": LimitKind(read_share, show_share, "0.9", at_least=True),
}
EXAMPLE = "\n".join(f"{name} = {kind.example}" for name, kind in KINDS.items())


def parse_limits(table: Mapping[str, Any], source: str) -> dict[str, float]:
    """The limits of a table in base units (ms, bytes, MACs, share). Raises NetlatheError with every fault."""
    values: dict[str, float] = {}
    faults = []
    for name, value in table.items():
        if name not in KINDS:
            faults.append(unknown_field("", name, KINDS, "limit"))
            continue
        try:
            values[name] = KINDS[name].read(value)
        except NetlatheError as error:
            fix = error.hint or f"write {name} = {KINDS[name].example}"
            faults.append(Fault(name, f"{error.message} ({fix})"))
    if faults:
        raise faults_error(faults, code="budget.invalid", path=source, hint=f"a budget that is right:\n{EXAMPLE}")
    if not values:
        message = "this budget limits nothing, so there is nothing to check"
        hint = f"give a budget file, such as budget.toml with\n{EXAMPLE}"
        raise NetlatheError(message, code="budget.empty", path=source, hint=hint)
    return values


def read_limits(path: str | Path) -> dict[str, float]:
    """The limits of a budget file. Raises NetlatheError for one that cannot be read, and with every fault in it."""
    return parse_limits(read_toml(path, code="budget.syntax", what="a budget"), str(path))


def package_limits(package: Package) -> dict[str, float]:
    """The limits that a package was made for."""
    return parse_limits(package.budget, f"{package.folder / FILE}: budget")
