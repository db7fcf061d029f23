"""What is held out: some of every class, never a copy of what is learned from, the same whatever files are called."""

from __future__ import annotations

import io
import shutil
from types import SimpleNamespace as Namespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import encoded, folder, parts, scene
from PIL import Image, ImageEnhance, ImageFilter

from netlathe.errors import NetlatheError
from netlathe.train.images import load, load_folds
from netlathe.train.images.alike import Pictures, describe, group_alike
from netlathe.train.images.folds import fold_rows
from netlathe.train.images.options import ImageOptions
from netlathe.train.images.split import LabelledGroups, number_groups, split_rows

pytestmark = pytest.mark.usefixtures("own_cache")

# Images as (class, group): some classes rare, some groups of several classes.
IMAGES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 25)), min_size=2, max_size=60)
SHARES = st.tuples(st.floats(0.02, 0.45), st.floats(0.02, 0.45))


def split(images, validation, test):
    labels, groups = (np.array(column, np.int64) for column in zip(*images, strict=True))
    return labels, groups, split_rows(np.zeros(len(labels), np.int8), labels, groups, validation, test)


@given(IMAGES, SHARES)
@settings(max_examples=60)
def test_no_group_is_on_two_sides_and_no_image_is_lost(images, shares):
    _, groups, rows = split(images, *shares)
    sides = [set(groups[part].tolist()) for part in (rows.train, rows.validation, rows.test)]
    assert sum(map(len, sides)) == len(set().union(*sides))
    assert sorted(np.concatenate([rows.train, rows.validation, rows.test])) == list(range(len(images)))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), SHARES)
@settings(max_examples=60)
def test_every_class_is_cut_by_its_share_within_rounding_and_lone_images_stay_in_training(sizes, shares):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    validation, test = shares
    _, _, rows = split(list(zip(labels, np.random.default_rng(0).permutation(len(labels)), strict=True)), *shares)
    for label, size in enumerate(sizes):
        learned, decided, tested = ((labels[part] == label).sum() for part in (rows.train, rows.validation, rows.test))
        assert learned >= 1
        assert (label in rows.whole) == (size == 1) == (decided + tested == 0)
        assert tested == (min(max(1, int(test * size + 0.5)), size - 1) if size > 1 else 0)
        left = size - tested
        assert decided == (min(max(1, int(validation * size + 0.5)), left - 1) if left > 1 else 0)


@given(IMAGES, st.floats(0.02, 0.3), st.floats(0.02, 0.3), st.floats(0.02, 0.3))
@settings(max_examples=30)
def test_the_test_images_do_not_depend_on_the_part_for_validation(images, a, b, test):
    assert (split(images, a, test)[2].test == split(images, b, test)[2].test).all()


@given(IMAGES, st.integers(2, 5))
@settings(max_examples=60)
def test_folds_are_disjoint_keep_groups_together_and_leave_something_of_each_class(images, count):
    labels, groups = (np.array(column, np.int64) for column in zip(*images, strict=True))
    if max(len(set(groups[labels == label])) for label in labels) < count:
        return
    folds = fold_rows(LabelledGroups(np.arange(len(labels)), labels, groups), count)
    held = np.concatenate(folds)
    assert len(held) == len(set(held.tolist()))
    sides = [set(groups[rows].tolist()) for rows in folds]
    assert sum(map(len, sides)) == len(set().union(*sides))
    for rows in folds:
        assert set(np.delete(labels, rows)) == set(labels)


def test_folds_are_of_equal_size_and_every_class_is_in_each():
    labels = np.repeat([0, 1], [50, 10])
    folds = fold_rows(LabelledGroups(np.arange(60), labels, np.arange(60)), 5)
    assert [np.bincount(labels[rows]).tolist() for rows in folds] == [[10, 2]] * 5


def counts(splits):
    return [tuple(np.bincount(part.labels, minlength=len(part.classes)).tolist()) for part in parts(splits)]


def test_few_images_of_two_classes_are_all_looked_at(tmp_path):
    """24 and 24 images: the hash of each alone once gave one test image."""
    assert counts(load(folder(tmp_path, {"a": 24, "b": 24}), size=30)) == [(16, 16), (4, 4), (4, 4)]


def test_validation_images_are_of_every_class_where_the_test_images_are_given(tmp_path):
    root = folder(tmp_path, {"train/a": 12, "train/b": 12, "test/a": 6, "test/b": 6})
    assert counts(load(root, size=30)) == [(10, 10), (2, 2), (6, 6)]


def test_a_rare_class_is_learned_decided_on_and_tested(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (408, 8, 8), np.uint8)
    np.savez(tmp_path / "set.npz", x=x, y=np.repeat([0, 1], [400, 8]))
    splits = load(tmp_path / "set.npz", size=8)
    assert counts(splits) == [(280, 6), (60, 1), (60, 1)]
    assert splits.report.absent == {"train": (), "validation": (), "test": ()}


def test_many_classes_of_few_images_are_all_on_all_sides(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (7200, 4, 4), np.uint8)
    np.savez(tmp_path / "set.npz", x=x, y=np.arange(7200) % 1200)
    assert counts(load(tmp_path / "set.npz", size=4)) == [(4,) * 1200, (1,) * 1200, (1,) * 1200]


def test_a_class_of_one_image_is_named_and_kept_in_training(tmp_path):
    splits = load(folder(tmp_path, {"a": 20, "b": 20, "lone": 1, "pair": 2}), size=30)
    assert counts(splits) == [(14, 14, 1, 1), (3, 3, 0, 0), (3, 3, 0, 1)]
    assert splits.report.whole == ("lone",)
    assert any(line.endswith("so kept in training and never tested: lone") for line in splits.report.warnings())


def test_a_number_of_images_is_met_and_one_that_cannot_be_is_an_error_with_those_that_can(tmp_path):
    root = folder(tmp_path, {"a": 30, "b": 9, "c": 3})
    splits = load(root, size=30, options=ImageOptions(validation=5, test="10"))
    assert [sum(row) for row in counts(splits)] == [27, 5, 10]
    assert all(min(row) >= 1 for row in counts(splits))
    for number in (2, 40):
        with pytest.raises(NetlatheError, match=f"{number} test images cannot be taken") as caught:
            load(root, size=30, options=ImageOptions(test=number))
        assert "3 to 39 can" in caught.value.hint
    with pytest.raises(NetlatheError, match="neither a share, nor a number of images, nor a folder"):
        load(root, size=30, options=ImageOptions(test="tset/"))


def test_another_folder_may_be_what_is_tested_on_and_copies_across_are_named(tmp_path):
    root = folder(tmp_path / "photos", {"a": 20, "b": 20})
    other = folder(tmp_path / "later", {"a": 3, "b": 4}, first=500)
    shutil.copy(root / "a" / "3.png", other / "a" / "again.png")
    splits = load(root, size=30, options=ImageOptions(test=str(other)))
    assert counts(splits) == [(17, 17), (3, 3), (4, 4)]
    assert [set(group.names) for group in splits.report.leaks] == [{"a/3.png", "later/a/again.png"}]
    with pytest.raises(NetlatheError, match="no training image is left of z"):
        load(root, size=30, options=ImageOptions(test=str(folder(other, {"z": 2}, first=600))))


def picture(seed):
    """A photograph's like: blobs of colours, other for every seed."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (24, 32, 3), np.uint8))
    return coarse.resize((160, 120), Image.Resampling.BICUBIC)


def stored_otherwise(image, kind):
    """The same picture as another file."""
    if kind == "recompressed":
        return encoded(image, "JPEG", quality=40)
    if kind == "smaller":
        return encoded(image.resize((80, 60), Image.Resampling.LANCZOS), "WEBP")
    if kind == "brighter":
        return encoded(ImageEnhance.Brightness(image).enhance(1.1))
    if kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6
        return encoded(image.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif, quality=90)
    noise = np.random.default_rng(0).normal(0, 6, (120, 160, 3))
    return encoded(Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8)).filter(ImageFilter.BLUR))


KINDS = ("recompressed", "smaller", "brighter", "turned", "noisy and blurred")


def test_pictures_that_are_stored_otherwise_are_on_one_side_and_named_where_the_source_parts_them(tmp_path):
    for label in "ab":
        (tmp_path / "set" / label).mkdir(parents=True)
        for i in range(15):
            image = picture(ord(label) * 1000 + i)
            (tmp_path / "set" / label / f"{i}.png").write_bytes(encoded(image))
            (tmp_path / "set" / label / f"{i}-{i % 5}.jpg").write_bytes(stored_otherwise(image, KINDS[i % 5]))
    splits = load(tmp_path / "set", size=60)
    side = {name.split(".")[0].split("-")[0]: set() for part in parts(splits) for name in part.names}
    for i, part in enumerate(parts(splits)):
        for name in part.names:
            side[name.split(".")[0].split("-")[0]].add(i)
    assert len(splits.report.alike) == 30
    assert all(len(group.names) == 2 for group in splits.report.alike)
    assert set(map(len, side.values())) == {1}
    assert counts(splits) == [(22, 22), (4, 4), (4, 4)]
    assert counts(load(tmp_path / "set", size=90)) == counts(splits)
    given = tmp_path / "given"
    for name in ("train", "test"):
        shutil.copytree(tmp_path / "set", given / name)
    for old in (*given.glob("train/*/*.jpg"), *given.glob("test/*/*.png")):
        old.unlink()
    report = load(given, size=60).report
    assert not report.leaks
    assert len(report.alike_leaks) == 30
    assert any("30 pictures are in more than one split in other files" in line for line in report.warnings())


def test_a_split_does_not_depend_on_names_or_on_the_resolution(tmp_path):
    root = folder(tmp_path / "one", {"a": 30, "b": 30})
    first = load(root, size=30)
    for number, path in enumerate(sorted(root.glob("*/*.png"), key=lambda path: path.name[::-1])):
        place = tmp_path / "two" / path.parent.name / "deeper" / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    second = load(tmp_path / "two", size=30)
    assert [part.key for part in parts(first)] == [part.key for part in parts(second)]
    coarse = load(root, size=20)
    assert [part.names for part in parts(first)] == [part.names for part in parts(coarse)]


def test_a_group_of_a_table_is_on_one_side(tmp_path):
    folder(tmp_path, {"x": 60})
    rows = [f"x/{i}.png,{'ab'[i % 2]},person {i // 6}" for i in range(60)]
    (tmp_path / "list.csv").write_text("\n".join(["path,label,person", *rows]))
    splits = load(tmp_path / "list.csv", size=30, options=ImageOptions(group_column="person"))
    people = [{int(name[2:-4]) // 6 for name in part.names} for part in parts(splits)]
    assert sorted(person for part in people for person in part) == list(range(10))
    assert [len(part) for part in people] == [6, 2, 2]
    assert "groups   10 that the source names" in splits.report.lines()


def photograph(seed, second, camera="X100"):
    """A picture with EXIF's camera and time."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Fuji", camera
    exif.get_ifd(0x8769)[0x9003] = f"2026:05:01 10:{second // 60:02}:{second % 60:02}"
    return encoded(picture(seed), "JPEG", exif=exif)


def test_photographs_of_a_burst_are_on_one_side(tmp_path):
    """Ten bursts of three a class, five seconds apart, the camera moving; and one photograph of another camera."""
    for label, start in (("a", 0), ("b", 1000)):
        (tmp_path / label).mkdir()
        for i in range(30):
            second = start + 5 * (i // 3) + i % 3 // 2
            (tmp_path / label / f"{i}.jpg").write_bytes(photograph(start + i, second, camera="X100"))
        (tmp_path / label / "other.jpg").write_bytes(photograph(start + 99, start, camera="Z"))
    splits = load(tmp_path, size=60)
    side = [{(name[0], int(name[2:-4]) // 3) for name in part.names if "other" not in name} for part in parts(splits)]
    assert sum(map(len, side)) == 20
    assert "bursts   60 photographs were taken within a second of another" in splits.report.lines()


def test_a_clock_that_stands_still_makes_no_burst():
    from netlathe.train.images.alike import group_bursts

    assert (group_bursts(["x"] * 31, [0.0] * 31) == -1).all()
    assert group_bursts(["x", "", "y", "x", "x"], [5.0, 5.0, 5.0, 6.0, 7.5]).tolist() == [0, -1, -1, 0, -1]


def test_copies_across_two_classes_stay_together(tmp_path):
    root = folder(tmp_path, {"a": 20, "b": 20})
    for i in range(10):
        shutil.copy(root / "a" / f"{i}.png", root / "b" / f"copy{i}.png")
    splits = load(root, size=30)
    assert len(splits.report.contradictions) == 10
    assert not splits.report.leaks


def test_folds_share_the_test_images_of_the_ordinary_split(tmp_path):
    root = folder(tmp_path, {"a": 24, "b": 24})
    folded, once = load_folds(root, 4, size=30), load(root, size=30)
    assert [counts(splits)[1:] for splits in folded.folds] == [[(5, 5), (4, 4)]] * 4
    assert all(splits.test.key == once.test.key for splits in (*folded.folds, folded.whole))
    held = [name for splits in folded.folds for name in splits.validation.names]
    assert sorted(held) == sorted(folded.whole.train.names)
    assert len(folded.whole.validation) == 0
    with pytest.raises(NetlatheError, match="30 folds cannot be made") as caught:
        load_folds(root, 30, size=30)
    assert caught.value.hint == "2 to 10 folds can"


def test_each_fold_is_judged_on_what_it_has_not_seen_and_picks_no_weights_by_it(tmp_path, monkeypatch):
    from netlathe.runfolder.folder import open_run
    from netlathe.train import cross_validation
    from netlathe.train.folder import TRAINING

    folded = load_folds(folder(tmp_path / "set", {"a": 12, "b": 12}), 3, size=30)
    trained = []

    def train(network, splits, recipe, folder, **options):
        trained.append((splits, options["time"]))
        return Namespace(test=0.5, test_images=len(splits.test))

    monkeypatch.setattr(cross_validation, "train", train)
    with open_run(tmp_path / "run", TRAINING) as run:
        _, summary = cross_validation.cross_validate(None, folded, None, run, time=400.0)
    assert [(len(s.train), len(s.validation), len(s.test)) for s, _ in trained] == [
        *[(13, 0, 7)] * 2,
        (14, 0, 6),
        (20, 0, 4),
    ]
    assert not set(trained[0][0].train.names) & set(trained[0][0].test.names)
    assert {time for _, time in trained} == {100.0}
    assert (summary.images, summary.by_fold) == (20, ((4, 7), (4, 7), (3, 6)))
    assert summary.low < summary.share == 11 / 20 < summary.high
    assert (tmp_path / "run" / "folds.json").exists()


def test_plain_images_of_other_colours_are_not_alike():
    """Neither a plain ground, nor a shape that all images share, makes pictures one."""
    random = np.random.default_rng(0)
    plain = [np.full((64, 64, 3), colour, np.uint8) for colour in ((200, 0, 0), (0, 200, 0), (9, 9, 9), (9, 9, 9))]
    shape = np.asarray(picture(1).resize((64, 64)), float)
    tinted = [(shape * tint).astype(np.uint8) for tint in ((1, 1, 1), (0.3, 1, 1), (1, 0.3, 0.6))]
    noisy = [random.normal(128, 30, (64, 64, 3)).clip(0, 255).astype(np.uint8) for _ in range(4)]
    pictures = [*plain, *tinted, *noisy]
    described = [describe(x) for x in pictures]
    digests = random.integers(0, 2**63, (len(pictures), 2)).astype(np.uint64)
    groups = group_alike(digests, Pictures(*(np.stack(column) for column in zip(*described, strict=True))))
    assert len(set(groups.tolist())) == len(pictures)


def test_a_smooth_picture_is_known_again_by_its_colours_and_slopes_of_other_colours_are_others():
    """Of a sky, most bits of a hash are chance."""
    random = np.random.default_rng(0)
    coarse = [Image.fromarray(random.integers(0, 256, (3, 4, 3), np.uint8)) for _ in range(40)]
    smooth = [image.resize((160, 120), Image.Resampling.BICUBIC) for image in coarse]
    again = [Image.open(io.BytesIO(encoded(image, "JPEG", quality=60))) for image in smooth]
    described = [describe(np.asarray(image.resize((64, 64)).convert("RGB"))) for image in (*smooth, *again)]
    digests = np.arange(160, dtype=np.uint64).reshape(-1, 2)
    groups = group_alike(digests, Pictures(*(np.stack(column) for column in zip(*described, strict=True))))
    assert (groups[:40] == groups[40:]).mean() > 0.95
    assert len(set(groups.tolist())) >= 40


def test_every_pair_within_the_distance_is_found_and_crowds_cost_little(monkeypatch):
    """Pairs planted at up to 31 of 256 bits among random ones; and a crowd of one picture compares few pairs."""
    from netlathe.train.images import alike

    random = np.random.default_rng(0)
    bits = random.integers(0, 256, (4000, 32), np.uint8)
    for i in range(0, 4000, 2):
        flips = np.zeros(256, np.uint8)
        flips[random.choice(256, i % 32, replace=False)] = 1
        bits[i + 1] = bits[i] ^ np.packbits(flips)
    colours = np.repeat(random.integers(0, 256, (2000, 8, 8, 3), np.uint8), 2, axis=0)
    digests = random.integers(0, 2**63, (4000, 2)).astype(np.uint64)
    groups = group_alike(digests, Pictures(bits.view(np.uint64), colours))
    assert (groups[::2] == groups[1::2]).all()
    assert len(np.unique(groups)) == 2000
    crowd = np.repeat(bits[:1], 2000, axis=0).view(np.uint64)
    pairs = sum(len(i) for i, _ in alike.hash_pairs(crowd, np.zeros(2000, np.float32)))
    assert pairs <= 2000 * alike.CROWD * 16


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(-1, 4)), min_size=1, max_size=30), st.randoms())
@settings(max_examples=40)
def test_groups_join_copies_and_named_groups_whatever_the_order(images, random):
    """As union by hand says; numbered by content alone."""
    digests = np.array([[7919 * i % 1009, i] for i in range(len(images))], np.uint64)

    def numbers(order):
        twins, named = (np.array(column, np.int64)[order] for column in zip(*images, strict=True))
        return number_groups(twins, [named], digests[order])

    order = list(range(len(images)))
    random.shuffle(order)
    straight = numbers(np.arange(len(images)))
    assert (numbers(np.array(order)) == straight[order]).all()
    for (a, b), i in zip(images, straight, strict=True):
        for (c, d), j in zip(images, straight, strict=True):
            assert i == j or (a != c and (b != d or b < 0))


def test_bytes_of_a_picture_are_described_once_whatever_their_order():
    buffer = io.BytesIO()
    picture(3).save(buffer, "PNG")
    x = np.asarray(picture(3).resize((64, 64)))
    assert (describe(x)[0] == describe(np.array(x, order="F"))[0]).all()


def test_scenes_of_the_tests_are_all_different():
    described = [describe(np.asarray(Image.fromarray(scene(64, 64, seed)))) for seed in range(120)]
    digests = np.arange(240, dtype=np.uint64).reshape(-1, 2)
    groups = group_alike(digests, Pictures(*(np.stack(column) for column in zip(*described, strict=True))))
    assert len(set(groups.tolist())) > 100
