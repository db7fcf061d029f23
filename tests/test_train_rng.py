"""Random numbers of training: a pure function of (seed, epoch, index, view), with the distributions that they claim."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from netlathe.train.rng import CounterRNG, shuffled_order

MANY = CounterRNG(7, 3, np.arange(20_000))
KINDS = {
    "uniform": lambda rng: rng.uniform("a"),
    "uniform rows": lambda rng: rng.uniform("a", 3),
    "normal": lambda rng: rng.normal("a"),
    "normal rows": lambda rng: rng.normal("a", 5),
    "integers": lambda rng: rng.integers("a", 1000),
    "beta": lambda rng: rng.beta("a", 0.2),
}
indices = st.lists(st.integers(0, 2**40), min_size=1, max_size=40)


def test_the_numbers_of_this_version_are_those_of_every_version():
    """Changing these breaks the resume of every run that is under way."""
    rng = CounterRNG(1, 2, [0, 1, 50_000], view=3)
    assert shuffled_order(5, 6, 10).tolist() == ORDER
    assert (rng.uniform("crop") * 2**24).tolist() == UNIFORM
    assert rng.integers("kind", 15, 4).tolist() == INTEGERS
    assert rng.normal("noise").tolist() == pytest.approx(NORMAL, abs=1e-6)
    assert rng.beta("mix", 0.2).tolist() == pytest.approx(BETA, rel=1e-5)


ORDER = [1, 8, 0, 4, 5, 9, 2, 3, 6, 7]
UNIFORM = [9623103, 343449, 11477703]
INTEGERS = [[1, 9, 5, 10], [9, 4, 1, 9], [13, 10, 13, 6]]
NORMAL = [-0.000902, 0.6996, -0.043979]
BETA = [0.997943, 0.0316852, 0.250654]


@pytest.mark.parametrize("kind", KINDS)
@given(indices, st.data())
def test_an_image_draws_the_same_whatever_else_is_in_its_batch(kind, batch, data):
    numbers = KINDS[kind](CounterRNG(0, 0, batch))
    some = data.draw(st.lists(st.integers(0, len(batch) - 1), min_size=1))
    assert torch.equal(KINDS[kind](CounterRNG(0, 0, [batch[at] for at in some])), numbers[some])
    assert torch.equal(KINDS[kind](CounterRNG(0, 0, torch.tensor(batch)).at(np.array(some))), numbers[some])


def test_a_view_may_be_given_for_each_image():
    both = CounterRNG(0, 0, [4, 4, 9], view=[0, 1, 1]).uniform("a")
    assert both.tolist() == [
        CounterRNG(0, 0, [index], view).uniform("a").item() for index, view in ((4, 0), (4, 1), (9, 1))
    ]
    assert len(set(both.tolist())) == 3


@pytest.mark.parametrize(
    "other",
    [
        CounterRNG(8, 3, MANY.indices),
        CounterRNG(7, 4, MANY.indices),
        CounterRNG(7, 3, MANY.indices, 1),
        CounterRNG(7, 3, MANY.indices + 1),
    ],
    ids=["seed", "epoch", "view", "index"],
)
def test_another_seed_epoch_view_or_index_gives_unrelated_numbers(other):
    assert unrelated(MANY.uniform("a"), other.uniform("a"))


def test_another_use_and_another_number_of_a_row_are_unrelated():
    rows = MANY.uniform("a", 4)
    assert unrelated(MANY.uniform("a"), MANY.uniform("b"))
    assert all(unrelated(rows[:, i], rows[:, j]) for i in range(4) for j in range(i))
    assert unrelated(MANY.normal("a").abs(), MANY.normal("b").abs())


def unrelated(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Neither correlated nor unevenly spread over the 16 x 16 fields of the square of their ranks."""
    ranks = [stats.rankdata(part) - 1 for part in (a, b)]
    fields = np.histogram2d(*ranks, bins=16)[0]
    return stats.spearmanr(a, b).pvalue > 1e-4 and stats.chisquare(fields.ravel()).pvalue > 1e-4


@pytest.mark.parametrize(
    ("numbers", "law"),
    [
        (MANY.uniform("u"), stats.uniform()),
        (MANY.uniform("u", 2)[:, 1], stats.uniform()),
        (MANY.normal("n"), stats.norm()),
        (CounterRNG(0, 0, [1]).normal("n", 20_000)[0], stats.norm()),
        (MANY.beta("b", 0.2), stats.beta(0.2, 0.2)),
        (MANY.beta("b", 0.8), stats.beta(0.8, 0.8)),
        (MANY.beta("b", 1.0), stats.beta(1, 1)),
        (MANY.beta("b", 7.0), stats.beta(7, 7)),
    ],
)
def test_numbers_follow_their_law(numbers, law):
    others = law.rvs(100_000, random_state=0).astype(np.float32)  # which rounds as ours: much of beta(0.2) is 1
    assert stats.ks_2samp(numbers.numpy(), others).pvalue > 1e-3


def test_whole_numbers_are_evenly_spread_and_within_their_bounds():
    numbers = MANY.integers("i", 15)
    assert set(numbers.tolist()) == set(range(15))
    assert stats.chisquare(np.bincount(numbers)).pvalue > 1e-3


def test_numbers_stay_within_their_bounds():
    assert 0 <= min(MANY.uniform("u").tolist()) <= max(MANY.uniform("u").tolist()) < 1
    assert MANY.normal("n").abs().max() < 6
    tiny = MANY.beta("b", 0.001).tolist()  # whose powers leave the range of float64
    assert 0 <= min(tiny) <= max(tiny) <= 1


@given(st.integers(0, 2**32), st.integers(0, 1000), st.integers(0, 300))
def test_an_order_is_a_permutation(seed, epoch, n):
    assert sorted(shuffled_order(seed, epoch, n).tolist()) == list(range(n))


def test_orders_put_every_image_in_every_place_equally_often():
    places = np.stack([shuffled_order(0, epoch, 8) for epoch in range(4000)])
    counts = np.stack([np.bincount(places[:, place], minlength=8) for place in range(8)])
    assert stats.chisquare(counts.ravel(), ddof=14).pvalue > 1e-3
    assert len({tuple(row) for row in places.tolist()}) > 3700  # of 40320, with few repeats
