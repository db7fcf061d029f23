"""Schedules and losses are those of the libraries that recipes were written for."""

import math
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from netlathe.train.loss import classification_loss
from netlathe.train.recipe import Regularise, Schedule
from netlathe.train.recipefile import load, recipe_names
from netlathe.train.schedule import lr_factor

pytestmark = pytest.mark.usefixtures("one_thread")


def torch_curve(make, epochs):
    """The learning rates of a torch scheduler, epoch by epoch, over the highest."""
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimiser)
    found = []
    for _ in range(epochs):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return found


# Schedules.


def test_step_exponential_and_cosine_are_torch_s():
    lr = torch.optim.lr_scheduler
    for schedule, make in (
        (Schedule(decay="step", step=30, gamma=0.1), lambda o: lr.StepLR(o, 30, 0.1)),
        (Schedule(decay="exponential", step=1, gamma=0.9), lambda o: lr.ExponentialLR(o, 0.9)),
        (Schedule(decay="cosine", final=0.01), lambda o: lr.CosineAnnealingLR(o, 90, 0.01)),
        (Schedule(decay="linear", final=0.2), lambda o: lr.LinearLR(o, 1.0, 0.2, 90)),
        (Schedule(decay="constant"), lambda o: lr.ConstantLR(o, 1.0)),
    ):
        ours = [lr_factor(schedule, epoch, 90) for epoch in range(90)]
        assert ours == pytest.approx(torch_curve(make, 90))


def test_a_warm_up_before_the_decay_is_torchvision_s():
    lr = torch.optim.lr_scheduler

    def make(optimiser):
        warm = lr.LinearLR(optimiser, 0.01, 1.0, 5)
        return lr.SequentialLR(optimiser, [warm, lr.CosineAnnealingLR(optimiser, 595)], [5])

    recipe = load("torchvision-v2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's SequentialLR calls its own deprecated way
        theirs = torch_curve(make, 600)
    assert [lr_factor(recipe.schedule, epoch, 600) for epoch in range(600)] == pytest.approx(theirs)


def test_a_warm_up_over_the_decay_is_timm_s(timm):
    def curve(cls, epochs, **options):
        optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        scheduler = cls(optimiser, **options)
        return [scheduler._get_lr(epoch)[0] / scheduler.base_values[0] for epoch in range(epochs)]

    from timm.scheduler import CosineLRScheduler, StepLRScheduler

    deit = load("deit").schedule
    theirs = curve(CosineLRScheduler, 300, t_initial=300, lr_min=0.01, warmup_t=5, warmup_lr_init=1e-3)
    assert [lr_factor(deit, epoch, 300) for epoch in range(300)] == pytest.approx(theirs)
    steps = load("efficientnet-timm").schedule
    step = {"decay_t": 2.4, "decay_rate": 0.97}
    theirs = curve(StepLRScheduler, 450, **step, warmup_t=3, warmup_lr_init=2.1e-5, warmup_prefix=False)
    assert [lr_factor(steps, epoch, 450) for epoch in range(450)] == pytest.approx(theirs)


def test_a_warm_up_times_the_decay_is_pycls_s():
    schedule = load("pycls").schedule
    for epoch in (0, 1.5, 4.9, 5, 33.3, 99.9):
        cosine = (1 + math.cos(math.pi * epoch / 100)) / 2
        warm = 0.1 * (1 - epoch / 5) + epoch / 5 if epoch < 5 else 1
        assert lr_factor(schedule, epoch, 100) == pytest.approx(cosine * warm)


@pytest.mark.parametrize("name", recipe_names())
def test_a_curve_stays_between_nothing_and_the_peak_and_falls_after_the_warm_up(name):
    recipe = load(name)
    schedule, epochs = recipe.schedule, recipe.epochs
    curve = [lr_factor(schedule, epochs * i / 997, epochs) for i in range(998)]
    assert all(0 <= factor <= 1 for factor in curve)
    after = curve[math.ceil(997 * schedule.warmup / epochs) :]
    assert after == sorted(after, reverse=True)
    if schedule.decay in ("cosine", "linear"):
        assert curve[-1] == pytest.approx(schedule.final, abs=1e-9)
    assert lr_factor(schedule, epochs * 1.01, epochs) <= curve[-1] + 1e-9


# Losses.


def batch(classes=10):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(8, classes, generator=generator) * 3
    labels = torch.randint(classes, (8,), generator=generator)
    hot = F.one_hot(labels, classes).float()
    return logits, labels, hot, 0.7 * hot + 0.3 * hot.flip(0)


def test_cross_entropy_of_hard_and_of_mixed_targets(timm):
    logits, labels, hot, mixed = batch()
    assert classification_loss(logits, hot, Regularise()) == pytest.approx(float(F.cross_entropy(logits, labels)))
    from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy

    theirs = LabelSmoothingCrossEntropy(0.1)(logits, labels)
    assert classification_loss(logits, hot, Regularise(smoothing=0.1)) == pytest.approx(float(theirs))
    smooth = 0.9 * mixed + 0.01
    theirs = SoftTargetCrossEntropy()(logits, smooth)
    assert classification_loss(logits, mixed, Regularise(smoothing=0.1)) == pytest.approx(float(theirs))


@pytest.mark.parametrize("threshold", [None, 0.2, 0.5])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_binary_cross_entropy_is_timm_s(timm, threshold, smoothing):
    from timm.loss import BinaryCrossEntropy

    logits, labels, hot, mixed = batch()
    rules = Regularise(loss="bce", smoothing=smoothing, bce_threshold=threshold)
    theirs = BinaryCrossEntropy(smoothing=smoothing, target_threshold=threshold)
    assert classification_loss(logits, hot, rules) == pytest.approx(float(theirs(logits, labels)))
    soft = (1 - smoothing) * mixed + smoothing / 10
    assert classification_loss(logits, mixed, rules) == pytest.approx(float(theirs(logits, soft)))


def test_a_loss_is_computed_in_float32():
    logits, _, hot, _ = batch()
    for rules in (Regularise(), load("rsb-a1").regularise):
        assert classification_loss(logits.bfloat16(), hot, rules).dtype == torch.float32
