"""The task of pretraining: a network learns from images without labels; labels only judge it.

The folder of a run holds method.json and before.json (what the first weights were worth) beside the files of every
training; its weights are those of the network without its classifier, the best by nearest neighbours.
"""

from __future__ import annotations

import json
import time as clock
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from netlathe.arch.network import Network
from netlathe.files import write_json
from netlathe.lower.torch import fill
from netlathe.lower.weights import Array
from netlathe.runfolder.document import whole
from netlathe.runfolder.folder import Place
from netlathe.train.evaluate import Normalisation
from netlathe.train.export import read_weights
from netlathe.train.folder import PRETRAINING
from netlathe.train.images import ImageSet, Splits
from netlathe.train.job import TrainingJob, TrainingProgress
from netlathe.train.metrics import read
from netlathe.train.plan import TrainingPlan
from netlathe.train.rng import CounterRNG
from netlathe.train.run import RunOptions, run
from netlathe.train.ssl import moco, simclr
from netlathe.train.ssl.encoder import build_encoder, count_features
from netlathe.train.ssl.feature_score import FeatureScore, format_scores, judge_encoder, read_scores, select_bank
from netlathe.train.ssl.losses import chance_loss
from netlathe.train.ssl.method import Method, queue_length
from netlathe.train.state import TrainingState

BEFORE = "before.json"
IDENTITY = ("loss", "temperature", "outputs", "norms", "queue", "momentum", "key_groups")  # of a method
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


def pretrain(
    network: Network,
    splits: Splits,
    method: Method,
    out: Place,
    *,
    seed: int = 0,
    epochs: float | None = None,
    time: float | None = None,
    started: float | None = None,
    weights: Mapping[str, Array] | None = None,
    origin: Mapping[str, str] | None = None,
    normal: Normalisation | None = None,
    precision: str = "auto",
    threads: int | None = None,
    tensorboard: bool = False,
    save_s: float = 30.0,
    say: Callable[[str], None] = lambda line: None,
    progress: Callable[[TrainingProgress], None] | None = None,
) -> PretrainingResult:
    """Pretrain a network on the training images of `splits`, as `run` does, which see for the arguments and the errors.

    The loss never sees a label. Before and after, nearest neighbours and a linear probe on frozen features tell the
    validation and test images apart, knowing the labels of at most 10,000 training images; `say` hears what is worth a
    line before the training starts.
    """
    options = RunOptions(
        seed=seed, epochs=epochs, time=time, started=started, weights=weights, origin=origin, normal=normal,
        precision=precision, threads=threads, tensorboard=tensorboard, save_s=save_s, progress=progress,
    )  # fmt: skip
    return run(Pretraining(method, say), network, splits, method.recipe, out, options)


class Pretraining:
    """Two views of each image; the score is the accuracy of nearest neighbours on the validation images."""

    kind = PRETRAINING
    schema = "netlathe.pretrain/1"
    views = 2

    def __init__(self, method: Method, say: Callable[[str], None] = lambda line: None) -> None:
        self.method, self.say = method, say
        self.before: dict[str, FeatureScore] = {}
        self.judge_s = 0.0  # of the first judgement

    def identity(self) -> dict[str, Any]:
        """What a method is, beside its recipe."""
        return {name: getattr(self.method, name) for name in IDENTITY}

    def build(self, job: TrainingJob, plan: TrainingPlan) -> nn.Module:
        """The encoder with what the method needs to learn; its `encoder` is what is kept."""
        if self.method.loss == "queue":
            images = len(job.splits.train)
            return moco.MoCoModule(job.network.expression(), self.method, job.weights, job.seed, plan, images)
        return simclr.SimCLRModule(job.network.expression(), self.method, job.weights, job.seed)

    def kept(self, module: nn.Module) -> nn.Module:
        """The encoder."""
        assert isinstance(module.encoder, nn.Module)
        return module.encoder

    def prepare(self, job: TrainingJob, plan: TrainingPlan, *, fresh: bool) -> None:
        """Judge the first weights, and say what they are worth."""
        self.before, self.judge_s = self.judge_before(job)
        if not job.metrics:
            return
        write_json(job.folder / "method.json", self.method.document())
        queue = queue_length(self.method, plan.batch, len(job.splits.train))
        chance = chance_loss(self.method.loss, plan.batch, queue)
        self.say(f"{describe_start(job)}: {format_scores(self.before)}")
        self.say(f"loss where all views look alike: {chance:.3f}; batch {plan.batch}")
        if fresh:
            validation = self.before["validation"]
            job.metrics.write("judged", 0, knn=validation.knn, probe=validation.probe)

    def judge_before(self, job: TrainingJob) -> tuple[dict[str, FeatureScore], float]:
        """What the first weights are worth, and the seconds that this took; asked once, then read from the folder."""
        path, here = job.folder / BEFORE, job.ranks
        if text := here.agreed(path.read_text(encoding="utf-8") if here.first and path.exists() else ""):
            with whole(path, f"remove {BEFORE}: the same command judges the first weights again"):
                document = json.loads(text)
                return read_scores(document["sets"]), float(document["seconds"])
        start = clock.monotonic()
        module = build_encoder(job.tested.expression(), job.weights, rules=job.recipe.regularise, seed=job.seed).to(
            here.device
        )
        scores = judge_encoder(module, job.splits.train, test_sets(job), job.preprocessor, here)
        seconds = clock.monotonic() - start
        if here.first:
            sets = {name: asdict(score) for name, score in scores.items()}
            write_json(path, {"seconds": seconds, "sets": sets})
        return scores, seconds

    def finish_seconds(self, job: TrainingJob, state: TrainingState) -> float:
        """For the last evaluation and the last judgement."""
        return job.ranks.agreed(SLACK * self.judge_s + 1.0)

    def batch(self, job: TrainingJob, plan: TrainingPlan, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """This rank's images of a step twice, (n, C, r, r) each, with the random numbers of views 0 and 1."""
        indices = job.indices(plan, epoch, step)[0][job.ranks.slice(plan.batch)]
        pixels = job.pixels(indices)
        a, b = (job.augmented(pixels, CounterRNG(job.seed, epoch, indices, view)) for view in (0, 1))
        return a, b

    def loss(self, job: TrainingJob, state: TrainingState, piece: tuple[Tensor, ...]) -> Tensor:
        """The method's loss of two views."""
        compute = moco.queue_loss if self.method.loss == "queue" else simclr.batch_loss
        return compute(self.method, job, state, piece)

    def after_step(self, state: TrainingState) -> None:
        """MoCo's keys follow."""
        if self.method.loss == "queue":
            moco.update_key_encoder(self.method, state)

    def score(self, job: TrainingJob, state: TrainingState) -> float | None:
        """The accuracy of nearest neighbours on the validation images; that of the linear probe goes to the metrics."""
        module, sets = self.kept(state.averaged), {"validation": job.splits.validation}
        scores = judge_encoder(module, job.splits.train, sets, job.preprocessor, job.ranks, job.autocast)
        if "validation" not in scores:
            return None
        validation = scores["validation"]
        if job.metrics:
            job.metrics.write("judged", state.seen, knn=validation.knn, probe=validation.probe)
        return validation.knn

    def scored_images(self, job: TrainingJob) -> int:
        """Those of the bank and the validation images."""
        return len(select_bank(job.splits.train)) + len(job.splits.validation)

    def finish(
        self, job: TrainingJob, state: TrainingState, stopped: bool, facts: Callable[[], dict[str, Any]]
    ) -> PretrainingResult | None:
        """Judge the kept weights as the first ones were judged."""
        if stopped:
            return None
        here, batch, train = job.ranks, state.plan.batch, job.splits.train
        encoder = build_encoder(job.tested.expression(), job.weights, rules=job.recipe.regularise)
        fill(encoder, here.agreed(read_weights(job.folder) if here.first else {}))
        after = judge_encoder(encoder.to(here.device), train, test_sets(job), job.preprocessor, here)
        queue = queue_length(self.method, batch, len(train))
        return PretrainingResult(
            method=self.method.name,
            start=describe_start(job),
            features=count_features(job.network.expression()),
            before=self.before,
            after=after,
            bank=len(select_bank(train)),
            loss=last_loss(job.folder) if here.first else None,
            chance=chance_loss(self.method.loss, batch, queue),
            batch=batch,
            queue=queue,
            **facts(),
        )

    def read_result(self, fields: dict[str, Any]) -> PretrainingResult:
        """The scores are objects."""
        return PretrainingResult(**fields | {name: read_scores(fields[name]) for name in ("before", "after")})


def test_sets(job: TrainingJob) -> dict[str, ImageSet | None]:
    """The images that are judged, by name."""
    return {"validation": job.splits.validation, "test": job.splits.test}


def describe_start(job: TrainingJob) -> str:
    """What the weights are before pretraining."""
    return "random weights" if job.weights is None else "given weights"


def last_loss(folder: Path) -> float | None:
    """The mean loss since the evaluation before the last."""
    losses = [float(event["loss"]) for event in read(folder) if event["event"] == "evaluation"]
    return losses[-1] if losses else None
