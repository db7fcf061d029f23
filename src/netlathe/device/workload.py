"""Workload: what a network asks of a device under a runtime, whether its operators are at hand or only their sums.

A graph is one, and so is the row of a table that was made from a graph once (`netlathe.catalogue`): counts and
forecasts are the same from both, but for the paths of operators, which a table does not have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from netlathe.arch.graph import Graph
from netlathe.cost.count import Cost, count
from netlathe.cost.memory import Memory, memory, timeline
from netlathe.device.features import FeatureRow, OperatorGroup


class FusedWork(Protocol):
    """A network as one runtime fuses it."""

    def row(self, batch: int) -> FeatureRow:
        """Its features for a batch."""

    def counted(self) -> Iterable[tuple[OperatorGroup, int]]:
        """Its groups of operators, and how often each runs."""


class Workload(Protocol):
    """What a table knows of a network: exact counts, and its work as every runtime would fuse it."""

    @property
    def cost(self) -> Cost:
        """Its counts, of one image."""

    @property
    def memories(self) -> Mapping[int, Memory]:
        """Its peaks of memory for one image, by bytes an element."""

    def under(self, runtime: str) -> FusedWork:
        """The network under the fusion rules of a runtime. Raises NetlatheError for rules that the table lacks."""


def cost_of(work: Graph | Workload) -> Cost:
    """The counts of a network."""
    return count(work) if isinstance(work, Graph) else work.cost


def memory_of(work: Graph | Workload, bytes_per_element: int, batch: int = 1) -> Memory:
    """The peaks of memory of a network."""
    if isinstance(work, Graph):
        return memory(work, bytes_per_element, batch)
    one = work.memories[bytes_per_element]
    return replace(one, **{name: batch * getattr(one, name) for name in SCALED})


# The fields of Memory that grow with the batch.
SCALED = ("eager", "folded", "best", "arena", "max_in_out", "largest", "total")


def arena_of(work: Graph | Workload, bytes_per_element: int, batch: int = 1) -> int:
    """The bytes of the arena of a network, without searching for its best order."""
    if not isinstance(work, Graph):
        return batch * work.memories[bytes_per_element].arena
    return max((held for _, held in timeline(work, "arena", bytes_per_element, batch)), default=0)
