"""pretrain(): a network and images in, weights that know the images out; labels only judge them.

The folder of a run holds arch.json, recipe.json, method.json, weights.safetensors (of the network without its
classifier, the best by nearest neighbours so far), before.json (what the first weights were worth), metrics.jsonl, two
checkpoints, and at the end result.json.
"""

from __future__ import annotations

import json
import platform
import time as clock
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from netlathe.arch.network import Network
from netlathe.errors import NetlatheError
from netlathe.files import write_json
from netlathe.lower.torch import fill
from netlathe.lower.weights import Array
from netlathe.runfolder.identity import refuse_other
from netlathe.runfolder.result import read_result, write_result
from netlathe.train import checkpoint
from netlathe.train.distributed import Ranks, ranks
from netlathe.train.evaluate import Normalisation, Preprocessor, make_preprocessor, measure_normalisation
from netlathe.train.export import read_weights, write_weights
from netlathe.train.folder import TRAINING, identity, prepare_folder
from netlathe.train.host import keep_freed_memory
from netlathe.train.images import ImageSet, Splits
from netlathe.train.loop import StopReason, TrainingJob, TrainingProgress, train_on
from netlathe.train.memory import check_memory
from netlathe.train.metrics import Metrics, read
from netlathe.train.plan import make_plan
from netlathe.train.recipe import Recipe
from netlathe.train.recipefile import key
from netlathe.train.run import fitted_to, in_training, interruptible, refuse_stretch, use_threads
from netlathe.train.ssl.encoder import build_encoder, count_features
from netlathe.train.ssl.feature_score import FeatureScore, judge_encoder, select_bank
from netlathe.train.ssl.losses import chance_loss
from netlathe.train.ssl.method import Method, queue_length
from netlathe.train.ssl.tasks import module_of, task_of

SCHEMA = "netlathe.pretrain/1"
BEFORE = "before.json"
WHO = ("loss", "temperature", "outputs", "norms", "queue", "momentum", "key_groups")  # of a method, beside its recipe
SLACK = 2.5  # the last evaluation and the last judgement together, in times of the first judgement


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainingResult:
    """What pretraining gave: `before` and `after` by name of the test set (validation, test), on the same images.

    The weights were picked by nearest neighbours on the validation images; nothing was picked on the test images.
    """

    network: str
    network_key: str
    method: str
    recipe_key: str
    seed: int
    start: str
    features: int
    before: dict[str, FeatureScore]
    after: dict[str, FeatureScore]
    bank: int  # training images whose labels the judges know
    loss: float | None  # mean since the evaluation before the last
    chance: float  # the loss where all views look alike
    batch: int
    queue: int
    epochs: float
    images: int  # seen in training, each twice
    seconds: float
    images_per_s: float
    precision: str
    threads: int
    ended: str
    torch: str
    machine: str
    folder: str


@keep_freed_memory()
def pretrain(
    network: Network,
    splits: Splits,
    method: Method,
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
    tensorboard: bool = False,
    save_s: float = 30.0,
    say: Callable[[str], None] = lambda line: None,
    progress: Callable[[TrainingProgress], None] | None = None,
) -> PretrainingResult:
    """Pretrain a network on the training images of `splits`, in the folder `out`; a folder with a checkpoint goes on.

    The arguments are those of `train.run.train`; the loss never sees a label. Before and after, nearest neighbours and
    a linear probe on frozen features tell the validation and test images apart, knowing the labels of at most 10,000
    training images; `say` hears what is worth a line before the training starts.

    Raises NetlatheError as `train` does, and for a batch that the processes cannot share.
    """
    begin = clock.monotonic() if started is None else started
    here = ranks()
    folder, recipe = Path(out), method.recipe
    fitted = fitted_to(network, splits.train, recipe)
    tested = fitted.at(recipe.evaluate.resolution)
    refuse_stretch(fitted, tested, recipe)
    who = identity(fitted, splits.train, recipe, seed, epochs, weights, time is not None)
    who |= {name: getattr(method, name) for name in WHO}
    if (done := read_result(folder, TRAINING, who)) is not None:
        return restored(done)
    old = checkpoint.newest(folder)
    if old is not None:
        refuse_other(TRAINING, old["who"], who, folder)
    if here.first:
        prepare_folder(folder, fitted, recipe)
    use_threads(threads, old, here)
    plan = make_plan(recipe, len(splits.train), epochs=epochs)
    refuse_uneven(plan.batch, here.world)
    check_memory(fitted, recipe, 2 * plan.batch // here.world, 1)
    normal = normal or measure_normalisation(splits.train)
    prepare = make_preprocessor(recipe, normal)
    tests = {"validation": splits.validation, "test": splits.test}
    module = module_of(method, fitted, weights, seed, plan, len(splits.train))
    assert isinstance(module.encoder, nn.Module)
    shape = (plan.batch // here.world, *fitted.input)
    state, chosen, autocast = in_training(module, module.encoder, shape, recipe, plan, precision, old, here)
    queue = queue_length(method, plan.batch, len(splits.train))
    before, judge_s = judged_before(folder, tested, weights, recipe, seed, splits.train, tests, prepare, here)
    finish_s = here.agreed(SLACK * judge_s + 1.0)
    metrics = None
    if here.first:
        write_json(folder / "method.json", method.document())
        say(f"{start_of(weights)}: {said(before)}")
        say(f"loss where all views look alike: {chance_loss(method.loss, plan.batch, queue):.3f}; batch {plan.batch}")
        metrics = Metrics(folder, lines=old["lines"] if old else 0, tensorboard=tensorboard)
        if old is None:
            metrics.write("judged", 0, **{name: getattr(before["validation"], name) for name in ("knn", "probe")})

    def keep(best: nn.Module) -> None:
        if here.first:
            assert isinstance(best.encoder, nn.Module)
            write_weights(folder, best.encoder)

    with interruptible() as stop:
        job = TrainingJob(
            task=task_of(method),
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
            deadline=None if time is None else begin + time - state.elapsed - finish_s,
            save_s=save_s,
            tick=progress if here.first else None,
            stop=stop,
            keep=keep,
        )
        ended = train_on(job, state, {"who": who, "precision": chosen, "threads": torch.get_num_threads()})
    if metrics:
        metrics.close()
    if ended is StopReason.STOPPED:
        raise KeyboardInterrupt
    kept = build_encoder(tested, weights, rules=recipe.regularise)
    fill(kept, here.agreed(read_weights(folder) if here.first else {}))
    after = judge_encoder(kept.to(here.device), splits.train, tests, prepare, here)
    seconds = clock.monotonic() - begin + state.elapsed
    result = PretrainingResult(
        network=network.name,
        network_key=str(who["network"]),
        method=method.name,
        recipe_key=key(recipe),
        seed=seed,
        start=start_of(weights),
        features=count_features(fitted),
        before=before,
        after=after,
        bank=len(select_bank(splits.train)),
        loss=last_loss(folder) if here.first else None,
        chance=chance_loss(method.loss, plan.batch, queue),
        batch=plan.batch,
        queue=queue,
        epochs=state.seen / state.plan.epoch,
        images=state.seen,
        seconds=seconds,
        images_per_s=state.seen / seconds,
        precision=chosen,
        threads=torch.get_num_threads(),
        ended=ended.value,
        torch=torch.__version__,
        machine=platform.processor() or platform.machine(),
        folder=str(folder),
    )
    if here.first:
        write_result(folder, SCHEMA, who, asdict(result))
    here.wait()
    return result


def refuse_uneven(batch: int, world: int) -> None:
    """Raise NetlatheError where processes would get parts of different sizes: `Ranks.slice` deals pairs."""
    if world > 1 and batch % (2 * world):
        hint = f"--batch {max(1, batch // (2 * world)) * 2 * world}"
        message = f"a batch of {batch} images cannot be shared evenly by {world} processes"
        raise NetlatheError(message, code="pretrain.batch", hint=hint)


def start_of(weights: Mapping[str, Array] | None) -> str:
    """What the weights are before pretraining."""
    return "random weights" if weights is None else "given weights"


def judged_before(
    folder: Path,
    network: Network,
    weights: Mapping[str, Array] | None,
    recipe: Recipe,
    seed: int,
    train: ImageSet,
    tests: Mapping[str, ImageSet | None],
    prepare: Preprocessor,
    here: Ranks,
) -> tuple[dict[str, FeatureScore], float]:
    """What the first weights are worth, and the seconds that this took; asked once, then read from the folder."""
    path = folder / BEFORE
    if (known := here.agreed(path.read_text(encoding="utf-8") if here.first and path.exists() else "")) != "":
        document = json.loads(known)
        return sets_of(document["sets"]), float(document["seconds"])
    start = clock.monotonic()
    module = build_encoder(network, weights, rules=recipe.regularise, seed=seed).to(here.device)
    found = judge_encoder(module, train, tests, prepare, here)
    seconds = clock.monotonic() - start
    document = {"seconds": seconds, "sets": {name: asdict(judged) for name, judged in found.items()}}
    if here.first:
        write_json(path, document)
    return found, seconds


def sets_of(document: Mapping[str, Mapping[str, Any]]) -> dict[str, FeatureScore]:
    """Judgements from JSON."""

    def judged(fields: Mapping[str, Any]) -> FeatureScore:
        plain: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in fields.items()}
        return FeatureScore(**plain)

    return {name: judged(fields) for name, fields in document.items()}


def restored(document: dict[str, Any]) -> PretrainingResult:
    """A result from JSON."""
    sets = {name: sets_of(document[name]) for name in ("before", "after")}
    return PretrainingResult(**document | sets)


def last_loss(folder: Path) -> float | None:
    """The mean loss since the evaluation before the last."""
    found = [float(event["loss"]) for event in read(folder) if event["event"] == "evaluation"]
    return found[-1] if found else None


def said(judged: Mapping[str, FeatureScore]) -> str:
    """validation: kNN 41.2 %, linear probe 55.0 %; test: ..."""
    return "; ".join(
        f"{name}: kNN {100 * one.knn:.1f} %, linear probe {100 * one.probe:.1f} %" for name, one in judged.items()
    )
