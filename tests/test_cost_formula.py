"""The symbolic reading: formulas of blocks and networks in widths, kernel and resolution."""

from __future__ import annotations

import sys
from fractions import Fraction

import pytest
import sympy

from netlathe import zoo
from netlathe.arch.build import conv, depthwise, seq
from netlathe.arch.graph import graph
from netlathe.arch.layers import Conv
from netlathe.cost.count import count
from netlathe.cost.formula import formula, odd_symbol, symbols
from netlathe.errors import MissingExtra
from netlathe.zoo.resnet import bottleneck, resnet

C_in, C_out, H, W, wide, m, w, n = symbols("C_in C_out H W wide m w n")
k = odd_symbol("k")


def test_a_separable_convolution_costs_1_over_width_plus_1_over_kernel_squared() -> None:
    standard = formula(Conv(C_out, k), (C_in, H, W)).macs
    thin, point = depthwise(k, norm=None, act=None), conv(C_out, norm=None, act=None)
    separable = formula(seq(depthwise=thin, pointwise=point), (C_in, H, W)).macs
    ratio = sympy.simplify(separable / standard)
    assert ratio == 1 / C_out + 1 / k**2
    assert 1 / ratio.subs({k: 3, C_out: 256}) == Fraction(2304, 265)
    assert round(2304 / 265, 3) == 8.694


def test_bottleneck_against_two_dense_convolutions() -> None:
    squeezed = formula(bottleneck(wide, m), (wide, H, W)).weights
    dense = formula(seq(a=Conv(256, 3), b=Conv(256, 3)), (256, H, W)).weights
    assert squeezed == 2 * wide * m + 9 * m**2
    assert (squeezed.subs({wide: 256, m: 64}), dense) == (69_632, 1_179_648)


def test_doubling_the_middle_width_multiplies_a_bottleneck_by_3_059() -> None:
    weights = formula(bottleneck(256, m), (256, H, W)).weights
    assert weights.subs(m, 128) == 212_992
    assert round(float(weights.subs(m, 128) / weights.subs(m, 64)), 3) == 3.059


def test_params_with_norm_and_macs_of_a_bottleneck() -> None:
    found = formula(bottleneck(wide, m), (wide, H, W))
    assert found.params.subs({wide: 256, m: 64}) == 70_400
    assert found.macs == sympy.expand(H * W * found.weights)
    assert found.shape == (wide, H, W)


def test_resnet50_in_its_width_is_the_count_at_64() -> None:
    found = formula(resnet((3, 4, 6, 3), width=w, group_width=w), (3, 224, 224))
    cost = count(zoo.get("resnet50").graph())
    assert [value.subs(w, 64) for value in (found.params, found.weights, found.macs, found.acts)] == [
        cost.params, cost.weights, cost.macs, cost.acts,
    ]  # fmt: skip


def test_resnet50_in_its_resolution_is_the_count_at_any() -> None:
    macs = formula(zoo.get("resnet50").body, (3, n, n)).macs
    for resolution in (97, 160, 224):
        assert macs.subs(n, resolution) == count(zoo.get("resnet50", resolution=resolution).graph()).macs


def test_the_largest_resolution_that_fits_a_budget_can_be_solved_for() -> None:
    macs = formula(zoo.get("resnet50").body, (3, 32 * n, 32 * n)).macs
    assert sympy.degree(macs, n) == 2
    x = sympy.Symbol("x", positive=True)  # n is whole, and the root is not
    largest = 32 * int(sympy.floor(max(sympy.solve(macs.subs(n, x) - 2_000_000_000, x))))
    assert count(zoo.get("resnet50", resolution=largest).graph()).macs <= 2_000_000_000
    assert count(zoo.get("resnet50", resolution=largest + 32).graph()).macs > 2_000_000_000


def test_grouping_divides_the_kernel_by_the_cardinality() -> None:
    (g,) = symbols("g")
    grouped = formula(Conv(g * m, 3, groups=g), (g * m, H, W)).weights
    assert sympy.simplify(grouped / formula(Conv(g * m, 3), (g * m, H, W)).weights) == 1 / g


def test_intensity_in_batch_width_and_precision() -> None:
    batch, b = symbols("B b")
    cost = count(graph(Conv(C_out, 3), (C_in, H, W)))
    moved = batch * H * W * (C_in + C_out) + 9 * C_in * C_out
    assert sympy.simplify(cost.intensity(b, batch) - 2 * batch * H * W * 9 * C_in * C_out / (b * moved)) == 0
    thin = count(graph(Conv(None, 3, group_width=1), (C_in, H, W)))
    assert sympy.limit(thin.intensity(b, batch), batch, sympy.oo) == 9 / b


def test_without_sympy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sympy", None)
    with pytest.raises(MissingExtra, match="algebra"):
        formula(Conv(8), (3, 4, 4))
