"""The zoo: networks at the resolutions at which an accuracy was published."""

from __future__ import annotations

import re
from collections.abc import Iterator

from netlathe import zoo
from netlathe.catalogue.networks import networks
from netlathe.catalogue.weights import PREFIX, SETS, TimmWeights, by_architecture
from netlathe.choose.budget import Accuracy
from netlathe.choose.decide import IMAGES
from netlathe.errors import NetlatheError
from netlathe.sources.source import EVERYTHING, SourceEntry, SourceFilter, nothing_wanted
from netlathe.zoo.published import Figure, figures

NAME = "zoo"
TORCHVISION = "bsd-3-clause"  # the licence of its weights


class Zoo:
    """The best figure that qualifies counts: single crop, ImageNet-1k alone unless asked otherwise."""

    notes = ()

    def entries(self, wanted: SourceFilter = EVERYTHING) -> Iterator[SourceEntry]:
        """Each network at each resolution with a published accuracy. Raises NetlatheError where none qualifies."""
        best = qualifying(wanted)
        if not best:
            raise nothing_qualifies(wanted)
        yield from (zoo_entry(key, figure) for key, figure in best.items())


def zoo_entry(key: tuple[str, int], figure: Figure) -> SourceEntry:
    """A network at a resolution with a published accuracy; what the table knows of it spares its graph."""
    name, resolution = key
    assert figure.top1 is not None
    weights = weights_of(figure)
    accuracy = Accuracy(figure.top1, figure.recipe, figure.source, IMAGES, licence=licence_of(figure))
    if weights:
        accuracy = accuracy._replace(weights=f"{PREFIX}{weights.name}", data=weights.data)
    work = networks().get((NAME, name, resolution))
    return SourceEntry(zoo.get(name, resolution=resolution), accuracy, work=work)


def qualifying(wanted: SourceFilter) -> dict[tuple[str, int], Figure]:
    """By (network, resolution): the best figure that counts; empty where none does."""
    rows = [(name, f) for name, f in counting(wanted) if wanted.recipe.lower() in f.recipe.lower()]
    return {(name, f.resolution): f for name, f in rows}


def counting(wanted: SourceFilter) -> list[tuple[str, Figure]]:
    """(network, figure) of those whose names match and whose images and licences are wanted, the best last."""
    if wanted.accuracy != "imagenet":
        return []
    return [
        (name, figure)
        for name in zoo.names(wanted.pattern)
        for figure in sorted(figures(name), key=lambda f: f.top1 or 0.0)
        if figure.top1
        and figure.crops == 1
        and (wanted.extra_data or not figure.extra_data)
        and (not wanted.licences or licence_of(figure) in wanted.licences)
    ]


def zoo_recipes(wanted: SourceFilter) -> list[tuple[str, str]]:
    """(network, recipe) of all figures that count, whatever their names and recipes."""
    return [(name, figure.recipe) for name, figure in counting(wanted._replace(pattern="*"))]


def nothing_qualifies(wanted: SourceFilter) -> NetlatheError:
    """Why nothing of the zoo is wanted."""
    if wanted.accuracy != "imagenet":
        message = f"of the zoo no accuracy on {SETS[wanted.accuracy]} is known"
        hint = "--from all knows those of timm's weights, also of networks that the zoo has too"
        return NetlatheError(message, code="choose.no_candidates", hint=hint)
    if rows := counting(wanted):
        return nothing_wanted(wanted, "the zoo", ((name, figure.recipe) for name, figure in rows))
    message = f"no network matches {wanted.pattern!r} with a published accuracy"
    message += " of weights under such a licence" * bool(wanted.licences)
    return NetlatheError(message, code="choose.no_candidates", hint="`netlathe zoo` lists names and recipes")


def weights_of(figure: Figure) -> TimmWeights | None:
    """The published weights that a figure is of, where timm has them: its source names them in brackets."""
    tag = re.search(r"\(([\w.]+)\)$", figure.source)
    rows = by_architecture().get(tag[1].partition(".")[0], ()) if tag else ()
    return next((one for one in rows if tag and one.name == tag[1]), None)


def licence_of(figure: Figure) -> str:
    """The licence of the weights that a figure is of; empty where nobody says."""
    weights = weights_of(figure)
    return weights.licence if weights else TORCHVISION * figure.source.startswith("torchvision")


def accepts(text: str) -> bool:
    """Whether this is how the zoo is named."""
    return text == NAME


def open_source(text: str = NAME) -> Zoo:
    """The zoo."""
    return Zoo()
