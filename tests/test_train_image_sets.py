"""Sets of images: splits that stay, a report that counts, a cache that is never half there."""

import gzip
import json
import os
import resource
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from image_files import encoded, folder, parts, scene
from PIL import Image

from netlathe.errors import NetlatheError
from netlathe.train.images import build, load
from netlathe.train.images import cache as store

pytestmark = pytest.mark.usefixtures("own_cache")

DATA = Path(__file__).parent.parent.parent / "shared" / "data"


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
    pytest.importorskip("sklearn.datasets")  # whose import reads files
    root = folder(tmp_path, {"a": 20, "b": 20})
    first = load(root, size=30)
    read = Path.read_bytes  # of anything else: a library that is imported only now reads its own
    monkeypatch.setattr(
        Path, "read_bytes", lambda path: pytest.fail(f"{path} was read") if root in path.parents else read(path)
    )
    second = load(root, size=30)
    assert first.report.built
    assert not second.report.built
    assert (np.asarray(first.train.pixels) == np.asarray(second.train.pixels)).all()
    assert first.train.names == second.train.names
    assert first.train.key == second.train.key
    assert isinstance(second.train.pixels.whole, np.memmap)
    assert isinstance(load("digits", size=8).test.pixels.whole, np.memmap)


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
    assert not any((own_cache / name).exists() for name in left)


def test_processes_that_decode_the_same_images_at_once_agree(tmp_path, own_cache):
    root = folder(tmp_path, {"a": 100, "b": 100})
    script = (
        "import sys, hashlib; from netlathe.train.images import load; s = load(sys.argv[1], size=30)\n"
        "print(s.train.key, hashlib.sha256(s.train.pixels[:].__array__().tobytes()).hexdigest())"
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
    wanted = np.array(first.train.pixels)
    file.write_bytes(keep[: len(keep) // 2])
    again = load(root, size=30)
    assert again.report.built
    assert (np.asarray(again.train.pixels) == wanted).all()
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
    assert (np.asarray(x.train.pixels) == wanted).all()  # whoever holds it keeps it
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
    planned = build.plan_storage

    def then_changed(*args):
        plan = planned(*args)
        (root / "a" / "3.png").write_bytes(encoded(scene(seed=77)))
        return plan

    monkeypatch.setattr(build, "plan_storage", then_changed)
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
