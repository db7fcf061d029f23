"""Pretraining learns from images alone, says what came of it, and is the same training after any stop."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from math import log
from pathlib import Path
from typing import Any

import forked
import numpy as np
import pytest
import torch
from command import netlathe
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from torch import nn

from netlathe import zoo
from netlathe.arch.network import Network
from netlathe.errors import NetlatheError
from netlathe.lower.torch import to_torch
from netlathe.reshape.classes import for_images
from netlathe.train import checkpoint, recipefile
from netlathe.train.classification import train
from netlathe.train.distributed import join_ranks
from netlathe.train.evaluate import make_preprocessor, measure_normalisation
from netlathe.train.images import ImageSet, Splits, load
from netlathe.train.job import TrainingProgress
from netlathe.train.metrics import read
from netlathe.train.plan import make_plan
from netlathe.train.recipefile import set_fields
from netlathe.train.ssl import encoder as encoders
from netlathe.train.ssl.feature_score import judge_encoder
from netlathe.train.ssl.knn import knn
from netlathe.train.ssl.losses import against_queue, chance_loss, nt_xent
from netlathe.train.ssl.method import METHODS, Method, find_method, queue_length
from netlathe.train.ssl.moco import MoCoModule, move_towards
from netlathe.train.ssl.pretraining import pretrain
from netlathe.train.ssl.probe import judge_probe
from netlathe.train.start import load_starting_weights

SMALL = ("resolution=16", "evaluate.resolution=16", "schedule.warmup=0", "batch=32", "augment.flip=0")


@pytest.fixture(autouse=True)
def _one_thread(one_thread: None) -> None:
    pass


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Splits:
    return load("digits", size=8, cache=tmp_path_factory.mktemp("cache"))


def part(images: ImageSet, count: int) -> ImageSet:
    """The first images of a set."""
    return replace(images, pixels=images.pixels[:count], labels=images.labels[:count], names=images.names[:count])


def few(splits: Splits, train: int, tests: int = 32) -> Splits:
    assert splits.test is not None
    return replace(
        splits,
        train=part(splits.train, train),
        validation=part(splits.validation, tests),
        test=part(splits.test, tests),
    )


def method(name: str, *words: str, **changes: Any) -> Method:
    found = find_method(name)
    return replace(found, recipe=set_fields(found.recipe, (*SMALL, *words)), **changes)


def resnet(depth: int = 8) -> Network:
    return zoo.get("resnet20", depth=depth)


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def slow_nt_xent(a: np.ndarray, b: np.ndarray, temperature: float, decoupled: bool) -> float:
    """Every view by itself, as the paper writes it."""
    views, n = unit(np.concatenate([a, b])), len(a)
    total = 0.0
    for i in range(2 * n):
        positive = (i + n) % (2 * n)
        negatives = [j for j in range(2 * n) if j not in (i, positive)]
        others = negatives if decoupled else [positive, *negatives]
        total -= log(
            np.exp(views[i] @ views[positive] / temperature)
            / sum(np.exp(views[i] @ views[j] / temperature) for j in others)
        )
    return total / (2 * n)


@settings(max_examples=20)
@given(st.integers(2, 7), st.integers(2, 5), st.sampled_from((0.1, 0.5, 1.0)), st.booleans(), st.integers(0, 999))
def test_the_loss_of_two_views_is_the_paper_s_sum_over_every_pair(
    n: int, width: int, temperature: float, decoupled: bool, seed: int
) -> None:
    a, b = np.random.default_rng(seed).standard_normal((2, n, width))
    found = nt_xent(torch.from_numpy(a), torch.from_numpy(b), temperature, decoupled=decoupled)
    assert found.item() == pytest.approx(slow_nt_xent(a, b, temperature, decoupled), rel=1e-4, abs=1e-4)


def test_the_loss_against_a_queue_has_the_key_and_the_queue_as_candidates() -> None:
    queries, keys, queue = map(torch.randn, ((4, 8), (4, 8), (16, 8)))
    queue = nn.functional.normalize(queue, dim=1)
    total = 0.0
    for query, key in zip(unit(queries.numpy()), unit(keys.numpy()), strict=True):
        positive = np.exp(query @ key / 0.2)
        total -= log(positive / (positive + sum(np.exp(query @ old / 0.2) for old in queue.numpy())))
    assert against_queue(queries, keys, queue, 0.2).item() == pytest.approx(total / 4, rel=1e-4)


def test_where_all_views_look_alike_the_loss_is_the_one_that_is_announced() -> None:
    same = torch.ones(8, 4)
    assert nt_xent(same, same, 0.1).item() == pytest.approx(chance_loss("nt-xent", 8), rel=1e-5)
    assert nt_xent(same, same, 0.1, decoupled=True).item() == pytest.approx(chance_loss("dcl", 8), rel=1e-5)
    queue = nn.functional.normalize(torch.ones(24, 4), dim=1)
    assert against_queue(same, same, queue, 0.1).item() == pytest.approx(chance_loss("queue", 8, 24), rel=1e-5)
    assert chance_loss("nt-xent", 128) == pytest.approx(log(255))


def momentum(length: int = 8, images: int = 64) -> MoCoModule:
    chosen = method("moco-v2", "batch=4", queue=length, outputs=2)
    return MoCoModule(for_images(resnet(), classes=4, channels=1, resolution=16), chosen, None, 0,
                    make_plan(chosen.recipe, images), images)  # fmt: skip


def test_the_queue_forgets_its_oldest_keys_first() -> None:
    module = momentum(length=8)
    angle = torch.arange(12) / 12
    keys = torch.stack([angle.cos(), angle.sin()], 1)
    for i in range(0, 12, 4):
        module.enqueue(keys[i : i + 4])
    assert torch.allclose(module.queue, torch.cat([keys[8:12], keys[4:8]]))
    assert int(module.place) == 4


def test_a_queue_holds_whole_batches_and_at_most_half_an_epoch() -> None:
    assert queue_length(find_method("moco-v2"), 256, 10**6) == 4096
    assert queue_length(find_method("moco-v2"), 256, 1768) == 3 * 256
    assert queue_length(find_method("moco-v2"), 4, 8) == 4
    assert queue_length(find_method("simclr"), 4, 8) == 0


def test_the_key_encoder_follows_by_its_momentum() -> None:
    slow, fast = torch.tensor([1.0, -2.0]), torch.tensor([3.0, 5.0])
    moved = slow.clone()
    for _ in range(7):
        move_towards([moved], [fast], 1 - 0.9)
    assert torch.allclose(moved, fast + 0.9**7 * (slow - fast))


def test_keys_do_not_see_the_statistics_of_their_queries_batch_but_those_of_their_group() -> None:
    module = momentum(images=256)
    module.groups = 2
    x = torch.randn(32, 1, 16, 16)
    _, keys = module(x, x)
    other = momentum(images=256).key
    assert torch.allclose(keys[0::2], other(x[0::2]), atol=1e-5)
    assert torch.allclose(keys[1::2], other(x[1::2]), atol=1e-5)
    assert not keys.requires_grad


FAMILIES = {
    "resnet20:depth=8": 32,
    "convnext_atto": 32,
    "vit_tiny_patch16": 32,
    "mobilenetv2": 32,
}


def family(name: str) -> Network:
    base, _, depth = name.partition(":depth=")
    network = zoo.get(base, depth=int(depth)) if depth else zoo.get(base)
    return for_images(network, classes=5, channels=3, resolution=FAMILIES[name])


@pytest.mark.parametrize("name", FAMILIES)
def test_an_encoder_is_the_network_without_its_last_layer_and_its_weights_fit_the_network(name: str) -> None:
    network = family(name)
    whole, trunk = to_torch(network, init="he").eval(), encoders.build_encoder(network).eval()
    x = torch.randn(2, *network.input)
    features = trunk(x)
    assert features.shape == (2, encoders.count_features(network))
    (path,) = {key.rpartition(".")[0] for key in whole.state_dict().keys() - trunk.state_dict().keys()}
    assert torch.allclose(whole.get_submodule(path)(features), whole(x), atol=1e-5)


SMALL_MEMBERS = {
    "convnext_atto": {"width": 16, "depths": (1, 2)},
    "vit_tiny_patch16": {"width": 48, "depth": 2},
}


@pytest.mark.parametrize("name", SMALL_MEMBERS)
@pytest.mark.parametrize("by", METHODS)
def test_every_method_trains_every_family(name: str, by: str, digits: Splits, tmp_path: Path) -> None:
    chosen = method(by, "resolution=32", "evaluate.resolution=32", "batch=8", "epochs=0.34")
    network = zoo.get(name, **SMALL_MEMBERS[name])
    result = pretrain(network, few(digits, 48, 8), chosen, tmp_path, precision="fp32", threads=1)
    assert result.images == 16
    assert result.loss is not None
    assert np.isfinite(result.loss)
    shapes = to_torch(for_images(network, classes=10, channels=1, resolution=32), device="meta").state_dict()
    kept = load_file(tmp_path / "weights.safetensors")
    assert all(shapes[key].shape == array.shape for key, array in kept.items())
    assert len(shapes.keys() - kept.keys()) == 2  # the classifier's


def test_pretraining_on_digits_lowers_the_loss_and_makes_neighbours_of_like_digits(
    digits: Splits, tmp_path: Path
) -> None:
    images, chosen = few(digits, 1024, 256), method("simclr-dcl", "epochs=4", "batch=64", "optimiser.lr=0.008")
    result = pretrain(resnet(), images, chosen, tmp_path, precision="fp32", seed=1)
    assert result.loss is not None
    assert result.loss < 0.97 * result.chance
    for name in ("validation", "test"):
        before, after = result.before[name], result.after[name]
        assert after.knn > before.knn
        assert after.probe > before.probe
        assert after.knn_interval[0] < after.knn < after.knn_interval[1]
    judged = [event for event in read(tmp_path) if event["event"] == "judged"]
    assert judged[0]["images"] == 0
    assert judged[-1]["images"] == result.images
    assert pretrain(resnet(), images, chosen, tmp_path, seed=1) == result  # a second time nothing is done


def interrupted_after(steps: int) -> Callable[[TrainingProgress], None]:
    ticks = 0

    def tick(_: TrainingProgress) -> None:
        nonlocal ticks
        ticks += 1
        if ticks == steps:
            os.kill(os.getpid(), signal.SIGINT)

    return tick


@pytest.mark.parametrize("by", ["moco-v2", "simclr"])
def test_a_pretraining_that_was_interrupted_goes_on_as_if_nothing_had_happened(
    by: str, digits: Splits, tmp_path: Path
) -> None:
    images, chosen = few(digits, 128, 16), method(by, "epochs=2.5")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    pretrain(resnet(), images, chosen, whole, precision="fp32")
    for steps in (3, 4):
        with pytest.raises(KeyboardInterrupt):
            pretrain(resnet(), images, chosen, broken, precision="fp32", progress=interrupted_after(steps))
    pretrain(resnet(), images, chosen, broken, precision="fp32")
    left, right = checkpoint.read_newest(whole), checkpoint.read_newest(broken)
    assert left is not None
    assert right is not None
    assert left["module"].keys() == right["module"].keys()
    assert ("queue" in left["module"]) == (by == "moco-v2")
    for name, tensor in left["module"].items():
        assert torch.equal(tensor, right["module"][name]), name


def test_a_folder_of_another_pretraining_is_refused_and_left_alone(digits: Splits, tmp_path: Path) -> None:
    images = few(digits, 64, 8)
    pretrain(resnet(), images, method("simclr", "epochs=1"), tmp_path, precision="fp32")
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.name != ".lock"}
    with pytest.raises(NetlatheError, match="other temperature"):
        pretrain(resnet(), images, method("simclr", "epochs=1", temperature=0.5), tmp_path, precision="fp32")
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir() if path.name != ".lock"}


def test_labels_do_not_change_what_is_learned(digits: Splits, tmp_path: Path) -> None:
    images = few(digits, 64, 16)
    other = replace(images, train=replace(images.train, labels=images.train.labels[::-1].copy()))
    for name, splits in {"a": images, "b": other}.items():
        pretrain(resnet(), splits, method("moco-v2", "epochs=1"), tmp_path / name, precision="fp32")
    states = [checkpoint.read_newest(tmp_path / name) for name in "ab"]
    assert states[0] is not None
    assert states[1] is not None
    assert all(torch.equal(tensor, states[1]["module"][name]) for name, tensor in states[0]["module"].items())


def test_judging_a_network_leaves_it_as_it_was(digits: Splits) -> None:
    images = few(digits, 200, 50)
    trunk = encoders.build_encoder(for_images(resnet(), classes=10, channels=1, resolution=16)).train()
    before = {name: tensor.clone() for name, tensor in trunk.state_dict().items()}
    prepare = make_preprocessor(method("simclr").recipe, measure_normalisation(images.train))
    found = judge_encoder(trunk, images.train, {"validation": images.validation, "test": None}, prepare, join_ranks())
    assert found.keys() == {"validation"}
    assert found["validation"].probe > 0.5  # it did learn
    assert all(torch.equal(tensor, trunk.state_dict()[name]) for name, tensor in before.items())
    assert trunk.training
    assert all(weight.grad is None for weight in trunk.parameters())


def clouds(seed: int, count: int = 300, width: int = 12, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    centres = np.random.default_rng(7).standard_normal((classes, width))
    return (centres[labels] + random.standard_normal((count, width))).astype(np.float32), labels


def test_nearest_neighbours_vote_as_scikit_learn_s_do() -> None:
    from sklearn.neighbors import KNeighborsClassifier

    (bank, labels), (asked, _) = clouds(0), clouds(1)
    oracle = KNeighborsClassifier(20, metric="cosine", weights=lambda distances: np.exp((1 - distances) / 0.07))
    oracle.fit(bank, labels)
    assert (knn(bank, labels, asked, 4) == oracle.predict(asked)).mean() > 0.99


def test_the_linear_probe_is_scikit_learn_s_logistic_regression() -> None:
    from sklearn.linear_model import LogisticRegression

    features, labels = clouds(0)
    probe = judge_probe(features, labels, 4)
    rows = probe.standardise(features).numpy()[:, :-1].astype(np.float64)
    oracle = LogisticRegression(C=1 / (len(rows) * probe.penalty), tol=1e-8, max_iter=1000).fit(rows, labels)
    assert np.allclose(probe.weight[:-1].T.numpy(), oracle.coef_, atol=0.02)
    asked, _ = clouds(1)
    assert (probe.logits(asked).argmax(1) == oracle.predict(probe.standardise(asked).numpy()[:, :-1])).mean() > 0.99


def pretrain_both_ways(cache: Path, out: Path) -> None:
    """In this process, or its part in several."""
    torch.set_num_threads(1)
    images = few(load("digits", size=8, cache=cache), 96, 16)
    for by in ("simclr-dcl", "moco-v2"):
        pretrain(resnet(), images, method(by, "epochs=1", key_groups=2), out / by, precision="fp32")


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(one_thread: None, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    pretrain_both_ways(tmp_path / "cache", one)
    forked.ranks(tmp_path, pretrain_both_ways, tmp_path / "cache", two)
    for by in ("simclr-dcl", "moco-v2"):
        left, right = checkpoint.read_newest(one / by), checkpoint.read_newest(two / by)
        assert left is not None
        assert right is not None
        for name, tensor in left["module"].items():
            assert torch.allclose(tensor, right["module"][name], rtol=1e-3, atol=1e-3), (by, name)


def test_a_network_pretrained_on_the_command_line_is_fine_tuned_from_there(digits: Splits, tmp_path: Path) -> None:
    pre = tmp_path / "pre"
    words = ["resnet20:depth=8", "--epochs", "1", "--resolution", "16", "--batch", "64", "--threads", "1"]
    pretrained = ["pretrain", *words, "--method", "moco-v2", "--precision", "fp32", "--json", "-o", pre]
    done = netlathe(*pretrained, NETLATHE_CACHE=str(tmp_path / "cache"))
    document = json.loads(done.stdout)
    assert document["schema"] == "netlathe.pretrain/1"
    assert json.loads((pre / "result.json").read_text())["after"] == document["data"]["after"]
    assert json.loads((pre / "method.json").read_text())["recipe"]["batch"] == 64
    fitted = for_images(resnet(), classes=10, channels=1, resolution=16)
    start = load_starting_weights(str(pre / "weights.safetensors"), resnet(), fitted, "he", 0)
    assert start.fresh == ("head.classifier.weight", "head.classifier.bias")
    assert start.tensors is not None
    kept = load_file(pre / "weights.safetensors")
    assert all(np.array_equal(start.tensors[name], array) for name, array in kept.items())
    recipe = recipefile.load("finetune", ["resolution=16", "evaluate.resolution=16", "epochs=1", "schedule.warmup=0"])
    tuned = train(resnet(), few(digits, 64, 16), recipe, tmp_path / "run", weights=start.tensors, precision="fp32")
    assert tuned.images == 64


def test_an_unknown_method_is_answered_with_the_legal_ones(tmp_path: Path) -> None:
    words = ["pretrain", "resnet20", "--method", "moco", "-o", str(tmp_path / "x")]
    done = netlathe(*words, code=2)
    assert "unknown method 'moco'" in done.stderr
    assert "legal: moco-v2, simclr, simclr-dcl" in done.stderr


def test_every_method_says_where_it_comes_from_and_has_a_recipe_that_holds() -> None:
    for name, found in METHODS.items():
        assert found.name == found.recipe.name == name
        assert "https://" in found.source
        assert found.published
        assert json.dumps(found.document())
