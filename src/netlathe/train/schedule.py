"""The learning rate as a pure function of the epochs seen: no state, so a resumed training needs none.

It changes with every step. timm and pycls change it once an epoch unless told otherwise; their curves are met at whole
epochs.
"""

from __future__ import annotations

from math import cos, floor, pi

from netlathe.train.recipe import Schedule


def lr_factor(schedule: Schedule, epoch: float, epochs: float) -> float:
    """The share of the highest learning rate after `epoch` of `epochs`, both in epochs, fractions too.

    warmup_mode says how the warm-up and the decay meet: `before`, the decay starts when the warm-up ends (torchvision,
    ConvNeXt); `over`, the decay runs from the start and the warm-up hides its beginning (timm, TensorFlow's
    EfficientNet); `times`, the two are multiplied (pycls).
    """
    warm = schedule.warmup
    start = schedule.warmup_start
    growth = start + (1 - start) * epoch / warm if epoch < warm else 1.0
    if schedule.warmup_mode == "times":
        return growth * decay_factor(schedule, epoch, epochs)
    if epoch < warm:
        return growth
    waited = warm if schedule.warmup_mode == "before" else 0.0
    return decay_factor(schedule, epoch - waited, epochs - waited)


def decay_factor(schedule: Schedule, epoch: float, epochs: float) -> float:
    """The decay alone, `epoch` of `epochs` after its own start."""
    progress = min(epoch / epochs, 1.0) if epochs > 0 else 1.0
    match schedule.decay:
        case "cosine":
            return schedule.final + (1 - schedule.final) * (1 + cos(pi * progress)) / 2
        case "linear":
            return schedule.final + (1 - schedule.final) * (1 - progress)
        case "step":  # a step that a float misses by its last digit is still taken
            return schedule.gamma ** floor(epoch / schedule.step + 1e-9)
        case "exponential":
            return float(schedule.gamma ** (epoch / schedule.step))
        case "constant":
            return 1.0
