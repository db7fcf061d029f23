"""A training, whatever its task: set up or resumed, trained, saved, evaluated; the folder and the record of the run.

The folder of a run holds arch.json, recipe.json, weights.safetensors (the best so far), metrics.jsonl, two checkpoints,
the files of the task, and at the end result.json.
"""

from __future__ import annotations

import os
import platform
import signal
import threading
import time as clock
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import torch
from torch import nn

from netlathe.arch.trainable import Trainable
from netlathe.errors import NetlatheError
from netlathe.lower.weights import Array
from netlathe.runfolder.folder import Place, RunFolder, open_run
from netlathe.runfolder.identity import content
from netlathe.runfolder.result import read_result, write_result
from netlathe.train import checkpoint
from netlathe.train.distributed import Ranks, join_ranks
from netlathe.train.evaluate import Normalisation, measure_normalisation
from netlathe.train.folder import images_content, prepare_folder, weights_content
from netlathe.train.host import idle_cores, keep_freed_memory
from netlathe.train.images import ImageSet, Splits
from netlathe.train.job import TrainingJob, TrainingProgress, TrainingTask
from netlathe.train.loop import train_on
from netlathe.train.memory import check_memory
from netlathe.train.metrics import Metrics
from netlathe.train.pacing import Pacing, StopReason
from netlathe.train.plan import make_plan
from netlathe.train.precision import measure_policies
from netlathe.train.recipe import Recipe
from netlathe.train.recipefile import recipe_key
from netlathe.train.state import TrainingState, restore, start_state

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a training runs, whatever is learned.

    `epochs` replaces the recipe's (its schedule is stretched). `time` is a wall in seconds from `started` (of
    time.monotonic; now) to the files being written: the schedule is fitted to it. `weights` by path are those to start
    from, `origin` what they are (`runfolder.identity.content`), `normal` the normalisation they were made with; without
    them the recipe's initialisation and that of the training images.
    """

    seed: int = 0
    epochs: float | None = None
    time: float | None = None
    started: float | None = None
    weights: Mapping[str, Array] | None = None
    origin: Mapping[str, str] | None = None
    normal: Normalisation | None = None
    precision: str = "auto"
    threads: int | None = None
    accumulate: int = 1
    tensorboard: bool = False
    save_s: float = 30.0
    progress: Callable[[TrainingProgress], None] | None = None


@keep_freed_memory()
def run(
    task: TrainingTask[R], network: Trainable, splits: Splits, recipe: Recipe, out: Place, options: RunOptions
) -> R:
    """Train a network on the images of `splits` by a recipe, in the folder `out`; a folder with a checkpoint goes on.

    The network is fitted to the number of classes, the channels and the recipe's resolution. Under torchrun all
    processes call this, and share each step's batch. Ctrl-C saves and raises KeyboardInterrupt.

    Raises NetlatheError for a folder of another run or at which another process is at work, a network that does not
    classify images, a batch that does not fit into memory or cannot be shared, and a loss that is not a number.
    """
    begin = clock.monotonic() if options.started is None else options.started
    with open_run(out, task.kind, writes=join_ranks().first) as folder:
        return run_in(folder, task, network, splits, recipe, options, begin)


def run_in(
    run_folder: RunFolder,
    task: TrainingTask[R],
    network: Trainable,
    splits: Splits,
    recipe: Recipe,
    options: RunOptions,
    begin: float,
) -> R:
    """The same in a folder that is open; `begin` is when the time begins to count."""
    here, folder = join_ranks(), run_folder.path
    fitted = fit_to_images(network, splits.train, recipe)
    refuse_stretch(fitted, fitted.at(recipe.evaluate.resolution), recipe)
    run_folder.begin(training_identity(task, fitted, splits, recipe, options), until_finished=("time",))
    if (result := read_result(folder, task.schema, task.read_result)) is not None:
        refuse_precision(run_folder, options.precision, result.precision)  # type: ignore[attr-defined]
        return result
    old = checkpoint.read_newest(folder)
    if old is not None:
        refuse_precision(run_folder, options.precision, old["precision"])
    if here.first:
        prepare_folder(folder, fitted, recipe)
    use_threads(options.threads, old, here)
    job = TrainingJob(
        task=task,
        network=fitted,
        splits=splits,
        recipe=recipe,
        seed=options.seed,
        normal=options.normal or measure_normalisation(splits.train),
        ranks=here,
        folder=folder,
        weights=options.weights,
        metrics=Metrics(folder, lines=old["lines"] if old else 0, tensorboard=options.tensorboard)
        if here.first
        else None,
        accumulate=options.accumulate,
    )
    job, state = set_up(job, options, old)
    with interruptible() as stop:
        deadline = None
        if options.time is not None:
            deadline = begin + options.time - state.elapsed - task.finish_seconds(job, state)
        pacing = Pacing(state, here, task.scored_images(job), deadline=deadline, save_s=options.save_s, stop=stop)
        settings = {"precision": job.precision, "threads": torch.get_num_threads()}
        reason = train_on(job, state, pacing, settings, options.progress if here.first else None)
    if job.metrics:
        job.metrics.close()
    result = task.finish(
        job, state, reason is StopReason.STOPPED, lambda: run_facts(job, state, reason, clock.monotonic() - begin)
    )
    if here.first and result is not None:
        write_result(folder, task.schema, asdict(result))  # type: ignore[call-overload]
    result = here.agreed(result)
    if result is None:
        raise KeyboardInterrupt
    return result


def training_identity(
    task: TrainingTask[Any], fitted: Trainable, splits: Splits, recipe: Recipe, options: RunOptions
) -> dict[str, Any]:
    """All that decides what a training gives. Only the number of threads, which moves the last bits, is not in it."""
    weights: Mapping[str, str] | str = recipe.regularise.init
    if options.weights is not None:
        weights = options.origin or weights_content(options.weights)
    return {
        "network": content(fitted.name, fitted.key),
        "images": images_content(splits),
        "recipe": content(recipe.name, recipe_key(recipe)),
        "seed": options.seed,
        "epochs": options.epochs,
        "time": options.time,
        "weights": weights,
        "normalisation": options.normal,
        "accumulate": options.accumulate,
    } | task.identity()


def refuse_precision(run_folder: RunFolder, asked: str, old: str) -> None:
    """Raise NetlatheError where a precision is asked for that is not that of the run; auto takes what is there."""
    if asked != "auto":
        run_folder.refuse_other({"precision": old}, {"precision": asked})


def set_up(job: TrainingJob, options: RunOptions, old: Mapping[str, Any] | None) -> tuple[TrainingJob, TrainingState]:
    """The job with its precision, and the state that it starts from, new or from a checkpoint."""
    plan = make_plan(job.recipe, len(job.splits.train), epochs=options.epochs)
    job.ranks.check_batch(plan.batch)
    images = plan.batch // job.ranks.world
    check_memory(job.network, job.recipe, job.task.views * images, options.accumulate)
    module = job.task.build(job, plan)
    shape = (images, *job.network.input)
    policy = choose_precision(job.task.kept(module), shape, options.precision, old, job.ranks)
    state = start_state(module, job.recipe, plan, policy, job.ranks)
    if old is not None:
        restore(state, old)
    job = replace(job, precision=policy)
    job.task.prepare(job, plan, fresh=old is None)
    return job, state


def choose_precision(
    module: nn.Module, images: tuple[int, ...], asked: str, old: Mapping[str, Any] | None, here: Ranks
) -> str:
    """The policy of the checkpoint, else the one that was asked for, else the fastest on images of that shape."""
    if old is not None:
        return str(old["precision"])
    if asked == "auto":
        return str(here.agreed(measure_policies(module, images, str(here.device)).policy))
    return asked


def fit_to_images(network: Trainable, images: ImageSet, recipe: Recipe) -> Trainable:
    """The network for the classes and channels of the images, at the recipe's training resolution."""
    channels = images.pixels.shape[-1]
    return network.for_images(classes=len(images.classes), channels=channels, resolution=recipe.resolution)


def use_threads(asked: int | None, old: Mapping[str, Any] | None, here: Ranks) -> None:
    """Set torch's threads: what was asked for, else those of the checkpoint, else the cores that nobody else uses.

    The order of sums depends on their number, so a resumed training keeps it.
    """
    if asked is not None:
        torch.set_num_threads(asked)
    elif old is not None and "threads" in old:
        torch.set_num_threads(int(old["threads"]))
    elif "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, idle_cores() // here.world))


def refuse_stretch(fitted: Trainable, tested: Trainable, recipe: Recipe) -> None:
    """Raise NetlatheError where weights for the training resolution do not fit the test resolution."""
    if recipe.resolution != recipe.evaluate.resolution and fitted.tensors() != tested.tensors():
        px = recipe.resolution
        raise NetlatheError(
            f"{fitted.name} has weights for each position, so it cannot train at {px} px and be tested at "
            f"{recipe.evaluate.resolution} px",
            code="train.resolution",
            path=recipe.name,
            hint=f"--resolution {px}, or --set evaluate.resolution={px}",
        )


def run_facts(job: TrainingJob, state: TrainingState, reason: StopReason, seconds: float) -> dict[str, Any]:
    """The fields that the results of all tasks have; `seconds` are those of this process."""
    seconds += state.elapsed
    return {
        "network": job.network.name,
        "network_key": job.network.key,
        "recipe_key": recipe_key(job.recipe),
        "seed": job.seed,
        "epochs": state.seen / state.plan.epoch,
        "images": state.seen,
        "seconds": seconds,
        "images_per_s": state.seen / seconds,
        "precision": job.precision,
        "threads": torch.get_num_threads(),
        "ended": reason.value,
        "torch": torch.__version__,
        "machine": platform.processor() or platform.machine(),
        "folder": str(job.folder),
    }


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM ask once, so that the step ends and the state is saved; the second Ctrl-C interrupts."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked = False

    def ask(number: int, frame: Any) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    old = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
