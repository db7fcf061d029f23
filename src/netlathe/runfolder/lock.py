"""Locks of the operating system, which a process gives back when it ends, however it ends."""

from __future__ import annotations

import fcntl
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from netlathe.errors import NetlatheError
from netlathe.files import make_folder
from netlathe.runfolder.identity import RunKind


@contextmanager
def locked(folder: Path, kind: RunKind, name: str = ".lock") -> Iterator[None]:
    """Hold the lock of a folder, which is made where it is absent; the lock file names its owner.

    Raises NetlatheError where another process holds it.
    """
    make_folder(folder)
    with (folder / name).open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            busy = kind.busy.format(owner=file.read().strip() or "another process")
            raise NetlatheError(busy, code=kind.busy_code, path=str(folder), hint=kind.busy_hint) from None
        file.truncate(0)  # whoever was here before has ended, or was killed
        file.write(f"process {os.getpid()} on {platform.node()}, since {time.strftime('%Y-%m-%d %H:%M:%S')},")
        file.flush()
        yield


@contextmanager
def one_at_a_time(path: Path | None) -> Iterator[None]:
    """Wait for the lock of a file, and hold it; None locks nothing."""
    if path is None:
        yield
        return
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
