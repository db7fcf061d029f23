"""Is there any network in the space that keeps the budget? Asked before anything is trained, and answered with reasons.

A few random members mostly settle it. Where none fits, the nearest to the budget is sought: by listing a small space,
else decision by decision (`costs.least`).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from netlathe.errors import Infeasible, NetlatheError
from netlathe.search.cheapest import Cheapest, find_cheapest
from netlathe.search.costing import LIMITED, budget_excess, limit_use, limited_costs
from netlathe.search.genotype import genotype_text
from netlathe.search.trial import Costs, Genotype

if TYPE_CHECKING:
    from netlathe.choose.budget import Budget, Limit
    from netlathe.search.objective import Objective
    from netlathe.search.space import SearchSpace

SAMPLES = 64
LISTED = 512  # members of the largest space that is listed: a forecast of a latency takes milliseconds
WORST = float("inf")


def feasible_share(space: SearchSpace, objective: Objective, budget: Budget, rng: np.random.Generator) -> float:
    """The share of random members that may keep the budget.

    Raises Infeasible, naming the binding limits and the smallest member, where none is found.
    """
    if not limited_costs(budget):
        return 1.0
    costs = CostCache(objective)
    over = partial(costs.excess, budget=budget)
    uses = [over(space.sample(rng)) for _ in range(SAMPLES)]
    keeping = sum(use <= 1 for use in uses)
    if keeping:
        return keeping / SAMPLES
    nearest = find_cheapest(space, over, listed=LISTED)
    if nearest.value == WORST:
        raise NetlatheError(f"no member of {space.name} can be built: {costs.error}", code="search.space")
    if nearest.value <= 1:
        return 0.0
    raise infeasible_error(space, costs, budget, nearest)


class CostCache:
    """Costs of members, each counted once; a member that cannot be built costs infinitely much."""

    def __init__(self, objective: Objective) -> None:
        self.objective, self.counted, self.error = objective, dict[Genotype, Costs | None](), ""

    def of(self, member: Genotype) -> Costs | None:
        if member not in self.counted:
            try:
                self.counted[member] = self.objective.costs(member)
            except NetlatheError as error:
                self.counted[member], self.error = None, error.message
        return self.counted[member]

    def excess(self, member: Genotype, budget: Budget) -> float:
        costs = self.of(member)
        return WORST if costs is None else budget_excess(costs, budget, hopeful=self.objective.hopeful)

    def use(self, member: Genotype, limit: Limit) -> float:
        costs = self.of(member)
        return WORST if costs is None else limit_use(costs, limit.name, hopeful=self.objective.hopeful)


def infeasible_error(space: SearchSpace, costs: CostCache, budget: Budget, nearest: Cheapest) -> Infeasible:
    """Which limits bind, and the least that the space needs of each."""
    asked = [limit for limit in LIMITED if budget.limit(limit) is not None]
    needs = {limit.name: find_cheapest(space, partial(costs.use, limit=limit), listed=LISTED).value for limit in asked}
    binding = [limit for limit in asked if needs[limit.name] > (budget.limit(limit) or 0)]
    needed = ", ".join(f"{limit.name} needs {limit.ask(needs[limit.name])} at least" for limit in binding or asked)
    if not binding:
        needed = f"each limit alone can be met, together they cannot: {needed}"
    uses = ", ".join(f"{limit.name} {limit.show(costs.use(nearest.genotype, limit))}" for limit in asked)
    options = " ".join(f"--{limit.name} {limit.ask(needs[limit.name])}" for limit in binding)
    return Infeasible(
        f"{space.name} {'has no' if nearest.proved else 'seems to have no'} network that keeps this budget: {needed}; "
        f"the nearest is {genotype_text(nearest.genotype)} with {uses}",
        code="search.infeasible",
        hint=f"nearest that works: {options}" if binding else "raise one of the limits",
    )
