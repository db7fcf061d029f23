"""The statistics against scipy, printed tables and brute force."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from netlathe.search.summary import FinalResult
from netlathe.stats.correlation import kendall_tau
from netlathe.stats.intervals import bootstrap_interval, bootstrap_mean, median_interval, wilson_interval
from netlathe.stats.pareto import domination, pareto_front, ranks
from netlathe.stats.power import minimum_detectable_effect, runs_needed
from netlathe.stats.quantiles import distribution_steps, quantile, step_quantile
from netlathe.stats.student import f_p_value, t_half_width, t_p_value, t_quantile, t_shift

# 97.5 % of Student's t as tables print it, also where our own short table used to end (15) and beyond.
T975 = {1: 12.706, 2: 4.303, 3: 3.182, 9: 2.262, 15: 2.131, 16: 2.120, 20: 2.086, 30: 2.042, 60: 2.000, 120: 1.980}


@pytest.mark.parametrize(("df", "printed"), T975.items())
def test_student_is_that_of_the_tables(df, printed):
    assert t_quantile(0.975, df) == pytest.approx(printed, abs=5e-4)
    assert t_quantile(0.975, df) == pytest.approx(stats.t.ppf(0.975, df), rel=1e-9)
    assert t_p_value(-printed, df) == pytest.approx(0.05, abs=2e-4)


def test_half_of_an_interval_is_scipys():
    values = np.array([3.0, 4.5, 5.0, 7.25])
    low, high = stats.t.interval(0.9, 3, values.mean(), stats.sem(values))
    assert t_half_width(values.std(ddof=1), 4, 0.9) == pytest.approx((high - low) / 2)


def test_many_seeds_have_the_interval_of_their_own_number():
    scores = tuple(np.random.default_rng(0).normal(90, 1, 40))
    low, high = stats.t.interval(0.95, 39, np.mean(scores), stats.sem(scores))
    assert FinalResult(0, scores, (), 91.0).half() == pytest.approx((high - low) / 2)


def test_fisher_is_scipys():
    assert f_p_value(3.2, 2, 17) == pytest.approx(stats.f.sf(3.2, 2, 17))


def test_power_is_that_of_the_noncentral_t():
    shift = t_shift(9, 0.05, 0.8)
    assert stats.nct.sf(t_quantile(0.975, 9), 9, shift) == pytest.approx(0.8, abs=1e-6)
    assert minimum_detectable_effect(2.0, 10) == pytest.approx(2.0 * shift / 10**0.5)
    runs = runs_needed(0.3, 1.0)
    assert minimum_detectable_effect(1.0, runs) <= 0.3 < minimum_detectable_effect(1.0, runs - 1)


@given(st.integers(0, 300), st.integers(1, 300))
def test_wilson_holds_the_share_and_stays_within_one(hits, count):
    hits = min(hits, count)
    low, high = wilson_interval(hits, count)
    known = stats.binomtest(hits, count).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((known.low, known.high), abs=1e-9)
    assert 0 <= low <= hits / count + 1e-12
    assert hits / count - 1e-12 <= high <= 1


def test_the_interval_of_a_median_has_the_confidence_of_the_binomial():
    for n in range(6, 40):
        low, high = median_interval(list(range(n)))
        cut = int(low)
        assert high == n - 1 - cut
        assert 2 * stats.binom.cdf(cut, n, 0.5) <= 0.05 < 2 * stats.binom.cdf(cut + 1, n, 0.5)


def test_bootstraps_agree_with_each_other_and_with_the_normal_limit():
    values = np.random.default_rng(1).normal(5.0, 2.0, (200, 1))
    half = 1.96 * values.std() / 200**0.5
    wanted = (values.mean() - half, values.mean() + half)
    low, high = bootstrap_mean(values, np.random.default_rng(2))
    assert (low[0], high[0]) == pytest.approx(wanted, abs=0.05)
    found = bootstrap_interval(values, lambda rows: float(rows.mean()), np.random.default_rng(2), resamples=1_000)
    assert found == pytest.approx(wanted, abs=0.05)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.floats(0, 1))
def test_quantiles_are_numpys(values, share):
    assert quantile(values, share) == pytest.approx(np.quantile(values, share), abs=1e-6)
    step = step_quantile(values, share)
    assert sum(value <= step for value in values) >= share * len(values)
    assert sum(value < step for value in values) <= share * len(values)


def test_a_distribution_rises_to_one():
    steps = distribution_steps([3, 1, 2])
    assert steps[-1] == (3, 1.0)
    assert all(a[0] <= b[0] and a[1] < b[1] for a, b in pairwise(steps))


def test_tau_counts_pairs():
    assert kendall_tau([1, 2, 3], [1, 2, 3]) == 1
    assert kendall_tau([1, 2, 3], [2, 1, 3]) == pytest.approx(1 / 3)
    assert kendall_tau([1, 2, 3, 4], [1, 1, 2, 2]) == pytest.approx(stats.kendalltau([1, 2, 3, 4], [1, 1, 2, 2])[0])


POINTS = st.lists(st.tuples(*[st.integers(0, 4).map(float)] * 3), min_size=1, max_size=20)


@given(POINTS)
def test_the_front_is_the_first_rank_of_the_sorting(points):
    array, free = np.array(points), np.zeros(len(points))
    assert pareto_front(points) == list(np.flatnonzero(ranks(array, free) == 0))
    assert pareto_front(points) == list(np.flatnonzero(~domination(array, free).any(0)))
