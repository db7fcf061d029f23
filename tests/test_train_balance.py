"""Classes of unequal size: draws and weights are those that were asked for, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from netlathe import zoo
from netlathe.train.balance import balanced_order, class_shares, class_weights
from netlathe.train.loss import classification_loss
from netlathe.train.recipe import Regularise
from netlathe.train.recipefile import load

SIZES = st.lists(st.integers(1, 50), min_size=2, max_size=5)


@given(SIZES, st.floats(0, 1), st.integers(0, 3))
@settings(max_examples=40)
def test_an_epoch_draws_each_class_by_its_share_and_repeats_none_before_all_of_it_were_drawn(sizes, sampling, epoch):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    drawn, again = balanced_order(7, epoch, labels, len(sizes), sampling)
    assert len(drawn) == len(labels)
    counts = np.bincount(labels[drawn], minlength=len(sizes))
    assert np.abs(counts - class_shares(labels, len(sizes), sampling) * len(labels)).max() <= 1
    assert len({*zip(drawn.tolist(), again.tolist(), strict=True)}) == len(drawn)  # so no view is seen twice
    for label, size in enumerate(sizes):
        times = np.bincount(drawn, minlength=len(labels))[labels == label]
        assert times.max() - times.min() <= 1
        assert times.sum() == counts[label]
        assert size >= 1


def test_rare_classes_are_drawn_as_often_as_others_or_by_square_roots():
    labels = np.repeat([0, 1], [90, 10])
    draws = [np.bincount(labels[balanced_order(0, 0, labels, 2, sampling)[0]]) for sampling in (0, 0.5, 1)]
    assert [row.tolist() for row in draws] == [[90, 10], [75, 25], [50, 50]]
    orders = [balanced_order(0, epoch, labels, 2, 1)[0] for epoch in (0, 1)]
    assert set(orders[0].tolist()) != set(orders[1].tolist())  # other images of the large class


def test_weights_are_one_on_average_over_the_images():
    labels = np.repeat([0, 1], [90, 10])
    assert class_weights(labels, 2, "none") is None
    inverse = class_weights(labels, 2, "inverse")
    assert inverse == pytest.approx([100 / 180, 5.0])
    for rule in ("inverse", "effective"):
        assert class_weights(labels, 2, rule)[labels].mean() == pytest.approx(1)
    thousands = class_weights(np.repeat([0, 1], [90_000, 9_000]), 2, "effective")
    assert thousands[1] / thousands[0] < 1.001


@pytest.mark.parametrize("rules", [Regularise(smoothing=0.1), Regularise(loss="bce", bce_threshold=0.2)])
def test_a_weighted_loss_is_the_mean_of_weighted_losses(rules):
    torch.manual_seed(0)
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, 2, 1, 0])
    hot, weights = F.one_hot(labels, 3).float(), torch.tensor([0.5, 1.0, 4.0])
    single = torch.stack([classification_loss(x[None], y[None], rules) for x, y in zip(logits, hot, strict=True)])
    assert classification_loss(logits, hot, rules, weights) == pytest.approx(float((single * weights[labels]).mean()))
    assert classification_loss(logits, hot, rules, torch.ones(3)) == pytest.approx(
        float(classification_loss(logits, hot, rules))
    )


def test_the_recipe_holds_both_and_refuses_what_is_neither():
    recipe = load("digits", ["balance.sampling=0.5", "balance.weights=inverse"])
    assert (recipe.balance.sampling, recipe.balance.weights) == (0.5, "inverse")
    with pytest.raises(ValueError, match=r"balance\.weights"):
        load("digits", ["balance.weights=inverted"])
    with pytest.raises(ValueError, match=r"balance\.sampling"):
        load("digits", ["balance.sampling=2"])


def test_a_fit_from_given_weights_is_fine_tuned_and_balanced_as_it_was_asked(monkeypatch):
    from netlathe.fit import race

    monkeypatch.setattr(race, "network_in", lambda row: zoo.get("resnet20"))
    row = {"weights": "timm:resnet20", "name": "resnet20"}
    balanced = race.recipe_for(load("small", ["balance.sampling=1"]), row)
    assert (balanced.optimiser, balanced.balance.sampling) == (load("finetune").optimiser, 1)
    assert race.recipe_for(load("small", ["optimiser.lr=0.3"]), row).optimiser.lr == 0.3
