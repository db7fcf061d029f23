"""Temporary folders that do not pile up: what a killed process left goes when the next one makes its own.

A folder is locked for as long as its owner lives, which the operating system sees to. One that nobody has locked, and
that holds the mark of this file, has no owner any more.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO

PREFIX = "netlathe-"
MARK = ".netlathe-temporary"  # an empty file: no folder that a person made has it


@contextmanager
def temporary_folder(where: Path | None = None) -> Iterator[Path]:
    """A new folder, gone at the end: in the system's folder for such, or a hidden one in `where`. Raises OSError."""
    place = Path(where or tempfile.gettempdir())
    sweep_once(place)
    folder, lock = lock_new(place, f".{PREFIX}" if where else PREFIX)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


@contextmanager
def temporary_file(suffix: str = "") -> Iterator[IO[bytes]]:
    """A new file with a name, open for reading and writing, gone at the end. Raises OSError."""
    with temporary_folder() as folder, (folder / f"file{suffix}").open("w+b") as file:
        yield file


def unnamed_file() -> IO[bytes]:
    """A file that only this process sees, gone when it is closed or the process ends."""
    return tempfile.TemporaryFile(prefix=PREFIX)


def lock_new(place: Path, prefix: str) -> tuple[Path, int]:
    """A new folder with the mark, and the descriptor that holds its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
        lock = os.open(folder, os.O_RDONLY)
        with suppress(OSError):  # a file system without locks, which nobody sweeps
            fcntl.flock(lock, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):  # another process swept it before it was locked
            (folder / MARK).touch()
            return folder, lock
        os.close(lock)


@cache
def sweep_once(place: Path) -> None:
    """Sweep a place when this process first makes a folder there."""
    sweep(place)


def sweep(place: Path) -> None:
    """Remove the folders of this user in a place whose owners have ended."""
    for folder in (*place.glob(f"{PREFIX}*"), *place.glob(f".{PREFIX}*")):
        with suppress(OSError):  # another process sweeps too
            remove_abandoned(folder)


def remove_abandoned(folder: Path) -> None:
    """Remove a folder that nobody has locked. Raises OSError where it is locked, or is none of ours."""
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(lock).st_uid != os.geteuid():
            return
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if (folder / MARK).exists():
            shutil.rmtree(folder)
        else:
            folder.rmdir()  # killed before the mark was made; what holds anything else is not ours, and stays
    finally:
        os.close(lock)
