"""Contrastive losses: each view finds the other view of its image among the views of other images.

N is the number of images in the batch of all processes, n those of this one; projections have shape (n, d) and need not
be of unit length. All losses are means over this process's views, in float32.
"""

from __future__ import annotations

from math import log
from typing import Any

from netlathe.errors import MissingExtra

try:
    import torch
    import torch.distributed as dist
    from torch import Tensor
    from torch.nn import functional as F
except ImportError as error:
    raise MissingExtra("torch", "train") from error


def nt_xent(a: Tensor, b: Tensor, temperature: float, *, decoupled: bool = False) -> Tensor:
    """The loss of two views of the same images, both ways.

    SimCLR, Chen et al. 2020, https://arxiv.org/abs/2002.05709, equation 1: -log of exp(s / t) of the positive over the
    sum of exp(s / t) over the positive and the 2N - 2 negatives, s the cosine. Decoupled, the positive leaves the sum
    (Yeh et al. 2022, https://arxiv.org/abs/2110.06848), so that an easy positive does not silence the negatives of a
    small batch; this loss may be negative.
    """
    a, b = F.normalize(a.float(), dim=1), F.normalize(b.float(), dim=1)
    everyone = [gather(a), gather(b)]
    count, total = len(a), len(everyone[0])
    rows = torch.arange(2 * count, device=a.device)
    here = torch.arange(count, device=a.device) + rank() * count
    own, partner = torch.cat([here, here + total]), torch.cat([here + total, here])
    scores = torch.cat([a, b]) @ torch.cat(everyone).T / temperature
    positive = scores[rows, partner]
    left_out = torch.zeros_like(scores, dtype=torch.bool)
    left_out[rows, own] = True
    if decoupled:
        left_out[rows, partner] = True
    return (scores.masked_fill(left_out, -torch.inf).logsumexp(1) - positive).mean()


def against_queue(queries: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """InfoNCE of queries against their keys and a queue (K, d) of older ones, which are the negatives.

    He et al. 2019, Momentum Contrast, https://arxiv.org/abs/1911.05722, equation 1.
    """
    queries, keys = F.normalize(queries.float(), dim=1), F.normalize(keys.float(), dim=1)
    scores = torch.cat([(queries * keys).sum(1, keepdim=True), queries @ queue.T], 1) / temperature
    return F.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.long, device=scores.device))


def chance_loss(loss: str, batch: int, queue: int = 0) -> float:
    """The value of a loss where all views look alike: the logarithm of the number of candidates.

    `batch` images a step, `queue` keys in the queue.
    """
    return log({"nt-xent": 2 * batch - 1, "dcl": 2 * batch - 2, "queue": queue + 1}[loss])


def rank() -> int:
    """The number of this process among those that share the batch."""
    return dist.get_rank() if is_shared() else 0


def is_shared() -> bool:
    """Whether several processes share the batch."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def gather(x: Tensor) -> Tensor:
    """The tensors of all processes, in their order: (n, d) -> (N, d); gradients flow back to each."""
    return GatherFunction.apply(x) if is_shared() else x  # type: ignore[no-untyped-call]


class GatherFunction(torch.autograd.Function):
    """all_gather; the gradient of a process's tensor is the sum of what it got everywhere."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        return gradient.chunk(dist.get_world_size())[dist.get_rank()]
