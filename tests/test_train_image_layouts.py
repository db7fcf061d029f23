"""Where images are: folders of classes, splits, csv, idx and npz files, and what is wrong with them."""

import gzip
import json
import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from broken_images import FAULTY
from image_files import encoded, folder, parts, scene

from netlathe.errors import NetlatheError
from netlathe.train.images import load
from netlathe.train.images.options import ImageOptions

pytestmark = pytest.mark.usefixtures("own_cache")

# Layouts


def test_class_folders_may_have_folders_and_hidden_and_other_files_in_them(tmp_path):
    root = folder(tmp_path / "set", {"a": 20, "b/2024": 10, "b/2025": 10}, "jpg")
    (root / "a" / ".hidden.jpg").write_bytes(b"")
    (root / "a" / "._1.jpg").write_bytes(b"")
    (root / "a" / "notes.txt").write_text("x")
    (root / ".git").mkdir()
    for place in ("__MACOSX", "b/2024/@eaDir", "b/2025/@eaDir", "a/.ipynb_checkpoints"):
        (root / place).mkdir()
        shutil.copy(root / "a" / "0.jpg", root / place / "0.jpg")
    for place in ("a/Thumbs.db", "b/Thumbs.db", "desktop.ini", "b/.DS_Store"):
        (root / place).write_bytes(b"")
    (root / "LICENSE").write_text("MIT")
    (root / "b" / "loop").symlink_to(root / "b", target_is_directory=True)
    splits = load(root, size=30)
    assert splits.train.classes == ("a", "b")
    assert sum(map(sum, splits.report.counts.values())) == 40
    assert splits.report.skipped == (("b/loop", "a link back to a folder that is read already"),)
    images, litter = splits.report.notes
    assert images == "1 files are no images: .txt"
    names = ".DS_Store, ._*, .git, .hidden.jpg, .ipynb_checkpoints, @eaDir (2), Thumbs.db (2), __MACOSX and 1 more"
    assert litter == f"left by systems and programs, not looked at: {names}"
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
    splits = load(root, size=30)
    assert [len(part) for part in parts(splits)] == [16, 6, 4]
    assert all(name.startswith("valid/") for name in splits.validation.names)
    for options in (ImageOptions(test=0.4), ImageOptions(validation="3")):
        with pytest.raises(NetlatheError, match=r"images of its own, and --(test|validation) .* would choose others"):
            load(root, size=30, options=options)
    shutil.rmtree(root / "test")
    splits = load(root, size=30)
    assert [len(splits.train), len(splits.validation), splits.test] == [16, 6, None]
    (root / "valid").rename(root / "Test")
    splits = load(root, size=30, options=ImageOptions(validation="30%"))
    assert [len(part) for part in parts(splits)] == [12, 4, 6]
    shutil.rmtree(root / "Test")
    splits = load(root, size=30, options=ImageOptions(validation=2, test="4"))
    assert [len(part) for part in parts(splits)] == [10, 2, 4]


def test_a_class_may_be_called_train(tmp_path):
    assert load(folder(tmp_path, {"bus": 20, "train": 20}), size=30).train.classes == ("bus", "train")


def write_csv(root, rows, head="path,label"):
    path = root / "list.csv"
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def test_a_csv_lists_paths_beside_it_with_labels_and_perhaps_splits(tmp_path):
    folder(tmp_path, {"x": 60})
    rows = [f"x/{i}.png,{'10' if i % 2 else '9'}" for i in range(60)]
    with pytest.raises(NetlatheError, match="all labels are numbers: 9, 10: is each a class, or are they quantities"):
        load(write_csv(tmp_path, rows), size=30)
    numbers = ImageOptions(labels_as_they_are=True)
    splits = load(write_csv(tmp_path, rows), size=30, options=numbers)
    assert splits.train.classes == ("9", "10")
    for x, label, name in zip(splits.train.pixels, splits.train.labels, splits.train.names, strict=True):
        assert (x == scene(seed=int(Path(name).stem))).all()
        assert label == int(Path(name).stem) % 2
    rows = [f"{row},{'TEST' if i < 10 else 'val' if i < 20 else 'train'}" for i, row in enumerate(rows)]
    splits = load(write_csv(tmp_path, rows, "path,label,split"), size=30, options=numbers)
    assert [len(part) for part in parts(splits)] == [40, 10, 10]
    semicolons = write_csv(tmp_path, [row.replace(",", ";") for row in rows], "\ufeffPath;Label;Split")
    assert load(semicolons, size=30, options=numbers).train.key == splits.train.key


def test_missing_files_of_a_csv_are_skipped_with_their_lines_and_repeated_rows_are_noted(tmp_path):
    folder(tmp_path, {"x": 60})
    rows = [f"x/{i}.png,{'ab'[i % 2]}" for i in range(62)] + ["x/3.png,b"]
    report = load(write_csv(tmp_path, rows), size=30).report
    assert report.skipped == tuple((f"x/{i}.png (line {i + 2})", "there is no such file") for i in (60, 61))
    assert report.notes == ("rows that say again what others say: line 64",)


@pytest.mark.parametrize(
    ("rows", "head", "match"),
    [
        (["x/0.png,a", "x/1.png,b", "x/0.png,b"], "path,label", "line 2 and line 4: x/0.png is a and b"),
        (["x/0.png,a", "x/1.png,"], "path,label", "line 3: no label"),
        (
            ["x/0.png,a,train", "x/1.png,b,tset"],
            "path,label,split",
            r"line 3: unknown split 'tset' \(did you mean test",
        ),
        (["x/0.png,a,train", "x/1.png,b,"], "path,label,split", "line 3: no split, where other rows have one"),
        (
            ["x/0.png,a,train", "x/0.png,a,test"],
            "path,label,split",
            "line 2 and line 3: x/0.png is in train and in test",
        ),
        (["x/0.png,a,val", "x/1.png,b,test"], "path,label,split", "no row is in train"),
        (["x/0.png,a"], "pfad,klasse", "has no column path, but pfad, klasse"),
        (["y/0.png,a", "y/1.png,b"], "path,label", "none of its 2 images exists"),
        (["x/0.png,a", "x/1.png,a"], "path,label", "has one class, a"),
        ([], "path,label", "has no rows"),
        ([], "", "has no column path, but nothing"),
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
    assert found.report.split.startswith("test as the source says" if splits else "15 % of each class for test")
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
    with pytest.raises(NetlatheError, match="none of the 2 images can be held out"):
        load(folder(tmp_path, {"a": 1, "b": 1}), size=30)


# Tables as they come


def test_metadata_of_hugging_face_says_the_classes_in_one_folder_or_by_split(tmp_path):
    """https://huggingface.co/docs/datasets/image_dataset: metadata.csv or .jsonl with file_name beside the images."""
    folder(tmp_path / "csv", {"images": 20})
    rows = [f"images/{i}.png,{'cat' if i % 2 else 'dog'},{i}" for i in range(20)]
    (tmp_path / "csv" / "metadata.csv").write_text("\n".join(["file_name,label,age", *rows]))
    splits = load(tmp_path / "csv", size=30)
    assert splits.train.classes == ("cat", "dog")
    assert sum(map(sum, splits.report.counts.values())) == 20
    assert splits.report.layout == "metadata.csv"
    for name, first in (("train", 0), ("test", 12)):
        folder(tmp_path / "jsonl", {name: 12 - first // 2}, first=first)
        lines = [
            json.dumps({"file_name": f"{i}.png", "species": "cat" if i % 2 else "dog", "boxes": [[1, 2]]})
            for i in range(first, first + 12 - first // 2)
        ]
        (tmp_path / "jsonl" / name / "metadata.jsonl").write_text("\n".join(lines))
    with pytest.raises(NetlatheError, match="test/, train/ have no folders for classes in them") as caught:
        load(tmp_path / "jsonl", size=30)
    assert caught.value.hint == "name the column with the classes in metadata.jsonl: --label-column NAME"
    folder(tmp_path / "folders", {"a": 10, "b": 10})
    (tmp_path / "folders" / "metadata.csv").write_text("file_name,text\na/0.png,a picture")
    report = load(tmp_path / "folders", size=30).report
    assert report.classes == ("a", "b")
    assert report.notes == ("metadata.csv has no column with classes: the folders say them",)
    splits = load(tmp_path / "jsonl", size=30, options=ImageOptions(label_column="species"))
    assert [len(part) for part in parts(splits)] == [10, 2, 6]
    assert all(name.startswith("test/") for name in splits.test.names)


def test_columns_are_found_by_their_usual_names_or_named(tmp_path):
    folder(tmp_path, {"x": 20})
    rows = [f"x/{i}.png,{'ab'[i % 2]},{'uv'[i // 10]}" for i in range(20)]
    splits = load(write_csv(tmp_path, rows, "Filename,Class,kind"), size=30)
    assert splits.train.classes == ("a", "b")
    named = ImageOptions(label_column="kind")
    assert load(write_csv(tmp_path, rows, "file_name,label,kind"), size=30, options=named).train.classes == ("u", "v")
    path = ImageOptions(path_column="bild", label_column="was")
    assert load(write_csv(tmp_path, rows, "bild,was,kind"), size=30, options=path).train.classes == ("a", "b")
    with pytest.raises(NetlatheError, match="has no column speices") as caught:
        load(write_csv(tmp_path, rows, "path,species,x"), size=30, options=ImageOptions(label_column="speices"))
    assert caught.value.hint == "did you mean species?"
    with pytest.raises(NetlatheError, match="2 columns that could be the label: class, category") as caught:
        load(write_csv(tmp_path, rows, "path,class,category"), size=30)
    assert caught.value.hint == "name one: --label-column class"
    with pytest.raises(NetlatheError, match="has no column label, but path, species, x") as caught:
        load(write_csv(tmp_path, rows, "path,species,x"), size=30)
    assert caught.value.hint.startswith("name the column: --label-column NAME")


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (("cat", "Cat", "dog"), "differ only in case or space: 'Cat' = 'cat'"),
        (('"cat "', "cat", "dog"), "differ only in case or space: 'cat' = 'cat '"),
        (("cat|dog", "cat", "dog"), r"seem to name several classes: 'cat\|dog'"),
        (('"cat,dog"', "cat", "dog"), "seem to name several classes: 'cat,dog'"),
        (("1", "2", "3"), "all labels are numbers: 1, 2, 3: is each a class"),
        (("1.5", "2", "-3e2"), "all labels are numbers: -3e2, 1.5, 2"),
    ],
)
def test_labels_whose_meaning_is_a_guess_are_asked_about(tmp_path, labels, match):
    folder(tmp_path, {"x": 30})
    path = write_csv(tmp_path, [f"x/{i}.png,{labels[i % 3]}" for i in range(30)])
    with pytest.raises(NetlatheError, match=match) as caught:
        load(path, size=30)
    assert "--labels-as-they-are" in caught.value.hint
    assert len(load(path, size=30, options=ImageOptions(labels_as_they_are=True)).train.classes) in (2, 3)


def test_labels_that_differ_in_case_are_merged_in_the_usual_spelling_where_that_is_asked(tmp_path):
    folder(tmp_path / "set", {"cat": 10, "Cat": 4, "Dog": 9, "dog ": 3}, first=0)
    with pytest.raises(NetlatheError, match="'Cat' = 'cat', 'Dog' = 'dog '"):
        load(tmp_path / "set", size=30)
    splits = load(tmp_path / "set", size=30, options=ImageOptions(merge_labels=True))
    assert splits.train.classes == ("Cat", "Dog") or splits.train.classes == ("Dog", "cat")
    assert sum(map(sum, splits.report.counts.values())) == 26
    numbers = folder(tmp_path / "numbers", {"0": 10, "1": 10})
    assert load(numbers, size=30).train.classes == ("0", "1")  # folders are classes, whatever they are called
    spaced = write_csv(tmp_path / "set", [f"cat/{i}.png, {'ab'[i % 2]}" for i in range(10)], "path, label")
    assert load(spaced, size=30).train.classes == ("a", "b")  # space that every row has is the file's, not the label's
