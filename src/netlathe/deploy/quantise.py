"""int8 after training: calibrated on real images, with the layers that hurt left in float.

Each runtime has a quantiser of its own, reached through its file in `runtimes`: ONNX Runtime on x86 is fast only with
U8S8, and the files that NNCF makes are fast only in OpenVINO. A quantiser runs in a process of its own.
"""

from __future__ import annotations

import time
from dataclasses import replace

from netlathe.bench.machine import this_machine
from netlathe.deploy.export import STEPS
from netlathe.deploy.isolation import run_isolated
from netlathe.deploy.package import INPUT
from netlathe.errors import NetlatheError, unknown
from netlathe.process.call import CallFailed
from netlathe.runtimes import registry
from netlathe.runtimes.quantise import Labelled, QuantisedModel, QuantiseTask

FEWEST = 32  # images; with fewer the ranges of activations are those of these images
ENOUGH = 300  # NNCF's default; more changed nothing in its makers' experience
TOLERANCE = 0.01  # share of the validation images that may be lost
SECONDS = 300.0


def quantise_model(
    model: bytes,
    calibration: Labelled,
    validation: Labelled,
    *,
    runtime: str = registry.DEFAULT,
    tolerance: float = TOLERANCE,
    seconds: float = SECONDS,
    threads: int = 1,
) -> QuantisedModel:
    """The int8 file, for a runtime, of a float one that takes pixels (`export.deployable_model`); made in isolation.

    `calibration` are training images as the file takes them, `validation` those that decide which layers stay in
    float. It takes about `seconds` at most, of which nothing is cut that has begun: the process ends after twice that.
    Raises NetlatheError for another runtime and fewer than 32 calibration images, CallFailed where the quantiser
    crashes, and MissingExtra where its package is not installed.
    """
    legal = registry.quantising_runtimes()
    if runtime not in legal:
        raise unknown("runtime for int8", runtime, legal, code="quantise.runtime")
    if len(calibration.pixels) < FEWEST:
        raise NetlatheError(
            f"{len(calibration.pixels)} calibration images are too few: the ranges would be those of these images",
            code="quantise.images",
            hint=f"at least {FEWEST}, better {ENOUGH}, of the training images",
        )
    if not len(validation.pixels):
        raise NetlatheError("no validation images: nothing would show what int8 costs", code="quantise.validation")
    if not 0 <= tolerance < 1:
        hint = "0.01 allows one image in a hundred to be lost"
        raise NetlatheError(f"a tolerance of {tolerance} is no share", code="quantise.tolerance", hint=hint)
    registry.runtime_version(runtime)
    task = QuantiseTask(
        model,
        calibration,
        validation,
        tolerance,
        seconds,
        threads,
        open=registry.opener(registry.runtime(runtime).judged_by or runtime),
        input=INPUT,
        excluded=STEPS,
        flags=frozenset(this_machine().flags),
        all_layers=registry.runtime(runtime).processor == "microcontroller",
    )
    return best_quantised(runtime, task)


def best_quantised(runtime: str, task: QuantiseTask) -> QuantisedModel:
    """The result of the runtime's first quantiser; of the next ones while that loses too much and time is left."""
    quantisers = registry.runtime(runtime).quantisers
    assert quantisers is not None, "only runtimes with one are asked"
    first, *others = quantisers()
    start = time.monotonic()
    best = run_isolated(first, task.threads, 2 * task.seconds + 60, task)
    for quantiser in others:
        left = task.seconds - (time.monotonic() - start)
        if best.accurate:
            return best
        if left <= 0:
            return with_note(best, "no time was left to look for layers that hurt")
        try:
            attempt = run_isolated(quantiser, task.threads, left + 30, task)
        except CallFailed as error:
            return with_note(best, f"looking for layers that hurt ended early: {error.message}")
        best = attempt if attempt.after > best.after else with_note(best, "no layer left in float made it better")
    return best


def with_note(model: QuantisedModel, note: str) -> QuantisedModel:
    """The same with a note more."""
    return replace(model, notes=(*model.notes, note))
