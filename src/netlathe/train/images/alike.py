"""Which images are copies of one another, or nearly: the same file, or the same picture stored or scaled otherwise.

A picture is described by 256 bits, as PDQ does: its lightness at 64 x 64 px, the 16 x 16 lowest frequencies of the
cosine transform in both directions without the constant ones, and for each whether it is above the median. Two pictures
are alike where at most 31 of the bits differ (the distance that PDQ's authors recommend) and where, so that no plain
background or colour decides, their colours at 8 x 8 px correlate and are of about the same lightness. Of a picture that
is so smooth that most of its bits are chance, the colours decide alone, if they are the same but for what storing
changes.

Dalins, Wilson, Boudry 2019, "PDQ & TMK + PDQF", https://arxiv.org/abs/1912.07745, sections 3 and 4. Buckets by pieces
of the bits: Norouzi, Punjani, Fleet 2012, "Fast search in Hamming space with multi-index hashing", section 3; by
projections of the colours: Datar et al. 2004, "Locality-sensitive hashing scheme based on p-stable distributions".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

VERSION = "3"  # counts up when the same images become other groups
SIDE, TILES = 64, 8  # px of the picture that is described, and tiles across it whose colours are kept
LEAST_SIDE = 32  # px of the short side below which a picture is too coarse to be described
DISTANCE = 31  # bits of 256
CORRELATION = 0.95  # of the colours by tile, each channel without its mean
LIGHTNESS = 32.0  # most that the mean of a channel may differ, of 255
GREY = (0.299, 0.587, 0.114)  # lightness of red, green, blue
SAME = 1.5  # of 255: root of the mean square by which the colours of one smooth picture may differ
SAME_CORRELATION = 0.995
TABLES, PROJECTIONS, WIDTH = 8, 8, 12.0  # of buckets by projections: 99 % of pairs that differ by SAME share one
PIECE = 16  # bits of a bucket: two hashes within DISTANCE differ in at most one bit of one of the 16 pieces
CROWD = 16  # members of a bucket that are compared with an image: those of the nearest lightness
BURST_S, BURST = 1.0, 30  # seconds from one photograph of a burst to the next, and most photographs of one
BATCH = 1 << 16  # pairs whose colours are compared at a time


class Pictures(NamedTuple):
    """What N pictures look like: bits (N, 4) uint64 and colours (N, 8, 8, 3) uint8, all zero where nothing is known."""

    bits: NDArray[np.uint64]
    colours: NDArray[np.uint8]


def blank_pictures(count: int) -> Pictures:
    """Of nothing is known yet."""
    return Pictures(np.zeros((count, 4), np.uint64), np.zeros((count, TILES, TILES, 3), np.uint8))


def cosines() -> NDArray[np.float64]:
    """The lowest 16 frequencies of a line of 64 px, without the constant one: (16, 64)."""
    k, x = np.arange(1, 17)[:, None], np.arange(SIDE)[None]
    waves: NDArray[np.float64] = np.cos(np.pi / (2 * SIDE) * k * (2 * x + 1))
    return waves


WAVES = cosines()


def describe(picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    """The bits (4,) and the colours (8, 8, 3) of a picture (64, 64, 3)."""
    waves = WAVES @ (picture @ np.array(GREY)) @ WAVES.T
    bits = np.packbits(waves > np.median(waves)).view(np.uint64)
    step = SIDE // TILES
    colours = picture.reshape(TILES, step, TILES, step, 3).mean((1, 3)).round().astype(np.uint8)
    return bits, colours


def group_alike(digests: NDArray[np.uint64], pictures: Pictures) -> NDArray[np.int64]:
    """A number for each image, equal for copies and for pictures that are alike, also by way of a third one.

    `digests` (N, 2) are those of the files.
    """
    _, first, inverse = np.unique(digests, axis=0, return_index=True, return_inverse=True)
    inverse = inverse.reshape(-1)
    seen = np.flatnonzero(pictures.colours[first].reshape(len(first), -1).std(1) > 0)
    bits, colours = pictures.bits[first][seen], pictures.colours[first][seen]
    pairs = [seen[pair] for pair in confirmed_pairs(bits, colours)]
    ends = np.concatenate(pairs, axis=1) if pairs else np.zeros((2, 0), np.int64)
    return join(len(first), ends)[inverse]


def group_bursts(cameras: Sequence[str], taken: Sequence[float]) -> NDArray[np.int64]:
    """A number for each photograph, equal for those that one camera took within a second of another, -1 for the rest.

    More than BURST of them are no burst but a session, or a clock that stands still: they are left apart.
    """
    numbers = np.full(len(cameras), -1, np.int64)
    order = sorted((row for row, camera in enumerate(cameras) if camera), key=lambda row: (cameras[row], taken[row]))
    runs: list[list[int]] = []
    for row in order:
        last = runs[-1][-1] if runs else row
        if runs and cameras[last] == cameras[row] and taken[row] - taken[last] <= BURST_S:
            runs[-1].append(row)
        else:
            runs.append([row])
    for number, run in enumerate(run for run in runs if 1 < len(run) <= BURST):
        numbers[run] = number
    return numbers


def join(count: int, ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """The connected part that each of `count` nodes is in, where `ends` (2, E) are the edges."""
    edges = coo_array((np.ones(ends.shape[1], np.int8), (ends[0], ends[1])), shape=(count, count))
    return np.asarray(connected_components(edges, directed=False)[1], np.int64)


def confirmed_pairs(bits: NDArray[np.uint64], colours: NDArray[np.uint8]) -> Iterator[NDArray[np.int64]]:
    """Pairs (2, P) that are alike, several times perhaps."""
    plain = colours.reshape(-1, TILES**2, 3).astype(np.float32)
    means = plain.mean(1)
    shapes = (plain - means[:, None]).reshape(len(plain), 3 * TILES**2)
    shapes /= np.maximum(np.linalg.norm(shapes, axis=1, keepdims=True), 1e-6)
    lightness = means @ np.array(GREY, np.float32)
    for i, j in hash_pairs(bits, lightness):
        near = np.bitwise_count(bits[i] ^ bits[j]).sum(1, dtype=np.int64) <= DISTANCE
        for a, b in batches(i[near], j[near], len(bits)):
            same = np.abs(means[a] - means[b]).max(1) <= LIGHTNESS
            same &= np.einsum("ij,ij->i", shapes[a], shapes[b]) >= CORRELATION
            yield np.stack([a[same], b[same]])
    flat = plain.reshape(len(plain), 3 * TILES**2)
    for i, j in colour_pairs(flat, lightness):
        for a, b in batches(i, j, len(bits)):
            same = ((flat[a] - flat[b]) ** 2).mean(1) <= SAME**2
            same &= np.einsum("ij,ij->i", shapes[a], shapes[b]) >= SAME_CORRELATION
            yield np.stack([a[same], b[same]])


def batches(i: NDArray[np.int64], j: NDArray[np.int64], count: int) -> Iterator[tuple[NDArray[np.int64], ...]]:
    """Pairs of rows below `count`, each once, so many at a time that their colours fit into memory."""
    a, b = np.divmod(np.unique(i * count + j), count)
    return ((a[low : low + BATCH], b[low : low + BATCH]) for low in range(0, len(a), BATCH))


Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


def colour_pairs(flat: NDArray[np.float32], lightness: NDArray[np.float32]) -> Iterator[Pairs]:
    """Pairs whose colours (N, 192) fall into one bucket of a table, by random projections cut into pieces."""
    random = np.random.default_rng(0)
    for _ in range(TABLES):
        directions = random.normal(0, flat.shape[1] ** -0.5, (flat.shape[1], PROJECTIONS))
        cells = np.floor((flat @ directions) / WIDTH + random.random(PROJECTIONS)).astype(np.int64)
        _, buckets = np.unique(cells, axis=0, return_inverse=True)
        order = np.lexsort((lightness, buckets.reshape(-1)))
        value = buckets.reshape(-1)[order]
        yield neighbours(order, value, np.searchsorted(value, value, side="right"))


def neighbours(order: NDArray[np.int64], value: NDArray[np.int64], ends: NDArray[np.int64]) -> Pairs:
    """Each row with those that follow it in its bucket, at most CROWD of them: the nearest in lightness."""
    low = np.arange(1, len(value) + 1)
    return expand(order, np.arange(len(value)), low, np.minimum(ends, low + CROWD))


def expand(order: NDArray[np.int64], rows: NDArray[np.int64], low: NDArray[np.int64], high: NDArray[np.int64]) -> Pairs:
    """Pairs of each of `rows` with all from its `low` to below its `high`, places in `order`."""
    counts = np.maximum(high - low, 0)
    i = np.repeat(rows, counts)
    j = np.arange(len(i)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(low, counts)
    return order[i], order[j]


def hash_pairs(bits: NDArray[np.uint64], lightness: NDArray[np.float32]) -> Iterator[Pairs]:
    """Pairs that agree in one of the 16 pieces of their bits but for one bit of it; the time is linear in N.

    A bucket has more than CROWD members where many pictures are of one kind. An image is then compared with those of
    the nearest lightness alone.
    """
    pieces = np.ascontiguousarray(bits).view(np.uint16)
    for piece in pieces.T:
        order = np.lexsort((lightness, piece))
        value, light = piece[order].astype(np.int64), lightness[order].astype(np.float64)
        starts = np.searchsorted(value, np.arange(2**PIECE + 1))
        yield neighbours(order, value, starts[value + 1])
        keys = value * 512.0 + light  # one ascending number for bucket and lightness, which is below 512
        for flip in (1 << bit for bit in range(PIECE)):
            rows = np.flatnonzero((value & flip) == 0)
            other = value[rows] ^ flip
            low, high = starts[other], starts[other + 1]
            crowded = np.flatnonzero(high - low > CROWD)
            middle = np.searchsorted(keys, other[crowded] * 512.0 + light[rows[crowded]])
            low[crowded] = np.clip(middle - CROWD // 2, low[crowded], high[crowded] - CROWD)
            high[crowded] = low[crowded] + CROWD
            yield expand(order, rows, low, high)
