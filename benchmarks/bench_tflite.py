"""The .tflite files: python benchmarks/bench_tflite.py [parity|latency|arena ...] [--networks a,b] [--int8]

parity   every network of the zoo (or some): relative error of LiteRT against ONNX Runtime with the same random weights,
         bytes in float32, and what is refused and why.
latency  LiteRT against ONNX Runtime and OpenVINO in fp32, with --int8 also each one's int8: one thread, in turns;
         ratios are taken inside a round, of processor time. Above 1: LiteRT is faster.
arena    what is planned for TensorFlow Lite Micro against what it records, in int8 with random weights: the planned
         bytes over the recorded ones. The target is 1.00 to 1.02, never below.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import netlathe  # noqa: F401  # isort: skip  (first: it keeps the others from reporting their use)
import numpy as np
from peers import timed

from netlathe import zoo
from netlathe.arch.network import Network
from netlathe.deploy.quantise import FEWEST
from netlathe.deploy.tflite_export import TfliteSource, compare, expression_source, image_steps, write_form
from netlathe.deploy.trial import quantise_random, random_images
from netlathe.errors import NetlatheError
from netlathe.lower.onnx import to_onnx
from netlathe.lower.tflite.arena import plan_arena
from netlathe.lower.tflite.network import to_tflite
from netlathe.lower.weights import random_weights
from netlathe.process.temporary import temporary_folder
from netlathe.runtimes import registry
from netlathe.runtimes.base import SessionOptions
from netlathe.tflite.metadata import ModelFacts

TIMED = ["mobilenetv1", "mobilenetv2", "mobilenetv3_small", "efficientnet_b0", "efficientnet_lite0", "resnet18"]
TIMED += ["resnet50", "googlenet", "densenet121", "regnety_400mf", "convnext_atto", "vit_tiny_patch16"]
MICRO = ["lenet5_modern", "resnet20", "mobilenetv1_025@96", "mobilenetv2_035@96", "mobilenetv3_small@96"]
MICRO += ["googlenet@64", "densenet121@32", "shufflenetv2_050@96", "ghostnet@64", "efficientnet_lite0@96"]
MICRO += ["resnet18@64", "mobilenetv4_conv_small@96", "convnext_atto@32"]
SMALL = 64  # pixels of a side, where parity needs no more
SECONDS = 3.0
# The recording allocator prints to the file of the process, so it runs in one of its own.
RECORD = """
import sys, numpy
from tflite_micro.python.tflite_micro import runtime
interpreter = runtime.Interpreter.from_file(sys.argv[1], arena_size=64_000_000)
about = interpreter.get_input_details(0)
interpreter.set_input(numpy.zeros(about["shape"], about["dtype"]), 0)
interpreter.invoke()
interpreter.print_allocations()
"""


def network(name: str) -> Network:
    """A network of the zoo, at another resolution where the name says so."""
    plain, _, size = name.partition("@")
    return zoo.get(plain).at(int(size) if size else None)


def small(name: str) -> Network:
    """The network for small images, where it takes such."""
    whole = zoo.get(name)
    try:
        reduced = whole.at(SMALL) if len(whole.input) == 3 and whole.input[-1] > SMALL else whole
        reduced.graph()
        return reduced
    except NetlatheError:
        return whole


def parity(names: list[str]) -> None:
    """One line a network."""
    errors, refused = [], 0
    for name in names:
        net = small(name)
        try:
            source: TfliteSource = expression_source(net, None, ModelFacts(), None)
            content = source.model.serialize()
            error = compare(source, content).relative_error
        except NetlatheError as failure:
            refused += 1
            print(f"{name:24s} refused: {failure.message} {failure.path}", flush=True)
            continue
        errors.append(error)
        print(f"{name:24s} {error:.1e} {len(content) / 1e6:8.2f} MB", flush=True)
    print(f"{len(errors)} networks, the largest relative error {max(errors):.1e}; {refused} refused")


def latency(names: list[str], int8: bool) -> None:
    """Ratios of a round, the median of all rounds."""
    print(f"{'':20s} litert ms   onnxruntime/litert   openvino/litert" + "   the same in int8" * int8)
    for name in names:
        row = []
        for precision in ("fp32", "int8")[: 1 + int8]:
            with temporary_folder() as folder:
                works = {runtime: session(name, runtime, precision, folder) for runtime in ("litert", *OTHERS)}
                row.append(ratios(works))
        cells = [f"{ms:9.2f} {a:14.2f} {b:18.2f}" for ms, a, b in row]
        print(f"{name:20s}" + "".join(cells), flush=True)


OTHERS = ("onnxruntime", "openvino")


def session(name: str, runtime: str, precision: str, folder: Path) -> Callable[[], Any]:
    """One inference of a network under a runtime."""
    net = network(name)
    channels, *size = net.input
    x = np.random.default_rng(0).standard_normal((1, channels, *size)).astype(np.float32)
    if precision == "int8":
        files = quantise_random(net, runtime, 1).files
        for file, content in files.items():
            (folder / file).write_bytes(content)
        path, x = folder / next(iter(files)), np.zeros((1, *size, channels), np.uint8)
    elif runtime == "litert":
        path, x = folder / "net.tflite", x.transpose(0, 2, 3, 1).copy()
        path.write_bytes(to_tflite(net).serialize())
    else:
        path = folder / f"{runtime}.onnx"
        path.write_bytes(to_onnx(net, random_weights(net)).SerializeToString())
    infer = registry.opener(runtime)(str(path), SessionOptions(1, "fp32"))
    return lambda: infer([x])


def ratios(works: dict[str, Callable[[], Any]]) -> tuple[float, float, float]:
    """LiteRT's median milliseconds, and the others' over LiteRT's."""
    rounds: list[list[float]] = []
    for work in (*works.values(), *works.values()):
        work()
    while len(rounds) < 10 or sum(map(sum, rounds)) < SECONDS * 1e3:
        rounds.append([timed(work) for work in works.values()])
    own = median(row[0] for row in rounds)
    first, second = (median(row[i] / row[0] for row in rounds) for i in (1, 2))
    return own, first, second


def micro_file(net: Network) -> bytes:
    """The int8 file of a network for a microcontroller, with random weights and ranges of random images."""
    channels, _, resolution = net.input
    normalisation = {"mean": (0.485, 0.456, 0.406)[:channels], "std": (0.229, 0.224, 0.225)[:channels]}
    source = expression_source(net, None, ModelFacts(), image_steps(net, normalisation), grow_kernels=True)
    return write_form(source, "int8", random_images(FEWEST, resolution, channels).pixels, grown=True).content


def arena(names: list[str]) -> None:
    """What is planned before a network has weights, over what TensorFlow Lite Micro records of its file."""
    shares = []
    for name in names:
        net = network(name)
        planned = plan_arena(net)
        if planned.missing:
            print(f"{name:24s} TensorFlow Lite Micro has no {', '.join(planned.missing)}", flush=True)
            continue
        with temporary_folder() as folder:
            (folder / "net.tflite").write_bytes(micro_file(net))
            done = subprocess.run(
                [sys.executable, "-c", RECORD, folder / "net.tflite"], capture_output=True, text=True, check=False
            )
        parts = re.search(r"head (\d+)", done.stdout + done.stderr), re.search(r"tail (\d+)", done.stdout + done.stderr)
        if None in parts:
            print(
                f"{name:24s} TensorFlow Lite Micro does not run it: {done.stderr.strip().splitlines()[-1:]}", flush=True
            )
            continue
        head, tail = (int(part[1]) for part in parts if part)
        shares.append((planned.head + planned.tail) / (head + tail))
        parts_of = f"head {planned.head:9,} of {head:9,}   tail {planned.tail:7,} of {tail:7,}"
        print(f"{name:24s} {parts_of}   {shares[-1]:.3f}", flush=True)
    near = sum(1 <= share <= 1.02 for share in shares)
    print(f"{len(shares)} networks, {near} within 0 to 2 % above, {sum(share < 1 for share in shares)} below")


def main(words: list[str]) -> None:
    """The parts that are asked for."""
    named = next((words[i + 1].split(",") for i, word in enumerate(words) if word == "--networks"), None)
    parts = [word for word in words if word in ("parity", "latency", "arena")] or ["parity", "latency", "arena"]
    if "parity" in parts:
        parity(named or list(zoo.names()))
    if "latency" in parts:
        latency(named or TIMED, "--int8" in words)
    if "arena" in parts:
        arena(named or MICRO)


if __name__ == "__main__":
    main(sys.argv[1:])
