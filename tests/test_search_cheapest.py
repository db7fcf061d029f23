"""What members of a space cost, and why a budget holds none of them."""

import numpy as np
import pytest

from netlathe.cost.memory import memory
from netlathe.cost.totals import totals
from netlathe.errors import Infeasible, NetlatheError
from netlathe.search import cheapest, spaces


def test_costs_are_those_of_the_decoded_network():
    space = spaces.get("macro")
    genotype = (2, 2, 2, 1, 2, 2, 0, 2)
    network = space.decode(genotype)
    counted = totals(network.body, network.input)
    assert cheapest.member_cost(space, genotype, "macs") == counted.macs == 85_164_544
    assert cheapest.member_cost(space, genotype, "params") == counted.params == 1_985_514
    assert cheapest.member_cost(space, genotype, "size", "int8") == counted.params
    assert cheapest.member_cost(space, genotype, "memory") == memory(network.graph()).folded
    with pytest.raises(NetlatheError, match="unknown cost 'flops'"):
        cheapest.member_cost(space, genotype, "flops")


def test_the_least_of_a_small_space_is_proved_and_a_descent_finds_it_too():
    space = spaces.get("macro")
    for name in ("macs", "params"):
        listed, descended = cheapest.cheapest_member(space, name), cheapest.cheapest_member(space, name, listed=0)
        assert listed.proved
        assert not descended.proved
        assert descended.value == listed.value
        assert descended.looked_at < 200 < listed.looked_at == 6561


def test_a_descent_opens_and_closes_nested_decisions():
    space = spaces.get("ofa", widths=(1.0,), resolutions=(128, 160))
    found = cheapest.cheapest_member(space, "macs")
    assert not found.proved
    rng = np.random.default_rng(0)
    assert all(cheapest.member_cost(space, space.sample(rng), "macs") >= found.value for _ in range(50))
    assert space.options(found.genotype)["stage1.depth"] == "2"


def test_a_budget_without_members_is_explained():
    space = spaces.get("macro")
    error = cheapest.explain_infeasible(space, {"macs": 5e6})
    assert isinstance(error, Infeasible)
    assert "macs <= 5 M MACs: the smallest has 7.713 M MACs (macro-00000000)" in str(error)
    assert "all 6,561 members were looked at" in str(error)
    assert cheapest.explain_infeasible(space, {"macs": 8e6}) is None
    assert cheapest.explain_infeasible(space, {}) is None


def test_every_limit_has_its_line():
    space = spaces.get("around:resnet20", depth=(), inner=(), width=(0.5, 1, 2), resolution=(16, 32))
    error = str(cheapest.explain_infeasible(space, {"macs": 1e6, "params": 100e3}))
    assert "macs <= 1 M MACs: the smallest has" in error
    assert "params <= 100 k params: the smallest has" in error
    assert "nearest to all together" in error


def test_what_a_descent_did_not_find_is_not_claimed():
    error = str(cheapest.explain_infeasible(spaces.get("ofa"), {"macs": 10e6}))
    assert "was found that keeps the limits" in error
    assert "the smallest found has 41.48 M MACs" in error
    assert "there may be others" in error


def test_limits_that_mean_nothing_are_refused():
    with pytest.raises(NetlatheError, match="must be positive"):
        cheapest.explain_infeasible(spaces.get("macro"), {"macs": 0})
    with pytest.raises(NetlatheError, match="unknown cost"):
        cheapest.explain_infeasible(spaces.get("macro"), {"latency": 5})
