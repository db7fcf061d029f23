"""Images as they come: every layout, every odd file, splits that stay, a cache that is never half there."""

import gzip
import io
import json
import os
import resource
import shutil
import struct
import subprocess
import sys
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from netlathe.errors import NetlatheError
from netlathe.train.images import build, load
from netlathe.train.images import cache as store
from netlathe.train.images.decode import Canvas, decode, look
from netlathe.train.images.split import cut

DATA = Path(__file__).parent.parent.parent / "shared" / "data"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Every test has a cache of its own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("NETLATHE_CACHE", str(folder))
    return folder / "images"


def scene(width=40, height=30, seed=0):
    """A smooth picture without any symmetry, other for every seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    a, b, c = rng.uniform(0.2, 1, 3)
    planes = [a * x, b * y, c * (1 - x) * (0.3 + 0.7 * y)]
    return (np.stack(planes, -1) * 255).round().astype(np.uint8)


def encoded(image, form="PNG", **how):
    buffer = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(buffer, form, **how)
    return buffer.getvalue()


def folder(root, counts, suffix="png", first=0, size=(40, 30)):
    """Class folders with different images."""
    seed = first
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for _ in range(count):
            form = "JPEG" if suffix == "jpg" else suffix.upper()
            (root / name / f"{seed}.{suffix}").write_bytes(encoded(scene(*size, seed=seed), form))
            seed += 1
    return root


def parts(splits):
    """The sets that there are."""
    return [part for part in (splits.train, splits.validation, splits.test) if part is not None]


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
    assert look(data)[1:3] == (40, 30)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_a_picture_is_turned_as_exif_says(form, turn):
    exif = Image.Exif()
    exif[274] = turn
    data = encoded(scene(), form, exif=exif, **({"quality": 95} if form == "JPEG" else {}))
    shown = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    header = look(data)
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
    assert not look(data).colour


def test_grey_bilevel_palette_and_cmyk_give_their_colours():
    grey = Image.fromarray(scene()).convert("L")
    assert (pixels(encoded(grey)) == np.asarray(grey)[..., None]).all()
    assert not look(encoded(grey)).colour
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
    assert look(data).frames == 2
    assert close(pixels(data), np.full((30, 40, 3), (200, 0, 0)), 4)


def bomb(side):
    """A PNG file of a kilobyte that says that it is much larger."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


JPEG = encoded(scene(400, 300), "JPEG")
PNG = encoded(scene(seed=9))
FAULTY = {
    "empty.png": (b"", "an empty file"),
    "text.jpg": (b"<html>404 Not Found</html>", "not an image of a known format"),
    "cut.jpg": (JPEG[: len(JPEG) // 2], "the file is cut off or damaged"),
    "cut.png": (PNG[: len(PNG) // 2], "the file is cut off or damaged"),
    "head.jpg": (JPEG[:20], "not an image of a known format"),
    "bomb.png": (bomb(30_000), "more than 89,478,485 pixels, Pillow's guard against decompression bombs"),
    "huge.png": (bomb(10_000), "more than 89,478,485 pixels, Pillow's guard against decompression bombs"),
    "float.tif": (encoded(np.zeros((30, 40), np.float32), "TIFF"), "floating-point pixels, which have no agreed range"),
    "deep.tif": (encoded(np.full((30, 40), 70000, np.int32), "TIFF"), "pixels of 32 bits, which have no agreed range"),
    "script.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image of a known format"),
    "phone.heic": (b"\0\0\0\x18ftypheic" + bytes(40), "not an image of a known format"),
}


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
    read = Path.read_bytes

    def guarded(path):
        if path.name == "3.png":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", guarded)
    assert load(root, size=30).report.skipped == (("a/3.png", "cannot be read (Permission denied)"),)


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
    assert (colour.train.pixels == grey.train.pixels).all()
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
        ({"validation": 0}, "no useful split"),
        ({"validation": 0.6, "test": 0.4}, "no useful split"),
        ({"validation": float("nan")}, "no useful split"),
    ],
)
def test_arguments_that_cannot_be_are_refused(how, match):
    with pytest.raises(NetlatheError, match=match):
        load("digits", **{"size": 8} | how)


# Layouts


def test_class_folders_may_have_folders_and_hidden_and_other_files_in_them(tmp_path):
    root = folder(tmp_path / "set", {"a": 20, "b/2024": 10, "b/2025": 10}, "jpg")
    (root / "a" / ".hidden.jpg").write_bytes(b"")
    (root / "a" / "._1.jpg").write_bytes(b"")
    (root / "a" / "notes.txt").write_text("x")
    (root / ".git").mkdir()
    (root / "__MACOSX").mkdir()
    (root / "LICENSE").write_text("MIT")
    (root / "b" / "loop").symlink_to(root / "b", target_is_directory=True)
    splits = load(root, size=30)
    assert splits.train.classes == ("a", "b")
    assert sum(map(sum, splits.report.counts.values())) == 40
    assert splits.report.skipped == ()
    assert splits.report.notes == ("1 files are no images: .txt",)
    assert splits.report.licences == ("LICENSE",)


def test_names_that_are_no_text_are_shown_as_bytes(tmp_path):
    root = folder(tmp_path, {"a": 20, "b": 20})
    (root / "a").rename(root / os.fsdecode(b"\xe4"))
    (root / os.fsdecode(b"\xe4") / os.fsdecode(b"cut\xff.png")).write_bytes(FAULTY["cut.png"][0])
    report = load(root, size=30).report
    assert report.classes == (r"\xe4", "b")
    assert report.skipped == ((r"\xe4/cut\xff.png", "the file is cut off or damaged"),)
    assert "\n".join(report.lines()).encode()


def test_classes_named_by_numbers_are_in_their_order(tmp_path):
    assert load(folder(tmp_path, {"10": 20, "9": 20, "2": 20}), size=30).train.classes == ("2", "9", "10")


def test_folders_of_splits_win_over_shares(tmp_path):
    root = folder(tmp_path, {"train/a": 8, "train/b": 8, "valid/a": 3, "valid/b": 3, "test/a": 2, "test/b": 2})
    splits = load(root, size=30, validation=0.4, test=0.4)
    assert [len(part) for part in parts(splits)] == [16, 6, 4]
    assert all(name.startswith("valid/") for name in splits.validation.names)
    shutil.rmtree(root / "test")
    splits = load(root, size=30)
    assert [len(splits.train), len(splits.validation), splits.test] == [16, 6, None]
    (root / "valid").rename(root / "Test")
    splits = load(root, size=30, validation=0.3)
    assert len(splits.test) == 6
    assert 0 < len(splits.validation) < 16
    assert len(splits.train) + len(splits.validation) == 16
    shutil.rmtree(root / "Test")
    assert load(root, size=30, validation=0.2, test=0.2).test is not None


def test_a_class_may_be_called_train(tmp_path):
    assert load(folder(tmp_path, {"bus": 20, "train": 20}), size=30).train.classes == ("bus", "train")


def write_csv(root, rows, head="path,label"):
    path = root / "list.csv"
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def test_a_csv_lists_paths_beside_it_with_labels_and_perhaps_splits(tmp_path):
    folder(tmp_path, {"x": 60})
    rows = [f"x/{i}.png,{'10' if i % 2 else '9'}" for i in range(60)]
    splits = load(write_csv(tmp_path, rows), size=30)
    assert splits.train.classes == ("9", "10")
    for x, label, name in zip(splits.train.pixels, splits.train.labels, splits.train.names, strict=True):
        assert (x == scene(seed=int(Path(name).stem))).all()
        assert label == int(Path(name).stem) % 2
    rows = [f"{row},{'TEST' if i < 10 else 'val' if i < 20 else 'train'}" for i, row in enumerate(rows)]
    splits = load(write_csv(tmp_path, rows, "path,label,split"), size=30)
    assert [len(part) for part in parts(splits)] == [40, 10, 10]
    semicolons = write_csv(tmp_path, [row.replace(",", ";") for row in rows], "\ufeffPath;Label;Split")
    assert load(semicolons, size=30).train.key == splits.train.key


def test_missing_files_of_a_csv_are_skipped_with_their_lines_and_repeated_rows_are_noted(tmp_path):
    folder(tmp_path, {"x": 60})
    rows = [f"x/{i}.png,{'ab'[i % 2]}" for i in range(62)] + ["x/3.png,b"]
    report = load(write_csv(tmp_path, rows), size=30).report
    assert report.skipped == tuple((f"x/{i}.png (line {i + 2})", "there is no such file") for i in (60, 61))
    assert report.notes == ("rows that say again what others say, on lines 64",)


@pytest.mark.parametrize(
    ("rows", "head", "match"),
    [
        (["x/0.png,a", "x/1.png,b", "x/0.png,b"], "path,label", "lines 2 and 4: x/0.png is a and b"),
        (["x/0.png,a", "x/1.png,"], "path,label", "line 3: no label"),
        (
            ["x/0.png,a,train", "x/1.png,b,tset"],
            "path,label,split",
            r"line 3: unknown split 'tset' \(did you mean test",
        ),
        (["x/0.png,a,train", "x/1.png,b,"], "path,label,split", "line 3: no split, where other rows have one"),
        (["x/0.png,a,train", "x/0.png,a,test"], "path,label,split", "lines 2 and 3: x/0.png is in train and in test"),
        (["x/0.png,a,val", "x/1.png,b,test"], "path,label,split", "no row is in train"),
        (["x/0.png,a"], "file,class", "needs the columns path and label, and has file, class"),
        (["y/0.png,a", "y/1.png,b"], "path,label", "none of its 2 images exists"),
        (["x/0.png,a", "x/1.png,a"], "path,label", "has one class, a"),
        ([], "path,label", "has no rows"),
        ([], "", "needs the columns path and label, and has nothing"),
        (['x/0.png,"a'], "path,label", "is no CSV file"),
    ],
)
def test_a_csv_that_contradicts_itself_is_an_error_with_its_lines(tmp_path, rows, head, match):
    folder(tmp_path, {"x": 2})
    with pytest.raises(NetlatheError, match=match):
        load(write_csv(tmp_path, rows, head), size=30)


def idx_bytes(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def digits_like(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 12, 10), np.uint8), (np.arange(count) % 3).astype(np.uint8)


def write_idx(root, zipped=False, **parts):
    root.mkdir(exist_ok=True)
    for part, (x, y) in parts.items():
        for name, array in (("images-idx3", x), ("labels-idx1", y)):
            data = idx_bytes(array)
            path = root / f"{part}-{name}-ubyte{'.gz' * zipped}"
            path.write_bytes(gzip.compress(data) if zipped else data)
    return root


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_files_are_read(tmp_path, zipped):
    train, test = digits_like(90), digits_like(30, seed=1)
    splits = load(write_idx(tmp_path, zipped, train=train, t10k=test), size=12)
    assert len(splits.test) == 30
    assert splits.train.classes == ("0", "1", "2")
    for part, (x, y) in ((splits.train, train), (splits.validation, train), (splits.test, test)):
        at = [int(name.split("[")[1][:-1]) for name in part.names]
        assert (part.pixels[..., 0] == x[at]).all()
        assert (part.labels == y[at]).all()


def test_idx_files_that_disagree_or_are_damaged_are_errors(tmp_path):
    x, y = digits_like(9)

    def refused(match):
        with pytest.raises(NetlatheError, match=match):
            load(tmp_path, size=12)

    write_idx(tmp_path, train=(x, y[:-1]))
    refused("disagree: 9 images and 8 labels")
    write_idx(tmp_path, train=(x, y))
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_bytes(x)[:-5])
    refused("should hold 9 x 12 x 10 = 1,080 bytes, and holds 1,075")
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + b"\xff" * 12 + bytes(50))
    refused("bytes, and holds 50")
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"\0\0\x0d\x03" + bytes(40))
    refused("values of type 0x0d")
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"<html>")
    refused("is not an idx file")
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03\0\0")
    refused("should hold")
    (tmp_path / "train-images-idx3-ubyte").unlink()
    refused("has train-labels-idx1-ubyte but no images")
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(x))[:-60])
    refused("cannot be read")
    shutil.rmtree(tmp_path)
    write_idx(tmp_path, t10k=(x, y))
    refused("has the sets t10k: which is for training")
    write_idx(tmp_path, **{"emnist-letters-train": (x, y), "emnist-digits-train": (x, y)})
    refused("are the same split")


@pytest.mark.parametrize(
    ("arrays", "splits"),
    [
        ({"x": "all", "y": "all"}, False),
        ({"images": "all", "labels": "all"}, False),
        ({"x_train": "train", "y_train": "train", "x_test": "test", "y_test": "test"}, True),
        ({"train_images": "train", "train_labels": "train", "test_images": "test", "test_labels": "test"}, True),
    ],
)
def test_npz_files_are_read_under_the_usual_names(tmp_path, arrays, splits):
    made = {"all": digits_like(120), "train": digits_like(90), "test": digits_like(30, seed=1)}
    named = {name: made[part]["labels" in name or name[0] == "y"] for name, part in arrays.items()}
    np.savez(tmp_path / "set.npz", **named)
    found = load(tmp_path / "set.npz", size=12)
    assert found.report.split.startswith("test as the source says" if splits else "by content")
    assert found.train.pixels.shape[1:] == (12, 10, 1)


@pytest.mark.parametrize(
    "form",
    [
        lambda x: x.astype(np.float32) / 255,
        lambda x: x.astype(np.float64),
        lambda x: x.astype(np.int64),
        lambda x: x[:, None],
        lambda x: x[..., None],
        lambda x: x.astype(np.uint16) * 257,
    ],
    ids=["0..1", "0..255", "int64", "NCHW", "NHWC", "16 bits"],
)
def test_arrays_of_any_usual_type_and_order_give_the_same_images(tmp_path, form):
    x, y = digits_like(60)
    np.savez(tmp_path / "a.npz", x=x, y=y)
    np.savez(tmp_path / "b.npz", x=form(x), y=y[:, None].astype(float))
    assert load(tmp_path / "a.npz", size=12).train.key == load(tmp_path / "b.npz", size=12).train.key


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"x": np.zeros((6, 4, 4)), "z": np.arange(6)}, "has the arrays x, z"),
        ({"x_test": np.zeros((6, 4, 4)), "y_test": np.arange(6)}, "has the arrays x_test, y_test"),
        ({"x": np.zeros((6, 4, 4)), "y": np.arange(5)}, "6 images and 5 labels"),
        ({"x": np.zeros((6, 4, 4)), "y": np.eye(6)}, "a whole number for each image"),
        ({"x": np.zeros((6, 4, 4)), "y": np.arange(6) / 2}, "a whole number for each image"),
        ({"x": np.zeros((6, 16)), "y": np.arange(6)}, "is no stack of images"),
        ({"x": np.zeros((6, 5, 7, 9)), "y": np.arange(6)}, "is no stack of images"),
        ({"x": np.full((6, 4, 4), np.nan), "y": np.arange(6)}, "values from nan to nan"),
        ({"x": np.full((6, 4, 4), -1.0), "y": np.arange(6)}, "values from -1 to -1"),
        ({"x": np.zeros((6, 4, 4)), "y": np.zeros(6)}, "has one class, 0"),
        ({"x": np.zeros((0, 4, 4)), "y": np.zeros(0)}, "has no images"),
        ({"x": np.array([{}] * 6), "y": np.arange(6)}, "no npz file of plain arrays"),
    ],
)
def test_an_npz_file_that_is_no_set_of_images_is_an_error(tmp_path, arrays, match):
    np.savez(tmp_path / "set.npz", **arrays)
    with pytest.raises(NetlatheError, match=match):
        load(tmp_path / "set.npz", size=12)


def test_a_damaged_npz_file_is_an_error(tmp_path):
    x, y = digits_like(60)
    path = tmp_path / "set.npz"
    np.savez(path, x=x, y=y)
    np.save(tmp_path / "x.npy", x)
    for data in (path.read_bytes()[:900], (tmp_path / "x.npy").read_bytes(), b"", b"<html>", encoded(scene())):
        path.write_bytes(data)
        with pytest.raises(NetlatheError, match="is no npz file of plain arrays"):
            load(path, size=12)


def test_large_arrays_are_reduced_and_transparent_ones_put_on_white(tmp_path):
    x = np.stack([np.dstack([scene(80, 60, i), np.full((60, 80), 255 * (i % 2), np.uint8)]) for i in range(60)])
    np.savez(tmp_path / "set.npz", x=x, y=np.arange(60) % 2)
    train = load(tmp_path / "set.npz", size=30).train
    assert train.pixels.shape[1:] == (30, 40, 3)
    assert (train.pixels[train.labels == 0] == 255).all()
    assert (train.pixels[train.labels == 1] < 255).any(axis=(1, 2, 3)).all()


def test_the_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    splits = load("digits", size=8)
    assert sum(map(len, parts(splits))) == 1797
    real = load_digits()
    for part in parts(splits):
        at = [int(name.split("[")[1][:-1]) for name in part.names]
        assert (part.labels == real.target[at]).all()
        assert np.abs(part.pixels[..., 0] / 255 - real.images[at] / 16).max() < 0.002


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (
            lambda root: None,
            r"has no images\n  images are read from\n +a folder with a folder of images for each class",
        ),
        (lambda root: folder(root, {"": 3}), "has 3 images, but no folder for a class"),
        (lambda root: folder(root, {"a": 3}), "has one class, a"),
        (lambda root: folder(root, {"set/a": 3, "set/b": 3}), r"has one class, set\n  did you mean .*/set\?"),
        (lambda root: folder(root, {"train/a": 3, "val/a": 3}), "has one class, a"),
        (lambda root: folder(root, {"a": 3, "b": 3, "c": 0, "d": 0}), "class folders without images: c, d"),
        (lambda root: folder(root, {"val/a": 3, "test/b": 3}), "has test/ and val/ but no train/"),
        (lambda root: folder(root, {"train/a": 3, "val/b": 3, "valid/b": 3}), "val and valid mean the same split"),
        (lambda root: folder(root, {"train/a": 30, "val/b": 3}), "no training image is left of b"),
        (lambda root: (root / "set.npz").write_bytes(b""), "there is set.npz: give that file"),
        (lambda root: (root / "a").mkdir() or (root / "a" / "x.txt").write_text("x"), "has no images"),
    ],
)
def test_a_folder_that_cannot_be_used_says_why_and_what_can(tmp_path, make, match):
    make(tmp_path)
    with pytest.raises(NetlatheError, match=match):
        load(tmp_path, size=30)


def test_a_source_that_does_not_exist_has_a_nearest_name(tmp_path):
    folder(tmp_path / "flowers", {"a": 1})
    with pytest.raises(NetlatheError, match="did you mean flowers"):
        load(tmp_path / "flower", size=30)
    with pytest.raises(NetlatheError, match="did you mean digits"):
        load("digit", size=30)
    (tmp_path / "set.zip").write_bytes(b"")
    with pytest.raises(NetlatheError, match=r"no source of images\n  images are read from"):
        load(tmp_path / "set.zip", size=30)


def test_too_few_images_to_hold_some_out_is_an_error(tmp_path):
    with pytest.raises(NetlatheError, match=r"no training image is left of|none of the 2 images falls into"):
        load(folder(tmp_path, {"a": 1, "b": 1}), size=30)


# Splits

DIGESTS = st.sets(st.integers(0, 2**64 - 1), min_size=1, max_size=60)
SHARES = st.tuples(st.floats(0.01, 0.5), st.floats(0, 0.49))


def assigned(places, shares):
    """The split of every place."""
    rows = np.array([[place, 0] for place in sorted(places)], np.uint64)
    found = cut(np.zeros(len(rows), np.int8), rows, *shares)
    return {int(place): name for name in ("train", "validation", "test") for place in rows[getattr(found, name), 0]}


@given(DIGESTS, DIGESTS, SHARES)
def test_an_image_stays_in_its_split_when_others_come(some, others, shares):
    few, many = assigned(some, shares), assigned(some | others, shares)
    assert set(few) == some
    assert {place: many[place] for place in some} == few


@given(DIGESTS, st.floats(0.01, 0.3), st.floats(0.01, 0.3), st.floats(0, 0.3))
def test_the_test_images_do_not_depend_on_the_share_for_validation(places, a, b, test):
    first, second = assigned(places, (a, test)), assigned(places, (b, test))
    assert [p for p in places if first[p] == "test"] == [p for p in places if second[p] == "test"]


@given(st.integers(0, 2**32 - 1), SHARES)
@settings(max_examples=8)
def test_the_shares_are_about_those_asked_for(seed, shares):
    places = np.random.default_rng(seed).integers(0, 2**64, 20_000, np.uint64).tolist()
    found = list(assigned(places, shares).values())
    for name, share in zip(("validation", "test"), shares, strict=True):
        assert abs(found.count(name) - share * 20_000) <= 6 * (20_000 * share * (1 - share)) ** 0.5


def test_new_images_leave_the_old_ones_where_they_are_and_copies_stay_together(tmp_path):
    root = folder(tmp_path, {"a": 30, "b": 30})
    before = load(root, size=30)
    where = {name: part for part in ("train", "validation", "test") for name in getattr(before, part).names}
    folder(root, {"a": 10, "b": 10, "c": 30}, first=100)
    for name in list(where):
        shutil.copy(root / name, root / name.replace(".png", "-copy.png"))
    after = load(root, size=30)
    for part in ("train", "validation", "test"):
        for name in getattr(after, part).names:
            assert where.get(name.replace("-copy", ""), part) == part
    assert not after.report.leaks
    assert len(after.report.copies) == 60
    assert "copies   60 repeat the content of another" in after.report.lines()


# The report


def test_the_report_counts_what_there_is(tmp_path):
    root = folder(tmp_path, {"train/a": 90, "train/b": 30, "train/c": 5, "val/a": 4, "val/b": 4, "test/a": 2})
    report = load(root, size=30).report
    assert report.counts == {"train": (90, 30, 5), "validation": (4, 4, 0), "test": (2, 0, 0)}
    assert report.imbalance == 18
    assert report.tiny == ("c",)
    assert report.absent == {"train": (), "validation": ("c",), "test": ("b", "c")}
    said = "\n".join(report.lines())
    assert "imbalance 18.0: a has 90 training images, c 5" in said
    assert "fewer than 20 training images: c" in said
    assert "classes without a test image, so nothing is known of them: b, c" in said
    assert "class folders in train/, val/, test/" in said
    document = json.loads(json.dumps(report.as_dict()))
    assert document["counts"]["train"] == [90, 30, 5]
    assert document["warnings"] == list(report.warnings())


def test_the_same_content_in_two_splits_or_two_classes_is_named(tmp_path):
    root = folder(tmp_path, {"train/a": 20, "train/b": 20, "test/a": 5, "test/b": 5})
    shutil.copy(root / "train/a/0.png", root / "test/a/again.png")
    shutil.copy(root / "train/a/1.png", root / "train/b/also.png")
    report = load(root, size=30).report
    assert [set(c.names) for c in report.leaks] == [{"train/a/0.png", "test/a/again.png"}]
    assert [set(c.names) for c in report.contradictions] == [{"train/a/1.png", "train/b/also.png"}]
    said = "\n".join(report.lines())
    assert "1 contents are in more than one split, so figures flatter" in said
    assert "1 contents are of more than one class" in said


def test_many_classes_are_shown_by_their_largest_and_smallest(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (3000, 4, 4), np.uint8)
    np.savez(tmp_path / "set.npz", x=x, y=np.arange(3000) % 100)
    lines = load(tmp_path / "set.npz", size=4).report.lines()
    assert len(lines) < 45
    assert any("(76 more)" in line for line in lines)


# The cache


@pytest.fixture
def hasty(monkeypatch):
    """Files made a moment ago are trusted by their times."""
    monkeypatch.setattr(store, "RACY_SECONDS", 0.0)


def test_the_second_time_nothing_is_read(tmp_path, hasty, monkeypatch):
    root = folder(tmp_path, {"a": 20, "b": 20})
    first = load(root, size=30)
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} was read"))
    second = load(root, size=30)
    assert first.report.built
    assert not second.report.built
    assert (first.train.pixels == second.train.pixels).all()
    assert first.train.names == second.train.names
    assert first.train.key == second.train.key
    assert isinstance(second.train.pixels, np.memmap)
    assert isinstance(load("digits", size=8).test.pixels, np.memmap)


def test_files_that_changed_a_moment_ago_are_read_again(tmp_path, own_cache):
    root = folder(tmp_path, {"a": 20, "b": 20})
    load(root, size=30)
    assert not (own_cache / "seen").exists()
    assert not load(root, size=30).report.built  # the content is the same


def test_a_new_content_under_an_old_size_and_time_is_seen(tmp_path, hasty):
    root = folder(tmp_path, {"a": 20, "b": 20}, "bmp")
    before = load(root, size=30)
    path = root / "a" / "3.bmp"
    status = path.stat()
    path.write_bytes(encoded(scene(seed=77), "BMP"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    after = load(root, size=30)
    assert after.report.built
    assert before.report.cache != after.report.cache
    found = [x for part in parts(after) for x, name in zip(part.pixels, part.names, strict=True) if name == "a/3.bmp"]
    assert (found == scene(seed=77)).all()


def test_images_that_moved_are_the_same_images(tmp_path, hasty):
    root = folder(tmp_path / "here", {"a": 20, "b": 20})
    first = load(root, size=30)
    shutil.copytree(root, tmp_path / "there")
    shutil.rmtree(root)
    second = load(tmp_path / "there", size=30)
    assert not second.report.built
    assert first.train.key == second.train.key
    (tmp_path / "there" / "a").rename(tmp_path / "there" / "c")
    assert load(tmp_path / "there", size=30).train.key != first.train.key


def test_the_key_of_a_set_is_that_of_its_content(tmp_path):
    root = folder(tmp_path, {"train/a": 20, "train/b": 20, "val/a": 5, "val/b": 5})
    first = load(root, size=30)
    assert load(root, size=20).train.key != first.train.key
    assert load(root, size=30, channels=1).train.key != first.train.key
    folder(root, {"val/a": 1}, first=99)
    assert load(root, size=30).train.key == first.train.key
    folder(root, {"train/a": 1}, first=98)
    assert load(root, size=30).train.key != first.train.key


def test_a_process_killed_while_it_decodes_leaves_no_entry(tmp_path, own_cache):
    root = folder(tmp_path, {"a": 100, "b": 100})
    script = (
        "import os, sys; from netlathe.train.images import load\n"
        "def stop(what, done, total):\n"
        "    if what == 'decoding' and done > 64: os.kill(os.getpid(), 9)\n"
        "load(sys.argv[1], size=30, progress=stop)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(root)])
    assert done.returncode == -9
    left = [path.name for path in own_cache.iterdir()]
    assert left
    assert all(name.startswith(".") for name in left)
    assert load(root, size=30).report.built
    day = time.time() - 2 * store.ABANDONED_SECONDS
    for name in left:
        os.utime(own_cache / name, (day, day))
    load("digits", size=8)
    assert not any((own_cache / name).exists() for name in left)


def test_processes_that_decode_the_same_images_at_once_agree(tmp_path, own_cache):
    root = folder(tmp_path, {"a": 100, "b": 100})
    script = (
        "import sys, hashlib; from netlathe.train.images import load; s = load(sys.argv[1], size=30)\n"
        "print(s.train.key, hashlib.sha256(s.train.pixels.tobytes()).hexdigest())"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", script, str(root)], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    said = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0] * 4
    assert len(set(said)) == 1
    assert len([path for path in own_cache.iterdir() if path.name != "seen"]) == 1


@pytest.mark.parametrize("name", ["pixels.npy", "rows.npz", "facts.json"])
def test_a_damaged_entry_is_made_again(tmp_path, hasty, name):
    root = folder(tmp_path, {"a": 20, "b": 20})
    first = load(root, size=30)
    file = Path(first.report.cache) / name
    keep = file.read_bytes()
    wanted = first.train.pixels.copy()
    file.write_bytes(keep[: len(keep) // 2])
    again = load(root, size=30)
    assert again.report.built
    assert (again.train.pixels == wanted).all()
    assert file.read_bytes() == keep


def test_what_was_not_used_for_the_longest_time_makes_room(tmp_path, monkeypatch):
    roots = [folder(tmp_path / name, {"a": 20, "b": 20}, first=100 * i) for i, name in enumerate("xyz")]
    one = 40 * 30 * 40 * 3
    x = load(roots[0], size=30)
    kept = Path(x.report.cache)
    wanted = np.array(x.train.pixels)
    time.sleep(0.02)
    y = load(roots[1], size=30)
    time.sleep(0.02)
    load(roots[0], size=30)  # used again
    monkeypatch.setenv(store.LIMIT_VARIABLE, f"{int(2.5 * one)}B")
    z = load(roots[2], size=30)
    assert kept.exists()
    assert Path(z.report.cache).exists()
    assert not Path(y.report.cache).exists()
    load(roots[1], size=30, limit=int(1.2 * one))
    assert not kept.exists()
    assert (x.train.pixels == wanted).all()  # whoever holds it keeps it
    with pytest.raises(NetlatheError, match="may have 1 kB") as caught:
        load(roots[0], size=30, limit=1000)
    assert store.LIMIT_VARIABLE in caught.value.hint


def test_a_full_disk_is_an_error_that_leaves_nothing(tmp_path, own_cache, monkeypatch):
    root = folder(tmp_path, {"a": 20, "b": 20})
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(NetlatheError, match="the disk has 1 kB left"):
        load(root, size=30)
    monkeypatch.undo()
    assert not list(own_cache.glob("*"))


def test_a_write_that_fails_is_an_error_that_leaves_nothing(tmp_path, own_cache):
    root = folder(tmp_path, {"a": 20, "b": 20})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(NetlatheError, match="the cache cannot be written: File too large"):
            load(root, size=30, cache=own_cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(own_cache.glob("*"))
    (tmp_path / "file").write_text("")
    with pytest.raises(NetlatheError, match="cannot be written"):
        load(root, size=30, cache=tmp_path / "file" / "cache")


def test_a_file_that_changes_between_the_two_passes_is_skipped(tmp_path, monkeypatch):
    root = folder(tmp_path, {"a": 20, "b": 20})
    planned = build.planned

    def then_changed(*args):
        plan = planned(*args)
        (root / "a" / "3.png").write_bytes(encoded(scene(seed=77)))
        return plan

    monkeypatch.setattr(build, "planned", then_changed)
    assert load(root, size=30).report.skipped == (("a/3.png", "the file changed while it was read"),)


def test_progress_ends_at_all_images(tmp_path):
    seen = []
    load(folder(tmp_path, {"a": 50, "b": 50}), size=30, progress=lambda *told: seen.append(told))
    assert seen == [("reading", 64, 100), ("reading", 100, 100), ("decoding", 64, 100), ("decoding", 100, 100)]


@pytest.mark.parametrize("filter_", ["error", "ignore"])
def test_warnings_of_pillow_never_decide_whether_an_image_is_read(tmp_path, filter_):
    root = folder(tmp_path, {"a": 20, "b": 20})
    corrupt = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(30)
    (root / "a" / "exif.jpg").write_bytes(encoded(scene(), "JPEG", exif=corrupt))
    with warnings.catch_warnings():
        warnings.simplefilter(filter_)
        report = load(root, size=30).report
    assert report.skipped == ()
    assert sum(map(sum, report.counts.values())) == 41


def test_images_need_no_torch():
    script = "import sys, netlathe.train.images; print('torch' in sys.modules, 'sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


# Real images


@pytest.mark.data
def test_fashion_mnist_is_all_there():
    root = DATA / "fashion_mnist"
    if not root.exists():
        pytest.skip(f"{root} is absent")
    splits = load(root, size=28)
    with gzip.open(root / "t10k-images-idx3-ubyte.gz") as file:
        real = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    at = [int(name.split("[")[1][:-1]) for name in splits.test.names]
    assert sorted(at) == list(range(10_000))
    assert (splits.test.pixels[..., 0] == real[at]).all()
    assert len(splits.train) + len(splits.validation) == 60_000
    assert set(splits.report.counts["test"]) == {1000}


@pytest.mark.data
def test_trashnet_is_as_pillow_shows_it_and_its_contradictions_are_found():
    root = DATA / "trashnet_128"
    if not root.exists():
        pytest.skip(f"{root} is absent")
    splits = load(root, size=128)
    for i in range(0, len(splits.test), 40):
        with Image.open(root / splits.test.names[i]) as real:
            assert (splits.test.pixels[i] == np.asarray(real)).all()
    totals = dict(zip(splits.train.classes, np.sum(list(splits.report.counts.values()), axis=0), strict=True))
    assert totals == {"cardboard": 403, "glass": 501, "metal": 410, "paper": 594, "plastic": 482, "trash": 137}
    assert splits.report.licences == ("LICENSE", "README.md")
    assert splits.report.contradictions
