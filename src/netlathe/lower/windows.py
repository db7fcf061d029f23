"""Window attention as numbers that shapes alone determine: which positions form a window, their offsets, who sees whom.

Liu et al. 2021, Swin, https://arxiv.org/abs/2103.14030, section 3.2. Everything is numpy; the torch and the ONNX
reading turn it into constants.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Index: TypeAlias = NDArray[np.int64]
HIDDEN = -100.0  # added to a score: the released code's stand-in for minus infinity


def padded_size(size: int, side: int) -> int:
    """The next multiple of the window's side."""
    return -(-size // side) * side


def partition_windows(grid: Index, side: int) -> Index:
    """(height, width) -> (windows, side^2), windows and positions row by row."""
    high, wide = grid.shape
    tiles = grid.reshape(high // side, side, wide // side, side).transpose(0, 2, 1, 3)
    return tiles.reshape(-1, side * side)


def gather_index(high: int, wide: int, side: int, shift: int) -> Index:
    """Which position (row * width + column) stands where in (windows, side^2); padding is position height * width.

    The grid is padded at the end, then rolled by `shift` towards the start.
    """
    grid = np.full((padded_size(high, side), padded_size(wide, side)), high * wide)
    grid[:high, :wide] = np.arange(high * wide).reshape(high, wide)
    return partition_windows(np.roll(grid, (-shift, -shift), (0, 1)), side)


def scatter_index(order: Index, positions: int) -> Index:
    """Where each position stands in `gathered`, flat: the way back, padding dropped."""
    return np.argsort(order.ravel(), kind="stable")[:positions]


def shift_mask(high: int, wide: int, side: int, shift: int) -> NDArray[np.float32]:
    """(windows, side^2, side^2): HIDDEN between positions that only the roll made neighbours, else 0."""
    rows, columns = np.arange(padded_size(high, side)), np.arange(padded_size(wide, side))
    wrapped = 2 * (rows >= len(rows) - shift)[:, None] + (columns >= len(columns) - shift)
    region = partition_windows(wrapped.astype(np.int64), side)
    return np.where(region[:, :, None] != region[:, None, :], np.float32(HIDDEN), np.float32(0))


def bias_index(side: int) -> Index:
    """(side^2, side^2): the row of the bias table for query and key, (dy + side - 1)(2 side - 1) + dx + side - 1."""
    y, x = np.divmod(np.arange(side * side), side)
    index: Index = (y[:, None] - y + side - 1) * (2 * side - 1) + x[:, None] - x + side - 1
    return index
