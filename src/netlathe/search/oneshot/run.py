"""The loop of a one-shot search, and its folder: checkpoints, metrics.jsonl, best.json, result.json.

A killed search goes on from its last checkpoint, the same bit for bit: batches are pure functions of the seed and the
step. With a wall of time the schedule follows the clock instead, and two runs differ.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import Any, NamedTuple

from netlathe.errors import NetlatheError
from netlathe.runfolder.folder import Place, open_run
from netlathe.search.oneshot.family import OneShotFamily
from netlathe.search.oneshot.options import OneShotOptions
from netlathe.search.oneshot.result import ONE_SHOT, OneShotResult, derive_result, read_one_shot, write_one_shot
from netlathe.search.oneshot.split import DataSplit
from netlathe.search.oneshot.state import initial_state, restore
from netlathe.search.oneshot.supernet import Supernet
from netlathe.search.oneshot.task import (
    DEADLINE,
    EARLY,
    STOPPED,
    WHOLE,
    OneShotRun,
    apply_remedy,
    log_epoch,
    one_shot_identity,
)
from netlathe.search.oneshot.train_step import darts_step, rsws_step, set_lr
from netlathe.train import checkpoint
from netlathe.train.host import keep_freed_memory
from netlathe.train.images import ImageSet
from netlathe.train.metrics import Metrics
from netlathe.train.recipe import Recipe
from netlathe.train.run import interruptible

SELECTION = 0.2  # of a wall of time: what random search with weight sharing keeps for picking its network
SAVE_S = 60.0


class OneShotProgress(NamedTuple):
    """Where a search stands."""

    step: int
    steps: int  # of an epoch
    progress: float
    loss: float
    line: dict[str, Any] | None  # of the log, after an epoch


@keep_freed_memory()
def search_one_shot(
    images: ImageSet,
    recipe: Recipe,
    options: OneShotOptions,
    family: OneShotFamily,
    out: Place,
    *,
    space: str = "darts",
    time_s: float | None = None,
    started: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    progress: Callable[[OneShotProgress], None] | None = None,
) -> OneShotResult:
    """Search on the training images in the folder `out`; a folder with a checkpoint goes on.

    `recipe` gives resolution and augmentation alone. `time_s` is a wall in seconds from `started` (of the clock; now);
    with `clock` time.process_time it is processor time. Ctrl-C writes the best genotype so far, and a later call goes
    on. Raises NetlatheError for a folder of another search, for too few images, and where the loss is not a number.
    """
    begin = clock() if started is None else started
    if options.epochs is None and time_s is None:
        raise NetlatheError("a search needs an end", code="search.end", hint="--epochs or --time")
    split = DataSplit(images, recipe, options.seed, options.batch)
    with open_run(out, ONE_SHOT) as run_folder:
        folder = run_folder.path
        run_folder.begin(one_shot_identity(options, family, split, space, time_s), until_finished=("time",))
        if (done := read_one_shot(folder)) is not None:
            return done
        old = checkpoint.read_newest(folder)
        image = (images.pixels.shape[-1], recipe.resolution, recipe.resolution)
        classes = len(images.classes)
        supernet = Supernet(family.supernet(image, classes), seed=options.seed, affine=family.affine)
        state = initial_state(supernet, options)
        if old is not None:
            restore(state, old)
        metrics = Metrics(folder, lines=old["lines"] if old else 0)
        share = 1 - SELECTION if options.method == "rsws" else 1.0
        limit = None if time_s is None else share * time_s
        task = OneShotRun(options, family, split, state, folder, metrics, image, classes, begin, limit, clock)
        with interruptible() as stop:
            ended = train_supernet(task, progress, stop)
            task.save()
            result = derive_result(task, space, ended, None if time_s is None else begin + time_s - state.elapsed, stop)
            if stop():
                result = replace(result, ended=STOPPED)
        metrics.close()
        write_one_shot(task, result)
        if result.ended == STOPPED:
            raise KeyboardInterrupt
        return result


def train_supernet(
    task: OneShotRun, progress: Callable[[OneShotProgress], None] | None, stop: Callable[[], bool]
) -> str:
    """Steps until the schedule, the time or somebody's patience ends; a line of the log after every epoch."""
    state, options, split = task.state, task.options, task.split
    saved, cost = task.clock(), 0.0  # cost: seconds of the last line of the log
    while task.progress() + (cost / task.limit if task.limit else 0.0) < 1:
        if stop():
            return STOPPED
        set_lr(state, options, task.progress())
        loss = (
            darts_step(state, split, options)
            if options.method == "darts"
            else rsws_step(state, split, options, task.family)
        )
        if not loss < inf:
            raise NetlatheError(
                f"the loss is {loss} at step {state.step}",
                code="search.not_a_number",
                path=str(task.folder),
                hint="a lower --lr or --weight-decay usually helps; the last checkpoint is kept",
            )
        state.losses.append(loss)
        line = None
        if state.step % split.steps == 0:
            start = task.clock()
            line = log_epoch(task)
            cost = task.clock() - start
            if apply_remedy(task) == EARLY:
                return EARLY
        if progress is not None:
            progress(OneShotProgress(state.step, split.steps, min(task.progress(), 1.0), loss, line))
        if line is not None or task.clock() - saved > SAVE_S:
            task.save()
            saved = task.clock()
    if state.losses or not state.log:
        log_epoch(task)
    return WHOLE if options.epochs and task.epoch() >= options.epochs else DEADLINE
