"""A source of candidates: nets, with an accuracy where one is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from netlathe.arch.net import Net
from netlathe.choose.budget import Accuracy, Candidate, candidate_on
from netlathe.target.target import Target


class SourceEntry(NamedTuple):
    """One net of a source; its name is its own there."""

    net: Net
    accuracy: Accuracy | None = None
    size_bytes: int | None = None  # of its file; None where it has none


class SourceFilter(NamedTuple):
    """What is wanted of a source."""

    pattern: str = "*"  # of names, as a shell has them
    recipe: str = ""  # a word of the recipe by which an accuracy was reached, in any case
    extra_data: bool = False  # also accuracies that rest on more data than the usual


EVERYTHING = SourceFilter()


class Source(Protocol):
    """Where candidates come from. A new source is one file; `registry.register` adds it."""

    def entries(self, wanted: SourceFilter) -> Iterable[SourceEntry]:
        """The nets that are wanted. Raises NetlatheError where there are none, and for what cannot be read."""

    @property
    def notes(self) -> Sequence[str]:
        """What to say of the entries: what was left out, and why."""


def candidates(source: Source, targets: Sequence[Target], wanted: SourceFilter = EVERYTHING) -> list[Candidate]:
    """Every net of a source with an accuracy, on every target, with its costs and its forecast.

    Raises NetlatheError as `Source.entries` and `Target.estimate` do.
    """
    found = []
    for net, accuracy, size in source.entries(wanted):
        for target in targets if accuracy else ():
            candidate = candidate_on(target, net, accuracy)
            found.append(candidate if size is None else replace(candidate, size_bytes=size))
    return found
