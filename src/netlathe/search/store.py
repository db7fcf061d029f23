"""The store of a search: one SQLite file in its folder, where every trial lies with its seed, costs and curve.

What is committed survives a kill of any process (the write-ahead log is complete or absent); after an expensive trial
the log also reaches the disk, for a power cut. One process at a time writes: it has the folder open (`runfolder`).
Anyone may read meanwhile.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from math import inf, isnan
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from netlathe.errors import NetlatheError
from netlathe.runfolder.document import whole
from netlathe.runfolder.folder import REMEDY, RunKind
from netlathe.search.trial import Trial, TrialState

FILE = "search.db"
SEARCH = RunKind(
    "search",
    (FILE, "best.json", "trials", "final"),
    hint="netlathe search run --resume -o FOLDER goes on with what is there",
    meanwhile="netlathe search show may look at any time",
)
VERSION = 1
APPLICATION = 0x4E4C5345  # "NLSE": what SQLite files of searches say they are
EXPENSIVE_S = 1.0  # a trial of this length is worth waiting for the disk

SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE trials (
  number INTEGER PRIMARY KEY, genotype TEXT NOT NULL, rung INTEGER, tag INTEGER NOT NULL, key TEXT NOT NULL,
  seed INTEGER NOT NULL, asked INTEGER NOT NULL, state TEXT NOT NULL, told INTEGER, same_as INTEGER,
  attempts INTEGER NOT NULL, score REAL, costs TEXT NOT NULL, arch TEXT NOT NULL, curve TEXT NOT NULL,
  error TEXT NOT NULL, host TEXT NOT NULL, worker TEXT NOT NULL, lease TEXT NOT NULL, started REAL,
  seconds REAL NOT NULL);
CREATE TABLE waits (asked INTEGER PRIMARY KEY);
CREATE TABLE finals (
  number INTEGER NOT NULL, seed INTEGER NOT NULL, score REAL, test REAL, error TEXT NOT NULL, seconds REAL NOT NULL,
  PRIMARY KEY (number, seed));
"""
COLUMNS = (
    *("number", "genotype", "rung", "tag", "key", "seed", "asked", "state", "told", "same_as", "attempts", "score"),
    *("costs", "arch", "curve", "error", "host", "worker", "lease", "started", "seconds"),
)
WRITE = f"INSERT OR REPLACE INTO trials VALUES ({', '.join('?' * len(COLUMNS))})"


class TrialStore:
    """The trials of a folder. Who opens it to write has the folder open (`runfolder.folder.open_run`)."""

    def __init__(self, folder: Path, *, write: bool) -> None:
        """Raises NetlatheError for a folder without a search, a foreign or damaged file, and another version."""
        self.folder, self.path = folder, folder / FILE
        if not write and not self.path.exists():
            hint = "netlathe search run SPACE -o FOLDER starts one"
            raise NetlatheError("there is no search in this folder", code="store.missing", path=str(folder), hint=hint)
        with storing(self.path):
            self.db = open_database(self.path, write)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back."""
        self.db.close()

    def facts(self) -> dict[str, Any]:
        """What the search is: its description, and how it ended."""
        with storing(self.path), whole(self.path, REMEDY):
            return {name: json.loads(value) for name, value in self.db.execute("SELECT name, value FROM facts")}

    def write_facts(self, **facts: Any) -> None:
        """Write facts."""
        rows = [(name, json.dumps(value)) for name, value in facts.items()]
        with storing(self.path):
            self.db.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", rows)

    def trials(self) -> list[Trial]:
        """All trials in the order in which they were proposed."""
        with storing(self.path), whole(self.path, REMEDY):
            return [trial_from_row(row) for row in self.db.execute("SELECT * FROM trials ORDER BY number")]

    def waits(self) -> list[int]:
        """The places, among asks and tells, of asks that a strategy did not answer: it wanted a tell first."""
        with storing(self.path):
            return [asked for (asked,) in self.db.execute("SELECT asked FROM waits ORDER BY asked")]

    def write(self, *trials: Trial, waits: Sequence[int] = ()) -> None:
        """Write trials as they are now: all of them or, if this process dies, none."""
        with storing(self.path), self.transaction():
            self.db.executemany(WRITE, [trial_to_row(trial) for trial in trials])
            if waits:
                self.db.executemany("INSERT INTO waits VALUES (?)", [(wait,) for wait in waits])
        if any(trial.told is not None and trial.seconds >= EXPENSIVE_S for trial in trials):
            self.db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()  # syncs the log, then the file

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One transaction."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with suppress(sqlite3.Error):  # a full disk has rolled it back already
                self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def finals(self) -> list[dict[str, Any]]:
        """The trainings of winners on fresh seeds: trial number, seed, score, test, error, seconds."""
        names = ("number", "seed", "score", "test", "error", "seconds")
        with storing(self.path):
            rows = self.db.execute("SELECT * FROM finals ORDER BY number, seed")
            return [dict(zip(names, row, strict=True)) for row in rows]

    def write_final(
        self, number: int, seed: int, score: float | None, test: float | None, error: str, seconds: float
    ) -> None:
        """Write one of them."""
        row = (number, seed, score, test, error, seconds)
        with storing(self.path):
            self.db.execute("INSERT OR REPLACE INTO finals VALUES (?, ?, ?, ?, ?, ?)", row)


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Where the disk is full, or the file is damaged: raises NetlatheError, with its path."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        hint = "what was committed is whole: with room on the disk, the same command goes on"
        raise NetlatheError(f"cannot use this file: {error}", code="store.file", path=str(path), hint=hint) from None


def open_database(path: Path, write: bool) -> sqlite3.Connection:
    """The file, checked; made where it is to be written and is absent."""
    try:
        target = path.absolute().as_uri() + ("" if write else "?mode=ro")
        db = sqlite3.connect(target, uri=True, isolation_level=None, timeout=10)
        application, version, tables = (
            db.execute(query).fetchone()[0]
            for query in ("PRAGMA application_id", "PRAGMA user_version", "SELECT COUNT(*) FROM sqlite_master")
        )
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise foreign_file(path, str(error)) from None
    if write and tables == 0 and application == 0:
        db.executescript(
            f"PRAGMA journal_mode=WAL; BEGIN; PRAGMA application_id={APPLICATION}; PRAGMA user_version={VERSION};"
            f"{SCHEMA} COMMIT;"
        )
    elif application != APPLICATION:
        db.close()
        raise foreign_file(path, "another program made it")
    elif version != VERSION:
        db.close()
        raise NetlatheError(
            f"this search was stored as version {version}, and this Netlathe reads version {VERSION}",
            code="store.version",
            path=str(path),
            hint=f"use the Netlathe that made it{' (a newer one)' * (version > VERSION)}, or another folder with -o",
        )
    db.execute("PRAGMA synchronous=NORMAL")
    return db


def foreign_file(path: Path, why: str) -> NetlatheError:
    """An error for a file that is no store."""
    hint = "give another folder with -o"
    return NetlatheError(f"this file is no search of Netlathe: {why}", code="store.foreign", path=str(path), hint=hint)


def trial_to_row(t: Trial) -> tuple[Any, ...]:
    """The columns of a trial. SQLite has no infinity that every reader knows, so no score is NULL."""
    score = None if t.score == -inf or isnan(t.score) else t.score
    return (
        *(t.number, json.dumps(t.genotype), t.rung, t.tag, t.key, t.seed, t.asked, t.state.value, t.told, t.same_as),
        *(t.attempts, score, json.dumps(t.costs), t.arch, json.dumps(t.curve), t.error, t.host, t.worker, t.lease),
        *(t.started, t.seconds),
    )


def trial_from_row(row: tuple[Any, ...]) -> Trial:
    """A row as a trial."""
    values = dict(zip(COLUMNS, row, strict=True))
    for name in ("genotype", "costs", "curve"):
        values[name] = json.loads(values[name])
    score = -inf if values["score"] is None else values["score"]
    return Trial(
        **values | {"genotype": tuple(values["genotype"]), "state": TrialState(values["state"]), "score": score}
    )
