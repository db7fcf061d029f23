"""solve(): the value of one knob that brings a network closest to a budget from below.

A knob reaches finitely many costs, because widths and depths are whole numbers, and they rise with it: bisection over
its values in steps of a thousandth (pixels: one, groups: the legal numbers).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from netlathe.arch.network import Network
from netlathe.cost.totals import totals
from netlathe.errors import Infeasible, NetlatheError, unknown
from netlathe.reshape.knobs import KNOBS, USUAL, KnobRules, cardinalities, turn_knobs
from netlathe.units import show_count

MEASURES = ("macs", "params", "acts")
# Tried in this order where the user does not say which knob to solve for.
ORDER = ("width", "resolution", "depth", "inner", "groups")
THOUSANDTHS = tuple(n / 1000 for n in range(10, 16001))
PIXELS = tuple(range(1, 2049))
Reach = Callable[[int], Network]  # the network at the value of that number


class Solution(NamedTuple):
    """The network at the solved value of a knob, its cost, and the costs that the knob reaches at its ends."""

    network: Network
    knob: str
    value: float
    cost: int
    reachable: tuple[int, int]


def cost_of(network: Network, measure: str) -> int:
    """params, MACs or activations of one image. Raises NetlatheError for another word."""
    if measure not in MEASURES:
        raise unknown("cost", measure, MEASURES, code="solve.measure", path="")
    cost: int = getattr(totals(network.body, network.input, *network.more), measure)
    return cost


def free_knob(network: Network, fixed: Sequence[str]) -> str:
    """The knob to solve for: the first that is not given and that the network has."""
    for knob in ORDER:
        if knob not in fixed and has_knob(network, knob):
            return knob
    raise NetlatheError(
        f"every knob of {network.name} is given, so none is left to solve for", code="solve.none", hint="leave one out"
    )


def has_knob(network: Network, knob: str) -> bool:
    """Whether a knob has a meaning for a network."""
    if knob == "groups":
        return bool(cardinalities(network))
    probe = network.input[-1] + 32 if knob == "resolution" else 2
    try:
        KNOBS[knob].turn(network, probe)
    except NetlatheError:
        return False
    return True


def solve(
    network: Network,
    measure: str,
    target: int,
    knob: str | None = None,
    fixed: Mapping[str, float] | None = None,
    rules: KnobRules = USUAL,
) -> Solution:
    """Set the `fixed` knobs; turn `knob`, else the first that is missing, as far as `measure` stays within `target`.

    Raises Infeasible with the reachable range where the target lies outside it; NetlatheError for unknown words and
    knobs that have no meaning here.
    """
    fixed = dict(fixed or {})
    for name in (*fixed, *([knob] if knob else [])):
        if name not in KNOBS:
            raise unknown("knob", name, KNOBS, code="knob.unknown")
    knob = knob or free_knob(network, tuple(fixed))
    if knob in fixed:
        raise NetlatheError(f"{knob} is both given and to be solved for", code="solve.given", hint=f"leave out {knob}")
    values = knob_values(network, knob)

    def at(i: int) -> Network:
        return turn_knobs(network, {**fixed, knob: values[i]}, rules)

    low, high = legal_ends(at, len(values))
    reachable = cost_of(at(low), measure), cost_of(at(high), measure)
    if target < reachable[0] or target > reachable[1]:
        bounds = f"{show_count(reachable[0])} to {show_count(reachable[1])}"
        raise Infeasible(
            f"{measure}={show_count(target).replace(' ', '')} is out of reach of {knob} for {network.name}",
            code="solve.unreachable",
            hint=f"{knob} from {values[low]:g} to {values[high]:g} gives {bounds}; solve for another knob, or turn a "
            "second one too",
        )
    while low < high:  # low is within the target
        middle = next_fitting(at, (low + high + 1) // 2, low)
        if middle == low:
            high = max(low, (low + high + 1) // 2 - 1)
        elif cost_of(at(middle), measure) <= target:
            low = middle
        else:
            high = middle - 1
    index = simplest_value(at, values, low)
    solved = at(index)
    return Solution(solved, knob, values[index], cost_of(solved, measure), reachable)


def knob_values(network: Network, knob: str) -> Sequence[float]:
    """The values of a knob, from the cheapest."""
    match KNOBS[knob].unit:
        case "count":
            legal = cardinalities(network)
            if not legal:
                KNOBS[knob].turn(network, 1)  # raises: it has no meaning here
            return legal[::-1]
        case "pixels":
            return PIXELS
    return THOUSANDTHS


def legal_ends(at: Reach, count: int) -> tuple[int, int]:
    """The lowest and the highest legal index; what breaks a network at one end is a size too small."""
    step, failure = 1, None
    low = 0
    while low < count:  # doubling finds a legal value, bisection the first
        try:
            at(low)
            break
        except NetlatheError as error:
            failure = error
            low, step = low + step, 2 * step
    else:
        assert failure is not None
        raise failure
    bad, good = low - step // 2, low
    while low and good - bad > 1:
        middle = (bad + good) // 2
        try:
            at(middle)
            good = middle
        except NetlatheError:
            bad = middle
    return good, count - 1


def next_fitting(at: Reach, index: int, low: int) -> int:
    """The next index downwards where shapes fit: rounding may part widths that must stay equal."""
    for i in range(index, max(low, index - 64), -1):
        try:
            at(i)
        except NetlatheError:
            continue
        return i
    return low


def simplest_value(at: Reach, values: Sequence[float], index: int) -> int:
    """Of the values that give the same expression, one with the fewest digits."""
    if values is not THOUSANDTHS:
        return index
    same = at(index).body
    for size in (1000, 500, 250, 100, 50, 25, 10, 5, 2):
        thousandths = round(values[index] * 1000)
        rounded = int(thousandths // size * size - 10)
        if 0 <= rounded <= index and at(rounded).body == same:
            return rounded
    return index
