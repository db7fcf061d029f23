"""The averaged weights of a training: an exponential moving average, early on shorter."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn


class WeightAverage:
    """average = d average + (1 - d) weights at each update, d = min(decay, (1 + t) / (10 + t)) at update t.

    The shorter memory at the start is TensorFlow's (tf.train.ExponentialMovingAverage, num_updates): without it the
    random first weights stay in the average for 1 / (1 - decay) updates. Running statistics are averaged as well.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay, self.updates = deepcopy(module).eval().requires_grad_(False), decay, 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move towards the weights of `module`."""
        keep = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        ours, theirs = self.module.state_dict(), module.state_dict()
        floats = [name for name, tensor in ours.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([ours[name] for name in floats], [theirs[name] for name in floats], 1 - keep)
        for name in ours.keys() - set(floats):
            ours[name].copy_(theirs[name])
