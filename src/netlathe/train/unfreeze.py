"""Layers that stay as they are for a part of the schedule: the last ones learn first, then all of them.

Howard and Ruder 2018 (https://arxiv.org/abs/1801.06146, section 3.3) unfreeze from the last layer on, so that what is
pretrained is not washed out while the head is new. Frozen layers cost no backward pass and remember nothing for one.
"""

from __future__ import annotations

from netlathe.errors import MissingExtra
from netlathe.train.optim import number_layers
from netlathe.train.recipe import Recipe

try:
    from torch import nn
    from torch.nn.modules.batchnorm import _BatchNorm
except ImportError as error:
    raise MissingExtra("torch", "train") from error


def frozen_modules(module: nn.Module, share: float) -> list[nn.Module]:
    """The parts that own the weights of the first `share` of the layers, in their order."""
    owners = {
        path.rpartition(".")[0]: number for path, number in number_layers(dict(module.named_parameters())).items()
    }
    first = share * (max(owners.values(), default=0) + 1)
    return [module.get_submodule(owner) for owner, number in owners.items() if number < first]


def freeze_layers(module: nn.Module, recipe: Recipe, progress: float) -> None:
    """Set which weights of a module in training mode learn, and which batch norms keep their statistics.

    A function of recipe and `progress` (0..1) along the schedule alone, so a resumed training needs no state for it.
    """
    optimiser, still_norms = recipe.optimiser, recipe.regularise.norms == "given"
    if not optimiser.frozen and not still_norms:
        return
    frozen = optimiser.frozen if progress < recipe.schedule.unfreeze else 0.0
    still = set(frozen_modules(module, frozen))
    for part in module.modules():
        for weight in part.parameters(recurse=False):
            weight.requires_grad_(part not in still)
            if part in still:
                weight.grad = None
        if isinstance(part, _BatchNorm):
            part.train(not still_norms and part not in still)
