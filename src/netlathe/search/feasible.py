"""Is there any network in the space that keeps the budget? Asked before anything is trained, and answered with reasons.

A few random members mostly settle it. Where none fits, the space is listed if it is small; else costs are driven down
one decision at a time from the best of them, which finds the smallest member of spaces whose decisions each cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from netlathe.errors import Infeasible, NetlatheError
from netlathe.search.costing import LIMITED, excess, limited, used
from netlathe.search.trial import Costs, Genotype

if TYPE_CHECKING:
    from netlathe.choose.budget import Budget, Limit
    from netlathe.search.objective import Objective
    from netlathe.search.space import Space

SAMPLES = 64
LISTED = 512  # members of the largest space that is listed
STARTS = 3
WORST = float("inf")


def feasible_share(space: Space, objective: Objective, budget: Budget, rng: np.random.Generator) -> float:
    """The share of random members that may keep the budget; of a small space, of all.

    Raises Infeasible, naming the binding limits and the smallest member, where none is found.
    """
    if not limited(budget):
        return 1.0
    costs = Memo(objective)
    small = space.size <= LISTED
    members = list(every(space)) if small else [space.sample(rng) for _ in range(SAMPLES)]
    uses = {member: costs.excess(member, budget) for member in members}
    keeping = sum(use <= 1 for use in uses.values())
    if keeping:
        return keeping / len(uses)
    if all(use == WORST for use in uses.values()):
        raise NetlatheError(f"no member of {space.name} can be built: {costs.error}", code="search.space")
    if not small:
        starts = sorted(uses, key=lambda member: uses[member])[:STARTS]
        over = partial(costs.excess, budget=budget)
        if any(over(descend(space, start, over)) <= 1 for start in starts):
            return 0.0
    raise impossible(space, costs, budget, members, small)


class Memo:
    """Costs of members, each counted once; a member that cannot be built costs infinitely much."""

    def __init__(self, objective: Objective) -> None:
        self.objective, self.known, self.error = objective, dict[Genotype, Costs | None](), ""

    def of(self, member: Genotype) -> Costs | None:
        if member not in self.known:
            try:
                self.known[member] = self.objective.costs(member)
            except NetlatheError as error:
                self.known[member], self.error = None, error.message
        return self.known[member]

    def excess(self, member: Genotype, budget: Budget) -> float:
        costs = self.of(member)
        return WORST if costs is None else excess(costs, budget, hopeful=self.objective.hopeful)

    def use(self, member: Genotype, limit: Limit) -> float:
        costs = self.of(member)
        return WORST if costs is None else used(costs, limit.name, hopeful=self.objective.hopeful)


def every(space: Space) -> Iterable[Genotype]:
    """All members, once each."""
    seen: dict[Genotype, None] = {}
    for index in np.ndindex(*(len(decision.options) for decision in space.decisions)):
        seen.setdefault(space.normal(tuple(int(i) for i in index)))
    return seen


def descend(space: Space, start: Genotype, use: Callable[[Genotype], float], enough: float = 1) -> Genotype:
    """From a member to the best of its neighbours, and on, while that helps and the use is more than enough."""
    here = start
    while use(here) > enough:
        best = min(space.neighbours(here), key=use, default=here)
        if use(best) >= use(here):
            break
        here = best
    return here


def impossible(space: Space, costs: Memo, budget: Budget, members: list[Genotype], listed: bool) -> Infeasible:
    """Which limits bind, and the least that the space needs of each."""
    least: dict[str, tuple[float, Genotype]] = {}
    asked = [limit for limit in LIMITED if budget.limit(limit) is not None]
    for limit in asked:
        start = min(members, key=partial(costs.use, limit=limit))
        if not listed:
            start = descend(space, start, partial(costs.use, limit=limit), enough=0)
        least[limit.name] = costs.use(start, limit), start
    binding = [limit for limit in asked if least[limit.name][0] > (budget.limit(limit) or 0)]
    needs = ", ".join(f"--{limit.name} {limit.ask(least[limit.name][0])}" for limit in binding)
    what = "has no" if listed else "seems to have no"
    if binding:
        names = " and ".join(limit.name for limit in binding)
        said = f"{names} cannot be met"
    else:
        said = "each limit alone can be met, together they cannot: " + ", ".join(
            f"{limit.name} needs {limit.ask(least[limit.name][0])} at least" for limit in asked
        )
    smallest = min((place for _, place in least.values()), key=lambda member: costs.excess(member, budget))
    uses = ", ".join(f"{limit.name} {limit.show(costs.use(smallest, limit))}" for limit in asked)
    return Infeasible(
        f"{space.name} {what} network that keeps this budget: {said}; the smallest is {list(smallest)} with {uses}",
        code="search.infeasible",
        hint=f"nearest that works: {needs}" if binding else "raise one of the limits",
    )
