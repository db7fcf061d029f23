"""Controlled experiments: tables that say what is known, and what is not."""

import json

import numpy as np
from experiments import reached, study_of
from hypothesis import given, settings
from hypothesis import strategies as st

from netlathe.train.experiment.findings import analyse, to_document
from netlathe.train.experiment.table import build_tables, render_markdown

RNG = np.random.default_rng(20261123)


# Findings


def a_found_study(percent, **choices):
    experiment = study_of(**choices)
    return analyse(experiment, {run: reached(percent(run)) for run in experiment.runs})


def test_the_tables_tell_recipe_architecture_interaction_and_noise_apart():
    found = a_found_study(lambda run: 90 + 2 * (run.network == "A") + RNG.normal(0, 0.2))
    text = render_markdown(found)
    for row in ("| network |", "| recipe |", "| network x recipe |", "| seed noise |"):
        assert row in text
    assert "A better" in text
    assert "no difference shown" in text
    for table in build_tables(found):
        assert all(len(row) == len(table.columns) for row in table.rows)


def test_one_seed_gives_no_intervals_no_verdicts_and_says_why():
    found = a_found_study(lambda run: 90 + (run.network == "A"), seeds=1)
    data = to_document(found)
    assert not data["decomposition"]
    assert not data["detectable"]
    assert {c["verdict"] for c in data["comparisons"]} == {"no noise estimate"}
    assert all(cell["top1"]["low"] is None for cell in data["cells"])
    assert any("One seed" in note and "--seeds 5" in note for note in found.notes)
    assert "±" not in render_markdown(found)


def test_equal_scores_of_all_seeds_are_no_proof():
    found = a_found_study(lambda run: 90 + (run.network == "A"))
    assert {c.verdict for c in found.comparisons["network"]} == {"no noise estimate"}
    json.dumps(to_document(found), allow_nan=False)


@settings(max_examples=40)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=24), st.randoms(use_true_random=False))
def test_whatever_has_finished_gives_tables_that_say_what_is_missing(scores, random):
    experiment = study_of(fractions=(0.5, 1.0), seeds=3)
    chosen = random.sample(experiment.runs, len(scores))
    found = analyse(experiment, {run: reached(score) for run, score in zip(chosen, scores, strict=True)})
    assert json.loads(json.dumps(to_document(found), allow_nan=False))["finished"] == len(scores)
    assert ("Unfinished" in render_markdown(found)) == (len(scores) < 24)


def test_what_the_runs_were_given_is_compared():
    experiment = study_of(networks=("small", "large"), recipes=("short", "long"))
    given = {
        run: reached(90 + run.seed, 1000 * (1 + (run.recipe == "long")), 10**6 * (1 + 2 * (run.network == "large")))
        for run in experiment.runs
    }
    notes = "\n".join(analyse(experiment, given).notes)
    assert "levels of network: equal images seen and training MACs that differ by up to x3" in notes
    assert "levels of recipe: images seen that differ by up to x2 and equal training MACs" in notes


def test_without_test_images_the_validation_images_score_and_that_is_said():
    experiment = study_of()
    found = analyse(experiment, {run: reached(90 + run.seed, test=False) for run in experiment.runs})
    assert found.scored_on == "validation"
    assert any("no test images" in note for note in found.notes)


def test_a_much_noisier_cell_is_named():
    found = a_found_study(lambda run: 90 + run.seed * (10 if (run.network, run.recipe) == ("B", "y") else 0.1))
    assert any("noise of B, y" in note for note in found.notes)


def test_with_fractions_each_has_its_own_decomposition():
    found = a_found_study(lambda run: 90 + RNG.normal() + 5 * run.fraction, fractions=(0.1, 1.0))
    assert list(found.sources) == [None, 0.1, 1.0]
    assert [source.name for source in found.sources[0.1]][-2:] == ["network x recipe", "seed noise"]
