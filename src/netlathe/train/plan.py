"""How long a training is: the images that it will see, and how far along its schedule it is after some of them.

A plan is exact when it only counts images. With a wall-clock budget it is cut once the speed is known, and again if the
machine gets slower or faster: what is left of the schedule is then spread over the images that are left, so that the
learning rate always reaches its end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from netlathe.errors import NetlatheError
from netlathe.train.recipe import Recipe


class Leg(NamedTuple):
    """From `start` images seen the schedule stands at `progress` (0..1), and reaches 1 at `end` images."""

    start: int
    progress: float
    end: int


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Steps of `batch` images, `steps` in an epoch; the last leg is the one that counts."""

    batch: int
    steps: int
    legs: tuple[Leg, ...]

    @property
    def epoch(self) -> int:
        """Images in an epoch; the rest that fills no batch waits for the next order."""
        return self.batch * self.steps

    @property
    def total(self) -> int:
        """Images in all."""
        return self.legs[-1].end

    def progress(self, images: int) -> float:
        """Share of the schedule that is behind after so many images."""
        leg = next(leg for leg in reversed(self.legs) if leg.start <= images)
        return 1 - (1 - leg.progress) * max(0, leg.end - images) / (leg.end - leg.start)

    def cut(self, seen: int, total: int) -> TrainingPlan:
        """The plan with another end, from `seen` images on; at least one step more, whole steps."""
        whole = max(total - seen, self.batch) // self.batch * self.batch
        return replace(self, legs=(*self.legs, Leg(seen, self.progress(seen), seen + whole)))


def make_plan(recipe: Recipe, count: int, *, epochs: float | None = None) -> TrainingPlan:
    """The plan for `count` images; a set smaller than two batches gets smaller batches (even, so that pairs can mix).

    Raises NetlatheError for fewer than four images.
    """
    if count < 4:
        raise NetlatheError(
            f"{count} training images are too few", code="train.images", hint="at least 4, in 2 classes"
        )
    batch = min(recipe.batch, max(2, count // 4 * 2))
    steps = count // batch
    total = max(1, round((recipe.epochs if epochs is None else epochs) * steps)) * batch
    return TrainingPlan(batch, steps, (Leg(0, 0.0, total),))


def affordable_images(plan: TrainingPlan, seen: int, seconds_left: float, images_per_s: float, epoch_s: float) -> int:
    """Images in all that fit into the time left, when each epoch costs `epoch_s` more for its evaluation."""
    an_epoch = plan.epoch / images_per_s + epoch_s
    return seen + int(max(0.0, seconds_left) / an_epoch * plan.epoch)
