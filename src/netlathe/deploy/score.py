"""Score: what a deployed file answers for labelled images, in the runtime that it is deployed with."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netlathe.deploy.export import model_pixels
from netlathe.deploy.package import Package
from netlathe.deploy.session import compute_outputs_isolated
from netlathe.errors import MissingExtra, NetlatheError, nearest
from netlathe.stats.intervals import wilson_interval

if TYPE_CHECKING:
    from netlathe.train.images import ImageSet, Splits
    from netlathe.train.images.options import ImageOptions

CHUNK = 4096  # images at a time, for their pixels are all in memory


class ShareInterval(NamedTuple):
    """Hits among images, and the Wilson interval (95 %) of their share."""

    hits: int
    images: int
    share: float
    low: float
    high: float


def share_interval(hits: int, images: int) -> ShareInterval:
    """The share with its interval; of no images it is 0, anywhere from 0 to 1."""
    return ShareInterval(hits, images, hits / images if images else 0.0, *wilson_interval(hits, images))


class ConfusionScore(NamedTuple):
    """Counts by (true class, predicted class) of the images of a split."""

    split: str
    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]

    @property
    def accuracy(self) -> ShareInterval:
        """Share of the images whose largest output is at their class."""
        return share_interval(sum(row[i] for i, row in enumerate(self.confusion)), sum(map(sum, self.confusion)))

    @property
    def recall(self) -> tuple[ShareInterval, ...]:
        """By class: the share of its images that were found."""
        return tuple(share_interval(row[i], sum(row)) for i, row in enumerate(self.confusion))

    @property
    def precision(self) -> tuple[ShareInterval, ...]:
        """By class: the share of the images that were said to be of it and are."""
        columns = zip(*self.confusion, strict=True)
        return tuple(share_interval(column[i], sum(column)) for i, column in enumerate(columns))


def images_for(package: Package, source: str | Path, options: ImageOptions | None = None) -> Splits:
    """The images of a source at the size that the package's preprocessing starts from. Raises as `images.load`.

    They are read and split as in the training, unless `options` say otherwise.
    """
    from netlathe.train.images import load
    from netlathe.train.images.options import read_options

    p = package.preprocessing
    how = options if options is not None and options.document() else read_options(package.images)
    return load(source, size=ceil(p.resolution / p.crop), channels=p.channels, options=how)


def held_out_split(splits: Splits) -> tuple[str, ImageSet]:
    """The test images, where there are some, else those of the validation."""
    return ("test", splits.test) if splits.test else ("validation", splits.validation)


def score(package: Package, images: ImageSet, split: str) -> ConfusionScore:
    """Run the file on labelled images, in processes of their own.

    Raises NetlatheError for images of a class that the network does not know, CallFailed where the runtime
    crashes, and MissingExtra without torch, with which images are resized as in training.
    """
    try:
        from netlathe.train.evaluate import confusion
    except ImportError as error:
        raise MissingExtra("torch", "train") from error
    places = np.array(class_indices(images.classes, package.classes))
    table = confusion(compute_logits(package, images), places[images.labels], len(package.classes))
    return ConfusionScore(split, package.classes, tuple(tuple(map(int, row)) for row in table))


def compute_logits(package: Package, images: ImageSet) -> NDArray[np.float32]:
    """What the deployed file gives for the images of a set (N, classes), computed in processes of their own.

    Raises NetlatheError for a file with other outputs than the package has classes, CallFailed where the runtime
    crashes, and MissingExtra without torch.
    """
    parts = [np.zeros((0, len(package.classes)), np.float32)]
    for start in range(0, len(images), CHUNK):
        pixels = model_pixels(np.asarray(images.pixels[start : start + CHUNK]), package.preprocessing)
        logits = compute_outputs_isolated(
            package.path, pixels, runtime=package.runtime, precision=package.precision, threads=package.threads
        )
        if logits.shape[1] != len(package.classes):
            message = f"the file gives {logits.shape[1]} outputs for {len(package.classes)} classes"
            raise NetlatheError(message, code="deploy.classes", path=str(package.path))
        parts.append(logits)
    return np.concatenate(parts)


def class_indices(classes: tuple[str, ...], trained: tuple[str, ...]) -> list[int]:
    """Where the classes of images are among those of the network. Raises NetlatheError for one that is not."""
    if foreign := [name for name in classes if name not in trained]:
        close = nearest(foreign[0], trained)
        hint = f"did you mean {' or '.join(close)}?" if close else f"it knows {', '.join(trained[:16])}"
        more = f" (and {len(foreign) - 1} more)" * (len(foreign) > 1)
        message = f"the images have a class that the network does not know: {foreign[0]!r}{more}"
        raise NetlatheError(message, code="deploy.classes", hint=hint)
    return [trained.index(name) for name in classes]
