"""A table on a page: every column, words at the left, figures at the right; a long text takes several lines."""

from __future__ import annotations

from typing import Any

from netlathe.html import Html, tag
from netlathe.html import table as html_table
from netlathe.tables.table import Column, Table

LONG = 40  # characters of a cell, beyond which it is broken into lines


def render_html(table: Table, label: str = "") -> Html:
    """The table as HTML; `label` is what a screen reader calls it. The first cell of a row names the row."""
    rows = [[table.columns[0].cell(row), *(cell(column, row) for column in table.columns[1:])] for row in table.rows]
    kinds = ["text" if column.text else None for column in table.columns]
    return html_table(table.headings, rows, label=label or table.title, alignments=kinds)


def cell(column: Column, row: Any) -> Html:
    """A cell with the classes of its column and its value."""
    text = column.cell(row)
    prose = column.text and (column.wraps or len(text) > LONG)
    classes = ["text"] * column.text + ["prose"] * prose + [column.look(row)]
    return tag("td", text, class_=" ".join(filter(None, classes)) or None)
