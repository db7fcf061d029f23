"""Controlled experiments: runs that are never done twice, parts of the images, the command."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from command import netlathe as netlathe_command
from experiments import reached, study_of
from hypothesis import given, settings
from hypothesis import strategies as st

from netlathe.cli.experiment import parts
from netlathe.cli.main import run as netlathe
from netlathe.errors import MissingExtra, NetlatheError
from netlathe.train.experiment import grid


def a_trainer(percent=lambda run: 90.0, log=None):
    def run(cell, folder, before):
        assert folder.is_dir()
        if log is not None:
            log.append(cell)
        return reached(percent(cell))

    return run


def silent(line):
    pass


# The runs


def test_a_run_is_named_by_its_content():
    folders = {run: run.folder for run in study_of().runs}
    assert len(set(folders.values())) == 20
    assert set(study_of(seeds=7).runs) > set(folders)
    assert set(study_of(networks=("A", "B", "C")).runs) > set(folders)
    other = study_of(content=lambda *cell: f"another {cell}")
    assert not {run.folder for run in other.runs} & set(folders.values())
    assert not {run.folder for run in study_of(seconds=60.0).runs} & set(folders.values())
    named = study_of(networks=("nets/wide.py:net", "mobilenetv1:alpha=0.5"), recipes=("my recipes/x.toml",))
    assert all(Path(run.folder).parent == Path("runs") for run in named.runs)


def test_an_interrupted_study_is_balanced_over_its_cells():
    runs = study_of(fractions=(0.5, 1.0)).runs
    for stop in range(len(runs)):
        counts = [sum(r[:3] == cell[:3] for r in runs[:stop]) for cell in runs[:8]]
        assert max(counts) - min(counts) <= 1


def test_finished_runs_are_never_done_again(tmp_path):
    experiment, log = study_of(), []
    grid.save_experiment(experiment, tmp_path)

    def stops(run, folder, before):
        if len(log) == 7:
            raise KeyboardInterrupt
        return a_trainer(log=log)(run, folder, before)

    with pytest.raises(KeyboardInterrupt):
        grid.run_pending(experiment, tmp_path, stops, silent)
    assert len(grid.read_results(experiment, tmp_path)) == 7
    assert grid.run_pending(experiment, tmp_path, a_trainer(log=log), silent) == {}
    assert sorted(log) == sorted(experiment.runs)
    larger = study_of(seeds=6)
    grid.save_experiment(larger, tmp_path)
    grid.run_pending(larger, tmp_path, a_trainer(log=log), silent)
    assert [run.seed for run in log[20:]] == [5] * 4


KILLED = """
import os, signal, sys
from pathlib import Path
from types import SimpleNamespace
from netlathe.train.experiment import grid

def trainer(run, folder, before):
    (folder / "begun").touch()
    if len(before) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return grid.RunResult(0.9, None, 1, 1, 1.0)

folder = Path(sys.argv[1])
grid.run_pending(grid.load_experiment(folder), folder, trainer, print)
"""


def test_a_killed_study_goes_on_where_it_was(tmp_path):
    experiment, log = study_of(), []
    grid.save_experiment(experiment, tmp_path)
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(done.stdout.splitlines()) <= 3
    grid.run_pending(experiment, tmp_path, a_trainer(log=log), silent)
    assert log == list(experiment.runs[3:])
    assert (tmp_path / experiment.runs[3].folder / "begun").exists()  # in the folder that holds its checkpoint


def test_a_run_that_fails_is_reported_and_tried_again(tmp_path):
    experiment, said, log = study_of(), [], []
    grid.save_experiment(experiment, tmp_path)

    def diverges(run, folder, before):
        if run.network == "B" and run.seed == 2:
            raise NetlatheError("the loss is nan", code="train.not_a_number")
        return reached(90)

    failed = grid.run_pending(experiment, tmp_path, diverges, said.append)
    assert {(run.network, run.seed) for run in failed} == {("B", 2)}
    assert sum("failed: the loss is nan" in line for line in said) == 2
    grid.run_pending(experiment, tmp_path, a_trainer(log=log), silent)
    assert set(log) == set(failed)


def test_what_no_run_can_do_without_stops_the_study(tmp_path):
    def lacks(run, folder, before):
        raise MissingExtra("torch", "train")

    grid.save_experiment(study_of(), tmp_path)
    with pytest.raises(MissingExtra):
        grid.run_pending(study_of(), tmp_path, lacks, silent)


def test_two_processes_do_not_work_on_one_study(tmp_path):
    grid.save_experiment(study_of(), tmp_path)

    def meanwhile(run, folder, before):
        with pytest.raises(NetlatheError, match="is at work in this folder"):
            grid.run_pending(study_of(), tmp_path, a_trainer(), silent)
        return reached(90)

    assert grid.run_pending(study_of(), tmp_path, meanwhile, silent) == {}


def test_a_plan_is_read_as_it_was_written(tmp_path):
    experiment = study_of(fractions=(0.1, 1.0))
    grid.save_experiment(experiment, tmp_path)
    assert grid.load_experiment(tmp_path) == experiment


def test_a_folder_of_another_study_is_refused_and_says_what_differs(tmp_path):
    grid.save_experiment(study_of(epochs=3), tmp_path)
    with pytest.raises(NetlatheError, match="another study") as caught:
        grid.save_experiment(study_of(epochs=5), tmp_path)
    assert "epochs: stopped with 3, asked for 5" in caught.value.hint


@pytest.mark.parametrize("content", ["{", "[]", '{"runs": []}'])
def test_a_broken_plan_or_result_is_named(tmp_path, content):
    experiment = study_of()
    grid.save_experiment(experiment, tmp_path)
    place = tmp_path / experiment.runs[0].folder
    place.mkdir(parents=True)
    (place / grid.OUTCOME).write_text(content)
    with pytest.raises(NetlatheError, match="is damaged") as caught:
        grid.read_results(experiment, tmp_path)
    assert caught.value.path.endswith(grid.OUTCOME)
    (tmp_path / grid.PLAN).write_text(content)
    with pytest.raises(NetlatheError) as caught:
        grid.load_experiment(tmp_path)
    assert caught.value.path.endswith(grid.PLAN)
    assert "remove it" in caught.value.hint


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"networks": ("A", "A")}, "network A is given twice"),
        ({"fractions": (0.5, 2.0)}, "2 is not a fraction"),
        ({"fractions": (0.0,)}, "0 is not a fraction"),
        ({"recipes": ()}, "at least one recipe"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(change, said):
    with pytest.raises(NetlatheError, match=said):
        study_of(**change)


# Parts of the training images


@settings(max_examples=30)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=80), st.floats(0.01, 1), st.floats(0.01, 1), st.integers(0, 9))
def test_a_smaller_part_lies_in_a_larger_one_and_holds_every_class(labels, one, other, seed):
    from netlathe.train.experiment.subset import choose_rows

    labels = np.array(labels)
    small, large = (choose_rows(labels, share, seed) for share in sorted((one, other)))
    assert set(small) <= set(large)
    assert set(labels[small]) == set(labels)
    for label in set(labels.tolist()):
        count = (labels == label).sum()
        assert abs((labels[small] == label).sum() - min(one, other) * count) < 1
    np.testing.assert_array_equal(choose_rows(labels, 1.0, seed), np.arange(len(labels)))


def test_a_seed_has_its_own_part():
    from netlathe.train.experiment.subset import choose_rows

    labels = np.zeros(1000, int)
    assert len(set(choose_rows(labels, 0.1, 0)) & set(choose_rows(labels, 0.1, 1))) < 30
    np.testing.assert_array_equal(choose_rows(labels, 0.1, 3), choose_rows(labels, 0.1, 3))


# The command


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("a,b", ["a", "b"]),
        ("mobilenetv1:alpha=0.5,shallow=true,resnet20", ["mobilenetv1:alpha=0.5,shallow=true", "resnet20"]),
        ("nets.py:one, nets.py:two,", ["nets.py:one", "nets.py:two"]),
    ],
)
def test_lists_are_split_at_commas_but_choices_stay_with_their_network(text, known):
    assert parts(text) == known


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--nets", "resnet20"], "--recipes is missing"),
        (["--nets", "resnet2O", "--recipes", "digits"], "resnet20"),
        (["--nets", "resnet20,resnet20", "--recipes", "digits"], "given twice"),
        (["--nets", "resnet20", "--recipes", "digit"], "digits"),
        (["--nets", "resnet20", "--recipes", "digits", "--fractions", "half"], "--fractions 0.1,0.3,1"),
        (["--nets", "resnet20", "--recipes", "digits", "--seeds", "0"], "seeds"),
        (["--nets", "resnet20", "--recipes", "digits", "--equal", "time"], "epochs, images, macs"),
        (["--show"], "holds no study"),
    ],
)
def test_a_wrong_command_says_what_is_wrong(words, said, tmp_path, capsys):
    assert netlathe(["experiment", *words, "-o", str(tmp_path / "study")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "study").exists()


def test_show_prints_an_unfinished_study_and_writes_its_tables(tmp_path, capsys):
    experiment = study_of()
    grid.save_experiment(experiment, tmp_path)
    assert netlathe(["experiment", "--show", "-o", str(tmp_path)]) == 2
    assert "no run of this study has finished" in capsys.readouterr().err
    enough = iter(range(8))

    def stops(run, folder, before):
        next(enough)
        return reached(90 + 2 * (run.network == "A") + 0.1 * run.seed)

    with pytest.raises(StopIteration):
        grid.run_pending(experiment, tmp_path, stops, silent)
    assert netlathe(["experiment", "--show", "-o", str(tmp_path)]) == 0
    assert "Unfinished: 12 of 20 runs are missing" in capsys.readouterr().out
    assert "Unfinished: 12 of 20" in (tmp_path / "table.md").read_text()
    assert netlathe(["experiment", "--show", "-o", str(tmp_path), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["schema"] == "netlathe.experiment/1"
    assert shown["data"] == json.loads((tmp_path / "table.json").read_text())


# Real trainings


@pytest.fixture(scope="module")
def setup():
    from netlathe import zoo
    from netlathe.train.experiment.trainer import ExperimentSetup
    from netlathe.train.images import load
    from netlathe.train.recipefile import load as recipe

    networks = {name: zoo.get(name) for name in ("resnet20", "resnet32")}
    return ExperimentSetup(networks, {"digits": recipe("digits")}, load("digits", size=8), epochs=3)


@pytest.mark.parametrize("equal", ["epochs", "images", "macs"])
def test_what_is_asked_to_be_equal_is(setup, equal):
    chosen = setup._replace(equal=equal)
    cells = [(network, fraction) for network in setup.networks for fraction in (0.25, 1.0)]
    epochs = {cell: chosen.epochs_of(cell[0], "digits", cell[1]) for cell in cells}
    images = {(name, fraction): epochs[name, fraction] * fraction for name, fraction in cells}
    macs = {(name, fraction): images[name, fraction] * setup.macs(name, "digits") for name, fraction in cells}
    alike = {"epochs": epochs, "images": images, "macs": macs}[equal]
    assert list(alike.values()) == pytest.approx([alike["resnet20", 1.0]] * 4)
    assert epochs["resnet20", 1.0] == 3


def test_the_content_of_a_run_is_all_that_changes_its_outcome(setup):
    from netlathe import zoo
    from netlathe.train.recipefile import load as recipe

    def content(**changes):
        return setup._replace(**changes).content("resnet20", "digits", 1.0)

    part = setup.splits.train
    others = [
        {"epochs": 4},
        {"recipes": {"digits": recipe("digits", ["optimiser.lr=0.0123"])}},
        {"networks": {"resnet20": zoo.get("resnet32")}},
        {"splits": SimpleNamespace(train=part, validation=setup.splits.validation, test=None)},
    ]
    assert len({content(), *(content(**change) for change in others)}) == 5
    assert content() == content(recipes={"digits": recipe("digits", ["title=another"])})
    assert content() != setup.content("resnet20", "digits", 0.5)


def test_a_network_that_does_not_fit_is_named_before_anything_is_trained(setup):
    from netlathe import zoo

    with pytest.raises(NetlatheError, match="does not fit") as caught:
        setup._replace(networks={"wide": zoo.get("convnext_tiny")}).content("wide", "digits", 1.0)
    assert caught.value.path.startswith("wide.")


def test_the_precision_of_the_first_run_of_a_network_is_that_of_all(setup, tmp_path, monkeypatch):
    from netlathe.train.experiment import trainer as module

    asked = []

    def train(network, splits, recipe, folder, *, precision, **rest):
        asked.append((network.name, precision))
        (folder / "checkpoint-a.pt").touch()
        chosen = precision if precision != "auto" else f"best for {network.name}"
        return SimpleNamespace(validation=0.9, test=None, images=1, macs_seen=1, seconds=1.0, precision=chosen)

    monkeypatch.setattr(module, "train", train)
    experiment = study_of(networks=("resnet20", "resnet32"), recipes=("digits",), seeds=2)
    grid.save_experiment(experiment, tmp_path)
    for _ in range(2):  # the second time nothing is left to do
        assert grid.run_pending(experiment, tmp_path, module.make_trainer(setup), silent) == {}
    best = [(name, f"best for {name}") for name in ("resnet20", "resnet32")]
    assert asked == [("resnet20", "auto"), ("resnet32", "auto"), *best]
    assert not list(tmp_path.rglob("checkpoint-*.pt"))


def test_a_small_study_of_the_digits_from_the_command_line(tmp_path):
    def experiment(*words):
        program = ["experiment", "--threads", "1", "--precision", "fp32"]
        program += ["--nets", "resnet20:depth=8,width=4,resnet20:depth=8,width=8", "--recipes", "digits", *words]
        done = netlathe_command(*program, "--epochs", "1", "--seeds", "2", "-o", "study", "--json", cwd=tmp_path)
        return json.loads(done.stdout)["data"], done.stderr

    first, _ = experiment()
    assert (first["planned"], first["finished"], first["scored_on"]) == (4, 4, "test")
    assert first["facts"]["test_images"] == 269
    assert {run["precision"] for run in first["runs"]} == {"fp32"}
    more, said = experiment("--fractions", "0.5,1")
    assert "8 runs, 4 of them finished" in said
    assert [run for run in more["runs"] if run["fraction"] == 1] == first["runs"]
    every = {source["name"] for source in more["decomposition"] if source["fraction"] is None}
    assert every == {"network", "fraction", "network x fraction", "seed noise"}
