"""What the other rooms see of images: a set of them, and the splits of a source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netlathe.train.images.inspect import DatasetReport

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of one size with their classes; the pixels are read from disk as they are needed.

    `pixels` (N, H, W, C) uint8, C 1 or 3; `labels` (N,) int64, places in `classes`; `names` say where each came from;
    `key` is a hash of the contents, the same wherever and under whatever names they lie.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    classes: tuple[str, ...]
    key: str

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Splits:
    """What is learned from, what decisions are made on, and what is looked at once; and what there is to say."""

    train: ImageSet
    validation: ImageSet
    test: ImageSet | None
    report: DatasetReport
