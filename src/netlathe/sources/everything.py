"""All that Netlathe knows with an accuracy: the zoo and timm's published weights.

A network of the zoo and its twin of timm are one network with several weights: it is the zoo's, which is measured and
exported without timm, and the best of all published accuracies counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from netlathe import zoo
from netlathe.catalogue.networks import networks
from netlathe.catalogue.weights import TIMM
from netlathe.choose.budget import Accuracy
from netlathe.lower.twins import twins
from netlathe.sources.source import EVERYTHING, SourceEntry, SourceFilter, nothing_wanted
from netlathe.sources.timm import accuracy_of, net_of, qualifying_weights, timm_recipes
from netlathe.sources.zoo import NAME as ZOO
from netlathe.sources.zoo import qualifying, zoo_entry, zoo_recipes

NAME = "all"


class Everything:
    """The zoo and timm's weights; what both have is one network."""

    notes = ()

    def entries(self, wanted: SourceFilter = EVERYTHING) -> Iterator[SourceEntry]:
        """Each network at each resolution with a published accuracy. Raises NetlatheError where none qualifies."""
        own = {key: zoo_entry(key, figure) for key, figure in qualifying(wanted).items()}
        others = list[SourceEntry]()
        for (architecture, side), (one, row) in qualifying_weights(wanted).items():
            key, accuracy = (timm_twins().get(architecture, ""), side), accuracy_of(one, wanted.accuracy)
            if key in own:
                own[key] = own[key]._replace(accuracy=better_accuracy(own[key].accuracy, accuracy))
            elif (ZOO, *key) in networks():
                own[key] = SourceEntry(zoo.get(key[0], resolution=side), accuracy, work=networks()[(ZOO, *key)])
            else:
                others.append(SourceEntry(net_of(one), accuracy, work=row))
        if not own and not others:
            raise nothing_wanted(wanted, "the zoo and timm's weights", [*zoo_recipes(wanted), *timm_recipes(wanted)])
        yield from (*own.values(), *others)


@cache
def timm_twins() -> dict[str, str]:
    """The names of the zoo by those of timm."""
    return {twin.name: twin.short for twin in twins() if twin.library == TIMM}


def better_accuracy(published: Accuracy | None, timm: Accuracy) -> Accuracy:
    """The higher of two accuracies of a network; of equal ones, which are of the same weights, the zoo's words."""
    if published is None or published.top1 < timm.top1:
        return timm
    if published.top1 > timm.top1:
        return published
    return published._replace(weights=timm.weights, licence=timm.licence, data=timm.data)


def accepts(text: str) -> bool:
    """Whether this is how all of it is named."""
    return text == NAME


def open_source(text: str = NAME) -> Everything:
    """All of it."""
    return Everything()
