"""Where the literature shows that a recipe harms a network, or helps it little: rules with figures and their source."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from netlathe.arch.combinators import Gate
from netlathe.arch.net import Net, rewritable
from netlathe.arch.node import Node
from netlathe.cost.count import count
from netlathe.train.recipe import Recipe

IMAGENET = 1_281_167  # training images of ImageNet-1k
MANY_IMAGES = 500_000  # images from which a small network is short of capacity, not of data
TABLE = "torchvision 0.28 weight metadata; timm results-imagenet.csv @aa4b5850"


@dataclass(frozen=True, slots=True)
class RecipeWarning:
    """What to expect, the published figures (ImageNet-1k top-1, %), and where they are printed."""

    expect: str
    evidence: str
    source: str

    def __str__(self) -> str:
        return f"{self.expect}: {self.evidence} ({self.source})"


class NetworkFacts(NamedTuple):
    """What the rules ask of a network, and how many images there are."""

    params: int
    depthwise: bool
    gates: bool
    attention: bool
    batch_norms: bool
    images: int


def is_strong(recipe: Recipe) -> bool:
    """At least two of: mixed images, an augmentation policy, random erasing, stochastic depth."""
    mixes = recipe.mix.prob > 0 and (recipe.mix.mixup > 0 or recipe.mix.cutmix > 0)
    used = (mixes, recipe.augment.policy != "none", recipe.augment.erase > 0, recipe.regularise.drop_path > 0)
    return sum(used) >= 2


RULES: tuple[tuple[Callable[[Recipe, NetworkFacts], bool], RecipeWarning], ...] = (
    (
        lambda r, n: is_strong(r) and r.epochs <= 150 and n.params < 15e6 and n.images >= MANY_IMAGES,
        RecipeWarning(
            "strong regularisation in a short schedule costs a small network accuracy",
            "ResNet-18 69.76 by 90 plain epochs, 68.25 by RSB A3; ResNet-50 76.13 and 78.05",
            TABLE,
        ),
    ),
    (
        lambda r, n: (
            is_strong(r) and r.epochs >= 300 and n.params < 6e6 and not n.attention and n.images >= MANY_IMAGES
        ),
        RecipeWarning(
            "a long, strong recipe gains little on a small network",
            "torchvision's 600 epochs: MobileNetV2 71.88 to 72.15, ResNet-50 76.13 to 80.86",
            TABLE,
        ),
    ),
    (
        lambda r, n: not is_strong(r) and r.epochs <= 100 and n.depthwise and n.images >= MANY_IMAGES,
        RecipeWarning(
            "a short plain recipe under-trains depthwise networks, so it ranks them too low",
            "EfficientNet-B0 75.1 by 100 plain epochs, 77.7 by timm's 450; ResNet-50 76.8 by the same 100",
            "pycls MODEL_ZOO.md; timm results-imagenet.csv @aa4b5850",
        ),
    ),
    (
        lambda r, n: r.regularise.loss == "bce" and n.gates,
        RecipeWarning(
            "squeeze-excite may not pay under this kind of recipe",
            "SE-ResNet-50 against ResNet-50: 77.04 and 78.05 by RSB A3, 80.01 and 80.38 by A1, 80.10 and 79.83 by A2",
            "timm results-imagenet.csv @aa4b5850",
        ),
    ),
    (
        lambda r, n: not is_strong(r) and n.attention,
        RecipeWarning(
            "a Transformer from scratch needs strong augmentation",
            "ViT-B/16 on ImageNet-1k alone: 77.9 (at 384 px) in the ViT paper, 81.8 by DeiT's recipe",
            "https://arxiv.org/abs/2012.12877",
        ),
    ),
    (
        lambda r, n: r.batch < 8 and n.batch_norms,
        RecipeWarning(
            "batch norm needs more images a step",
            "ResNet-50 with 2 images a step: 10.6 points more error than with group norm",
            "https://arxiv.org/abs/1803.08494, abstract",
        ),
    ),
)


def find_warnings(recipe: Recipe, network: Net, images: int = IMAGENET) -> tuple[RecipeWarning, ...]:
    """What the literature says against training `network` by `recipe` on so many images; empty where nothing."""
    facts = network_facts(network, images)
    return tuple(caution for holds, caution in RULES if holds(recipe, facts))


def network_facts(network: Net, images: int) -> NetworkFacts:
    """The facts about a network; the gates of a module are not told from its other products."""
    graph, expression = network.graph(), rewritable(network)
    ops = graph.ops
    return NetworkFacts(
        params=int(count(graph).params),
        depthwise=any(op.form == "depthwise" for op in ops),
        gates=expression is not None and any(isinstance(node, Gate) for node in walk_nodes(expression.body)),
        attention=any(op.kind == "attention" for op in ops),
        batch_norms=any(op.kind == "norm" and op.form == "batch" for op in ops),
        images=images,
    )


def walk_nodes(node: Node) -> Iterator[Node]:
    """An expression and everything inside."""
    yield node
    for _, child in node.children():
        yield from walk_nodes(child)
