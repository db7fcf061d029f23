"""A choice keeps every limit, names ties and reasons, and answers an impossible budget with a possible one."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from netlathe import zoo
from netlathe.bench.measurement import Measurement
from netlathe.choose import run as choosing
from netlathe.choose.budget import Budget, Candidate
from netlathe.choose.decide import binding, decide, dominates, front, noise, tied
from netlathe.choose.run import Conditions, candidates, choose, nearest_budget
from netlathe.zoo.published import Figure

NETWORK = zoo.get("lenet5_modern")


def measured(median, rough=False, failure=None):
    return Measurement(
        network="n", key="k", input=(3, 1, 1), device="d", cpu="c", cores=1, flags=(), runtime="onnxruntime",
        runtime_version="1", threads=1, precision="fp32", batch=1, seed=0, date="2026-01-01T00:00:00+00:00",
        median_ms=median, low_ms=median * 0.98, high_ms=median * 1.02, min_ms=median * 0.95,
        rough=rough, failure=failure,
    )  # fmt: skip


def candidate(name, top1, ms, *, macs=100, size=10, memory=20):
    figure = Figure(name, 224, None, None, top1, None, "some recipe", 1, False, "somewhere", "")
    latency = measured(ms) if ms else None
    return Candidate(replace(NETWORK, name=name, input=(3, 224, 224)), figure, macs, size, memory, latency)


A = candidate("small", 60.0, 2.0, macs=50, size=5, memory=10)
B = candidate("medium", 70.0, 5.0)
C = candidate("large", 80.0, 20.0, macs=1000, size=100, memory=200)
D = candidate("slow", 69.0, 9.0)


def test_the_front_leaves_out_what_is_dominated():
    assert front([A, B, C, D]) == [C, B, A]


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
    best = front(pool)
    assert not any(dominates(a, b) for a in best for b in best)
    assert all(a.top1 >= b.top1 for a, b in pairwise(best))
    assume(decision.pick is not None)
    assert all(
        c.top1 <= decision.pick.top1 or tied(c, max(decision.fitting, key=lambda c: c.top1)) for c in decision.fitting
    )


def test_candidates_are_the_published_pairs_of_network_and_resolution():
    found = {c.name: c for c in candidates("mobilenetv1*")}
    assert {"mobilenetv1", "mobilenetv1@160", "mobilenetv1_025@128"} <= found.keys()
    small = found["mobilenetv1_025@128"]
    assert small.macs == 13_570_048
    assert small.size_bytes == 4 * (470_072 + 5_472)
    assert small.memory_bytes > small.size_bytes
    assert all(not c.figure.extra_data and c.figure.crops == 1 for c in found.values())


def test_a_recipe_restricts_the_accuracies():
    best = {c.name: c.top1 for c in candidates("resnet50")}["resnet50"]
    plain = {c.name: c.top1 for c in candidates("resnet50", recipe="pycls")}["resnet50"]
    assert plain == 76.8 < best


@pytest.fixture
def bench(monkeypatch, tmp_path):
    """Latencies made up from MACs; says what was measured, and how."""
    monkeypatch.setenv("NETLATHE_CACHE", str(tmp_path))
    asked = []

    def measure(networks, *, rough, keep, **how):
        asked.append((rough, [network.name for network in networks]))
        done = []
        for network in networks:
            macs = sum(op.macs for op in network.graph().ops)
            m = replace(
                measured(macs / 50e6, rough), key=network.key, network=network.name, date="2999-01-01T00:00:00+00:00",
                device=choosing.this_machine().id, runtime_version=choosing.runtime_version("onnxruntime"),
            )  # fmt: skip
            done.append(m)
            keep(m)
        return done

    monkeypatch.setattr(choosing, "measure", measure)
    return asked


def test_cheap_limits_come_first_and_the_decision_rests_on_careful_measurements(bench):
    outcome = choose(candidates("resnet*"), Budget(latency=80, size=100_000_000), Conditions())
    rough = {name for was_rough, names in bench if was_rough for name in names}
    careful = {name for was_rough, names in bench if not was_rough for name in names}
    assert "resnet152" not in rough  # too large, and not near enough to be worth knowing
    assert outcome.decision.pick.network.name in careful
    assert not any(c.latency.rough for c in [outcome.decision.pick, *outcome.decision.ties])
    assert outcome.decision.pick.latency_high_ms <= 80


def test_a_second_choice_asks_the_ledger(bench):
    pool = candidates("mobilenetv1*")
    first = choose(pool, Budget(latency=5), Conditions())
    count = len(bench)
    second = choose(pool, Budget(latency=5), Conditions())
    assert len(bench) == count
    assert second.decision.pick.name == first.decision.pick.name
    choose(pool, Budget(latency=5), Conditions(fresh=True))
    assert len(bench) > count


def test_an_impossible_latency_is_answered_with_a_possible_one(bench):
    outcome = choose(candidates("resnet*"), Budget(latency=0.001), Conditions())
    assert outcome.decision.pick is None
    (way,) = outcome.decision.relaxations
    assert choose(candidates("resnet*"), Budget(latency=way.value), Conditions()).decision.pick is not None


def test_limits_that_exclude_each_other_are_answered_with_the_nearest_network(bench):
    outcome = choose(candidates("resnet*"), Budget(size=1000, macs=1000), Conditions())
    nearest, broken = nearest_budget(outcome)
    assert outcome.decision.relaxations == []
    assert {limit.name for limit in broken} == {"size", "macs"}
    assert nearest.network.name == "resnet18"
