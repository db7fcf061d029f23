"""The jobs that are tortured, a row each, and what their folders hold in the end: see torture.py.

A row has a command and two questions. `result`: what of a finished job has to be equal to that of an undisturbed one.
`records`: what was there once and may never be lost, such as a finished trial or a measurement.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

TESTS = Path(__file__).parent.parent / "tests"
NETLATHE = (sys.executable, "-m", "netlathe")
# A calibration of three seconds instead of half a minute: the same code with fewer networks and shorter turns.
QUICK_CALIBRATION = """
import netlathe.bench.calibrate as calibrate
probes = list(calibrate.probe_networks())[::8]
calibrate.probe_networks, calibrate.operator_networks = lambda: probes, list
calibrate.NETWORKS, calibrate.BLOCKS, calibrate.LEVELS = calibrate.NETWORKS[9:12], 1, calibrate.LEVELS[:1]
from netlathe.cli.main import main
main()
"""
FAST = "--threads 1 --precision fp32"


class Job(NamedTuple):
    """A command line, and what it leaves. {out}, {images}, {package}, {space} are files that the harness makes."""

    words: str
    result: Callable[[Path], Any]
    records: Callable[[Path, Path], frozenset[str]] = lambda out, cache: frozenset()
    program: tuple[str, ...] = NETLATHE
    share: int = 2  # how often it is drawn


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_lines(path: Path, *measured: str) -> list[Any]:
    """The lines of a .jsonl without the fields that are measured."""
    rows = map(json.loads, path.read_text().splitlines())
    return [{name: value for name, value in row.items() if name not in measured} for row in rows]


def read_fields(path: Path, *names: str) -> dict[str, Any]:
    return {name: json.loads(path.read_text())[name] for name in names}


def trained(out: Path) -> Any:
    fields = ("validation", "test", "epochs", "images", "ended")
    return (
        sha256(out / "weights.safetensors"),
        read_lines(out / "metrics.jsonl"),
        read_fields(out / "run.json", "identity", "state"),
        read_fields(out / "result.json", *fields),
    )


def pretrained(out: Path) -> Any:
    return (
        sha256(out / "weights.safetensors"),
        read_lines(out / "metrics.jsonl"),
        read_fields(out / "run.json", "identity", "state"),
        read_fields(out / "result.json", "before"),
    )


def one_shot(out: Path) -> Any:
    return (
        sha256(out / "best.json"),
        read_lines(out / "metrics.jsonl", "seconds"),
        read_fields(out / "run.json", "identity", "state"),
        read_fields(out / "result.json", "genotype", "text", "verdict"),
    )


def fitted(out: Path) -> Any:
    card = json.loads((out / "card.json").read_text())
    return card["network"], card["files"], card["accuracy"], sha256(out / "model.onnx")


def experimented(out: Path) -> Any:
    runs = sorted(out.glob("runs/*"))
    return [(run.name, sha256(run / "weights.safetensors"), sha256(run / "model.onnx")) for run in runs]


def trials(out: Path) -> list[tuple[Any, ...]]:
    """The finished trials of a search, as its database holds them."""
    if not (out / "search.db").exists():
        return []
    with closing(sqlite3.connect(f"file:{out}/search.db?mode=ro", uri=True)) as db:
        return db.execute("select number, genotype, seed, state, score from trials where told is not null").fetchall()


def searched(out: Path) -> Any:
    return sorted(trials(out)), sha256(out / "best.json")


def searched_by_many(out: Path) -> Any:
    """Workers end in any order, and so propose other networks: as many evaluations, and a winner."""
    return sum(state == "done" for *_, state, _ in trials(out)), (out / "best.json").exists()


def trial_records(out: Path, cache: Path) -> frozenset[str]:
    try:
        return frozenset(map(repr, trials(out)))
    except sqlite3.OperationalError:  # killed before the tables were there
        return frozenset()


def step_records(out: Path, cache: Path) -> frozenset[str]:
    return frozenset(path.name for path in out.glob("**/steps/*.json"))


def run_records(out: Path, cache: Path) -> frozenset[str]:
    return frozenset(f"{path.parent.name} {sha256(path)}" for path in out.glob("runs/*/outcome.json"))


def measurement_records(out: Path, cache: Path) -> frozenset[str]:
    """The whole lines of the ledger."""
    ledger = cache / "measurements.jsonl"
    return frozenset(ledger.read_text().split("\n")[:-1]) if ledger.exists() else frozenset()


def exported(out: Path) -> Any:
    return sha256(out / "model.onnx")


def quantised(out: Path) -> Any:
    return sha256(out / "model.int8.onnx"), sha256(out / "model.onnx")


def calibrated(out: Path) -> Any:
    """Figures differ from run to run: that the card is read, and of which quantities it speaks."""
    from netlathe.device.card import load

    card = load(out / "card.toml")
    return sorted((f.quantity, f.of) for f in card.figures), [m.runtime for m in card.models]


def chosen(out: Path) -> Any:
    return json.loads((out / "stdout").read_text())["data"]["pick"]["name"]


def measured(out: Path) -> Any:
    data = json.loads((out / "stdout").read_text())["data"]
    return [data[name] for name in ("network", "key", "failure", "processes")]


SEARCH = "search run {space}:space --final-seeds 0"
TINY_SUPERNET = "--operations skip,sep3 --steps 1 --channels 2 --cells 3 --images 128 --epochs 2 --threads 1"
JOBS: dict[str, Job] = {
    "train": Job(
        f"train lenet5_modern --resolution 16 --recipe digits --epochs 5 --save-every 0.1s {FAST} -o {{out}}",
        trained,
        share=3,
    ),
    "train-npz": Job(
        "train resnet20:width=4 --data {images} --resolution 16 --recipe small --set batch=16 --epochs 3 "
        f"--save-every 0.1s {FAST} -o {{out}}",
        trained,
    ),
    "pretrain": Job(
        f"pretrain lenet5_modern --resolution 16 --epochs 2 --save-every 0.1s {FAST} -o {{out}}", pretrained
    ),
    "pretrain-moco": Job(
        f"pretrain lenet5_modern --resolution 16 --method moco-v2 --epochs 2 --save-every 0.1s {FAST} -o {{out}}",
        pretrained,
        share=1,
    ),
    "fit": Job(
        "fit {images} --macs 3M --size 2MB --device phone-a76-core --epochs 1 --resolution 32 --form fp32 "
        f"--set optimiser.lr_per=16 --set batch=16 {FAST} -o {{out}}",
        fitted,
        step_records,
        share=1,
    ),
    "experiment": Job(
        f"experiment --nets lenet5_modern --recipes digits --seeds 2 --resolution 16 --epochs 2 {FAST} -o {{out}}",
        experimented,
        run_records,
    ),
    "search": Job(
        f"{SEARCH} --objective {{space}}:slow --evaluations 20 --workers 0 -o {{out}}", searched, trial_records, share=4
    ),
    "search-workers": Job(
        f"{SEARCH} --objective {{space}}:slow --evaluations 30 --workers 2 -o {{out}}",
        searched_by_many,
        trial_records,
        share=4,
    ),
    "search-train": Job(
        "search run {space}:space --strategy random --evaluations 2 --final-seeds 1 --recipe digits --epochs 1 "
        "--fraction 0.2 --judges 60 --workers 1 --set resolution=8 --set evaluate.resolution=8 --set batch=8 -o {out}",
        searched,
        trial_records,
        share=1,
    ),
    "search-darts": Job(f"search darts {TINY_SUPERNET} -o {{out}}", one_shot),
    "search-rsws": Job(f"search rsws {TINY_SUPERNET} --candidates 10 --finalists 2 -o {{out}}", one_shot, share=1),
    "export": Job("export resnet20 -o {out}/model.onnx", exported, share=3),
    "quantise": Job(
        "quantise {package} --data {images} --form int8 --runtime onnxruntime --calibration 60 -o {out}",
        quantised,
        share=1,
    ),
    "choose": Job(
        "choose --latency 50ms --networks mobilenetv1_025 --seconds 0.1 --fresh --json",
        chosen,
        measurement_records,
    ),
    "bench": Job("bench lenet5 --seconds 0.1 --processes 2 --json", measured, measurement_records, share=3),
    "calibrate": Job(
        "device calibrate --force -o {out}/card.toml",
        calibrated,
        program=(sys.executable, "-c", QUICK_CALIBRATION),
        share=1,
    ),
}
