"""MoCo v2: a query finds its key among a queue of older keys; keys are made by a moving average of the network.

What the original does by shuffling between eight GPUs is done here by `key_groups`: a query's batch norms see the whole
batch, those of the keys only every g-th image of it, so that query and key do not share statistics that would give the
pair away (He et al. 2019, section 3.3). The groups of one process and of several are the same images.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from netlathe.arch.network import Network
from netlathe.lower.weights import Array, generator
from netlathe.train.job import TrainingJob
from netlathe.train.plan import TrainingPlan
from netlathe.train.ssl.losses import against_queue, gather
from netlathe.train.ssl.method import Method, queue_length
from netlathe.train.ssl.simclr import SimCLRModule
from netlathe.train.state import TrainingState

GROUP = 16  # images that the statistics of a key need at least


class MoCoModule(nn.Module):
    """Network, its slow copy, and the queue (K, outputs) of unit vectors with the place where the next key goes."""

    queue: Tensor
    place: Tensor

    def __init__(
        self,
        network: Network,
        method: Method,
        weights: Mapping[str, Array] | None,
        seed: int,
        plan: TrainingPlan,
        images: int,
    ) -> None:
        super().__init__()
        length = queue_length(method, plan.batch, images)
        self.query = SimCLRModule(network, method, weights, seed)
        self.key = deepcopy(self.query).requires_grad_(False)
        start = torch.from_numpy(generator(seed, "queue").standard_normal((length, method.outputs), "float32"))
        self.register_buffer("queue", F.normalize(start, dim=1))
        self.register_buffer("place", torch.zeros((), dtype=torch.long))
        norms = any(isinstance(part, _BatchNorm) for part in self.query.modules())
        self.groups = max(1, min(method.key_groups, plan.batch // GROUP)) if norms else 1

    @property
    def encoder(self) -> nn.Module:
        """What is kept."""
        return self.query.encoder

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Views (n, C, r, r) -> queries with, and keys without gradient (n, outputs)."""
        with torch.no_grad():
            last = b.is_contiguous(memory_format=torch.channels_last)
            layout = torch.channels_last if last else torch.contiguous_format
            starts = range(self.groups)
            parts = [self.key(b[i :: self.groups].contiguous(memory_format=layout)) for i in starts]
            keys = torch.empty(len(b), *parts[0].shape[1:], dtype=parts[0].dtype, device=b.device)
            for i, part in zip(starts, parts, strict=True):
                keys[i :: self.groups] = part
        return self.query(a), keys

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """The keys (N, outputs) of all processes in the place of the oldest."""
        keys = F.normalize(keys.float(), dim=1)[-len(self.queue) :]
        places = (self.place + torch.arange(len(keys), device=keys.device)) % len(self.queue)
        self.queue[places] = keys
        self.place.copy_((self.place + len(keys)) % len(self.queue))


def queue_loss(method: Method, job: TrainingJob, state: TrainingState, piece: tuple[Tensor, ...]) -> Tensor:
    """InfoNCE of this rank's queries; then the keys of all ranks join the queue."""
    module = state.module
    assert isinstance(module, MoCoModule)
    with job.autocast():
        queries, keys = state.run(*piece)
    loss = against_queue(queries, keys, module.queue.clone(), method.temperature)
    module.enqueue(gather(keys))
    return loss


def update_key_encoder(method: Method, state: TrainingState) -> None:
    """key = m key + (1 - m) query, after every step: equation 2 of He et al. 2019."""
    module = state.module
    assert isinstance(module, MoCoModule)
    move_towards(module.key.parameters(), module.query.parameters(), 1 - method.momentum)


@torch.no_grad()
def move_towards(slow: Iterable[Tensor], fast: Iterable[Tensor], share: float) -> None:
    """Each slow tensor goes a share of the way to its fast one. Running statistics of batch norms keep their own."""
    torch._foreach_lerp_(list(slow), list(fast), share)
