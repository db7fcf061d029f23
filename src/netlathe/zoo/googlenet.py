"""GoogLeNet (Inception v1).

Szegedy et al. 2015, Going Deeper with Convolutions, https://arxiv.org/abs/1409.4842, Table 1. `googlenet` is
torchvision's variant: batch norm, and 3x3 where the paper has 5x5 (https://github.com/pytorch/vision/issues/906).
`googlenet_paper` has the true 5x5, biases and local response normalisation. Both carry the two auxiliary classifiers,
which are read only in a training graph.
"""

from __future__ import annotations

from typing import NamedTuple

from netlathe.arch.build import concat, conv, head, relu, seq
from netlathe.arch.combinators import Seq, Side
from netlathe.arch.joins import Flatten
from netlathe.arch.layers import Linear, Norm
from netlathe.arch.node import Node, Size, block
from netlathe.arch.pools import AdaptivePool, LocalNorm, Pool
from netlathe.zoo.registry import Variant, variant


class InceptionRow(NamedTuple):
    """A row of Table 1: #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj."""

    point: int
    squeeze3: int
    three: int
    squeeze5: int
    five: int
    pool: int


TABLE = {
    "3a": InceptionRow(64, 96, 128, 16, 32, 32),
    "3b": InceptionRow(128, 128, 192, 32, 96, 64),
    "4a": InceptionRow(192, 96, 208, 16, 48, 64),
    "4b": InceptionRow(160, 112, 224, 24, 64, 64),
    "4c": InceptionRow(128, 128, 256, 24, 64, 64),
    "4d": InceptionRow(112, 144, 288, 32, 64, 64),
    "4e": InceptionRow(256, 160, 320, 32, 128, 128),
    "5a": InceptionRow(256, 160, 320, 32, 128, 128),
    "5b": InceptionRow(384, 192, 384, 48, 128, 128),
}
torchvision_norm = Norm("batch", eps=1e-3)


@block
def layer(out: Size, kernel: int = 1, stride: int = 1, original: bool = False) -> Seq:
    """relu(conv(x)), with batch norm in torchvision's variant."""
    return conv(out, kernel, stride, norm=None if original else torchvision_norm)


@block
def inception(row: InceptionRow, original: bool = False) -> Node:
    """[1x1, 1x1 -> 3x3, 1x1 -> 5x5, max pool -> 1x1]."""
    return concat(
        point=layer(row.point, original=original),
        three=seq(squeeze=layer(row.squeeze3, original=original), process=layer(row.three, 3, original=original)),
        five=seq(
            squeeze=layer(row.squeeze5, original=original),
            process=layer(row.five, 5 if original else 3, original=original),
        ),
        pool=seq(pool=Pool("max", 3, 1, padding=1), project=layer(row.pool, original=original)),
    )


@block
def auxiliary(classes: Size, original: bool = False) -> Node:
    """linear(relu(linear(1x1 conv of a 4x4 mean))): a classifier half way, for training only."""
    return Side(
        seq(
            pool=Pool("avg", 5, 3) if original else AdaptivePool(4),
            squeeze=layer(128, original=original),
            flatten=Flatten(),
            hidden=Linear(1024),
            act=relu,
            classifier=Linear(classes),
        )
    )


@block
def stem(original: bool = False) -> Node:
    """7x7 /2, max pool /2, 1x1, 3x3, max pool /2."""
    down = Pool("max", 3, 2, ceil=True)
    first, last = ({"norm1": LocalNorm()}, {"norm2": LocalNorm()}) if original else ({}, {})
    return seq(
        first=layer(64, 7, 2, original=original),
        pool1=down,
        **first,
        squeeze=layer(64, original=original),
        process=layer(192, 3, original=original),
        **last,
        pool2=down,
    )


def googlenet(original: bool = False, classes: int = 1000) -> Node:
    """Nine inception modules, auxiliary classifiers after 4a and 4d."""
    module = {name: inception(row, original) for name, row in TABLE.items()}
    aux = auxiliary(classes, original)
    return seq(
        stem=stem(original),
        stage3=seq(a=module["3a"], b=module["3b"], pool=Pool("max", 3, 2, ceil=True)),
        stage4=seq(
            a=module["4a"],
            aux1=aux,
            b=module["4b"],
            c=module["4c"],
            d=module["4d"],
            aux2=aux,
            e=module["4e"],
            pool=Pool("max", 3 if original else 2, 2, ceil=True),
        ),
        stage5=seq(a=module["5a"], b=module["5b"]),
        head=head(classes),
    )


NETWORKS: dict[str, Variant] = {
    "googlenet": variant(googlenet),
    "googlenet_paper": variant(googlenet, original=True),
}
