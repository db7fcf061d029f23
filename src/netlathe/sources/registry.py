"""The sources of candidates by what people type after --from. A source is one file and a row here."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from netlathe.errors import NetlatheError
from netlathe.sources import everything, folder, search, timm, zoo
from netlathe.sources.source import Source


class SourceKind(NamedTuple):
    """A kind of source: what it is called, what it is in a sentence, which texts name one, and how it is opened."""

    name: str
    what: str
    accepts: Callable[[str], bool]
    open: Callable[[str], Source]


KINDS = [
    SourceKind("all", "all, the zoo and timm's published weights", everything.accepts, everything.open_source),
    SourceKind("timm", "timm, its published weights", timm.accepts, timm.open_source),
    SourceKind("zoo", "zoo, the published networks", zoo.accepts, zoo.open_source),
    SourceKind("search", "the folder of a search", search.accepts, search.open_source),
    SourceKind("folder", "a folder of networks, with a CSV file of accuracies", folder.accepts, folder.open_source),
]


def register(kind: SourceKind) -> None:
    """Add a kind of source, or replace the one of that name; it is asked before those of Netlathe."""
    KINDS[:] = [kind, *(other for other in KINDS if other.name != kind.name)]


def open_source(text: str) -> Source:
    """The source that a text names. Raises NetlatheError where it names none, and for one that cannot be read."""
    for kind in KINDS:
        if kind.accepts(text):
            return kind.open(text)
    hint = f"legal: {'; '.join(kind.what for kind in KINDS)}"
    raise NetlatheError(f"{text!r} is no source of candidates", code="source.unknown", path=text, hint=hint)
