"""The statistics of controlled experiments against scipy, closed forms and simulation."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from netlathe.stats.estimates import estimate, holm
from netlathe.stats.power import ALPHA, POWER, minimum_detectable_effect
from netlathe.train.experiment.compare import compare, detectable_difference, find_flips
from netlathe.train.experiment.scores import ScoreTable
from netlathe.train.experiment.variance import decompose

RNG = np.random.default_rng(20261123)


def scored(values):
    """Scores from an array (networks, recipes, fractions, seeds)."""
    values = np.asarray(values, float)
    a, b, c, n = values.shape
    fractions = tuple((i + 1) / c for i in range(c))
    return ScoreTable(tuple("ABCDE"[:a]), tuple("xyz"[:b]), fractions, tuple(range(n)), values)


# Estimates and comparisons


def test_the_interval_of_a_mean_is_students():
    for n in (2, 3, 5, 20):
        values = RNG.normal(90, 1, n)
        found = estimate(values)
        known = stats.ttest_1samp(values, 0).confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx((known.low, known.high))
        assert found.sd == pytest.approx(np.std(values, ddof=1))


def test_a_comparison_within_a_condition_is_the_paired_t_test():
    scores = scored(RNG.normal(90, 1, (2, 2, 1, 6)))
    for c in compare(scores, "network"):
        if c.where:
            recipe = scores.recipes.index(c.where[0])
            known = stats.ttest_rel(scores.values[0, recipe, 0], scores.values[1, recipe, 0])
            assert c.difference.p == pytest.approx(known.pvalue)
            assert c.difference.mean == pytest.approx(scores.values[0, recipe].mean() - scores.values[1, recipe].mean())


def test_an_average_over_the_other_factors_comes_first_and_is_paired_by_seed():
    scores = scored(RNG.normal(90, 1, (3, 2, 2, 5)))
    first = compare(scores, "recipe")[0]
    known = stats.ttest_rel(scores.values[:, 0].mean((0, 1)), scores.values[:, 1].mean((0, 1)))
    assert first.where == ()
    assert first.difference.p == pytest.approx(known.pvalue)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_test_of_bonferroni(ps):
    sets = [s for size in range(1, len(ps) + 1) for s in combinations(range(len(ps)), size)]
    for i, corrected in enumerate(holm(ps)):
        known = max(min(1.0, len(s) * min(ps[j] for j in s)) for s in sets if i in s)
        assert corrected == pytest.approx(known)


def test_a_p_that_is_not_known_still_counts_as_a_question():
    assert holm([0.02, None]) == [0.04, None]


def test_intervals_hold_the_truth_as_often_as_they_say():
    inside = {"cell": 0, "average": 0, "condition": 0}
    shared = RNG.normal(0, 1, (1500, 1, 1, 1, 4))  # what the runs of a seed share
    noise = RNG.normal(0, [[[[0.2]]], [[[1.0]]]], (1500, 2, 2, 1, 4))  # one network is much noisier
    truth = np.array([[[[90.0]], [[91.0]]], [[[92.0]], [[90.0]]]])
    for values in truth + shared + noise:
        scores = scored(values)
        cell = scores.cell(0, 0, 0)
        average, condition, *_ = (c.difference for c in compare(scores, "network"))
        inside["cell"] += cell.low < 90 < cell.high
        inside["average"] += average.low < -0.5 < average.high
        inside["condition"] += condition.low < -2 < condition.high
    for name, hits in inside.items():
        assert hits / 1500 == pytest.approx(0.95, abs=0.02), name


def test_where_nothing_differs_a_question_rarely_finds_anything():
    found = 0
    for _ in range(600):
        comparisons = compare(scored(RNG.normal(90, 1, (4, 1, 1, 5))), "network")
        assert [c.family for c in comparisons] == [6] * 6
        found += any(c.verdict.endswith("better") for c in comparisons)
    assert found / 600 < ALPHA + 0.025


def test_the_smallest_detectable_difference_is_found_with_the_promised_chance():
    for seeds in (3, 5, 10):
        difference = minimum_detectable_effect(2.0, seeds, ALPHA)
        rng = RNG.normal(difference, 2.0, (20_000, seeds))
        p = stats.ttest_1samp(rng, 0, axis=1).pvalue
        assert (p < ALPHA).mean() == pytest.approx(POWER, abs=0.015)
    assert minimum_detectable_effect(2.0, 20, ALPHA) < minimum_detectable_effect(2.0, 5, ALPHA)


def test_detectable_reads_the_noise_from_the_comparisons():
    scores = scored(RNG.normal(90, 1, (2, 1, 1, 4000)))
    found = detectable_difference(compare(scores, "network"), 5)
    assert found.single == pytest.approx(minimum_detectable_effect(2**0.5, 5, ALPHA), rel=0.05)
    assert found.strict == pytest.approx(found.single)  # one comparison: nothing to correct


def test_verdicts_name_the_better_one_or_say_that_none_is_shown():
    clear = scored([[[[90.0, 90.1, 90.2]]], [[[95.1, 95.0, 95.3]]]])
    assert compare(clear, "network")[0].verdict == "B better"
    unclear = scored([[[[90.0, 95.0, 92.0]]], [[[95.0, 90.0, 93.0]]]])
    assert compare(unclear, "network")[0].verdict == "no difference shown"
    several = scored(np.array([0.0, 0.9, 1.2])[:, None, None, None] + RNG.normal(0, 1, (3, 1, 1, 5)))
    for c in compare(several, "network"):
        assert (c.difference.low > 0 or c.difference.high < 0) == (c.verdict != "no difference shown")


def test_a_rank_flip_is_shown_only_where_both_orders_are():
    noise = RNG.normal(0, 0.1, (2, 2, 1, 5))
    real = scored(np.array([[[[91.0]], [[90.0]]], [[[90.0]], [[91.0]]]]) + noise)
    (flip,) = find_flips(compare(real, "network"))
    assert (flip.a, flip.b, flip.first, flip.second, flip.shown) == ("A", "B", ("x",), ("y",), True)
    chance = scored(np.array([[[[91.0]], [[90.0]]], [[[90.0]], [[90.01]]]]) + noise)
    assert not any(flip.shown for flip in find_flips(compare(chance, "network")))
    apart = scored(np.array([[[[91.0]], [[92.0]]], [[[90.0]], [[91.5]]]]))
    assert find_flips(compare(apart, "network")) == ()


# The decomposition


def test_one_factor_gives_the_f_test_of_scipy():
    scores = scored(RNG.normal(90, 1, (4, 1, 1, 5)))
    network, noise = decompose(scores)
    known = stats.f_oneway(*scores.values[:, 0, 0])
    assert (network.f, network.p) == pytest.approx((known.statistic, known.pvalue))
    assert (network.df, noise.df) == (3, 16)


def test_two_factors_give_the_textbook_sums_of_squares():
    y = RNG.normal(90, 1, (3, 2, 1, 4))
    a, b, cell, grand = y.mean((1, 2, 3)), y.mean((0, 2, 3)), y.mean(-1)[..., 0], y.mean()
    known = [
        8 * ((a - grand) ** 2).sum(),
        12 * ((b - grand) ** 2).sum(),
        4 * ((cell - a[:, None] - b + grand) ** 2).sum(),
        ((y - y.mean(-1, keepdims=True)) ** 2).sum(),
    ]
    sources = decompose(scored(y))
    assert [s.name for s in sources] == ["network", "recipe", "network x recipe", "seed noise"]
    assert [s.squares for s in sources] == pytest.approx(known)
    assert [s.df for s in sources] == [2, 1, 2, 18]
    assert sum(s.squares for s in sources) == pytest.approx(((y - grand) ** 2).sum())
    assert sum(s.share for s in sources) == pytest.approx(1)


def test_known_effects_come_back_as_their_sizes():
    network, recipe = np.array([1.0, -1.0])[:, None], np.array([0.5, -0.5])
    both = 0.25 * np.array([[1.0, -1.0], [-1.0, 1.0]])
    noise = np.array([0.1, -0.1, 0.1, -0.1])
    values = (90 + network + recipe + both)[:, :, None, None] + noise
    assert [s.size for s in decompose(scored(values))] == pytest.approx([1, 0.5, 0.25, 0.1 * (4 / 3) ** 0.5])


def test_three_factors_have_seven_terms_and_lose_nothing():
    values = RNG.normal(90, 1, (2, 3, 2, 3))
    sources = decompose(scored(values))
    assert len(sources) == 8
    assert sum(s.squares for s in sources) == pytest.approx(((values - values.mean()) ** 2).sum())
    assert sum(s.df for s in sources) == values.size - 1


def test_with_unequal_numbers_of_seeds_every_cell_counts_the_same():
    values = RNG.normal(90, 1, (2, 2, 1, 6))
    values[0, 0, 0, 2:] = np.nan
    values[1, 0, 0, 5:] = np.nan
    cells, counts = np.nanmean(values, -1)[..., 0], (~np.isnan(values)).sum(-1)[..., 0]
    network, recipe, both, noise = decompose(scored(values))
    variance = np.nansum((values - np.nanmean(values, -1, keepdims=True)) ** 2) / (counts.sum() - 4)
    for source, weights in (
        (network, [[1, 1], [-1, -1]]),
        (recipe, [[1, -1], [1, -1]]),
        (both, [[1, -1], [-1, 1]]),
    ):
        t = (cells * weights).sum() / (variance * (1 / counts).sum()) ** 0.5
        assert source.f == pytest.approx(t**2)
    assert noise.size == pytest.approx(variance**0.5)


def test_where_nothing_differs_the_f_test_says_so_and_noise_explains_everything():
    found, beyond = 0, []
    for _ in range(400):
        network, *_ = decompose(scored(RNG.normal(90, 1, (3, 2, 1, 5))))
        found += network.p < 0.05
        beyond.append(network.beyond_noise)
    assert found / 400 == pytest.approx(0.05, abs=0.03)
    assert np.mean(beyond) < 0.05


@pytest.mark.parametrize("values", [np.full((2, 2, 1, 1), 90.0), np.full((1, 1, 1, 5), 90.0)])
def test_without_noise_or_without_a_choice_there_is_nothing_to_decompose(values):
    assert decompose(scored(values)) == ()
