"""Rounding rules by name: how a scaled width or depth becomes a whole number is part of an architecture."""

from __future__ import annotations

from math import ceil

from netlathe.arch.leaf import need


def floor(value: float, divisor: int = 1) -> int:
    """Down to a multiple, at least one (MobileNetV1's alpha: every published width divides)."""
    need(value > 0, f"a width must be positive, not {value:g}")
    return max(divisor, int(value / divisor) * divisor)


def ten_percent(value: float, divisor: int = 8) -> int:
    """To the nearest multiple, but never more than 10 % down (`_make_divisible`, MobileNetV2's released code)."""
    need(value > 0, f"a width must be positive, not {value:g}")
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def nearest(value: float, divisor: int = 8) -> int:
    """To the nearest multiple, halves to even (RegNet's quantised widths and group widths)."""
    return int(round(value / divisor) * divisor)


def up(value: float) -> int:
    """Up to a whole number (EfficientNet's repeats)."""
    return ceil(value)
