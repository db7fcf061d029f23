"""What the other rooms see of images: a set of them, and the splits of a source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netlathe.train.images.inspect import DatasetReport

Array = NDArray[Any]


class PixelRows:
    """Some rows of an array of images (N, H, W, C), read when they are asked for: `rows` (n,) are their places.

    It behaves as the array of these rows: a slice is such rows again, anything else gives an array in memory.
    """

    def __init__(self, whole: NDArray[np.uint8], rows: NDArray[np.int64]) -> None:
        self.whole, self.rows = whole, rows

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array."""
        return (len(self.rows), *self.whole.shape[1:])

    @property
    def ndim(self) -> int:
        """As of an array."""
        return self.whole.ndim

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """As of an array."""
        return self.whole.dtype

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return PixelRows(self.whole, self.rows[key])
        if isinstance(key, tuple):
            return np.asarray(self)[key]
        return self.whole[self.rows[key]]

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return (self.whole[row] for row in self.rows)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self.whole[self.rows], dtype)


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of one size with their classes; the pixels are read from disk as they are needed.

    `pixels` (N, H, W, C) uint8, C 1 or 3, an array or `PixelRows`; `labels` (N,) int64, places in `classes`;
    `names` say where each came from; `key` is a hash of the contents, the same wherever they
    lie and under whatever names.
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


class FoldedSplits(NamedTuple):
    """Splits for cross-validation, which share their test images, and one that learns from all but these."""

    folds: tuple[Splits, ...]
    whole: Splits  # its validation set is empty
