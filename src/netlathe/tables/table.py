"""Table: columns that read rows. `cells` are its texts, `records` its JSON values; `terminal.py` lays it out.

A column reads a row with `get` and writes the value with `show`, so a figure is rounded in one place for every face.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter, itemgetter
from typing import Any

MISSING = "-"  # what a cell without a value says


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its heading, the value of a row, and how that is written.

    `priority` decides what a narrow terminal shows: 1 always, and of the others the largest numbers are left out
    first. `text` columns stand at the left; one with `wraps` may take several lines. `key` is the name in JSON
    documents; a column without one is for people only. `style` is a rich style, for terminals alone.
    """

    heading: str
    get: Callable[[Any], Any]
    show: Callable[[Any], str] = str
    key: str = ""
    priority: int = 1
    text: bool = False
    wraps: bool = False
    style: str = ""

    def cell(self, row: Any) -> str:
        """The text of a row; a value that is None is missing."""
        value = self.get(row)
        return MISSING if value is None else self.show(value)


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and the rows that they read, with a title and a caption for people."""

    columns: tuple[Column, ...]
    rows: tuple[Any, ...]
    title: str = ""
    caption: str = ""

    @property
    def headings(self) -> tuple[str, ...]:
        """The headings, from left to right."""
        return tuple(column.heading for column in self.columns)

    def cells(self) -> list[tuple[str, ...]]:
        """The texts, row by row."""
        return [tuple(column.cell(row) for column in self.columns) for row in self.rows]

    def records(self) -> list[dict[str, Any]]:
        """The values by key, row by row, as JSON documents hold them."""
        keyed = [column for column in self.columns if column.key]
        return [{column.key: column.get(row) for column in keyed} for row in self.rows]

    def keep(self, columns: Iterable[Column]) -> Table:
        """The same table with these of its columns, in their old order."""
        kept = set(map(id, columns))
        return replace(self, columns=tuple(column for column in self.columns if id(column) in kept))


def make_table(columns: Iterable[Column | None], rows: Iterable[Any], *, title: str = "", caption: str = "") -> Table:
    """A table; a column that is None is left out, so that a condition stands beside the column that it decides."""
    return Table(tuple(column for column in columns if column is not None), tuple(rows), title, caption)


def text_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    title: str = "",
    caption: str = "",
    texts: int = 1,
    priorities: Sequence[int] | Mapping[str, int] = (),
) -> Table:
    """A table of cells that are texts already: the first `texts` columns stand at the left.

    `priorities` are one per column, or by heading; a column without one has priority 1. All text columns but a lone
    one may wrap.
    """
    by_heading = priorities if isinstance(priorities, Mapping) else dict(zip(headings, priorities, strict=False))
    columns = [
        Column(
            heading,
            itemgetter(i),
            priority=by_heading.get(heading, 1),
            text=i < texts,
            wraps=i < texts and texts > 1,
        )
        for i, heading in enumerate(headings)
    ]
    return make_table(columns, rows, title=title, caption=caption)


def field(heading: str, name: str, show: Callable[[Any], str] = str, **how: Any) -> Column:
    """A column of an attribute of the rows, known in JSON by the attribute's name."""
    return Column(heading, attrgetter(name), show, **{"key": name} | how)
