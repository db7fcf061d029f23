"""A table on a terminal: what is important stands whole; what has no room is left out, and a line says so.

No number is ever cut. Columns are left out by priority, the rightmost of the least important first, until what remains
fits. Text that may wrap gives way before a column does, down to `WRAPPED` characters.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from netlathe.tables.table import Column, Table

if TYPE_CHECKING:
    from rich.console import Console

WRAPPED = 18  # characters that a column of wrapping text keeps at least
GAP = 2  # blanks around a cell, one at each side, and the line between two columns is empty
UNLIMITED = 1000  # a pipe or a file gets everything


def fit(table: Table, width: int | None) -> tuple[Table, list[Column]]:
    """The table with the columns that a width has room for, and those that it has not; None is no limit."""
    kept = list(table.columns)
    if width is None:
        return table, []
    widths = dict(zip(map(id, table.columns), natural_widths(table), strict=True))
    place = dict(zip(map(id, table.columns), count()))
    while needed(kept, widths) > width:
        optional = [column for column in kept if column.priority > 1]
        if not optional:
            break
        kept.remove(max(optional, key=lambda column: (column.priority, place[id(column)])))
    left_out = [column for column in table.columns if all(column is not other for other in kept)]
    return table.keep(kept), left_out


def natural_widths(table: Table) -> list[int]:
    """Characters that each column needs when nothing wraps."""
    from rich.cells import cell_len

    lines = [table.headings, *table.cells()]
    return [max(cell_len(line[i]) for line in lines) for i in range(len(table.columns))]


def needed(columns: list[Column], widths: dict[int, int]) -> int:
    """Characters that a line of the table takes at least."""
    least = [min(widths[id(column)], WRAPPED) if column.wraps else widths[id(column)] for column in columns]
    return sum(least) + (GAP + 1) * len(columns) + 1


def narrowest(table: Table) -> int:
    """Characters that a table takes at least: a terminal that is narrower still wraps lines, and cuts nothing."""
    return needed(list(table.columns), dict(zip(map(id, table.columns), natural_widths(table), strict=True)))


def render(table: Table, console: Console, *, width: int | None = None) -> None:
    """Print a table, within `width` characters; None shows every column."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as RichTable
    from rich.text import Text

    shown, left_out = fit(table, width)
    lines = [shown.caption] if shown.caption else []
    if left_out:
        lines.append(f"no room for {', '.join(column.heading for column in left_out)}: --wide shows all columns")
    grid = RichTable(
        title=shown.title,
        box=SIMPLE_HEAD,
        title_justify="left",
        caption="\n".join(lines) or None,
        caption_justify="left",
    )
    for column in shown.columns:
        grid.add_column(
            column.heading,
            justify="left" if column.text else "right",
            no_wrap=not column.wraps,
            style=column.style or None,
        )
    for cells in shown.cells():
        grid.add_row(*map(Text, cells))
    console.print(grid, width=None if width is None else max(width, narrowest(shown)))
