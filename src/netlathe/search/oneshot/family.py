"""What a one-shot search searches: how its supernet looks, and how a genotype is drawn, derived, set, built and told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from netlathe.arch.combinators import Choice
from netlathe.arch.network import Network
from netlathe.arch.rewrite import resolve, walk
from netlathe.reshape.classes import for_images
from netlathe.search.oneshot import cells as darts_cells
from netlathe.search.oneshot import genotypes
from netlathe.search.oneshot.cells import Cells, supernet_of
from netlathe.search.oneshot.genotypes import Weights
from netlathe.search.oneshot.mixture import decisions, mixed

Image = tuple[int, int, int]


class Family(Protocol):
    """The seam between the methods and the spaces. A genotype is a value of the family's own."""

    def supernet(self, image: Image, classes: int) -> Network:
        """The expression with open choices."""

    def affine(self, path: str) -> bool:
        """Whether the batch norm at a path keeps factors and shifts in the supernet."""

    def draw(self, rng: np.random.Generator) -> Any:
        """A genotype at random, all equally likely."""

    def derive(self, weights: Weights, skips: int | None = None) -> Any:
        """The genotype that weights of the options stand for; `skips`: at most so many skip connections."""

    def setting(self, genotype: Any) -> dict[str, int | None]:
        """The genotype as one path of the supernet."""

    def network(self, genotype: Any, image: Image, classes: int, name: str) -> Network:
        """The network of a genotype at its evaluation size."""

    def operators(self, genotype: Any) -> list[str]:
        """What the genotype does, where a collapse would show."""

    def text(self, genotype: Any) -> str:
        """For people."""

    def data(self, genotype: Any) -> Any:
        """For JSON; `of_data` is its inverse."""

    def of_data(self, data: Any) -> Any:
        """The genotype of `data`."""

    def key(self) -> str:
        """What tells this family from others, for the folder of a run."""


@dataclass(frozen=True, kw_only=True)
class DartsFamily:
    """DARTS cells: a supernet of `depth` cells and `channels`, evaluated with `final_depth` and `final_channels`."""

    cells: Cells
    channels: int = 16
    depth: int = 8
    final_channels: int = 36
    final_depth: int = 20

    def supernet(self, image: Image, classes: int) -> Network:
        return supernet_of(self.cells, self.channels, self.depth, image, classes)

    def affine(self, path: str) -> bool:
        return not path.startswith("cell")

    def draw(self, rng: np.random.Generator) -> genotypes.Genotype:
        return genotypes.drawn(self.cells, rng)

    def derive(self, weights: Weights, skips: int | None = None) -> genotypes.Genotype:
        return genotypes.derived(self.cells, weights, skips=skips)

    def setting(self, genotype: genotypes.Genotype) -> dict[str, int | None]:
        return genotypes.setting_of(self.cells, genotype)

    def network(self, genotype: genotypes.Genotype, image: Image, classes: int, name: str) -> Network:
        return genotypes.network_of(genotype, self.final_channels, self.final_depth, image, classes, name)

    def operators(self, genotype: genotypes.Genotype) -> list[str]:
        return genotypes.operators(genotype[0])

    def text(self, genotype: genotypes.Genotype) -> str:
        return genotypes.text(genotype)

    def data(self, genotype: genotypes.Genotype) -> Any:
        return genotypes.data(genotype)

    def of_data(self, data: Any) -> genotypes.Genotype:
        return genotypes.from_data(self.cells, data)

    def key(self) -> str:
        return repr((self.cells, self.channels, self.depth))


@dataclass(frozen=True, kw_only=True)
class ChoiceFamily:
    """Any network with open choices whose options fit together; a genotype is the option of every decision, in order.

    It is derived by the largest weight of each decision, and built at the size of the supernet.
    """

    open_network: Network

    @property
    def options(self) -> dict[str, tuple[str, ...]]:
        """By decision."""
        return decisions(mixed(self.open_network.body))

    def supernet(self, image: Image, classes: int) -> Network:
        return for_images(self.open_network, classes=classes, channels=image[0], resolution=image[1])

    def affine(self, path: str) -> bool:
        return True

    def draw(self, rng: np.random.Generator) -> tuple[str, ...]:
        return tuple(names[rng.integers(len(names))] for names in self.options.values())

    def derive(self, weights: Weights, skips: int | None = None) -> tuple[str, ...]:
        return tuple(names[int(np.argmax(weights[decision]))] for decision, names in self.options.items())

    def picks(self, genotype: tuple[str, ...]) -> dict[str, str]:
        """The option by decision."""
        return dict(zip(self.options, genotype, strict=True))

    def setting(self, genotype: tuple[str, ...]) -> dict[str, int | None]:
        options = self.options
        return {decision: options[decision].index(name) for decision, name in self.picks(genotype).items()}

    def network(self, genotype: tuple[str, ...], image: Image, classes: int, name: str) -> Network:
        picks, body = self.picks(genotype), self.open_network.body
        while found := {p: picks[c.id or p] for p, c in walk(body) if isinstance(c, Choice)}:
            body = resolve(body, found)
        closed = replace(self.open_network, name=name, body=body)
        return for_images(closed, classes=classes, channels=image[0], resolution=image[1])

    def operators(self, genotype: tuple[str, ...]) -> list[str]:
        return list(genotype)

    def text(self, genotype: tuple[str, ...]) -> str:
        return ", ".join(f"{decision}={name}" for decision, name in self.picks(genotype).items())

    def data(self, genotype: tuple[str, ...]) -> Any:
        return self.picks(genotype)

    def of_data(self, data: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(data.values())

    def key(self) -> str:
        return self.open_network.key


__all__ = ["ChoiceFamily", "DartsFamily", "Family", "Image", "darts_cells"]
