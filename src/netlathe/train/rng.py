"""Random numbers as a pure function of (seed, epoch, index, view): there is no state to save, and none to go wrong.

Counter-based numbers in the spirit of Salmon et al. 2011 ("Parallel random numbers: as easy as 1, 2, 3"). A stream has
a 64-bit key, the BLAKE2b hash of (seed, epoch, what); number j of image i in view v is the finaliser of SplitMix64
(Steele, Lea and Flood 2014, figure 17) over the key, i, v and j. So an image draws the same numbers whatever else is in
its batch, on any number of processes, and after any resume.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from netlathe.errors import MissingExtra

try:
    import torch
    from torch import Tensor
except ImportError as error:
    raise MissingExtra("torch", "train") from error

Bits: TypeAlias = NDArray[np.uint64]
Integers: TypeAlias = "Sequence[int] | NDArray[np.int64] | Tensor"
GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio, odd: spreads counters over all 64 bits
VIEW = np.uint64(0xD1B54A32D192ED03)  # another odd number without pattern, for the counter of views
TINY = 2.0**-53


def shuffled_order(seed: int, epoch: int, n: int) -> NDArray[np.int64]:
    """The order of n images in an epoch: a permutation of 0..n-1, int64."""
    numbers = _mix_bits(_counters(np.arange(n), GOLDEN) ^ _key(seed, epoch, "order"))
    return np.argsort(numbers, kind="stable").astype(np.int64, copy=False)


@dataclass(frozen=True)
class CounterRNG:
    """The numbers of some images in an epoch. `what` names the stream, so that no two uses share numbers by accident.

    `view` tells apart several augmentations of one image within an epoch: one number, or one an image. Every method
    gives a tensor of shape (N,), or (N, each), on the CPU.
    """

    seed: int
    epoch: int
    indices: Integers
    view: int | Integers = 0

    def __len__(self) -> int:
        return len(self._images)

    def at(self, positions: Integers | slice) -> CounterRNG:
        """The same numbers for some of the images, by position."""
        where = positions if isinstance(positions, slice) else np.asarray(positions)
        views = np.broadcast_to(np.asarray(self.view), len(self))
        return CounterRNG(self.seed, self.epoch, np.asarray(self.indices)[where], views[where])

    def uniform(self, what: str, each: int | None = None) -> Tensor:
        """float32 in [0, 1), multiples of 2**-24."""
        return torch.from_numpy((self._bits(what, each) >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24))

    def integers(self, what: str, n: int, each: int | None = None) -> Tensor:
        """int64 in 0..n-1, for n below 2**32."""
        high = self._bits(what, each) >> np.uint64(32)
        return torch.from_numpy(((high * np.uint64(n)) >> np.uint64(32)).astype(np.int64))

    def normal(self, what: str, each: int | None = None) -> Tensor:
        """float32, standard normal (Box and Muller 1958), of absolute value below 6."""
        bits = self._bits(what, each)
        radius = ((bits >> np.uint64(40)).astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-24)
        angle = (bits & np.uint64(0xFFFFFF)).astype(np.float32) * np.float32(2.0**-23 * np.pi)
        return torch.from_numpy(np.sqrt(np.float32(-2) * np.log(radius)) * np.cos(angle))

    def beta(self, what: str, a: float) -> Tensor:
        """float32, the beta distribution with both parameters `a` > 0."""
        left, right = self._log_gamma(f"{what}: left", a), self._log_gamma(f"{what}: right", a)
        return torch.from_numpy(np.exp(left - np.logaddexp(left, right)).astype(np.float32))

    def _log_gamma(self, what: str, a: float) -> NDArray[np.float64]:
        """Logarithm of numbers of the gamma distribution of shape `a` (Marsaglia and Tsang 2000).

        Every image has its own row of attempts, so the numbers of one do not depend on how often another is refused.
        The shape is raised by one and corrected by a uniform number to the power 1/a, in logarithms: for the small `a`
        of mixup the power itself would underflow.
        """
        d = a + 1 - 1 / 3
        values, waiting, attempt = np.zeros(len(self)), np.arange(len(self)), 0
        while waiting.size:
            numbers = self.at(waiting)
            z = numbers.normal(f"{what}: normal {attempt}").numpy().astype(np.float64)
            u = numbers._open(f"{what}: uniform {attempt}")
            v = np.maximum(1 + z / np.sqrt(9 * d), TINY) ** 3
            taken = np.log(u) < z * z / 2 + d - d * v + d * np.log(v)
            values[waiting[taken]] = np.log(d * v[taken])
            waiting, attempt = waiting[~taken], attempt + 1
        return values + np.log(self._open(f"{what}: power")) / a

    def _open(self, what: str) -> NDArray[np.float64]:
        """float64 in (0, 1)."""
        return ((self._bits(what, None) >> np.uint64(11)).astype(np.float64) + 0.5) * TINY

    def _bits(self, what: str, each: int | None) -> Bits:
        """64 random bits: (N,), or (N, each)."""
        mine = self._images ^ _key(self.seed, self.epoch, what)
        return _mix_bits(mine) if each is None else _mix_bits(mine[:, None] + np.arange(each, dtype=np.uint64) * GOLDEN)

    @cached_property
    def _images(self) -> Bits:
        """64 bits for every image and view, the part that all streams share."""
        return _mix_bits(_mix_bits(_counters(self.indices, GOLDEN)) + _counters(self.view, VIEW))


def _counters(numbers: int | Integers, step: np.uint64) -> Bits:
    return (np.atleast_1d(np.asarray(numbers)).astype(np.uint64) + np.uint64(1)) * step


def _key(seed: int, epoch: int, what: str) -> np.uint64:
    """The key of a stream."""
    words = f"{seed} {epoch} {what}".encode()
    return np.uint64(int.from_bytes(hashlib.blake2b(words, digest_size=8).digest(), "little"))


def _mix_bits(bits: Bits) -> Bits:
    """A bijection of 64 bits in which every input bit reaches every output bit: SplitMix64's finaliser."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
