"""Images as they come: every format, every odd file, on one canvas."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from broken_images import FAULTY
from image_files import encoded, folder, parts, scene
from PIL import Image, ImageOps

from netlathe.errors import NetlatheError
from netlathe.train.images import load
from netlathe.train.images.decode import Canvas, decode, read_header
from netlathe.train.images.options import ImageOptions

pytestmark = pytest.mark.usefixtures("own_cache")


def pixels(data, width=40, height=30, channels=3):
    """What `decode` makes of a file."""
    found = decode(data, Canvas(height, width, channels))
    return np.frombuffer(found, np.uint8).reshape(height, width, channels).astype(int)


def close(a, b, most=3):
    return np.abs(np.asarray(a, int) - np.asarray(b, int)).max() <= most


# One file


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "PPM", "GIF", "WEBP", "JPEG", "AVIF"])
def test_a_file_of_any_format_gives_its_picture(form):
    how = {"lossless": True} if form == "WEBP" else {"quality": 95, "subsampling": 0} if form == "JPEG" else {}
    data = encoded(scene(), form, **how)
    assert close(pixels(data), scene(), {"JPEG": 6, "GIF": 40, "AVIF": 12}.get(form, 0))
    assert read_header(data)[1:3] == (40, 30)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_a_picture_is_turned_as_exif_says(form, turn):
    exif = Image.Exif()
    exif[274] = turn
    data = encoded(scene(), form, exif=exif, **({"quality": 95} if form == "JPEG" else {}))
    shown = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    header = read_header(data)
    assert (header.width, header.height) == shown.size == ((30, 40) if turn > 4 else (40, 30))
    assert (pixels(data, *shown.size) == np.asarray(shown.convert("RGB"))).all()


def test_a_turned_large_photograph_is_cut_and_reduced_as_it_is_shown():
    exif = Image.Exif()
    exif[274] = 6
    data = encoded(scene(1200, 700), "JPEG", quality=95, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    wanted = upright.crop((0, 250, 700, 950)).resize((35, 35), Image.Resampling.BOX)
    assert close(pixels(data, 35, 35), np.asarray(wanted), 4)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM"])
def test_16_bits_become_8_by_their_full_range(form):
    values = (np.arange(1200).reshape(30, 40) * 54).astype(np.uint16)
    data = encoded(values, form)
    assert (pixels(data, channels=1)[..., 0] == np.round(values / 65535 * 255)).all()
    assert not read_header(data).colour


def test_grey_bilevel_palette_and_cmyk_give_their_colours():
    grey = Image.fromarray(scene()).convert("L")
    assert (pixels(encoded(grey)) == np.asarray(grey)[..., None]).all()
    assert not read_header(encoded(grey)).colour
    bilevel = Image.fromarray(scene()).convert("1")
    assert set(np.unique(pixels(encoded(bilevel), channels=1))) == {0, 255}
    palette = Image.fromarray(scene()).convert("P")
    assert (pixels(encoded(palette)) == np.asarray(palette.convert("RGB"))).all()
    cmyk = Image.fromarray(scene()).convert("CMYK")
    assert close(pixels(encoded(cmyk, "TIFF")), scene(), 1)
    assert close(pixels(encoded(cmyk, "JPEG", quality=98, subsampling=0)), scene(), 8)
    assert close(pixels(encoded(scene()), channels=1), np.asarray(grey)[..., None], 0)


def test_what_is_transparent_is_white():
    rgba = np.dstack([scene(), np.full((30, 40), 0, np.uint8)])
    rgba[:, 20:, 3] = 255
    rgba[0, :, 3] = 51
    found = pixels(encoded(rgba))
    assert (found[1:, :20] == 255).all()
    assert (found[1:, 20:] == scene()[1:, 20:]).all()
    assert close(found[0], 255 * 0.8 + 0.2 * scene()[0].astype(float), 1)
    la = Image.fromarray(rgba).convert("LA")
    assert (pixels(encoded(la), channels=1)[1:, :20] == 255).all()
    palette = Image.new("P", (40, 30), 0)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.paste(1, (0, 0, 20, 30))
    found = pixels(encoded(palette, transparency=0))
    assert (found[:, 20:] == 255).all()
    assert (found[:, :20] == (40, 50, 60)).all()


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_of_an_animation_the_first_frame_is_taken(form):
    first, second = Image.new("RGB", (40, 30), (200, 0, 0)), Image.new("RGB", (40, 30), (0, 0, 200))
    data = encoded(first, form, save_all=True, append_images=[second])
    assert read_header(data).animated
    assert close(pixels(data), np.full((30, 40, 3), (200, 0, 0)), 4)


@pytest.fixture
def mixed(tmp_path):
    """Twelve good images of two classes, and one of every fault."""
    root = folder(tmp_path / "mixed", {"a": 60, "b": 60})
    for name, (data, _) in FAULTY.items():
        (root / "a" / name).write_bytes(data)
    return root


def test_what_cannot_be_read_is_skipped_named_and_counted_with_its_reason(mixed):
    splits = load(mixed, size=30)
    found = {Path(name).name: reason for name, reason in splits.report.skipped}
    assert found == {name: reason for name, (_, reason) in FAULTY.items()}
    names = [name for part in parts(splits) for name in part.names]
    assert len(names) == len(set(names)) == 120
    assert not {Path(name).name for name in names} & set(FAULTY)
    said = "\n".join(splits.report.lines())
    assert "11 images skipped" in said
    assert "a/bomb.png" in said
    assert "a/cut.jpg, a/cut.png" in said
    again = load(mixed, size=30)
    assert not again.report.built
    assert again.report.skipped == splits.report.skipped


def test_after_a_skipped_image_every_row_still_has_its_own_pixels(mixed):
    splits = load(mixed, size=30)
    for part in parts(splits):
        for x, label, name in zip(part.pixels, part.labels, part.names, strict=True):
            assert (x == scene(seed=int(Path(name).stem))).all()
            assert part.classes[label] == name.split("/")[0]


def test_a_file_that_nobody_may_read_is_skipped(tmp_path, monkeypatch):
    root = folder(tmp_path / "set", {"a": 30, "b": 30})
    real = os.open

    def guarded(path, *how, **options):
        if str(path).endswith("/3.png"):
            raise PermissionError(13, "Permission denied")
        return real(path, *how, **options)

    monkeypatch.setattr(os, "open", guarded)
    assert load(root, size=30).report.skipped == (("a/3.png", "Permission denied"),)


def test_no_readable_image_at_all_is_an_error_with_the_reasons(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.jpg").write_bytes(FAULTY["text.jpg"][0])
    with pytest.raises(NetlatheError, match=r"no image can be read\n  2: not an image of a known format"):
        load(tmp_path, size=30)


def test_a_class_of_which_no_image_can_be_read_is_an_error(tmp_path):
    root = folder(tmp_path, {"a": 30, "b": 30, "c": 0})
    for name in ("cut.jpg", "empty.png"):
        (root / "c" / name).write_bytes(FAULTY[name][0])
    with pytest.raises(NetlatheError, match=r"no image can be read of c\n.*c/(cut.jpg|empty.png): ") as caught:
        load(root, size=30)
    assert caught.value.code == "images.empty_class"


# The canvas


def test_a_large_image_is_reduced_with_antialiasing():
    fine = np.indices((600, 800)).sum(0) % 2 * 255
    for form in ("PNG", "JPEG"):
        grey = pixels(encoded(fine.astype(np.uint8), form), 40, 30, 1)
        assert close(grey, np.full((30, 40, 1), 127), 4), form
    wanted = scene(800, 600).reshape(30, 20, 40, 20, 3).mean((1, 3))
    assert np.abs(pixels(encoded(scene(800, 600)))[1:-1, 1:-1] - wanted[1:-1, 1:-1]).max() < 1.5
    assert np.abs(pixels(encoded(scene(800, 600), "JPEG", quality=95))[1:-1, 1:-1] - wanted[1:-1, 1:-1]).max() < 4


def test_images_of_one_shape_keep_it_and_others_share_a_square(tmp_path):
    root = folder(tmp_path, {"a": 20, "b": 20}, size=(80, 60))
    splits = load(root, size=30)
    assert splits.train.pixels.shape[1:] == (30, 40, 3)
    assert splits.report.cut_off == 0
    folder(tmp_path, {"a": 1}, first=99, size=(60, 80))
    splits = load(root, size=30)
    assert splits.train.pixels.shape[1:] == (30, 30, 3)
    assert splits.report.cut_off == pytest.approx(1 / 4)
    assert splits.report.sizes == {"80 x 60": 40, "60 x 80": 1}
    assert "25.0% of the area is outside of the square" in "\n".join(splits.report.lines())


def test_nothing_is_enlarged_unless_other_images_are_larger(tmp_path):
    root = folder(tmp_path, {"a": 20, "b": 20})
    assert load(root, size=500).train.pixels.shape[1:] == (30, 40, 3)
    folder(tmp_path, {"b": 1}, first=99, size=(80, 60))
    splits = load(root, size=500)
    assert splits.train.pixels.shape[1:] == (60, 80, 3)
    assert splits.report.enlarged == 40


def test_grey_images_have_one_channel_unless_colours_are_among_them_or_asked_for(tmp_path):
    root = tmp_path / "grey"
    for label in "ab":
        (root / label).mkdir(parents=True)
        for i in range(20):
            (root / label / f"{i}.png").write_bytes(encoded(scene(seed=i + 99 * (label == "b"))[..., 1]))
    grey, colour = load(root, size=30), load(root, size=30, channels=3)
    assert grey.train.pixels.shape[-1] == 1
    assert (np.asarray(colour.train.pixels) == np.asarray(grey.train.pixels)).all()
    folder(root, {"a": 1}, first=500)
    both = load(root, size=30)
    assert both.train.pixels.shape[-1] == 3
    assert both.report.grey == 40
    assert both.report.modes == {"L": 40, "RGB": 1}
    assert load(root, size=30, channels=1).train.pixels.shape[-1] == 1


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ({"size": 0}, "a size of 0 px"),
        ({"channels": 2}, "2 channels cannot be"),
        ({"options": ImageOptions(validation=0)}, "a validation part of 0 is neither"),
        ({"options": ImageOptions(validation="60%", test=0.4)}, "leave nothing to learn from"),
        ({"options": ImageOptions(validation=float("nan"))}, "a validation part of nan is neither"),
    ],
)
def test_arguments_that_cannot_be_are_refused(how, match):
    with pytest.raises(NetlatheError, match=match):
        load("digits", **{"size": 8} | how)
