"""What the quantisers of runtimes share: what they are given, what they give, and the search for layers that hurt.

The search, bounded in time: quantise every layer; if the accuracy on the validation images is within the tolerance,
done. Otherwise rank the layers by the signal-to-noise ratio of the network in which only that one is quantised, and
leave the worst 1, 2, 4, ... of them in float until the accuracy is within the tolerance; then halve the interval.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

from netlathe.runtimes.agreement import compare_outputs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from netlathe.runtimes.base import Logits, Open, Pixels

T = TypeVar("T")


class Labelled(NamedTuple):
    """Images as the file takes them, (N, r, r, C) uint8, and their classes (N,) int64."""

    pixels: Pixels
    labels: NDArray[np.int64]


class QuantiseTask(NamedTuple):
    """What a quantiser works on: the float file with pixels in, its images, and what it may cost.

    `open` is that of the runtime, so that what is judged runs as it will be deployed. `input` names the input of the
    file, `excluded` the nodes that only prepare pixels, `flags` the instruction sets of the processor.
    """

    model: bytes
    calibration: Labelled
    validation: Labelled
    tolerance: float
    seconds: float
    threads: int
    open: Open
    input: str
    excluded: tuple[str, ...] = ()
    flags: frozenset[str] = frozenset()
    all_layers: bool = False  # none may stay in float


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantisedModel:
    """An int8 file. `before` and `after` are how many validation images the float and the int8 network get right."""

    runtime: str
    files: dict[str, bytes]  # by name, the one that is opened first
    scheme: str  # types of activations and weights
    method: str  # how ranges were found
    calibration: int  # images
    layers: int  # convolutions and matrix products with weights
    kept: tuple[str, ...]  # those of them left in float
    images: int
    before: int
    after: int
    tolerance: float
    snr_db: float  # of the outputs for the validation images, against float
    seconds: float
    notes: tuple[str, ...] = ()
    layer_snr: tuple[tuple[str, float], ...] = ()  # dB of the values behind each layer against float, the worst first

    @property
    def accurate(self) -> bool:
        """Whether the accuracy is within the tolerance."""
        return within_tolerance(self.before, self.after, self.images, self.tolerance)


class QuantiseAttempt(NamedTuple):
    """One attempt: the file, the layers that it leaves in float, and what it says of the validation images."""

    model: bytes
    kept: tuple[str, ...]
    logits: Logits
    hits: int


Quantiser: TypeAlias = Callable[[QuantiseTask], QuantisedModel]  # a function of a module: it runs in another process


def within_tolerance(before: int, after: int, images: int, tolerance: float) -> bool:
    """Whether so many hits are no more than the tolerance below those before."""
    return before - after <= tolerance * images + 1e-9


def count_hits(logits: Logits, labels: NDArray[np.int64]) -> int:
    """How many images have their largest output at their label."""
    return int((logits.argmax(1) == labels).sum())


def search_float_layers(
    task: QuantiseTask,
    reference: Logits,
    layers: Sequence[str],
    make: Callable[[Sequence[str], bool], bytes],
    run: Callable[[QuantiseTask, bytes, Pixels], Logits],
    deadline: float,
) -> tuple[QuantiseAttempt, list[str]]:
    """The file with as few layers in float as the tolerance asks for, and notes; `reference` are the float's outputs.

    `make(kept, only)` quantises all but some layers, `only`: and nothing beside layers; `run` gives outputs.
    """
    labels = task.validation.labels
    before = count_hits(reference, labels)

    def attempt(kept: Sequence[str]) -> tuple[QuantiseAttempt, bool]:
        model = make(kept, False)
        logits = run(task, model, task.validation.pixels)
        hits = count_hits(logits, labels)
        return QuantiseAttempt(model, tuple(kept), logits, hits), within_tolerance(
            before, hits, len(labels), task.tolerance
        )

    best, enough = attempt(())
    if enough:
        return best, []
    if task.all_layers:
        return best, ["no layer may stay in float there"]
    few = task.calibration.pixels[-RANKED:]
    wanted = run(task, task.model, few)

    def snr(layer: str) -> float:
        return compare_outputs(wanted, run(task, make([n for n in layers if n != layer], True), few)).snr_db

    now = time.monotonic()
    ranked = worst_first(layers, snr, now + (deadline - now) / 2)
    tried = fewest_float_layers(ranked, attempt, deadline)
    if tried and within_tolerance(before, tried[-1].hits, len(labels), task.tolerance):
        return tried[-1], []
    note = "no set of float layers that was tried keeps the accuracy within the tolerance"
    return max([best, *tried], key=lambda one: one.hits), [note]


RANKED = 32  # images that layers are ranked by


def worst_first(layers: Sequence[str], snr: Callable[[str], float], deadline: float) -> list[str]:
    """Layers by the SNR of the network in which only that one is quantised; those without time come last, in order."""
    measured: dict[str, float] = {}
    for layer in layers:
        if time.monotonic() > deadline:
            break
        measured[layer] = snr(layer)
    return sorted(layers, key=lambda layer: measured.get(layer, float("inf")))


def fewest_float_layers(
    ranked: Sequence[str], attempt: Callable[[Sequence[str]], tuple[T, bool]], deadline: float
) -> list[T]:
    """Attempts with more and more of the ranked layers in float, the last that was good enough at the end.

    1, 2, 4, ... until one is good enough, then the middle between that and the one before, and so on. It takes for
    granted that more float layers are never worse. Nothing begins after the deadline.
    """
    tried: list[T] = []
    good: T | None = None
    low, high = 0, 1
    while low < len(ranked) and time.monotonic() <= deadline:
        result, enough = attempt(ranked[: min(high, len(ranked))])
        if enough:
            good, high = result, min(high, len(ranked))
            break
        tried.append(result)
        low, high = min(high, len(ranked)), 2 * high
    while good is not None and high - low > 1 and time.monotonic() <= deadline:
        middle = (low + high) // 2
        result, enough = attempt(ranked[:middle])
        if enough:
            good, high = result, middle
        else:
            low = middle
    return tried if good is None else [*tried, good]
