"""A kit goes to a device that has no Netlathe, measures there, is interrupted and damaged, and becomes a card."""

from __future__ import annotations

import ast
import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import numpy
import onnxruntime
import pytest
from command import PATIENCE_S, netlathe

from netlathe.bench import statistics, worker
from netlathe.bench.kit import folder, measure
from netlathe.device import card, measurements
from netlathe.errors import NetlatheError

SIX = ["resnet20@64", "resnet20@32", "resnet32@64", "resnet32@32", "resnet44@64", "resnet44@32"]

# A runtime that takes no time, so that these tests do not either. It says that it may not report before it is imported,
# and stops at the file that STUCK names.
STAND_IN = """
import os, time
assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
__version__ = "9.9"
class ExecutionMode: ORT_SEQUENTIAL = 0
class SessionOptions:
    def add_session_config_entry(self, *_): pass
class InferenceSession:
    def __init__(self, file, *_, **__):
        if os.environ.get("BROKEN", "none") in file: raise RuntimeError("no such kernel")
        while os.environ.get("STUCK", "none") in file: time.sleep(0.01)
    def run(self, *_): sum(range(100))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A kit of three networks for tiny images, as the command line makes it."""
    path = tmp_path_factory.mktemp("kits") / "kit"
    result = netlathe("device", "kit", "-o", path, "-n", 3, "--networks", "resnet[234]?")
    assert "6 networks" in result.stdout
    return path


@pytest.fixture
def whole(made, tmp_path):
    """A copy of it, to damage; the large files are links."""
    path = tmp_path / "kit"
    (path / "networks").mkdir(parents=True)
    for name in ("manifest.csv", "measure.py", "README.md"):
        (path / name).write_bytes((made / name).read_bytes())
    for file in (made / "networks").iterdir():
        (path / "networks" / file.name).hardlink_to(file)
    return path


@pytest.fixture
def kit(whole):
    """The same with three lines, which are measured in half the time."""
    (whole / "manifest.csv").write_text(first_three(whole / "manifest.csv"))
    return whole


def first_three(manifest):
    """The columns and three networks of a manifest."""
    return "".join(manifest.read_text().splitlines(keepends=True)[:4])


@pytest.fixture(scope="module")
def device(tmp_path_factory):
    """The packages of a device: numpy and ONNX Runtime, nothing else."""
    path = tmp_path_factory.mktemp("device")
    for package in (numpy, onnxruntime):
        place = Path(package.__file__).parent
        for one in (place, place.with_name(f"{place.name}.libs")):
            if one.exists():
                (path / one.name).symlink_to(one)
    return path


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory, device):
    """The same, with a runtime that takes no time."""
    path = tmp_path_factory.mktemp("stand_in")
    for one in device.iterdir():
        if one.name.startswith("numpy"):
            (path / one.name).symlink_to(one)
    (path / "onnxruntime.py").write_text(STAND_IN)
    return path


@pytest.fixture(scope="module")
def results(made, stand_in):
    """What the runner wrote of three networks, as text; measured once."""
    path = made.parent / "measured"
    path.mkdir()
    (path / "measure.py").write_bytes((made / "measure.py").read_bytes())
    (path / "networks").symlink_to(made / "networks")
    (path / "manifest.csv").write_text(first_three(made / "manifest.csv"))
    call(path, stand_in)
    return (path / "results.csv").read_text()


def start(kit, packages, *words, **env):
    """The runner, in a Python that has these packages alone: -S leaves out those of this environment."""
    command = [sys.executable, "-S", str(kit / "measure.py"), "--seconds", "0.01", *words]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ORT_"))}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=clean | {"PYTHONPATH": str(packages)} | env, **pipes)


def call(kit, packages, *words, code=0, **env):
    """What the runner prints, both ways."""
    with start(kit, packages, *words, **env) as process:
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, out + err
    return out + err


def rows(file):
    """The rows of a CSV file."""
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def networks_of(file):
    """Its first column."""
    return [row["network"] for row in rows(file)]


# What is in it


def test_the_manifest_says_what_every_file_is(made):
    lines = rows(made / "manifest.csv")
    assert sorted(row["network"] for row in lines) == sorted(SIX)
    for row in lines:
        session = onnxruntime.InferenceSession(made / row["file"])
        (value,) = session.get_inputs()
        assert (value.name, value.type) == (row["input"], "tensor(float)")
        assert "x".join(map(str, value.shape)) == row["shape"]
        graph = measurements.network_named(row["network"]).graph()
        assert int(row["macs"]) == sum(op.macs for op in graph.ops)
        assert int(row["bytes"]) == (made / row["file"]).stat().st_size
    readme = (made / "README.md").read_text()
    assert all(f"`{column}`" in readme for column in folder.KitFile._fields)


def test_the_document_of_a_kit_lists_its_files(tmp_path):
    words = ["device", "kit", "-o", tmp_path / "kit", "-n", 3, "--networks", "resnet[234]?", "--json"]
    document = json.loads(netlathe(*words).stdout)
    assert document["schema"].startswith("netlathe.device.kit")
    assert [file["network"] for file in document["data"]["files"]] == networks_of(tmp_path / "kit" / "manifest.csv")


# What the runner is


def test_the_runner_needs_python_3_8_numpy_and_onnxruntime_alone():
    source = Path(measure.__file__).read_text()
    tree = ast.parse(source, feature_version=(3, 8))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} - sys.stdlib_module_names == {"numpy", "onnxruntime"}
    newer = {"removeprefix", "removesuffix", "pairwise", "bit_count", "hardlink_to"}
    assert not newer & {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    zips = [one for one in calls if isinstance(one.func, ast.Name) and one.func.id == "zip"]
    assert not [one for one in zips if one.keywords]


def test_the_runner_speaks_of_what_netlathe_reads():
    assert measure.FORMAT == measurements.KIT
    assert set(measure.MANIFEST) <= set(folder.KitFile._fields)
    assert set(measure.RESULTS) == {
        *measurements.NEEDED, *measurements.DEFAULTS, *measurements.DESCRIBES, *measurements.EVIDENCE,
    }  # fmt: skip
    assert numpy.allclose(measure.smooth_input((1, 3, 32, 20)), worker.smooth_input((1, 3, 32, 20)), atol=1e-5)


@pytest.mark.parametrize("disturbed", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("processes", [2, 3, 6])
def test_the_runner_estimates_as_bench_does(disturbed, threads, processes):
    random = Random(f"{disturbed} {threads} {processes}")

    def run():
        own = random.uniform(3, 4)
        taken = random.random() < disturbed
        return (own + taken * random.uniform(1, 9), own * threads * random.uniform(0.9, 1), 2 * taken)

    samples = [[[run() for _ in range(random.randint(1, 9))] for _ in range(6)] for _ in range(processes)]
    ours = [statistics.Process([[statistics.Sample(*run) for run in block] for block in one]) for one in samples]
    _, expected = statistics.summarise_processes(ours, threads)
    theirs = measure.estimate([[[measure.Run(*run) for run in block] for block in one] for one in samples], threads)
    quiet = (expected.quiet_ms, expected.quiet_low_ms, expected.quiet_high_ms, expected.median_ms)
    assert theirs[:4] == pytest.approx(quiet, rel=1e-12)
    assert theirs.runs == expected.runs


@pytest.mark.parametrize(
    ("texts", "tools", "processor"),
    [
        ({"/proc/cpuinfo": "processor : 0\nmodel name\t: AMD EPYC\nmodel name\t: AMD EPYC\n"}, {}, "AMD EPYC"),
        ({"/sys/firmware/devicetree/base/model": "Raspberry Pi 5 Model B\0"}, {}, "Raspberry Pi 5 Model B"),
        ({}, {"ro.product.model": "Pixel 8\n", "ro.soc.model": "Tensor G3\n"}, "Pixel 8, Tensor G3"),
        ({}, {"machdep.cpu.brand_string": "Apple M2"}, "Apple M2"),
    ],
)
def test_the_runner_names_the_device(monkeypatch, texts, tools, processor):
    monkeypatch.setattr(measure, "read_text", lambda path: texts.get(path, ""))
    monkeypatch.setattr(measure, "ask", lambda *command: [tools[command[-1]]] if command[-1] in tools else [])
    assert measure.describe_device("1.2")["processor"] == processor


# There and back


def test_a_device_without_netlathe_measures_and_becomes_a_card(whole, device, tmp_path):
    alone = subprocess.run(
        [sys.executable, "-S", "-c", "import numpy, onnxruntime\nimport netlathe"],
        env={"PYTHONPATH": str(device)}, capture_output=True, text=True,
    )  # fmt: skip
    assert "No module named 'netlathe'" in alone.stderr
    printed = call(whole, device)
    assert "6 of 6 networks" in printed
    lines = rows(whole / "results.csv")
    assert networks_of(whole / "results.csv") == networks_of(whole / "manifest.csv")
    assert all(float(row["low_ms"]) <= float(row["latency_ms"]) <= float(row["high_ms"]) for row in lines)
    assert {row["runtime_version"] for row in lines} == {onnxruntime.__version__}
    out = tmp_path / "my-device.toml"
    netlathe("device", "fit", whole / "results.csv", "-o", out)
    (model,) = card.load(out).models
    assert (model.runtime, model.runtime_version, model.networks) == ("onnxruntime", onnxruntime.__version__, 6)
    assert model.machine == f"{lines[0]['processor']}, {lines[0]['system']}"
    assert card.load(out).name == lines[0]["processor"]
    assert lines[0]["system"] in netlathe("device", "show", out, "--wide").stdout
    assert lines[0]["processor"] in netlathe("choose", "--device", out, "--latency", "1000s").stdout


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_runner_goes_on_where_it_was(kit, stand_in, how):
    last = rows(kit / "manifest.csv")[2]["file"]
    with start(kit, stand_in, STUCK=last, PYTHONUNBUFFERED="1") as process:
        assert process.stdout is not None
        while "3 of 3" not in (title := process.stdout.read(8)):
            assert title, "it ended before the last network"
            process.stdout.readline()
        process.send_signal(how)
        _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "the same command goes on" in err
    before = (kit / "results.csv").read_text()
    assert len(rows(kit / "results.csv")) == 2
    assert call(kit, stand_in).count("done before") == 2
    assert (kit / "results.csv").read_text().startswith(before)
    assert networks_of(kit / "results.csv") == networks_of(kit / "manifest.csv")


@pytest.mark.parametrize(("cut", "left"), [(1, 2), (4, 2), (90, 2), (10_000, 0)])
def test_a_line_that_a_kill_tore_is_measured_again(kit, stand_in, results, cut, left):
    file = kit / "results.csv"
    file.write_text(results[: max(30, len(results) - cut)])  # in the end only a part of the columns
    if left and cut > 1:  # without the end of the line nothing is missing
        with pytest.raises(NetlatheError, match=r"line 4: it is incomplete: run the kit's measure\.py again"):
            measurements.read(file)
    printed = call(kit, stand_in)
    assert "incomplete" in printed
    assert printed.count("done before") == left
    assert networks_of(file) == networks_of(kit / "manifest.csv")


def test_other_threads_are_measured_beside(kit, stand_in, results):
    (kit / "results.csv").write_text(results)
    assert "done before" not in call(kit, stand_in, "--threads", "2")
    assert [row["threads"] for row in rows(kit / "results.csv")] == ["1", "1", "1", "2", "2", "2"]


def test_a_network_that_fails_does_not_stop_the_others(kit, stand_in):
    printed = call(kit, stand_in, code=1, BROKEN=rows(kit / "manifest.csv")[1]["file"])
    assert "failed: RuntimeError: no such kernel" in printed
    assert len(rows(kit / "results.csv")) == 2
    assert call(kit, stand_in).count("done before") == 2


# What is refused


def damage(path, old, new):
    """Write other text into a file."""
    text = path.read_text()
    assert old in text
    path.unlink()
    path.write_text(text.replace(old, new))


def tamper(kit):
    file = kit / "networks" / "resnet20-64.onnx"
    content = file.read_bytes()
    file.unlink()  # a link to that of other tests
    file.write_bytes(content[:-1] + b"x")


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (tamper, "networks/resnet20-64.onnx: its sha256 is"),
        (lambda kit: (kit / "networks/resnet20-32.onnx").unlink(), "networks/resnet20-32.onnx: No such file"),
        (
            lambda kit: damage(kit / "manifest.csv", "kit/1", "kit/2"),
            "manifest.csv is netlathe.kit/2, but this measure",
        ),
        (lambda kit: damage(kit / "manifest.csv", "sha256", "md5"), "it lacks sha256"),
        (lambda kit: (kit / "manifest.csv").write_text("network,file\n"), "lists no network"),
        (lambda kit: (kit / "manifest.csv").unlink(), "cannot read"),
        (lambda kit: (kit / "manifest.csv").write_bytes(b"\xff\xfe\x00"), "is damaged"),
        (lambda kit: (kit / "results.csv").write_text("network,ms\nresnet20,3\n"), "other columns than the results"),
        (lambda kit: (kit / "results.csv").mkdir(), "cannot write"),
    ],
)
def test_a_damaged_folder_is_refused_in_one_message(kit, stand_in, change, part):
    change(kit)
    printed = call(kit, stand_in, code=2)
    assert part in printed
    assert printed.startswith("error: ")
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("9.9", "8.8", "measured with runtime_version '8.8', here it is '9.9'"),
        ("netlathe.kit/1\n", "netlathe.kit/0\n", "no line of netlathe.kit/1"),
        (",1,fp32,1,", ",1,fp32,1,1,2,3,4,", "no line of netlathe.kit/1"),
    ],
)
def test_results_of_something_else_are_not_added_to(kit, stand_in, results, old, new, part):
    (kit / "results.csv").write_text(results)
    damage(kit / "results.csv", old, new)
    before = (kit / "results.csv").read_text()
    printed = call(kit, stand_in, code=2)
    assert part in printed
    assert "line 2" in printed
    assert "-o" in printed
    assert (kit / "results.csv").read_text() == before


def test_results_of_another_kit_are_not_added_to(kit, stand_in, results):
    (kit / "results.csv").write_text(results)
    damage(kit / "results.csv", rows(kit / "manifest.csv")[2]["sha256"], "0" * 64)
    assert "line 4: resnet" in call(kit, stand_in, code=2)


def test_a_device_without_onnx_runtime_is_told_what_to_install(kit, stand_in, tmp_path):
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "numpy").symlink_to(stand_in / "numpy")
    assert "pip install numpy onnxruntime" in call(kit, tmp_path / "packages", code=2)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["-o", "{there}"], "this folder holds other things"),
        (["-o", "{kit}"], "this folder holds a kit already"),
        (["-o", "{file}"], "this is a file"),
        (["-o", "{new}", "--networks", "resnet2O"], "or resnet20"),
        (["-o", "{new}", "--networks", "vgg*"], "only 0 networks of at most 10 MB match 'vgg*', but 10 are asked for"),
        (["-o", "{new}", "--max-size", "big"], "size"),
    ],
)
def test_a_kit_that_cannot_be_made_is_refused_before_anything_is_written(made, tmp_path, words, part):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "thesis.tex").touch()
    (tmp_path / "file").touch()
    places = {"there": tmp_path / "there", "kit": made, "file": tmp_path / "file", "new": tmp_path / "new"}
    message = netlathe("device", "kit", *(word.format(**places) for word in words), code=2).stderr
    assert part in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "there"]


def test_an_empty_folder_becomes_a_kit(tmp_path):
    (tmp_path / "kit").mkdir()
    netlathe("device", "kit", "-o", "kit", "-n", 3, "--networks", "resnet[234]?", cwd=tmp_path)
    assert (tmp_path / "kit" / "manifest.csv").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["kit"]
