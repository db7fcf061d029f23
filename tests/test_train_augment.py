"""Augmentation of batches, operation by operation against torchvision, Pillow and timm."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from photographs import PLAIN, RAND, photos, planes
from PIL import Image, ImageEnhance
from scipy import stats

from netlathe.train.augment import colour, geometry, policy
from netlathe.train.augment.pipeline import augment_images, prepare_images
from netlathe.train.recipe import Evaluate
from netlathe.train.rng import CounterRNG


def apart(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a.int() - b.int()).abs()


# Operations: ours by name, torchvision's of one image, the magnitudes.


def affine(functional, x, mode, fill, **how):
    still = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]}
    return functional.affine(x, **(still | how), interpolation=functional.InterpolationMode(mode), fill=fill)


def degrees(m: float) -> float:
    return math.degrees(math.atan(m))


def places(name: str, magnitudes: list[float], height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Where output pixels of an affine map lie in the input: rows and columns, (N, H, W), 0 the centre of the first."""
    maps = geometry.MAPS[name](torch.tensor(magnitudes, dtype=torch.float64), height, width)
    a, b, c, d, e, f = maps[:, :, None, None].unbind(1)
    x, y = torch.arange(width) + 0.5, torch.arange(height)[:, None] + 0.5
    return d * x + e * y + f - 0.5, a * x + b * y + c - 0.5


def halfway(name: str, magnitudes: list[float], height: int, width: int) -> torch.Tensor:
    """Output pixels that lie between two input pixels up to the error of float32, of all channels: (N, 3, H, W).

    A shear by 0.2 moves every fifth row by whole pixels and a half: which neighbour is the nearest depends on the last
    bit, and that on the matrix product of the processor, with which torchvision makes its grid.
    """
    near = [((place - place.floor() - 0.5).abs() < 1e-4) for place in places(name, magnitudes, height, width)]
    return (near[0] | near[1])[:, None].expand(-1, 3, -1, -1)


def assert_a_neighbour(made: torch.Tensor, x: torch.Tensor, name: str, magnitudes: list[float], fill: int) -> None:
    """Every pixel is one that lies within half a pixel of its place, or the fill beyond the edge."""
    framed = torch.nn.functional.pad(x, (1, 1, 1, 1), value=fill)
    number = torch.arange(len(x))[:, None, None]
    found = torch.zeros(len(x), *x.shape[2:], dtype=torch.bool)
    rows, columns = places(name, magnitudes, *x.shape[2:])
    for up in (-1e-4, 1e-4):
        for left in (-1e-4, 1e-4):
            row = (rows + up).round().long().clamp(-1, x.shape[2]) + 1
            column = (columns + left).round().long().clamp(-1, x.shape[3]) + 1
            found |= (framed[number, :, row, column] == made.permute(0, 2, 3, 1)).all(3)
    assert found.all()


SIGNED = [-0.9, -0.2, 0.0, 0.3, 0.99]
ORACLES = {
    "brightness": (lambda f, x, m: f.adjust_brightness(x, m), [0.01, 0.5, 1, 1.4, 1.99]),
    "contrast": (lambda f, x, m: f.adjust_contrast(x, m), [0.01, 0.5, 1, 1.4, 1.99]),
    "colour": (lambda f, x, m: f.adjust_saturation(x, m), [0.01, 0.5, 1, 1.4, 1.99]),
    "sharpness": (lambda f, x, m: f.adjust_sharpness(x, m), [0.01, 0.5, 1, 1.4, 1.99]),
    "posterize": (lambda f, x, m: f.posterize(x, int(m)), [8, 4, 2, 1, 0]),
    "solarize": (lambda f, x, m: f.solarize(x, m), [255, 200, 128.5, 1, 0]),
    "autocontrast": (lambda f, x, m: f.autocontrast(x), [0, 0, 0, 0, 0]),
    "equalize": (lambda f, x, m: f.equalize(x), [0, 0, 0, 0, 0]),
    "invert": (lambda f, x, m: f.invert(x), [0, 0, 0, 0, 0]),
    "identity": (lambda f, x, m: x, [0, 0, 0, 0, 0]),
    "shear_x": (lambda f, x, m, *how: affine(f, x, *how, shear=[degrees(m), 0.0], center=[0, 0]), SIGNED),
    "shear_y": (lambda f, x, m, *how: affine(f, x, *how, shear=[0.0, degrees(m)], center=[0, 0]), SIGNED),
    "translate_x": (lambda f, x, m, *how: affine(f, x, *how, translate=[m, 0]), [-31, -5, 0, 1, 40]),
    "translate_y": (lambda f, x, m, *how: affine(f, x, *how, translate=[0, m]), [-31, -5, 0, 1, 40]),
    "rotate": (
        lambda f, x, m, mode, fill: f.rotate(x, m, f.InterpolationMode(mode), fill=fill),
        [-135, -20, 0, 30, 90],
    ),
}


@pytest.mark.parametrize(("mode", "fill"), [("nearest", 128), ("bilinear", 0)])
@pytest.mark.parametrize("name", ORACLES)
def test_an_operation_does_what_torchvisions_does(functional, name, mode, fill):
    """With bilinear only over black: torchvision blends twice where an image ends on a given colour."""
    theirs, magnitudes = ORACLES[name]
    how = (mode, [float(fill)] * 3 if fill else None) if name in geometry.MAPS else ()
    x = planes(5, 32, 40)
    x[4, 1] = 77  # a flat channel
    ours = policy.apply_operation(x, name, torch.tensor(magnitudes, dtype=torch.float32), mode, fill)
    expected = torch.stack([theirs(functional, image, m, *how) for image, m in zip(x, magnitudes, strict=True)])
    assert ours.dtype == torch.uint8
    if how and mode == "nearest":
        ties = halfway(name, magnitudes, 32, 40)
        assert ties.float().mean() <= 0.04
        assert torch.equal(ours[~ties], expected[~ties])
        assert_a_neighbour(ours, x, name, magnitudes, fill)
    else:
        assert apart(ours, expected).max() <= (2 if name in ("contrast", "colour") else 1)  # which round grey otherwise


@pytest.mark.parametrize("name", policy.ENHANCED)
def test_an_enhancement_does_what_pillows_does(name):
    x = photos(4)
    theirs = getattr(ImageEnhance, "Color" if name == "colour" else name.title())
    for factor in (0.1, 0.6, 1, 1.9):
        ours = policy.apply_operation(x.permute(0, 3, 1, 2), name, torch.full((4,), factor)).permute(0, 2, 3, 1)
        for image, made in zip(x, ours, strict=True):
            assert (
                apart(made, torch.tensor(np.asarray(theirs(Image.fromarray(image.numpy())).enhance(factor)))).max() <= 1
            )


def test_every_operation_has_an_oracle():
    known = {*ORACLES, "solarize_add", "translate_x_share", "translate_y_share"}  # below
    assert known == set(policy.LEVELS) | set(geometry.MAPS)


def test_shares_of_a_side_are_pixels():
    x, share = planes(3, 32, 40), torch.tensor([0.45, -0.1, 0.0])
    for name, side in (("translate_x", 40), ("translate_y", 32)):
        assert torch.equal(
            policy.apply_operation(x, f"{name}_share", share), policy.apply_operation(x, name, share * side)
        )


def test_solarize_add_does_what_timms_does(timm):
    from timm.data.auto_augment import solarize_add

    x, amounts = planes(4), [0, 30, 77, 110]
    ours = policy.apply_operation(x, "solarize_add", torch.tensor(amounts, dtype=torch.float32))
    for image, made, amount in zip(x, ours, amounts, strict=True):
        theirs = solarize_add(Image.fromarray(image.permute(1, 2, 0).numpy()), amount)
        assert np.array_equal(made.permute(1, 2, 0).numpy(), np.asarray(theirs))


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_affine_maps_interpolate_as_pillow_does_inside(mode):
    x = photos(3, 40, 40)
    angles = [10.0, -33.0, 90.0]
    ours = policy.apply_operation(x.permute(0, 3, 1, 2), "rotate", torch.tensor(angles), mode).permute(0, 2, 3, 1)
    for image, made, angle in zip(x, ours, angles, strict=True):
        theirs = torch.tensor(np.asarray(Image.fromarray(image.numpy()).rotate(angle, Image.Resampling[mode.upper()])))
        inside = apart(made, theirs)[10:30, 10:30].float()
        assert inside.mean() < {"nearest": 0.5, "bilinear": 0.6, "bicubic": 2.0}[mode]


@pytest.mark.parametrize(
    ("ours", "theirs", "factors", "within"),
    [
        (colour.hue, lambda f, x, m: f.adjust_hue(x, m), [-0.5, -0.21, 0, 0.1, 0.5], 2),
        (lambda x, _: colour.grey(x).repeat(1, 3, 1, 1), lambda f, x, m: f.rgb_to_grayscale(x, 3), [0] * 5, 2),
        (colour.blur, lambda f, x, m: f.gaussian_blur(x, [7, 7], [m, m]), [0.1, 0.5, 1, 1.5, 2], 1),
    ],
    ids=["hue", "grey", "blur"],
)
def test_a_colour_operation_does_what_torchvisions_does(functional, ours, theirs, factors, within):
    x = planes(5, 64, 70)
    made = geometry.round_to_bytes(ours(x.float(), torch.tensor(factors)))
    expected = torch.stack([theirs(functional, image, m) for image, m in zip(x, factors, strict=True)])
    assert apart(made, expected).max() <= within


def test_lighting_moves_colours_along_the_published_components():
    vectors = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
    amounts = np.array([[0.1, -0.2, 0.05], [0, 0, 0]])
    moved = colour.lighting(torch.zeros(2, 3, 1, 1), torch.tensor(amounts, dtype=torch.float32))[..., 0, 0].numpy()
    assert moved == pytest.approx(255 * (vectors @ (amounts * [0.2175, 0.0188, 0.0045]).T).T, abs=1e-4)


# Policies: which operation, how strong, how often.


TIMM = {
    "AutoContrast": "autocontrast",
    "Equalize": "equalize",
    "Invert": "invert",
    "Rotate": "rotate",
    "Posterize": "posterize",
    "Solarize": "solarize",
    "SolarizeAdd": "solarize_add",
    "Color": "colour",
    "Contrast": "contrast",
    "Brightness": "brightness",
    "Sharpness": "sharpness",
    "ShearX": "shear_x",
    "ShearY": "shear_y",
    "TranslateXRel": "translate_x_share",
    "TranslateYRel": "translate_y_share",
}


@pytest.mark.parametrize("growing", [False, True])
def test_randaugment_has_timms_operations_and_magnitudes(timm, growing):
    from timm.data import auto_augment as theirs

    space = policy.GROWING if growing else policy.PLAIN
    names = theirs._RAND_INCREASING_TRANSFORMS if growing else theirs._RAND_TRANSFORMS
    assert {TIMM[name.removesuffix("Increasing")] for name in names} == set(space.ranges)
    for name in names:
        span, scale = space.ranges[TIMM[name.removesuffix("Increasing")]], theirs.LEVEL_TO_ARG[name]
        for level in (0, 0.7, 3, 5.55, 9, 10):
            either = [scale(level, {})[0] for _ in range(20)] if scale else [0]
            both = span.at(torch.tensor([level / 10] * 2), torch.tensor([True, False])).tolist()
            assert (min(both), max(both)) == pytest.approx((min(either), max(either)), abs=1e-3), (name, level)


@pytest.mark.parametrize("wide", [False, True])
def test_torchvisions_policies_have_the_same_ranges(torchvision, wide):
    from torchvision.transforms import v2

    theirs = (v2.TrivialAugmentWide if wide else v2.AutoAugment)._AUGMENTATION_SPACE
    space, bins = (policy.WIDE, 31) if wide else (policy.AUTO, 10)
    names = {name: TIMM.get(name, name.lower()) for name in theirs}
    names |= {f"Translate{axis}": f"translate_{axis.lower()}" + "_share" * (not wide) for axis in "XY"}
    assert set(names.values()) == set(space.ranges)
    share = torch.arange(bins) / (bins - 1)
    for name, (magnitudes, signed) in theirs.items():
        span, expected = space.ranges[names[name]], magnitudes(bins, 331, 331)
        assert span.signed == signed
        if expected is not None:
            ours = span.at(share, torch.ones(bins, dtype=torch.bool))
            ours = ours * 331 if "share" in names[name] else ours
            ours = ours - 1 if names[name] in policy.ENHANCED else ours
            expected = expected * 255 if name == "Solarize" else expected
            expected = (expected + 1e-4).trunc() if wide and "Translate" in name else expected  # linspace's own error
            assert ours.tolist() == pytest.approx(expected.tolist(), abs=1e-3), name


def test_autoaugment_has_the_papers_pairs(torchvision):
    from torchvision.transforms import v2

    theirs = v2.AutoAugment()._policies
    ours = [[(name, prob, magnitude) for name, prob, magnitude in pair] for pair in policy.IMAGENET]
    names = {name: TIMM.get(name, name) for pair in theirs for name, _, _ in pair}
    assert ours == [[(names[name], prob, magnitude or 0) for name, prob, magnitude in pair] for pair in theirs]


def test_operations_are_drawn_evenly_and_left_out_as_often_as_said():
    rng = CounterRNG(0, 0, np.arange(20_000))
    steps = list(policy.POLICIES["randaugment"](replace(RAND, policy_prob=0.5), rng))
    assert len(steps) == 2
    for step in steps:
        done = step.kind[step.kind >= 0]
        assert len(done) / 20_000 == pytest.approx(0.5, abs=0.015)
        assert stats.chisquare(np.bincount(done, minlength=15)).pvalue > 1e-3
        below_the_end = step.share[step.share < 1].double()
        assert stats.kstest(below_the_end, stats.truncnorm(-18, 2, 0.9, 0.05).cdf).pvalue > 1e-3
    assert stats.chi2_contingency(np.histogram2d(steps[0].kind, steps[1].kind, 16)[0]).pvalue > 1e-3


@pytest.mark.parametrize("space", [policy.PLAIN, policy.GROWING, policy.WIDE, policy.AUTO])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_operation_stands_both_ends_of_its_range(space, channels):
    x = planes(4, channels=channels)
    ends, signs = torch.tensor([0.0, 0, 1, 1]), torch.tensor([True, False, True, False])
    for name, span in space.ranges.items():
        assert policy.apply_operation(x, name, span.at(ends, signs), fill=space.fill).shape == x.shape


def test_no_bit_at_all_is_black():
    """timm with Pillow 13 ends here: `bits must be between or equal to 1 and 8`."""
    magnitude = policy.GROWING.ranges["posterize"].at(torch.ones(2), torch.ones(2, dtype=torch.bool))
    assert magnitude.tolist() == [0, 0]
    assert policy.apply_operation(planes(2), "posterize", magnitude).max() == 0


# Crops.


def test_boxes_are_distributed_as_torchvisions(torchvision):
    from torchvision.transforms.v2 import RandomResizedCrop

    torch.manual_seed(0)
    theirs = RandomResizedCrop(8, scale=(0.08, 1))
    image = torch.zeros(3, 60, 100, dtype=torch.uint8)
    rows = [theirs.make_params([image]) for _ in range(2000)]
    expected = np.array([[row["top"], row["left"], row["height"], row["width"]] for row in rows])
    ours = np.array(geometry.random_boxes(CounterRNG(0, 0, range(2000)), 60, 100, (0.08, 1), (3 / 4, 4 / 3)))
    for column in range(4):
        assert stats.ks_2samp(ours[:, column], expected[:, column]).pvalue > 1e-3
    area = [box[:, 2] * box[:, 3] for box in (ours, expected)]
    assert stats.ks_2samp(*area).pvalue > 1e-3


def test_boxes_lie_inside_and_the_largest_is_taken_where_none_fits():
    for top, left, height, width in geometry.random_boxes(
        CounterRNG(0, 0, range(500)), 20, 30, (0.08, 1), (3 / 4, 4 / 3)
    ):
        assert 0 <= top <= top + height <= 20
        assert 0 <= left <= left + width <= 30
    assert geometry.random_boxes(CounterRNG(0, 0, [1]), 20, 90, (1, 1), (3 / 4, 4 / 3)) == [(0, 31, 20, 27)]
    assert geometry.random_boxes(CounterRNG(0, 0, [1]), 90, 20, (1, 1), (3 / 4, 4 / 3)) == [(31, 0, 27, 20)]


@pytest.mark.parametrize(("mode", "within"), [("nearest", 0), ("bilinear", 1), ("bicubic", 3)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_crop_is_resized_as_pillow_does(mode, within, channels):
    x = photos(4, 50, 70, channels)
    boxes = [(0, 0, 50, 70), (10, 20, 13, 17), (3, 1, 40, 24), (5, 40, 31, 30)]
    made = geometry.resample(x, boxes, (24, 24), [mode] * 4)
    for image, (top, left, height, width), ours in zip(x, boxes, made, strict=True):
        part = Image.fromarray(image.numpy().squeeze()).crop((left, top, left + width, top + height))
        theirs = np.asarray(part.resize((24, 24), Image.Resampling[mode.upper()])).reshape(24, 24, channels)
        assert apart(ours, torch.tensor(theirs)).max() <= within


@pytest.mark.parametrize("mode", ["zero", "reflect"])
def test_pad_and_crop_gives_every_place_of_the_padded_image(mode):
    x, rng = photos(1, 9, 12).expand(1500, 9, 12, 3), CounterRNG(0, 0, range(1500))
    made = geometry.pad_and_crop(x, 9, 3, mode, rng)
    padded = np.pad(x[0].numpy(), ((3, 3), (3, 3), (0, 0)), mode={"zero": "constant", "reflect": "reflect"}[mode])
    places = {padded[y : y + 9, x : x + 9].tobytes() for y in range(7) for x in range(10)}
    assert {image.numpy().tobytes() for image in made} == places


def test_half_of_the_images_are_mirrored():
    x = photos(400, 8, 8)
    made = augment_images(x, replace(PLAIN, flip=0.5), 8, CounterRNG(0, 0, range(400)))
    same = (made == x.permute(0, 3, 1, 2) / 255).flatten(1).all(1)
    mirror = (made == x.permute(0, 3, 1, 2).flip(3) / 255).flatten(1).all(1)
    assert (same ^ mirror).all()
    assert 160 <= same.sum() <= 240


@pytest.mark.parametrize(("height", "width"), [(64, 64), (60, 100), (90, 40), (20, 24)])
@pytest.mark.parametrize(("crop", "side"), [(1.0, 48), (0.875, 54), (0.95, 50), (48 / 57, 57)])
def test_a_test_image_is_pillows_resize_and_centre_crop(height, width, crop, side):
    x = photos(2, height, width)
    ours = prepare_images(x, Evaluate(resolution=48, crop=crop), 48)
    short = min(height, width)
    size = (side * width // short, side * height // short)
    for image, made in zip(x, ours, strict=True):
        theirs = np.asarray(Image.fromarray(image.numpy()).resize(size, Image.Resampling.BILINEAR))
        top, left = round((size[1] - 48) / 2), round((size[0] - 48) / 2)
        expected = torch.tensor(theirs[top : top + 48, left : left + 48]).permute(2, 0, 1)
        assert apart((made * 255).round(), expected).max() <= 2  # each rounds twice
        assert apart((made * 255).round(), expected).float().mean() < 0.1
