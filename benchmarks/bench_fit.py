"""The promise of `netlathe fit`, on photographs: as accurate as a fixed ResNet-18 given the same time, at a quarter of
its latency.

`python benchmarks/bench_fit.py [--seconds 1200] [--seeds 3] [--work FOLDER] [--beside]`: trashnet_128, one thread each.
ResNet-18 at 128 px is trained by the same recipe for the whole time; `fit` gets a quarter of ResNet-18's latency under
ONNX Runtime, measured here, as its budget, and the same time for everything. Both are judged on the test images, in
ONNX Runtime. Runs that are complete in the folder are not repeated. With --beside the two of a seed run at once, one
on each of two cores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev

from netlathe import zoo
from netlathe.bench.measure import HEADLINE, measure
from netlathe.deploy.package import load_package
from netlathe.deploy.session import model_file
from netlathe.reshape.classes import for_images
from netlathe.stats.student import t_half_width

TRASHNET = Path(__file__).parents[1] / ".." / "shared" / "data" / "trashnet_128"
CLI = [sys.executable, "-m", "netlathe"]
PX = 128


def command(who: str, seed: int, args: argparse.Namespace, latency_ms: float) -> tuple[Path, list[str]]:
    """The folder of a run and its command."""
    folder = args.work / f"{who}-{seed}"
    shared = ["--time", f"{args.seconds}s", "--threads", "1", "--seed", str(seed), "-o", str(folder)]
    if who == "resnet18":
        plain = ["train", "resnet18", "--data", str(TRASHNET), "--recipe", "small", "--resolution", str(PX)]
        return folder, [*CLI, *plain, *shared]
    budget = ["--scratch", "--latency", f"{latency_ms:.2f}ms", "--runtime", "onnxruntime"]
    return folder, [*CLI, "fit", str(TRASHNET), *budget, *shared]


def finished(folder: Path) -> bool:
    """Whether a run has left its result."""
    return (folder / "card.json").exists() or (folder.name.startswith("resnet18") and (folder / "result.json").exists())


def ended(process: subprocess.Popen[bytes]) -> None:
    """Wait for a run; one that died ends the benchmark, whose next call goes on from there."""
    if code := process.wait():
        sys.exit(f"exit {code}: {process.args!r}; its log is in --work")


def accuracy(folder: Path) -> tuple[float, int]:
    """Test accuracy and the number of images."""
    if (folder / "card.json").exists():
        found = json.loads((folder / "card.json").read_text())["accuracy"]
        return found["share"], found["images"]
    found = json.loads((folder / "result.json").read_text())
    return found["test"], found["test_images"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=1200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("/tmp/netlathe-bench-fit"))
    parser.add_argument("--beside", action="store_true")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    plain = for_images(zoo.get("resnet18"), classes=6, channels=3, resolution=PX)
    note = args.work / "budget.json"
    if not note.exists():
        [before] = measure([plain], processes=HEADLINE, seconds=1.0)
        note.write_text(json.dumps({"resnet18_ms": before.median_ms}))
    budget = json.loads(note.read_text())["resnet18_ms"] / 4
    print(f"budget of fit: {budget:.2f} ms, a quarter of ResNet-18 at {PX} px", flush=True)
    for seed in range(args.seeds):
        waiting = []
        for who in ("fit", "resnet18"):
            folder, words = command(who, seed, args, budget)
            if finished(folder):
                continue
            with (args.work / f"{who}-{seed}.log").open("a") as log:
                waiting.append(subprocess.Popen(words, stdout=log, stderr=log))
            if not args.beside:
                ended(waiting.pop())
        for process in waiting:
            ended(process)
    rows, ratios, deployed = [], [], []
    print(f"{'seed':>4}  {'fit':>26}  {'fit %':>6}  {'resnet18 %':>10}  {'points':>6}  {'fp32':>6}  deployed")
    for seed in range(args.seeds):
        fit_, fixed = args.work / f"fit-{seed}", args.work / f"resnet18-{seed}"
        (a, n), (b, _) = accuracy(fit_), accuracy(fixed)
        ours, theirs = measure([model_file(fit_ / "model.onnx"), model_file(fixed / "model.onnx")], processes=HEADLINE)
        package = load_package(fit_)
        [best] = measure(
            [model_file(package)], processes=HEADLINE, runtime=package.runtime, precision=package.precision
        )
        rows.append(100 * (a - b))
        ratios.append(theirs.median_ms / ours.median_ms)
        deployed.append(theirs.median_ms / best.median_ms)
        name = package.network.name
        print(f"{seed:>4}  {name:>26}  {100 * a:>6.1f}  {100 * b:>10.1f}  {rows[-1]:>+6.1f}  {ratios[-1]:>5.2f}x  "
              f"{deployed[-1]:.2f}x ({package.runtime} {package.precision})")  # fmt: skip
    if len(rows) > 1:
        half = t_half_width(stdev(rows), len(rows))
        low, high = mean(rows) - half, mean(rows) + half
        print(f"difference of accuracy: {mean(rows):+.1f} points ({low:+.1f} to {high:+.1f}, 95 %, {len(rows)} seeds, "
              f"{n} test images); as fast: {min(ratios):.2f} to {max(ratios):.2f} times in fp32, "
              f"{min(deployed):.2f} to {max(deployed):.2f} times as deployed")  # fmt: skip


if __name__ == "__main__":
    main()
