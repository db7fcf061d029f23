"""predict(): the classes of image files, and the six lines that do the same without Netlathe.

An image is decoded as in training, resized so that its short side has as many px as the package says, and its middle
goes into the file, which does the rest. All of that is Pillow's: no torch is needed.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netlathe.deploy.package import FLOAT_FILE, INPUT, Package, Preprocessing, load_package
from netlathe.deploy.session import BATCH, open_session
from netlathe.errors import NetlatheError
from netlathe.runtimes import registry
from netlathe.telemetry import SWITCHES

if TYPE_CHECKING:
    from netlathe.runtimes.base import Logits


class ClassProbability(NamedTuple):
    """A class and its probability, the softmax of the outputs over the package's temperature."""

    label: str
    probability: float


class ImagePrediction(NamedTuple):
    """The most probable classes of an image file, best first; none where `fault` says why it cannot be read."""

    image: str
    guesses: tuple[ClassProbability, ...]
    fault: str = ""

    def withheld(self, threshold: float) -> bool:
        """Whether the answer is less probable than that."""
        return bool(self.guesses) and self.guesses[0].probability < threshold


def predict(folder: str | Path | Package, images: Sequence[str | Path], *, top: int = 5) -> list[ImagePrediction]:
    """The `top` classes of each image file, in the order given, under the runtime of the package.

    Raises NetlatheError for a folder without a package, a runtime that cannot run it, and a `top` below 1.
    """
    return list(predict_each(folder, images, top=top))


def predict_each(
    folder: str | Path | Package, images: Sequence[str | Path], *, top: int = 5
) -> Iterator[ImagePrediction]:
    """The same one after the other, as they are computed."""
    if top < 1:
        raise NetlatheError(f"top must be at least 1, not {top}", code="predict.top")
    package = folder if isinstance(folder, Package) else load_package(folder)
    run = open_session(package).run
    for start in range(0, len(images), BATCH):
        part = [str(image) for image in images[start : start + BATCH]]
        read = [pixels_or_fault(Path(image), package.preprocessing) for image in part]
        pixels = [x for x in read if not isinstance(x, str)]
        rows = iter(rank_classes(run(np.stack(pixels)) / package.temperature, package.classes, top) if pixels else [])
        for image, x in zip(part, read, strict=True):
            yield ImagePrediction(image, (), x) if isinstance(x, str) else ImagePrediction(image, next(rows))


def list_images(places: Sequence[str | Path]) -> list[Path]:
    """Files as they are, and of folders all image files in them, at any depth, sorted.

    Raises NetlatheError for a folder without images.
    """
    from netlathe.train.images.folders import find_images

    files: list[Path] = []
    for place in map(Path, places):
        if not place.is_dir():
            files.append(place)
            continue
        names = find_images(place, Counter(), [], Counter())
        if not names:
            raise NetlatheError("has no images", code="predict.empty", path=str(place), hint="give a folder with some")
        files += [place / name for name in names]
    return files


def predictions_csv(predictions: Iterable[ImagePrediction], top: int, threshold: float = 0.0) -> str:
    """A table with a row for each image: its path, the classes with their probabilities, "yes" where the answer is
    withheld, and why there is none."""
    text = StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    numbers = ["", *(f"_{place}" for place in range(2, top + 1))]
    table.writerow(["image", *(word + n for n in numbers for word in ("label", "probability")), "withheld", "fault"])
    for p in predictions:
        cells = [cell for guess in p.guesses for cell in (guess.label, f"{guess.probability:.6g}")]
        name, blank = os.fsencode(p.image).decode(errors="backslashreplace"), [""] * (2 * top - len(cells))
        table.writerow([name, *cells, *blank, "yes" if p.withheld(threshold) else "", p.fault])
    return text.getvalue()


def pixels_or_fault(path: Path, preprocessing: Preprocessing) -> NDArray[np.uint8] | str:
    """What the file takes of an image, or why there is nothing."""
    from netlathe.train.images.decode import UnreadableImage, read_image

    try:
        return decode_pixels(read_image(path), preprocessing)
    except UnreadableImage as error:
        return str(error)


def decode_pixels(data: bytes, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """The content of an image file -> (r, r, C) uint8. Raises Unreadable."""
    from netlathe.train.images.decode import Canvas, decode

    p = preprocessing
    if p.shape == "stretch":
        return stretched_pixels(data, p)
    flat = np.frombuffer(decode(data, Canvas(p.side, p.side, p.channels)), np.uint8)
    start = round((p.side - p.resolution) / 2)
    middle = slice(start, start + p.resolution)
    return flat.reshape(p.side, p.side, p.channels)[middle, middle]


def stretched_pixels(data: bytes, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """The same of the whole image, squeezed into a square before the middle is cut out."""
    from PIL import Image

    from netlathe.train.images.decode import Canvas, UnreadableImage, decode, read_header

    p, header = preprocessing, read_header(data)
    if header.fault:
        raise UnreadableImage(header.fault)
    scale = p.side / min(header.width, header.height)
    canvas = Canvas(max(1, round(header.height * scale)), max(1, round(header.width * scale)), p.channels)
    pixels = np.frombuffer(decode(data, canvas), np.uint8).reshape(canvas)
    image = Image.fromarray(pixels[..., 0] if p.channels == 1 else pixels)
    resized = np.asarray(image.resize((p.side, p.side), Image.Resampling.BICUBIC)).reshape(p.side, p.side, p.channels)
    start = round((p.side - p.resolution) / 2)
    return resized[start : start + p.resolution, start : start + p.resolution]


def rank_classes(logits: Logits, classes: tuple[str, ...], top: int) -> list[tuple[ClassProbability, ...]]:
    """The most probable classes of each row, best first."""
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    odds = np.exp(shifted)
    shares = odds / odds.sum(1, keepdims=True)
    order = np.argsort(-shares, axis=1, kind="stable")[:, :top]
    return [
        tuple(ClassProbability(classes[i], float(row[i])) for i in best)
        for row, best in zip(shares, order.tolist(), strict=True)
    ]


def snippet(package: Package) -> str:
    """Six lines of Python that name the class of photo.jpg with the default runtime, numpy and Pillow alone.

    They run in the folder of the package; the first keeps the runtime from reporting its use.
    Raises NetlatheError for a package without an ONNX file.
    """
    runtime = registry.runtime(registry.DEFAULT)
    assert runtime.usage is not None, "the default runtime says how it is used"
    if FLOAT_FILE not in package.files:
        message = f"{runtime.name} needs {FLOAT_FILE}, and this package has only {', '.join(package.files)}"
        raise NetlatheError(message, code="predict.snippet", path=str(package.folder))
    p = package.preprocessing
    switch, off = SWITCHES[runtime.module]
    mode, axes = ("RGB", "None") if p.channels == 3 else ("L", "None, ..., None")
    # Of the short side, side / resolution px are shown: what `bleed` leaves of the image, from each edge.
    bleed = f", bleed={(1 - p.resolution / p.side) / 2:.6g}" if p.side > p.resolution else ""
    size = f"({p.resolution}, {p.resolution})"
    resized = f"PIL.ImageOps.fit(image, {size}, PIL.Image.Resampling.BICUBIC{bleed})"
    if p.shape == "stretch":
        edge = (p.side - p.resolution) / 2 / p.side
        box = f", box=(image.width * {edge:.6g}, image.height * {edge:.6g}, image.width * {1 - edge:.6g}, "
        box += f"image.height * {1 - edge:.6g})"
        resized = f"image.resize({size}, PIL.Image.Resampling.BICUBIC{box if edge else ''})"
    return (
        f'import os; os.environ.setdefault("{switch}", "{off}")  # or {runtime.title} reports that it is used\n'
        f"import json, numpy as np, {runtime.module}, PIL.Image, PIL.ImageOps\n"
        f'image = PIL.ImageOps.exif_transpose(PIL.Image.open("photo.jpg")).convert("{mode}")\n'
        f"pixels = np.asarray({resized})\n"
        f"logits = {runtime.usage(FLOAT_FILE, INPUT, f'pixels[{axes}]')}\n"
        'print(json.load(open("package.json", encoding="utf-8"))["classes"][logits.argmax()])\n'
    )
