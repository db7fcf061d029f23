"""The file of a device card: its fields, what they may hold, and every fault of a file at once.

schema = "netlathe.card/1"
id = "rpi-5"                      # as it is named on the command line
name = "Raspberry Pi 5"
class = "single-board computer"
date = 2026-08-01                 # when the figures were looked up

[[figure]]
quantity = "peak"                 # see QUANTITIES
of = "fp32"                       # a precision, a level of memory, or a runtime
value = 153.6
unit = "GFLOP/s"                  # 2 operations a MAC
kind = "derived"                  # see KINDS
unconfirmed = true
source = "..."
note = "4 cores x 2.4 GHz x 16 FLOP a cycle"
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from netlathe.errors import NetlatheError, nearest
from netlathe.units import BYTES

SCHEMA = "netlathe.card/1"
KINDS = ("datasheet", "derived", "measured", "unconfirmed")
CLASSES = (
    *("datacentre gpu", "desktop gpu", "laptop gpu", "embedded gpu", "server cpu", "server cpu core", "desktop cpu"),
    *("laptop cpu", "single-board computer", "phone", "accelerator", "microcontroller"),
)
PRECISIONS = ("fp64", "fp32", "tf32", "fp16", "bf16", "fp8", "int16", "int8", "int4")
LEVELS = ("l1", "l2", "l3", "dram", "psram", "flash", "host", "link")
SCALE = {"GFLOP/s": 1e9, "GOP/s": 1e9, "GB/s": 1e9, "MMAC/s": 1e6} | BYTES


class Quantity(NamedTuple):
    """What a figure may be of (nothing: any text) and its units."""

    of: tuple[str, ...]
    units: tuple[str, ...]


QUANTITIES = {
    "peak": Quantity(PRECISIONS, ("GFLOP/s", "GOP/s")),
    "bandwidth": Quantity(LEVELS, ("GB/s",)),
    "memory": Quantity((), tuple(BYTES)),
    "flash": Quantity((), tuple(BYTES)),
    "sram": Quantity((), tuple(BYTES)),
    "cache": Quantity(("l1", "l2", "l3"), tuple(BYTES)),
    "rate": Quantity((), ("MMAC/s",)),
}
Types = type | tuple[type, ...]
NUMBER = (int, float)
LARGEST = 1e30  # nothing on a card is larger; nan and infinity are not smaller
CARD: dict[str, Types] = {
    "schema": str, "id": str, "name": str, "class": str, "date": (str, date), "notes": str,
    "figure": list, "model": list,
}  # fmt: skip
FIGURE: dict[str, Types] = {
    "quantity": str, "of": str, "value": NUMBER, "unit": str, "kind": str, "source": str, "note": str,
    "unconfirmed": bool, "low": NUMBER, "high": NUMBER,
}  # fmt: skip
MODEL: dict[str, Types] = {
    "runtime": str, "runtime_version": str, "threads": int, "precision": str, "batch": int, "date": (str, date),
    "machine": str, "networks": int, "held_out": str, "coefficients": dict, "roofs": dict, "error": dict, "note": str,
    "operators": list,
}  # fmt: skip
ERROR: dict[str, Types] = {"mape": NUMBER, "p50": NUMBER, "low": NUMBER, "high": NUMBER}
OPERATOR: dict[str, Types] = {
    "of": str, "shape": str, "macs": int, "bytes": int, "warm_ms": NUMBER, "cold_ms": NUMBER,
}  # fmt: skip
NEEDED = {
    "card": ("schema", "id", "name", "class", "date"),
    "figure": ("quantity", "value", "unit", "kind"),
    "model": ("runtime", "date", "networks", "coefficients", "error"),
    "error": tuple(ERROR),
    "operator": tuple(OPERATOR),
}


def read(text: str, source: str) -> dict[str, Any]:
    """The document, checked. Raises one NetlatheError that lists every fault with its place."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise NetlatheError(f"this is not TOML: {error}", code="device.syntax", path=source) from None
    except RecursionError:
        raise NetlatheError("this is nested too deeply to be a card", code="device.syntax", path=source) from None
    faults = Checker().card(document)
    if faults:
        listed = "\n".join(f"  {fault}" for fault in faults)
        raise NetlatheError(
            f"{len(faults)} fault{'s' * (len(faults) > 1)}\n{listed}",
            code="device.invalid",
            path=source,
            hint="`netlathe device show rpi-5 --toml` prints a card that is right",
        )
    return document


class Checker:
    """Gathers the faults of a document instead of stopping at the first."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def fault(self, path: str, message: str) -> None:
        self.faults.append(f"{path}: {message}")

    def legal(self, path: str, value: Any, legal: Sequence[str]) -> None:
        """A word of a set."""
        if isinstance(value, str) and value not in legal:
            close = nearest(value, legal)
            hint = f"did you mean {' or '.join(close)}?" if close else f"legal: {', '.join(legal)}"
            self.fault(path, f"unknown word {value!r} ({hint})")

    def fields(self, table: Any, path: str, types: Mapping[str, Types], what: str) -> bool:
        """Names, presence and types of the fields of a table; whether all of that is right."""
        before = len(self.faults)
        prefix = f"{path}." if path else ""
        if not isinstance(table, dict):
            self.fault(path, f"must be a table, not {table!r:.40}")
            return False
        for key in table:
            if key not in types:
                close = nearest(key, types)
                hint = f" (did you mean {' or '.join(close)}?)" if close else f" (a {what} has {', '.join(types)})"
                self.fault(prefix + key, f"unknown field{hint}")
        for key in NEEDED[what]:
            if key not in table:
                self.fault(prefix + key, "is missing")
        for key, wanted in types.items():
            value = table.get(key)
            if key not in table:
                continue
            if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
                self.fault(prefix + key, f"must be {say(wanted)}, not {value!r:.40}")
            elif isinstance(value, NUMBER) and not abs(value) < LARGEST:
                self.fault(prefix + key, f"must be a number that can be, not {value!r:.40}")
        return len(self.faults) == before

    def card(self, document: dict[str, Any]) -> list[str]:
        """All faults of a card."""
        self.fields(document, "", CARD, "card")
        if "figure" not in document and "model" not in document:
            self.fault("figure", "is missing")
        if document.get("schema", SCHEMA) != SCHEMA:
            self.fault("schema", f"must be {SCHEMA!r}, not {document['schema']!r}: this Netlathe reads no other")
        if isinstance(document.get("id"), str) and not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", document["id"]):
            self.fault("id", f"must be lower-case letters, digits, dots and dashes, not {document['id']!r}")
        if document.get("name") == "":
            self.fault("name", "must not be empty")
        self.legal("class", document.get("class"), CLASSES)
        self.day("date", document.get("date"))
        rows = document.get("figure")
        sound: dict[int, dict[str, Any]] = {}
        for i, row in enumerate(rows if isinstance(rows, list) else []):
            before = len(self.faults)
            if self.fields(row, f"figure[{i}]", FIGURE, "figure"):
                self.figure(row, f"figure[{i}]")
            if len(self.faults) == before:
                sound[i] = row
        self.together(sound)
        models = document.get("model")
        for i, row in enumerate(models if isinstance(models, list) else []):
            if self.fields(row, f"model[{i}]", MODEL, "model"):
                self.model(row, f"model[{i}]")
        return self.faults

    def day(self, path: str, value: Any) -> None:
        """A date as YYYY-MM-DD."""
        if isinstance(value, str):
            try:
                date.fromisoformat(value)
            except ValueError:
                self.fault(path, f"must be a day such as 2026-08-01, not {value!r}")

    def figure(self, row: dict[str, Any], path: str) -> None:
        """One figure: legal words, and a value that can be."""
        self.legal(f"{path}.quantity", row["quantity"], tuple(QUANTITIES))
        self.legal(f"{path}.kind", row["kind"], KINDS)
        quantity = QUANTITIES.get(row["quantity"])
        if quantity is None:
            return
        self.legal(f"{path}.unit", row["unit"], quantity.units)
        if quantity.of:
            self.legal(f"{path}.of", row.get("of", ""), quantity.of)
        elif row["quantity"] == "rate" and not row.get("of"):
            self.fault(f"{path}.of", "a rate needs the name of its runtime")
        if row["quantity"] == "peak" and row.get("of", "").startswith("int") != (row["unit"] == "GOP/s"):
            self.fault(f"{path}.unit", "integer peaks are in GOP/s, floating-point peaks in GFLOP/s")
        if row["value"] <= 0:
            self.fault(f"{path}.value", f"a {row['quantity']} of {row['value']:g} {row['unit']} cannot be")
        low, high = row.get("low", row["value"]), row.get("high", row["value"])
        if not 0 < low <= row["value"] <= high:
            self.fault(path, f"needs 0 < low <= value <= high, not {low:g}, {row['value']:g}, {high:g}")
        if row["kind"] != "unconfirmed" and not row.get("source"):
            self.fault(f"{path}.source", f"a {row['kind']} figure needs its source")

    def together(self, rows: dict[int, dict[str, Any]]) -> None:
        """Figures that contradict one another: said twice, measured above what is possible, a rate above every peak."""
        first: dict[tuple[str, str, str], int] = {}
        for i, row in rows.items():
            key = (row["quantity"], row.get("of", ""), row["kind"])
            if key in first:
                self.fault(
                    f"figure[{i}]", f"says the same as figure[{first[key]}] again ({' '.join(filter(None, key))})"
                )
            first.setdefault(key, i)
        peaks = [row["value"] for row in rows.values() if row["quantity"] == "peak"]
        for i, row in rows.items():
            if row["kind"] == "measured":
                same = ("datasheet", "derived")
                roofs = [first[key] for kind in same if (key := (row["quantity"], row.get("of", ""), kind)) in first]
                for roof in (rows[j]["value"] for j in roofs):
                    if row["quantity"] in ("peak", "bandwidth") and row["value"] > roof:
                        self.fault(
                            f"figure[{i}].value",
                            f"measured {row['value']:g} is above the roof {roof:g}: check the unit",
                        )
            if row["quantity"] == "rate" and peaks and 2e-3 * row["value"] > max(peaks):
                said = f"{row['value']:g} MMAC/s is {2e-3 * row['value']:g} GOP/s"
                self.fault(f"figure[{i}].value", f"{said}, above the highest peak, {max(peaks):g}")

    def model(self, row: dict[str, Any], path: str) -> None:
        """A latency model: coefficients that are not negative, an error bar around the prediction."""
        self.day(f"{path}.date", row["date"])
        self.legal(f"{path}.precision", row.get("precision", "fp32"), PRECISIONS)
        for key in ("threads", "batch", "networks"):
            if row.get(key, 1) < 1:
                self.fault(f"{path}.{key}", f"must be at least 1, not {row[key]}")
        if not row["coefficients"]:
            self.fault(f"{path}.coefficients", "are missing")
        for table in ("coefficients", "roofs"):
            for name, value in row.get(table, {}).items():
                if isinstance(value, bool) or not isinstance(value, NUMBER) or not 0 <= value < LARGEST:
                    self.fault(f"{path}.{table}.{name}", f"must be a number from 0, not {value!r}")
        for i, operator in enumerate(row.get("operators", [])):
            self.operator(operator, f"{path}.operators[{i}]")
        if self.fields(row["error"], f"{path}.error", ERROR, "error"):
            e = row["error"]
            if e["mape"] < 0 or not 0 < e["low"] <= e["p50"] <= e["high"]:
                self.fault(f"{path}.error", "needs mape >= 0 and 0 < low <= p50 <= high")

    def operator(self, row: Any, path: str) -> None:
        """A row of the table of operators: amounts and times that can be."""
        if not self.fields(row, path, OPERATOR, "operator"):
            return
        for key, least in {"macs": 0, "bytes": 1}.items():
            if row[key] < least:
                self.fault(f"{path}.{key}", f"must be at least {least}, not {row[key]}")
        for key in ("warm_ms", "cold_ms"):
            if row[key] <= 0:
                self.fault(f"{path}.{key}", f"a time of {row[key]:g} ms cannot be")


def say(types: Types) -> str:
    """The name of a type, for people."""
    words: dict[Types, str] = {str: "a text", NUMBER: "a number", int: "a whole number", dict: "a table"}
    words |= {bool: "true or false", list: "a list of tables"}
    return words.get(types, "a day")


def write(document: Mapping[str, Any]) -> str:
    """A document as TOML: values, then tables, then lists of tables."""
    return "\n".join(lines(document, "")) + "\n"


def lines(table: Mapping[str, Any], path: str) -> list[str]:
    """The lines of a table; sub-tables under their dotted names."""
    plain = {k: v for k, v in table.items() if not isinstance(v, Mapping | list)}
    found = [f"{key(k)} = {v if k == 'date' else value(v)}" for k, v in plain.items()]
    for k, v in table.items():
        name = f"{path}.{key(k)}" if path else key(k)
        if isinstance(v, Mapping):
            found += ["", f"[{name}]", *lines(v, name)]
        elif isinstance(v, list):
            for row in v:
                found += ["", f"[[{name}]]", *lines(row, name)]
    return found


def key(name: str) -> str:
    """A bare key, or a quoted one."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)


def value(v: Any) -> str:
    """A text, a number or a truth."""
    if isinstance(v, str):
        return json.dumps(v, ensure_ascii=False)
    return str(v).lower() if isinstance(v, bool) else repr(v)
