"""Whether every verb's --json says what it said at another commit: python benchmarks/compare_json.py COMMIT

Both commits run the same commands under the same Python packages, in copies of one folder that the older one has
filled: a card of this machine, its ledger, a few networks as files, and finished runs, so that what was measured once
is read by both. Answers must be equal byte for byte, but for the values of the keys that a command lists: measured
times of its own. Exit code 1 where an answer differs. A first run takes some minutes; --primed DIR keeps the folder.

    python benchmarks/compare_json.py 3721b13 --primed /tmp/primed --only "device*"
"""

from __future__ import annotations

import argparse
import difflib
import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
SHOWN = 12  # lines of a difference


class Command(NamedTuple):
    """What is asked, and the keys whose values are times of this very run."""

    line: str
    timed: tuple[str, ...] = ()


# One run each, by the older commit, in an empty folder: what the commands below read. Some exit with a verdict.
PRIME = """
device calibrate --force
export resnet20 -o resnet20.onnx
export mobilenetv3_small -o small.onnx
reshape resnet20 --width 0.5 -o narrow.json
choose --networks regnetx_?00mf --latency 40ms --seconds 0.3
choose --networks mobilenetv3* --batch 2 --latency 60ms --seconds 0.3
bench resnet20 narrow.json --seconds 0.2 --processes 2
fit digits --macs 2M --epochs 1 --recipe digits --threads 1 --precision fp32 --latency 5ms -o fit
train resnet20 --recipe digits --epochs 1 --threads 1 --precision fp32 -o train
pretrain resnet20 --epochs 1 --threads 1 --precision fp32 -o pretrain
search run around:resnet20 --objective proxy:params --strategy random --evaluations 12 --final-seeds 0 -o search
search run around:resnet20 --epochs 0.2 --strategy evolution --evaluations 2 --macs 20M --final-seeds 0 -o trained
experiment --nets resnet20,mobilenetv1:alpha=0.25 --recipes digits --seeds 2 --epochs 0.3 --threads 1 -o experiment
quantise fit --data digits --form int8 --runtime onnxruntime -o int8
"""

MODULE = """
from torch import nn
from netlathe import zoo

def module():
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), head)

def small():
    return zoo.get("resnet20")
"""

MEASUREMENTS = """network,latency_ms,runtime,threads,precision,batch
mobilenetv2,12.4,tflite,1,fp32,1
resnet50@160,48.9,tflite,1,fp32,1
resnet18,30.1,tflite,1,fp32,1
resnet34,60.7,tflite,1,fp32,1
mobilenetv1,15.2,tflite,1,fp32,1
densenet121,11.0,tflite,1,fp32,1
efficientnet_b0,21.3,tflite,1,fp32,1
regnetx_200mf,10.1,tflite,1,fp32,1
"""

# Values of this very run, not of what it found. "latency.low": the key low beside the name latency.
RUN = ("seconds", "images_per_s", "built", "worker")
SAMPLED = (
    *(
        "id",
        "date",
        "median_ms",
        "low_ms",
        "high_ms",
        "min_ms",
        "p90_ms",
        "cpu_ms",
        "quiet_ms",
        "quiet_low_ms",
        "quiet_high_ms",
        "slowdown",
        "forecast_ms",
        "runs",
        "blocks",
        "warmups",
    ),
    *("rough", "contended", "foreign_load", "rss_bytes", "latency_ms", "latency.low", "latency.value", "latency.high"),
    "warnings",  # that the machine was busy
)

COMMANDS = (
    Command("cost resnet50"),
    Command("cost resnet50 --by block --precision int8 --batch 4"),
    Command("cost resnet50 vit_base_patch16 mobilenetv2:alpha=0.5 --by net --resolution 224"),
    Command("cost mobilenetv3_large --by op --resolution 160"),
    *(Command(f"cost resnext50_32x4d --convention {name}") for name in ("fvcore", "thop", "paper")),
    Command("cost resnet20.onnx --by op"),
    Command("cost mine.py:module --input 3x64x64 --by op"),
    Command("cost narrow.json mine.py:small --by net"),
    Command("arch mobilenetv2"),
    Command("arch narrow.json"),
    Command("zoo"),
    Command("compare resnet50 mobilenetv2 densenet121 --no-latency"),
    Command("compare resnet50 resnext50_32x4d --no-latency --diff"),
    Command("compare resnet20 resnet20.onnx --no-latency"),
    Command("device list"),
    Command("device show rpi-5"),
    Command("device show this"),
    Command("device show stm32f746"),
    Command("device why efficientnet_b0 --device rpi-5"),
    Command("device why resnet50 --device phone-a76-core --runtime tflite"),
    Command("device why resnet20 --device this --runtime onnxruntime"),
    Command("device roofline mobilenetv2 --device a100-sxm-40 --precision fp16"),
    Command("device roofline resnet50 --device rpi-5 --by op --eager --batch 2"),
    Command("device roofline vit_base_patch16 --device rtx-3090 --by bound --attained"),
    Command("device micro mobilenetv1_025 mobilenetv2 --device stm32f746"),
    Command("device micro mobilenetv2 --device stm32f746 --published --runtime tflm"),
    Command("device fit --measurements measured.csv -o phone.toml --name phone"),
    Command("device check phone.toml"),
    Command("device probe-set -n 6"),
    Command("device rankings"),
    Command("choose --device stm32f746"),
    Command("choose --device phone-a76-core --latency 60ms --top1 60 --all"),
    Command("choose --device phone-a76-core --latency 60ms --top1 70"),
    Command("choose --device rpi-5 --latency 1us"),
    Command("choose --networks regnetx_?00mf --latency 40ms --seconds 0.3 --all"),
    Command("choose --networks mobilenetv3* --batch 2 --latency 60ms --seconds 0.3"),
    Command("reshape resnet50 --inner 2 --groups 32 --diff"),
    Command('reshape mobilenetv2 --resolution 160 --to "macs=100M"'),
    Command("reshape vgg16_bn --factor separable --kernel 3"),
    Command("reshape resnet50 --exponents"),
    Command("reshape efficientnet_b0 --doubling --device rpi-5"),
    Command("modernise resnet50 --device phone-a76-core"),
    Command("regnets -n 20 --seed 3 --device phone-a76-core"),
    Command("recipe list"),
    Command("recipe show rsb-a3 --net resnet18"),
    Command("recipe diff torchvision-v1 torchvision-v2"),
    Command("search spaces"),
    Command("search strategies"),
    Command("search show search --all"),
    Command("search show trained"),
    Command("search export search -o best.json"),
    Command("search run --resume -o search"),
    Command(
        "search run around:resnet20 --objective proxy:params --strategy evolution --evaluations 30 --macs 20M"
        " --final-seeds 0 --seed 7 -o again",
        RUN,
    ),
    Command("search compare --table {shared}/nas_bench_macro/nas_bench_macro.npz --evaluations 30 --runs 6"),
    Command("advise --task mobile --device phone-a76-core --latency 60ms"),
    Command("advise --task classification --images 50k"),
    Command("audit"),
    Command("audit --table decision"),
    Command("audit --slide 10"),
    Command("inspect digits"),
    Command("bench resnet20 resnet20.onnx --seconds 0.1 --processes 2", SAMPLED),
    Command("train resnet20 --recipe digits --epochs 1 --threads 1 --precision fp32 -o train"),
    Command("train resnet20 --recipe digits --epochs 1 --threads 1 --precision fp32 --seed 1 -o anew", RUN),
    Command("pretrain resnet20 --epochs 1 --threads 1 --precision fp32 -o pretrain"),
    Command("experiment --show -o experiment"),
    Command("experiment --nets resnet20 --recipes digits --seeds 2 --epochs 0.3 --threads 1 -o experiment"),
    Command("report fit -o fit.html"),
    Command("report search -o search.html"),
    Command(
        "fit digits --macs 2M --epochs 1 --recipe digits --threads 1 --precision fp32 --latency 5ms -o fit", SAMPLED
    ),
    Command("fit digits --macs 5M --time 3m --dry-run", SAMPLED),
    Command("fit digits --device rpi-5 --latency 1ms --time 3m --dry-run"),
    Command("check fit --seconds 0.2", SAMPLED),
    Command("predict fit digit.png --top 2"),
    Command("predict int8 digit.png"),
    Command("export mobilenetv2:alpha=0.35 --seed 3 -o random.onnx"),
    Command("export train/arch.json --weights train/weights.safetensors -o real.onnx --batch dynamic"),
    Command("cost resnet51"),
    Command("choose --latency 15"),
    Command("device why resnet50 --device rpi5"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit", help="to compare with, such as 3721b13")
    parser.add_argument("--primed", type=Path, help="the filled folder: made where it is not there, and kept")
    parser.add_argument("--only", default="*", help="a pattern for the commands, such as 'device*'")
    parser.add_argument("--self", action="store_true", help="the older commit against itself: which answers vary")
    told = parser.parse_args()
    commands = [command for command in COMMANDS if fnmatch.fnmatch(command.line, told.only)]
    with tempfile.TemporaryDirectory() as own, checked_out(told.commit, Path(own) / "tree") as before:
        primed = told.primed or Path(own) / "primed"
        if not primed.exists():
            prime(before, primed)
        place = Path(own) / "place"  # the same for both: paths stand in answers
        old = answers(before, primed, place, commands)
        new = answers(before if told.self else ROOT, primed, place, commands)
    differing = sum(not shown(command, a, b) for command, a, b in zip(commands, old, new, strict=True))
    print(f"{len(commands) - differing} of {len(commands)} equal")
    return 1 if differing else 0


@contextmanager
def checked_out(commit: str, folder: Path) -> Iterator[Path]:
    """The files of a commit, in a worktree that goes again."""
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(folder), commit], check=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def prime(tree: Path, folder: Path) -> None:
    """Fill the folder with what the commands read."""
    folder.mkdir(parents=True)
    (folder / "mine.py").write_text(MODULE, encoding="utf-8")
    (folder / "measured.csv").write_text(MEASUREMENTS, encoding="utf-8")
    draw = "from PIL import Image; Image.linear_gradient('L').resize((8, 8)).save('digit.png')"
    subprocess.run([sys.executable, "-c", draw], cwd=folder, check=True)
    for line in PRIME.strip().splitlines():
        answer = asked(tree, folder, line)
        print(
            f"prime     {line}" + ("" if '"ok": true' in answer else f"\n{answer[:600]}"), file=sys.stderr, flush=True
        )

    ledger = folder / "cache" / "measurements.jsonl"  # what a busy machine measured would be measured again
    ledger.write_text(re.sub(r'("contended": ?)true', r"\1false", ledger.read_text()), encoding="utf-8")


def answers(tree: Path, primed: Path, place: Path, commands: list[Command]) -> list[str]:
    """What each command prints and how it exits, in a fresh copy of the primed folder."""
    shutil.copytree(primed, place)
    try:
        return [asked(tree, place, command.line) for command in commands]
    finally:
        shutil.rmtree(place)


def asked(tree: Path, folder: Path, line: str) -> str:
    """The exit code and stdout of one command."""
    environment = os.environ | {
        "PYTHONPATH": str(tree / "src"),
        "NETLATHE_CACHE": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "120",
    }
    words = shlex.split(line.replace("{shared}", str(ROOT.parent / "shared" / "data")))
    command = [sys.executable, "-m", "netlathe", *words, "--json"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1200)
    return f"exit {done.returncode}\n{done.stdout or done.stderr}"


def blanked(answer: str, keys: tuple[str, ...]) -> list[str]:
    """The lines of an answer; where there are keys, of its document with their values struck out."""
    exit_code, _, text = answer.partition("\n")
    if keys:
        text = json.dumps(struck(json.loads(text), keys), indent=1, ensure_ascii=False)
    return [exit_code, *text.splitlines()]


def struck(document: object, keys: tuple[str, ...]) -> object:
    """The document with "..." for the value of each of these keys, wherever it stands."""
    match document:
        case dict():
            place = f"{document.get('name')}."
            return {
                key: "..." if key in keys or place + key in keys else struck(value, keys)
                for key, value in document.items()
            }
        case list():
            return [struck(value, keys) for value in document]
    return document


def shown(command: Command, old: str, new: str) -> bool:
    """Print whether the answers are equal, and the first lines of the difference."""
    a, b = blanked(old, command.timed), blanked(new, command.timed)
    print(f"{'equal    ' if a == b else 'DIFFERENT'} {a[0]:7} {command.line}", flush=True)
    if a != b:
        lines = [line[:160] for line in difflib.unified_diff(a, b, "before", "after", lineterm="", n=1)][2:]
        print(*lines[:SHOWN], *([f"... {len(lines) - SHOWN} more lines"] if len(lines) > SHOWN else []), sep="\n")
    return a == b


if __name__ == "__main__":
    sys.exit(main())
