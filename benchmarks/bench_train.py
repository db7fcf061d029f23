"""A training step against timm's and plain PyTorch's: python benchmarks/bench_train.py [--threads N] [names]

Batch 64, SGD with Nesterov momentum and weight decay, label smoothing 0.1, same network and images for all. Each
contender is a process of its own (what ours does to malloc must not help the others), and they take one step each in
turns. Figures are medians over the rounds of images a second of processor time and thread; ratios are taken inside a
round and printed with their quartiles, by processor time and by the wall clock.

    ours     lowered module, precision policy that the probe finds, optimiser and loss of a recipe, memory kept
    timm     timm's train.py on a CPU as it is: its model, optimiser and loss, float32; target ratios are against this
    timm+    the same with --channels-last --amp --amp-dtype bfloat16
    plain    our module, float32, torch.optim.SGD and cross_entropy

`python benchmarks/bench_train.py --parts` times convolutions alone, torch's and rearranged (train/conv_kernels.py).
"""

from __future__ import annotations

import argparse
import multiprocessing as mp
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.connection import Connection
from statistics import median, quantiles
from typing import Any, NamedTuple


class Case(NamedTuple):
    """A network, at a resolution, and how many times faster than timm it shall be."""

    twin: str
    px: int
    target: float


CASES = {
    "resnet18": Case("resnet18", 96, 1.5),
    "mobilenetv2": Case("mobilenetv2_100", 64, 1.4),
    "convnext_atto": Case("convnext_atto", 64, 1.2),
}
BATCH, LR, DECAY, SMOOTHING = 64, 0.01, 2e-5, 0.1
Step = Callable[[], object]


def ours(name: str, case: Case, stack: ExitStack) -> tuple[Step, str]:
    """A step as netlathe takes it."""
    import torch

    from netlathe import zoo
    from netlathe.lower.torch import to_torch
    from netlathe.train.host import keep_freed_memory
    from netlathe.train.loss import classification_loss
    from netlathe.train.optim import build_optimiser
    from netlathe.train.precision import autocast, measure_policies, set_precision
    from netlathe.train.recipe import Optimiser, Regularise

    stack.enter_context(keep_freed_memory())
    module = to_torch(zoo.get(name).at(case.px), init="he")
    policy = measure_policies(module, (BATCH, 3, case.px, case.px)).policy
    set_precision(module, policy).train()
    rules = Optimiser(name="sgd", lr=LR, nesterov=True, weight_decay=DECAY, no_decay=("norm", "bias"))
    optimiser, regularise = build_optimiser(module, rules, BATCH), Regularise(smoothing=SMOOTHING)
    x, labels = images(case.px)
    x, targets = x.contiguous(memory_format=torch.channels_last), torch.nn.functional.one_hot(labels, 1000).float()

    def step() -> object:
        optimiser.zero_grad(set_to_none=True)
        with autocast(policy):
            y = module(x)
        loss = classification_loss(y.float(), targets, regularise)
        loss.backward()
        optimiser.step()
        return loss.item()

    return step, policy


def timm_loop(name: str, case: Case, stack: ExitStack, fast: bool = False) -> tuple[Step, str]:
    """The inner loop of timm's train.py on a CPU; `fast` with the flags that help it most."""
    import torch
    from peers import load_timm

    timm = load_timm()
    from timm.loss import LabelSmoothingCrossEntropy
    from timm.optim import create_optimizer_v2

    layout: Any = torch.channels_last if fast else torch.contiguous_format
    model = timm.create_model(case.twin).to(memory_format=layout).train()
    optimizer = create_optimizer_v2(model, opt="sgd", lr=LR, momentum=0.9, weight_decay=DECAY)
    loss_fn = LabelSmoothingCrossEntropy(SMOOTHING)
    x, labels = images(case.px)
    x = x.contiguous(memory_format=layout)

    def step() -> object:
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            output = model(x)
            loss = loss_fn(output, labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step, "bf16 channels_last" if fast else "fp32"


def timm_fast(name: str, case: Case, stack: ExitStack) -> tuple[Step, str]:
    return timm_loop(name, case, stack, fast=True)


def plain(name: str, case: Case, stack: ExitStack) -> tuple[Step, str]:
    """A step as a tutorial writes it."""
    import torch

    from netlathe import zoo
    from netlathe.lower.torch import to_torch

    module = to_torch(zoo.get(name).at(case.px), init="he").train()
    optimiser = torch.optim.SGD(module.parameters(), LR, momentum=0.9, weight_decay=DECAY, nesterov=True)
    x, labels = images(case.px)

    def step() -> object:
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(module(x), labels, label_smoothing=SMOOTHING)
        loss.backward()
        optimiser.step()
        return loss.item()

    return step, "fp32"


CONTENDERS: dict[str, Callable[[str, Case, ExitStack], tuple[Step, str]]] = {
    "ours": ours,
    "timm": timm_loop,
    "timm+": timm_fast,
    "plain": plain,
}


def images(px: int) -> Any:
    """A batch and its labels."""
    import torch

    torch.manual_seed(0)
    return torch.randn(BATCH, 3, px, px), torch.randint(1000, (BATCH,))


def worker(who: str, name: str, pipe: Connection) -> None:
    """Take a step whenever asked; say how long it took, by processor and by wall."""
    with ExitStack() as stack:
        step, said = CONTENDERS[who](name, CASES[name], stack)
        for _ in range(4):
            step()
        pipe.send(said)
        while pipe.recv():
            cpu, wall = time.process_time(), time.perf_counter()
            step()
            pipe.send((time.process_time() - cpu, time.perf_counter() - wall))


def contest(name: str, rounds: int, threads: int) -> None:
    """All contenders on one network, in turns, the order turning too."""
    context = mp.get_context("spawn")
    pipes: dict[str, Connection] = {}
    processes = []
    for who in CONTENDERS:
        pipes[who], theirs = context.Pipe()
        processes.append(context.Process(target=worker, args=(who, name, theirs), daemon=True))
        processes[-1].start()
        said = pipes[who].recv()
        print(f"  {who:6} {said}", file=sys.stderr, flush=True)
        if who == "ours":
            policy = said
    took: dict[str, list[tuple[float, float]]] = {who: [] for who in CONTENDERS}
    order = list(CONTENDERS)
    for turn in range(rounds):
        for who in order[turn % len(order) :] + order[: turn % len(order)]:
            pipes[who].send(True)
            took[who].append(pipes[who].recv())
    for pipe in pipes.values():
        pipe.send(False)
    for process in processes:
        process.join()
    case = CASES[name]
    print(f"\n{name}, {case.px} px, {threads} thread{'s' * (threads > 1)}, {rounds} rounds; ours: {policy}")
    for who, steps in took.items():
        speed = BATCH * threads / median(cpu for cpu, _ in steps)
        print(f"  {who:6} {speed:7.0f} images/s", end="")
        if who != "ours":
            for clock, label in ((0, "processor"), (1, "wall")):
                ratios = [b[clock] / a[clock] for a, b in zip(took["ours"], steps, strict=True)]
                low, middle, high = quantiles(ratios, n=4)
                print(f"   {label} {middle:5.2f} x ({low:.2f} to {high:.2f})", end="")
            if who == "timm":
                print(f"   target {case.target}", end="")
        print(flush=True)


# Input (N, C, H, W), output channels, kernel, stride, groups: of the three networks and of their larger relatives.
PARTS = [
    ((64, 40, 16, 16), 40, 7, 1, 40), ((64, 80, 8, 8), 80, 7, 1, 80), ((64, 160, 4, 4), 160, 7, 1, 160),
    ((64, 320, 2, 2), 320, 7, 1, 320), ((16, 96, 56, 56), 96, 7, 1, 96), ((64, 960, 2, 2), 960, 3, 1, 960),
    ((64, 96, 32, 32), 96, 3, 2, 96), ((64, 240, 8, 8), 240, 5, 1, 240), ((64, 96, 16, 16), 96, 5, 2, 96),
    ((64, 512, 3, 3), 512, 3, 1, 1), ((64, 256, 6, 6), 256, 3, 1, 1), ((64, 256, 6, 6), 512, 3, 2, 1),
    ((64, 80, 8, 8), 160, 2, 2, 1), ((64, 640, 4, 4), 160, 1, 1, 1), ((64, 960, 2, 2), 160, 1, 1, 1),
]  # fmt: skip


def parts() -> None:
    """Forward and backward of single convolutions, torch's and rearranged, in turns, in both dtypes."""
    import torch
    from peers import duel
    from torch import nn

    from netlathe.train.conv_kernels import RearrangedConv2d, choose_rearrangement
    from netlathe.train.host import keep_freed_memory

    print("milliseconds, forward and backward       dtype      torch  arranged   ratio   what is rearranged")
    for shape, out, kernel, stride, groups in PARTS:
        pad = 0 if kernel == stride else kernel // 2
        for dtype in (torch.float32, torch.bfloat16):
            both = [
                made(shape[1], out, kernel, stride, pad, groups=groups, bias=False)
                for made in (RearrangedConv2d, nn.Conv2d)
            ]
            for conv in both:
                conv.to(dtype, memory_format=torch.channels_last)
            size, steps = tuple(both[0].weight.shape), [partly(conv, shape) for conv in both]
            found = choose_rearrangement(shape, size, (stride, stride), (pad, pad), dtype == torch.bfloat16)
            if not any(found):
                continue
            with keep_freed_memory():
                result = duel(*steps, 0.5)
            named = ", ".join(part for part, changed in found._asdict().items() if changed)
            what = f"{'x'.join(map(str, shape))} to {out}, {kernel}x{kernel}" + f" / {stride}" * (stride > 1)
            what += ", depthwise" * (groups > 1)
            print(
                f"{what:40} {str(dtype)[6:]:8} {result.theirs:7.2f} {result.ours:9.2f} {result.ratio:7.1f}   {named}",
                flush=True,
            )


def partly(conv: Any, shape: tuple[int, ...]) -> Step:
    """Forward and backward of one convolution, in the dtype of its weights."""
    import torch

    x = torch.randn(shape).to(conv.weight.dtype, memory_format=torch.channels_last).requires_grad_()
    grad = torch.randn_like(conv(x))
    return lambda: conv(x).backward(grad)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--parts", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(CASES)}")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(given.threads)  # before anything imports torch
    if given.parts:
        parts()
        return
    if unknown := set(given.names) - set(CASES):
        parser.error(f"unknown: {', '.join(unknown)}; legal: {', '.join(CASES)}")
    for name in given.names or CASES:
        contest(name, given.rounds, given.threads)


if __name__ == "__main__":
    main()
