"""One-shot search: the signs of collapse, and searches as users run them."""

import itertools
import json
import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from oneshots import FAMILY, SMALL

from netlathe.arch.build import conv, head, seq
from netlathe.arch.combinators import Choice
from netlathe.arch.network import Network
from netlathe.cli.main import run as netlathe
from netlathe.errors import NetlatheError
from netlathe.search.collapse import COLLAPSED
from netlathe.search.oneshot.cells import Cells
from netlathe.search.oneshot.diagnostics import collapse_verdict, darts_record, diagnose_search, mean_entropy
from netlathe.search.oneshot.family import DartsFamily, SpaceFamily
from netlathe.search.oneshot.options import OneShotOptions
from netlathe.search.oneshot.result import derive_result
from netlathe.search.oneshot.run import search_one_shot
from netlathe.search.oneshot.split import DataSplit, take_subset
from netlathe.search.oneshot.state import initial_state
from netlathe.search.oneshot.supernet import Supernet
from netlathe.search.oneshot.task import EARLY, OneShotRun, apply_remedy
from netlathe.search.space import SearchSpace
from netlathe.search.spaces import get
from netlathe.train import checkpoint
from netlathe.train.images import ImageSet, load
from netlathe.train.recipefile import load as recipe_of

pytestmark = pytest.mark.usefixtures("one_thread")

RECIPE = recipe_of("digits", ["resolution=8", "evaluate.resolution=8", "augment.pad=1"])


@pytest.fixture(scope="module")
def digits():
    return take_subset(load("digits", size=8).train, 256)


# The watch


def state_of(digits, options, family=FAMILY):
    split = DataSplit(digits, RECIPE, options.seed, options.batch)
    supernet = Supernet(family.supernet((1, 8, 8), 10), seed=0, affine=family.affine)
    return initial_state(supernet, options), split


def test_a_search_full_of_skips_is_called_collapsed_whatever_its_accuracy(digits):
    options = OneShotOptions(eigenvalue_every=0, watch_images=64)
    state, split = state_of(digits, options)
    healthy = darts_record(state, split, options, FAMILY, 0)
    with torch.no_grad():
        for alpha in state.alphas.values():
            alpha[SMALL.operations.index("skip")] += 4.0
    for epoch in range(12):
        state.log.append(darts_record(state, split, options, FAMILY, epoch) | {"validation": 0.9 + epoch / 1000})
    found = diagnose_search(state, 12)
    assert healthy["skips"] < 4
    assert state.log[-1]["skips"] == 4
    assert found.state == COLLAPSED
    assert collapse_verdict(found) == "collapsed"
    assert "4 of 4 edges" in found.alarms[0].text


def test_the_entropy_is_one_where_nothing_is_decided_and_falls():
    assert mean_entropy({"a": np.full(4, 0.25), "b": np.full(2, 0.5)}) == pytest.approx(1)
    assert mean_entropy({"a": np.array([1.0, 0.0]), "b": np.array([0.5, 0.5])}) == pytest.approx(0.5)


def searching(digits, options, tmp_path):
    from netlathe.train.metrics import Metrics

    state, split = state_of(digits, options)
    return OneShotRun(options, FAMILY, split, state, tmp_path, Metrics(tmp_path), (1, 8, 8), 10, time.monotonic(), None)


def rising(task, epochs=24):
    """A log whose eigenvalue rises after epoch 12."""
    rng = np.random.default_rng(0)
    for epoch in range(epochs):
        genotype = FAMILY.draw(rng)
        task.state.log.append(
            {
                "epoch": epoch,
                "skips": 0,
                "edges": 4,
                "eigenvalue": 0.1 if epoch < 13 else 0.1 * (epoch - 11),
                "validation": 0.5 + epoch / 100,
                "genotype": FAMILY.data(genotype),
            }
        )
    task.state.step = epochs * task.split.steps


def test_early_stopping_rolls_back_to_before_the_rise(digits, tmp_path):
    task = searching(digits, OneShotOptions(epochs=50, remedy="early-stop"), tmp_path)
    rising(task)
    assert apply_remedy(task) == EARLY
    found = derive_result(task, "darts", EARLY, None, lambda: False)
    back = int(found.said.split("epoch ")[1].split(",")[0])
    assert 9 < back < 14
    assert found.genotype == task.state.log[back]["genotype"]


@pytest.mark.parametrize(("now", "then"), [(3e-4, 9e-4), (8.1e-3, 2.43e-2), (2.43e-2, 2.43e-2)])
def test_decay_triples_the_weight_decay_up_to_a_limit(now, then, digits, tmp_path):
    task = searching(digits, OneShotOptions(epochs=50, remedy="decay", weight_decay=now), tmp_path)
    rising(task)
    assert apply_remedy(task) is None
    assert task.state.optimiser.param_groups[0]["weight_decay"] == pytest.approx(then)
    if then > now:
        assert apply_remedy(task) is None  # the readings under the old decay do not count again
        assert task.state.optimiser.param_groups[0]["weight_decay"] == pytest.approx(then)


# Searches


def stripes(count=256, side=8, seed=0):
    """Two classes, upright and level stripes: every pixel and every mean is the same in both."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    lines = (np.arange(side)[None] + rng.integers(2, size=count)[:, None]) % 2
    images = np.repeat(lines[:, :, None], side, 2)
    images = np.where(labels[:, None, None] == 1, images.transpose(0, 2, 1), images)
    pixels = (images * 200 + rng.integers(40, size=images.shape)).astype(np.uint8)[..., None]
    return ImageSet(pixels, labels, tuple(map(str, range(count))), ("level", "upright"), f"stripes {seed}")


def toy():
    """Two decisions between a window of 3 and one of 1, which sees no stripes."""
    layers = {f"layer{i}": Choice(("one", "three"), (conv(4, 1), conv(4, 3)), f"layer{i}") for i in (1, 2)}
    return SpaceFamily(SearchSpace("toy", Network("toy", seq(stem=conv(4, 1), **layers, head=head(2)), (1, 8, 8))))


STRIPES = recipe_of("digits", ["resolution=8", "evaluate.resolution=8", 'augment.crop="none"'])


@pytest.mark.parametrize(("method", "order"), [("darts", 1), ("darts", 2), ("rsws", 1)])
def test_a_search_finds_the_operation_that_sees(method, order, tmp_path):
    options = OneShotOptions(
        method=method, order=order, epochs=12, batch=16, lr=0.05, alpha_lr=0.05, eigenvalue_every=6, candidates=8
    )
    found = search_one_shot(stripes(), STRIPES, options, toy(), tmp_path, space="toy")
    assert "three" in found.text, found.text
    best = json.loads((tmp_path / "best.json").read_text())
    assert best["input"] == [1, 8, 8]
    assert "choice" not in json.dumps(best)
    log = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert len(log) == 12
    if method == "darts":
        assert log[0]["eigenvalue"] is not None
        assert log[1]["eigenvalue"] is None
        assert log[-1]["entropy"] < log[0]["entropy"]
    else:
        assert found.verdict == "not asked"
        assert "8 networks scored" in found.said


class Killed(Exception):
    pass


@pytest.mark.parametrize("method", ["darts", "rsws"])
def test_a_killed_search_goes_on_as_if_nothing_had_happened(method, digits, tmp_path):
    options = OneShotOptions(
        method=method, epochs=2, batch=32, eigenvalue_every=2, watch_images=64, candidates=4, finalists=2
    )

    def kill(tick):
        if tick.step == 2 * tick.steps - 1:  # after the checkpoint of the first epoch, in the second
            raise Killed

    with pytest.raises(Killed):
        search_one_shot(digits, RECIPE, options, FAMILY, tmp_path / "killed", progress=kill)
    assert checkpoint.read_newest(tmp_path / "killed")["threads"] == torch.get_num_threads()  # which it goes on with
    again = search_one_shot(digits, RECIPE, options, FAMILY, tmp_path / "killed")
    whole = search_one_shot(digits, RECIPE, options, FAMILY, tmp_path / "whole")
    assert again.genotype == whole.genotype
    logs = [
        [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in path.read_text().splitlines()]
        for path in (tmp_path / "killed" / "metrics.jsonl", tmp_path / "whole" / "metrics.jsonl")
    ]
    assert logs[0] == logs[1]
    assert len(logs[0]) == 2
    assert search_one_shot(digits, RECIPE, options, FAMILY, tmp_path / "whole") == whole  # done: nothing is run again
    with pytest.raises(NetlatheError, match=r"another one-shot search: other options\.epochs"):
        search_one_shot(digits, RECIPE, replace(options, epochs=4), FAMILY, tmp_path / "whole")
    with pytest.raises(NetlatheError, match="another one-shot search: other space"):
        search_one_shot(digits, RECIPE, options, replace(FAMILY, final_channels=8), tmp_path / "whole")


def test_an_interrupt_keeps_the_best_genotype_so_far_and_the_search_goes_on(digits, tmp_path):
    options = OneShotOptions(epochs=2, batch=32, eigenvalue_every=0, watch_images=64)

    def interrupt(tick):
        if tick.step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        search_one_shot(digits, RECIPE, options, FAMILY, tmp_path, progress=interrupt)
    assert json.loads((tmp_path / "result.json").read_text())["ended"] == "interrupted"
    assert (tmp_path / "best.json").exists()
    found = search_one_shot(digits, RECIPE, options, FAMILY, tmp_path)
    assert found.ended == "whole schedule"
    assert found.steps == 8
    assert found.last["epoch"] == 1


@pytest.mark.parametrize("method", ["darts", "rsws"])
def test_a_search_ends_within_its_time(method, digits, tmp_path):
    """By a clock that every look moves on by a tenth of a second: nothing hangs on how fast this machine is."""
    ticks = itertools.count()
    options = OneShotOptions(method=method, epochs=None, batch=32, eigenvalue_every=0, watch_images=32)
    found = search_one_shot(digits, RECIPE, options, FAMILY, tmp_path, time_s=10.0, clock=lambda: next(ticks) / 10)
    assert found.ended == "out of time"
    assert 5 < found.seconds < 11
    assert 0.001 < found.last["lr"] < 0.005  # the schedule came to its end with the time
    if method == "rsws":
        assert 10 <= found.last["candidates"] < 1000  # fewer than released, and it says so
        assert f"{found.last['candidates']} networks scored" in found.said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"remedy": "early"}, "did you mean early-stop"),
        ({"order": 3}, "first and a second order"),
        ({"remedy": "decay", "eigenvalue_every": 0}, "never computed"),
        ({"lr": 0.0}, "lr must be positive"),
        ({"batch": 1}, "batch must be at least 2"),
    ],
)
def test_options_that_cannot_be_are_refused(change, said):
    with pytest.raises(NetlatheError) as caught:
        OneShotOptions(**change)
    assert said in str(caught.value)


def test_a_search_needs_enough_images_and_operations(digits, tmp_path):
    with pytest.raises(NetlatheError, match="two halves of 128"):
        search_one_shot(digits, RECIPE, OneShotOptions(batch=200), FAMILY, tmp_path)
    with pytest.raises(NetlatheError, match="two or more"):
        Cells(operations=("skip",))
    with pytest.raises(NetlatheError, match="unknown operation 'sep4'"):
        Cells(operations=("skip", "sep4"))


def test_what_a_search_finds_is_a_member_of_the_space_of_darts():
    family = DartsFamily(cells=Cells())
    genotype = family.draw(np.random.default_rng(0))
    assert get("darts").contains(family.network(genotype, (3, 32, 32), 10, "found"))


def test_a_space_without_open_choices_has_no_supernet():
    with pytest.raises(NetlatheError, match="regnetx has no supernet"):
        SpaceFamily(get("regnet"))


def test_the_command_finds_a_network_that_trains(tmp_path, capfd):
    from netlathe.cli.search_darts import command

    words = "--data digits --recipe digits --images 256 --batch 32 --epochs 1 --channels 4 --cells 3 --steps 1"
    words += f" --operations skip,sep3 --final-channels 4 --final-cells 3 --threads 1 -o {tmp_path / 'found'}"
    done = CliRunner().invoke(command, words.split(), catch_exceptions=False)
    assert done.exit_code == 0
    assert "darts-1 on darts, whole schedule: not collapsed" in done.output
    assert 'genotype  (Cell(((("' in done.output
    assert "netlathe search rsws" in done.output
    assert "does not reveal a collapse" in done.output + done.stderr
    best, trained = tmp_path / "found" / "best.json", tmp_path / "trained"
    assert (
        netlathe(f"train {best} --data digits --recipe digits --epochs 1 --threads 1 -o {trained} --json".split()) == 0
    )
    assert json.loads(capfd.readouterr().out)["data"]["params"] > 100
