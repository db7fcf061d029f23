"""netlathe check and netlathe predict: the file against its budget, and what it says of images."""

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import netlathe
from deployed import COLOURS, colours, odds, plain
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from netlathe.bench.machine import this_machine
from netlathe.bench.measurement import Measurement
from netlathe.deploy.check import KEPT, NOT_SHOWN, OVER, BudgetFinding, check, check_figures, format_markdown
from netlathe.deploy.export import model_pixels
from netlathe.deploy.limits import parse_limits, read_limits
from netlathe.deploy.package import load_package
from netlathe.deploy.predict import decode_pixels, predict, snippet
from netlathe.deploy.score import ConfusionScore, held_out_split, images_for, score
from netlathe.errors import NetlatheError

IMAGES = {"red": 12, "green": 10, "blue": 8}


@pytest.fixture
def out(tmp_path):
    return colours(tmp_path / "out", budget={"latency": "10s", "size": "1MB"}).folder


@pytest.fixture
def photos(tmp_path):
    """Plain images, of which two red ones lie with the blue ones; all of it is a test split, but one a class."""
    shade = {"red": (200, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 200)}
    for name, colour in shade.items():
        for split, count in (("train", 1), ("val", 1), ("test", IMAGES[name])):
            for i in range(count):
                wrong = split == "test" and name == "blue" and i < 2
                dark = tuple(max(0, c - i - 20 * (split == "val") - 60 * (split == "train")) for c in colour)
                pixels = (100 + i, 0, 0) if wrong else dark
                plain(tmp_path / "photos" / split / name / f"{i}.png", pixels)
    return tmp_path / "photos"


@pytest.fixture
def measured():
    machine = this_machine()
    return Measurement(
        *("colours", "key", (16, 16, 3), machine.id, machine.cpu, machine.cores, machine.flags),
        *("onnxruntime", "1.0", 1, "fp32", 1, 0, "2026-11-23T00:00:00.000+00:00"),
        median_ms=5.0,
        low_ms=4.0,
        high_ms=6.0,
        processes=6,
    )


# The verdict


@given(st.floats(1, 100), st.floats(0, 50), st.floats(0.5, 200))
def test_a_limit_is_kept_only_where_the_whole_interval_keeps_it(low, width, limit):
    found = BudgetFinding("latency", limit, low, low + width / 2, low + width)
    assert (found.verdict == KEPT) == (low + width <= limit)
    assert (found.verdict == OVER) == (low > limit)
    assert (found.verdict == NOT_SHOWN) == (low <= limit < low + width)


@pytest.mark.parametrize(("least", "verdict"), [(0.8, KEPT), (0.9, NOT_SHOWN), (0.97, OVER)])
def test_accuracy_is_a_limit_from_below(least, verdict):
    assert BudgetFinding("accuracy", least, 0.85, 0.92, 0.95).verdict == verdict


@pytest.mark.parametrize(
    ("budget", "verdict"), [("6.01ms", KEPT), ("6ms", KEPT), ("5.5ms", NOT_SHOWN), ("4ms", NOT_SHOWN), ("3.9ms", OVER)]
)
def test_a_median_below_the_limit_is_no_pass_where_the_interval_straddles_it(out, measured, budget, verdict):
    done = check_figures(load_package(out), parse_limits({"latency": budget}, "test"), measured)
    assert done.verdict == verdict
    assert done.kept == (verdict == KEPT)


def test_one_limit_that_is_over_decides(out, measured):
    done = check_figures(
        load_package(out), parse_limits({"latency": "5ms", "size": "10B", "macs": "1k"}, "test"), measured
    )
    assert {f.name: f.verdict for f in done.findings if f.limit} == {
        "latency": NOT_SHOWN, "size": OVER, "macs": KEPT
    }  # fmt: skip
    assert done.verdict == OVER


def test_a_file_that_does_not_run_shows_nothing(out, measured):
    failed = replace(measured, failure="the worker was killed by SIGSEGV")
    done = check_figures(load_package(out), {"latency": 1e6}, failed)
    assert not done.kept
    assert "SIGSEGV" in done.findings[0].note
    assert any("did not run" in warning for warning in done.warnings)


def test_size_and_macs_and_memory_are_the_exact_ones(out, measured):
    found = {f.name: f.value for f in check_figures(load_package(out), {"size": 1}, measured).findings}
    assert found["size"] == (out / "model.onnx").stat().st_size
    assert found["macs"] == 9  # 3 channels to 3 classes
    # 12 weights and biases; at the peak the image and the means of its channels.
    assert found["memory"] == 4 * 12 + 4 * (3 * 16 * 16 + 3)


def test_another_machine_is_said(out, measured):
    here = load_package(out)
    assert not check_figures(replace(here, device=this_machine().id), {"size": 1}, measured).warnings
    (said,) = check_figures(replace(here, device="cafe0000"), {"size": 1}, measured).warnings
    assert "cafe0000" in said
    assert this_machine().id in said


def test_the_markdown_holds_the_verdicts_and_no_text_breaks_out_of_its_cell(out, measured):
    package = replace(load_package(out), folder=out, device="a|b`<script>")
    text = format_markdown(
        package, check_figures(package, parse_limits({"latency": "5ms", "size": "1MB"}, "t"), measured)
    )
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert any(row.startswith("| latency | 5 ms (4 ms to 6 ms), 6 processes | 5 ms | ⚠️ not shown") for row in rows)
    assert all(row.replace(r"\|", "").count("|") == 5 for row in rows)
    assert "<script>" not in text


# The budget file


def test_a_budget_in_units(tmp_path):
    file = tmp_path / "budget.toml"
    file.write_text('latency = "10ms"\nsize = "8MB"\nmemory = "64MiB"\nmacs = "300M"\naccuracy = 0.9\n')
    assert read_limits(file) == {
        "latency": 10.0, "size": 8_000_000, "memory": 64 * 2**20, "macs": 300_000_000, "accuracy": 0.9
    }  # fmt: skip


def test_every_fault_of_a_budget_is_said_at_once_with_its_place(tmp_path):
    file = tmp_path / "budget.toml"
    file.write_text('latenzy = "10ms"\nlatency = 10\nsize = "8"\nmacs = "300 apples"\naccuracy = 92\nmemory = true\n')
    with pytest.raises(NetlatheError) as caught:
        read_limits(file)
    said = str(caught.value)
    assert str(file) in said
    assert "6 faults" in said
    for words in ("did you mean latency", "latency: must be text", "no unit", "apples", "write 0.92", "memory: must"):
        assert words in said


@pytest.mark.parametrize(
    ("content", "code"), [(b"", "budget.empty"), (b"latency = ", "budget.syntax"), (b"\xff", "file.unreadable")]
)
def test_a_budget_that_is_none(tmp_path, content, code):
    file = tmp_path / "budget.toml"
    file.write_bytes(content)
    with pytest.raises(NetlatheError) as caught:
        read_limits(file)
    assert caught.value.code == code


# Accuracy on the file


def test_accuracy_is_that_of_the_images_with_the_interval_of_wilson(out, photos, one_thread):
    package = load_package(out)
    split, images = held_out_split(images_for(package, photos))
    found = score(package, images, split)
    assert split == "test"
    # By name, though folders sort otherwise than the classes of the package; two images of blue are red.
    assert found.confusion == ((12, 0, 0), (0, 10, 0), (2, 0, 6))
    a = found.accuracy
    assert (a.hits, a.images) == (28, 30)
    interval = binomtest(28, 30).proportion_ci(method="wilson")
    assert (a.low, a.high) == pytest.approx((interval.low, interval.high))
    assert [share.share for share in found.recall] == [1, 1, 0.75]
    assert [share.share for share in found.precision] == [12 / 14, 1, 1]


def test_images_of_a_foreign_class_are_refused(out, photos, one_thread):
    (photos / "test" / "blue").rename(photos / "test" / "blues")
    for split in ("train", "val"):
        (photos / split / "blue").rename(photos / split / "blues")
    package = load_package(out)
    with pytest.raises(NetlatheError, match="did you mean blue"):
        score(package, held_out_split(images_for(package, photos))[1], "test")


def test_an_accuracy_limit_needs_images_and_says_so_before_anything_runs(out):
    with pytest.raises(NetlatheError, match="--data"):
        check(load_package(out), {"accuracy": 0.9}, processes=10_000)


# The verb


def test_check_passes_on_its_own_budget_and_fails_on_a_tightened_one(out, photos, tmp_path):
    done = json.loads(netlathe("check", out, "--data", photos, "--seconds", "0.05", "--json").stdout)
    assert done["schema"] == "netlathe.check/1"
    assert done["data"]["verdict"] == KEPT
    assert done["data"]["latency"]["processes"] == 6
    assert done["data"]["accuracy"]["hits"] == 28
    tight = tmp_path / "budget.toml"
    tight.write_text('size = "10B"\n')
    failed = netlathe("check", out, tight, "--seconds", "0.05", "--markdown", code=4)
    assert f": {OVER}" in failed.stdout.splitlines()[0]


def test_check_without_a_budget_or_a_package_is_a_usage_error(tmp_path):
    out = colours(tmp_path / "free").folder
    assert "latency" in netlathe("check", out, code=2).stderr
    assert "no package" in netlathe("check", tmp_path, code=2).stderr
    assert "no package" in netlathe("predict", tmp_path, "x.jpg", code=2).stderr


# Predict


@pytest.mark.parametrize("colour", [(250, 10, 20), (10, 200, 180), (0, 0, 0), (17, 18, 19)])
def test_probabilities_are_the_softmax_of_known_outputs(out, tmp_path, colour):
    (found,) = predict(out, [plain(tmp_path / "a.png", colour)], top=3)
    wanted = dict(zip(COLOURS, odds(colour), strict=True))
    assert {g.label: g.probability for g in found.guesses} == pytest.approx(wanted, abs=1e-6)
    assert [g.probability for g in found.guesses] == pytest.approx(sorted(wanted.values(), reverse=True), abs=1e-6)


@pytest.mark.parametrize(
    ("name", "mode", "colour"),
    [
        ("a.webp", "RGB", (0, 0, 255)),
        ("a.gif", "P", 0),
        ("cmyk.jpg", "CMYK", (255, 255, 0, 0)),
        ("alpha.png", "RGBA", (0, 0, 255, 255)),
        ("grey.png", "L", 80),
        ("deep.png", "I;16", 20_000),
        ("bits.png", "1", 0),
        ("photo.txt", "RGB", (0, 0, 255)),
    ],
)
def test_any_format_is_read(out, tmp_path, name, mode, colour):
    kind = "png" if name.endswith("txt") else None
    Image.new(mode, (9, 40), colour).save(tmp_path / name, kind)
    (found,) = predict(out, [tmp_path / name])
    assert not found.fault
    assert len(found.guesses) == 3
    if colour in ((0, 0, 255), (255, 255, 0, 0), (0, 0, 255, 255)):
        assert found.guesses[0].label == "blue"


def test_exif_turns_the_image_and_the_middle_is_cut(tmp_path):
    package = colours(tmp_path / "out", crop=0.5, resolution=8)
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[12:20, 28:36] = (0, 255, 0)  # within the middle quarter of the short side
    pixels[:, :8] = (255, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    shown = decode_pixels((tmp_path / "a.png").read_bytes(), package.preprocessing)
    assert shown.shape == (8, 8, 3)
    assert shown[..., 1].max() > 200
    assert shown[..., 0].max() < 20


def test_unreadable_images_are_named_and_the_others_answered(out, tmp_path):
    good = plain(tmp_path / "good.png", (250, 0, 0))
    (tmp_path / "bad.jpg").write_bytes(good.read_bytes()[:60])
    (tmp_path / "empty.jpg").write_bytes(b"")
    words = [good, tmp_path / "bad.jpg", tmp_path / "empty.jpg", tmp_path / "gone.jpg"]
    done = netlathe("predict", out, *words, code=2)
    assert done.stdout.startswith(f"{good}: red ")
    for said in ("bad.jpg: the file is cut off", "empty.jpg: an empty file", "gone.jpg: No such file"):
        assert said in done.stderr
    found = json.loads(netlathe("predict", out, *words[:2], "--json", "--top", "1", code=2).stdout)
    first, second = found["data"]["images"]
    assert first["classes"][0]["label"] == "red"
    assert len(first["classes"]) == 1
    assert second["classes"] == []
    assert "cut off" in second["fault"]


def test_a_folder_is_answered_in_a_table_that_appears_as_a_whole(out, tmp_path, monkeypatch):
    for i, colour in enumerate([(250, 0, 0), (0, 250, 0), (0, 0, 250), (240, 0, 0)]):
        plain(tmp_path / "photos" / ("deep" * (i % 2)) / f"{i}.png", colour)
    (tmp_path / "photos" / "cut.png").write_bytes((tmp_path / "photos" / "0.png").read_bytes()[:60])
    plain(tmp_path / "photos" / "@eaDir" / "thumb.png", (0, 0, 0))
    table = tmp_path / "answers.csv"
    done = netlathe("predict", out, tmp_path / "photos", "--csv", table, "--top", "9", code=2)
    assert f"{table}: 4 images, 1 cannot be read" in done.stdout
    assert "2  red" in done.stdout
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["image"]).name for row in rows] == ["0.png", "2.png", "cut.png", "1.png", "3.png"]
    assert [row["label"] for row in rows] == ["red", "blue", "", "green", "red"]
    assert float(rows[0]["probability"]) == pytest.approx(odds((250, 0, 0)).max(), abs=1e-5)
    assert sum(float(rows[0][f"probability{n}"]) for n in ("", "_2", "_3")) == pytest.approx(1, abs=1e-4)
    assert rows[2]["fault"] == "the file is cut off or damaged"
    sure = odds((240, 0, 0)).max() + 1e-4
    done = netlathe("predict", out, tmp_path / "photos", "--csv", table, "--answer-from", sure, code=2)
    assert f"{table}: 4 images, 1 answers withheld, 1 cannot be read" in done.stdout
    with table.open(newline="") as file:
        assert [row["withheld"] for row in csv.DictReader(file)] == ["", "", "", "", "yes"]
    said = netlathe("predict", out, tmp_path / "photos" / "deep" / "3.png", "--answer-from", sure).stdout
    assert "3.png: withheld (red " in said
    before = table.read_bytes()
    monkeypatch.setattr("netlathe.cli.predict.predict_each", lambda *args, **options: iter(lambda: 1 / 0, None))
    netlathe("predict", out, tmp_path / "photos", "--csv", table, code=1)
    assert table.read_bytes() == before
    (tmp_path / "nothing").mkdir()
    assert "has no images" in netlathe("predict", out, tmp_path / "nothing", code=2).stderr


def test_what_a_name_says_cannot_steer_the_terminal(tmp_path):
    out = colours(tmp_path / "out", classes=("\x1b[31mred", "green\nblue", "b")).folder
    said = netlathe("predict", out, plain(tmp_path / "a.png", (0, 0, 0))).stdout
    assert "\x1b" not in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("sizes", "apart"),
    [
        ([(90, 90), (120, 120)], 0),
        ([(90, 135), (160, 90)], 0),  # of several shapes: a training cuts squares
        ([(90, 135), (90, 135)], 2),  # of one shape: the training's crop is a second step, which rounds
    ],
)
def test_predict_sees_what_a_training_saw(tmp_path, one_thread, sizes, apart):
    """Pixels of files, and of the same files in a folder of images: equal where the common shape is a square.

    Of another common shape the middle may be half a pixel aside, here not: 48 less 32 is even.
    """
    package = colours(tmp_path / "out", resolution=24, crop=0.75)
    for i, name in enumerate(COLOURS):
        for split, (height, width) in zip(("train", "val"), sizes, strict=True):
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            waves = np.add.outer(np.sin(np.arange(height) / 7), np.cos(np.arange(width) / 5))[..., None]
            pixels = (waves * [50, 40, 30] + 128 + 9 * i + 3 * (split == "val")).clip(0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / "0.jpg")
    splits = images_for(package, tmp_path / "photos")
    for images in (splits.train, splits.validation):
        there = model_pixels(np.asarray(images.pixels), package.preprocessing)
        for row, name in zip(there, images.names, strict=True):
            here = decode_pixels((tmp_path / "photos" / name).read_bytes(), package.preprocessing)
            assert np.abs(here.astype(int) - row).max() <= apart


@pytest.mark.parametrize(("crop", "size"), [(1.0, (40, 30)), (0.875, (61, 200)), (0.5, (33, 33))])
def test_the_lines_of_the_card_run_without_netlathe_and_agree_with_predict(tmp_path, crop, size):
    package = colours(tmp_path / "out", crop=crop)
    text = snippet(package)
    assert len(text.splitlines()) == 6
    blur = np.random.default_rng(0).integers(0, 256, (3, 3, 3), dtype=np.uint8)
    photo = package.folder / "photo.jpg"
    Image.fromarray(blur).resize(size, Image.Resampling.BICUBIC).save(photo)
    # Nothing of Netlathe, and no torch, is within reach.
    guard = "import sys; sys.modules.update(dict.fromkeys(('netlathe', 'torch', 'onnx')))\n"
    done = subprocess.run([sys.executable, "-c", guard + text + "print(*logits[0])"], cwd=package.folder,
                          capture_output=True, text=True, check=True)  # fmt: skip
    label, logits = done.stdout.splitlines()
    (found,) = predict(package, [photo])
    assert label == found.guesses[0].label
    shares = np.exp(np.array(logits.split(), float))
    theirs = dict(zip(COLOURS, shares / shares.sum(), strict=True))
    assert {g.label: g.probability for g in found.guesses} == pytest.approx(theirs, abs=0.01)


def test_predict_does_without_torch(out, tmp_path):
    image = plain(tmp_path / "a.png", (255, 0, 0))
    program = (
        "import sys; sys.modules['torch'] = None; from netlathe.cli.main import run;"
        f"sys.exit(run(['predict', {str(out)!r}, {str(image)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert "red" in done.stdout


def test_openvino_answers_the_same(out, tmp_path):
    pytest.importorskip("openvino")
    image = plain(tmp_path / "a.png", (120, 200, 10))
    (ours,), (theirs,) = predict(out, [image]), predict(replace(load_package(out), runtime="openvino"), [image])
    assert [g.label for g in ours.guesses] == [g.label for g in theirs.guesses]
    assert [g.probability for g in ours.guesses] == pytest.approx([g.probability for g in theirs.guesses], abs=1e-5)


@given(st.lists(st.lists(st.integers(0, 40), min_size=3, max_size=3), min_size=3, max_size=3))
def test_recall_and_precision_are_those_of_scikit_learn(table):
    pairs = [(i, j) for i, row in enumerate(table) for j, n in enumerate(row) for _ in range(n)]
    found = ConfusionScore("test", COLOURS, tuple(map(tuple, table)))
    if pairs:
        true, said = zip(*pairs, strict=True)
        precision, recall, *_ = precision_recall_fscore_support(true, said, labels=[0, 1, 2], zero_division=0)
        assert [s.share for s in found.recall] == pytest.approx(list(recall))
        assert [s.share for s in found.precision] == pytest.approx(list(precision))
        assert found.accuracy.share == pytest.approx(accuracy_score(true, said))


def test_a_score_of_nothing_is_anywhere():
    empty = ConfusionScore("test", COLOURS, ((0, 0, 0),) * 3).accuracy
    assert (empty.low, empty.high) == (0, 1)
