"""The file of a device card: its fields, what they may hold, and every fault of a file at once.

schema = "netlathe.card/1"
id = "rpi-5"                      # as it is named on the command line
name = "Raspberry Pi 5"
class = "single-board computer"
date = 2026-08-01                 # when the figures were looked up

[[figure]]
quantity = "peak"                 # see vocabulary.py
of = "fp32"                       # a precision, a level of memory, or a runtime
value = 153.6
unit = "GFLOP/s"                  # 2 operations a MAC
kind = "derived"
unconfirmed = true
source = "..."
note = "4 cores x 2.4 GHz x 16 FLOP a cycle"
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Annotated, Any, NotRequired, TypeAlias

from annotated_types import Interval
from typing_extensions import TypedDict

from netlathe.device.population import PARTS
from netlathe.device.vocabulary import PRECISIONS, QUANTITIES, SCHEMA, DeviceClass, Kind, QuantityName
from netlathe.documents.faults import Fault, faults_error, unknown_word
from netlathe.documents.schema import check_document

# Nothing on a card is larger than 1e30; nan and infinity are not smaller.
Number: TypeAlias = Annotated[float, Interval(gt=-1e30, lt=1e30)]


class FigureTable(TypedDict):
    """One number with its source."""

    quantity: QuantityName
    of: NotRequired[str]
    value: Number
    unit: str
    kind: Kind
    source: NotRequired[str]
    note: NotRequired[str]
    unconfirmed: NotRequired[bool]
    low: NotRequired[Number]
    high: NotRequired[Number]


class ErrorTable(TypedDict):
    """The error bar of a latency model."""

    mape: Number
    p50: Number
    low: Number
    high: Number


class OperatorTable(TypedDict):
    """One operator alone."""

    of: str
    shape: str
    macs: int
    bytes: int
    warm_ms: Number
    cold_ms: Number


class ModelTable(TypedDict):
    """A latency model of one runtime."""

    runtime: str
    date: str
    networks: int
    coefficients: NotRequired[dict[str, Number]]
    error: ErrorTable
    runtime_version: NotRequired[str]
    threads: NotRequired[int]
    precision: NotRequired[str]
    batch: NotRequired[int]
    machine: NotRequired[str]
    held_out: NotRequired[str]
    roofs: NotRequired[dict[str, Number]]
    operators: NotRequired[list[OperatorTable]]
    note: NotRequired[str]
    source: NotRequired[str]
    parts: NotRequired[list[Number]]
    unseen: NotRequired[list[str]]
    styles: NotRequired[dict[str, Number]]


CardTable = TypedDict(
    "CardTable",
    {
        "schema": str,
        "id": str,
        "name": str,
        "class": DeviceClass,
        "date": str,
        "notes": NotRequired[str],
        "figure": NotRequired[list[FigureTable]],
        "model": NotRequired[list[ModelTable]],
    },
)
Row: TypeAlias = Mapping[str, Any]


def check_card(document: Row, source: str) -> None:
    """Raise one NetlatheError that lists every fault of a card with its place."""
    _, faults = check_document(CardTable, document)
    faults += head_faults(document, {fault.path for fault in faults})
    sound = dict(sound_rows(document, "figure", faults))
    wrong = {path: figures for path, row in sound.items() if (figures := list(figure_faults(path, row)))}
    faults += [fault for figures in wrong.values() for fault in figures]
    faults += contradictions({path: row for path, row in sound.items() if path not in wrong})
    for path, row in sound_rows(document, "model", faults):
        faults += model_faults(path, row)
    if faults:
        hint = "`netlathe device show rpi-5 --toml` prints a card that is right"
        raise faults_error(faults, code="device.invalid", path=source, hint=hint)


def sound_rows(document: Row, name: str, faults: list[Fault]) -> Iterator[tuple[str, Row]]:
    """The rows of a list of tables that have no fault, by their path."""
    rows = document.get(name)
    for i, row in enumerate(rows if isinstance(rows, list) else ()):
        path = f"{name}[{i}]"
        if not any(fault.path == path or fault.path.startswith(f"{path}.") for fault in faults):
            yield path, row


def head_faults(document: Row, seen: set[str]) -> Iterator[Fault]:
    """What is wrong with the values of the card itself; `seen` are the fields whose type is wrong already."""
    value = {name: document[name] for name in document.keys() - seen}
    if "figure" not in document and "model" not in document:
        yield Fault("figure", "is missing")
    if value.get("schema", SCHEMA) != SCHEMA:
        yield Fault("schema", f"must be {SCHEMA!r}, not {value['schema']!r}: this Netlathe reads no other")
    if "id" in value and not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", value["id"]):
        yield Fault("id", f"must be lower-case letters, digits, dots and dashes, not {value['id']!r}")
    if value.get("name") == "":
        yield Fault("name", "must not be empty")
    if "date" in value:
        yield from day_faults("date", value["date"])


def day_faults(path: str, value: Any) -> Iterator[Fault]:
    """A date as YYYY-MM-DD."""
    try:
        date.fromisoformat(str(value))
    except ValueError:
        yield Fault(path, f"must be a day such as 2026-08-01, not {value!r}")


def figure_faults(path: str, row: Row) -> Iterator[Fault]:
    """What is wrong with one figure: words that do not go together, and values that cannot be."""
    quantity, of, value, unit = row["quantity"], row.get("of", ""), row["value"], row["unit"]
    legal = QUANTITIES[quantity]
    if unit not in legal.units:
        yield unknown_word(f"{path}.unit", unit, legal.units)
    if legal.of and of not in legal.of:
        yield unknown_word(f"{path}.of", of, legal.of)
    elif quantity == "rate" and not of:
        yield Fault(f"{path}.of", "a rate needs the name of its runtime")
    if quantity == "peak" and of.startswith("int") != (unit == "GOP/s"):
        yield Fault(f"{path}.unit", "integer peaks are in GOP/s, floating-point peaks in GFLOP/s")
    if value <= 0:
        yield Fault(f"{path}.value", f"a {quantity} of {value:g} {unit} cannot be")
    low, high = row.get("low", value), row.get("high", value)
    if not 0 < low <= value <= high:
        yield Fault(path, f"needs 0 < low <= value <= high, not {low:g}, {value:g}, {high:g}")
    if row["kind"] != "unconfirmed" and not row.get("source"):
        yield Fault(f"{path}.source", f"a {row['kind']} figure needs its source")


def contradictions(rows: Mapping[str, Row]) -> Iterator[Fault]:
    """Figures that contradict one another: said twice, measured above what is possible, a rate above every peak."""
    first: dict[tuple[str, str, str], str] = {}
    for path, row in rows.items():
        key = (row["quantity"], row.get("of", ""), row["kind"])
        if key in first:
            yield Fault(path, f"says the same as {first[key]} again ({' '.join(filter(None, key))})")
        first.setdefault(key, path)
    peaks = [row["value"] for row in rows.values() if row["quantity"] == "peak"]
    for path, row in rows.items():
        value = row["value"]
        if row["kind"] == "measured" and row["quantity"] in ("peak", "bandwidth"):
            keys = [(row["quantity"], row.get("of", ""), kind) for kind in ("datasheet", "derived")]
            for roof in (rows[first[key]]["value"] for key in keys if key in first):
                if value > roof:
                    yield Fault(f"{path}.value", f"measured {value:g} is above the roof {roof:g}: check the unit")
        if row["quantity"] == "rate" and peaks and 2e-3 * value > max(peaks):
            rate = f"{value:g} MMAC/s is {2e-3 * value:g} GOP/s"
            yield Fault(f"{path}.value", f"{rate}, above the highest peak, {max(peaks):g}")


def model_faults(path: str, row: Row) -> Iterator[Fault]:
    """A latency model: coefficients that are not negative, an error bar around the prediction, times above 0."""
    yield from day_faults(f"{path}.date", row["date"])
    if row.get("precision", "fp32") not in PRECISIONS:
        yield unknown_word(f"{path}.precision", row["precision"], PRECISIONS)
    yield from low_faults(path, row, {"threads": 1, "batch": 1, "networks": 1})
    parts = row.get("parts")
    if not row.get("coefficients") and not parts:
        yield Fault(f"{path}.coefficients", "are missing")
    for name in row.get("unseen", ()):
        if name not in PARTS:
            yield unknown_word(f"{path}.unseen", name, tuple(PARTS))
    if parts is not None and (len(parts) != len(PARTS) or min(parts, default=0) <= 0):
        yield Fault(f"{path}.parts", f"must be {len(PARTS)} numbers above 0: of {', '.join(PARTS)}")
    for table in ("coefficients", "roofs", "styles"):
        for name, value in row.get(table, {}).items():
            if value < 0:
                yield Fault(f"{path}.{table}.{name}", f"must be a number from 0, not {value!r}")
    for i, operator in enumerate(row.get("operators", ())):
        yield from low_faults(f"{path}.operators[{i}]", operator, {"macs": 0, "bytes": 1})
        for name in ("warm_ms", "cold_ms"):
            if operator[name] <= 0:
                yield Fault(f"{path}.operators[{i}].{name}", f"a time of {operator[name]:g} ms cannot be")
    error = row["error"]
    if error["mape"] < 0 or not 0 < error["low"] <= error["p50"] <= error["high"]:
        yield Fault(f"{path}.error", "needs mape >= 0 and 0 < low <= p50 <= high")


def low_faults(path: str, row: Row, least: Mapping[str, int]) -> Iterator[Fault]:
    """Numbers that are given and below their least."""
    for name, bound in least.items():
        if row.get(name, bound) < bound:
            yield Fault(f"{path}.{name}", f"must be at least {bound}, not {row[name]}")
