"""An augmented batch: the same image in every batch and on any number of threads; erased, mixed, or refused."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from photographs import PLAIN, RAND, photos, planes
from scipy import stats

from netlathe.errors import NetlatheError
from netlathe.train.augment import colour, geometry, grouped, levels, pipeline
from netlathe.train.augment.mix import mix_images, mixing_weights
from netlathe.train.augment.pipeline import augment_images, erase, normalise
from netlathe.train.recipe import Augment, Mix
from netlathe.train.rng import CounterRNG

RECIPES = {
    "plain": PLAIN,
    "rrc": Augment(),
    "pad": Augment(crop="pad", pad=3),
    "reflected": Augment(crop="pad", pad=4, pad_mode="reflect"),
    "resize": Augment(crop="resize", interpolation="random"),
    "randaugment": replace(RAND, interpolation="bicubic"),
    "growing": replace(RAND, increasing=True, interpolation="random", crop="rrc"),
    "trivial": replace(PLAIN, policy="trivial", interpolation="nearest"),
    "autoaugment": replace(PLAIN, policy="autoaugment"),
    "simclr": Augment(jitter=(0.8, 0.8, 0.8, 0.2), jitter_prob=0.8, grey=0.2, blur=0.5),
    "imagenet 2017": Augment(jitter=(0.4, 0.4, 0.4, 0), lighting=0.1),
    "erasing": replace(PLAIN, erase=0.5, erase_mode="pixel"),
}


# Promises of the whole.


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_is_the_same_in_every_batch_bit_for_bit(name, channels, monkeypatch):
    augment, x, indices = RECIPES[name], photos(41, channels=channels), np.arange(100, 141)

    def made(at: np.ndarray) -> torch.Tensor:
        rng = CounterRNG(3, 5, indices[at], np.arange(41)[at] % 2)
        mean, std = ((0.4, 0.5, 0.6), (0.2, 0.3, 0.2)) if channels == 3 else ((0.4,), (0.2,))
        return erase(normalise(augment_images(x[at], augment, 32, rng), mean, std), augment, rng)

    everything = made(np.arange(41))
    shuffled = np.random.default_rng(0).permutation(41)
    assert torch.equal(made(shuffled), everything[shuffled])
    assert torch.equal(torch.cat([made(np.arange(at, at + 1)) for at in range(7)]), everything[:7])
    monkeypatch.setattr(pipeline, "CHUNK", 5 * 32 * 32)
    monkeypatch.setattr(grouped, "PIECE", 3 * 32 * 32)
    assert torch.equal(made(np.arange(41)), everything)


@pytest.mark.parametrize("name", ["simclr", "growing", "rrc", "pad"])
def test_an_image_is_the_same_on_any_number_of_threads(name, one_thread):
    x, rng = photos(24, 64, 64), CounterRNG(0, 0, range(24))
    alone = augment_images(x, RECIPES[name], 64, rng)
    torch.set_num_threads(3)
    assert torch.equal(augment_images(x, RECIPES[name], 64, rng), alone)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("channels", [1, 3])
def test_images_come_out_in_shape_in_range_and_untouched_behind(name, channels):
    x = photos(24, channels=channels)
    before = x.clone()
    made = augment_images(x, RECIPES[name], 32, CounterRNG(0, 0, range(24)))
    assert torch.equal(x, before)
    assert (made.shape, made.dtype) == ((24, channels, 32, 32), torch.float32)
    assert made.is_contiguous(memory_format=torch.channels_last)
    assert made.min() >= 0
    assert made.max() <= 1
    if name not in ("plain", "erasing"):
        assert len(made.flatten(1).unique(dim=0)) == 24
        assert (made != (x / 255).permute(0, 3, 1, 2)).any()


def test_seed_epoch_and_view_change_an_image():
    x, augment = photos(1).expand(4, 32, 32, 3), RECIPES["simclr"]
    seen = [
        augment_images(x[:1], augment, 32, CounterRNG(seed, epoch, [0], view))
        for seed, epoch, view in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))
    ]
    assert len(torch.cat(seen).unique(dim=0)) == 4


@pytest.mark.parametrize("height", [32, 45])
@pytest.mark.parametrize("width", [32, 50])
@pytest.mark.parametrize("crop", ["rrc", "pad", "resize"])
def test_images_of_any_shape_become_squares(crop, height, width):
    for resolution in (16, 40):
        made = augment_images(photos(3, height, width), Augment(crop=crop), resolution, CounterRNG(0, 0, range(3)))
        assert made.shape == (3, 3, resolution, resolution)


def test_nothing_to_do_changes_nothing():
    x, rng = photos(8), CounterRNG(0, 0, range(8))
    plain = augment_images(x, PLAIN, 32, rng)
    assert torch.equal(plain, x.permute(0, 3, 1, 2) / 255)
    still = {
        "all of the image": Augment(crop="rrc", scale=(1, 1), ratio=(1, 1), flip=0),
        "no padding": replace(PLAIN, crop="pad", pad=0),
        "no strength": replace(PLAIN, policy="randaugment", magnitude=0, policy_prob=0),
        "no jitter": replace(PLAIN, jitter=(1, 1, 1, 0.5), jitter_prob=0),
    }
    for name, augment in still.items():
        assert torch.equal(augment_images(x, augment, 32, rng), plain), name


def test_jitter_draws_its_four_factors_in_every_order(monkeypatch):
    seen = {name: [] for name in ("brightness", "contrast", "saturation", "hue")}
    for name in seen:
        monkeypatch.setattr(colour, name, lambda x, factor, name=name: seen[name].extend(factor.tolist()) or x)
    pipeline.jitter(
        planes(2000, 2, 2), Augment(jitter=(0.4, 0.3, 2.0, 0.1), jitter_prob=0.8), CounterRNG(0, 0, range(2000))
    )
    for name, (low, high) in zip(seen, ((0.6, 1.4), (0.7, 1.3), (0, 3), (-0.1, 0.1)), strict=True):
        assert stats.kstest(seen[name], stats.uniform(low, high - low).cdf).pvalue > 1e-3
        assert len(seen[name]) / 2000 == pytest.approx(0.8, abs=0.04)


def test_normalised_is_the_formula(functional):
    x = torch.rand(3, 3, 10, 12)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    ours = normalise(x, mean, std)
    assert torch.allclose(ours, functional.normalize(x, mean, std), atol=1e-6)
    assert ours.is_contiguous(memory_format=torch.channels_last)


# Erasing and mixing.


@pytest.mark.parametrize("mode", ["const", "pixel"])
def test_erased_rectangles_are_timms(timm, mode):
    from timm.data.random_erasing import RandomErasing

    def areas(x: torch.Tensor) -> np.ndarray:
        return (x[:, 0] != 9).sum((1, 2)).numpy()

    augment = replace(PLAIN, erase=0.7, erase_mode=mode)
    random.seed(0)
    ours = erase(torch.full((2000, 2, 20, 20), 9.0), augment, CounterRNG(0, 0, range(2000)))
    theirs = RandomErasing(0.7, mode=mode, device="cpu")(torch.full((2000, 2, 20, 20), 9.0))
    assert stats.ks_2samp(areas(ours), areas(theirs)).pvalue > 1e-3
    for axis in (2, 3):  # where they lie
        spread = [(x[:, 0] != 9).float().mean((0, axis - 1)) for x in (ours, theirs)]
        assert torch.allclose(*spread, atol=0.03)
    painted = ours[ours != 9]
    if mode == "const":
        assert (painted == 0).all()
    else:
        assert stats.kstest(painted[:20_000].double(), stats.norm.cdf).pvalue > 1e-3


BATCH = (torch.rand(12, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.eye(12))


def lambdas(targets: torch.Tensor) -> torch.Tensor:
    return targets.diagonal()


@pytest.mark.parametrize(
    "mix", [Mix(mixup=0.8), Mix(cutmix=1.0), Mix(mixup=0.2, cutmix=1.0, prob=0.7)], ids=["mixup", "cutmix", "both"]
)
def test_targets_say_how_much_of_each_image_is_there(mix):
    x, targets = BATCH
    for epoch in range(20):
        y, soft = mix_images(x, targets, mix, CounterRNG(0, epoch, range(12)))
        kept = lambdas(soft)
        neighbour = torch.arange(12) ^ 1
        assert torch.allclose(soft.sum(1), torch.ones(12))
        assert torch.equal(kept, kept[neighbour])
        assert torch.allclose(soft[torch.arange(12), neighbour], 1 - kept)
        mixup = kept[:, None, None, None] * x + (1 - kept)[:, None, None, None] * x[neighbour]
        own = (y == x).all(1)
        cut = (own | (y == x[neighbour]).all(1)).all((1, 2)) & torch.isclose(own.float().mean((1, 2)), kept)
        assert (cut | torch.isclose(y, mixup, atol=1e-6).all((1, 2, 3))).all()
        if not mix.mixup:
            assert cut.all()


def test_a_cut_is_a_rectangle_in_proportion_to_the_image():
    kept, share = mixing_weights(40, 20, Mix(cutmix=1.0), CounterRNG(0, 0, range(300)))
    assert torch.allclose(kept.mean((1, 2)), share)
    for image in (1 - kept).bool():
        rows, columns = image.any(1), image.any(0)
        assert torch.equal(image, rows[:, None] & columns)


def test_lambda_follows_beta_and_the_switch_and_the_probability():
    rng = CounterRNG(0, 0, range(5000))
    _, share = mixing_weights(64, 64, Mix(mixup=0.8, prob=0.6), rng)
    assert (share == 1).float().mean() == pytest.approx(0.4, abs=0.03)
    assert stats.kstest(share[share < 1].double(), stats.beta(0.8, 0.8).cdf).pvalue > 1e-3
    kept, _ = mixing_weights(8, 8, Mix(mixup=1.0, cutmix=1.0, switch=0.25), rng)
    assert ((kept == 0) | (kept == 1)).all(2).all(1).float().mean() == pytest.approx(0.25, abs=0.03)


def test_even_slices_of_a_batch_mix_as_the_whole_does():
    x, targets = BATCH
    mix, rng = Mix(mixup=0.2, cutmix=1.0), CounterRNG(0, 0, range(50, 62))
    whole = mix_images(x, targets, mix, rng)
    parts = [
        mix_images(x[some], targets[some], mix, rng.at(some)) for some in (slice(0, 4), slice(4, 10), slice(10, 12))
    ]
    assert torch.equal(torch.cat([part[0] for part in parts]), whole[0])
    assert torch.equal(torch.cat([part[1] for part in parts]), whole[1])


def test_mixing_leaves_alone_what_it_should():
    x, targets = BATCH
    last = x.to(memory_format=torch.channels_last)
    assert mix_images(x, targets, Mix(), CounterRNG(0, 0, range(12)))[0] is x
    y, soft = mix_images(last[:11], targets[:11], Mix(mixup=1.0), CounterRNG(0, 0, range(11)))
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(y[10], x[10])
    assert torch.equal(soft[10], targets[10])
    assert not torch.equal(y[:10], x[:10])
    unmixed = mix_images(x, targets, Mix(cutmix=1.0, prob=0), CounterRNG(0, 0, range(12)))
    assert torch.equal(unmixed[0], x)
    assert torch.equal(unmixed[1], targets)


# What a caller can get wrong.


@pytest.mark.parametrize(
    ("pixels", "augment", "words"),
    [
        (torch.zeros(2, 32, 32, 3), PLAIN, "uint8"),
        (torch.zeros(2, 3, 32, 32, dtype=torch.uint8), PLAIN, r"\(2, 3, 32, 32\)"),
        (photos(2, 32, 48), PLAIN, "32 x 48 px, and a recipe for 32 px"),
        (photos(3), PLAIN, "3 images and numbers for 2"),
    ],
)
def test_a_wrong_batch_is_refused_with_its_shape(pixels, augment, words):
    with pytest.raises(NetlatheError, match=words):
        augment_images(pixels, augment, 32, CounterRNG(0, 0, [0, 1]))


def test_a_border_wider_than_the_image_is_not_reflected():
    with pytest.raises(NetlatheError, match="cannot be reflected"):
        geometry.pad_and_crop(photos(1, 4, 4), 4, 4, "reflect", CounterRNG(0, 0, [0]))


def test_images_and_targets_must_agree():
    with pytest.raises(NetlatheError, match="2 images and 3 targets"):
        mix_images(torch.zeros(2, 3, 4, 4), torch.zeros(3, 5), Mix(mixup=1), CounterRNG(0, 0, [0, 1]))


def test_equalize_keeps_images_too_flat_for_it():
    flat = torch.full((1, 3, 8, 8), 99, dtype=torch.uint8)
    assert torch.equal(levels.equalize(flat), flat)
