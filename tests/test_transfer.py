"""Transfer: folds, the probe and its cross-validation, the probe as a head, features that survive a kill."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from netlathe.lower.torch import to_torch
from netlathe.reshape.classes import classifiers, for_images
from netlathe.train.transfer.features import CHUNK, compute_features, features_of
from netlathe.train.transfer.folds import same_pixels, stratified_folds
from netlathe.train.transfer.head import with_head
from netlathe.train.transfer.probe import cross_validate, fit_probe
from netlathe.zoo import get

Labelled = tuple[NDArray[np.float32], NDArray[np.int64]]


@pytest.fixture(scope="module")
def clouds() -> Labelled:
    """Three clouds of 40 features that overlap, each feature on a scale and at a place of its own."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 240)
    x = rng.normal(size=(240, 40)) + 0.25 * rng.normal(size=(3, 40))[labels]
    return (x * rng.uniform(0.1, 30, 40) + rng.uniform(-50, 50, 40)).astype(np.float32), labels


def test_the_probe_is_the_logistic_regression_of_scikit_learn(clouds: Labelled) -> None:
    x, y = clouds
    probe = fit_probe(x, y, 3, 0.03)
    z = probe.standardise(x)[:, :-1].double().numpy()
    theirs = LogisticRegression(C=1 / (0.03 * len(y)), tol=1e-8, max_iter=1000).fit(z, y)
    shares = torch.from_numpy(probe.logits(x)).softmax(1).numpy()
    np.testing.assert_allclose(shares, theirs.predict_proba(z), atol=2e-3)


def test_cross_validation_takes_a_penalty_between_too_strong_and_too_weak(clouds: Labelled) -> None:
    x, y = clouds
    score = cross_validate(x, y, 3, np.arange(len(y)))
    losses = list(score.losses.values())
    assert score.losses[score.probe.penalty] == min(losses)
    assert losses[0] > min(losses) < losses[-1]
    assert 0.6 < score.correct.mean() < 0.95  # on images that were held out: the probe of all gets more right
    assert (score.probe.logits(x).argmax(1) == y).mean() > score.correct.mean()


def test_labels_that_say_nothing_are_not_learned(clouds: Labelled) -> None:
    x, _ = clouds
    score = cross_validate(x, np.random.default_rng(1).integers(0, 3, len(x)), 3, np.arange(len(x)))
    assert score.correct.mean() < 0.45


def test_copies_of_an_image_are_held_out_together() -> None:
    """Features of pure noise, each image twice with its label: only a leak between folds could predict anything."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(60, 200)).astype(np.float32), rng.integers(0, 2, 60)
    twice, labels = np.concatenate([x, x]), np.concatenate([y, y])
    apart = cross_validate(twice, labels, 2, np.arange(120))
    together = cross_validate(twice, labels, 2, np.tile(np.arange(60), 2))
    assert apart.correct.mean() > 0.9
    assert together.correct.mean() < 0.7


def test_folds_hold_out_as_many_of_each_class_and_keep_groups_together() -> None:
    labels = np.repeat([0, 1, 2], [50, 30, 7])
    groups = np.arange(87) // 2
    folds = stratified_folds(labels, groups)
    assert all(len(set(folds[groups == g])) == 1 for g in groups)
    for label, each in ((0, 10), (1, 6), (2, 1.4)):
        counts = np.bincount(folds[labels == label], minlength=5)
        assert counts.sum() == (labels == label).sum()
        assert abs(counts - each).max() <= 2


def test_equal_pixels_are_one_group() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 3, 1), np.uint8)
    pixels[3] = pixels[1]
    assert same_pixels(pixels).tolist() == [0, 1, 2, 1]


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    fitted = for_images(get("lenet5_modern"), classes=3, channels=1, resolution=32)
    return to_torch(fitted, init="he", seed=0).eval()


HEAD = classifiers(get("lenet5_modern").graph())[0]


def prepare(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.permute(0, 3, 1, 2).float() / 255


def test_a_network_with_the_probe_as_its_head_gives_the_logits_of_the_probe(network: torch.nn.Module) -> None:
    x = prepare(torch.from_numpy(np.random.default_rng(0).integers(0, 256, (60, 32, 32, 1), np.uint8)))
    features = features_of(network, HEAD, x, "fp32")
    probe = fit_probe(features, np.arange(60) % 3, 3, 0.01)
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    headed = deepcopy(network)
    headed.load_state_dict({n: torch.as_tensor(w) for n, w in with_head(weights, HEAD, probe).items()})
    with torch.no_grad():
        np.testing.assert_allclose(headed(x).numpy(), probe.logits(features), atol=0.01)


def test_features_are_computed_once_and_survive_a_kill(network: torch.nn.Module, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2 * CHUNK + 5, 32, 32, 1), np.uint8)
    passes = 0

    def counted(x: torch.Tensor) -> torch.Tensor:
        nonlocal passes
        passes += len(x)
        return prepare(x)

    class Killed(Exception):
        pass

    def kill(done: int) -> None:
        if done > CHUNK:
            raise Killed

    rows = np.arange(len(pixels))

    def compute(count: int = len(rows), **options: object) -> NDArray[np.float32]:
        return compute_features(network, HEAD, pixels, rows[:count], counted, tmp_path, identity="these", **options)  # type: ignore[arg-type]

    with pytest.raises(Killed):
        compute(tick=kill)
    assert passes == 2 * CHUNK
    compute(CHUNK)
    assert passes == 2 * CHUNK  # the first are a part of the same
    features = compute()
    assert passes == len(pixels)  # the two chunks that were there were not computed again
    whole = features_of(network, HEAD, prepare(torch.from_numpy(pixels)), "fp32")
    np.testing.assert_allclose(features, whole, rtol=1e-4, atol=1e-5)
    compute()
    assert passes == len(pixels)
    next(tmp_path.rglob("*.npy")).write_bytes(b"cut")
    np.testing.assert_array_equal(compute(), features)
    assert not np.array_equal(compute(view="mirrored"), features)  # of another view nothing was there


def test_a_penalty_is_all_that_a_probe_depends_on_wherever_it_starts(clouds: Labelled) -> None:
    x, y = clouds
    cold, other = (fit_probe(x, y, 3, penalty) for penalty in (0.1, 1.0))
    np.testing.assert_allclose(fit_probe(x, y, 3, 0.1, start=other).logits(x), cold.logits(x), atol=0.05)
