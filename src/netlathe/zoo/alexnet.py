"""AlexNet.

Krizhevsky et al. 2012, ImageNet Classification with Deep Convolutional Neural Networks, NeurIPS. Trained on two GPUs
of 3 GB: groups of 2 in the convolutions 2, 4 and 5 (`alexnet_grouped`, 227 pixels, local response normalisation).
Krizhevsky 2014, One weird trick, https://arxiv.org/abs/1404.5997, has one column without the normalisation; that net
is `alexnet`, as in torchvision.
"""

from __future__ import annotations

from netlathe.arch.build import conv, seq
from netlathe.arch.node import Node, Size, block
from netlathe.arch.pools import LocalNorm, Pool
from netlathe.zoo.blocks import dense_head
from netlathe.zoo.registry import Variant, variant

overlapping = Pool("max", 3, 2)  # section 3.4: windows of 3 at a stride of 2
local_norm = LocalNorm(5, alpha=5 * 1e-4, bias=2.0)  # section 3.3: n = 5, alpha = 1e-4, k = 2


@block
def layer(out: Size, kernel: int = 3, stride: int = 1, groups: Size = 1, padding: int | None = None) -> Node:
    """relu(conv(x) + b)."""
    return conv(out, kernel, stride, groups=groups, padding=padding, norm=None)


def alexnet(classes: int = 1000) -> Node:
    """One column: 64, 192, 384, 256, 256 channels."""
    return seq(
        stage1=layer(64, 11, 4, padding=2) >> overlapping,
        stage2=layer(192, 5) >> overlapping,
        stage3=seq(conv1=layer(384), conv2=layer(256), conv3=layer(256), pool=overlapping),
        head=dense_head(classes, grid=6),
    )


def alexnet_grouped(groups: int = 2, classes: int = 1000) -> Node:
    """The network of 2012: 96, 256, 384, 384, 256 channels; a group is what one GPU held."""
    return seq(
        stage1=layer(96, 11, 4, padding=0) >> local_norm >> overlapping,
        stage2=layer(256, 5, groups=groups) >> local_norm >> overlapping,
        stage3=seq(
            conv1=layer(384), conv2=layer(384, groups=groups), conv3=layer(256, groups=groups), pool=overlapping
        ),
        head=dense_head(classes),
    )


NETWORKS: dict[str, Variant] = {
    "alexnet": variant(alexnet),
    "alexnet_grouped": variant(alexnet_grouped, input=(3, 227, 227)),
}
