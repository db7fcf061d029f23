"""A method as a task of the loop: its module, its loss, and what is done after a step."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from torch import nn

from netlathe.arch.network import Network
from netlathe.lower.weights import Array
from netlathe.train.evaluate import ready
from netlathe.train.loop import Job, State, Task, averaged
from netlathe.train.plan import Plan
from netlathe.train.ssl import moco, simclr
from netlathe.train.ssl.judge import bank_of, judge
from netlathe.train.ssl.method import Method
from netlathe.train.ssl.views import two_views


def module_of(
    method: Method, network: Network, weights: Mapping[str, Array] | None, seed: int, plan: Plan, images: int
) -> nn.Module:
    """What is trained; its `encoder` is what is kept."""
    if method.loss == "queue":
        return moco.Momentum(network, method, weights, seed, plan, images)
    return simclr.Projected(network, method, weights, seed)


def task_of(method: Method) -> Task:
    """Two views of each image, the method's loss, and the accuracy of nearest neighbours as score."""
    if method.loss == "queue":
        return Task(two_views, partial(moco.loss_by, method), score, partial(moco.follow, method), tested)
    return Task(two_views, partial(simclr.loss_by, method), score, tested=tested)


def score(job: Job, state: State) -> float | None:
    """The accuracy of nearest neighbours on the validation images; that of the linear probe goes to the metrics."""
    module = averaged(state).encoder
    assert isinstance(module, nn.Module)
    tests = {"validation": job.validation}
    found = judge(module, job.train, tests, ready(job.recipe, job.normal), job.ranks, job.autocast)
    if "validation" not in found:
        return None
    validation = found["validation"]
    if job.metrics:
        job.metrics.write("judged", state.seen, knn=validation.knn, probe=validation.probe)
    return validation.knn


def tested(job: Job) -> int:
    """How many images a score reads."""
    return len(bank_of(job.train)) + len(job.validation)
