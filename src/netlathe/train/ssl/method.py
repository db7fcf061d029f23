"""The methods, as data: what the loss compares, and a recipe for small sets of images on a machine without a GPU.

The papers train ResNet-50 on ImageNet's 1.28 million images for days; what they set is said under each method, with
what came of it. The recipes here are for hundreds to tens of thousands of images at 32 to 96 px and batches that fit
here, and AdamW, so that the same method serves a ResNet, a ConvNeXt and a ViT.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal

from annotated_types import Ge, Interval

from netlathe.errors import unknown
from netlathe.train.recipe import Augment, Evaluate, Optimiser, Positive, Recipe, Regularise, Schedule
from netlathe.train.recipefile import resolve


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How a network learns without labels. The last four fields belong to a queue."""

    name: str
    title: str
    source: str
    recipe: Recipe
    loss: Literal["nt-xent", "dcl", "queue"]
    temperature: Positive
    outputs: Annotated[int, Ge(1)] = 128  # of the projector; its hidden layer is as wide as the features
    norms: bool = False  # batch norms in the projector
    queue: Annotated[int, Ge(0)] = 0  # keys that are kept as negatives
    momentum: Annotated[float, Interval(ge=0, lt=1)] = 0.0  # of the key encoder
    key_groups: Annotated[int, Ge(1)] = 1  # parts of the batch that the key encoder's batch norms see apart
    published: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Plain data, with the whole recipe."""
        return asdict(self) | {"recipe": resolve(self.recipe)}


RECIPE = Recipe(
    name="simclr",
    title="Contrastive pretraining on small sets of images",
    source="Chen et al. 2020, https://arxiv.org/abs/2002.05709, appendix B.9 (CIFAR-10), and trials on this machine",
    batch=256,
    resolution=64,
    epochs=200.0,
    optimiser=Optimiser(name="adamw", lr=1e-3, lr_per=256, weight_decay=0.05, no_decay=("norm", "bias", "position")),
    schedule=Schedule(decay="cosine", warmup=10.0),
    # Jitter of half the strength and no blur, as SimCLR for CIFAR-10 (appendix B.9).
    augment=Augment(
        crop="rrc", scale=(0.2, 1.0), jitter=(0.4, 0.4, 0.4, 0.1), jitter_prob=0.8, grey=0.2, interpolation="bilinear"
    ),
    regularise=Regularise(init="he"),
    evaluate=Evaluate(resolution=64),
)

SIMCLR = Method(
    name="simclr",
    title="SimCLR: two views of an image find each other in the batch",
    source="Chen et al. 2020, https://arxiv.org/abs/2002.05709; projector as in https://github.com/google-research/simclr",
    recipe=RECIPE,
    loss="nt-xent",
    temperature=0.2,
    norms=True,
    published=(
        "ImageNet, ResNet-50, LARS, batch 4096, temperature 0.1: linear probe 64.5 % (100 epochs), 69.3 % (1000)",
        "ImageNet, ResNet-50, batch 256: linear probe 61.9 % (200 epochs)",
        "CIFAR-10, ResNet-18, batch 512, 1000 epochs, temperature 0.5: linear probe about 91 %",
    ),
)

SIMCLR_DCL = replace(
    SIMCLR,
    name="simclr-dcl",
    title="SimCLR with the decoupled loss, which does not need a large batch",
    source="Yeh et al. 2022, https://arxiv.org/abs/2110.06848",
    recipe=replace(RECIPE, name="simclr-dcl"),
    loss="dcl",
    published=(
        "ImageNet, ResNet-50, batch 256, 100 epochs (lightly's): linear probe 65.1 %, where NT-Xent has 63.2 %",
    ),
)

MOCO_V2 = Method(
    name="moco-v2",
    title="MoCo v2: a view finds the other among keys of earlier batches, made by a slow copy of the network",
    source="Chen et al. 2020, https://arxiv.org/abs/2003.04297; He et al. 2019, https://arxiv.org/abs/1911.05722",
    recipe=replace(RECIPE, name="moco-v2"),
    loss="queue",
    temperature=0.2,
    queue=4096,
    momentum=0.99,
    key_groups=4,
    published=(
        "ImageNet, ResNet-50, batch 256, SGD 0.03, queue 65,536, momentum 0.999: linear probe 67.5 % (200 epochs)",
        "the same for 800 epochs: linear probe 71.1 %",
        "CIFAR-10, ResNet-18, batch 512, queue 4,096, momentum 0.99 (the authors' demo): kNN 82.6 % (200 epochs)",
    ),
)

METHODS = {method.name: method for method in (SIMCLR_DCL, SIMCLR, MOCO_V2)}


def find_method(name: str) -> Method:
    """The method of that name. Raises NetlatheError with the legal ones."""
    if name not in METHODS:
        raise unknown("method", name, METHODS, code="pretrain.method")
    return METHODS[name]


def queue_length(method: Method, batch: int, images: int) -> int:
    """How many keys the queue holds: whole batches, at most half an epoch, so that few images meet their own."""
    return max(1, min(method.queue // batch, images // batch // 2)) * batch if method.queue else 0
