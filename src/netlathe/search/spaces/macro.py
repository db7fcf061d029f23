"""NAS-Bench-Macro: eight layers of MobileNetV2 blocks, three options each, 6,561 networks trained on CIFAR-10.

Su et al. 2021, Prioritized Architecture Sampling with Monto-Carlo Tree Search, https://arxiv.org/abs/2103.11922, and
the released model, https://github.com/xiusu/NAS-Bench-Macro. Stages of 2, 3 and 3 layers; the first layer of a stage
halves the map and doubles the width, and identity is a 1x1 convolution there.
"""

from __future__ import annotations

from netlathe.arch.build import conv, depthwise, head, residual, seq
from netlathe.arch.combinators import Choice, Identity
from netlathe.arch.leaf import Times
from netlathe.arch.network import Network
from netlathe.arch.node import Node, Size, block
from netlathe.search.space import SearchSpace

STAGES = (2, 3, 3)
OPTIONS = ("identity", "mb3_k3", "mb6_k5")  # 0, 1, 2 in the published table


@block
def inverted(out: Size, expansion: int, kernel: int, stride: int) -> Node:
    """x + f(x), f = 1x1 expand, depthwise, linear 1x1 squeeze; f(x) alone where the shape changes."""
    body = seq(expand=conv(Times(expansion)), process=depthwise(kernel, stride), squeeze=conv(out, act=None))
    return residual(body, optional=True)


@block
def layer(number: int, out: Size, stride: int) -> Node:
    """The choice of one layer."""
    same = Identity() if stride == 1 else conv(out, 1, stride, act=None)
    return Choice(OPTIONS, (same, inverted(out, 3, 3, stride), inverted(out, 6, 5, stride)), f"layer{number}")


def macro(width: int = 32, classes: int = 10) -> SearchSpace:
    """The space; decision `layer3` is the third digit of the published names."""
    stages: dict[str, Node] = {}
    number = 0
    for i, depth in enumerate(STAGES, 1):
        layers = {f"block{j + 1}": layer(number + j + 1, width * 2**i, 1 if j else 2) for j in range(depth)}
        stages[f"stage{i}"] = seq(**layers)
        number += depth
    body = seq(stem=conv(width, 3), **stages, top=conv(1280), head=head(classes))
    return SearchSpace("macro", Network("macro", body, (3, 32, 32)))
