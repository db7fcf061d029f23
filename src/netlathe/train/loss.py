"""What a training minimises: cross entropy or binary cross entropy, against soft targets, in float32."""

from __future__ import annotations

from netlathe.errors import MissingExtra
from netlathe.train.recipe import Regularise

try:
    from torch import Tensor
    from torch.nn import functional as F
except ImportError as error:
    raise MissingExtra("torch", "train") from error


def classification_loss(logits: Tensor, targets: Tensor, rules: Regularise, weights: Tensor | None = None) -> Tensor:
    """The mean loss of logits (N, classes) against targets (N, classes) whose rows sum to 1: a scalar in float32.

    `weights` (classes,) are what an image of each class weighs; a mixed one weighs as its parts do.

    Label smoothing mixes targets with the uniform ones (Szegedy et al. 2015, https://arxiv.org/abs/1512.00567, section
    7); since it is linear, smoothing mixed targets is mixing smoothed ones. Binary cross entropy asks of every class by
    itself whether it is there and is the mean over classes too (Wightman et al. 2021, https://arxiv.org/abs/2110.00476,
    section 3): with `bce_threshold`, targets above it count as 1 and the others as 0, both classes of a mixed image.
    """
    logits = logits.float()
    heavy = None if weights is None else (targets @ weights.to(targets)).float()
    if rules.loss == "ce":
        if heavy is None:
            return F.cross_entropy(logits, targets, label_smoothing=rules.smoothing)
        return (heavy * F.cross_entropy(logits, targets, label_smoothing=rules.smoothing, reduction="none")).mean()
    targets = targets.lerp(targets.new_tensor(1 / targets.shape[1]), rules.smoothing)
    if rules.bce_threshold is not None:
        targets = targets.gt(rules.bce_threshold).to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits, targets, heavy[:, None] if heavy is not None else None)
