"""LeNet-5.

LeCun et al. 1998, Gradient-Based Learning Applied to Document Recognition, Proc. IEEE 86(11), section II.B,
http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf. The original reads six maps through a table of partial
connections, subsamples with a trainable factor and measures the distance to fixed codes: 60,000 parameters.
`lenet5_modern` is what tutorials call LeNet: full connections, max pooling, a linear output.
"""

from __future__ import annotations

from netlathe.arch.build import concat, conv, relu, seq
from netlathe.arch.joins import Flatten, Rbf, Select
from netlathe.arch.layers import Act, Conv, Linear, Scale
from netlathe.arch.node import Node, Size, block
from netlathe.arch.pools import Pool
from netlathe.zoo.registry import Variant, variant

squash = Act("scaled_tanh")

# Table I of the paper: the maps of S2 that each of the 16 maps of C3 reads.
C3 = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (4, 5, 0), (5, 0, 1)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (3, 4, 5, 0), (4, 5, 0, 1), (5, 0, 1, 2)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)


@block
def dense(out: Size) -> Node:
    """squash(5x5 conv), without padding."""
    return conv(out, 5, padding=0, norm=None, act=squash)


@block
def partial() -> Node:
    """squash([5x5 conv of the maps in row j of the table, for every j])."""
    maps = {f"map{j}": seq(select=Select(row), conv=Conv(1, 5, padding=0, bias=True)) for j, row in enumerate(C3)}
    return seq(maps=concat(**maps), act=squash)


@block
def subsample() -> Node:
    """squash(w * mean of 2x2 + b), w and b one each a map."""
    return seq(pool=Pool("avg", 2), scale=Scale(bias=True), act=squash)


def lenet5(classes: int = 10) -> Node:
    """C1 S2 C3 S4 C5 F6 and radial basis functions, for 32x32 grey images."""
    return seq(
        c1=dense(6),
        s2=subsample(),
        c3=partial(),
        s4=subsample(),
        c5=dense(120),
        flatten=Flatten(),
        f6=seq(linear=Linear(84), act=squash),
        head=Rbf(classes),
    )


def lenet5_modern(classes: int = 10) -> Node:
    """Two convolutions with ReLU and max pooling, three linear layers."""
    return seq(
        stage1=conv(6, 5, padding=0, norm=None) >> Pool("max", 2),
        stage2=conv(16, 5, padding=0, norm=None) >> Pool("max", 2),
        flatten=Flatten(),
        head=seq(hidden1=Linear(120), act1=relu, hidden2=Linear(84), act2=relu, classifier=Linear(classes)),
    )


NETWORKS: dict[str, Variant] = {
    "lenet5": variant(lenet5, input=(1, 32, 32)),
    "lenet5_modern": variant(lenet5_modern, input=(1, 32, 32)),
}
