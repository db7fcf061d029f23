"""Residual branches by path: what stochastic depth and the zero initialisation of a branch have to find."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from netlathe.arch.combinators import Residual, Seq, Stage
from netlathe.arch.node import Node
from netlathe.arch.rewrite import join
from netlathe.errors import unknown


def branches(expression: Node) -> dict[str, str]:
    """The path of every residual sum, in order, with that of the block that it belongs to.

    Inside a stage, sums of one sequence are one block (a Transformer's attention and mlp); elsewhere each is its own.
    """

    def visit(node: Node, path: str, block: str | None) -> Iterator[tuple[str, str]]:
        if isinstance(node, Residual):
            yield join(path, "add"), path if block is None else block
        for name, child in node.children():
            here = join(path, name)
            inner = here if isinstance(node, Stage) else path if isinstance(node, Seq) and block is not None else block
            yield from visit(child, here, inner)

    return dict(visit(expression, "", None))


# The rate of block i of n, as a share of the largest. The two differ by one step: a network's recipe says which.
RAMPS: dict[str, Callable[[int, int], float]] = {
    "constant": lambda i, n: 1.0,
    "over_total": lambda i, n: i / n,  # EfficientNet in torchvision and timm
    "over_last": lambda i, n: i / max(n - 1, 1),  # ConvNeXt, Swin and ViT
}


def drop_rates(expression: Node, rate: float, ramp: str) -> dict[str, float]:
    """The probability of leaving out each branch, by the path of its sum. Raises NetlatheError for an unknown ramp."""
    if ramp not in RAMPS:
        raise unknown("ramp", ramp, RAMPS, code="torch.ramp")
    sums = branches(expression)
    blocks = list(dict.fromkeys(sums.values()))
    share = {block: RAMPS[ramp](i, len(blocks)) for i, block in enumerate(blocks)}
    return {path: rate * share[block] for path, block in sums.items()}
