"""timm's published weights: every architecture at every side at which its best weights that qualify were evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from netlathe.catalogue.networks import TableNetwork, networks
from netlathe.catalogue.weights import IMAGES, PREFIX, SETS, TIMM, TimmWeights, weights
from netlathe.choose.budget import Accuracy
from netlathe.read.buildable import BuildableModule
from netlathe.read.timm import CatalogueSource, TimmNet
from netlathe.sources.source import EVERYTHING, SourceEntry, SourceFilter, nothing_wanted

NAME = TIMM
SOURCE = "timm results @aa4b585"


class TimmCatalogue:
    """The best weights that qualify count, by default from ImageNet-1k alone; nothing of timm is imported."""

    notes = ()

    def entries(self, wanted: SourceFilter = EVERYTHING) -> Iterator[SourceEntry]:
        """Each architecture at each side with its best weights. Raises NetlatheError where none qualifies."""
        best = qualifying_weights(wanted)
        if not best:
            raise nothing_wanted(wanted, "timm's published weights", timm_recipes(wanted))
        for one, row in best.values():
            yield SourceEntry(net_of(one), accuracy_of(one, wanted.accuracy), work=row)


def qualifying_weights(wanted: SourceFilter) -> dict[tuple[str, int], tuple[TimmWeights, TableNetwork]]:
    """By (architecture, side): the best weights that qualify, where the table has the network."""
    table, best = networks(), dict[tuple[str, int], tuple[TimmWeights, TableNetwork]]()
    for one in weights():
        row = table.get((TIMM, one.architecture, one.side))
        if row is None or not counts(one, wanted):
            continue
        old = best.get(row_key := (one.architecture, one.side))
        if old is None or one.top1[wanted.accuracy] > old[0].top1[wanted.accuracy]:
            best[row_key] = one, row
    return best


def counts(one: TimmWeights, wanted: SourceFilter) -> bool:
    """Whether weights are wanted."""
    return (
        matches(one, wanted.pattern)
        and wanted.recipe.lower() in recipe_of(one).lower()
        and (wanted.extra_data or not one.data)
        and (not wanted.licences or one.licence in wanted.licences)
    )


def matches(one: TimmWeights, pattern: str) -> bool:
    """Whether a pattern is of the name of weights or of their architecture, with or without timm: before it."""
    plain = pattern.removeprefix(PREFIX)
    return fnmatchcase(one.name, plain) or fnmatchcase(one.architecture, plain)


def recipe_of(one: TimmWeights) -> str:
    """How an accuracy was reached: the tag of the weights, and what they saw beyond ImageNet-1k."""
    return f"timm {one.name.partition('.')[2]}" + (f", {one.data}" if one.data else "")


def accuracy_of(one: TimmWeights, images: str = "imagenet") -> Accuracy:
    """The accuracy of weights on images of `SETS`."""
    source = SOURCE if images == "imagenet" else f"{SOURCE}, on {SETS[images]}"
    name = f"{PREFIX}{one.name}"
    return Accuracy(one.top1[images], recipe_of(one), source, IMAGES[images], name, one.licence, one.data)


def net_of(one: TimmWeights) -> BuildableModule:
    """The network of weights at their side."""
    side = one.side if one.side != one.native else None
    return TimmNet(PREFIX + one.name, CatalogueSource(one.name)).at(side)


def timm_recipes(wanted: SourceFilter) -> list[tuple[str, str]]:
    """(architecture, recipe) of all weights that qualify, whatever their names and recipes."""
    everything = wanted._replace(pattern="*", recipe="")
    return [(one.architecture, recipe_of(one)) for one in weights() if counts(one, everything)]


def accepts(text: str) -> bool:
    """Whether this is how the catalogue is named."""
    return text == NAME


def open_source(text: str = NAME) -> TimmCatalogue:
    """The catalogue."""
    return TimmCatalogue()
