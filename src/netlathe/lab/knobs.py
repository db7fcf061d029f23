"""Dials: the knobs of a network as the page shows them, and what happens to a value that is not legal.

A value that breaks shapes is not an error in the lab: the nearest legal one is taken, and a note says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from netlathe.arch.graph import Graph
from netlathe.arch.network import Network
from netlathe.errors import NetlatheError
from netlathe.reshape.knobs import KNOBS, cardinal, cardinalities, group_counts, spatial, turn_knobs
from netlathe.reshape.solve import has_knob

LOWEST, HIGHEST = 0.05, 4.0  # of a factor
PIXELS = (8, 1024)
TITLES = {
    "depth": ("Depth", "blocks"),
    "inner": ("Expansion", "inside"),
    "width": ("Width", "all widths"),
    "groups": ("Groups", "cardinality"),
    "resolution": ("Resolution", "pixels"),
}


class KnobState(NamedTuple):
    """A knob: its value, and the values it can have (between `low` and `high` in steps, or the list `legal`)."""

    name: str
    title: str
    what: str
    unit: str  # as it is spoken: times, groups, pixels
    value: float
    rest: float  # the value that changes nothing
    low: float
    high: float
    step: float
    legal: tuple[float, ...] = ()


class TurnedNetwork(NamedTuple):
    """A network after its knobs, the values that were used, and a note for each that was not as asked."""

    network: Network
    values: dict[str, float]
    notes: tuple[str, ...]


@lru_cache(maxsize=512)
def turn_to_legal(network: Network, asked: tuple[tuple[str, float], ...]) -> TurnedNetwork:
    """Turn the knobs as asked, else to the nearest legal value, with a note.

    Raises NetlatheError for a knob that has no meaning here.
    """
    values: dict[str, float] = {}
    notes: list[str] = []
    turned, wanted = network, dict(asked)
    for knob in KNOBS:  # in the order of turning
        if knob not in wanted or wanted[knob] == at_rest(network, knob):
            continue
        value, reason = wanted[knob], ""
        for candidate in nearby_values(turned, knob, value):
            try:
                turned = turn_knobs(network, {**values, knob: candidate})
            except NetlatheError as error:
                reason = reason or error.message
                continue
            values[knob] = candidate
            break
        else:
            raise NetlatheError(reason, code=f"knob.{knob}", hint="turn this knob back")
        if values[knob] != value:
            reason = reason or f"the lab turns it {span(turned, knob)}"
            notes.append(f"{TITLES[knob][0]} {value:g} is not possible: {reason}. {values[knob]:g} is used.")
    return TurnedNetwork(turned, values, tuple(notes))


def nearby_values(network: Network, knob: str, value: float) -> Iterator[float]:
    """A value, then others by their distance to it."""
    match KNOBS[knob].unit:
        case "count":
            legal = cardinalities(network)
            yield from sorted(map(float, legal), key=lambda n: abs(n - value)) or [value]
        case "pixels":
            middle = round(min(max(value, PIXELS[0]), PIXELS[1]))
            yield middle
            for off in range(1, 129):
                yield from (n for n in (middle + off, middle - off) if PIXELS[0] <= n <= PIXELS[1])
        case _:
            start = min(max(value, LOWEST), HIGHEST)
            yield start
            for off in range(1, 41):
                steps = (round(start + off / 40, 3), round(start - off / 40, 3))
                yield from (x for x in steps if LOWEST <= x <= HIGHEST)


def span(network: Network, knob: str) -> str:
    """The values of a knob in the lab, in words."""
    unit = KNOBS[knob].unit
    if unit == "count":
        return "to " + ", ".join(map(str, cardinalities(network)))
    low, high = PIXELS if unit == "pixels" else (LOWEST, HIGHEST)
    return f"between {low:g} and {high:g}"


def at_rest(network: Network, knob: str) -> float:
    """The value that changes nothing."""
    if knob == "groups":
        return own_groups(network)
    return network.input[-1] if knob == "resolution" else 1.0


def own_groups(network: Network) -> float:
    """The cardinality that a network comes with; 0 where its bottlenecks differ or it has none."""
    counts = {groups_of(op.in_shapes[0][0], op.weights["weight"][1]) for op in cardinal(network)}
    return counts.pop() if len(counts) == 1 else 0


def groups_of(channels: int, inside: int) -> int:
    """A kernel reads `inside` of the channels that arrive."""
    return channels // inside


@lru_cache(maxsize=256)
def knob_names(network: Network) -> tuple[str, ...]:
    """The knobs that have a meaning for a network."""
    square = len(network.input) == 3 and network.input[1] == network.input[2]
    return tuple(k for k in KNOBS if (k != "resolution" or square) and has_knob(network, k))


def knob_states(network: Network, after: TurnedNetwork, graph: Graph) -> list[KnobState]:
    """The knobs of `network` at the values of `after`, whose graph says which groups its widths allow."""
    states = []
    for knob in knob_names(network):
        title, what = TITLES[knob]
        rest, values = at_rest(network, knob), after.values
        value = values.get(knob, rest)
        if knob == "groups":
            legal = tuple(map(float, group_counts(spatial(graph))))
            state = KnobState(knob, title, what, "groups", value, rest, legal[0], legal[-1], 1, legal)
        elif knob == "resolution":
            low, high = max(PIXELS[0], rest // 7), min(PIXELS[1], 2 * rest)
            state = KnobState(knob, title, what, "pixels", value, rest, min(low, value), max(high, value), 1)
        else:
            state = KnobState(knob, title, what, "times", value, rest, LOWEST, max(2.0, value), 0.05)
        states.append(state)
    return states
