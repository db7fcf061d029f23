"""Files: what is written is complete or absent, what is read is a regular file of a size that was expected.

Written files go to a temporary file that is renamed into place. A device, a pipe or a socket is never read: it may have
no end, and opening it may wait. Here too: the folder of what can be made again.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import IO, Any

from netlathe.errors import NetlatheError

PART = ".part"  # how a file is called that is not complete yet: .NAME.PROCESS.part
TEXT_LIMIT = 64 << 20  # bytes of a text that people or programs wrote: a recipe, a card, an arch.json, a table
KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def is_file(path: Path) -> bool:
    """Whether it is a file; no text is too long or too strange to be asked."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def open_file(path: str | Path, limit: int | None = None) -> FileIO:
    """A regular file of at most `limit` bytes, open for reading. Raises NetlatheError for what is none, or larger.

    Nothing else is opened, so nothing waits. Links are followed.
    """
    path = Path(path)
    try:
        refuse_special(path, path.stat(), limit)
        # A pipe that took the file's place in between does not wait either.
        file = FileIO(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        try:
            refuse_special(path, os.fstat(file.fileno()), limit)
        except NetlatheError:
            file.close()
            raise
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        if isinstance(error, NetlatheError):
            raise
        raise unreadable(path, error) from None
    return file


def refuse_special(path: Path, status: os.stat_result, limit: int | None = None) -> None:
    """Raise NetlatheError for what is no regular file, or one of more than `limit` bytes."""
    if not stat.S_ISREG(status.st_mode):
        kind = next((name for is_kind, name in KINDS if is_kind(status.st_mode)), "no regular file")
        raise NetlatheError(f"cannot read this file: it is {kind}", code="file.unreadable", path=str(path))
    if limit is not None and status.st_size > limit:
        raise too_large(path, limit)


def unreadable(path: str | Path, error: Exception) -> NetlatheError:
    """The error for a file that cannot be read."""
    if isinstance(error, UnicodeDecodeError):
        reason = "it is not text"
    else:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return NetlatheError(f"cannot read this file: {reason}", code="file.unreadable", path=str(path))


def too_large(path: str | Path, limit: int) -> NetlatheError:
    """The error for a file of more bytes than such a file may have."""
    message = f"cannot read this file: it has more than {limit:,} bytes, the most that is read of such a file"
    return NetlatheError(message, code="file.too_large", path=str(path))


def read_bytes(path: str | Path, limit: int | None = None) -> bytes:
    """The content of a regular file. Raises NetlatheError as `open_file` does."""
    with open_file(path, limit) as file:
        try:
            if limit is None:
                return file.readall()
            # The files of /proc say that they are empty.
            pieces, left = [], limit + 1
            while left > 0 and (piece := file.read(min(left, 1 << 24))):
                pieces.append(piece)
                left -= len(piece)
        except OSError as error:
            raise unreadable(path, error) from None
    if left <= 0:
        raise too_large(path, limit)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def read_text(path: str | Path, limit: int = TEXT_LIMIT) -> str:
    """A regular file as UTF-8 text, without a byte order mark. Raises NetlatheError as `open_file` does."""
    try:
        return read_bytes(path, limit).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise unreadable(path, error) from None


def write_bytes(path: str | Path, *pieces: bytes | memoryview) -> None:
    """Write a file of one or more pieces atomically. Raises NetlatheError where it cannot be written."""
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    try:
        remove_parts(path)
        with open_part(part) as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())  # a rename may reach the disk before the content does
            part.replace(path)
    except OSError as error:
        raise NetlatheError(f"cannot write {path}: {error.strerror}", code="file.write") from error
    finally:
        with suppress(OSError):
            part.unlink()


def open_part(part: Path) -> IO[bytes]:
    """A new file, locked as long as it is open, so that nobody takes it for what a killed process left."""
    while True:
        file = part.open("wb")
        with suppress(OSError):  # of a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # removed before it was locked


def remove_parts(path: Path) -> None:
    """Remove what killed processes left of a file that they were writing: the locks of the living are held."""
    from glob import escape  # slow to import, and most verbs write nothing

    for part in path.parent.glob(f".{escape(path.name)}.*{PART}"):
        with suppress(OSError), part.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()


def write_text(path: str | Path, content: str) -> None:
    """Write a text file atomically, as UTF-8."""
    write_bytes(path, content.encode())


def write_json(path: str | Path, document: Any) -> None:
    """Write a JSON document atomically."""
    write_text(path, json.dumps(document, indent=1))


def require_writable(path: Path) -> None:
    """Raise NetlatheError where a file could not be written at a path: said before what takes long, not after it."""
    folder = path.absolute().parent
    reason = (
        "this is a folder, not a file"
        if path.is_dir()
        else f"there is no folder {folder} to write this file into"
        if not folder.is_dir()
        else "this folder cannot be written"
        if not os.access(folder, os.W_OK)
        else ""
    )
    if reason:
        raise NetlatheError(reason, code="file.write", path=str(path))


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
