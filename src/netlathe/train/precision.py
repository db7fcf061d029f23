"""Precision policies: in which numbers and layout a training step computes, and which kernels its convolutions take.

Weights, gradients and the optimiser stay in float32 under every policy (autocast), the state dict has the same keys,
and a checkpoint made under one loads under any other. Which is fastest depends on network, resolution and processor, so
it is measured: `probe`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from itertools import count
from math import inf
from typing import Any, Literal, NamedTuple

from netlathe.errors import MissingExtra, unknown
from netlathe.train.host import idle_cores

try:
    import torch
    from torch import nn

    from netlathe.train.conv_kernels import Float32DepthwiseConv2d, RearrangedConv2d
except ImportError as error:
    raise MissingExtra("torch", "train") from error

Kernels = Literal["torch", "depthwise in float32", "arranged"]
CONVOLUTIONS: dict[Kernels, type[nn.Conv2d]] = {
    "torch": nn.Conv2d,
    "depthwise in float32": Float32DepthwiseConv2d,
    "arranged": RearrangedConv2d,
}


@dataclass(frozen=True, slots=True)
class PrecisionPolicy:
    """How a step computes."""

    bfloat16: bool = False  # under autocast
    channels_last: bool = True
    convolutions: Kernels = "torch"
    compiled: bool = False


POLICIES = {
    "fp32": PrecisionPolicy(channels_last=False),
    "fp32-last": PrecisionPolicy(),
    "fp32-arranged": PrecisionPolicy(convolutions="arranged"),
    "bf16": PrecisionPolicy(bfloat16=True, channels_last=False),
    "bf16-last": PrecisionPolicy(bfloat16=True),
    "bf16-depthwise32": PrecisionPolicy(bfloat16=True, convolutions="depthwise in float32"),
    "bf16-arranged": PrecisionPolicy(bfloat16=True, convolutions="arranged"),
    "bf16-compiled": PrecisionPolicy(bfloat16=True, compiled=True),
}


PLAIN = "fp32"
KEEP_RATIO = 1.3  # a policy so many times slower than the best drops out of the measurement
TURNS = 3  # of the measurement, at least
WALL_RATIO = 5.0  # times the seconds of processor time that the measurement was given, by the wall clock


def find_policy(name: str) -> PrecisionPolicy:
    """The policy of a name; raises NetlatheError for a name that is none."""
    if name not in POLICIES:
        raise unknown("precision", name, POLICIES, code="train.precision")
    return POLICIES[name]


def set_precision(module: nn.Module, name: str) -> nn.Module:
    """The module itself, changed so that it computes under a policy, whatever policy it had before.

    Layout of weights and images, class of the convolutions; weights keep their values and their keys. Optimisers and
    wrappers are made afterwards. Raises NetlatheError for a name that is no policy.
    """
    chosen = find_policy(name)
    for part in module.modules():
        if type(part) in CONVOLUTIONS.values():
            part.__class__ = CONVOLUTIONS[chosen.convolutions]
    layout = torch.channels_last if chosen.channels_last else torch.contiguous_format
    module.to(memory_format=layout)  # type: ignore[call-overload]
    hooks = module._forward_pre_hooks
    for key in [key for key, hook in hooks.items() if hook in (images_last, images_contiguous)]:
        del hooks[key]
    module.register_forward_pre_hook(images_last if chosen.channels_last else images_contiguous)
    if chosen.compiled:
        module.compile()
    else:
        module._compiled_call_impl = None
    return module


def images_last(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Maps among the inputs, channels last."""
    return tuple(x.contiguous(memory_format=torch.channels_last) if is_map(x) else x for x in inputs)


def images_contiguous(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Maps among the inputs, channels first."""
    return tuple(x.contiguous() if is_map(x) else x for x in inputs)


def is_map(x: Any) -> bool:
    """(N, C, H, W)."""
    return isinstance(x, torch.Tensor) and x.dim() == 4


def autocast(name: str, device: str = "cpu") -> AbstractContextManager[Any]:
    """The context in which the forward pass of a policy runs; the loss is computed outside, in float32."""
    if not find_policy(name).bfloat16:
        return nullcontext()
    return torch.autocast(torch.device(device).type, torch.bfloat16)


class PrecisionProbe(NamedTuple):
    """What `probe` found: the fastest policy, and training images a second of each that was measured."""

    policy: str
    images_per_s: dict[str, float]
    batch: int  # images a step of the measurement
    threads: int


def candidate_policies(module: nn.Module, device: str = "cpu", *, compiled: bool = False) -> list[str]:
    """The policies that may be the fastest for a module; those that change nothing in it are left out."""
    convolutions = [part for part in module.modules() if isinstance(part, nn.Conv2d)]
    depthwise = any(part.groups == part.in_channels > 1 for part in convolutions)
    if torch.device(device).type == "cpu":
        names = ["bf16-arranged"] * bool(convolutions) + ["bf16-last", "fp32-last"]
        names += ["fp32-arranged", "bf16-depthwise32"] * depthwise + ["fp32", "bf16"] * bool(convolutions)
    else:
        names = ["fp32-last"]
        if torch.cuda.is_bf16_supported():
            names += ["bf16", "bf16-last"]
    return names + ["bf16-compiled"] * (compiled and "bf16-last" in names)


def measure_policies(
    module: nn.Module,
    images: Sequence[int],
    device: str = "cpu",
    *,
    seconds: float = 2.0,
    compiled: bool = False,
) -> PrecisionProbe:
    """Measure forward and backward passes on a copy of the module, in turns, for about so many seconds of work.

    `images` is the shape (N, C, H, W) of a batch; fewer are used where a step would take too long. Slow policies drop
    out early. Threads on cores that others keep busy wait for each other, so only as many take part as cores are idle.
    `compiled` measures torch.compile as well, whose first step takes minutes: for long trainings on a GPU (on a CPU it
    gave 0.9 to 1.13 of bf16-arranged for one and a half minutes of compilation). The module, its statistics and the
    random numbers of the caller are as before.
    """
    names, where = candidate_policies(module, device, compiled=compiled), torch.device(device)
    threads = torch.get_num_threads()
    free = min(threads, idle_cores()) if threads > 1 and where.type == "cpu" else threads
    late = inf if compiled else time.perf_counter() + WALL_RATIO * seconds
    times: dict[str, list[float]] = {}
    with torch.random.fork_rng(devices=[where] if where.type == "cuda" else []), use_torch_threads(free):
        copy = deepcopy(module).to(device).train()
        names = [name for name in names if allows(copy, name, torch.randn(2, *images[1:], device=device))]
        x = torch.randn(
            affordable_batch(copy, names, images, device, seconds / (4 * len(names))), *images[1:], device=device
        )
        start = clock_s(where)
        for turn in count(1):
            for name in names:
                if not times or time.perf_counter() < late:
                    step_s(copy, name, x)  # makes the kernels, of which oneDNN keeps only some for the next turn
                    times.setdefault(name, []).append(step_s(copy, name, x))
            best = {name: min(took) for name, took in times.items()}
            names = [name for name in names if name in best and best[name] < KEEP_RATIO * min(best.values())]
            enough = turn >= TURNS and clock_s(where) - start > seconds
            if len(names) == 1 or enough or time.perf_counter() >= late:
                break
    speeds = {name: len(x) / took for name, took in sorted(best.items(), key=lambda item: item[1])}
    return PrecisionProbe(next(iter(speeds)), speeds, len(x), free)


@contextmanager
def use_torch_threads(count: int) -> Iterator[None]:
    """torch on so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def allows(module: nn.Module, name: str, x: torch.Tensor) -> bool:
    """Whether the code of a module takes the layout and the numbers of a policy.

    Somebody's `x.view(len(x), -1)` needs channels first. The first policy of all is the one that every code was written
    for: whatever it raises is raised.
    """
    if name == PLAIN:
        return True
    try:
        step_s(module, name, x)
    except RuntimeError:
        return False
    return True


def affordable_batch(
    module: nn.Module, names: Sequence[str], images: Sequence[int], device: str, seconds: float
) -> int:
    """Images of a step that takes so many seconds under the first policy, at least 2 and at most images[0].

    From steps of 2 and 8 images: what a step costs apart from its images is large where the images are small.
    """
    few, more = 2, min(8, images[0])
    if more <= few:
        return max(few, images[0])
    (a, b) = (
        min(step_s(module, names[0], torch.randn(n, *images[1:], device=device)) for _ in range(2)) for n in (few, more)
    )
    one = max((b - a) / (more - few), b / more / 8)
    return int(min(images[0], max(few, (seconds - a) / one)))


def step_s(module: nn.Module, name: str, x: torch.Tensor) -> float:
    """Seconds of a forward and a backward pass under a policy.

    On a CPU those of the processor by thread: where others keep it busy, the wall clock would measure them.
    """
    set_precision(module, name).zero_grad()
    start = clock_s(x.device)
    with autocast(name, x.device.type):
        y = module(x)
    y = y[0] if isinstance(y, tuple) else y
    y.float().square().mean().backward()
    return clock_s(x.device) - start


def clock_s(device: torch.device) -> float:
    """A clock of the work that was done on a device so far."""
    if device.type == "cpu":
        return time.process_time() / torch.get_num_threads()
    torch.cuda.synchronize(device)
    return time.perf_counter()
