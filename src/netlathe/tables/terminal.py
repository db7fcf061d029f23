"""A table on a terminal: what is important stands whole; what has no room is left out, and a line says so.

No figure is ever cut. Columns are left out by priority, the rightmost of the least important first, until what remains
fits; text that may wrap gives way before a column does, down to `WRAPPED` characters. Only where the columns that
always stand are too wide together are their words shortened, the longest first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from netlathe.tables.table import Table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

WRAPPED = 16  # characters that a column of wrapping text keeps at least
SHORTENED = 12  # and one whose words are shortened
GAP = 3  # between two columns, with the line between them, which is empty
UNLIMITED = 1000  # a pipe or a file gets everything
STYLES = {"kept": "green", "over": "red", "open": "yellow", "none": "dim"}


def fit(table: Table, width: int) -> dict[int, int]:
    """The columns that `width` characters have room for, by index, and the characters that each gets."""
    columns, natural = table.columns, natural_widths(table)
    least = [min(size, WRAPPED) if column.wraps else size for size, column in zip(natural, columns, strict=True)]
    sizes = {i: least[i] for i, column in enumerate(columns) if column.priority == 1}
    for priority in sorted({column.priority for column in columns} - {1}):
        level = [i for i, column in enumerate(columns) if column.priority == priority]
        sizes |= {i: least[i] for i in level}
        if needed(sizes) <= width:
            continue
        while level and needed(sizes) > width:
            del sizes[level.pop()]
        break  # nothing less important stands where something more important does not
    while needed(sizes) > width:
        words = [i for i in sizes if columns[i].text and sizes[i] > SHORTENED]
        if not words:
            break
        sizes[max(words, key=sizes.__getitem__)] -= 1
    for i in sorted(i for i in sizes if columns[i].wraps):  # what is left goes to the texts that wrap, the first first
        sizes[i] += max(0, min(width - needed(sizes), natural[i] - sizes[i]))
    return dict(sorted(sizes.items()))


def natural_widths(table: Table) -> list[int]:
    """Characters that each column takes when nothing wraps."""
    from rich.cells import cell_len

    lines = [table.headings, *table.cells()]
    return [max(cell_len(part) for line in lines for part in line[i].split("\n")) for i in range(len(table.columns))]


def needed(sizes: Mapping[int, int]) -> int:
    """Characters that a line of columns of these sizes takes."""
    return sum(sizes.values()) + GAP * len(sizes) + 1


def render(table: Table, console: Console, width: int | None = None) -> None:
    """Print a table within `width` characters; None shows every column whole."""
    if width is None:
        console.print(grid(table, title=table.title or None, caption=table.caption or None))
        return
    from rich.text import Text

    sizes = fit(table, width)
    if table.title:
        console.print(Text(table.title, style="italic"), width=width)
    # Wider than the terminal where figures need it: the terminal breaks the line, and nothing is cut.
    console.print(grid(table, sizes), width=max(width, needed(sizes)))
    left_out = [column.name or column.heading for i, column in enumerate(table.columns) if i not in sizes]
    notes = [table.caption, f"not shown: {', '.join(left_out)} (--wide shows all columns)" if left_out else ""]
    for note in filter(None, notes):
        console.print(Text(note, style="dim"), width=width)


def grid(table: Table, sizes: Mapping[int, int] | None = None, **frame: Any) -> RichTable:
    """The lines of a table: all columns as wide as they need, or those of `sizes`."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as RichTable
    from rich.text import Text

    lines = RichTable(box=SIMPLE_HEAD, title_justify="left", caption_justify="left", **frame)
    shown = [table.columns[i] for i in (range(len(table.columns)) if sizes is None else sizes)]
    for column, size in zip(shown, [None] * len(shown) if sizes is None else sizes.values(), strict=True):
        lines.add_column(
            column.heading,
            justify="left" if column.text else "right",
            no_wrap=not column.wraps,
            width=size,
            overflow="fold" if column.wraps else "ellipsis",
        )
    for row in table.rows:
        lines.add_row(*(Text(column.cell(row), style=STYLES.get(column.look(row), "")) for column in shown))
    return lines
