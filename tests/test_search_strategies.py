"""Search strategies: the published algorithms, what every strategy promises, and what they make of bad input."""

import json
import subprocess
import sys
from itertools import pairwise
from math import inf
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from searching import Flat, Merged, additive, drive, made

from netlathe.errors import NetlatheError
from netlathe.search.strategies import gp
from netlathe.search.strategies.pareto import select_survivors
from netlathe.search.strategy import STRATEGIES, TrialResult, get_strategy
from netlathe.stats.pareto import crowding, hypervolume, ranks, violation

NAMES = [name for name in STRATEGIES if name != "optuna-gp"]  # it takes seconds a trial; one test of its own
OWN = [name for name in NAMES if not name.startswith("optuna")]
QUICK = {"controller": {"units": 8, "batch": 5}}  # options that spare time and change nothing of what is tested
RUNGS = ("halving", "hyperband", "asha")


def asks(name, space, evaluations, seed=0, **how):
    """The proposals of a run."""
    told = drive(made(name, space, seed, evaluations, **QUICK.get(name, {})), evaluations, **how)
    return [proposal for proposal, _ in told]


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("name", NAMES)
def test_a_strategy_never_asks_outside_the_space(name, workers):
    space = Flat(3, 1, 4, 2, 3)
    found = asks(name, space, 60, workers=workers)
    assert len(found) == 60
    assert all(
        len(p.genotype) == 5 and all(0 <= i < n for i, n in zip(p.genotype, space.counts, strict=True)) for p in found
    )
    assert all(type(i) is int for p in found for i in p.genotype)  # genotypes go into JSON


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_the_same_tells_give_the_same_asks(name, workers):
    first, second = (asks(name, Flat(3, 3, 3, 3), 40, seed=7, workers=workers) for _ in range(2))
    assert first == second
    assert asks(name, Flat(3, 3, 3, 3), 40, seed=8, workers=workers) != first


def test_the_same_tells_give_the_same_asks_in_another_process():
    program = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); import test_search_strategies as t;"
        "print(json.dumps({n: t.asks(n, t.Merged(3, 3, 3, 3), 30, workers=2) for n in t.OWN}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(Path(__file__).parent)], capture_output=True, text=True, check=True
    )
    here = {name: asks(name, Merged(3, 3, 3, 3), 30, workers=2) for name in OWN}
    assert json.loads(done.stdout) == json.loads(json.dumps(here))


@pytest.mark.parametrize("counts", [(1,), (1, 1), (2,), (2, 3)])
@pytest.mark.parametrize("name", NAMES)
def test_a_tiny_space_is_exhausted_without_an_error(name, counts):
    space = Flat(*counts)
    found = asks(name, space, 2000, workers=2)
    assert len(found) < 2000
    assert {p.genotype for p in found} == set(space.all())


@pytest.mark.parametrize("name", ["random", "local", "pareto", "gp", "evolution"])
def test_equal_networks_are_asked_once(name):
    space = Merged(3, 3, 3)  # 27 genotypes, 10 networks
    options = {"unique": True} if name == "evolution" else {}
    found = [space.key(p.genotype) for p, _ in drive(made(name, space, **options), 500)]
    assert len(found) == len(set(found)) == 10


@pytest.mark.parametrize("name", NAMES)
def test_networks_that_fail_do_not_stop_a_search(name):
    def score(genotype):
        return -inf if genotype[0] == 0 else additive(genotype)

    found = drive(made(name, Flat(3, 4, 4, 4), **QUICK.get(name, {})), 50, score, workers=2)
    assert len(found) == 50
    assert max(outcome.score for _, outcome in found) > 6
    assert len(drive(made(name, Flat(3, 4, 4, 4), **QUICK.get(name, {})), 30, lambda _: -inf)) == 30


@pytest.mark.parametrize("name", [n for n in OWN if n not in ("random", *RUNGS)])
def test_what_learns_beats_random_draws(name):
    def mean(name, **options):
        found = [drive(made(name, Flat(*(5,) * 8), s, 150, **options), 150) for s in range(8)]
        return np.mean([max(outcome.score for _, outcome in told) for told in found])

    assert mean(name) > mean("random") + 0.5


def test_regularised_evolution_kills_the_oldest():
    found = made("evolution", Flat(9, 9, 9), population=3, sample=3)
    first = [found.ask() for _ in range(3)]
    for proposal, score in zip(first, (100.0, 2.0, 3.0), strict=True):
        found.tell(proposal, TrialResult(score))
    found.tell(found.ask(), TrialResult(1.0))
    assert [score for score, _ in found.population] == [2.0, 3.0, 1.0]  # the best was the oldest


def test_evolution_without_ageing_kills_the_worst():
    found = made("evolution-elitist", Flat(9, 9, 9), population=3, sample=3)
    for score in (100.0, 2.0, 3.0, 2.5):
        found.tell(found.ask(), TrialResult(score))
    assert sorted(score for score, _ in found.population) == [2.5, 3.0, 100.0]


def test_evolution_draws_its_first_population_at_random_and_then_mutates_the_best_of_a_sample():
    found = made("evolution", Flat(*(9,) * 6), population=10, sample=200)  # the sample holds the best, almost surely
    told = drive(found, 10)
    best = max(told, key=lambda one: one[1].score)[0].genotype
    changed = [sum(a != b for a, b in zip(found.ask().genotype, best, strict=True)) for _ in range(20)]
    assert changed == [1] * 20
    assert len({p.genotype for p, _ in told}) == 10


def test_local_search_moves_at_the_first_improvement_until_no_neighbour_is_better():
    space = Flat(4, 4, 4)
    found = [p.genotype for p in asks("local", space, 64)]
    best = found[0]
    for i, genotype in enumerate(found[1:], start=1):
        left = set(space.neighbours(best)) - set(found[:i])
        if not left:
            break  # a restart
        assert genotype in left
        best = max(best, genotype, key=additive)
    assert best == (3, 3, 3)
    assert i < 40
    assert len(set(found)) == 64  # restarts go on to the end of the space


def test_reinforce_moves_probability_to_what_scores():
    found = made("reinforce", Flat(3, 3))
    drive(found, 300, lambda genotype: float(genotype == (2, 1)) + genotype[0] / 4, workers=2)
    assert found.policy()[0, 2] > 0.8
    assert np.allclose(found.policy().sum(axis=1), 1)


def test_reinforce_does_not_depend_on_the_unit_of_the_score():
    space = Flat(3, 3, 3)
    percent = drive(made("reinforce", space), 60, additive)
    assert [p for p, _ in percent] == [p for p, _ in drive(made("reinforce", space), 60, lambda g: additive(g) / 128)]


def test_the_process_finds_a_better_network_than_local_search_in_a_few_evaluations():
    rng = np.random.default_rng(5)
    alone, pair = rng.normal(size=(8, 4)), rng.normal(size=(7, 4, 4)) / 2

    def score(genotype):
        return sum(alone[i, a] for i, a in enumerate(genotype)) + sum(
            pair[i, a, b] for i, (a, b) in enumerate(pairwise(genotype))
        )

    def found(name):
        runs = [drive(made(name, Flat(*(4,) * 8), seed), 60, score) for seed in range(6)]
        return np.mean([max(outcome.score for _, outcome in told) for told in runs])

    assert found("gp") > found("local") > found("random")


def test_the_process_does_not_depend_on_the_unit_of_the_score():
    space = Flat(3, 3, 3, 3)
    told = drive(made("gp", space), 40)
    assert [p for p, _ in told] == [p for p, _ in drive(made("gp", space), 40, lambda g: np.exp(additive(g)) / 1000)]


def test_the_process_learns_where_networks_fail():
    def score(genotype):  # the best networks lie beside those that fail
        return additive(genotype) if sum(genotype) <= 9 else -inf

    told = drive(made("gp", Flat(*(4,) * 6)), 60, score)
    assert max(outcome.score for _, outcome in told) == 9
    late = [outcome.score for _, outcome in told[20:]]
    assert sum(value > -inf for value in late) > len(late) / 2  # 43 % of the space fails, and all that is better


def test_the_process_forgets_beyond_its_largest_size(monkeypatch):
    monkeypatch.setattr(gp, "MAX_NETWORKS", 20)
    found = made("gp", Flat(5, 5, 5, 5))
    told = drive(found, 80)
    assert len(found.scores) <= 21
    assert max(found.scores) == max(outcome.score for _, outcome in told)  # the best is never forgotten
    assert len({p.genotype for p, _ in told}) == 80


def test_the_inverse_of_a_grown_matrix_is_its_inverse():
    points = np.random.default_rng(0).random((6, 6))
    matrix = points @ points.T + np.eye(6)
    grown = gp.grow_inverse(np.linalg.inv(matrix[:5, :5]), matrix[:5, 5], matrix[5, 5])
    assert np.allclose(grown, np.linalg.inv(matrix))


def test_expected_improvement_is_the_mean_of_what_lies_above_the_best():
    gain, spread = np.array([-1.0, 0.0, 0.5]), np.array([0.5, 1.0, 2.0])
    draws = gain[:, None] + spread[:, None] * np.random.default_rng(0).standard_normal((3, 200_000))
    assert gp.expected_improvement(gain, spread) == pytest.approx(np.maximum(draws, 0).mean(1), abs=0.005)


@pytest.mark.parametrize("name", RUNGS)
def test_rungs_are_whole_schedules_and_their_shares_end_in_one(name):
    found = made(name, Flat(9, 9, 9), eta=3, rungs=3)
    assert found.fractions == pytest.approx((1 / 9, 1 / 3, 1))
    assert {p.rung for p, _ in drive(found, 60)} == {0, 1, 2}


@pytest.mark.parametrize("name", RUNGS)
def test_in_a_space_smaller_than_a_bracket_the_best_network_is_trained_whole(name):
    told = drive(made(name, Flat(2, 2), eta=3, rungs=3), 100)
    assert len(told) < 30
    assert (1, 1) in {p.genotype for p, _ in told if p.rung == 2}


def test_halving_promotes_the_best_third_of_every_rung():
    told = drive(made("halving", Flat(9, 9, 9, 9), eta=3, rungs=3), 13)
    by_rung = {rung: [p.genotype for p, _ in told if p.rung == rung] for rung in range(3)}
    assert [len(by_rung[rung]) for rung in range(3)] == [9, 3, 1]
    worst_promoted = min(map(additive, by_rung[1]))
    assert sum(additive(g) > worst_promoted for g in by_rung[0]) <= 2
    assert max(by_rung[0], key=additive) in by_rung[2]


def test_hyperband_plans_the_published_brackets():
    # Li et al. 2018, table 1: R = 81, eta = 3
    plans = [made("hyperband", Flat(9, 9, 9), eta=3, rungs=5).plan(number) for number in range(6)]
    assert plans == [(0, 81), (1, 34), (2, 15), (3, 8), (4, 5), (0, 81)]


def test_asha_promotes_floor_of_rung_over_eta_and_highest_rung_first():
    found = made("asha", Flat(9, 9, 9, 9), eta=3, rungs=3)
    told = []
    for _ in range(300):
        proposal = found.ask()
        if proposal.rung:  # the network is in the top third of the rung below
            below = sorted((additive(p.genotype) for p in told if p.rung == proposal.rung - 1), reverse=True)
            assert additive(proposal.genotype) >= below[len(below) // 3 - 1]
        else:  # nothing could be promoted
            for rung in range(2):
                scores = sorted(((additive(p.genotype), p) for p in told if p.rung == rung), key=lambda one: -one[0])
                gone = {p.genotype for p in told if p.rung == rung + 1}
                top = [p.genotype for _, p in scores[: len(scores) // 3]]
                assert sum(g in gone for g in top) >= len(top) - sum(
                    additive(g) == scores[len(top) - 1][0] for g in top
                )
        found.tell(proposal, TrialResult(additive(proposal.genotype)))
        told.append(proposal)
    counts = [sum(p.rung == rung for p in told) for rung in range(3)]
    assert counts[1] >= counts[0] // 3 - 1
    assert counts[2] >= counts[1] // 3 - 1


def test_asha_asks_something_new_while_promoted_networks_are_open():
    found = made("asha", Flat(9, 9, 9), eta=3, rungs=2)
    assert len({found.ask() for _ in range(20)}) == 20
    assert all(found.ask() is not None for _ in range(20))


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.sampled_from([0, 0, 1, 2])), min_size=1, max_size=20)
)
def test_ranks_follow_constrained_domination(members):
    points = np.array([m[:2] for m in members], float)
    broken = np.array([m[2] for m in members], float)

    def beats(a, b):
        if a[2] != b[2]:
            return a[2] < b[2]
        return a[0] <= b[0] and a[1] <= b[1] and a[:2] != b[:2]

    found = ranks(points, broken)
    for i, member in enumerate(members):
        above = [found[j] for j, other in enumerate(members) if beats(other, member)]
        assert found[i] == (max(above) + 1 if above else 0)


def test_a_network_within_its_limits_survives_a_better_one_outside():
    assert violation((20.0, 1.0), (15.0, inf)) == pytest.approx(1 / 3)
    found = made("pareto", Flat(9, 9, 9), population=2, limits="15,inf")
    for score, ms in ((90.0, 20.0), (49.0, 14.0), (95.0, 40.0), (50.0, 15.0)):
        found.tell(found.ask(), TrialResult(score, (ms, 1.0)))
    assert sorted(-member.point[0] for member in found.parents) == [49.0, 50.0]


@pytest.mark.slow
def test_optunas_process_is_asked_and_told_like_the_others():
    told = drive(made("optuna-gp", Flat(3, 3, 3)), 13)  # 10 are random
    assert len(told) == 13


def test_the_ends_of_a_front_are_kept():
    gaps = crowding(np.array([[0.0, 4.0], [1.0, 3.0], [1.5, 2.0], [4.0, 0.0]]))
    assert gaps[0] == gaps[3] == inf
    assert gaps[2] > gaps[1]


def test_constrained_evolution_finds_the_best_network_within_a_limit():
    def costs(genotype):
        return (float(sum(i * (k + 1) for k, i in enumerate(genotype))),)

    space = Flat(*(4,) * 6)
    best = max(additive(g) for g in space.all() if costs(g)[0] <= 20)
    hits = 0
    for seed in range(5):
        told = drive(made("pareto", space, seed, limits="20"), 600, costs=costs)
        assert all(len(outcome.costs) == 1 for _, outcome in told)
        hits += max(o.score for _, o in told if o.costs[0] <= 20) == best
    assert hits >= 4


def test_survivors_sort_failed_networks_last():
    found = made("pareto", Flat(9, 9), population=4)
    for score, costs in ((1.0, (3.0,)), (-inf, ()), (2.0, (4.0,)), (-inf, ())):
        found.tell(found.ask(), TrialResult(score, costs))
    assert [member.point[0] for member in select_survivors(found.parents, 2)] != [inf, inf]
    assert {member.point[0] for member in select_survivors(found.parents, 2)} == {-1.0, -2.0}


def test_hypervolume_of_known_boxes():
    assert hypervolume([(1, 1)], (3, 4)) == 6
    assert hypervolume([(1, 3), (2, 1)], (4, 4)) == 3 + 6 - 2
    assert hypervolume([(0, 0, 0), (1, 1, 1)], (2, 2, 2)) == 8
    assert hypervolume([(0, 1, 1), (1, 0, 1), (1, 1, 0)], (2, 2, 2)) == 4
    assert hypervolume([(5, 5)], (4, 4)) == hypervolume([], (1.0,)) == 0


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), max_size=8))
def test_hypervolume_counts_the_cells_below_the_reference(points):
    cells = {
        cell
        for cell in Flat(5, 5, 5).all()
        if any(all(p <= c for p, c in zip(point, cell, strict=True)) for point in points)
    }
    assert hypervolume(points, (5, 5, 5)) == len(cells)


def test_an_unknown_strategy_names_the_nearest():
    with pytest.raises(NetlatheError, match=r"(?s)unknown strategy 'evolutoin'.*evolution"):
        get_strategy("evolutoin")


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("evolution", {"populaton": 3}, "population"),
        ("evolution", {"population": 1}, "a whole number from 2 to 100000; default 20"),
        ("evolution", {"population": 2.5}, "whole number"),
        ("evolution", {"unique": "perhaps"}, "true or false"),
        ("reinforce", {"learning_rate": "fast"}, "a number from 1e-06 to 10"),
        ("local", {"restarts": 3}, "no options"),
        ("pareto", {"limits": "15ms"}, "15,inf,4e6"),
        ("pareto", {"limits": "-1"}, "positive"),
    ],
)
def test_a_wrong_option_is_explained(name, options, said):
    with pytest.raises(NetlatheError, match=said):
        made(name, Flat(3, 3), **options)


def test_options_may_be_text():
    found = made("evolution", Flat(3, 3, 3), population="7", unique="true")
    assert (found.size, found.unique) == (7, True)


def test_a_strategy_without_its_package_says_what_to_install():
    program = (
        "import sys; sys.modules['optuna'] = None; sys.modules['torch'] = None; import numpy;"
        "from netlathe.search.strategy import STRATEGIES\n"
        "for name in ('optuna-tpe', 'controller'):\n"
        "    try: STRATEGIES[name](None, numpy.random.default_rng(0))\n"
        "    except Exception as error: print(type(error).__name__, error.hint)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "MissingExtra pip install 'netlathe[optuna]'",
        "MissingExtra pip install 'netlathe[train]'",
    ]


def test_the_registry_says_what_every_strategy_is():
    for name, row in STRATEGIES.items():
        assert row.name == name
        assert 15 < len(row.summary) < 110
        assert row.source
        for option in row.options.values():
            assert option.read(option.default) == option.default
            assert option.meaning
            assert option.legal()
