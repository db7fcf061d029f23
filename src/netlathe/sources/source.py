"""A source of candidates: nets, with an accuracy where one is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import NamedTuple, Protocol

from netlathe.arch.net import Net, rewritable
from netlathe.arch.network import Network
from netlathe.catalogue.networks import has_rules
from netlathe.choose.budget import Accuracy, Candidate, candidate_on
from netlathe.device.workload import Workload
from netlathe.errors import NetlatheError, nearest
from netlathe.target.target import Target


class SourceEntry(NamedTuple):
    """One net of a source; its name is its own there."""

    net: Net
    accuracy: Accuracy | None = None
    size_bytes: int | None = None  # of its file; None where it has none
    work: Workload | None = None  # what a table knows of it, so that its graph need not be made


class SourceFilter(NamedTuple):
    """What is wanted of a source."""

    pattern: str = "*"  # of names, as a shell has them
    recipe: str = ""  # a word of the recipe by which an accuracy was reached, in any case
    extra_data: bool = False  # also accuracies that rest on more data than the usual
    licences: frozenset[str] = frozenset()  # of weights that may count; empty for any
    accuracy: str = "imagenet"  # the images on which it was measured: a key of `catalogue.weights.SETS`


EVERYTHING = SourceFilter()
SHOWN = 8  # recipes in an error
NAMED = 20  # networks in a sentence


def nothing_wanted(
    wanted: SourceFilter, where: str, recipes: Iterable[tuple[str, str]], *, path: str = ""
) -> NetlatheError:
    """Why a source has nothing that is wanted: no name matches, or else no recipe of those that do has the word.

    `recipes` has (network, recipe of its accuracy) of the whole source; `where` says what was looked through.
    """
    code, pairs = "choose.no_candidates", list(recipes)
    matching = {recipe for name, recipe in pairs if fnmatchcase(name, wanted.pattern)}
    if matching:
        of = "" if wanted.pattern == EVERYTHING.pattern else f" of {wanted.pattern}"
        some, more = sorted(matching)[:SHOWN], len(matching) - SHOWN
        hint = f"recipes: {'; '.join(some)}" + f"; and {more} more" * (more > 0)
        return NetlatheError(f"no recipe{of} has the word {wanted.recipe!r}", code=code, path=path, hint=hint)
    close = nearest(wanted.pattern, (name for name, _ in pairs))
    hint = f"did you mean {' or '.join(close)}?" if close else ""
    return NetlatheError(f"no network matches {wanted.pattern!r} in {where}", code=code, path=path, hint=hint)


class Source(Protocol):
    """Where candidates come from. A new source is one file; `registry.register` adds it."""

    def entries(self, wanted: SourceFilter) -> Iterable[SourceEntry]:
        """The nets that are wanted. Raises NetlatheError where there are none, and for what cannot be read."""

    @property
    def notes(self) -> Sequence[str]:
        """What to say of the entries: what was left out, and why."""


def candidates(source: Source, targets: Sequence[Target], wanted: SourceFilter = EVERYTHING) -> list[Candidate]:
    """Every net of a source with an accuracy, on every target, with its costs and its forecast.

    Raises NetlatheError as `rated_entries` and `Target.estimate` do.
    """
    return on_targets(rated_entries(source, wanted), targets)


def on_targets(entries: Iterable[SourceEntry], targets: Sequence[Target]) -> list[Candidate]:
    """Entries with an accuracy on every target; what a table alone knows, where it knows the runtime's fusion rules.

    Raises NetlatheError as `Target.estimate` does.
    """
    pool, tables = [], {target.runtime: has_rules(target.runtime) for target in targets}
    for net, accuracy, size, work in entries:
        for target in targets:
            if net.workload is not None and not tables[target.runtime]:
                continue
            candidate = candidate_on(target, net, accuracy, work if tables[target.runtime] else None)
            pool.append(candidate if size is None else replace(candidate, size_bytes=size))
    return pool


def rule_notes(entries: Iterable[SourceEntry], targets: Sequence[Target]) -> list[str]:
    """Under which runtimes networks take no part, because the table of networks lacks their fusion rules."""
    others = sum(net.workload is not None for net, *_ in entries)
    lacking = dict.fromkeys(target.runtime for target in targets if not has_rules(target.runtime)) if others else ()
    return [
        f"{others} networks of timm take no part under {name}: the table of networks lacks its fusion rules"
        for name in lacking
    ]


def rated_entries(source: Source, wanted: SourceFilter = EVERYTHING) -> list[SourceEntry]:
    """The entries of a source that have an accuracy.

    Raises NetlatheError as `Source.entries` does, and where no accuracy is known.
    """
    rated = [entry for entry in source.entries(wanted) if entry.accuracy]
    if not rated:
        raise NetlatheError(
            "no accuracy is known of these networks, and the most accurate that fits is what is chosen",
            code="choose.no_accuracy",
            hint="add a CSV file to the folder, a line a network: file,accuracy; `netlathe bench` compares latencies",
        )
    return rated


def name_some(names: Sequence[str]) -> str:
    """Names in a sentence, no more than fit on a screen."""
    more = f" and {len(names) - NAMED:,} more" * (len(names) > NAMED)
    return ", ".join(names[:NAMED]) + more


def expressions(source: Source) -> tuple[list[Network], list[str]]:
    """The networks of a source that can be trained from scratch, and the names of those that cannot.

    Raises NetlatheError, with the names, where none can.
    """
    networks, others = list[Network](), list[str]()
    for net, *_ in source.entries(EVERYTHING):
        network = rewritable(net)
        if network is None:
            others.append(net.name)
        else:
            networks.append(network)
    if not networks:
        raise NetlatheError(
            f"none of these has an expression to train: {name_some(others)}",
            code="source.no_expression",
            hint="an arch.json, a function that returns an expression, or the folder of a search has one",
        )
    return networks, others
