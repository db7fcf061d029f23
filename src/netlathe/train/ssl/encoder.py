"""What is pretrained: a network without its classifier, and the small head that the loss reads, thrown away later."""

from __future__ import annotations

from collections.abc import Mapping

from netlathe.arch.network import Network
from netlathe.errors import MissingExtra
from netlathe.lower.torch import to_torch
from netlathe.lower.weights import Array, generator
from netlathe.reshape.classes import classifiers
from netlathe.train.recipe import Regularise

try:
    import torch
    from torch import nn
    from torch.nn.modules.batchnorm import _BatchNorm
except ImportError as error:
    raise MissingExtra("torch", "train") from error


def build_encoder(
    network: Network, weights: Mapping[str, Array] | None = None, *, rules: Regularise | None = None, seed: int = 0
) -> nn.Module:
    """The network up to its last linear layer: (N, C, r, r) -> (N, `features` of it).

    `weights` by path are those of the whole network; without, the initialisation of `rules`. The tensors keep their
    names, so what is learned fits the network again. Raises NetlatheError for a network that does not end in a linear
    layer.
    """
    rules = rules or Regularise()
    module = to_torch(
        network,
        weights,
        init=None if weights is not None else rules.init,
        seed=seed,
        drop_path=rules.drop_path,
        ramp=rules.ramp,
    )
    module.set_submodule(classifiers(network.graph())[0], nn.Identity())
    for norm in module.modules():
        if isinstance(norm, _BatchNorm):
            norm.momentum = rules.norm_momentum
    return module


def count_features(network: Network) -> int:
    """How many numbers the encoder gives for an image."""
    graph = network.graph()
    path = classifiers(graph)[0]
    return int(next(op for op in graph.ops if op.path == path).in_shapes[0][-1])


def build_projector(inputs: int, hidden: int, outputs: int, *, norms: bool, seed: int = 0) -> nn.Sequential:
    """Two linear layers: (N, inputs) -> (N, outputs). With `norms` a batch norm follows each, in place of its bias."""

    def norm(width: int) -> list[nn.Module]:
        # On maps of one pixel, since `distributed.synchronised` knows the batch norms of maps.
        return [nn.Unflatten(1, (width, 1, 1)), nn.BatchNorm2d(width), nn.Flatten()] if norms else []

    first, last = nn.Linear(inputs, hidden, bias=not norms), nn.Linear(hidden, outputs, bias=not norms)
    head = nn.Sequential(first, *norm(hidden), nn.ReLU(), last, *norm(outputs))
    for name, weight in head.named_parameters():
        if weight.ndim > 1:  # He et al. 2015, as in the networks themselves; by name, as in `lower.weights`
            values = generator(seed, f"projector.{name}").standard_normal(weight.shape).astype("float32")
            weight.data = torch.from_numpy(values) * (2 / weight.shape[1]) ** 0.5
        elif name.endswith("bias"):
            nn.init.zeros_(weight)
    return head
