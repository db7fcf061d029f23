"""A choice keeps every limit, names ties and reasons, and what would admit a better network."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from chosen import A, candidate, measured
from command import netlathe
from hypothesis import assume, given
from hypothesis import strategies as st

from netlathe.arch.network import Network
from netlathe.choose.budget import Budget
from netlathe.choose.decide import binding, decide, noise, pareto_candidates, tied
from netlathe.stats.pareto import dominates

B = candidate("medium", 70.0, 5.0)
C = candidate("large", 80.0, 20.0, macs=1000, size=100, memory=200)
D = candidate("slow", 69.0, 9.0)


def test_the_front_leaves_out_what_is_dominated():
    assert pareto_candidates([A, B, C, D]) == [C, B, A]


def test_the_most_accurate_that_fits_is_picked():
    decision = decide([A, B, C, D], Budget(latency=10))
    assert decision.pick == B
    assert decision.fitting == [A, B, D]
    assert decision.cheaper == A


def test_the_upper_end_of_the_interval_has_to_fit():
    assert decide([A, B], Budget(latency=5.05)).pick == A
    assert decide([A, B], Budget(latency=5.2)).pick == B


def test_among_accuracies_tied_within_noise_the_fastest_is_picked():
    close = candidate("close", 70.2, 8.0)
    decision = decide([A, B, close], Budget(latency=10))
    assert tied(B, close)
    assert decision.pick == B
    assert decision.ties == [close]


def test_noise_is_the_binomial_interval_of_50000_images():
    assert noise(76.13) == pytest.approx(0.3737, abs=1e-4)
    assert not tied(A, B)


def test_each_limit_that_alone_would_admit_a_better_network_is_named_with_its_price():
    decision = decide([A, B, C], Budget(latency=10))
    (latency,) = decision.relaxations
    assert (latency.limit.name, latency.candidate, latency.gain) == ("latency", C, 10.0)
    assert latency.value == pytest.approx(20.4)
    assert binding(decision, Budget(latency=10)) == latency


def test_the_binding_limit_is_the_one_with_the_smallest_relative_step():
    big = candidate("big", 75.0, 4.0, size=11)
    late = candidate("late", 75.0, 9.0)
    budget = Budget(latency=6, size=10)
    assert binding(decide([A, B, big, late], budget), budget).limit.name == "size"


def test_a_network_beyond_two_limits_is_no_single_step():
    assert decide([A, B, C], Budget(latency=10, size=50)).relaxations == []


def test_nothing_fits_and_every_single_way_out_is_named():
    decision = decide([A, B], Budget(size=1))
    assert decision.pick is None
    assert [(r.limit.name, r.value, r.candidate) for r in decision.relaxations] == [("size", 5, A)]


def test_a_failed_measurement_never_fits():
    crashed = replace(C, latency=measured(1.0, failure="the worker was killed by SIGSEGV"))
    assert decide([A, crashed], Budget(macs=10**9)).pick == A


@given(
    st.lists(
        st.tuples(st.floats(50, 90), st.floats(0.1, 100), st.integers(1, 99), st.integers(1, 99)),
        min_size=1,
        max_size=12,
    ),
    st.floats(0.1, 100),
    st.integers(1, 99),
)
def test_a_decision_is_always_legal(rows, latency, size):
    pool = [candidate(f"n{i}", top1, ms, size=s, memory=m) for i, (top1, ms, s, m) in enumerate(rows)]
    budget = Budget(latency=latency, size=size)
    decision = decide(pool, budget)
    assert all(not budget.broken(c) for c in decision.fitting)
    for r in decision.relaxations:
        relaxed = replace(budget, **{r.limit.name: r.value})
        assert decide(pool, relaxed).pick is not None
        if decision.pick:
            assert decide(pool, relaxed).pick.top1 > decision.pick.top1 - noise(90)
    best = pareto_candidates(pool)
    places = [(-c.top1, c.latency_ms, c.memory_bytes) for c in best]
    assert not any(dominates(a, b) for a in places for b in places)
    assert all(a.top1 >= b.top1 for a, b in pairwise(best))
    assume(decision.pick is not None)
    assert all(
        c.top1 <= decision.pick.top1 or tied(c, max(decision.fitting, key=lambda c: c.top1)) for c in decision.fitting
    )


def test_choose_asks_each_network_for_its_graph_once(monkeypatch):
    asked, graph = Counter(), Network.graph

    def counted(network):
        asked[network.name, network.input] += 1
        return graph(network)

    monkeypatch.setattr(Network, "graph", counted)
    words = ("choose", "--device", "rpi-5", "--latency", "100ms", "--networks", "mobilenetv1*", "--from", "zoo")
    netlathe(*words)
    assert not asked  # the table of published networks has what their graphs would say
    monkeypatch.setattr("netlathe.sources.source.has_rules", lambda runtime: False)
    netlathe(*words)
    assert len(asked) > 2
    assert set(asked.values()) == {1}
