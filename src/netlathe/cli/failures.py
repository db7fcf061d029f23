"""What an exception says to a person: a mistake of what was given, a refusal of the machine, or a bug of ours."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

from netlathe.errors import InternalError, NetlatheError

# What libraries say that raise a RuntimeError of their own where memory ends.
NO_MEMORY = re.compile(
    r"bad alloc|bad_alloc|can't allocate memory|not enough memory|out of memory|unable to allocate", re.I
)
HINTS = {
    errno.ENOSPC: "free some space, or set NETLATHE_CACHE and TMPDIR to folders on another disk",
    errno.EDQUOT: "free some of the quota, or set NETLATHE_CACHE and TMPDIR to folders on another disk",
    errno.EROFS: "set NETLATHE_CACHE and TMPDIR to folders that can be written",
    errno.EACCES: "see who may read and write there",
    errno.EPERM: "see who may read and write there",
    errno.EMFILE: "raise the limit of open files: ulimit -n 4096",
    errno.ENFILE: "the whole machine has too many files open: end other programs",
    errno.EIO: "the disk may be failing: see dmesg",
    errno.ENOMEM: "end other programs, or give less at a time",
    errno.EAGAIN: "the limit of processes is reached: end others, or raise ulimit -u",
}


def describe_failure(error: BaseException) -> NetlatheError:
    """The error that is shown. What is nobody else's mistake is an InternalError."""
    for one in chain(error):
        if isinstance(one, NetlatheError):
            return one
        if isinstance(one, MemoryError) or (isinstance(one, RuntimeError) and NO_MEMORY.search(str(one))):
            hint = "smaller images, fewer at a time, or a machine with more"
            return NetlatheError("there is not enough memory for this", code="memory.exhausted", hint=hint)
        if isinstance(one, ImportError) and not isinstance(one, ModuleNotFoundError):
            hint = "its files or libraries are damaged, or there is too little memory for it"
            return NetlatheError(f"a package does not load: {one}", code="package.broken", hint=hint)
        if isinstance(one, RecursionError):
            hint = "networks have up to a hundred expressions within each other; --debug shows where it ended"
            return NetlatheError("this is nested too deeply", code="nesting.too_deep", hint=hint)
        if isinstance(one, OSError):
            return describe_os_error(one)
        if isinstance(one, UnicodeError):
            message = f"this text cannot be read or written in the encoding that it should have: {one}"
            return NetlatheError(message, code="text.encoding", hint="a UTF-8 locale helps: LC_ALL=C.UTF-8")
        if type(one).__module__ == "sqlite3" and type(one).__name__ == "OperationalError":
            message = f"the file of results cannot be used: {one}"
            return NetlatheError(message, code="file.database", hint="is the disk full, or the folder read-only?")
    message = f"{type(error).__name__}: {error}"
    return InternalError(message, code="bug", hint="this is a bug in Netlathe; --debug shows where")


def chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, and those that led to it on purpose (`raise ... from`)."""
    seen: set[int] = set()
    left: BaseException | None = error
    while left is not None and id(left) not in seen:
        seen.add(id(left))
        yield left
        left = left.__cause__


def describe_os_error(error: OSError) -> NetlatheError:
    """What the operating system refused, where, and what may help."""
    reason = error.strerror or str(error) or type(error).__name__
    path = "" if error.filename is None else str(error.filename)
    if error.errno == errno.ENOENT and not path:  # only the working folder has no name
        reason = "the folder that this was started in is gone"
    hint = HINTS.get(error.errno or 0, "")
    return NetlatheError(f"{reason[:1].lower()}{reason[1:]}", code="system.refused", path=path, hint=hint)
