"""RandAugment, TrivialAugment and AutoAugment on batches: the images that drew an operation go through it together.

Three tables: what an operation does (MAPS of geometry.py, and LEVELS), how a policy scales it (a space: operation ->
Range), and which operations a policy draws. Magnitudes are shares 0..1 of a range until an operation needs its unit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from netlathe.errors import MissingExtra
from netlathe.train.augment import colour, levels
from netlathe.train.augment.geometry import MAPS, round_to_bytes, warp
from netlathe.train.augment.grouped import apply_grouped
from netlathe.train.recipe import Augment
from netlathe.train.rng import CounterRNG

try:
    import torch
    from torch import Tensor
except ImportError as error:
    raise MissingExtra("torch", "train") from error


def _of_floats(operation: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """An operation of colour.py on uint8 images."""
    return lambda x, factor: round_to_bytes(operation(x.float(), factor))


LEVELS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": _of_floats(colour.brightness),
    "contrast": _of_floats(colour.contrast),
    "colour": _of_floats(colour.saturation),
    "sharpness": _of_floats(colour.sharpness),
    "posterize": levels.posterize,
    "solarize": levels.solarize,
    "solarize_add": levels.solarize_add,
    "autocontrast": lambda x, _: levels.autocontrast(x),
    "equalize": lambda x, _: levels.equalize(x),
    "invert": lambda x, _: levels.invert(x),
    "identity": lambda x, _: x,
}


class MagnitudeRange(NamedTuple):
    """What magnitude an operation gets at the shares 0 and 1; `signed`: the way from `start` is as often negative."""

    start: float = 0
    end: float = 0
    signed: bool = False
    rounded: Callable[[Tensor], Tensor] | None = None

    def at(self, share: Tensor, positive: Tensor) -> Tensor:
        """The magnitudes for shares (N,), with a sign for each."""
        way = share * (self.end - self.start)
        magnitude = self.start + (torch.where(positive, way, -way) if self.signed else way)
        return self.rounded(magnitude) if self.rounded else magnitude


class PolicySpace(NamedTuple):
    """The ranges of a policy, and the grey level where an image has been moved away."""

    ranges: Mapping[str, MagnitudeRange]
    fill: int = 0


NONE = MagnitudeRange()
ENHANCED = ("brightness", "colour", "contrast", "sharpness")
# Cubuk et al. 2018, table 6, with the ranges of
# https://github.com/pytorch/vision/blob/main/torchvision/transforms/v2/_auto_augment.py
AUTO = PolicySpace(
    {
        "shear_x": MagnitudeRange(0, 0.3, True),
        "shear_y": MagnitudeRange(0, 0.3, True),
        "translate_x_share": MagnitudeRange(0, 150 / 331, True, None),
        "translate_y_share": MagnitudeRange(0, 150 / 331, True, None),
        "rotate": MagnitudeRange(0, 30, True),
        **dict.fromkeys(ENHANCED, MagnitudeRange(1, 1.9, True)),
        "posterize": MagnitudeRange(8, 4, rounded=torch.round),
        "solarize": MagnitudeRange(255, 0),
        **dict.fromkeys(("autocontrast", "equalize", "invert"), NONE),
    }
)
# Mueller and Hutter 2021, table 2, "wide"; translations are px at every resolution.
WIDE = PolicySpace(
    {
        "identity": NONE,
        "shear_x": MagnitudeRange(0, 0.99, True),
        "shear_y": MagnitudeRange(0, 0.99, True),
        "translate_x": MagnitudeRange(0, 32, True, torch.trunc),
        "translate_y": MagnitudeRange(0, 32, True, torch.trunc),
        "rotate": MagnitudeRange(0, 135, True),
        **dict.fromkeys(ENHANCED, MagnitudeRange(1, 1.99, True)),
        "posterize": MagnitudeRange(8, 2, rounded=torch.round),
        "solarize": MagnitudeRange(255, 0),
        **dict.fromkeys(("autocontrast", "equalize"), NONE),
    }
)
# RandAugment as timm draws it (https://github.com/huggingface/pytorch-image-models/blob/main/timm/data/auto_augment.py),
# on which RSB, DeiT, ConvNeXt and timm's EfficientNet trained: `rand-m9-mstd0.5-inc1` is GROWING.
PLAIN = PolicySpace(
    {
        **dict.fromkeys(("autocontrast", "equalize", "invert"), NONE),
        "rotate": MagnitudeRange(0, 30, True),
        "posterize": MagnitudeRange(0, 4, rounded=torch.floor),
        "solarize": MagnitudeRange(0, 256, rounded=torch.floor),
        "solarize_add": MagnitudeRange(0, 110, rounded=torch.floor),
        **dict.fromkeys(ENHANCED, MagnitudeRange(0.1, 1.9)),
        "shear_x": MagnitudeRange(0, 0.3, True),
        "shear_y": MagnitudeRange(0, 0.3, True),
        "translate_x_share": MagnitudeRange(0, 0.45, True),
        "translate_y_share": MagnitudeRange(0, 0.45, True),
    },
    fill=128,
)
GROWING = PolicySpace(
    {
        **PLAIN.ranges,
        "posterize": MagnitudeRange(4, 0, rounded=torch.ceil),
        "solarize": MagnitudeRange(256, 0, rounded=torch.ceil),
        **dict.fromkeys(ENHANCED, MagnitudeRange(1, 1.9, True)),
    },
    fill=128,
)

# Cubuk et al. 2018, table 9: the 25 sub-policies for ImageNet, each two of (operation, probability, magnitude 0..9).
# Operations without a magnitude have 0 here.
IMAGENET = (
    (("posterize", 0.4, 8), ("rotate", 0.6, 9)),
    (("solarize", 0.6, 5), ("autocontrast", 0.6, 0)),
    (("equalize", 0.8, 0), ("equalize", 0.6, 0)),
    (("posterize", 0.6, 7), ("posterize", 0.6, 6)),
    (("equalize", 0.4, 0), ("solarize", 0.2, 4)),
    (("equalize", 0.4, 0), ("rotate", 0.8, 8)),
    (("solarize", 0.6, 3), ("equalize", 0.6, 0)),
    (("posterize", 0.8, 5), ("equalize", 1.0, 0)),
    (("rotate", 0.2, 3), ("solarize", 0.6, 8)),
    (("equalize", 0.6, 0), ("posterize", 0.4, 6)),
    (("rotate", 0.8, 8), ("colour", 0.4, 0)),
    (("rotate", 0.4, 9), ("equalize", 0.6, 0)),
    (("equalize", 0.0, 0), ("equalize", 0.8, 0)),
    (("invert", 0.6, 0), ("equalize", 1.0, 0)),
    (("colour", 0.6, 4), ("contrast", 1.0, 8)),
    (("rotate", 0.8, 8), ("colour", 1.0, 2)),
    (("colour", 0.8, 8), ("solarize", 0.8, 7)),
    (("sharpness", 0.4, 7), ("invert", 0.6, 0)),
    (("shear_x", 0.6, 5), ("equalize", 1.0, 0)),
    (("colour", 0.4, 0), ("equalize", 0.6, 0)),
    (("equalize", 0.4, 0), ("solarize", 0.2, 4)),
    (("solarize", 0.6, 5), ("autocontrast", 0.6, 0)),
    (("invert", 0.6, 0), ("equalize", 1.0, 0)),
    (("colour", 0.6, 4), ("contrast", 1.0, 8)),
    (("equalize", 0.8, 0), ("equalize", 0.6, 0)),
)


class PolicyStep(NamedTuple):
    """One round of operations: by image, which of the space's names (-1: none), and at what share of its range."""

    space: PolicySpace
    kind: Tensor
    share: Tensor


def _randaugment(augment: Augment, rng: CounterRNG) -> Iterator[PolicyStep]:
    """Cubuk et al. 2019, with timm's noise on the magnitude and its chance of leaving an operation out."""
    space = GROWING if augment.increasing else PLAIN
    for turn in range(augment.count):
        kind = rng.integers(f"policy kind {turn}", len(space.ranges))
        kind[rng.uniform(f"policy prob {turn}") >= augment.policy_prob] = -1
        noise = rng.normal(f"policy noise {turn}") * augment.magnitude_std
        yield PolicyStep(space, kind, (noise + augment.magnitude).clamp_(0, 10) / 10)


def _trivial(augment: Augment, rng: CounterRNG) -> Iterator[PolicyStep]:
    """Mueller and Hutter 2021: one operation, at one of 31 magnitudes."""
    yield PolicyStep(WIDE, rng.integers("policy kind 0", len(WIDE.ranges)), rng.integers("policy share 0", 31) / 30)


def _autoaugment(augment: Augment, rng: CounterRNG) -> Iterator[PolicyStep]:
    """Cubuk et al. 2018: one of 25 pairs of operations."""
    names = list(AUTO.ranges)
    chosen = rng.integers("policy pair", len(IMAGENET))
    for turn in range(2):
        kinds, probs, magnitudes = zip(*(pair[turn] for pair in IMAGENET), strict=True)
        kind = torch.tensor([names.index(name) for name in kinds])[chosen]
        kind[rng.uniform(f"policy prob {turn}") >= torch.tensor(probs)[chosen]] = -1
        yield PolicyStep(AUTO, kind, torch.tensor(magnitudes)[chosen] / 9)


POLICIES: Mapping[str, Callable[[Augment, CounterRNG], Iterator[PolicyStep]]] = {
    "randaugment": _randaugment,
    "trivial": _trivial,
    "autoaugment": _autoaugment,
}


def augment_by_policy(x: Tensor, augment: Augment, rng: CounterRNG) -> Tensor:
    """The recipe's policy: (N, C, H, W) uint8, the same shape out."""
    for turn, (space, kind, share) in enumerate(POLICIES[augment.policy](augment, rng)):
        names = [list(space.ranges)[k] if k >= 0 else "identity" for k in kind.tolist()]
        modes = modes_of(augment, rng, f"policy mode {turn}")
        sign = rng.uniform(f"policy sign {turn}") < 0.5
        x = apply_grouped(x, zip(names, modes, strict=True), partial(_in_space, space, share, sign))
    return x


def _in_space(space: PolicySpace, share: Tensor, sign: Tensor, x: Tensor, kind: tuple[str, str], at: Tensor) -> Tensor:
    name, mode = kind
    if name == "identity":
        return x
    return apply_operation(x, name, space.ranges[name].at(share[at], sign[at]), mode, space.fill)


def apply_operation(x: Tensor, name: str, magnitude: Tensor, mode: str = "bilinear", fill: int = 0) -> Tensor:
    """One operation, by its name in MAPS or LEVELS: (N, C, H, W) uint8, with a magnitude an image, (N,)."""
    if name in MAPS:
        return warp(x, MAPS[name](magnitude, *x.shape[2:]), mode, fill)
    return LEVELS[name](x, magnitude)


def modes_of(augment: Augment, rng: CounterRNG, what: str) -> list[str]:
    """The interpolation of each image; `random` takes bilinear or bicubic."""
    if augment.interpolation != "random":
        return [augment.interpolation] * len(rng)
    return ["bicubic" if cubic else "bilinear" for cubic in (rng.uniform(what) < 0.5).tolist()]
