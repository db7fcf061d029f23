"""A recipe: everything about a training that is not the network and not the images. Data, without torch.

A recipe says how many images it sees and how; it never mentions a layer. What a network contributes is found in the
network: which weights are norms, biases or depthwise, how deep a branch is. Units: epochs, images, pixels, shares 0..1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Annotated, Literal

from annotated_types import Ge, Interval

from netlathe.errors import NetlatheError

Count = Annotated[int, Ge(1)]
Pixels = Annotated[int, Ge(1)]
Positive = Annotated[float, Interval(gt=0, lt=inf)]
NotNegative = Annotated[float, Interval(ge=0, lt=inf)]
Share = Annotated[float, Interval(ge=0, le=1)]
Rate = Annotated[float, Interval(ge=0, lt=1)]
Interpolation = Literal["nearest", "bilinear", "bicubic"]
Exempt = Literal["norm", "bias", "depthwise", "position"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimiser:
    """How weights move. Which fields an optimiser reads is in READS."""

    name: Literal["sgd", "adamw", "rmsprop", "lamb"]
    lr: Positive  # the highest learning rate, at the end of the warm-up
    lr_per: Count | None = None  # lr is for this many images a step, and grows linearly with them; None: lr as it is
    momentum: Rate = 0.9
    nesterov: bool = False
    betas: tuple[Rate, Rate] = (0.9, 0.999)
    alpha: Rate = 0.9  # what RMSprop keeps of its running mean of squares each step
    eps: Positive = 1e-8  # rmsprop: inside the square root, as in TensorFlow; otherwise outside
    weight_decay: NotNegative = 0.0
    no_decay: tuple[Exempt, ...] = ()  # kinds of weights without weight decay
    layer_decay: Annotated[float, Interval(gt=0, le=1)] = 1.0  # factor of the learning rate by layer, from the end
    bias_lr: Positive = 1.0  # factor of the learning rate of biases
    frozen: Share = 0.0  # share of the layers, from the input on, that stay as they are until `Schedule.unfreeze`
    clip: Positive | None = None  # of the norm of all gradients together


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The learning rate as a share of `Optimiser.lr`, a function of the epochs seen (see `schedule.py`)."""

    decay: Literal["cosine", "step", "exponential", "linear", "constant"] = "cosine"
    warmup: NotNegative = 0.0  # epochs of linear growth
    warmup_start: Share = 0.0
    warmup_mode: Literal["before", "over", "times"] = "before"  # the decay waits; runs unseen; is multiplied
    final: Share = 0.0  # the share at the end of cosine and linear
    unfreeze: Share = 1.0  # share of the schedule after which frozen layers are trained too; 1: never
    step: Positive = 30.0  # epochs from one factor gamma to the next; exponential: reached smoothly
    gamma: Annotated[float, Interval(gt=0, le=1)] = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Augment:
    """What happens to a training image, in the order of the fields; `erase` is last, after normalisation."""

    crop: Literal["rrc", "pad", "resize", "none"] = "rrc"  # random resized crop; pad and crop; only resize; nothing
    scale: tuple[Share, Share] = (0.08, 1.0)  # share of the area that rrc keeps
    ratio: tuple[Positive, Positive] = (3 / 4, 4 / 3)  # width / height that rrc draws
    pad: Annotated[int, Ge(0)] = 4  # px on each side, at the training resolution
    pad_mode: Literal["zero", "reflect"] = "zero"  # what the padding shows: black, or the image mirrored at its edge
    interpolation: Literal["nearest", "bilinear", "bicubic", "random"] = "bilinear"  # random: bilinear or bicubic
    flip: Share = 0.5  # probability of mirroring left and right
    policy: Literal["none", "randaugment", "trivial", "autoaugment"] = "none"
    magnitude: Annotated[float, Interval(ge=0, le=10)] = 9.0  # timm's scale, 0..10
    magnitude_std: NotNegative = 0.0
    count: Count = 2  # operations an image
    policy_prob: Share = 1.0  # of each of these operations (timm: 0.5)
    increasing: bool = False  # every operation grows stronger with the magnitude
    jitter: tuple[NotNegative, NotNegative, NotNegative, Annotated[float, Interval(ge=0, le=0.5)]] = (0.0,) * 4
    jitter_prob: Share = 1.0  # jitter is brightness, contrast, saturation, hue
    lighting: NotNegative = 0.0  # standard deviation of AlexNet's PCA colour noise
    grey: Share = 0.0  # probability
    blur: Share = 0.0  # probability of a Gaussian blur
    erase: Share = 0.0  # probability of random erasing
    erase_mode: Literal["const", "pixel"] = "const"  # the mean colour, or noise by pixel
    repeats: Count = 1  # views of an image within an epoch; an epoch has as many views as there are images


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """Pairs of images mixed into one (Zhang et al. 2017; Yun et al. 2019)."""

    mixup: NotNegative = 0.0  # alpha of the beta distribution; 0: never
    cutmix: NotNegative = 0.0
    prob: Share = 1.0  # that a pair is mixed
    switch: Share = 0.5  # that cutmix is taken, where both are on


@dataclass(frozen=True, slots=True, kw_only=True)
class Regularise:
    """The loss, the first weights, and what keeps the network from learning by heart."""

    loss: Literal["ce", "bce"] = "ce"
    smoothing: Rate = 0.0
    bce_threshold: Rate | None = None  # bce: targets above it count as 1, others as 0; None: as they are
    dropout: Rate = 0.0  # before the classifier
    drop_path: Rate = 0.0  # largest rate at which residual branches are left out
    ramp: Literal["constant", "over_total", "over_last"] = "over_last"  # of drop_path with depth; `lower.branches`
    ema: Rate = 0.0  # share of the averaged weights kept at each update; 0: no average
    ema_every: Count = 1  # steps from one update to the next
    norm_momentum: Share = 0.1  # share of a batch in the running statistics of batch norms (torch's meaning)
    norms: Literal["batch", "given"] = "batch"  # statistics of batch norms in training: a batch's, or those they have
    init: Literal["he", "he_zero", "truncated"] = "he"  # `lower.initial`


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What is done about classes of unequal size (see `balance.py`)."""

    sampling: Share = 0.0  # 0: every image once an epoch; 1: every class as often as any other; 0.5: by square roots
    weights: Literal["none", "inverse", "effective"] = "none"  # of the loss, by class


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluate:
    """How the network is tested: resized so that the centre crop is `crop` of the short side."""

    resolution: Pixels
    shape: Literal["crop", "stretch"] = "crop"  # of what is not square: the middle is cut out; all of it is squeezed
    crop: Annotated[float, Interval(gt=0, le=1)] = 1.0
    interpolation: Interpolation = "bilinear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A result that the source of a recipe prints: ImageNet-1k top-1 in percent, unless the note says otherwise."""

    network: str
    top1: Annotated[float, Interval(gt=0, le=100)]
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A training, but for its network, its images and its seed."""

    name: str
    title: str
    source: str
    base: str | None = None  # the recipe that the file starts from
    batch: Count  # images a step, over all devices
    resolution: Pixels  # of training
    epochs: Positive
    optimiser: Optimiser
    schedule: Schedule = field(default_factory=Schedule)
    augment: Augment = field(default_factory=Augment)
    mix: Mix = field(default_factory=Mix)
    regularise: Regularise = field(default_factory=Regularise)
    balance: Balance = field(default_factory=Balance)
    evaluate: Evaluate
    published: tuple[Published, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict, hash=False)  # by field: its source, or what differs
    unconfirmed: tuple[str, ...] = ()  # fields that nobody has checked against the source


# Fields that only one choice of another field reads: (table, the field that chooses, choice -> what it reads).
READS: tuple[tuple[str, str, Mapping[str, tuple[str, ...]]], ...] = (
    (
        "optimiser",
        "name",
        {
            "sgd": ("momentum", "nesterov"),
            "adamw": ("betas", "eps"),
            "rmsprop": ("momentum", "alpha", "eps"),
            "lamb": ("betas", "eps"),
        },
    ),
    (
        "schedule",
        "decay",
        {
            "cosine": ("final",),
            "linear": ("final",),
            "step": ("step", "gamma"),
            "exponential": ("step", "gamma"),
            "constant": (),
        },
    ),
    ("augment", "crop", {"rrc": ("scale", "ratio"), "pad": ("pad", "pad_mode"), "resize": (), "none": ()}),
    (
        "augment",
        "policy",
        {
            "none": (),
            "randaugment": ("magnitude", "magnitude_std", "count", "policy_prob", "increasing"),
            "trivial": (),
            "autoaugment": (),
        },
    ),
    ("regularise", "loss", {"ce": (), "bce": ("bce_threshold",)}),
)


def peak_lr(optimiser: Optimiser, batch: int) -> float:
    """The highest learning rate for `batch` images a step: lr, or lr x batch / lr_per.

    The linear rule is that of Goyal et al. 2017, https://arxiv.org/abs/1706.02677, section 2.1.
    """
    return optimiser.lr * (batch / optimiser.lr_per if optimiser.lr_per else 1)


def scale(
    recipe: Recipe, *, epochs: float | None = None, resolution: int | None = None, batch: int | None = None
) -> Recipe:
    """The same recipe, longer or shorter, at another resolution or with another batch; its name gets a +.

    epochs: warm-up, steps of the decay and the memory of the average stretch with the training.
    resolution: the test resolution and the padding keep their ratio to it.
    batch: the learning rate follows `lr_per` where the recipe has it; otherwise it grows linearly with the batch for
    sgd and rmsprop, and with its square root for adamw and lamb (You et al. 2020, https://arxiv.org/abs/1904.00962,
    section 4). Weight decay and the strength of augmentation stay.
    Raises NetlatheError for numbers that are not positive.
    """
    for what, number in {"epochs": epochs, "resolution": resolution, "batch": batch}.items():
        if number is not None and not number > 0:
            raise NetlatheError(f"{what} must be positive, not {number}", code="recipe.scale")
    longer = 1.0 if epochs is None else epochs / recipe.epochs
    larger = 1.0 if resolution is None else resolution / recipe.resolution
    wider = 1.0 if batch is None else batch / recipe.batch
    optimiser, schedule, rules = recipe.optimiser, recipe.schedule, recipe.regularise
    gain = 1.0 if optimiser.lr_per else wider if optimiser.name in ("sgd", "rmsprop") else wider**0.5
    forget = min(1.0, (1 - rules.ema) * wider / longer)  # so that the average spans the same share of the training
    return replace(
        recipe,
        name=recipe.name.rstrip("+") + "+",
        epochs=recipe.epochs * longer,
        resolution=round(recipe.resolution * larger),
        batch=recipe.batch if batch is None else batch,
        optimiser=replace(optimiser, lr=optimiser.lr * gain),
        schedule=replace(schedule, warmup=schedule.warmup * longer, step=schedule.step * longer),
        augment=replace(recipe.augment, pad=round(recipe.augment.pad * larger)),
        regularise=replace(rules, ema=1 - forget) if rules.ema else rules,
        evaluate=replace(recipe.evaluate, resolution=round(recipe.evaluate.resolution * larger)),
        published=(),
    )
