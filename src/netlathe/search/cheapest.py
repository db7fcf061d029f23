"""What members of a space cost, by exact counts, and what the cheapest of them costs: why a budget holds no network.

Counts come from `cost.totals`, which remembers every part that networks share, so a search asks for a thousand networks
in a second or two. The peak of memory needs the graph and its schedule, some milliseconds a network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from netlathe.arch.network import Network
from netlathe.cost.count import BYTES
from netlathe.cost.memory import live_timeline
from netlathe.cost.plan import plan
from netlathe.cost.totals import totals
from netlathe.errors import Infeasible, NetlatheError, unknown
from netlathe.search.genotype import Genotype
from netlathe.search.space import SearchSpace
from netlathe.units import show_bytes, show_count

LISTED = 20_000  # spaces up to this size are listed, larger ones descended into


def count_macs(network: Network, bytes_per_element: int = 4) -> int:
    """Multiply-accumulates of one image."""
    return totals(network.body, *network.inputs).macs


def count_params(network: Network, bytes_per_element: int = 4) -> int:
    """Trainable parameters."""
    return totals(network.body, *network.inputs).params


def parameter_bytes(network: Network, bytes_per_element: int = 4) -> int:
    """Bytes of the trainable parameters."""
    return count_params(network) * bytes_per_element


def peak_memory(network: Network, bytes_per_element: int = 4) -> int:
    """Bytes of activations at the peak, norm and activation folded, in the order of the expression (cost.memory)."""
    return max((held for _, held in live_timeline(plan(network.graph()))), default=0) * bytes_per_element


COSTS: dict[str, Callable[[Network, int], int]] = {
    "macs": count_macs,
    "params": count_params,
    "size": parameter_bytes,
    "memory": peak_memory,
}


def member_cost(space: SearchSpace, genotype: Genotype, name: str, precision: str = "fp32") -> int:
    """One cost of a member: macs, params, or bytes of size or memory. Raises NetlatheError for another name."""
    if name not in COSTS:
        raise unknown("cost", name, COSTS, code="search.cost")
    if precision not in BYTES:
        raise unknown("precision", precision, BYTES, code="search.precision")
    return COSTS[name](space.decode(genotype), BYTES[precision])


class Cheapest(NamedTuple):
    """The cheapest member that was found; `proved` if every member was looked at."""

    genotype: Genotype
    value: float
    proved: bool
    looked_at: int


def find_cheapest(space: SearchSpace, value: Callable[[Genotype], float], *, listed: int = LISTED) -> Cheapest:
    """The member of least value: by listing a space of up to `listed` members, else by descending decision by decision.

    The descent starts from several members and takes the best option of every decision in turn until none is better; it
    finds the least where decisions add up, as params and MACs do but for width and resolution, and claims nothing.
    """
    if space.size <= listed:
        member = min(space.all(), key=value)
        return Cheapest(member, value(member), proved=True, looked_at=space.size)
    values: dict[Genotype, float] = {}

    def at(genotype: Genotype) -> float:
        if genotype not in values:
            values[genotype] = value(genotype)
        return values[genotype]

    def descended(genotype: Genotype) -> Genotype:
        while True:
            before = genotype
            for i, decision in enumerate(space.decisions):
                if decision.name in space.active(genotype):
                    others = (
                        space.normal((*genotype[:i], pick, *genotype[i + 1 :])) for pick in range(space.radices[i])
                    )
                    genotype = min((genotype, *others), key=at)
            if genotype == before:
                return genotype

    starts = {space.nth(0), space.nth(space.size // 2), space.nth(space.size - 1)}
    member = min(map(descended, sorted(starts)), key=at)
    return Cheapest(member, at(member), proved=False, looked_at=len(values))


def cheapest_member(space: SearchSpace, name: str, precision: str = "fp32", *, listed: int = LISTED) -> Cheapest:
    """The member that costs least. Memory is never listed beyond 1,000 members: it takes milliseconds each."""
    most = min(listed, 1000) if name == "memory" else listed
    return find_cheapest(space, lambda genotype: member_cost(space, genotype, name, precision), listed=most)


def explain_infeasible(space: SearchSpace, limits: Mapping[str, float], precision: str = "fp32") -> Infeasible | None:
    """Why no member keeps all limits, as (macs=50e6, memory=512e3); None where a member was found that does.

    The error says what the smallest members cost, and whether that is proved or the least that a descent found. Raises
    NetlatheError for an unknown cost or a limit that is not positive.
    """
    for name, limit in limits.items():
        if name not in COSTS:
            raise unknown("cost", name, COSTS, code="search.cost")
        if not limit > 0:
            raise NetlatheError(f"the limit of {name} must be positive, not {limit:g}", code="search.limit")
    if not limits:
        return None

    def excess(genotype: Genotype) -> float:
        return max(member_cost(space, genotype, name, precision) / limit for name, limit in limits.items())

    most = 1000 if "memory" in limits else LISTED
    nearest = find_cheapest(space, excess, listed=most)
    if nearest.value <= 1:
        return None
    lines = []
    for name, limit in limits.items():
        cheapest = cheapest_member(space, name, precision)
        word = "the smallest" if cheapest.proved else "the smallest found"
        needed = f"{format_cost(name, cheapest.value)} ({member_name(space, cheapest)})"
        lines.append(f"  {name} <= {format_cost(name, limit)}: {word} has {needed}")
    checked = (
        f"all {space.size:,} members were looked at"
        if nearest.proved
        else f"a descent looked at {nearest.looked_at:,} of {space.size:.3g} members: there may be others"
    )
    if len(limits) > 1:
        lines.append(f"  nearest to all together: {nearest.value:.3g} times a limit ({member_name(space, nearest)})")
    what = "" if nearest.proved else "was found that "
    return Infeasible(
        "\n".join((f"no member of {space.name} {what}keeps the limits", *lines)),
        code="search.infeasible",
        hint=f"{checked}; raise the limit, or search a space with smaller members",
    )


def member_name(space: SearchSpace, cheapest: Cheapest) -> str:
    """The name of a member."""
    return space.decode(cheapest.genotype).name


def format_cost(name: str, value: float) -> str:
    """A cost with its unit."""
    return (
        show_bytes(value) if name in ("size", "memory") else f"{show_count(value)} {'MACs' if name == 'macs' else name}"
    )
