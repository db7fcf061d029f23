"""Quantities with units: how people write budgets, and how figures are printed. A bare number is an error."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import ceil, log10

from netlathe.errors import NetlatheError

TIMES = {"us": 1e-3, "ms": 1.0, "s": 1e3}  # to milliseconds
SPANS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}  # to seconds
DECIMAL_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}
BYTES = DECIMAL_BYTES | {"KB": 10**3, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
COUNTS = {"k": 10**3, "M": 10**6, "G": 10**9}
LEAST_PERCENT = 1.0  # an accuracy below is a share by mistake
Units = Mapping[str, float]


def quantity(text: str, units: Units, what: str, example: str) -> float:
    """The number in base units of a text such as 15ms. Raises NetlatheError with the text as it should be."""
    match = re.fullmatch(r"\s*([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z]*)\s*", text)
    legal = ", ".join(units)
    try:
        number = float(match[1]) if match else float("nan")
    except ValueError:
        number = float("nan")
    if match is None or number != number:
        raise NetlatheError(
            f"{text!r} is not a {what}", code="unit.syntax", hint=f"write a number and a unit: {example}"
        )
    unit = match[2]
    if not unit:
        hint = f"write {match[1]}{example.lstrip('0123456789.')} (units: {legal})"
        raise NetlatheError(f"the {what} {text!r} has no unit", code="unit.missing", hint=hint)
    if unit not in units:
        close = [name for name in units if name.lower() == unit.lower()]
        hint = (f"did you mean {match[1]}{close[0]}? " if close else "") + f"units: {legal}"
        raise NetlatheError(f"unknown unit {unit!r} in the {what} {text!r}", code="unit.unknown", hint=hint)
    number *= units[unit]
    if number <= 0 or number == float("inf"):
        raise NetlatheError(
            f"the {what} must be positive and finite, not {text}", code="unit.range", hint=f"for example {example}"
        )
    return number


def read_digits(text: str) -> int | None:
    """A whole number of at most 15 digits, as they are written; None for any other text."""
    return int(text) if text.isdecimal() and len(text) <= 15 else None


def whole_quantity(text: str, units: Units, what: str, example: str) -> int:
    """The same of what cannot be divided, rounded down. Raises NetlatheError also for less than one."""
    number = int(quantity(text, units, what, example))
    if number < 1:
        hint = f"for example {example}"
        raise NetlatheError(f"the {what} must be at least 1, not {text}", code="unit.range", hint=hint)
    return number


def milliseconds(text: str) -> float:
    """15ms -> 15.0"""
    return quantity(text, TIMES, "latency", "15ms")


def seconds(text: str) -> float:
    """30m -> 1800.0"""
    return quantity(text, SPANS, "time", "30m")


def byte_count(text: str) -> int:
    """4MB -> 4000000, 4MiB -> 4194304"""
    return whole_quantity(text, BYTES, "size", "4MB")


def mac_count(text: str) -> int:
    """300M -> 300000000"""
    return whole_quantity(text, COUNTS, "number of MACs", "300M")


def percentage(text: str) -> float:
    """76.5 or 76.5 % -> 76.5. Raises NetlatheError for a share such as 0.765, which asks whether 76.5 is meant."""
    plain = text.strip().removesuffix("%").strip()
    try:
        number = float(plain)
    except ValueError:
        number = float("nan")
    if 0 < number < LEAST_PERCENT:
        hint = f"an accuracy is a percentage: write {100 * number:g}"
        message = f"--top1 {text} is less than one percent: is {100 * number:g} meant?"
        raise NetlatheError(message, code="unit.range", hint=hint)
    if not LEAST_PERCENT <= number < 100:
        hint = "for example 75"
        raise NetlatheError(f"--top1 is a percentage between 0 and 100, not {text!r}", code="unit.range", hint=hint)
    return number


def show_count(number: float) -> str:
    """4089184256 -> 4.089 G; four digits."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(number) >= size:
            return f"{number / size:.4g} {unit}"
    return f"{number:.4g}"


def show_bytes(number: float) -> str:
    """102228128 -> 102.2 MB; decimal units, four digits."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(number) >= size:
            return f"{number / size:.4g} {unit}"
    return f"{number:.4g} B"


def show_ms(number: float) -> str:
    """0.0123 -> 0.0123 ms; three digits."""
    return f"{number:.3g} ms" if number < 1000 else f"{number / 1000:.3g} s"


def show_rate(flops: float) -> str:
    """FLOPs a second: 3.12e14 -> 312 TFLOP/s; three digits."""
    unit, size = ("TFLOP/s", 1e12) if flops >= 1e12 else ("GFLOP/s", 1e9)
    return f"{flops / size:.3g} {unit}"


def show_span(number: float) -> str:
    """Seconds as people say them: 95 -> 1 min 35 s"""
    if number < 10:
        return f"{number:.1f} s"
    minutes, rest = divmod(round(number), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{hours} h"] * (hours > 0) + [f"{minutes} min"] * (hours + minutes > 0) + [f"{rest} s"] * (hours == 0)
    return " ".join(parts)


def show_percent(share: float, digits: int = 1) -> str:
    """0.4217 -> 42.2 %"""
    return f"{100 * share:.{digits}f} %"


def show_points(accuracy: float) -> str:
    """An accuracy in %, under a heading that says so: 76.13 -> 76.1"""
    return f"{accuracy:.1f}"


def show_ratio(ratio: float) -> str:
    """What a change multiplies a cost by: 0.5 -> x 0.50"""
    return f"x {ratio:.2f}"


def show_interval(low_ms: float, high_ms: float) -> str:
    """Both ends of a latency, three digits: 9.87 to 10.2 ms"""
    unit, ms = ("ms", 1) if high_ms < 1000 else ("s", 1000)
    return f"{low_ms / ms:.3g} to {high_ms / ms:.3g} {unit}"


def show_intensity(flops_per_byte: float) -> str:
    """FLOPs per byte, under a heading that says so: 26.64 -> 26.6"""
    return f"{flops_per_byte:.1f}"


def show_shape(shape: Iterable[int]) -> str:
    """(3, 224, 224) -> 3x224x224"""
    return "x".join(map(str, shape))


def ask(number: float, units: Units) -> str:
    """A quantity as an option takes it, rounded up to three digits: 1902304 with DECIMAL_BYTES -> 1.91MB."""
    unit = max(
        (u for u in units if units[u] <= number), key=lambda u: units[u], default=min(units, key=lambda u: units[u])
    )
    value = number / units[unit]
    step = 10.0 ** (int(log10(value)) - 2) if value >= 1 else 0.001
    return f"{round(ceil(value / step - 1e-9) * step, 3):g}{unit}"
