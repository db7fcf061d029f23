"""Table: columns that read rows. `cells` are its texts, `records` its JSON values; `terminal` and `page` lay it out.

A column reads a row with `get` and writes the value with `show`, so a quantity is rounded in one place for every face.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

MISSING = "-"  # the text of a cell without a value
Tone = Literal["", "kept", "over", "open", "none"]  # how a verdict looks: green, red, amber, pale


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its heading, the value of a row, and how that is written.

    `get` is a function of the row, or the key or index of an item of it. `priority` decides what a narrow terminal
    shows: 1 always; of the others the largest numbers are left out first. `text` columns hold words, which may be
    shortened where nothing else helps; one with `wraps` may take several lines; all others hold figures, which are
    never cut. Words stand at the left, figures at the right. `name` is what people call a column whose heading is
    empty, `key` its name in JSON documents (a column without one is for people only), `tone` tells how a value looks,
    and `missing` is the text of a row without a value.
    """

    heading: str
    get: Callable[[Any], Any] | str | int
    show: Callable[[Any], str] = str
    priority: int = 1
    text: bool = False
    wraps: bool = False
    name: str = ""
    key: str = ""
    tone: Callable[[Any], Tone] | None = None
    missing: str = MISSING

    def value(self, row: Any) -> Any:
        """The value of a row; None where it is missing."""
        return self.get(row) if callable(self.get) else row[self.get]

    def cell(self, row: Any) -> str:
        """The text of a row."""
        value = self.value(row)
        return self.missing if value is None else self.show(value)

    def look(self, row: Any) -> Tone:
        """The tone of a row."""
        return self.tone(self.value(row)) if self.tone else ""


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
        return [{column.key: column.value(row) for column in keyed} for row in self.rows]

    def keep(self, indices: Iterable[int]) -> Table:
        """The same table with these of its columns."""
        return replace(self, columns=tuple(self.columns[i] for i in indices))


def make_table(columns: Iterable[Column | None], rows: Iterable[Any], *, title: str = "", caption: str = "") -> Table:
    """A table; a column that is None is left out, so that a condition stands beside the column that it decides."""
    return Table(tuple(column for column in columns if column is not None), tuple(rows), title, caption)


def text_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "", caption: str = "") -> Table:
    """A table of texts that somebody else wrote: the first column is a name, the others are figures or verdicts.

    A narrow terminal leaves the last columns out first, but keeps the first and the last: a verdict stands last.
    """
    last = len(headings) - 1
    columns = [Column(name, i, priority=1 if i in (0, 1, last) else i, text=i == 0) for i, name in enumerate(headings)]
    return make_table(columns, rows, title=title, caption=caption)
