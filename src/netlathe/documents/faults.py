"""What is wrong with a document, for the person who wrote it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from netlathe.errors import NetlatheError, nearest

SHOWN = 20  # faults that are printed of a document


class Fault(NamedTuple):
    """One thing that is wrong. `path` is where: `optimiser.betas[1]`, `line 4`; empty for the whole document."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


def faults_error(
    faults: Sequence[Fault | str], *, code: str, path: str, hint: str = "", note: str = "", shown: int = SHOWN
) -> NetlatheError:
    """One error that lists the faults of a document, of many the first `shown`; `note` follows their number."""
    listed = "".join(f"\n  {fault}" for fault in faults[:shown])
    left = len(faults) - len(faults[:shown])
    more = f"\n  and {left} more" if left else ""
    message = f"{len(faults)} fault{'s' * (len(faults) > 1)}{note}{listed}{more}"
    return NetlatheError(message, code=code, path=path, hint=hint)


def suggest(name: str, legal: Iterable[str]) -> str:
    """The nearest legal names, or all of them where none is near, to stand in brackets."""
    words = tuple(legal)
    close = nearest(name, words)
    return f"did you mean {' or '.join(close)}?" if close else f"legal: {', '.join(words)}"


def unknown_field(path: str, name: str, legal: Iterable[str], what: str = "field") -> Fault:
    """A field that does not exist. `path` is that of its table."""
    return Fault(f"{path}.{name}" if path else name, f"unknown {what} ({suggest(name, legal)})")


def unknown_word(path: str, word: object, legal: Sequence[str]) -> Fault:
    """A word outside a legal set."""
    close = nearest(str(word), legal)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    return Fault(path, f"unknown word {word!r} ({hint}legal: {', '.join(legal)})")
