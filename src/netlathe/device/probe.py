"""Which networks to measure: a D-optimal design with some of the middle.

D-optimal (Fedorov 1972): the rows X of the chosen networks make det(X'X) largest, so their measurements fix the
coefficients best. Rows are divided by their sum, because the fit is of relative error: what counts is how a network's
time is divided among the quantities, not how large it is. Such designs like extremes; networks of middling size among
the chosen keep the model honest where most questions are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

MIDDLE = 0.3  # share of the chosen that comes from the middle half by size


def design(
    rows: Sequence[Mapping[str, float]],
    count: int,
    *,
    always: Sequence[int] = (),
    middle: float = MIDDLE,
    seed: int = 0,
) -> list[int]:
    """The places of `count` rows to measure, `always` among them, in order of size. Deterministic for a seed.

    Exchange algorithm from a random start: a member leaves for the row with the largest leverage, until none gains.
    """
    import numpy as np

    assert len(always) <= count <= len(rows)
    assert count > 0
    names = sorted({name for row in rows for name in row})
    x = np.array([[row.get(name, 0.0) for name in names] for row in rows])
    fixed = x.min(0)  # what every network has tells networks no more apart than a constant does
    x = np.hstack([x - fixed, np.ones((len(x), 1))])
    mean = x.mean(0)
    x = x[:, mean > 0] / mean[mean > 0]
    size = x.sum(1)
    x = x / size[:, None]
    rng = np.random.default_rng(seed)
    extra = min(round(middle * count), count - max(len(always), 1))
    rest = [i for i in range(len(rows)) if i not in always]
    chosen = [*always, *(int(i) for i in rng.choice(rest, count - extra - len(always), replace=False))]
    base = 1e-4 * float(np.mean((x**2).sum(1))) / x.shape[1] * np.eye(x.shape[1])
    for _ in range(20):
        changed = False
        for place in range(len(always), len(chosen)):
            rest = [i for at, i in enumerate(chosen) if at != place]
            inverse = np.linalg.inv(x[rest].T @ x[rest] + base)
            leverage = np.einsum("ij,jk,ik->i", x, inverse, x)
            leverage[rest] = -1.0
            best = int(leverage.argmax())
            if leverage[best] > leverage[chosen[place]] * (1 + 1e-9):
                chosen[place], changed = best, True
        if not changed:
            break
    order = np.argsort(size, kind="stable")
    half = [int(i) for i in order[len(rows) // 4 : len(rows) - len(rows) // 4] if i not in chosen]
    free = half or [i for i in range(len(rows)) if i not in chosen]
    chosen += [free[int((at + 0.5) * len(free) / extra)] for at in range(extra)]
    return sorted(chosen, key=lambda i: (float(size[i]), i))


def cover(rows: Sequence[Mapping[str, float]], sizes: Sequence[float]) -> list[int]:
    """Places of rows which together have every class of operators that any row has; small ones (`sizes`) first.

    Greedy set cover: each time the row with the most new classes, of equal ones the smallest.
    """
    classes = [{name.rpartition(".")[0] for name in row} for row in rows]
    missing, chosen = set().union(*classes), []
    while missing:
        best = max(range(len(rows)), key=lambda i: (len(classes[i] & missing), -sizes[i]))
        chosen.append(best)
        missing -= classes[best]
    return chosen
