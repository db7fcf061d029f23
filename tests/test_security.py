"""Nothing leaves the machine, and no code of the current folder runs: the real commands, with everything they start."""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command import NETLATHE, PATIENCE_S
from greedy_runtime import fill_memory
from hostile_folder import BEFORE_US, make_hostile, names_imported
from searchable import FILE

from netlathe import zoo
from netlathe.deploy.isolation import run_isolated
from netlathe.lower.onnx import save_onnx
from netlathe.process.call import CallFailed
from netlathe.telemetry import SWITCHES

SENT = re.compile(r"\b(?:connect|sendto|sendmsg|sendmmsg)\(.*?\bsin6?_port=htons\((\d+)\)")
ADDRESS = re.compile(r'inet_(?:addr\(|pton\(AF_INET6, )"([^"]+)"')
RESOLVERS = ("/run/systemd/resolve/", "/var/run/avahi")
NAMES = 53  # the port of name servers, which may answer on loopback


def reaches_beyond(trace: str) -> list[str]:
    """The system calls of a trace that reach for another machine, or ask for its address."""
    found = []
    for line in trace.splitlines():
        port, address = SENT.search(line), ADDRESS.search(line)
        if (port and address) and (int(port[1]) == NAMES or not ipaddress.ip_address(address[1]).is_loopback):
            found.append(line)
        if any(resolver in line for resolver in RESOLVERS):
            found.append(line)
    return found


def traced(tmp_path: Path, *words: str, **how: object) -> tuple[subprocess.CompletedProcess[str], str]:
    """A command with its children, and the network calls of all of them."""
    tracer, log = shutil.which("strace"), tmp_path / "trace.txt"
    if tracer is None or subprocess.run([tracer, "true"], capture_output=True).returncode:
        pytest.skip("no strace here, or no right to use it: nobody can tell what is sent")
    strace = [tracer, "-f", "-qq", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", str(log)]
    done = subprocess.run([*strace, *words], text=True, capture_output=True, **how)  # type: ignore[call-overload]
    return done, log.read_text()


@pytest.fixture(scope="module")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few colour images of three kinds."""
    path, labels = tmp_path_factory.mktemp("data") / "stripes.npz", np.arange(60) % 3
    pixels = np.random.default_rng(1).integers(0, 90, (60, 32, 32, 3), np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[label::4] += 80
    np.savez(path, images=pixels, labels=labels)
    return path


LAB = """
import http.client, signal, subprocess, sys, time
words = [sys.argv[1], "lab", "--no-open", "--port", "0", "--token", "a-token-of-the-tests"]
process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
port = int(process.stdout.readline().split(":")[2].split("/")[0])
def ask(method, path, body=None):
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        try:
            connection.request(method, "/a-token-of-the-tests/" + path, body)
        except ConnectionRefusedError:
            time.sleep(0.05)
            continue
        answer = connection.getresponse()
        assert answer.read() and answer.status == 200, answer.status
        return
ask("GET", "menu")
ask("POST", "view", "net=resnet50")
ask("POST", "upload?name=a.json", open(sys.argv[2]).read())
process.send_signal(signal.SIGINT)
process.wait()
"""


def test_no_verb_reaches_for_another_machine_or_runs_code_of_the_current_folder(
    stripes: Path, tmp_path: Path, calibrated: Path
) -> None:
    here, home = tmp_path / "here", tmp_path / "home"
    here.mkdir()
    home.mkdir()
    make_hostile(here)
    (tmp_path / "lab.py").write_text(LAB)
    budget = "--macs 3M --epochs 1 --resolution 32 --set batch=16 --threads 1 --precision fp32"
    script = f"""
        set -e
        {NETLATHE} arch lenet5 --json > {tmp_path}/a.json
        {NETLATHE} choose --networks mobilenetv3_small --latency 1s --seconds 0.02
        {NETLATHE} bench lenet5 --seconds 0.02 --runtime openvino
        {NETLATHE} search {FILE}:space --objective {FILE}:score --macs 100k --evaluations 3 --workers 1 -o {tmp_path}/s
        {NETLATHE} fit {stripes} {budget} --device rpi-5 --form fp32 -o {tmp_path}/fit
        {sys.executable} -P {tmp_path}/lab.py {NETLATHE} {tmp_path}/a.json
    """
    own = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "OMP_NUM_THREADS": "1"}
    env = {name: value for name, value in os.environ.items() if name not in dict(SWITCHES.values())} | own
    done, trace = traced(tmp_path, "sh", "-c", script, cwd=here, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    assert not reaches_beyond(trace)
    assert names_imported(here) == ""
    assert not [*home.rglob("*")], "no library leaves an id or a database"


def test_what_reaches_for_another_machine_is_seen(tmp_path: Path) -> None:
    program = "import socket\ntry: socket.getaddrinfo('example.org', 443)\nexcept OSError: pass\n"
    _, trace = traced(tmp_path, sys.executable, "-c", program)
    assert reaches_beyond(trace)
    _, trace = traced(tmp_path, sys.executable, "-c", "import socket; socket.socket(2, 2).connect(('192.0.2.1', 9))")
    assert reaches_beyond(trace)


def test_libraries_are_told_to_be_silent_unless_the_user_said_otherwise() -> None:
    names = [variable for variable, _ in SWITCHES.values()]
    program = f"import os, netlathe; print([os.environ[name] for name in {names}])"
    silent = {name: value for name, value in os.environ.items() if name not in names}
    for env, expected in (
        (silent, [off for _, off in SWITCHES.values()]),
        (silent | dict.fromkeys(names, "x"), ["x"] * len(names)),
    ):
        done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == str(expected)


@pytest.mark.parametrize("words", [["cost", "lenet5"], ["bench", "lenet5", "--seconds", "0.02", "--json"]])
def test_python_m_runs_no_code_of_the_current_folder(words: list[str], tmp_path: Path) -> None:
    make_hostile(tmp_path, but=BEFORE_US | {"netlathe", "sitecustomize"})
    done = subprocess.run([sys.executable, "-m", "netlathe", *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert names_imported(tmp_path) == ""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone counts memory before it is touched")
def test_a_file_that_asks_for_all_memory_ends_its_own_process_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))
    env = os.environ | {"NETLATHE_RUNTIMES": str(Path(__file__).with_name("greedy_runtime.py"))}
    save_onnx(zoo.get("lenet5"), tmp_path / "model.onnx")
    words = [NETLATHE, "bench", "model.onnx", "--runtime", "greedy", "--seconds", "0.02", "--json"]
    assert "MemoryError" in subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True).stdout
    with pytest.raises(CallFailed, match="MemoryError"):
        run_isolated(fill_memory, 1, PATIENCE_S)


IMPORTS = """
import importlib, json, sys, warnings, netlathe
warnings.simplefilter("ignore")
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except (ImportError, RuntimeError, AttributeError) as error:
        print(name, "is not here:", str(error)[:80])
"""
LIBRARIES = (
    *("numpy", "scipy.stats", "click", "rich", "pydantic", "psutil", "onnx", "onnxruntime.quantization", "sympy"),
    *("openvino", "nncf", "torch", "PIL.Image", "safetensors", "sklearn.datasets", "tensorboardX", "huggingface_hub"),
    *("plotly.graph_objects", "starlette.applications", "uvicorn", "ray", "optuna", "zensical", "timm"),
)


@pytest.mark.slow
def test_no_library_reaches_for_another_machine_when_it_is_imported(tmp_path: Path) -> None:
    done, trace = traced(tmp_path, sys.executable, "-c", IMPORTS, *LIBRARIES, env=os.environ | {"HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert not reaches_beyond(trace)


@pytest.mark.slow
def test_workers_on_ray_run_no_code_of_the_current_folder(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    make_hostile(tmp_path)
    words = ["search", f"{FILE}:space", "--objective", f"{FILE}:score", "--macs", "100k", "--evaluations", "3", "--ray"]
    done = subprocess.run([NETLATHE, *words, "-o", "s"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert names_imported(tmp_path) == ""
    assert (tmp_path / "s" / "best.json").exists()  # relative paths begin where the search was started


def test_a_file_that_is_named_may_import_its_neighbours_but_none_stands_for_a_library(tmp_path: Path) -> None:
    make_hostile(tmp_path)
    (tmp_path / "my_blocks.py").write_text("from netlathe.arch.build import conv, head, seq\n")
    (tmp_path / "mine.py").write_text(
        "import json, numpy\nfrom my_blocks import conv, head, seq\ndef net(): return seq(conv(8, 3), head=head(10))\n"
    )
    for python in ([NETLATHE], [sys.executable, "-P", "-m", "netlathe"]):
        words = [*python, "bench", "mine.py:net", "--seconds", "0.02", "--json"]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    assert names_imported(tmp_path) == ""
