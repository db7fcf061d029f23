"""Which images are held out: as the source says, else by content, so that an image stays where it is for good.

An image's place is its digest read as a number in [0, 1): the test images are those below `test`, the validation
images those in the next stretch. Adding or removing other images moves none, and equal contents are on the same side.
The price is that a class's share is only about the one asked for: of n images, p n, give or take sqrt(p (1 - p) n).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from netlathe.errors import NetlatheError
from netlathe.train.images.sources import FREE, TEST, TRAIN, VALIDATION


class SplitRows(NamedTuple):
    """Rows of each split, and how they were chosen."""

    train: slice
    validation: slice
    test: slice
    how: str


def check_shares(validation: float, test: float) -> None:
    """Raises NetlatheError for shares that leave nothing."""
    if not (0 < validation < 1 and 0 <= test < 1 and validation + test < 1):
        message = f"a validation share of {validation:g} and a test share of {test:g} leave no useful split"
        hint = "0 < validation, 0 <= test, and together less than 1: for example 0.15 and 0.15"
        raise NetlatheError(message, code="images.split", hint=hint)


def split_rows(splits: NDArray[np.int8], digests: NDArray[np.uint64], validation: float, test: float) -> SplitRows:
    """The splits of rows (N,) that are sorted by the source's split and then by digest (N, 2).

    A split that the source gives stays as it is. Where it gives train alone, or nothing, both others are cut from it;
    where it gives a test split and no validation split, that is cut from train.
    """
    places = digests[:, 0] / 2.0**64
    start = {code: int(np.searchsorted(splits, code)) for code in (FREE, TRAIN, VALIDATION, TEST, TEST + 1)}
    named = [code for code in (VALIDATION, TEST) if start[code] < start[code + 1]]
    learned = places[: start[VALIDATION]]

    def below(share: float) -> int:
        return int(np.searchsorted(learned, share))

    shares = f"{validation:.3g} for validation"
    if not named:
        a, b = below(test), below(test + validation)
        return SplitRows(slice(b, len(places)), slice(a, b), slice(0, a), f"by content: {shares}, {test:.3g} for test")
    held, tested = slice(start[VALIDATION], start[TEST]), slice(start[TEST], len(places))
    if VALIDATION in named:
        how = "as the source says" + ("" if TEST in named else ", without a test split")
        return SplitRows(slice(0, start[VALIDATION]), held, tested, how)
    a = below(validation)
    return SplitRows(
        slice(a, start[TEST]), slice(0, a), tested, f"test as the source says, of the rest by content {shares}"
    )
