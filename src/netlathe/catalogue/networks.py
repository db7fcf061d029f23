"""The table of networks: costs, and work under every runtime's fusion rules, of each network at each resolution.

`networks.xz` is one line of JSON and then columns of numbers, all networks one after the other, compressed by LZMA.
Of a network it holds the distinct groups of operators with the times that each runs under each rule, so that every
forecast (by a model, by a rate, by the roofs of a datasheet) is that of the graph.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from netlathe.catalogue.definition import rule_id
from netlathe.cost.count import BYTES, Cost
from netlathe.cost.memory import Memory
from netlathe.device.features import QUANTITIES, FeatureRow, OperatorGroup
from netlathe.errors import NetlatheError
from netlathe.runtimes.registry import fusion_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILE = "networks.xz"
PEAKS = ("eager", "folded", "best", "best_exact", "arena", "max_in_out", "largest", "total")  # of Memory
COUNTS = tuple(name for name in Cost._fields if name != "typed")
SIZES = tuple(sorted(set(BYTES.values())))  # bytes an element, for which there is a memory each
GROUP = ("macs", "read", "write", "weights", "calls")  # of OperatorGroup
PER_IMAGE = 3  # of QUANTITIES, the first so many grow with the batch
UNITS = (1e9, 1e6, 1e6, 1e6, 1.0)  # of QUANTITIES


@dataclass(frozen=True, slots=True)
class TableNetwork:
    """A network at a resolution; counts are of one image, and so are bytes of `memories`, by bytes an element."""

    library: str  # whose it is: timm, or zoo
    name: str
    side: int
    key: str  # of an expression, that of `Net.key`; empty where a library's version tells what it is
    cost: Cost
    memories: dict[int, Memory]
    place: int

    def under(self, runtime: str) -> TableWork:
        """Its work under the fusion rules of a runtime. Raises NetlatheError for rules that the table lacks."""
        return TableWork(self.place, sums_under(rule_id(fusion_of(runtime)), runtime))


class RuleSums(NamedTuple):
    """The work of all networks under one rule: a column a class and quantity, for one image."""

    rule: int
    names: list[str]
    sums: NDArray[Any]  # (networks, columns), whole numbers
    grows: list[bool]  # columns that grow with the batch
    units: list[float]  # of columns


class TableWork(NamedTuple):
    """A network of the table under a rule."""

    place: int
    rule: RuleSums

    def row(self, batch: int) -> FeatureRow:
        """Its features for a batch."""
        values = self.rule.sums[self.place]
        names, grows, units, numbers = self.rule.names, self.rule.grows, self.rule.units, values.tolist()
        return {names[i]: numbers[i] * (batch if grows[i] else 1) / units[i] for i in values.nonzero()[0].tolist()}

    def counted(self) -> Iterator[tuple[OperatorGroup, int]]:
        """Its distinct groups, and how often each runs; what a table does not know are their paths."""
        columns, start, end = read_columns(), *bounds_of(self.place)
        counts = columns[f"rule{self.rule.rule}"][start:end].tolist()
        classes = header()["classes"]
        numbers = zip(*(columns[name][start:end].tolist() for name in ("class", *GROUP)), strict=True)
        for (class_, macs, read, write, weights, calls), times in zip(numbers, counts, strict=True):
            if times:
                path = f"{classes[class_]}, {times} alike" if times > 1 else classes[class_]
                yield OperatorGroup(classes[class_], path, 1, macs, read, write, weights, calls), times


@cache
def raw() -> tuple[dict[str, Any], bytes]:
    """The line of JSON and the columns."""
    content = lzma.decompress((files("netlathe.catalogue") / FILE).read_bytes())
    line, _, columns = content.partition(b"\n")
    return json.loads(line), columns


def header() -> dict[str, Any]:
    """What the file says of itself: source, licence, versions, rules, classes and columns."""
    return raw()[0]


@cache
def read_columns() -> dict[str, NDArray[Any]]:
    """The columns by name: those of networks, then those of groups."""
    import numpy as np

    about, content = raw()
    columns, start = {}, 0
    for name, kind, length in about["columns"]:
        columns[name] = np.frombuffer(content, np.dtype(kind), length, start)
        start += columns[name].nbytes
    return columns


@cache
def ends() -> list[int]:
    """Where the groups of each network end."""
    numbers: list[int] = read_columns()["groups"].cumsum().tolist()
    return numbers


def bounds_of(place: int) -> tuple[int, int]:
    """The first group of a network, and the one after its last."""
    return ends()[place - 1] if place else 0, ends()[place]


@cache
def networks() -> dict[tuple[str, str, int], TableNetwork]:
    """All networks by library, name and side."""
    about, columns = header(), read_columns()
    costs = list(zip(*(columns[f"cost.{name}"].tolist() for name in COUNTS), strict=True))
    peaks = {n: list(zip(*(columns[f"memory{n}.{name}"].tolist() for name in PEAKS), strict=True)) for n in SIZES}
    table = {}
    for place, (library, name, side, key) in enumerate(about["networks"]):
        typed = tuple((kind, Cost(*numbers)) for kind, numbers in about["typed"].get(str(place), ()))
        memories = {size: memory_of(peaks[size][place]) for size in SIZES}
        cost = Cost(*costs[place])._replace(typed=typed)
        table[library, name, side] = TableNetwork(library, name, side, key, cost, memories, place)
    return table


def memory_of(peaks: tuple[int, ...]) -> Memory:
    """The peaks of a network, whose paths a table does not know."""
    values = dict(zip(PEAKS, peaks, strict=True))
    return Memory(**values | {"best_exact": bool(values["best_exact"])}, at={})  # type: ignore[arg-type]


def has_rules(runtime: str) -> bool:
    """Whether the table has the work of networks under the fusion rules of a runtime."""
    return rule_id(fusion_of(runtime)) in header()["rules"]


@cache
def sums_under(rule: str, runtime: str) -> RuleSums:
    """The work of all networks under a rule."""
    import numpy as np

    about, columns = header(), read_columns()
    if rule not in about["rules"]:
        raise NetlatheError(
            f"the table of networks knows nothing of the fusion rules of {runtime}",
            code="catalogue.rules",
            hint="give the runtime the rules of one that Netlathe has, or install timm, whose networks are then read",
        )
    number, classes = about["rules"].index(rule), about["classes"]
    network = np.repeat(np.arange(len(about["networks"])), columns["groups"])
    cell, times = network * len(classes) + columns["class"], columns[f"rule{number}"].astype(float)
    shape = len(about["networks"]), len(classes)
    parts = [np.bincount(cell, columns[name] * times, shape[0] * shape[1]).reshape(shape) for name in GROUP]
    names = [f"{class_}.{quantity}" for quantity in QUANTITIES for class_ in classes]
    grows = [i < PER_IMAGE * len(classes) for i in range(len(names))]
    return RuleSums(number, names, np.hstack(parts), grows, [unit for unit in UNITS for _ in classes])
