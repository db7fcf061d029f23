"""Several objectives at once, all to be made small: domination under constraints, ranks, crowding, hypervolume.

Deb et al. 2002 (NSGA-II): non-dominated sorting and crowding (section III), constrained domination (section VI).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.float64]


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """a is nowhere above b, and below it somewhere."""
    return tuple(a) != tuple(b) and all(x <= y for x, y in zip(a, b, strict=True))


def pareto_front(points: Sequence[Sequence[float]]) -> list[int]:
    """The places of the points that no other dominates (all objectives to be made small); equal points all stay."""
    return [i for i, point in enumerate(points) if not any(dominates(other, point) for other in points)]


def violation(costs: Sequence[float], limits: Sequence[float]) -> float:
    """By how much `costs` exceed their limits, as shares of the limits, added; 0 where all are kept."""
    return sum(max(0.0, cost / limit - 1) for cost, limit in zip(costs, limits, strict=False) if limit < inf)


def domination(points: Array, violations: Array) -> NDArray[np.bool_]:
    """[n, n]: row i dominates column j. Less violation wins, then Pareto domination of `points` [n, m]."""
    less = violations[:, None] < violations[None, :]
    equal = violations[:, None] == violations[None, :]
    nowhere_worse = (points[:, None] <= points[None, :]).all(axis=2)
    somewhere_better = (points[:, None] < points[None, :]).any(axis=2)
    matrix: NDArray[np.bool_] = less | (equal & nowhere_worse & somewhere_better)
    return matrix


def ranks(points: Array, violations: Array) -> NDArray[np.int64]:
    """The front of every point: 0 for those that none dominates, 1 for those that only front 0 dominates, and so on."""
    import numpy as np

    above = domination(points, violations)
    front_of = np.full(len(points), -1)
    left = np.ones(len(points), dtype=bool)
    rank = 0
    while left.any():
        free = left & ~above[left].any(axis=0)
        front_of[free] = rank
        left &= ~free
        rank += 1
    return front_of


def crowding(points: Array) -> Array:
    """Crowding distance of the points of one front: the normalised gap between its neighbours; infinite at the ends."""
    import numpy as np

    distances = np.zeros(len(points))
    for column in points.T:
        order = np.argsort(column, kind="stable")
        span = column[order[-1]] - column[order[0]]
        distances[order[[0, -1]]] = inf
        if span > 0:
            distances[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
    return distances


def hypervolume(points: Sequence[Sequence[float]], reference: Sequence[float]) -> float:
    """The volume that `points` (all objectives to be made small) dominate below `reference`, exactly.

    Slices along the last objective: fine for the fronts of a search with two to four objectives.
    """
    inside = sorted({tuple(map(float, p)) for p in points if all(x < r for x, r in zip(p, reference, strict=True))})
    if not inside:
        return 0.0
    if len(reference) == 1:
        return float(reference[0] - inside[0][0])
    if len(reference) == 2:
        volume, height = 0.0, float(reference[1])
        for x, y in inside:
            if y < height:
                volume += (reference[0] - x) * (height - y)
                height = y
        return volume
    inside.sort(key=lambda point: point[-1])
    depths = [point[-1] for point in inside[1:]] + [reference[-1]]
    return sum(
        (depth - point[-1]) * hypervolume([p[:-1] for p in inside[: i + 1]], reference[:-1])
        for i, (point, depth) in enumerate(zip(inside, depths, strict=True))
        if depth > point[-1]
    )
