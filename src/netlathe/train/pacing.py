"""What the clock decides in a training: when to evaluate, to fit the plan to the wall, to save, and to stop.

Every decision that changes what is learned, or that ranks must take together, is agreed among them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from enum import Enum

from netlathe.train.distributed import Ranks
from netlathe.train.plan import TrainingPlan, affordable_images
from netlathe.train.state import TrainingState

WARM_STEPS, WARM_SECONDS = 4, 2.0  # before the speed is trusted
REFIT = 0.05  # of the time that is left: how often the plan is fitted to it
SPARE = 0.03  # of the time that is left: kept free
GROWS = 0.01  # of the images that are left: the least by which a plan is made longer again
EVALUATE_AFTER = 8  # training images for each image that is tested, so that evaluation costs about a twentieth


class StopReason(Enum):
    """Why a training stopped."""

    WHOLE = "whole schedule"
    DEADLINE = "out of time"
    STOPPED = "interrupted"


class Pacing:
    """The clock of a training in this process; it starts when it is made.

    `deadline` (of time.monotonic) is for the end of the training itself, `stop` says whether somebody asked to stop,
    `scored_images` are read by an evaluation.
    """

    def __init__(
        self,
        state: TrainingState,
        here: Ranks,
        scored_images: int,
        *,
        deadline: float | None = None,
        save_s: float = 30.0,
        stop: Callable[[], bool] = bool,
    ) -> None:
        self.ranks, self.scored_images = here, scored_images
        self.deadline, self.save_s, self.stop = deadline, save_s, stop
        self.start = self.now = self.saved = self.refitted = self.warm_s = time.monotonic()
        self.first = self.warm_seen = state.seen
        self.before = state.elapsed
        self.speed = 0.0  # training images a second of this process; 0: not known yet
        self.evaluation_s = 0.0  # of the last one
        self.asked = self.stopping = False

    def end_step(self, state: TrainingState) -> None:
        """Take the time after a step, and ask whether to stop."""
        self.now = time.monotonic()
        here, warm = state.seen - self.first, WARM_STEPS * state.plan.batch
        if here == warm:
            self.warm_s, self.warm_seen = self.now, state.seen
        elif here > warm:
            self.speed = (state.seen - self.warm_seen) / max(self.now - self.warm_s, 1e-9)
        late = self.deadline is not None and self.now >= self.deadline
        asked = bool(self.stop())
        self.stopping = self.ranks.any(late or asked)
        self.asked = self.stopping and self.ranks.any(asked)

    def evaluation_due(self, state: TrainingState) -> bool:
        """At the end, and after an epoch once enough images were seen since the last evaluation.

        Not where somebody asked to stop: the training that goes on has to be the one that was not stopped.
        """
        at_end = state.seen % state.plan.epoch == 0
        due = state.seen - state.evaluated >= EVALUATE_AFTER * self.scored_images
        return has_ended(state) or (self.stopping and not self.asked) or (at_end and due)

    def end_evaluation(self) -> None:
        """Take the time after an evaluation; the speed is that of training alone."""
        self.evaluation_s = time.monotonic() - self.now
        self.warm_s += self.evaluation_s

    def refit(self, state: TrainingState) -> TrainingPlan | None:
        """The plan fitted to the time, now and then; None where the old one stays.

        It gets shorter where it would not end, and longer again, up to what was planned, where it can; one that can
        grow by less than a hundredth stays.
        """
        if self.deadline is None or has_ended(state) or not self.speed:
            return None
        wait = max(WARM_SECONDS, REFIT * (self.deadline - self.refitted))
        if not self.ranks.any(self.now - self.refitted > wait):
            return None
        self.refitted = self.now
        plan = state.plan
        epochs = max(1, math.ceil(EVALUATE_AFTER * self.scored_images / plan.epoch))  # for one evaluation
        left = (self.deadline - time.monotonic()) * (1 - SPARE)
        total = affordable_images(plan, state.seen, left, self.speed, self.evaluation_s / epochs)
        total = self.ranks.agreed(min(total, plan.legs[0].end))
        if total < plan.total or total - plan.total > GROWS * (plan.total - state.seen):
            return plan.cut(state.seen, total)
        return None

    def left_s(self, state: TrainingState) -> float:
        """Seconds to the end of the plan; infinite while the speed is not known."""
        return (state.plan.total - state.seen) / self.speed if self.speed else math.inf

    def save_due(self, state: TrainingState) -> bool:
        """At the end, and every `save_s` seconds."""
        return self.stopping or has_ended(state) or self.now - self.saved > self.save_s

    def begin_save(self) -> float:
        """Take the time of a checkpoint: seconds of training so far, in all processes one after the other."""
        self.saved = time.monotonic()
        return self.before + self.saved - self.start

    def reason(self, state: TrainingState) -> StopReason:
        """Why the training stops here."""
        if has_ended(state):
            return StopReason.WHOLE
        return StopReason.STOPPED if self.asked else StopReason.DEADLINE


def has_ended(state: TrainingState) -> bool:
    """Whether the plan has been carried out."""
    return state.seen >= state.plan.total
