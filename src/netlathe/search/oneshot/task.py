"""A search that runs: how far it is, its log, its checkpoint, and what a remedy does about an alarm."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import torch

from netlathe.arch.document import to_json
from netlathe.files import write_text
from netlathe.runfolder.identity import content
from netlathe.search.collapse import MOST_DECAY
from netlathe.search.oneshot.diagnostics import darts_record, diagnose_search, rsws_record
from netlathe.search.oneshot.family import OneShotFamily
from netlathe.search.oneshot.options import OneShotOptions
from netlathe.search.oneshot.split import DataSplit
from netlathe.search.oneshot.state import OneShotState, snapshot
from netlathe.train import checkpoint
from netlathe.train.metrics import Metrics
from netlathe.train.recipefile import recipe_key

WHOLE, DEADLINE, STOPPED, EARLY = "whole schedule", "out of time", "interrupted", "stopped early"


@dataclass
class OneShotRun:
    """A search that runs: what does not change, and the state."""

    options: OneShotOptions
    family: OneShotFamily
    split: DataSplit
    state: OneShotState
    folder: Path
    metrics: Metrics
    image: tuple[int, int, int]
    classes: int
    began: float  # of the clock
    limit: float | None  # seconds of training, in all processes
    clock: Callable[[], float] = time.monotonic

    def spent(self) -> float:
        """Seconds of this search, in all processes."""
        return self.state.elapsed + self.clock() - self.began

    def epoch(self) -> float:
        """Epochs of the training half so far."""
        return self.state.step / self.split.steps

    def progress(self) -> float:
        """The share that is done, by epochs and by time, whichever is more."""
        by_epochs = 0.0 if self.options.epochs is None else self.epoch() / self.options.epochs
        return max(by_epochs, 0.0 if self.limit is None else self.spent() / self.limit)

    def epochs(self) -> float:
        """How many epochs it will have been, as far as one knows."""
        return self.epoch() / max(self.progress(), 1e-9) if self.limit is not None else self.options.epochs or inf

    def save(self) -> None:
        """A checkpoint."""
        self.state.generation += 1
        facts = {"lines": self.metrics.lines, "threads": torch.get_num_threads()}
        checkpoint.save(self.folder, snapshot(self.state, self.spent()) | facts, self.state.generation)

    def keep(self, genotype: Any) -> None:
        """The network of the best genotype so far."""
        name = f"{self.options.method}_found"
        network = self.family.network(genotype, self.image, self.classes, name)
        write_text(self.folder / "best.json", to_json(network))


def one_shot_identity(
    options: OneShotOptions, family: OneShotFamily, split: DataSplit, space: str, time_s: float | None
) -> dict[str, Any]:
    """All that decides what a search finds."""
    return {
        "options": options.as_dict(),
        "space": content(space, family.key()),
        "images": content("training images", split.images.key),
        "recipe": content(split.recipe.name, recipe_key(split.recipe)),
        "time": time_s,
    }


def log_epoch(task: OneShotRun) -> dict[str, Any]:
    """A line of the log, and the network of the genotype there."""
    state = task.state
    line = epoch_record(task)
    [group] = state.optimiser.param_groups
    mean = sum(state.losses) / len(state.losses) if state.losses else None
    line |= {"loss": mean, "lr": group["lr"], "weight_decay": group["weight_decay"], "seconds": task.spent()}
    state.losses.clear()
    state.log.append(line)
    task.metrics.write("epoch", state.step * task.options.batch, **line)
    task.keep(task.family.of_data(line["genotype"]))
    return line


def epoch_record(task: OneShotRun) -> dict[str, Any]:
    """What the method's watch sees now."""
    epoch = max(0, -(-task.state.step // task.split.steps) - 1)
    make = darts_record if task.options.method == "darts" else rsws_record
    return make(task.state, task.split, task.options, task.family, epoch)


def apply_remedy(task: OneShotRun) -> str | None:
    """What a remedy does about the newest line: stop (early-stop), or raise the weight decay and go on (decay)."""
    remedy, state = task.options.remedy, task.state
    if task.options.method != "darts" or remedy not in ("early-stop", "decay"):
        return None
    diagnosis = diagnose_search(state, task.epochs())
    if not any(alarm.sign == "eigenvalue" for alarm in diagnosis.alarms):
        return None
    if remedy == "early-stop":
        return EARLY
    for group in state.optimiser.param_groups:
        raised = 3 * group["weight_decay"]
        if raised <= MOST_DECAY * 1.001:
            group["weight_decay"] = raised
            state.counted_from = len(state.log)
            task.metrics.write("decay", state.step * task.options.batch, weight_decay=raised)
    return None
