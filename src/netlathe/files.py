"""Files are complete or absent: what is written goes to a temporary file that is renamed into place.

Here too: the folder of what can be made again.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from netlathe.errors import NetlatheError

PART = ".part"  # how a file is called that is not complete yet: .NAME.PROCESS.part


def write_bytes(path: str | Path, *pieces: bytes | memoryview) -> None:
    """Write a file of one or more pieces atomically. Raises NetlatheError where it cannot be written."""
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    try:
        with part.open("wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())  # a rename may reach the disk before the content does
        part.replace(path)
    except OSError as error:
        raise NetlatheError(f"cannot write {path}: {error.strerror}", code="file.write") from error
    finally:
        with suppress(OSError):
            part.unlink()


def write_text(path: str | Path, content: str) -> None:
    """Write a text file atomically, as UTF-8."""
    write_bytes(path, content.encode())


def write_json(path: str | Path, document: Any) -> None:
    """Write a JSON document atomically."""
    write_text(path, json.dumps(document, indent=1))


def make_folder(folder: Path) -> None:
    """Make a folder and those above it. Raises NetlatheError where that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NetlatheError(f"cannot make this folder: {error.strerror}", code="file.write", path=str(folder)) from None


def cache_dir() -> Path:
    """Where this user's Netlathe keeps what it can make again: $NETLATHE_CACHE, else `netlathe` in the XDG cache.

    Raises NetlatheError where there is no home folder either.
    """
    if own := os.environ.get("NETLATHE_CACHE"):
        return Path(own)
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared) / "netlathe"
    try:
        return Path.home() / ".cache" / "netlathe"
    except RuntimeError:  # a user without a name, as in many containers
        hint = "set NETLATHE_CACHE to a folder that can be written"
        raise NetlatheError("this user has no home folder to keep a cache in", code="file.home", hint=hint) from None
