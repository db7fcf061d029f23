"""SimCLR, with either loss: both views go through one network, and the rest of the batch is the negatives."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from netlathe.arch.network import Network
from netlathe.lower.weights import Array
from netlathe.train.job import TrainingJob
from netlathe.train.ssl.encoder import build_encoder, build_projector, count_features
from netlathe.train.ssl.losses import nt_xent
from netlathe.train.ssl.method import Method
from netlathe.train.state import TrainingState


class SimCLRModule(nn.Module):
    """An encoder and its projector: (N, C, r, r) -> (N, outputs)."""

    def __init__(self, network: Network, method: Method, weights: Mapping[str, Array] | None, seed: int) -> None:
        super().__init__()
        width = count_features(network)
        self.encoder = build_encoder(network, weights, rules=method.recipe.regularise, seed=seed)
        self.projector = build_projector(width, width, method.outputs, norms=method.norms, seed=seed)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.projector(self.encoder(x))
        return y


def batch_loss(method: Method, job: TrainingJob, state: TrainingState, piece: tuple[Tensor, ...]) -> Tensor:
    """NT-Xent, or the decoupled loss, of two views (n, C, r, r)."""
    with job.autocast():
        y = state.run(torch.cat(piece))
    a, b = y.chunk(2)
    return nt_xent(a, b, method.temperature, decoupled=method.loss == "dcl")
