"""fit(): inspect the images, find what fits the budget, train with elimination, deploy, verify. Each step resumes.

The folder holds run.toml and recipe.toml (what was asked for), steps/ (a file a step), rungs/ and final/ (training
runs), and what is deployed: model.onnx, the file of another form where that is better, package.json, card.json,
card.html.
"""

from __future__ import annotations

import time as clock_
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from netlathe.arch.document import from_json
from netlathe.choose.budget import Budget
from netlathe.choose.place import MCU, Place, within_card
from netlathe.deploy.check import CheckReport
from netlathe.deploy.package import Package, load_package
from netlathe.errors import NetlatheError
from netlathe.fit.clock import Clock
from netlathe.fit.config import FitConfig
from netlathe.fit.deliver import export_float, select_variant, verify
from netlathe.fit.pace import measure_pace, select_affordable
from netlathe.fit.race import Progress, Row, Say, run_rungs, train_candidate
from netlathe.fit.rungs import SEARCH
from netlathe.fit.shortlist import shortlist
from netlathe.fit.space_search import search_space
from netlathe.fit.steps import claim_folder
from netlathe.runfolder.steps import cached_step
from netlathe.train.images import Splits
from netlathe.train.precision import find_policy

RESERVE_S, RESERVE = 60.0, 0.03  # for deploying and verifying: seconds (a quarter where that is less), and a share
VERIFYING_S = 20.0  # of them for the last measurement, the test images and the card
UNHURRIED_S = 300.0  # for trying forms, where there is no wall
INT8_SHARE, INT8_MORE = 0.27, 20_000  # an int8 file in shares of the float file, and bytes: deploy.md section 9


def fit(
    wish: FitConfig,
    splits: Splits,
    place: Place,
    out: Path,
    *,
    started: float | None = None,
    say: Say = lambda line: None,
    progress: Progress = lambda title: None,
) -> tuple[Package, CheckReport]:
    """A trained network in a verified file that keeps the budget; the same call on the folder goes on where it stopped.

    `started` (of time.monotonic) is when the wall of the wish began. Raises Infeasible, before any training, where no
    network keeps the budget; and NetlatheError for a folder of another fit and whatever training and deploying raise.
    On a device that is not this machine nothing is timed.
    """
    if wish.precision != "auto":
        find_policy(wish.precision)
    if wish.threads is not None:
        torch.set_num_threads(wish.threads)
    claim_folder(out, wish.identity(splits.train.key))
    wish.write(out)
    clock = Clock(out, clock_.monotonic() if started is None else started)
    limits = float_limits(wish, place)
    first = []
    if wish.search is not None:
        arch = cached_step(out, "searched", lambda: search_space(wish, place, out, say))["arch"]
        first = [from_json(arch, source=wish.search)] if arch else []
    found = cached_step(out, "candidates", lambda: shortlist(wish, limits, splits, place, say, first))
    pool: dict[str, Row] = {row["name"]: row for row in found["candidates"]}
    say(f"{len(pool)} candidates that keep the budget: {', '.join(pool)}")
    seconds, pace = wish.seconds, dict[str, Any]()
    if seconds is not None and len(pool) > 1:
        pace = cached_step(out, "pace", lambda: measure_pace(wish, pool, seconds))
    times = cached_step(out, "times", lambda: divide_time(wish, clock.spent()))
    if pace:
        asked = [name for name, row in pool.items() if row["weights"]]
        images = len(splits.train)
        names = cached_step(
            out, "racing", lambda: {"names": select_affordable(pace, times["search_s"], images, asked)}
        )["names"]
        if slow := ", ".join(name for name in pool if name not in names):
            say(f"left out, for they train too slowly for this time: {slow}")
        pool = {name: {**pool[name], **pace[name]} for name in names}
    winner, before, last = run_rungs(wish, splits, out, pool, times, clock, say, progress)
    left = cached_step(out, "left", lambda: {"seconds": final_seconds(wish, clock.spent())})["seconds"]

    def finalist() -> dict[str, Any]:
        say(f"training {winner['name']}" + (f" for {left:.0f} s" if left else ""))
        result = train_candidate(
            wish, splits, winner, out / "final", before=before, seed=wish.seed + 1000, epochs=wish.epochs,
            seconds=left, clock=clock, progress=progress(f"final: {winner['name']}"),
        )  # fmt: skip
        return asdict(result)

    final = cached_step(out, "final", finalist)

    def form() -> dict[str, Any]:
        package = export_float(wish, splits, place, out, winner, say)
        left = UNHURRIED_S if wish.seconds is None else wish.seconds - clock.spent() - VERIFYING_S
        made, tried = select_variant(wish, splits, place, package, left, say)
        return {"deployed": [made.runtime, made.precision, made.model], "tried": tried}

    forms = cached_step(out, "form", form)["tried"]
    package = load_package(out)
    return package, verify(wish, splits, place, package, found, winner, last, final, forms)


def float_limits(wish: FitConfig, place: Place) -> Budget:
    """The limits of the wish and of the device, as a float file has to keep them."""
    limits = within_card(wish.limits, place.card)
    if wish.form == "int8" and limits.size is not None and place.card.class_ != MCU:
        return replace(limits, size=max(1, int((limits.size - INT8_MORE) / INT8_SHARE)))
    return limits


def divide_time(wish: FitConfig, spent: float) -> dict[str, Any]:
    """How the time is shared: seconds of the search, or epochs of each training in a rung."""
    if wish.seconds is None:
        assert wish.epochs is not None
        return {"search_s": None, "rung_epochs": max(1.0, wish.epochs / 5)}
    left = wish.seconds - spent - reserved_seconds(wish.seconds)
    if left < 10:
        raise NetlatheError(
            f"{wish.seconds:.0f} s are too little: {spent:.0f} s went before training, deploying needs "
            f"{reserved_seconds(wish.seconds):.0f} s",
            code="fit.time",
            hint=f"give at least --time {spent + reserved_seconds(wish.seconds) + 60:.0f}s, and another folder with -o",
        )
    return {"search_s": SEARCH * left, "rung_epochs": None}


def final_seconds(wish: FitConfig, spent: float) -> float | None:
    """Seconds of the last training: all that is left; None where epochs are counted."""
    return None if wish.seconds is None else max(10.0, wish.seconds - spent - reserved_seconds(wish.seconds))


def reserved_seconds(seconds: float) -> float:
    """Seconds kept for what comes after training."""
    return min(RESERVE_S, seconds / 4) + RESERVE * seconds


def candidate_table(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The rows of a table of candidates: name, MACs, size, memory, latency."""
    from netlathe.units import show_bytes, show_count, show_ms

    return [
        (
            c["name"],
            show_count(c["macs"]),
            show_bytes(c["size_bytes"]),
            show_bytes(c["memory_bytes"]),
            f"{'' if c['measured'] else '~'}{show_ms(c['latency_ms'][1])}",
            c["weights"] or "random",
        )
        for c in found["candidates"]
    ]
