"""CSV files as people and spreadsheets write them."""

from __future__ import annotations

import csv
from collections import Counter
from io import StringIO
from typing import NamedTuple


class CsvRow(NamedTuple):
    """A row with its line in the file: stripped texts by column, and whether it has more values than columns.

    `texts` are the same with the space around them.
    """

    line: int
    cells: dict[str, str]
    surplus: bool
    texts: dict[str, str]


def parse_csv(text: str) -> tuple[list[str], list[CsvRow]]:
    """The columns and the rows of a text, without blank rows; commas, semicolons or tabs, as its first line has them.

    A row with fewer values has empty texts. Raises csv.Error for quotes that do not end, a column that stands twice,
    and a value longer than csv's limit.
    """
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    columns = [name.strip() for name in next(reader, [])]
    if repeated := [name for name, count in Counter(filter(None, columns)).items() if count > 1]:
        raise csv.Error(f"the column {repeated[0]} stands more than once")
    rows = []
    for values in reader:
        texts = [value.strip() for value in values]
        if any(texts):
            blank = dict.fromkeys(columns, "")
            cells, raw = (blank | dict(zip(columns, row, strict=False)) for row in (texts, values))
            rows.append(CsvRow(reader.line_num, cells, len(texts) > len(columns), raw))
    return columns, rows
