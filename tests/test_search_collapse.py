"""The detector of collapsed DARTS searches, on made-up logs and on 210 real ones."""

import runpy
from math import nan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlathe.search.collapse import AlarmRules, EpochReading, count_skips, diagnose

BENCH = Path(__file__).parent.parent / "benchmarks" / "bench_collapse.py"


def log(skip_counts, eigenvalues=None):
    """An epoch a count; eigenvalues every second epoch, as DARTS-ES reads them."""
    known = dict(zip(range(0, 1000, 2), eigenvalues or [], strict=False))
    return [EpochReading(epoch, count, 8, known.get(epoch)) for epoch, count in enumerate(skip_counts)]


def test_a_cell_of_mostly_skips_is_a_collapse_and_names_the_last_sound_epoch():
    said = diagnose(log([0] * 10 + [1, 2, 3, 4, 5, 7]), weight_decay=3e-4)
    assert said.state == "collapsed"
    assert said.alarms[0].epoch == 14
    assert said.roll_back == 11  # the last with two skips at most
    assert "epoch 11" in said.remedies[0]
    assert "0.0009" in said.remedies[1]


def test_skips_of_the_first_epochs_are_those_of_random_parameters():
    assert diagnose(log([8] * 9 + [2] * 20)).state == "healthy"
    assert diagnose(log([8] * 9 + [2] * 20), rules=AlarmRules(start=5)).state == "collapsed"


def test_the_eigenvalue_alone_is_a_suspicion_with_the_epoch_of_darts_es():
    flat_then_up = [0.1] * 7 + [0.1, 0.1, 0.3, 0.3, 0.3, 0.3]
    said = diagnose(log([1] * 25, flat_then_up))
    # At epoch 22 the mean of epochs 14..22 is .22, that of 6..14 is .1, centred on epoch 10.
    assert said.state == "suspect"
    assert [(a.sign, a.epoch, a.roll_back) for a in said.alarms] == [("eigenvalue", 22, 10)]
    assert diagnose(log([1] * 22, flat_then_up)).state == "healthy"


def test_there_is_no_way_back_to_a_cell_that_was_all_skips_already():
    said = diagnose(log([8] * 40, [0.1] * 9 + [0.5] * 9))
    assert said.state == "collapsed"
    assert said.roll_back is None
    assert "search again" in said.remedies[0]


def test_a_supernet_that_answers_one_class_has_diverged_and_needs_less_weight_decay_not_more():
    dead = [EpochReading(epoch, 8, 8, None, 19.001338) for epoch in range(20)]
    said = diagnose(dead, weight_decay=0.0729)
    assert said.state == "diverged"
    assert "less weight decay" in said.remedies[0]
    assert diagnose([EpochReading(0, 1, 8, None, nan)]).state == "diverged"


def test_no_more_weight_decay_is_advised_than_was_ever_tried():
    assert not any("weight decay" in remedy for remedy in diagnose(log([8] * 20), weight_decay=0.0243).remedies)


def test_operators_that_do_nothing_are_counted():
    assert count_skips(["sep_conv_3x3", "skip_connect", "none", "max_pool_3x3"]) == 2


@given(st.lists(st.tuples(st.integers(0, 8), st.floats(0.01, 10)), max_size=60))
def test_what_was_seen_once_is_seen_ever_after(rows):
    whole = [EpochReading(epoch, count, 8, value) for epoch, (count, value) in enumerate(rows)]
    order = ["healthy", "suspect", "collapsed"]
    states = [order.index(diagnose(whole[:n]).state) for n in range(len(whole) + 1)]
    assert states == sorted(states)


@pytest.mark.data
def test_twelve_of_twelve_collapsed_searches_are_flagged_and_none_of_six_sound_ones():
    bench = runpy.run_path(str(BENCH))
    if not bench["LOGS"].exists():
        pytest.skip(f"{bench['LOGS']} is absent")
    found = bench["logs"]()
    collapsed, sound = bench["groups"](found)
    assert [len(collapsed), len(sound)] == [12, 6]
    assert {bench["first_alarm"](s, found[s]).state for s in collapsed} == {"collapsed"}
    assert not {bench["first_alarm"](s, found[s]).state for s in sound} & {"collapsed", "diverged"}
    assert all(found[s][-1].validation > 86 for s in (*collapsed, *sound))  # which does not tell them apart
