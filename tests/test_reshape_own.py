"""Rewrites reach networks that nobody here wrote, or say exactly what is missing."""

import pytest

from netlathe import zoo
from netlathe.arch.axes import Chunk
from netlathe.arch.build import concat, conv, depthwise, head, relu, residual, seq, stage
from netlathe.arch.combinators import Dag, Identity, Vertex
from netlathe.arch.joins import Mul, Upsample
from netlathe.arch.leaf import Times
from netlathe.arch.network import Network
from netlathe.arch.pools import Pool
from netlathe.cost.totals import totals
from netlathe.errors import NetlatheError
from netlathe.reshape.compound import Factors, compound, scale, total_stride
from netlathe.reshape.inner import inner
from netlathe.reshape.modernise import STEPS, ladder


def bottleneck(out, stride=1):
    body = {"squeeze": conv(out // 4), "process": conv(out // 4, 3, stride), "expand": conv(out, act=None)}
    return residual(**body, project=conv(out, 1, stride, act=None)) >> relu


def small(**parts):
    """Two stages of bottlenecks; `parts` replaces some."""
    stages = {"stage1": stage(bottleneck(64), 2), "stage2": stage(bottleneck(128), 2, first=bottleneck(128, 2))}
    body = {"stem": conv(16, 3, 2) >> Pool("max", 3, 2, padding=1), **stages, "head": head(10)}
    return Network("small", seq(**(body | parts)), (3, 64, 64))


def test_the_roadmap_reaches_a_network_of_two_stages():
    rungs = ladder(small())
    assert [rung.step for rung in rungs[2:]] == list(STEPS)
    assert all(totals(rung.network.body, rung.network.input).macs > 0 for rung in rungs)
    assert "stage2.block1.process" in {op.path for op in rungs[-1].network.graph().ops}


@pytest.mark.parametrize(
    ("network", "missing"),
    [
        (lambda: Network("plain", seq(stem=conv(16, 3), head=head(10)), (3, 32, 32)), "it has no part stage1"),
        (lambda: small(neck=conv(8)), "it has a part neck"),
        (lambda: small(stage2=bottleneck(128, 2)), r"stage2 is no stage\(block, depth\)"),
        (lambda: small(stage2=stage(bottleneck(96), 2)), "stage2 expands to 96, and not to 128"),
        (
            lambda: small(stage1=stage(residual(a=conv(16), b=conv(16, 3)), 2)),
            "stage1 has no residual block of squeeze",
        ),
        (lambda: small(head=seq(pool=Pool("avg", 8))), "head has no part classifier"),
    ],
)
def test_the_roadmap_says_what_a_network_lacks(network, missing):
    with pytest.raises(NetlatheError, match=missing) as caught:
        ladder(network())
    assert "seq(stem=conv(w, ...)" in caught.value.hint


def u_shaped():
    """Its halves meet again only where the side divides by 4."""
    up = seq(down=conv(8, 3, 2), up=Upsample(2))
    return Network("u", seq(stem=conv(8, 3, 2), join=concat(skip=Identity(), deep=up), head=head(5)), (3, 64, 64))


def test_a_side_that_a_network_does_not_take_snaps_to_its_total_stride():
    assert total_stride(u_shaped()) == 4
    assert scale(u_shaped(), Factors(1, 1, 1.15)).input == (3, 72, 72)  # 64 x 1.15 = 73.6, and 74 does not divide
    assert scale(zoo.get("efficientnet_b0"), compound(1)).input == (3, 258, 258)  # any side is one of its


def starnet(wide=3):
    """Ma et al. 2024: the product of two expansions, squeezed again."""
    star = Dag(
        1,
        (
            Vertex("a", conv(Times(wide)), ("in0",)),
            Vertex("b", conv(Times(wide), act=None), ("in0",)),
            Vertex("star", Mul(), ("a", "b")),
        ),
    )
    block = residual(process=depthwise(7, act=None), star=star, squeeze=conv(16, act=None))
    return Network("starnet", seq(stem=conv(16, 3, 2), stage1=stage(block, 2), head=head(5)), (3, 32, 32))


def test_the_knob_inner_reaches_the_branches_of_a_product():
    assert inner(starnet(), 2).body == starnet(6).body


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (seq(stem=conv(8, 3), head=head(5)), "it has no residual block"),
        (seq(stem=conv(8, 3), a=residual(f=conv(8, 3)), head=head(5)), "such as a, have no width of their own"),
        (
            seq(stem=conv(8, 3), a=residual(half=concat(x=Chunk(0), y=Chunk(1))), head=head(5)),
            "such as a, have no width",
        ),
    ],
)
def test_the_knob_inner_says_what_a_network_lacks(body, reason):
    with pytest.raises(NetlatheError, match=reason):
        inner(Network("own", body, (3, 16, 16)), 2)
