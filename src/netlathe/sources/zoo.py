"""The zoo: networks at the resolutions at which an accuracy was published."""

from __future__ import annotations

from collections.abc import Iterator

from netlathe import zoo
from netlathe.choose.budget import Accuracy
from netlathe.choose.decide import IMAGES
from netlathe.errors import NetlatheError
from netlathe.sources.source import EVERYTHING, SourceEntry, SourceFilter, nothing_wanted
from netlathe.zoo.published import Figure, figures

NAME = "zoo"


class Zoo:
    """The best figure that qualifies counts: single crop, ImageNet-1k alone unless asked otherwise."""

    notes = ()

    def entries(self, wanted: SourceFilter = EVERYTHING) -> Iterator[SourceEntry]:
        """Each network at each resolution with a published accuracy. Raises NetlatheError where none qualifies."""
        for (name, resolution), f in qualifying(wanted).items():
            assert f.top1 is not None
            accuracy = Accuracy(f.top1, f.recipe, f.source, IMAGES)
            yield SourceEntry(zoo.get(name, resolution=resolution), accuracy)


def qualifying(wanted: SourceFilter) -> dict[tuple[str, int], Figure]:
    """By (network, resolution): the best figure that counts. Raises NetlatheError where none does."""
    counting = [
        (name, figure)
        for name in zoo.names(wanted.pattern)
        for figure in sorted(figures(name), key=lambda f: f.top1 or 0.0)
        if figure.top1 and figure.crops == 1 and (wanted.extra_data or not figure.extra_data)
    ]
    if not counting:
        message = f"no network matches {wanted.pattern!r} with a published accuracy"
        raise NetlatheError(message, code="choose.no_candidates", hint="`netlathe zoo` lists names and recipes")
    best = {(name, f.resolution): f for name, f in counting if wanted.recipe.lower() in f.recipe.lower()}
    if not best:
        raise nothing_wanted(wanted, "the zoo", ((name, figure.recipe) for name, figure in counting))
    return best


def accepts(text: str) -> bool:
    """Whether this is how the zoo is named."""
    return text == NAME


def open_source(text: str = NAME) -> Zoo:
    """The zoo."""
    return Zoo()
