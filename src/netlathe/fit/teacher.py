"""A teacher for networks from scratch: a pretrained one that is over the budget, with a probe of the user's classes.

The student learns from soft targets: half the label, half what the teacher says of the image, softened (Hinton et al.
2015, https://arxiv.org/abs/1503.02531). The teacher says it of images that were held out from its probe: of those that
a probe has seen it is too sure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from netlathe.fit.probing import Prober, measure_speeds
from netlathe.fit.race import Row, Say
from netlathe.lower.weights import Array
from netlathe.runfolder.steps import cached_step

TEMPERATURE, WEIGHT = 2.0, 0.5  # of the teacher's logits; of its word beside the label
TEACHER_SHARE = 0.2  # of the time of the fit, at most, for what the teacher looks at


def teach(prober: Prober, teachers: Sequence[Row], seconds: float | None, say: Say) -> Array | None:
    """Soft targets (N, classes) of the training images by the first of the teachers; None where there is no time."""
    if not teachers:
        return None
    row, images = teachers[0], len(prober.images)
    speeds = cached_step(prober.out, "teacher", lambda: measure_speeds(prober, {row["name"]: row}))
    needed = images / speeds[row["name"]]["images_per_s"]
    if seconds is not None and needed > TEACHER_SHARE * seconds:
        say(f"no teacher: features of {row['name']} take {needed:.0f} s, over {100 * TEACHER_SHARE:.0f} % of the time")
        return None
    say(f"{row['name']} is over the budget, and teaches: features of {images:,} images in about {needed:.0f} s")
    backbone, policy = prober.backbone(row), speeds[row["name"]]["policy"]
    score = prober.score(backbone, policy, images, row["name"])
    say(f"the teacher gets {100 * score.correct.mean():.1f} % of the training images right, each held out in turn")
    targets = np.empty_like(score.logits)
    rows = prober.rows(images)
    targets[rows] = soften(score.logits, prober.images.labels[rows])
    return targets


def soften(logits: Array, labels: Any) -> Array:
    """Targets (n, classes) of logits (n, classes) and labels (n,)."""
    shares = torch.from_numpy(logits / TEMPERATURE).softmax(1).numpy()
    soft: Array = (WEIGHT * shares + (1 - WEIGHT) * np.eye(logits.shape[1])[labels]).astype(np.float32)
    return soft
