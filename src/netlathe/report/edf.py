"""A picture of empirical distributions: one staircase a set of values, as SVG."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

from netlathe.reshape.regnet_space import edf

WIDE, HIGH, LEFT, FOOT = 480, 300, 48, 40
COLOURS = ("#1b6ca8", "#c8553d", "#588157", "#7b5ea7", "#d4a017", "#444444")


def picture(sets: Mapping[str, Iterable[float]], label: str) -> str:
    """The distributions of named sets of values; `label` names the value and its unit."""
    curves = {name: edf(values) for name, values in sets.items()}
    everything = [value for curve in curves.values() for value, _ in curve]
    low, high = min(everything), max(everything)
    span = (high - low) or 1.0

    def place(value: float, share: float) -> str:
        x = LEFT + (value - low) / span * (WIDE - LEFT - 12)
        return f"{x:.1f},{12 + (1 - share) * (HIGH - FOOT - 12):.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {HIGH}" font-family="sans-serif" font-size="12">',
        f'<path d="M{place(low, 1)} L{place(low, 0)} L{place(high, 0)}" fill="none" stroke="#888"/>',
        f'<text x="{WIDE / 2}" y="{HIGH - 6}" text-anchor="middle">{escape(label)}</text>',
        f'<text x="{LEFT}" y="{HIGH - FOOT + 16}">{low:g}</text>',
        f'<text x="{WIDE - 12}" y="{HIGH - FOOT + 16}" text-anchor="end">{high:g}</text>',
        f'<text x="{LEFT - 6}" y="20" text-anchor="end">1</text>',
        f'<text x="{LEFT - 6}" y="{HIGH - FOOT}" text-anchor="end">0</text>',
    ]
    for i, (name, curve) in enumerate(curves.items()):
        before, path = 0.0, []
        for value, share in curve:
            path += [place(value, before), place(value, share)]
            before = share
        colour = COLOURS[i % len(COLOURS)]
        parts.append(f'<polyline points="{" ".join(path)}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(f'<text x="{LEFT + 12}" y="{28 + 16 * i}" fill="{colour}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>\n"])
