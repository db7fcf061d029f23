"""Draws of networks that were not asked before, and the end of a small space."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.random import Generator

    from netlathe.search.space import Genotype, SearchSpace

PATIENCE = 100  # draws in vain before a space is listed, or given up as exhausted
LISTED = 100_000  # genotypes of the largest space that is listed


class FreshSampler:
    """Remembers the canonical keys that were asked and draws others."""

    def __init__(self, space: SearchSpace, rng: Generator) -> None:
        self.space, self.rng = space, rng
        self.keys: set[str] = set()
        self._key: dict[Genotype, str] = {}
        self._left: list[Genotype] | None = None  # what remains of a small space, once draws were in vain

    def key(self, genotype: Genotype) -> str:
        """The canonical key, remembered: it takes a decoded network."""
        key = self._key.get(genotype)
        if key is None:
            key = self._key[genotype] = self.space.key(genotype)
        return key

    def mark(self, genotype: Genotype) -> bool:
        """Mark as asked; True where it was new."""
        key = self.key(genotype)
        new = key not in self.keys
        self.keys.add(key)
        return new

    def draw(self) -> Genotype | None:
        """A uniform draw among the networks that were not asked, marked as asked; None where there is none left."""
        if self._left is None:
            genotype = self.first_new(lambda: self.space.sample(self.rng))
            if genotype is not None:
                return genotype
            if self.space.size > LISTED:
                return None
            self._left = list(self.space.all())
            self.rng.shuffle(self._left)
        while self._left:
            genotype = self._left.pop()
            if self.mark(genotype):
                return genotype
        return None

    def first_new(self, make: Callable[[], Genotype], patience: int = PATIENCE) -> Genotype | None:
        """The first of `patience` made genotypes that was not asked before, marked as asked; None where all were."""
        for _ in range(patience):
            genotype = make()
            if self.mark(genotype):
                return genotype
        return None
