"""Where candidates come from: a folder of the user, a search, and a source that a test adds in one file."""

import json
from pathlib import Path

import numpy as np
import pytest

from netlathe import zoo
from netlathe.arch.document import to_json
from netlathe.choose.budget import Accuracy
from netlathe.choose.run import MeasurementCache
from netlathe.cli.main import run
from netlathe.cost.count import count
from netlathe.device.card import DeviceCard, ErrorBar, Model
from netlathe.errors import Exit, NetlatheError
from netlathe.lower.onnx import save_onnx
from netlathe.sources import registry
from netlathe.sources.folder import NetFolder
from netlathe.sources.registry import SourceKind, open_source, register
from netlathe.sources.source import SourceEntry, SourceFilter, candidates, expressions
from netlathe.target.device import targets_on
from netlathe.target.here import MachineTarget

MODEL = Model("onnxruntime", "2026-01-01", 9, {"*.macs": 20.0, "*.calls": 0.01}, ErrorBar(0.1, 1.0, 0.8, 1.3))
SMALL, LARGE = zoo.get("mobilenetv1_025", resolution=64), zoo.get("mobilenetv1", resolution=64)
PHONE = ("--device", "phone-a76-core")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """A folder of networks without accuracies."""
    folder = tmp_path_factory.mktemp("networks")
    save_onnx(SMALL, folder / "small.onnx")
    (folder / "large.json").write_text(to_json(LARGE))
    (folder / "nets.py").write_text(
        "from netlathe import zoo\ndef middle():\n    return zoo.get('mobilenetv1', alpha=0.5, resolution=64)\n"
    )
    return folder


@pytest.fixture
def table(files):
    """Writes the CSV file of the folder, and takes it away again."""
    path = files / "accuracy.csv"
    yield lambda text: path.write_text(text)
    path.unlink(missing_ok=True)


GOOD = "file,accuracy,images\nsmall.onnx,51.5,50000\nlarge,70.5,50000\nnets.py:middle,64,50000\n"


def chosen(capsys, *words):
    """The data of a choice and what else it says."""
    code = run(["choose", *words, "--json"])
    document = json.loads(capsys.readouterr().out)
    assert code == Exit.DONE, document
    return document["data"], document["warnings"]


def test_a_folder_with_accuracies_is_chosen_from_by_forecast(files, table, capsys):
    table(GOOD)
    data, _ = chosen(capsys, "--from", str(files), *PHONE, "--latency", "1s")
    assert data["candidates"] == 3
    assert (data["pick"]["name"], data["pick"]["top1"]) == ("large.json", 70.5)
    data, _ = chosen(capsys, "--from", str(files), *PHONE, "--macs", "5M")
    assert data["pick"]["name"] == "small.onnx"
    assert data["pick"]["size_bytes"] == (files / "small.onnx").stat().st_size
    assert f"--from {files}" in data["command"]


def test_an_onnx_file_has_the_macs_of_the_expression_that_it_was_written_from(files, table):
    table(GOOD)
    found = {c.net.name: c for c in candidates(open_source(str(files)), targets_on("phone-a76-core"))}
    assert found["small.onnx"].macs == count(SMALL.graph()).macs
    assert found["small.onnx"].forecast.ms > 0


def test_networks_that_the_table_does_not_list_are_left_out_and_named(files, table, capsys):
    table("name,accuracy\nsmall,51.5\n")
    data, warnings = chosen(capsys, "--from", str(files), *PHONE, "--latency", "1s")
    assert data["candidates"] == 1
    assert any("left out, for no accuracy is known: large.json" in said for said in warnings)


def test_without_accuracies_a_choice_is_refused_and_the_file_to_write_is_named(files):
    with pytest.raises(NetlatheError, match="no accuracy is known") as error:
        candidates(open_source(str(files)), targets_on("phone-a76-core"))
    assert "file,accuracy" in error.value.hint


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("file,acuracy\nsmall,50\n", "acuracy: unknown column (did you mean accuracy?)"),
        ("accuracy\n50\n", "one of the columns file and name has to be there"),
        ("file,accuracy\nsmal.onnx,50\n", "line 2: 'smal.onnx' is no file here (did you mean small.onnx?)"),
        ("file,accuracy\nsmall,50\nsmall.onnx,51\n", "line 3: small.onnx is in line 2 already"),
        ("file,accuracy\nsmall,0.76\n", "must be from 1 to 100 %, not 0.76: a share is written as a percentage, 76"),
        ("file,accuracy\nsmall,176\n", "accuracy must be from 1 to 100 %, not 176"),
        ("file,accuracy\nsmall,good\n", "accuracy must be a positive number, not 'good'"),
        ("file,accuracy,resolution\nsmall,50,64.5\n", "resolution must be a whole number, not 64.5"),
    ],
)  # fmt: skip
def test_a_table_with_faults_is_refused_with_each_of_them(files, table, text, fault):
    table(text)
    with pytest.raises(NetlatheError) as error:
        NetFolder(files)
    assert fault in error.value.message


def test_what_is_no_source_is_refused_with_what_is(tmp_path):
    with pytest.raises(NetlatheError, match="is no source of candidates") as error:
        open_source(str(tmp_path / "nowhere"))
    assert "the folder of a search" in error.value.hint
    with pytest.raises(NetlatheError, match="no networks in this folder"):
        open_source(str(tmp_path))


def test_what_cannot_be_trained_is_named(files, table):
    networks, others = expressions(open_source(str(files)))
    assert ([network.name for network in networks], others) == (["large.json"], ["small.onnx"])
    table("file,accuracy\nsmall,50\n")
    with pytest.raises(NetlatheError, match=r"none of these has an expression to train: small\.onnx"):
        expressions(open_source(str(files)))


class TwoNetworks:
    """A source in one file."""

    notes = ()

    def entries(self, wanted):
        yield SourceEntry(SMALL.renamed("mine-small"), Accuracy(51.0))
        yield SourceEntry(LARGE.renamed("mine-large"), Accuracy(71.0))


@pytest.fixture
def mine(monkeypatch):
    monkeypatch.setattr(registry, "KINDS", list(registry.KINDS))
    register(SourceKind("two", "two networks", lambda text: text == "two", lambda text: TwoNetworks()))


def test_a_new_source_is_one_file_that_choose_and_fit_use(mine, capsys):
    data, _ = chosen(capsys, "--from", "two", *PHONE, "--latency", "1s")
    assert (data["pick"]["name"], data["candidates"]) == ("mine-large", 2)
    pytest.importorskip("torch")
    words = ["fit", "digits", "--from", "two", *PHONE, "--macs", "100M", "--epochs", "5", "--dry-run", "--json"]
    assert run(words) == Exit.DONE
    document = json.loads(capsys.readouterr().out)["data"]
    assert {row["name"].partition("@")[0] for row in document["candidates"]} == {"mine-small", "mine-large"}


def test_the_networks_of_a_search_have_the_accuracies_that_it_measured(tmp_path, capsys):
    pytest.importorskip("torch")
    images = np.random.default_rng(0).integers(0, 255, (80, 16, 16, 1), np.uint8)
    np.savez(tmp_path / "noise.npz", images=images, labels=np.arange(80) % 2)
    data = ("--data", str(tmp_path / "noise.npz"), "--resolution", "16", "--recipe", "digits", "--set", "batch=16")
    words = (*data, "--strategy", "random", "--evaluations", "2", "--epochs", "1", "-o", str(tmp_path / "search"))
    assert run(["search", "run", "around:resnet20", *words]) == Exit.DONE
    capsys.readouterr()
    data, _ = chosen(capsys, "--from", str(tmp_path / "search"), *PHONE, "--latency", "10s")
    shown = run(["search", "show", str(tmp_path / "search"), "--json"])
    best = json.loads(capsys.readouterr().out)["data"]["best"]
    assert shown == Exit.DONE
    assert data["pick"]["top1"] == pytest.approx(best["score"])
    assert data["pick"]["recipe"] == f"the search, trial {best['number']}"
    assert refusal(tmp_path / "search", recipe="imagenet") == (
        "no recipe has the word 'imagenet'",
        "recipes: the search, trial 0; the search, trial 1",
    )
    assert refusal(tmp_path / "search", pattern="vgg*")[0] == "no network matches 'vgg*' in this search"


def refusal(source, **wanted):
    """What is said, and the hint, where a source has nothing that is wanted."""
    with pytest.raises(NetlatheError) as error:
        list(open_source(str(source)).entries(SourceFilter(**wanted)))
    assert error.value.code == "choose.no_candidates"
    return error.value.message, error.value.hint


def test_the_cause_is_named_where_the_recipe_alone_excludes_everything(files, table):
    table(GOOD)
    message, hint = refusal("zoo", pattern="resnet50", recipe="rsb9")
    assert message == "no recipe of resnet50 has the word 'rsb9'"
    assert hint.startswith("recipes: ")
    assert refusal(files, recipe="rsb")[0] == "no recipe of these accuracies is known, so none is 'rsb'"


@pytest.mark.parametrize("recipe", ["", "rsb"])
def test_the_cause_is_the_pattern_where_no_name_matches(files, table, recipe):
    table(GOOD)
    assert refusal("zoo", pattern="resnet5o", recipe=recipe)[0].startswith("no network matches 'resnet5o'")
    message, hint = refusal(files, pattern="smal.onnx", recipe=recipe)
    assert (message, hint) == ("no network matches 'smal.onnx' in this folder", "did you mean small.onnx?")


def test_an_onnx_file_of_a_folder_is_measured_here(files, table, tmp_path, monkeypatch):
    """Through the same worker as `netlathe bench FILE`."""
    monkeypatch.setenv("NETLATHE_CACHE", str(tmp_path))
    table("file,accuracy\nsmall,51.5\n")
    card = DeviceCard("this-test", "a test", "server cpu core", "2026-01-01", (), (MODEL,))
    targets = [MachineTarget(card, "onnxruntime")]
    (found,) = MeasurementCache(targets, 0.1).measure(candidates(open_source(str(files)), targets))
    assert found.latency.failure is None
    assert found.latency.network == "small.onnx"
    assert found.latency.median_ms > 0
