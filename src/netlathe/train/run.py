"""train(): a network, images and a recipe in; weights, an ONNX file and the record of the run out.

The folder of a run holds arch.json, recipe.json, weights.safetensors (the best on the validation images so far),
model.onnx, metrics.jsonl, two checkpoints, and at the end result.json.
"""

from __future__ import annotations

import os
import platform
import signal
import threading
import time as clock
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnxruntime as ort
import torch
from torch import nn

from netlathe.arch.network import Network
from netlathe.cost.totals import totals
from netlathe.errors import NetlatheError
from netlathe.lower.torch import to_torch
from netlathe.lower.weights import Array, tensor_shapes
from netlathe.reshape.classes import for_images
from netlathe.runfolder.identity import refuse_other
from netlathe.runfolder.result import read_result, write_result
from netlathe.train import checkpoint, precision
from netlathe.train.distributed import Ranks, ranks
from netlathe.train.ema import WeightAverage
from netlathe.train.evaluate import (
    Normalisation,
    compute_outputs,
    count_correct,
    make_preprocessor,
    measure_normalisation,
)
from netlathe.train.export import MODEL, export, write_weights
from netlathe.train.folder import TRAINING, identity, prepare_folder
from netlathe.train.host import idle_cores, keep_freed_memory
from netlathe.train.images import ImageSet, Splits
from netlathe.train.loop import StopReason, TrainingJob, TrainingProgress, TrainingState, train_on
from netlathe.train.memory import check_memory
from netlathe.train.metrics import Metrics
from netlathe.train.optim import build_optimiser
from netlathe.train.plan import Leg, TrainingPlan, make_plan
from netlathe.train.recipe import Recipe
from netlathe.train.supervised import CLASSIFY

SCHEMA = "netlathe.run/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """What a training reached. Accuracies are shares of the images; those of the weights that were kept."""

    network: str
    network_key: str
    recipe: str
    recipe_key: str
    seed: int
    classes: int
    params: int
    macs: int  # of one image at the test resolution
    validation: float | None
    validation_images: int
    test: float | None
    test_images: int
    epochs: float
    images: int  # seen in training
    macs_seen: int  # forward passes of training alone
    seconds: float
    images_per_s: float
    precision: str
    threads: int
    ended: str
    torch: str
    machine: str
    folder: str


@keep_freed_memory()
def train(
    network: Network,
    splits: Splits,
    recipe: Recipe,
    out: str | Path,
    *,
    seed: int = 0,
    epochs: float | None = None,
    time: float | None = None,
    started: float | None = None,
    weights: Mapping[str, Array] | None = None,
    normal: Normalisation | None = None,
    precision: str = "auto",
    threads: int | None = None,
    accumulate: int = 1,
    tensorboard: bool = False,
    save_s: float = 30.0,
    progress: Callable[[TrainingProgress], None] | None = None,
) -> TrainingResult:
    """Train a network on the images of `splits` by a recipe, in the folder `out`; a folder with a checkpoint goes on.

    The network is fitted to the number of classes, the channels and the recipe's resolution. `epochs` replaces the
    recipe's (its schedule is stretched). `time` is a wall in seconds from `started` (of time.monotonic; now) to the
    files being written: the schedule is fitted to it. `weights` by path are those to start from, `normal` the
    normalisation they were made with; without, the recipe's initialisation and that of the training images. Under
    torchrun all processes call this, and share each step's batch. Ctrl-C saves and raises KeyboardInterrupt.

    Raises NetlatheError for a folder of another run, a network that does not classify images, a batch that does not
    fit into memory, and a loss that is not a number.
    """
    begin = clock.monotonic() if started is None else started
    here = ranks()
    folder = Path(out)
    fitted = fitted_to(network, splits.train, recipe)
    tested = fitted.at(recipe.evaluate.resolution)
    refuse_stretch(fitted, tested, recipe)
    who = identity(fitted, splits.train, recipe, seed, epochs, weights, time is not None)
    if (done := read_result(folder, TRAINING, who)) is not None:
        return TrainingResult(**done)
    old = checkpoint.newest(folder)
    if old is not None:
        refuse_other(TRAINING, old["who"], who, folder)
    if here.first:
        prepare_folder(folder, fitted, recipe)
    use_threads(threads, old, here)
    plan = make_plan(recipe, len(splits.train), epochs=epochs)
    here.check_batch(plan.batch)
    check_memory(fitted, recipe, plan.batch // here.world, accumulate)
    normal = normal or measure_normalisation(splits.train)
    state, chosen, autocast = assembled(fitted, recipe, plan, weights, seed, precision, old, here)
    metrics = Metrics(folder, lines=old["lines"] if old else 0, tensorboard=tensorboard) if here.first else None
    images = len(splits.validation) + (len(splits.test) if splits.test else 0)

    def keep(best: nn.Module) -> None:
        if here.first:
            write_weights(folder, best)

    with interruptible() as stop:
        job = TrainingJob(
            task=CLASSIFY,
            recipe=recipe,
            train=splits.train,
            validation=splits.validation,
            seed=seed,
            normal=normal,
            ranks=here,
            autocast=autocast,
            metrics=metrics,
            folder=folder,
            resolution=recipe.resolution,
            accumulate=accumulate,
            deadline=None if time is None else begin + time - state.elapsed - finish_s(state.module, tested, images),
            save_s=save_s,
            tick=progress if here.first else None,
            stop=stop,
            keep=keep,
        )
        ended = train_on(job, state, {"who": who, "precision": chosen, "threads": torch.get_num_threads()})
    if metrics:
        metrics.close()
    result = None
    if here.first:
        export(folder, tested, normal, recipe, splits.train.classes, seed)
        if ended is not StopReason.STOPPED:
            seconds = clock.monotonic() - begin
            result = summary(tested, splits, recipe, who, state, normal, folder, chosen, ended, seconds)
            write_result(folder, SCHEMA, who, asdict(result))
    result = here.agreed(result)
    if result is None:
        raise KeyboardInterrupt
    return result


def fitted_to(network: Network, images: ImageSet, recipe: Recipe) -> Network:
    """The network for the classes and channels of the images, at the recipe's training resolution."""
    channels = images.pixels.shape[-1]
    return for_images(network, classes=len(images.classes), channels=channels, resolution=recipe.resolution)


def use_threads(asked: int | None, old: Mapping[str, Any] | None, here: Ranks) -> None:
    """Set torch's threads: what was asked for, else those of the checkpoint, else the cores that nobody else uses.

    The order of sums depends on their number, so a resumed training keeps it.
    """
    if asked is not None:
        torch.set_num_threads(asked)
    elif old is not None:
        torch.set_num_threads(int(old["threads"]))
    elif "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, idle_cores() // here.world))


def refuse_stretch(fitted: Network, tested: Network, recipe: Recipe) -> None:
    """Raise NetlatheError where weights for the training resolution do not fit the test resolution."""
    if tensor_shapes(fitted) != tensor_shapes(tested):
        px = recipe.resolution
        raise NetlatheError(
            f"{fitted.name} has weights for each position, so it cannot train at {px} px and be tested at "
            f"{recipe.evaluate.resolution} px",
            code="train.resolution",
            path=recipe.name,
            hint=f"--resolution {px}, or --set evaluate.resolution={px}",
        )


def finish_s(module: nn.Module, network: Network, images: int) -> float:
    """Seconds to keep for the last evaluation and the files: two, and the images at the speed of a forward pass."""
    x = torch.zeros((16, *network.input))
    with torch.no_grad():
        was, _ = module.training, module.eval()
        start = clock.monotonic()
        module(x)
        took = clock.monotonic() - start
        module.train(was)
    return 2.0 + images * took / len(x)


def assembled(
    network: Network,
    recipe: Recipe,
    plan: TrainingPlan,
    weights: Mapping[str, Array] | None,
    seed: int,
    wanted: str,
    old: Mapping[str, Any] | None,
    here: Ranks,
) -> tuple[TrainingState, str, Callable[[], Any]]:
    """The state that training starts from, new or from a checkpoint; the precision policy and its context."""
    rules = recipe.regularise
    module = to_torch(
        network,
        weights,
        init=None if weights is not None else rules.init,
        seed=seed,
        drop_rate=rules.dropout,
        drop_path=rules.drop_path,
        ramp=rules.ramp,
    )
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = rules.norm_momentum
    images = (plan.batch // here.world, *network.input)
    return in_training(module, module, images, recipe, plan, wanted, old, here)


def in_training(
    module: nn.Module,
    timed: nn.Module,
    images: tuple[int, ...],
    recipe: Recipe,
    plan: TrainingPlan,
    wanted: str,
    old: Mapping[str, Any] | None,
    here: Ranks,
) -> tuple[TrainingState, str, Callable[[], Any]]:
    """As `assembled`, for any module; where the precision is to be measured, `timed` runs on images of that shape."""
    rules = recipe.regularise
    if old is not None:
        chosen = str(old["precision"])
    elif wanted == "auto":
        chosen = str(here.agreed(precision.measure_policies(timed, images, str(here.device)).policy))
    else:
        chosen = wanted
    module = precision.set_precision(module, chosen).to(here.device)
    average = WeightAverage(module, rules.ema) if rules.ema else None
    optimiser = build_optimiser(module, recipe.optimiser, plan.batch)
    state = TrainingState(module, here.wrap(module), optimiser, average, plan)
    if old is not None:
        module.load_state_dict(old["module"])
        optimiser.load_state_dict(old["optimiser"])
        if average is not None:
            average.module.load_state_dict(old["average"])
            average.updates = old["updates"]
        batch, steps, legs = old["plan"]
        state.plan = TrainingPlan(batch, steps, tuple(Leg(*leg) for leg in legs))
        state.seen, state.best, state.evaluated = old["seen"], old["best"], old["evaluated"]
        state.elapsed, state.generation = old["elapsed"], old["generation"]
        state.losses = list(old["losses"])
    return state, chosen, lambda: precision.autocast(chosen, str(here.device))


def summary(
    network: Network,
    splits: Splits,
    recipe: Recipe,
    who: Mapping[str, Any],
    state: TrainingState,
    normal: Normalisation,
    folder: Path,
    chosen: str,
    ended: StopReason,
    seconds: float,
) -> TrainingResult:
    """The exported file on the test images, in ONNX Runtime and float32, and the figures of the run."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = ort.InferenceSession(folder / MODEL, options, providers=["CPUExecutionProvider"])
    [x] = session.get_inputs()
    prepare = make_preprocessor(recipe, normal)

    def kept(images: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(session.run(None, {x.name: images.contiguous().numpy()})[0])

    def share(images: ImageSet | None) -> float | None:
        if images is None or not len(images):
            return None
        return count_correct(compute_outputs(kept, images, prepare), images.labels) / len(images)

    macs = totals(network.body, *network.inputs)
    seen_at = network.at(recipe.resolution)
    return TrainingResult(
        network=network.name,
        network_key=str(who["network"]),
        recipe=recipe.name,
        recipe_key=str(who["recipe"]),
        seed=int(who["seed"]),
        classes=len(splits.train.classes),
        params=macs.params,
        macs=macs.macs,
        validation=share(splits.validation),
        validation_images=len(splits.validation),
        test=share(splits.test),
        test_images=len(splits.test) if splits.test else 0,
        epochs=state.seen / state.plan.epoch,
        images=state.seen,
        macs_seen=state.seen * totals(seen_at.body, *seen_at.inputs).macs,
        seconds=seconds + state.elapsed,
        images_per_s=state.seen / (seconds + state.elapsed),
        precision=chosen,
        threads=torch.get_num_threads(),
        ended=ended.value,
        torch=torch.__version__,
        machine=platform.processor() or platform.machine(),
        folder=str(folder),
    )


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
