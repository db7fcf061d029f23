"""Locks of the operating system, which a process gives back when it ends, however it ends."""

from __future__ import annotations

import fcntl
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from netlathe.errors import NetlatheError


@contextmanager
def locked(path: Path, *, at_work: str = "is at work in this folder", hint: str = "") -> Iterator[None]:
    """Hold the lock of a file, which names its owner. Raises NetlatheError, at once, where another process holds it."""
    with open_lock(path) as file:
        try:
            lock(file, path, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "another process"
            raise NetlatheError(f"{owner} {at_work}", code="folder.locked", path=str(path.parent), hint=hint) from None
        try:
            file.truncate(0)  # whoever was here before has ended, or was killed
            file.write(f"process {os.getpid()} on {platform.node()}, since {time.strftime('%Y-%m-%d %H:%M:%S')},")
            file.flush()
        except OSError as error:
            raise unusable(path, error) from None
        yield


@contextmanager
def one_at_a_time(path: Path | None) -> Iterator[None]:
    """Wait for the lock of a file, and hold it; None locks nothing."""
    if path is None:
        yield
        return
    with open_lock(path) as file:
        lock(file, path, fcntl.LOCK_EX)
        yield


def open_lock(path: Path) -> IO[str]:
    """The file of a lock, made where it is absent. Raises NetlatheError where it cannot be written."""
    try:
        return path.open("a+", encoding="utf-8", errors="replace")
    except OSError as error:
        raise unusable(path, error) from None


def lock(file: IO[str], path: Path, how: int) -> None:
    """Lock an open file. Raises BlockingIOError, and NetlatheError on a file system without locks."""
    try:
        fcntl.flock(file, how)
    except BlockingIOError:
        raise
    except OSError as error:
        raise unusable(path, error) from None


def unusable(path: Path, error: OSError) -> NetlatheError:
    """The error for a folder in which no lock can be held."""
    hint = "give another folder, on a disk that can be written"
    message = f"cannot write in this folder: {path.name}: {error.strerror}"
    return NetlatheError(message, code="folder.unusable", path=str(path.parent), hint=hint)
