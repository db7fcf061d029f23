"""The latency of a file that `fit` deploys against what a user would run instead, in one interleaved run.

`python benchmarks/bench_deploy.py [--resolution 128] [--rounds 40] [NET ...]`: one thread, batch 1. Ours is the form
that `deploy.variants` picks (random weights, so accuracy is left out of it), pixels in, normalisation included; timm's
module in eager mode, compiled by Inductor, and through torch.onnx.export in ONNX Runtime get normalised floats.
Processor time of each call, all contenders in turns, the order turned about each round; ratios are inside a round.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import netlathe  # noqa: F401  # isort: skip  (first: it keeps the others from reporting their use)
import numpy as np
import onnxruntime as ort
import torch
from peers import load_timm

from netlathe import zoo
from netlathe.deploy.export import arch_document, deployable_model
from netlathe.deploy.package import Package, Preprocessing, write_package
from netlathe.deploy.session import open_session
from netlathe.deploy.variants import choose_variant, describe_variant
from netlathe.lower.initial import initial_weights
from netlathe.runtimes.quantise import Labelled

TWINS = {
    "resnet18": "resnet18",
    "mobilenetv2": "mobilenetv2_100",
    "regnety_400mf": "regnety_004",
    "efficientnet_b0": "efficientnet_b0",
    "convnext_atto": "convnext_atto",
}
CLASSES = 10


def ours(name: str, px: int, folder: Path) -> tuple[Callable[[], object], str]:
    """The deployed form of a network, and what it is."""
    network = zoo.get(name, resolution=px, classes=CLASSES)
    steps = Preprocessing(
        resolution=px, crop=1.0, interpolation="bilinear", mean=(0.5,) * 3, std=(0.25,) * 3, channels=3
    )
    random = np.random.default_rng(0)
    smooth = random.integers(0, 255, (64, 8, 8, 3), np.uint8).repeat(px // 8, 1).repeat(px // 8, 2)
    images = Labelled(smooth, random.integers(0, CLASSES, 64))
    package = Package(arch=arch_document(network), classes=tuple("abcdefghij"), preprocessing=steps, folder=folder)
    model = deployable_model(network, initial_weights(network, "he", 0), steps)
    package = write_package(package, {"model.onnx": model.SerializeToString()})
    made, tried = choose_variant(package, images, images, tolerance=0.999)
    for form in tried:
        print("   ", describe_variant(form), flush=True)
    run, one = open_session(made), smooth[:1]
    return lambda: run.run(one), f"{made.runtime} {made.precision}"


def peers(twin: str, px: int, folder: Path) -> dict[str, Callable[[], object]]:
    """What a user of timm would run."""
    module = load_timm().create_model(twin, num_classes=CLASSES).eval()
    x = torch.rand(1, 3, px, px)
    compiled: Any = torch.compile(module)
    torch.onnx.export(module, (x,), folder / "theirs.onnx", dynamo=True, verbose=False)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    exported = ort.InferenceSession(folder / "theirs.onnx", options, providers=["CPUExecutionProvider"])
    feed = {exported.get_inputs()[0].name: x.numpy()}

    def eager(run: Any) -> Callable[[], object]:
        def call() -> object:
            with torch.inference_mode():
                return run(x)

        return call

    return {
        "eager": eager(module),
        "torch.compile": eager(compiled),
        "onnx.export + ORT": lambda: exported.run(None, feed),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("nets", nargs="*", default=list(TWINS))
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=40)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name in args.nets:
        with tempfile.TemporaryDirectory() as folder:
            print(name, flush=True)
            run, form = ours(name, args.resolution, Path(folder))
            contenders = {"ours": run, **peers(TWINS[name], args.resolution, Path(folder))}
            for call in contenders.values():
                for _ in range(5):
                    call()
            times: dict[str, list[float]] = {who: [] for who in contenders}
            for i in range(args.rounds):
                for who in list(contenders)[:: 1 if i % 2 else -1]:
                    start = time.process_time()
                    for _ in range(3):
                        contenders[who]()
                    times[who].append((time.process_time() - start) / 3 * 1e3)
            rest = {who: median(b / a for a, b in zip(times["ours"], times[who], strict=True)) for who in contenders}
            rows.append((name, form, median(times["ours"]), rest))
    print(f"\n{'network':<18}{'deployed':<24}{'ms':>7}" + "".join(f"{who:>20}" for who in rows[0][3] if who != "ours"))
    for name, form, ms, rest in rows:
        print(f"{name:<18}{form:<24}{ms:>7.2f}" + "".join(f"{r:>19.2f}x" for who, r in rest.items() if who != "ours"))
    print("ratios above 1: the deployed file is faster")


if __name__ == "__main__":
    main()
