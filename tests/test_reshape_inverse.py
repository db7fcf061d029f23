"""The formulas of docs/inverse_forms.md are what is counted, for any sizes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netlathe.arch.graph import graph
from netlathe.cost.formula import odd_symbol, symbols
from netlathe.errors import NetlatheError
from netlathe.reshape.inverse import INNER, affordable, balance, block, cost, operator, share

C, M, K = *symbols("c m"), odd_symbol("k")
SIZES = {
    "c": st.integers(1, 64),
    "m": st.integers(1, 64),
    "k": st.sampled_from((1, 3, 5, 7)),
    "side": st.integers(1, 9),
}


def counted(inner, c, m, k, side=1):
    """MACs by part of the block."""
    return {op.path: op.macs for op in graph(block(inner, c, m, k), (c, side, side)).ops}


@settings(max_examples=40)
@given(st.sampled_from(sorted(INNER)), *SIZES.values())
def test_the_cost_of_a_position_is_the_formula(inner, c, m, k, side):
    formula = cost(inner).subs({C: c, M: m, K: k})
    assert sum(counted(inner, c, m, k, side).values()) == formula * side**2
    assert counted(inner, c, m, k, side).get("process", 0) == operator(inner).subs({C: c, M: m, K: k}) * side**2


@settings(max_examples=20)
@given(st.integers(1, 8), st.sampled_from((3, 5)))
def test_at_the_balance_the_dense_operator_costs_as_much_as_the_pointwise_parts(m, k):
    c = k * k * m  # so that 2 c / k^2 is a whole number
    assert balance("dense").subs({C: c, K: k}) == 2 * m
    parts = counted("dense", c, 2 * m, k)
    assert parts["process"] == parts["widen"] + parts["narrow"]


@settings(max_examples=20)
@given(SIZES["c"], SIZES["m"], SIZES["k"])
def test_the_share_of_a_depthwise_operator_does_not_depend_on_the_width(c, m, k):
    parts = counted("depthwise", c, m, k)
    assert parts["process"] / sum(parts.values()) == pytest.approx(float(share("depthwise").subs({C: c, K: k})))
    assert M not in share("depthwise").free_symbols
    assert balance("depthwise") is None


@settings(max_examples=20)
@given(st.sampled_from(sorted(INNER)), st.integers(2, 64), st.sampled_from((3, 5)), st.integers(100, 100_000))
def test_the_affordable_width_is_the_widest_within_the_budget(inner, c, k, budget):
    most = int(affordable(inner, budget).subs({C: c, K: k}) + 1e-9)
    if most:
        assert sum(counted(inner, c, most, k).values()) <= budget
    assert sum(counted(inner, c, most + 1, k).values()) > budget


def test_an_unknown_operator_is_refused():
    with pytest.raises(NetlatheError, match="unknown inner operator 'grouped'"):
        cost("grouped")
