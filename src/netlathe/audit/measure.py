"""What `netlathe audit --run` does: measurements and small experiments, whose results are kept as records.

Measuring and judging are apart: a check reads records, so a finding can be shown again without measuring.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any, NamedTuple

from netlathe import zoo
from netlathe.arch.build import batch_norm, concat, conv, head, relu, seq, stage
from netlathe.arch.combinators import Identity
from netlathe.arch.layers import Conv
from netlathe.arch.network import Network
from netlathe.arch.node import Node
from netlathe.arch.pools import Pool
from netlathe.audit.records import Record, today
from netlathe.bench.machine import this_machine
from netlathe.bench.measure import measure
from netlathe.cost.totals import totals
from netlathe.errors import NetlatheError
from netlathe.lower.checkpoint import require_package
from netlathe.runtimes.registry import DEFAULT
from netlathe.units import show_ms

NETWORKS = ("vgg16", "resnet50", "mobilenetv1", "efficientnet_b0")
OPERATORS: dict[str, Node] = {
    "dense": Conv(256, 3),
    "pointwise": Conv(256),
    "depthwise": Conv(None, 3, group_width=1),
}
PLACE = (256, 28, 28)
DEPTHS, GROWTH, WIDTH = (8, 8, 8), 12, 24
SEEDS, IMAGES = 5, 32
Progress = Callable[[int, int, str], None]


class RunConditions(NamedTuple):
    """The conditions of a run."""

    seconds: float  # a network
    threads: int
    progress: Progress | None


Runner = Callable[[RunConditions], list[Record]]


class RecordRun(NamedTuple):
    """A measurement or an experiment, and the claims that it bears on."""

    kind: str
    claims: tuple[str, ...]
    run: Runner


RUNS: list[RecordRun] = []


def register_run(kind: str, *claims: str) -> Callable[[Runner], Runner]:
    """Register a function that measures for these claims."""

    def register(function: Runner) -> Runner:
        RUNS.append(RecordRun(kind, claims, function))
        return function

    return register


def describe_device(threads: int) -> str:
    """This machine as a record names it."""
    machine = this_machine()
    return f"{machine.cpu} ({machine.id}), {machine.cores} cores, {threads} thread{'s' * (threads > 1)}"


def measure_networks(networks: Sequence[Network], how: RunConditions) -> dict[str, tuple[float, str]]:
    """Milliseconds by network, in turns, and what to say of a busy machine. Raises NetlatheError where one failed."""
    timings = {}
    for m in measure(networks, threads=how.threads, seconds=how.seconds, progress=how.progress):
        if m.failure:
            raise NetlatheError(f"{m.network} could not be measured: {m.failure}", code="audit.run")
        busy = f"; a busy machine, others used {m.foreign_load:.2f} cores" if m.contended else ""
        low, ms, high = m.interval
        timings[m.network] = ms, f"{show_ms(low)} to {show_ms(high)} in {m.runs} runs{busy}"
    return timings


@register_run("measurement", "s17-5", "s17-8", "s28-3")
def measure_rankings(how: RunConditions) -> list[Record]:
    """The networks of slide 17 and EfficientNet-B0 on this processor, in turns."""
    timings = measure_networks([zoo.get(name) for name in NETWORKS], how)
    return [
        Record(
            f"cpu.{name}.ms",
            round(ms, 4),
            "ms",
            f"{name} at batch 1, {DEFAULT} fp32: {text}",
            ("s17-5", "s17-8", "s28-3"),
            describe_device(how.threads),
            today(),
            f"netlathe audit --run measurement --seconds {how.seconds:g} --threads {how.threads}",
        )
        for name, (ms, text) in timings.items()
    ]


@register_run("measurement", "s17-3")
def measure_operators(how: RunConditions) -> list[Record]:
    """What a dense, a pointwise and a depthwise convolution attain on this processor."""
    networks = [Network(name, expression, PLACE) for name, expression in OPERATORS.items()]
    timings = measure_networks(networks, how)
    records = []
    for network in networks:
        ms, text = timings[network.name]
        rate = 2 * totals(network.body, network.input).macs / ms / 1e6
        what = f"a {network.name} convolution on {'x'.join(map(str, PLACE))}, {DEFAULT} fp32: {text}"
        command = f"netlathe audit --run measurement --seconds {how.seconds:g} --threads {how.threads}"
        name = f"cpu.{network.name}.gflops"
        records.append(
            Record(name, round(rate, 2), "GFLOP/s", what, ("s17-3",), describe_device(how.threads), today(), command)
        )
    return records


def layered_network(dense: bool) -> Node:
    """A small DenseNet for images of 32 px, or its twin without links: every layer reads only the one before it."""

    def new(width: int) -> Node:
        return seq(
            norm1=batch_norm, act1=relu, squeeze=Conv(4 * GROWTH), norm2=batch_norm, act2=relu, process=Conv(width, 3)
        )

    parts: dict[str, Node] = {}
    width = WIDTH
    for i, depth in enumerate(DEPTHS, 1):
        block = concat(old=Identity(), new=new(GROWTH)) if dense else new(width + GROWTH * depth)
        parts[f"stage{i}"] = stage(block, depth)
        width = (width + GROWTH * depth) // 2
        if i < len(DEPTHS):
            parts[f"transition{i}"] = seq(norm=batch_norm, act=relu, squeeze=Conv(width), pool=Pool("avg", 2))
    return seq(stem=conv(WIDTH, 3), **parts, norm=batch_norm, act=relu, head=head(10))


def gradient_ratio(network: Network, seed: int) -> float:
    """Root mean square gradient a weight of the first layer's 3x3 over the last layer's, on random images."""
    from netlathe.lower.torch import to_torch

    torch: Any = require_package("torch", "train")
    random = torch.Generator().manual_seed(seed)
    module: Any = to_torch(network, init="he", seed=seed)
    images = torch.randn(IMAGES, *network.input, generator=random)
    labels = torch.randint(10, (IMAGES,), generator=random)
    torch.nn.functional.cross_entropy(module(images), labels).backward()
    sizes = [
        weight.grad.square().mean().sqrt().item()
        for name, weight in module.named_parameters()
        if name.startswith("stage") and name.endswith("process.weight")
    ]
    return float(sizes[0] / sizes[-1])


@register_run("experiment", "s9-3")
def measure_gradients(how: RunConditions) -> list[Record]:
    """How much of the loss's gradient reaches the first layers, with dense links and without."""
    torch = require_package("torch", "train")
    before = torch.get_num_threads()
    torch.set_num_threads(how.threads)
    try:
        return [measure_gradient(name, how, i) for i, name in enumerate(("dense", "plain"))]
    finally:
        torch.set_num_threads(before)


def measure_gradient(name: str, how: RunConditions, turn: int) -> Record:
    """The record of one of the two networks."""
    network = Network(name, layered_network(name == "dense"), (3, 32, 32))
    ratios = []
    for seed in range(SEEDS):
        if how.progress is not None:
            how.progress(SEEDS * turn + seed, 2 * SEEDS, name)
        ratios.append(gradient_ratio(network, seed))
    what = (
        f"gradient a weight of the first layer over the last, {name} network of {sum(DEPTHS)} layers at its start; "
        f"median of {SEEDS} seeds, {min(ratios):.2f} to {max(ratios):.2f}"
    )
    command, where = "netlathe audit --run experiment", describe_device(how.threads)
    return Record(f"gradient.{name}", round(median(ratios), 4), "", what, ("s9-3",), where, today(), command)


def run_recorded(kind: str, claims: Iterable[str], how: RunConditions) -> list[Record]:
    """Run everything of a kind that bears on these claims. Raises NetlatheError where nothing does."""
    asked = set(claims)
    chosen = [r for r in RUNS if r.kind == kind and asked & set(r.claims)]
    if not chosen:
        ids = sorted({claim for r in RUNS if r.kind == kind for claim in r.claims})
        hint = f"a {kind} bears on {', '.join(ids)}" if ids else "measurement or experiment"
        raise NetlatheError(f"no {kind} bears on the claims that were asked for", code="audit.run", hint=hint)
    return [record for r in chosen for record in r.run(how)]
