"""What a one-shot search searches: how its supernet looks, how a genotype is drawn, derived, set, built and told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from netlathe.arch.combinators import Choice
from netlathe.arch.network import Network
from netlathe.arch.rewrite import walk
from netlathe.errors import NetlatheError
from netlathe.reshape.classes import for_images
from netlathe.runfolder.identity import content_hash
from netlathe.search.genotype import Genotype
from netlathe.search.oneshot import genotypes
from netlathe.search.oneshot.cells import Cells, supernet_of
from netlathe.search.oneshot.genotypes import OptionWeights
from netlathe.search.oneshot.mixed_op import mix_choices
from netlathe.search.space import SearchSpace

Image = tuple[int, int, int]


class OneShotFamily(Protocol):
    """The seam between the methods and the spaces. A genotype is a value of the family's own."""

    def supernet(self, image: Image, classes: int) -> Network:
        """The expression with open choices."""

    def affine(self, path: str) -> bool:
        """Whether the batch norm at a path keeps factors and shifts in the supernet."""

    def draw(self, rng: np.random.Generator) -> Any:
        """A genotype at random, all equally likely."""

    def derive(self, weights: OptionWeights, skips: int | None = None) -> Any:
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

    def draw(self, rng: np.random.Generator) -> genotypes.CellGenotype:
        return genotypes.draw_genotype(self.cells, rng)

    def derive(self, weights: OptionWeights, skips: int | None = None) -> genotypes.CellGenotype:
        return genotypes.derive_genotype(self.cells, weights, skips=skips)

    def setting(self, genotype: genotypes.CellGenotype) -> dict[str, int | None]:
        return genotypes.path_setting(self.cells, genotype)

    def network(self, genotype: genotypes.CellGenotype, image: Image, classes: int, name: str) -> Network:
        return genotypes.build_network(genotype, self.final_channels, self.final_depth, image, classes, name)

    def operators(self, genotype: genotypes.CellGenotype) -> list[str]:
        return genotypes.cell_operators(genotype[0])

    def text(self, genotype: genotypes.CellGenotype) -> str:
        return genotypes.genotype_to_text(genotype)

    def data(self, genotype: genotypes.CellGenotype) -> Any:
        return genotypes.genotype_to_json(genotype)

    def of_data(self, data: Any) -> genotypes.CellGenotype:
        return genotypes.genotype_from_json(self.cells, data)

    def key(self) -> str:
        return content_hash(repr(self))


@dataclass(frozen=True)
class SpaceFamily:
    """Any space whose options fit together; derived by the largest weight of each decision, at the supernet's size."""

    space: SearchSpace

    def __post_init__(self) -> None:
        if self.space.resolutions:
            raise NetlatheError(
                f"{self.space.name} decides on the resolution, which a supernet cannot mix", code="search.resolution"
            )
        if not any(isinstance(node, Choice) for _, node in walk(self.space.network.body)):
            raise NetlatheError(
                f"{self.space.name} has no supernet: its networks come from a function, not from open choices",
                code="search.no_supernet",
                hint="`netlathe search` tries its networks one by one; darts, macro and nb201 have a supernet",
            )

    def supernet(self, image: Image, classes: int) -> Network:
        network = replace(self.space.network, body=mix_choices(self.space.network.body))
        return for_images(network, classes=classes, channels=image[0], resolution=image[1])

    def affine(self, path: str) -> bool:
        return True

    def draw(self, rng: np.random.Generator) -> Genotype:
        return self.space.sample(rng)

    def derive(self, weights: OptionWeights, skips: int | None = None) -> Genotype:
        return self.space.normal([int(np.argmax(weights[d.name])) for d in self.space.decisions])

    def setting(self, genotype: Genotype) -> dict[str, int | None]:
        return {d.name: option for d, option in zip(self.space.decisions, genotype, strict=True)}

    def network(self, genotype: Genotype, image: Image, classes: int, name: str) -> Network:
        network = for_images(self.space.decode(genotype), classes=classes, channels=image[0], resolution=image[1])
        return replace(network, name=name)

    def operators(self, genotype: Genotype) -> list[str]:
        return list(self.space.options(genotype).values())

    def text(self, genotype: Genotype) -> str:
        return ", ".join(f"{decision}={name}" for decision, name in self.space.options(genotype).items())

    def data(self, genotype: Genotype) -> Any:
        return list(genotype)

    def of_data(self, data: list[int]) -> Genotype:
        return tuple(data)

    def key(self) -> str:
        return content_hash(self.space.name, self.space.network.key)
