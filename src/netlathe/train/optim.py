"""Which weights a recipe treats alike, and the optimiser it asks for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from netlathe.errors import MissingExtra
from netlathe.train.recipe import Optimiser, peak_lr

try:
    import torch
    from torch import nn
    from torch.nn.modules.batchnorm import _BatchNorm

    from netlathe.lower.torch_modules import ClassTokenModule, PositionModule, ScaleModule, WindowAttentionModule
    from netlathe.train.optimisers import OPTIMISERS
except ImportError as error:
    raise MissingExtra("torch", "train") from error

NORMS = (_BatchNorm, nn.LayerNorm, nn.GroupNorm, ScaleModule)
BLOCK = re.compile(r"(.*?\.)?block\d+(?=\.)")  # as `Stage` names its children
NUMBERED = re.compile(r"(.*?\.)?\d+(\.(blocks?\.|layers?\.)?\d+)?(?=\.)")  # as modules of timm and torchvision do
POSITIONS = (PositionModule, ClassTokenModule, WindowAttentionModule)
# The same in timm and torchvision.
POSITION = re.compile(
    r"(pos_embed|pos_embedding|cls_token|class_token|dist_token|reg_token|relative_position_bias_table)$"
)


def weight_kinds(owner: nn.Module, name: str) -> set[str]:
    """What the weight `name` of a module is, in the words of `Optimiser.no_decay`.

    norm: factors by channel, of norms and layer scales, and shifts of norms. bias: everything added by channel.
    depthwise: kernels with one channel a group. position: position embeddings, class tokens, window attention's bias.
    """
    if isinstance(owner, POSITIONS) or POSITION.match(name):
        return {"position"}
    kinds = {"bias"} if name == "bias" else set()
    weight = getattr(owner, name, None)
    if isinstance(owner, NORMS) or (weight is not None and weight.ndim <= 1 and name != "bias"):
        kinds.add("norm")
    if name == "weight" and isinstance(owner, nn.Conv2d) and owner.groups == owner.in_channels > 1:
        kinds.add("depthwise")
    return kinds


def number_layers(paths: Iterable[str]) -> dict[str, int]:
    """The number of the layer of each weight, in their order: a block is one, and so is what stands between two blocks.

    With that a ViT has the layers of BEiT (Bao et al. 2021, https://arxiv.org/abs/2106.08254). Without blocks, what is
    numbered is one (blocks.5.0 of timm, layer1.0 and features.3 of torchvision), else the first parts of the paths are.
    """
    listed = list(paths)
    named = {path: BLOCK.match(path) for path in listed}
    if not any(named.values()):
        named = {path: NUMBERED.match(path) for path in listed}
    blocks = any(named.values())
    numbers: dict[str, int] = {}
    last, count = None, -1
    for path, block in named.items():
        layer = block[0] if block else "" if blocks else path.partition(".")[0]
        count += layer != last
        numbers[path], last = count, layer
    return numbers


def parameter_groups(module: nn.Module, optimiser: Optimiser, batch: int) -> list[dict[str, Any]]:
    """The weights that are trained, grouped by weight decay and learning rate: the groups of a torch optimiser.

    A group has also `names`, the paths, and `peak_lr`, its highest learning rate for `batch` images a step: that of the
    recipe, times `bias_lr` for biases, times `layer_decay` for each layer from the weight's to the last.
    """
    named = [(path, weight) for path, weight in module.named_parameters() if weight.requires_grad]
    layers = number_layers(path for path, _ in named)
    peak, top = peak_lr(optimiser, batch), max(layers.values(), default=0)
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for path, weight in named:
        where, _, name = path.rpartition(".")
        kinds = weight_kinds(module.get_submodule(where), name)
        decay = 0.0 if kinds & set(optimiser.no_decay) else optimiser.weight_decay
        lr = peak * optimiser.layer_decay ** (top - layers[path]) * (optimiser.bias_lr if "bias" in kinds else 1.0)
        new: dict[str, Any] = {"params": [], "names": [], "lr": lr, "peak_lr": lr, "weight_decay": decay}
        group = groups.setdefault((decay, lr), new)
        group["params"].append(weight)
        group["names"].append(path)
    return list(groups.values())


def build_optimiser(module: nn.Module, optimiser: Optimiser, batch: int) -> torch.optim.Optimizer:
    """The optimiser of a recipe for a module that is where it will be trained; `batch` is that of all devices.

    The loop sets each group's `lr` to `peak_lr` times `lr_factor`, and clips (`Optimiser.clip`) before the step.
    """
    options = {name: getattr(optimiser, name) for name in ("momentum", "nesterov", "betas", "alpha", "eps")}
    return OPTIMISERS[optimiser.name](parameter_groups(module, optimiser, batch), options | {"steps": 0})
