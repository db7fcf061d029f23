"""Images that come as arrays: idx files (MNIST, Fashion-MNIST), npz files, scikit-learn's digits."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterable
from gzip import GzipFile
from importlib.metadata import PackageNotFoundError, version
from io import FileIO
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netlathe.errors import MissingExtra, NetlatheError
from netlathe.files import open_file
from netlathe.npz import array_limit, read_npz, too_many_bytes
from netlathe.train.images.decode import eight_bits
from netlathe.train.images.sources import (
    FREE,
    SPLITS,
    TEST,
    TRAIN,
    VALIDATION,
    ImageSource,
    ImageStack,
    list_folder,
    no_groups,
)

Part = tuple[str, int, NDArray[Any], NDArray[Any]]  # name, split, images, labels
IDX = re.compile(r"(?P<part>.*?)[-_.]?(?P<what>images|labels)[-.]idx[13][-.]ubyte(\.gz)?", re.IGNORECASE)
PARTS = {"t10k": TEST} | SPLITS
NPZ = {  # by split: names of images and labels
    FREE: (("x", "y"), ("images", "labels")),
    TRAIN: (("x_train", "y_train"), ("train_images", "train_labels")),
    VALIDATION: (("x_val", "y_val"), ("val_images", "val_labels")),
    TEST: (("x_test", "y_test"), ("test_images", "test_labels")),
}


def digits_source() -> ImageSource:
    """scikit-learn's digits, 1,797 of 8 x 8 pixels of 17 greys."""
    try:
        layout = f"scikit-learn {version('scikit-learn')}"
    except PackageNotFoundError:
        raise MissingExtra("scikit-learn", "train") from None

    def read() -> ImageStack:
        from sklearn.datasets import load_digits

        digits = load_digits()
        grey = (digits.images * (255 / 16)).round().astype(np.uint8)
        return stack_parts([("digits", FREE, grey, digits.target)], "digits")

    return ImageSource("digits", layout, (), read, None)


def idx_files(root: Path) -> dict[tuple[str, str], Path]:
    """The idx files of a folder by part (train, t10k, or nothing) and by images or labels; gz and plain are alike."""
    files: dict[tuple[str, str], Path] = {}
    for path in list_folder(root):
        if match := IDX.fullmatch(path.name):
            files.setdefault((match["part"].lower(), match["what"].lower()), path)
    return files


def idx_source(root: Path) -> ImageSource:
    """The images of a folder of idx files. Raises NetlatheError for images without labels, or the reverse."""
    files = idx_files(root)
    parts = sorted({part for part, _ in files})
    codes: dict[int, str] = {}
    for part in parts:
        lost = [what for what in ("images", "labels") if (part, what) not in files]
        if lost:
            other = files[part, "labels" if lost[0] == "images" else "images"].name
            message = f"has {other} but no {lost[0]} to go with it"
            raise NetlatheError(message, code="images.idx", path=str(root), hint=f"put the file of {lost[0]} beside it")
        code = next((code for word, code in PARTS.items() if word in part), FREE)
        if code in codes:
            message = f"{part or '(no name)'} and {codes[code] or '(no name)'} are the same split"
            raise NetlatheError(message, code="images.idx", path=str(root), hint="keep one data set in a folder")
        codes[code] = part
    if (FREE in codes and len(codes) > 1) or not {FREE, TRAIN} & set(codes):
        message = f"has the sets {', '.join(part or '(no name)' for part in parts)}: which is for training?"
        hint = "names are train-images-idx3-ubyte, t10k-images-idx3-ubyte and so on"
        raise NetlatheError(message, code="images.idx", path=str(root), hint=hint)

    def read() -> ImageStack:
        sets = []
        for code, part in codes.items():
            images = read_idx(files[part, "images"])
            labels = read_idx(files[part, "labels"])
            both = f"{files[part, 'images'].name} and {files[part, 'labels'].name}"
            if images.ndim not in (3, 4) or labels.ndim != 1:
                message = f"{both} have {images.ndim} and {labels.ndim} axes, not 3 and 1"
                raise NetlatheError(message, code="images.idx", path=str(root))
            if len(images) != len(labels):
                message = f"{both} disagree: {len(images):,} images and {len(labels):,} labels"
                raise NetlatheError(message, code="images.idx", path=str(root), hint="fetch both files again")
            sets.append((part or "image", code, images, labels))
        return stack_parts(sets, str(root))

    return ImageSource(str(root), "idx files", tuple(files.values()), read, root)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array of an idx file of bytes: two zeros, the type, the number of axes, their sizes (big-endian), the data.

    http://yann.lecun.com/exdb/mnist, "THE IDX FILE FORMAT".
    """
    try:
        with open_file(path) as content, GzipFile(fileobj=content) if path.suffix == ".gz" else content as file:
            head = file.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[3] == 0:
                raise NetlatheError("is not an idx file", code="images.idx", path=str(path))
            if head[2] != 8:
                message = f"holds values of type 0x{head[2]:02x}; only bytes (0x08) are read"
                raise NetlatheError(message, code="images.idx", path=str(path))
            sizes = file.read(4 * head[3])
            shape = tuple(int(n) for n in np.frombuffer(sizes[: len(sizes) // 4 * 4], ">u4"))
            claimed = prod(shape) if isinstance(file, GzipFile) else min(prod(shape), os.fstat(file.fileno()).st_size)
            if claimed > array_limit():
                raise too_many_bytes(path, claimed, "images.idx")
            data = read_at_most(file, prod(shape) + 1)
    except NetlatheError:
        raise
    except (OSError, EOFError, zlib.error) as error:
        raise NetlatheError(f"cannot be read: {error}", code="images.idx", path=str(path)) from error
    if len(shape) != head[3] or len(data) != prod(shape):
        message = f"should hold {' x '.join(map(str, shape))} = {prod(shape):,} bytes, and "
        message += f"holds {len(data):,}" if len(data) < prod(shape) else "holds more"
        raise NetlatheError(message, code="images.idx", path=str(path), hint="the file is damaged: fetch it again")
    return np.frombuffer(data, np.uint8).reshape(shape)


def read_at_most(file: GzipFile | FileIO, count: int) -> bytes:
    """The next bytes of a file, as many as there are: `read(count)` would first make room for what a header claims."""
    pieces = []
    while count > 0 and (piece := file.read(min(count, 1 << 24))):
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def npz_source(path: Path) -> ImageSource:
    """The images of an npz file."""

    def pairs_of(names: Iterable[str]) -> dict[int, tuple[str, str]]:
        return {code: pair for code, legal in NPZ.items() for pair in legal if {*pair} <= {*names}}

    def choose(names: tuple[str, ...]) -> list[str]:
        pairs = pairs_of(names)
        if not pairs or (len(pairs) > 1 and FREE in pairs) or not {FREE, TRAIN} & set(pairs):
            legal = ", ".join(" and ".join(pair) for pairs in NPZ.values() for pair in pairs)
            message = f"has the arrays {', '.join(names) or '(none)'}"
            raise NetlatheError(message, code="images.npz", path=str(path), hint=f"images and labels are {legal}")
        return [name for pair in pairs.values() for name in pair]

    def read() -> ImageStack:
        arrays = read_npz(path, choose, code="images.npz")
        parts = [(x, code, arrays[x], arrays[y]) for code, (x, y) in pairs_of(arrays).items()]
        return stack_parts(parts, str(path))

    return ImageSource(str(path), "an npz file", (path,), read, path.parent)


def stack_parts(parts: list[Part], place: str) -> ImageStack:
    """One array of all parts. Raises NetlatheError where images or labels cannot be that."""
    labels = []
    for name, _, x, y in parts:
        y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
        if y.ndim != 1 or (y.dtype.kind not in "iub" and not (y.dtype.kind == "f" and np.array_equal(y, y.round()))):
            message = f"the labels of {name} are {y.dtype} of shape {y.shape}; a whole number for each image is needed"
            hint = "a label for each image: y.argmax(1) where they are one-hot"
            raise NetlatheError(message, code="images.labels", path=place, hint=hint)
        count = len(x) if x.ndim else 0
        if count != len(y):
            message = f"{name}: {count:,} images and {len(y):,} labels"
            raise NetlatheError(message, code="images.labels", path=place)
        labels.append(y.astype(np.int64))
    pixels, notes = zip(*(to_images(x, f"{place}: {name}") for name, _, x, _ in parts), strict=True)
    if len({x.shape[1:] for x in pixels}) > 1:
        message = " and ".join(" x ".join(map(str, x.shape[1:])) for x in pixels)
        raise NetlatheError(f"images of different shapes: {message}", code="images.shape", path=place)
    values, places = np.unique(np.concatenate(labels), return_inverse=True)
    classes = tuple(map(str, values))
    if len(classes) < 2:
        message = f"has one class, {classes[0]}" if classes else "has no images"
        raise NetlatheError(message, code="images.one_class" if classes else "images.empty", path=place)
    return ImageStack(
        np.concatenate(pixels),
        tuple(f"{name}[{i}]" for name, _, x, _ in parts for i in range(len(x))),
        places.astype(np.int64),
        np.concatenate([np.full(len(x), code, np.int8) for _, code, x, _ in parts]),
        no_groups(len(places)),
        classes,
        tuple(sorted(set(filter(None, notes)))),
    )


def to_images(x: NDArray[Any], place: str) -> tuple[NDArray[np.uint8], str]:
    """An array as (N, H, W, C) of bytes, and what was assumed. Raises NetlatheError where that is a guess."""
    if x.ndim == 3:
        x = x[..., None]
    elif x.ndim == 4 and x.shape[3] not in (1, 3, 4) and x.shape[1] in (1, 3, 4):
        x = x.transpose(0, 2, 3, 1)
    if x.ndim != 4 or x.shape[3] not in (1, 3, 4) or 0 in x.shape[1:]:
        message = f"an array of shape {x.shape} is no stack of images"
        hint = "shapes are (N, H, W), (N, H, W, C) or (N, C, H, W), with 1, 3 or 4 channels"
        raise NetlatheError(message, code="images.shape", path=place, hint=hint)
    if x.dtype == np.uint8 or not x.size:
        return x.astype(np.uint8, copy=False), ""
    hint = "pixels are 0 to 255, or 0 to 1 in floating point, or 0 to 65535 in uint16"
    if x.dtype.kind not in "biuf":
        raise NetlatheError(f"values of type {x.dtype} are no pixels", code="images.values", path=place, hint=hint)
    low, high = float(x.min()), float(x.max())
    if x.dtype.kind == "b" or (x.dtype.kind == "f" and low >= 0 and high <= 1):
        return (x.astype(np.float32) * 255).round().astype(np.uint8), "values 0 to 1 were read as black to white"
    if x.dtype.kind in "iuf" and low >= 0 and high <= 255:
        return x.round().astype(np.uint8), ""
    if x.dtype == np.uint16:
        return eight_bits(x), "16 bits were read as 8, by their full range"
    message = f"values from {low:g} to {high:g} of type {x.dtype} are no pixels"
    raise NetlatheError(message, code="images.values", path=place, hint=hint)
