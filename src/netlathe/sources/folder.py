"""A folder of the user's networks: ONNX files, arch.json files and Python modules, with a CSV file of accuracies.

The CSV file has a line a network: `file` (or `name`) and `accuracy` in %, and where they are known `resolution` (px)
and `images`, the number on which the accuracy was measured. A Python module is named with its function, nets.py:small.
Without a CSV file the networks are the ONNX and JSON files, with no accuracy.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from fnmatch import fnmatchcase
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from netlathe.arch.net import Net
from netlathe.choose.budget import Accuracy
from netlathe.code_name import file_of
from netlathe.documents.faults import Fault, faults_error, suggest, unknown_field
from netlathe.documents.tables import CsvRow, parse_csv
from netlathe.errors import NetlatheError
from netlathe.files import read_text
from netlathe.load import load_any
from netlathe.sources.source import EVERYTHING, SourceEntry, SourceFilter, nothing_wanted
from netlathe.units import LEAST_PERCENT

ENDINGS = (".onnx", ".json")
LEGAL = ("file", "name", "accuracy", "resolution", "images")
HINT = "a line a network: file,accuracy such as small.onnx,71.3; also resolution and images"


class ListedNet(NamedTuple):
    """A network of the folder, as its CSV file lists it."""

    file: str
    accuracy: float | None = None
    resolution: int | None = None
    images: int | None = None


class NetFolder:
    """The networks of a folder; their names are those of their files."""

    def __init__(self, folder: Path) -> None:
        """Raises NetlatheError for a CSV file with faults, and for a folder without networks."""
        self.folder = folder
        self.files = sorted(path.name for path in folder.iterdir() if path.suffix in ENDINGS)
        table = find_table(folder)
        self.table = table.name if table else None
        self.listed = read_table(table, self.files) if table else [ListedNet(name) for name in self.files]
        if not self.listed:
            hint = f"it takes {' and '.join(ENDINGS)} files, and functions of Python files that a CSV file lists"
            raise NetlatheError(
                "there are no networks in this folder", code="source.empty", path=str(folder), hint=hint
            )

    def entries(self, wanted: SourceFilter = EVERYTHING) -> Iterator[SourceEntry]:
        """Those whose names match. Raises NetlatheError where none does, and for a file that cannot be read."""
        chosen = [one for one in self.listed if fnmatchcase(one.file, wanted.pattern)]
        if not chosen:
            raise nothing_wanted(wanted, "this folder", [(one.file, "") for one in self.listed], path=str(self.folder))
        if wanted.recipe:
            raise NetlatheError(
                f"no recipe of these accuracies is known, so none is {wanted.recipe!r}",
                code="choose.no_candidates",
                path=str(self.folder),
                hint="leave --recipe out: the CSV file of a folder has no recipes",
            )
        for one in chosen:
            accuracy = None
            if one.accuracy is not None:
                accuracy = Accuracy(one.accuracy, "", str(self.folder / (self.table or "")), one.images)
            path = self.folder / one.file
            yield SourceEntry(read_net(path, one), accuracy, path.stat().st_size if path.suffix == ".onnx" else None)

    @property
    def notes(self) -> list[str]:
        """Which networks have no accuracy."""
        names = [one.file for one in self.listed if one.accuracy is None]
        names += sorted(set(self.files) - {one.file for one in self.listed})
        return [f"left out, for no accuracy is known: {', '.join(names)}"] if names else []


def read_net(path: Path, listed: ListedNet) -> Net:
    """The network of a file, under the name of the file. Raises NetlatheError."""
    [net] = load_any(str(path), resolution=listed.resolution)
    return net.renamed(listed.file)


def find_table(folder: Path) -> Path | None:
    """The CSV file of a folder. Raises NetlatheError where there are several."""
    tables = sorted(folder.glob("*.csv"))
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables)
        raise NetlatheError(f"which of these has the accuracies: {names}?", code="source.tables", path=str(folder),
                            hint="keep one CSV file in the folder")  # fmt: skip
    return tables[0] if tables else None


def read_table(path: Path, files: list[str]) -> list[ListedNet]:
    """The lines of a CSV file of accuracies. Raises one NetlatheError that lists every fault with its line."""
    try:
        columns, rows = parse_csv(read_text(path))
    except csv.Error as error:
        raise NetlatheError(f"this is no CSV file: {error}", code="file.unreadable", path=str(path)) from None
    faults = [unknown_field("line 1", name, LEGAL, "column") for name in columns if name not in LEGAL]
    if ("file" in columns) == ("name" in columns):
        faults.append(Fault("line 1", "one of the columns file and name has to be there"))
    if "accuracy" not in columns:
        faults.append(Fault("line 1", "the column accuracy is missing"))
    listed: list[ListedNet] = []
    first: dict[tuple[str, int | None], int] = {}
    for row in rows if not faults else ():
        one = read_row(row, path.parent, files, faults)
        if (before := first.setdefault((one.file, one.resolution), row.line)) != row.line:
            faults.append(Fault(f"line {row.line}", f"{one.file} is in line {before} already"))
        listed.append(one)
    if faults:
        raise faults_error(faults, code="source.table", path=str(path), hint=HINT)
    return listed


def read_row(row: CsvRow, folder: Path, files: list[str], faults: list[Fault]) -> ListedNet:
    """A line; what is wrong with it is added to the faults."""
    at, cells = f"line {row.line}", row.cells
    if row.surplus:
        faults.append(Fault(at, "more values than columns"))
    accuracy = positive(cells.get("accuracy", ""), "accuracy", at, faults)
    if accuracy is not None and not LEAST_PERCENT <= accuracy <= 100:
        share = f": a share is written as a percentage, {100 * accuracy:g}" if accuracy < LEAST_PERCENT else ""
        faults.append(Fault(at, f"accuracy must be from {LEAST_PERCENT:g} to 100 %, not {accuracy:g}{share}"))
    whole = {}
    for column in ("resolution", "images"):
        number = positive(cells.get(column, ""), column, at, faults)
        if number is not None and number % 1:
            faults.append(Fault(at, f"{column} must be a whole number, not {number:g}"))
        whole[column] = None if number is None else int(number)
    file = file_named(cells.get("file") or cells.get("name", ""), folder, files, at, faults)
    return ListedNet(file, accuracy, **whole)


def file_named(text: str, folder: Path, files: list[str], at: str, faults: list[Fault]) -> str:
    """The file that a line names, with or without its ending, or a function of a Python file in the folder."""
    if (module := file_of(text)) and Path(module).name == module and (folder / module).is_file():
        return text
    stems = [name for name in files if Path(name).stem == text]
    if text not in files and len(stems) != 1:
        legal = [*files, *(path.name for path in folder.glob("*.py"))]
        why = f"is the name of {' and of '.join(stems)}" if stems else f"is no file here ({suggest(text, legal)})"
        faults.append(Fault(at, f"{text!r} {why}" if text else "the name of the file is missing"))
    return text if text in files or not stems else stems[0]


def positive(text: str, column: str, at: str, faults: list[Fault]) -> float | None:
    """A positive number; None for an empty cell."""
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not (isfinite(number) and number > 0):
        faults.append(Fault(at, f"{column} must be a positive number, not {text!r}"))
        return None
    return number


def accepts(text: str) -> bool:
    """Whether this is a folder."""
    return Path(text).is_dir()


def open_source(text: str) -> NetFolder:
    """The networks of a folder. Raises NetlatheError as `NetFolder` does."""
    return NetFolder(Path(text))
