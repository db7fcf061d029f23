"""Files of lines that are only appended to: a line is on the disk as a whole, or not at all."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from pathlib import Path

TAIL = 1 << 16  # bytes before the end in which the last line is looked for first


def append_line(path: Path, line: bytes) -> None:
    """Append a line, newline included, and wait until it is on the disk; processes take turns.

    A last line that a killed process left unfinished is cut off first. Raises OSError where the disk is full, say; the
    file then ends with the line before.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        with suppress(OSError):  # of a file system without locks: then they only hope
            fcntl.flock(file, fcntl.LOCK_EX)
        end = repair(file)
        try:
            os.lseek(file, end, os.SEEK_SET)
            left = memoryview(line)
            while left:
                left = left[os.write(file, left) :]  # a nearly full disk takes a part, and refuses the rest
            os.fsync(file)
        except OSError:
            with suppress(OSError):
                os.ftruncate(file, end)
            raise
    finally:
        os.close(file)


def repair(file: int) -> int:
    """Where the last whole line of an open file ends; what follows is cut off, unless only the newline is missing."""
    end = os.fstat(file).st_size
    if not end or os.pread(file, 1, end - 1) == b"\n":
        return end
    size, tail = 0, b""
    while size < end and b"\n" not in tail:
        size = min(end, max(TAIL, 2 * size))
        tail = os.pread(file, size, end - size)
    last = tail[tail.rfind(b"\n") + 1 :]
    try:
        json.loads(last)
    except ValueError:
        end -= len(last)
        os.ftruncate(file, end)
        return end
    return end + os.pwrite(file, b"\n", end)
