"""Leaves that move numbers about and multiply values: small networks of the papers that need them keep all laws."""

import pytest
import torch

from netlathe.arch.axes import Chunk, Fold, Heads, Join, Multiply, RowAttention, Shuffle, Transpose, Unfold
from netlathe.arch.build import concat, conv, depthwise, head, residual, seq
from netlathe.arch.combinators import Dag, Identity, Vertex
from netlathe.arch.graph import graph
from netlathe.arch.joins import Mul, Select, Subtract
from netlathe.arch.layers import Act, Linear, Norm
from netlathe.arch.leaf import Times
from netlathe.arch.network import Network
from netlathe.arch.pools import GlobalPool, Pool
from netlathe.arch.tokens import Tokens
from netlathe.cost.totals import totals
from netlathe.errors import NetlatheError, ShapeError
from netlathe.lower.torch import to_torch
from netlathe.reshape.width import width
from netlathe.testing import conformance

IMAGE = (3, 16, 16)


def mixer():
    """Tolstikhin et al. 2021: an MLP over tokens, then one over channels."""
    mlp = lambda inner: seq(Norm("layer"), Linear(inner), Act("gelu"), Linear(8))  # noqa: E731
    tokens = seq(Norm("layer"), Transpose(), Linear(6), Act("gelu"), Linear(16), back=Transpose())
    return seq(patches=conv(8, 4, 4, padding=0), tokens=Tokens(), mix=residual(tokens), mlp=residual(mlp(12)),
               pool=GlobalPool(), classifier=Linear(5))  # fmt: skip


def shufflenet():
    """Ma et al. 2018: half of the channels pass, half are processed, then all are shuffled."""
    branch = seq(half=Chunk(1), squeeze=conv(None), process=depthwise(), expand=conv(None))
    return seq(stem=conv(8, 3, 2), unit=concat(passed=Chunk(0), branch=branch), shuffle=Shuffle(2), head=head(5))


def linear_attention():
    """Katharopoulos et al. 2020: q (k^T v), by head, with positive q and k."""
    part = lambda i: seq(part=Chunk(i, 3), heads=Heads(2))  # noqa: E731
    positive = lambda i: part(i) >> Act("relu")  # noqa: E731
    attend = Dag(
        1,
        (
            Vertex("q", positive(0), ("in0",)),
            Vertex("k", positive(1), ("in0",)),
            Vertex("v", part(2), ("in0",)),
            Vertex("kv", Multiply("first"), ("k", "v")),
            Vertex("y", Multiply(), ("q", "kv")),
            Vertex("join", Join(), ("y",)),
        ),
    )
    return seq(patches=conv(8, 4, 4, padding=0), tokens=Tokens(), qkv=Linear(24), attend=attend, classifier=Linear(5))


def mobilevit():
    """Mehta and Rastegari 2021: local convolutions, attention between the patches, and back to the map."""
    attend = seq(
        unfold=Unfold(2), norm=Norm("layer"), qkv=Linear(Times(3)), attention=RowAttention(2), out=Linear(None)
    )
    block = Dag(
        1,
        (
            Vertex("local", conv(8, 3), ("in0",)),
            Vertex("attend", attend, ("local",)),
            Vertex("fold", Fold(2), ("attend", "local")),
        ),
    )
    return seq(stem=conv(8, 3, 2), block=block, head=head(5))


def differences():
    """Two maps whose difference, gated by one of them, is classified."""
    block = Dag(
        1,
        (
            Vertex("a", conv(4, 3), ("in0",)),
            Vertex("b", seq(pool=Pool("avg", 3, 1, padding=1), conv=conv(4)), ("in0",)),
            Vertex("minus", Subtract(), ("a", "b")),
            Vertex("times", Mul(), ("minus", "a")),
        ),
    )
    return seq(block=block, head=head(5))


NETWORKS = [mixer, shufflenet, linear_attention, mobilevit, differences]


@pytest.mark.parametrize("build", NETWORKS, ids=lambda build: build.__name__)
def test_the_laws_hold(build):
    conformance(Network(build.__name__, build(), IMAGE))


def test_products_are_counted_as_they_are_multiplied():
    ops = {op.path: op for op in graph(linear_attention(), IMAGE).ops}
    assert [ops[f"attend.{name}"].macs for name in ("kv", "y")] == [2 * 4 * 16 * 4, 2 * 16 * 4 * 4]
    rows = next(op for op in graph(mobilevit(), IMAGE).ops if op.kind == "attention")
    assert (rows.in_shapes, rows.macs, rows.inner) == (((1, 4, 16, 24),), 2 * 4 * 16 * 16 * 8, 2 * 4 * 16 * 16)


def test_channels_are_shuffled_as_torch_shuffles_them():
    x = torch.arange(12.0).view(1, 12, 1, 1)
    net = Network("shuffle", seq(shuffle=Shuffle(3)), (12, 1, 1))
    assert torch.equal(to_torch(net)(x), torch.nn.ChannelShuffle(3)(x))


def test_folding_gives_back_what_was_unfolded():
    body = Dag(
        1, (Vertex("x", Identity(), ("in0",)), Vertex("rows", Unfold(2), ("x",)), Vertex("map", Fold(2), ("rows", "x")))
    )
    x = torch.randn(1, 3, 4, 6)
    assert torch.equal(to_torch(Network("fold", body, (3, 4, 6)))(x), x)
    rows = to_torch(Network("unfold", seq(rows=Unfold(2)), (3, 4, 6)))(x)
    assert torch.equal(rows[0, 1, 0], x[0, :, 0, 1])  # the second place of the first patch


def test_parts_of_channels_follow_a_width_that_changes():
    """ShuffleNet's unit at twice the width splits twice as many channels."""
    net = width(Network("shufflenet", shufflenet(), IMAGE), 2)
    paths = {op.path: op.out_shape[0] for op in net.graph().ops}
    assert (paths["unit.passed"], paths["unit.branch.expand.conv"], paths["shuffle"]) == (8, 8, 16)
    assert totals(net.body, IMAGE).params > totals(shufflenet(), IMAGE).params


def test_channels_by_number_do_not_follow_and_the_knob_says_so():
    half = seq(stem=conv(8, 3, 2), half=Select((0, 1, 2, 3)), head=head(5))
    with pytest.raises(NetlatheError, match=r"selected by number from 8, of which there would be 16.*\n.*Chunk"):
        width(Network("half", half, IMAGE), 2)


@pytest.mark.parametrize(
    ("leaf", "shapes", "message"),
    [
        (Transpose(), [(3, 4, 4)], "orders 2 axes"),
        (Chunk(0, 2), [(3, 4, 4)], "3 cannot be split into 2 parts"),
        (Shuffle(2), [(3, 4, 4)], "3 cannot be split into 2 groups"),
        (Heads(3), [(4, 8)], "8 cannot be split into 3 heads"),
        (Unfold(2), [(3, 4, 5)], "5 cannot be split into 2 patches"),
        (Fold(2), [(1, 4, 4, 3), (3, 4, 6)], "cannot fold"),
        (Multiply(), [(2, 3), (2, 3)], "cannot multiply"),
        (Subtract(), [(2, 3), (3, 2)], "cannot subtract"),
    ],
)
def test_shapes_that_do_not_fit_are_named(leaf, shapes, message):
    with pytest.raises(ShapeError, match=message):
        leaf.out(*shapes)
