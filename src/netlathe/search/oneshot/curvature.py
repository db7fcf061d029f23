"""The dominant eigenvalue of a Hessian from Hessian-vector products: Lanczos' iteration.

Golub and Van Loan, Matrix Computations, section 10.1, every vector made orthogonal to all before it. For the Hessian of
the validation loss with respect to the architecture parameters it grows before a DARTS search collapses (Zela et al.
2020, https://arxiv.org/abs/1909.09656, section 4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

ENOUGH = 1e-3  # relative change of the eigenvalue at which to stop


def dominant_eigenvalue(
    loss: Callable[[], Tensor], parameters: Sequence[Tensor], *, steps: int = 12, seed: int = 0
) -> float:
    """The largest eigenvalue of the Hessian of a loss, by at most `steps` products, each of them a backward pass."""
    slopes = torch.autograd.grad(loss(), parameters, create_graph=True, materialize_grads=True)

    def product(vector: Tensor) -> Tensor:
        parts = torch.split(vector, [p.numel() for p in parameters])
        dot = sum(((g * v.view_as(g)).sum() for g, v in zip(slopes, parts, strict=True)), vector.new_zeros(()))
        if not dot.requires_grad:
            return torch.zeros_like(vector)
        products = torch.autograd.grad(dot, parameters, retain_graph=True, materialize_grads=True)
        return torch.cat([x.reshape(-1) for x in products])

    size = sum(p.numel() for p in parameters)
    start = torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return lanczos(lambda v: product(v.to(parameters[0])).double().cpu(), start, steps)


def lanczos(product: Callable[[Tensor], Tensor], start: Tensor, steps: int) -> float:
    """The largest eigenvalue of a symmetric matrix that is given by its products; float64 throughout."""
    basis = [start / start.norm()]
    diagonal: list[float] = []
    beside: list[float] = []
    value = float("nan")
    for _ in range(min(steps, len(start))):
        new = product(basis[-1])
        diagonal.append(float(new @ basis[-1]))
        side = torch.tensor(beside, dtype=torch.float64)
        matrix = torch.diag(torch.tensor(diagonal, dtype=torch.float64)) + torch.diag(side, 1) + torch.diag(side, -1)
        last, value = value, float(torch.linalg.eigvalsh(matrix)[-1])
        for _ in range(2):  # twice is enough (Kahan and Parlett)
            new = new - torch.stack(basis).T @ (torch.stack(basis) @ new)
        size = float(new.norm())
        scale = max(map(abs, diagonal))
        if size <= 1e-10 * scale or abs(value - last) <= ENOUGH * abs(value):
            break
        beside.append(size)
        basis.append(new / size)
    return value
