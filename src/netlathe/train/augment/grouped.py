"""The one way in which images of a batch are treated differently: those of a kind go together, a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from netlathe.errors import MissingExtra

try:
    import torch
    from torch import Tensor
except ImportError as error:
    raise MissingExtra("torch", "train") from error

Kind = TypeVar("Kind", bound=Hashable)
PIECE = 16 * 64 * 64  # pixels at a time: in floats of three channels most of a megabyte, which stays in a core's cache


def apply_grouped(x: Tensor, kinds: Iterable[Kind], operation: Callable[[Tensor, Kind, Tensor], Tensor]) -> Tensor:
    """Each image (first axis of x) through operation(images, kind, positions), in the same order as before.

    Positions are on the CPU, to look up what each image draws. Images are gathered, joined and gathered again: torch
    copies whole images so several times faster than it writes them to given places.
    """
    positions: dict[Kind, list[int]] = {}
    for at, kind in enumerate(kinds):
        positions.setdefault(kind, []).append(at)
    few = max(1, PIECE // (x[0].numel() // min(x.shape[1], x.shape[-1])))
    pieces = [
        (kind, piece) for kind, all_of_it in positions.items() for piece in torch.split(torch.tensor(all_of_it), few)
    ]
    results = [operation(x.index_select(0, at.to(x.device)), kind, at) for kind, at in pieces]
    return torch.cat(results).index_select(0, torch.cat([at for _, at in pieces]).argsort().to(x.device))
