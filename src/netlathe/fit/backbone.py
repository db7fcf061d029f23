"""A pretrained candidate as a torch module: what its last layer reads are the features that a probe learns from."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from netlathe.arch.trainable import Trainable
from netlathe.errors import NetlatheError
from netlathe.fit.race import Row, load_start, network_in, recipe_for
from netlathe.lower.weights import Array
from netlathe.train.evaluate import Normalisation, Preprocessor, make_preprocessor, measure_normalisation
from netlathe.train.images import ImageSet
from netlathe.train.precision import autocast, set_precision
from netlathe.train.recipe import Recipe
from netlathe.train.start import StartingWeights

PRECISIONS = ("fp32-last", "bf16-last")  # of a forward pass, from which the faster is taken
TIMED, PASSES = 16, 2  # images of a timed pass, and how many are timed
LAYOUT = {"fp32": "fp32-last"}  # channels last, where a policy of training names the numbers alone


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A network with pretrained weights, and how it sees images; `head` is the path of its last layer."""

    network: Trainable
    tensors: Mapping[str, Array]
    head: str
    recipe: Recipe
    normal: Normalisation
    start: StartingWeights

    @property
    def prepare(self) -> Preprocessor:
        """Images as the deployed file will see them."""
        return make_preprocessor(self.recipe, self.normal)

    def module(self, precision: str) -> nn.Module:
        """The network as a module in evaluation mode, under a policy of precision."""
        return set_precision(self.network.module(self.tensors), precision).eval()

    @property
    def views(self) -> Sequence[str]:
        """Of each image: mirrored ones too, where the recipe says that they are as good as the others."""
        return ("plain", "mirrored") if self.recipe.augment.flip else ("plain",)

    @property
    def identity(self) -> Any:
        """What decides the features of an image, as JSON values."""
        seen = self.recipe.evaluate
        return [self.network.key, self.start.origin, self.normal, seen.resolution, seen.crop, seen.interpolation]


def open_backbone(row: Row, recipe: Recipe, images: ImageSet, seed: int) -> Backbone:
    """The backbone of a candidate that starts from given weights. Raises NetlatheError as `load_start` does."""
    start, network, own = load_start(row, recipe, seed), network_in(row), recipe_for(recipe, row)
    assert start.tensors is not None, "a backbone has weights"
    [head, *others] = network.heads()
    if others:
        message = f"{network.name} has {1 + len(others)} heads, and a probe is the one head of a network"
        raise NetlatheError(message, code="fit.heads", hint="weights of another network, or --scratch")
    normal = start.normal or measure_normalisation(images)
    return Backbone(network=network, tensors=start.tensors, head=head, recipe=own, normal=normal, start=start)


def measure_forward(backbone: Backbone, asked: str) -> tuple[str, float]:
    """The policy under which a forward pass is fastest here, or the one that is `asked` for; and images a second."""
    names = PRECISIONS if asked == "auto" else (LAYOUT.get(asked, asked),)
    x = torch.zeros((TIMED, *backbone.network.input))
    seconds = {name: min(forward_seconds(backbone.module(name), name, x)) for name in names}
    best = min(names, key=lambda name: seconds[name])
    return best, TIMED / seconds[best]


def forward_seconds(module: nn.Module, precision: str, x: torch.Tensor) -> list[float]:
    """Seconds of some passes by the wall clock, after one that makes the kernels."""
    seconds = []
    with torch.inference_mode(), autocast(precision):
        for _ in range(PASSES + 1):
            start = time.monotonic()
            module(x)
            seconds.append(time.monotonic() - start)
    return seconds[1:]
