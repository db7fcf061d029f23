"""A method as a task of the loop: its module, its loss, and what is done after a step."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from torch import nn

from netlathe.arch.network import Network
from netlathe.lower.weights import Array
from netlathe.train.evaluate import make_preprocessor
from netlathe.train.loop import TrainingJob, TrainingState, TrainingTask, averaged
from netlathe.train.plan import TrainingPlan
from netlathe.train.ssl import moco, simclr
from netlathe.train.ssl.feature_score import judge_encoder, select_bank
from netlathe.train.ssl.method import Method
from netlathe.train.ssl.views import two_views


def module_of(
    method: Method, network: Network, weights: Mapping[str, Array] | None, seed: int, plan: TrainingPlan, images: int
) -> nn.Module:
    """What is trained; its `encoder` is what is kept."""
    if method.loss == "queue":
        return moco.MoCoModule(network, method, weights, seed, plan, images)
    return simclr.SimCLRModule(network, method, weights, seed)


def task_of(method: Method) -> TrainingTask:
    """Two views of each image, the method's loss, and the accuracy of nearest neighbours as score."""
    if method.loss == "queue":
        return TrainingTask(
            two_views, partial(moco.loss_by, method), score, partial(moco.update_key_encoder, method), tested
        )
    return TrainingTask(two_views, partial(simclr.loss_by, method), score, tested=tested)


def score(job: TrainingJob, state: TrainingState) -> float | None:
    """The accuracy of nearest neighbours on the validation images; that of the linear probe goes to the metrics."""
    module = averaged(state).encoder
    assert isinstance(module, nn.Module)
    tests = {"validation": job.validation}
    found = judge_encoder(module, job.train, tests, make_preprocessor(job.recipe, job.normal), job.ranks, job.autocast)
    if "validation" not in found:
        return None
    validation = found["validation"]
    if job.metrics:
        job.metrics.write("judged", state.seen, knn=validation.knn, probe=validation.probe)
    return validation.knn


def tested(job: TrainingJob) -> int:
    """How many images a score reads."""
    return len(select_bank(job.train)) + len(job.validation)
