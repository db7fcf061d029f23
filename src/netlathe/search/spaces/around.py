"""The space around a network of the zoo: its own knobs on a grid, with the network itself at x1.

Width, depth and inner width are factors, groups a count, resolution pixels (`netlathe.reshape.knobs`). A knob that the
network does not have is left out, and so are values that give the same network as another or that not every width and
inner width allows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import product
from typing import Any

from netlathe import zoo
from netlathe.arch.combinators import Stage
from netlathe.arch.network import Network
from netlathe.arch.node import Node
from netlathe.arch.rewrite import walk
from netlathe.cost.totals import totals
from netlathe.errors import NetlatheError
from netlathe.reshape.knobs import KNOBS, cardinalities, depth, turn_knobs
from netlathe.reshape.visit import rewrite_everywhere
from netlathe.search.genotype import DecisionPoint
from netlathe.search.grid import GridSpace, Options

AS_IS = "as is"
FACTORS: dict[str, tuple[float, ...]] = {
    "depth": (1, 0.5, 0.75, 1.25, 1.5, 2),  # x1 first: of two that round to one network, that is kept
    "inner": (1, 0.5, 0.75, 1.25, 1.5, 2),
    "width": (1, 0.25, 0.35, 0.5, 0.75, 1.25, 1.5, 2),
}
SIDES = (1, 0.5, 0.625, 0.75, 0.875, 1.125, 1.25)  # of the network's own resolution, to multiples of 8 pixels
Values = tuple[tuple[str, float], ...]  # by knob


def around(name: str, **options: Any) -> GridSpace:
    """The space around the network of that name; `width=(0.5, 1)` gives the values of a knob, () leaves it out.

    Other options are the free choices of the network (classes=10). Raises NetlatheError for an unknown name, for values
    that the network cannot have, and where nothing is left to turn.
    """
    wished = {knob: read_values(knob, options.pop(knob)) for knob in KNOBS if knob in options}
    builder = KnobSpaceBuilder(zoo.get(name, **options))
    grids = {knob: knob_options(builder, knob, wished.get(knob)) for knob in KNOBS}
    if len(grids["groups"]) > 1:
        inner, width = grids["inner"] or {"": 1}, grids["width"] or {"": 1}
        legal = [set(builder.cardinalities(i, w)) for i, w in product(inner.values(), width.values())]
        kept = {
            option: count for option, count in grids["groups"].items() if not count or all(count in g for g in legal)
        }
        grids["groups"] = kept
    grids = {knob: values for knob, values in grids.items() if len(values) > 1 or (values and knob in wished)}
    if not grids:
        raise NetlatheError(
            f"{name} has no knob with two values to turn", code="search.no_knob", hint=f"knobs: {', '.join(KNOBS)}"
        )
    axes = tuple(DecisionPoint(knob, tuple(values)) for knob, values in grids.items())

    def make(options: Options) -> Network:
        return builder.network_at(tuple((knob, grids[knob][option]) for knob, option in options.items()))

    def options_of(member: Network) -> Options | None:
        return find_options(member, axes, make)

    return GridSpace(f"around-{name}", builder.network, axes=axes, make=make, options_of=options_of)


class KnobSpaceBuilder:
    """The variants of a network, remembered. What depends on the wiring is done where blocks repeat but once."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.depths = dict(stage_depths(network))
        self.shallow = set_depths(network, dict.fromkeys(self.depths, 2))  # a repeated block is seen, but once
        self.core = lru_cache(maxsize=1 << 10)(lambda values: turn_knobs(self.shallow, dict(values)))
        self.network_at = lru_cache(maxsize=1 << 12)(self._network_at)

    def own(self, knob: str) -> float:
        """The value of a knob at which the network is itself."""
        return {"resolution": self.network.input[-1], "groups": 0}.get(knob, 1)

    def _network_at(self, values: Values) -> Network:
        """The network with its knobs at these values; at its own it is untouched. Raises NetlatheError."""
        moved = tuple((knob, value) for knob, value in values if value != self.own(knob))
        wiring = tuple((knob, value) for knob, value in moved if knob in ("inner", "width", "groups"))
        rest = dict(pair for pair in moved if pair not in wiring)
        network = set_depths(self.core(wiring), self.depths) if wiring else self.network
        if "depth" in rest:
            network = depth(network, rest["depth"])
        network = network.at(int(rest["resolution"])) if "resolution" in rest else network
        totals(network.body, *network.inputs)
        return replace(network, name=self.network.name)

    def cardinalities(self, inner: float, width: float) -> list[int]:
        """The legal groups at these factors."""
        return cardinalities(self.core(tuple(p for p in (("inner", inner), ("width", width)) if p[1] != 1)))


def set_depths(network: Network, depths: dict[str, int]) -> Network:
    """The network with the depth of every stage, by path."""

    def turn(path: str, node: Node) -> Node:
        return replace(node, depth=depths[path]) if isinstance(node, Stage) else node

    return replace(network, body=rewrite_everywhere(network.body, turn))


def stage_depths(network: Network) -> Iterator[tuple[str, int]]:
    """The depth of every stage by its path, as `visit.everywhere` names it."""
    depth_by_path: dict[str, int] = {}

    def note(path: str, node: Node) -> Node:
        if isinstance(node, Stage):
            depth_by_path[path] = node.depth
        return node

    rewrite_everywhere(network.body, note)
    return iter(depth_by_path.items())


def read_values(knob: str, text: Any) -> tuple[float, ...]:
    """The values of a knob as people give them: one number, several, or a text such as 0.5/0.75/1."""
    if isinstance(text, str):
        text = text.replace("/", " ").split()
    try:
        return tuple(map(float, text)) if isinstance(text, Sequence) else (float(text),)
    except (TypeError, ValueError):
        raise NetlatheError(
            f"{knob} needs numbers, not {text!r}", code="search.bad_option", hint=f"for example {knob}=0.5/0.75/1"
        ) from None


def knob_options(builder: KnobSpaceBuilder, knob: str, wished: tuple[float, ...] | None) -> dict[str, float]:
    """The values of a knob by the name of the option, ascending, each for another network.

    Raises NetlatheError for a wished value that the network cannot have.
    """
    kept: dict[Network, float] = {}
    for value in usual_values(builder, knob) if wished is None else wished:
        try:
            kept.setdefault(builder.network_at(((knob, value),)), value)
        except NetlatheError:
            if wished is not None:
                raise
    return {AS_IS if knob == "groups" and not value else f"{value:g}": value for value in sorted(kept.values())}


def usual_values(builder: KnobSpaceBuilder, knob: str) -> Iterator[float]:
    """The usual values of a knob, the network's own first."""
    if knob in FACTORS:
        yield from FACTORS[knob]
    elif knob == "groups":
        yield 0
        yield from (count for count in cardinalities(builder.shallow) if count & (count - 1) == 0)
    elif len(builder.network.input) == 3:
        side = builder.network.input[-1]
        yield from (side if factor == 1 else max(8, round(factor * side / 8) * 8) for factor in SIDES)


def find_options(
    member: Network, axes: tuple[DecisionPoint, ...], make: Callable[[Options], Network]
) -> Options | None:
    """The combination that gives a network: what one look tells is read off it, the rest is tried."""
    start = {axis.name: axis.options[0] for axis in axes}
    looks: dict[str, Callable[[Network], Any]] = {
        "resolution": lambda network: network.input[-1],
        "depth": lambda network: list(stage_depths(network)),
        "width": lambda network: next((leaf for _, leaf in walk(network.body) if hasattr(leaf, "width")), None),
    }
    left: dict[str, list[str]] = {}
    for axis in axes:
        look = looks.get(axis.name)
        if look is None:
            left[axis.name] = list(axis.options)
            continue
        wanted = look(member)
        left[axis.name] = [option for option in axis.options if look(make(start | {axis.name: option})) == wanted]
    for each in product(*left.values()):
        options = dict(zip(left, each, strict=True))
        if make(options).body == member.body:
            return options
    return None
