"""A table on a terminal: what is important stands whole; what has no room is left out, and a line says so.

No figure is ever cut. Columns are left out by priority, the rightmost of the least important first, until what remains
fits; text that may wrap gives way before a column does, down to `WRAPPED` characters. Only where the columns that
always stand are too wide together are their words shortened, the longest first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from netlathe.escapes import escape_line, escape_text
from netlathe.tables.table import Table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

WRAPPED = 16  # characters that a column of wrapping text keeps at least
SHORTENED = 12  # and one whose words are shortened
GAP = 3  # between two columns, with the line between them, which is empty
TALL = 2000  # rows from which on a table is text alone
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

    lines = [table.headings, *shown_cells(table)]
    return [max(cell_len(part) for line in lines for part in line[i].split("\n")) for i in range(len(table.columns))]


def shown_cells(table: Table, columns: Sequence[int] | None = None) -> list[list[str]]:
    """The texts as a terminal shows them, of all columns or of those: nothing in them steers it, and only those that
    wrap have lines of their own."""
    shown = table.columns if columns is None else [table.columns[i] for i in columns]
    escapes = [(column, escape_text if column.wraps else escape_line) for column in shown]
    return [[escape(column.cell(row)) for column, escape in escapes] for row in table.rows]


def needed(sizes: Mapping[int, int]) -> int:
    """Characters that a line of columns of these sizes takes."""
    return sum(sizes.values()) + GAP * len(sizes) + 1


def render(table: Table, console: Console, width: int | None = None) -> None:
    """Print a table within `width` characters; None shows every column whole."""
    from rich.text import Text

    if len(table.rows) > TALL:
        console.file.writelines(plain_lines(table))
        return
    if width is None:
        title, caption = (Text(escape_text(text)) if text else None for text in (table.title, table.caption))
        console.print(grid(table, title=title, caption=caption))
        return
    sizes = fit(table, width)
    if table.title:
        console.print(Text(escape_text(table.title), style="italic"), width=width)
    # Wider than the terminal where figures need it: the terminal breaks the line, and nothing is cut.
    console.print(grid(table, sizes), width=max(width, needed(sizes)))
    left_out = [column.name or column.heading for i, column in enumerate(table.columns) if i not in sizes]
    notes = [table.caption, f"not shown: {', '.join(left_out)} (--wide shows all columns)" if left_out else ""]
    for note in filter(None, notes):
        console.print(Text(escape_text(note), style="dim"), width=width)


def plain_lines(table: Table) -> Iterator[str]:
    """The lines of a table of very many rows, every column as wide as it needs; rich takes a millisecond for each."""
    from rich.cells import cell_len, set_cell_size

    rows = [[text.replace("\n", " ") for text in texts] for texts in shown_cells(table)]
    lines = [list(table.headings), *rows]
    widths = [max(cell_len(texts[i]) for texts in lines) for i in range(len(table.columns))]

    def line(cells: Iterable[str]) -> str:
        parts = []
        for column, width, text in zip(table.columns, widths, cells, strict=True):
            parts.append(set_cell_size(text, width) if column.text else text.rjust(width))
        return f"  {'   '.join(parts)}\n"

    yield f"{escape_text(table.title)}\n" if table.title else ""
    yield line(table.headings)
    yield f" {'─' * (needed(dict(enumerate(widths))) - 2)}\n"
    yield from map(line, rows)
    yield f"{escape_text(table.caption)}\n" if table.caption else ""


def grid(table: Table, sizes: Mapping[int, int] | None = None, **frame: Any) -> RichTable:
    """The lines of a table: all columns as wide as they need, or those of `sizes`."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as RichTable
    from rich.text import Text

    lines = RichTable(box=SIMPLE_HEAD, title_justify="left", caption_justify="left", **frame)
    shown = [table.columns[i] for i in (range(len(table.columns)) if sizes is None else sizes)]
    for column, size in zip(shown, [None] * len(shown) if sizes is None else sizes.values(), strict=True):
        lines.add_column(
            Text(escape_line(column.heading)),
            justify="left" if column.text else "right",
            no_wrap=not column.wraps,
            width=size,
            overflow="fold" if column.wraps else "ellipsis",
        )
    for row, texts in zip(table.rows, shown_cells(table, None if sizes is None else list(sizes)), strict=True):
        looks = (STYLES.get(column.look(row), "") for column in shown)
        lines.add_row(*(Text(text, style=look) for text, look in zip(texts, looks, strict=True)))
    return lines
