"""How random search with weight sharing picks its network from the trained supernet.

Li and Talwalkar 2019, https://arxiv.org/abs/1902.07638, as released: in each round 1,000 networks at random on one
minibatch, the ten best of them on the whole validation half, the best of these stays; one round for every 10,000 steps
of training, at least one. Where time is short fewer are scored; the result says how many.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from netlathe.search.oneshot.diagnostics import measure_accuracy
from netlathe.search.oneshot.family import OneShotFamily
from netlathe.search.oneshot.options import OneShotOptions
from netlathe.search.oneshot.split import DataSplit
from netlathe.search.oneshot.state import OneShotState

STEPS_A_ROUND = 10_000
FIRST = 0.5  # of the time of a round that the candidates may take where there is a deadline


class Selection(NamedTuple):
    """The network that was picked, with the supernet's accuracy for it on the validation half, and the protocol."""

    genotype: Any
    accuracy: float
    rounds: int
    candidates: int  # of all rounds
    finalists: int

    def describe(self) -> str:
        """The protocol in a sentence."""
        return (
            f"{self.candidates:,} networks scored on one minibatch in {self.rounds} round{'s' * (self.rounds > 1)}, "
            f"the best {self.finalists} on the validation half (released: 1,000 a round, the best 10)"
        )


def select_network(
    state: OneShotState,
    split: DataSplit,
    options: OneShotOptions,
    family: OneShotFamily,
    *,
    deadline: float | None,
    stop: Callable[[], bool],
    clock: Callable[[], float],
) -> Selection | None:
    """The best network of the released protocol; None where not one was tested in time."""
    rounds = max(1, state.step // STEPS_A_ROUND)
    best: tuple[float, Any] | None = None
    scored = tested = done = 0
    for turn in range(rounds):
        now = clock()
        end = None if deadline is None else now + (deadline - now) / (rounds - turn)
        rng = np.random.default_rng((options.seed, state.step, turn))
        batch = list(islice(split.test_batches("valid", options.batch, turn * options.batch), 1))
        first: list[tuple[float, int, Any]] = []
        middle = None if end is None else now + FIRST * (end - now)
        for i in range(options.candidates):
            if stop() or (middle is not None and i >= options.finalists and clock() > middle):
                break
            genotype = family.draw(rng)
            first.append((measure_accuracy(state.supernet, family.setting(genotype), batch), -i, genotype))
        scored += len(first)
        for _, _, genotype in sorted(first, key=lambda scored: scored[:2], reverse=True)[: options.finalists]:
            if stop() or (end is not None and best is not None and clock() > end):
                break
            accuracy = measure_accuracy(state.supernet, family.setting(genotype), split.test_batches("valid"))
            tested += 1
            if best is None or accuracy > best[0]:
                best = accuracy, genotype
        done += 1
    return None if best is None else Selection(best[1], best[0], done, scored, tested)
