"""The signs of a collapse while a DARTS search runs: skips, entropy, curvature, and what discretisation costs.

The accuracy of the supernet is not among them: it looks fine in a search that ends in skip connections alone
(Zela et al. 2020). `search.collapse` turns the log into a diagnosis.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import log
from typing import Any

import numpy as np
import torch
from torch import Tensor

from netlathe.search.collapse import (
    COLLAPSED,
    DIVERGED,
    RULES,
    AlarmRules,
    Diagnosis,
    EpochReading,
    count_skips,
    diagnose,
)
from netlathe.search.oneshot.curvature import dominant_eigenvalue
from netlathe.search.oneshot.family import OneShotFamily
from netlathe.search.oneshot.genotypes import OptionWeights
from netlathe.search.oneshot.gradient import frozen_statistics
from netlathe.search.oneshot.options import OneShotOptions
from netlathe.search.oneshot.split import DataSplit
from netlathe.search.oneshot.state import OneShotState, loss_of
from netlathe.search.oneshot.supernet import Setting, Supernet

PATHS = 4  # networks at random that an epoch of weight sharing tests
CAVEAT = "the supernet's validation accuracy does not reveal a collapse: judge by skips, eigenvalue and gap"


@torch.no_grad()
def measure_accuracy(supernet: Supernet, setting: Setting, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Share of images that a setting gets right, norms with the batch's own statistics: the running ones mix paths."""
    right = count = 0
    with frozen_statistics(supernet):
        for x, y in batches:
            right += int((supernet(x, setting).argmax(1) == y).sum())
            count += len(y)
    return right / max(count, 1)


def mean_entropy(shares: OptionWeights) -> float:
    """The mean entropy of the decisions, as a share of the largest: 1 is undecided, 0 decided."""
    parts = [-(w * np.log(np.maximum(w, 1e-300))).sum() / log(len(w)) for w in shares.values() if len(w) > 1]
    return float(np.mean(parts)) if parts else 0.0


def darts_record(
    state: OneShotState, split: DataSplit, options: OneShotOptions, family: OneShotFamily, epoch: int
) -> dict[str, Any]:
    """The signs after an epoch (from 0) of DARTS."""
    shares = state.shares()
    genotype = family.derive(shares)
    operators = family.operators(genotype)
    images = list(split.test_batches("valid", options.watch_images))
    mixed = measure_accuracy(state.supernet, state.mixture(), images)
    discrete = measure_accuracy(state.supernet, family.setting(genotype), images)
    line: dict[str, Any] = {
        "epoch": epoch,
        "skips": count_skips(operators),
        "edges": len(operators),
        "entropy": mean_entropy(shares),
        "validation": mixed,
        "discrete": discrete,
        "gap": mixed - discrete,
        "eigenvalue": None,
        "genotype": family.data(genotype),
    }
    if options.eigenvalue_every and epoch % options.eigenvalue_every == 0:
        with frozen_statistics(state.supernet):
            line["eigenvalue"] = dominant_eigenvalue(
                lambda: loss_of(state, state.mixture(), images[0]), list(state.alphas.values()), seed=options.seed
            )
    return line


def rsws_record(
    state: OneShotState, split: DataSplit, options: OneShotOptions, family: OneShotFamily, epoch: int
) -> dict[str, Any]:
    """A few networks at random after an epoch (from 0) of weight sharing; the best is what an interrupt keeps."""
    images = list(split.test_batches("valid", options.watch_images))
    rng = np.random.default_rng((options.seed, epoch, PATHS))
    drawn = [family.draw(rng) for _ in range(PATHS)]
    scores = [measure_accuracy(state.supernet, family.setting(genotype), images) for genotype in drawn]
    best = drawn[int(np.argmax(scores))]
    return {
        "epoch": epoch,
        "validation": float(np.mean(scores)),
        "best": max(scores),
        "skips": count_skips(family.operators(best)),
        "edges": len(family.operators(best)),
        "genotype": family.data(best),
    }


def epoch_readings(log: Iterable[Mapping[str, Any]]) -> list[EpochReading]:
    """The lines of a DARTS log as `search.collapse` reads them."""
    return [
        EpochReading(line["epoch"], line["skips"], line["edges"], line.get("eigenvalue"), line.get("validation"))
        for line in log
    ]


def rules_for(epochs: float) -> AlarmRules:
    """The detector's rules for a search of so many epochs: the 10 epochs of its first phase are a fifth of 50."""
    return RULES._replace(start=min(RULES.start, round(epochs / 5)))


def diagnose_search(state: OneShotState, epochs: float) -> Diagnosis:
    """The state of a search of so many epochs."""
    [group] = state.optimiser.param_groups
    lines = state.log[state.counted_from :]
    return diagnose(epoch_readings(lines), weight_decay=group["weight_decay"], rules=rules_for(epochs))


def collapse_verdict(diagnosis: Diagnosis) -> str:
    """In one word or two."""
    return "collapsed" if diagnosis.state in (COLLAPSED, DIVERGED) else "not collapsed"
