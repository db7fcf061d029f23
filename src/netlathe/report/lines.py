"""lines(): named curves in one frame, as SVG that opens in any browser, light or dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

WIDE, HIGH, LEFT, RIGHT, TOP, FOOT = 560, 340, 64, 16, 16, 48
COLOURS = ("#1b6ca8", "#c8553d", "#588157", "#7b5ea7", "#d4a017", "#5b6470", "#c2407e", "#2a9d8f")
DASHES = ("", "7 3", "2 3", "9 3 2 3", "5 5", "1 4", "12 3", "3 3 8 3")  # a second sign beside the colour


def lines(curves: Mapping[str, Sequence[tuple[float, float]]], x_label: str, y_label: str) -> str:
    """Curves by name; both axes linear, from the smallest to the largest value."""
    points = [point for curve in curves.values() for point in curve]
    (x0, x1), (y0, y1) = ((min(v), max(v)) for v in zip(*points, strict=True))

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x0) / ((x1 - x0) or 1) * (WIDE - LEFT - RIGHT)
        return LEFT + across, TOP + (1 - (y - y0) / ((y1 - y0) or 1)) * (HIGH - TOP - FOOT)

    def text(x: float, y: float, said: str, anchor: str = "start") -> str:
        return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(said)}</text>'

    bottom, middle = HIGH - FOOT, TOP + (HIGH - TOP - FOOT) / 2
    size = f'viewBox="0 0 {WIDE} {HIGH}" width="{WIDE}" height="{HIGH}"'
    style = (
        "text{font:12px system-ui,sans-serif;fill:#1b1f24}.page{fill:#fff}.axis{stroke:#888;fill:none}"
        "@media (prefers-color-scheme: dark){text{fill:#e8eaed}.page{fill:#16181c}}"
    )
    said = escape(f"{y_label} over {x_label}")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{said}">',
        f"<style>{style}</style>",
        f'<rect class="page" width="{WIDE}" height="{HIGH}"/>',
        f'<path class="axis" d="M{LEFT} {TOP} V{bottom} H{WIDE - RIGHT}"/>',
        text((LEFT + WIDE - RIGHT) / 2, HIGH - 10, x_label, "middle"),
        f'<text x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">{escape(y_label)}</text>',
        text(LEFT, bottom + 16, f"{x0:.3g}"),
        text(WIDE - RIGHT, bottom + 16, f"{x1:.3g}", "end"),
        text(LEFT - 6, TOP + 10, f"{y1:.3g}", "end"),
        text(LEFT - 6, bottom, f"{y0:.3g}", "end"),
    ]
    for i, (name, curve) in enumerate(curves.items()):
        colour, dash = COLOURS[i % len(COLOURS)], DASHES[i % len(DASHES)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in curve))
        look = f'fill="none" stroke="{colour}" stroke-width="1.8" stroke-dasharray="{dash}"'
        parts.append(f'<polyline points="{path}" {look}><title>{escape(name)}</title></polyline>')
        y = TOP + 14 + 17 * i
        parts.append(f'<path d="M{LEFT + 12} {y - 4} h22" {look}/>' + text(LEFT + 40, y, name))
    return "\n".join([*parts, "</svg>\n"])
