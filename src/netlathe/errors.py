"""Errors that a person reads: what, where, the legal values, the nearest name, the fix."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of the command line, a contract."""

    DONE = 0
    BUG = 1
    USAGE = 2
    INFEASIBLE = 3
    CHECK_FAILED = 4
    MISSING = 5
    INTERRUPTED = 130
    READER_LEFT = 141  # as shells say it


class NetlatheError(ValueError):
    """A mistake in what the user gave.

    `code` is for programs (`arch.unknown_name`), `path` says where in the file or network, `hint` is the fix.
    """

    exit = Exit.USAGE

    def __init__(self, message: str, *, code: str = "usage", path: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message, self.code, self.path, self.hint = message, code, path, hint

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{where}{self.message}" + (f"\n  {self.hint}" if self.hint else "")


class ShapeError(NetlatheError):
    """Shapes that do not fit; `path` grows as the error travels out of the expression."""

    def __init__(self, message: str, *, path: str = "", hint: str = "") -> None:
        super().__init__(message, code="arch.shape", path=path, hint=hint)

    def within(self, name: str) -> ShapeError:
        """The same error, seen from one level further out."""
        if name:
            self.path = f"{name}.{self.path}" if self.path else name
        return self


class Infeasible(NetlatheError):
    """No network fits the budget."""

    exit = Exit.INFEASIBLE


class InternalError(NetlatheError):
    """A mistake of ours."""

    exit = Exit.BUG


class ReaderLeft(NetlatheError):
    """Who reads what is printed, such as head, has enough: nothing to be said."""

    exit = Exit.READER_LEFT

    def __init__(self) -> None:
        super().__init__("nobody reads the result any more", code="output.reader")


class MissingExtra(NetlatheError):
    """An optional dependency is not installed, or does not load: raised where its import has just failed."""

    exit = Exit.MISSING

    def __init__(self, package: str, extra: str) -> None:
        cause = sys.exception()
        absent = not isinstance(cause, ImportError) or isinstance(cause, ModuleNotFoundError)
        super().__init__(
            f"this needs the package {package!r}, which {'is not installed' if absent else f'does not load: {cause}'}",
            code="missing.extra",
            hint=f"pip install 'netlathe[{extra}]'" if absent else "the memory or its libraries may be too few",
        )


def nearest(name: str, legal: Iterable[str], count: int = 3) -> list[str]:
    """The legal names closest to `name`, best first."""
    import difflib

    by_fold = {word.lower(): word for word in legal}
    folds = difflib.get_close_matches(name.lower(), by_fold, n=count, cutoff=0.6)
    return [by_fold[fold] for fold in folds]


def unknown(what: str, name: str, legal: Iterable[str], *, code: str, path: str = "") -> NetlatheError:
    """An error for a name outside a legal set: the nearest names, or the whole set when it is short."""
    names = sorted(legal)
    close = nearest(name, names)
    hint = f"did you mean {' or '.join(close)}?" if close else ""
    if len(names) <= 16:
        hint = f"{hint} " * bool(hint) + f"legal: {', '.join(names)}"
    return NetlatheError(f"unknown {what} {name!r}", code=code, path=path, hint=hint)
