"""Which images are held out: as the source says, else so many of each class, copies and groups together, by content.

Images that are copies of one another, or nearly, and those that the source calls a group are on one side. Every class
is cut by itself: in the order of its contents' hashes its first groups are held out until it has its share, at least
one image, and at least one stays. So neither paths nor the order of files matter, and changing the part for validation
moves no test image. A class whose images are all one group, or that has one image, stays in training.

Rare classes choose first, as in Sechidis, Tsoumakas, Vlahavas 2011, "On the stratification of multi-label data":
a group of several classes counts for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from netlathe.errors import NetlatheError
from netlathe.train.images.alike import join
from netlathe.train.images.sources import FREE, TEST, TRAIN, VALIDATION

Rows = NDArray[np.int64]
EXAMPLE = "for example 0.15 (a share) or 200 (so many images)"


class SplitRows(NamedTuple):
    """Rows of each split, ascending, how they were chosen, and the classes (by place) that could not be cut."""

    train: Rows
    validation: Rows
    test: Rows
    how: str
    whole: tuple[int, ...] = ()


class LabelledGroups(NamedTuple):
    """Images that can be held out: rows (N,) of the entry with labels (N,), and groups (N,) numbered by content."""

    rows: Rows
    labels: Rows
    groups: Rows


def check_amounts(validation: float, test: float) -> None:
    """Raises NetlatheError for parts that are neither shares nor numbers of images, or leave nothing."""
    for name, amount in (("validation", validation), ("test", test)):
        legal = 0 <= amount < 1 or (amount >= 1 and float(amount).is_integer())
        if not legal or (name == "validation" and amount == 0):
            message = f"a {name} part of {amount:g} is neither a share below 1 nor a number of images"
            raise NetlatheError(message, code="images.split", hint=EXAMPLE)
    if validation < 1 and test < 1 and validation + test >= 1:
        message = f"a validation share of {validation:g} and a test share of {test:g} leave nothing to learn from"
        raise NetlatheError(message, code="images.split", hint="together less than 1: for example 0.15 and 0.15")


def number_groups(alike: Rows, others: Sequence[Rows], digests: NDArray[np.uint64]) -> Rows:
    """A number for each image, equal for images that belong together, in the order of the least digest of a group.

    `alike` (N,) is equal for copies and near copies; each of `others` (N,) for more that belongs together, -1 for none.
    """
    ends = [link_equal(alike, np.arange(len(alike)))]
    ends += [link_equal(numbers, np.flatnonzero(numbers >= 0)) for numbers in others]
    parts = join(len(alike), np.concatenate(ends, axis=1))
    order = np.lexsort((digests[:, 1], digests[:, 0]))
    _, places, inverse = np.unique(parts[order], return_index=True, return_inverse=True)
    numbers = np.empty(len(alike), np.int64)
    numbers[order] = np.argsort(np.argsort(places))[inverse]
    return numbers


def link_equal(numbers: Rows, rows: Rows) -> Rows:
    """Edges (2, E) from each of some rows to the first of them with the same number."""
    _, first, inverse = np.unique(numbers[rows], return_index=True, return_inverse=True)
    return np.stack([rows, rows[first[inverse]]])


def split_rows(splits: NDArray[np.int8], labels: Rows, groups: Rows, validation: float, test: float) -> SplitRows:
    """The splits of rows (N,) by the source's split, their labels and their groups (`number_groups`).

    `validation` and `test` are shares of each class, or numbers of images where they are 1 or more. A split that the
    source gives stays as it is. Where it gives train alone, or nothing, both others are cut from it; where it gives a
    test split and no validation split, that is cut from train. Raises NetlatheError for numbers that cannot be.
    """
    check_amounts(validation, test)
    from_source = {code: np.flatnonzero(splits == code) for code in (FREE, TRAIN, VALIDATION, TEST)}
    learned = np.flatnonzero((splits == FREE) | (splits == TRAIN))
    if len(from_source[VALIDATION]):
        how = "as the source says" + ("" if len(from_source[TEST]) else ", without a test split")
        return SplitRows(learned, from_source[VALIDATION], from_source[TEST], how)
    pool = LabelledGroups(learned, labels[learned], groups[learned])
    whole = class_sizes(pool.labels)
    tested = from_source[TEST]
    if not len(tested) and test:
        tested = hold_out(pool, share_out(whole, whole, test, "test"))
    rest = without(pool, tested)
    held = hold_out(rest, share_out(class_sizes(rest.labels), whole, validation, "validation"))
    parts = ["test as the source says" if len(from_source[TEST]) else f"{show_amount(test)} for test"] * bool(
        len(tested)
    )
    how = ", ".join([*parts, f"{show_amount(validation)} for validation"]) + ", copies and groups together"
    cut = set(labels[np.concatenate([held, tested])].tolist())
    kept = without(rest, held).rows
    return SplitRows(kept, held, tested, how, tuple(sorted(set(pool.labels.tolist()) - cut)))


def show_amount(amount: float) -> str:
    """15 % of each class, or 200 images."""
    return f"{100 * amount:.3g} % of each class" if amount < 1 else f"{amount:,.0f} images"


def class_sizes(labels: Rows) -> dict[int, int]:
    """How many images each class has."""
    return dict(zip(*(column.tolist() for column in np.unique(labels, return_counts=True)), strict=True))


def without(pool: LabelledGroups, rows: Rows) -> LabelledGroups:
    """The pool that is left."""
    kept = ~np.isin(pool.rows, rows)
    return LabelledGroups(*(column[kept] for column in pool))


def share_out(left: dict[int, int], whole: dict[int, int], amount: float, what: str) -> dict[int, int]:
    """How many images of each class are to be held out, by what is left of a class and what it had as a whole.

    From each class with two images or more at least one, and one stays. A share is rounded class by class; a number of
    images is met, with the largest remainders rounded up. Raises NetlatheError where the classes cannot give it.
    """
    most = {label: count - 1 for label, count in left.items() if count > 1}
    if amount < 1:
        return {label: min(max(1, int(amount * whole[label] + 0.5)), top) for label, top in most.items()}
    if not len(most) <= amount <= sum(most.values()):
        message = f"{amount:,.0f} {what} images cannot be taken from {len(left):,} classes with {sum(left.values()):,}"
        hint = (
            f"{len(most):,} to {sum(most.values()):,} can: one at least of each class, and one stays; or a share, 0.15"
        )
        raise NetlatheError(message, code="images.split", hint=hint)
    exact = {label: amount * left[label] / sum(left.values()) for label in most}
    quota = {label: min(max(1, int(exact[label])), most[label]) for label in most}
    while (short := int(amount) - sum(quota.values())) != 0:
        step = 1 if short > 0 else -1
        free = [label for label in most if 1 <= quota[label] + step <= most[label]]
        ranked = sorted(free, key=lambda label: (step * (quota[label] - exact[label]), label))
        for label in ranked[: abs(short)]:
            quota[label] += step
    return quota


def hold_out(pool: LabelledGroups, quota: dict[int, int]) -> Rows:
    """Rows of whole groups, of each class about as many as its quota says; no class is left without any."""
    counts = GroupCounts(pool)
    held: dict[int, int] = dict.fromkeys(counts.left, 0)
    taken: set[int] = set()

    def take(group: int) -> None:
        taken.add(group)
        for label, count in counts.classes(group):
            held[label] += count
            counts.left[label] -= count

    for label in sorted(quota, key=lambda label: (counts.left[label], label)):
        for group, count in counts.groups_of(label):
            if held[label] >= quota[label]:
                break
            if group not in taken and held[label] + count <= quota[label] and counts.can_lose(group):
                take(group)
        need = quota[label] - held[label]
        others = [(n, g) for g, n in counts.groups_of(label) if need > 0 and g not in taken and counts.can_lose(g)]
        if others and (not held[label] or min(others)[0] < 2 * need):
            take(min(others)[1])
    return pool.rows[np.isin(pool.groups, np.fromiter(taken, np.int64, len(taken)))]


class GroupCounts:
    """How many images of each class a group has, and how many of each class are left in training."""

    def __init__(self, pool: LabelledGroups) -> None:
        keys, counts = np.unique(np.stack([pool.labels, pool.groups]), axis=1, return_counts=True)
        self.left = class_sizes(pool.labels)
        self.by_class: dict[int, list[tuple[int, int]]] = {label: [] for label in self.left}
        self.by_group: dict[int, list[tuple[int, int]]] = {}
        for label, group, count in zip(*keys.tolist(), counts.tolist(), strict=True):
            self.by_class[label].append((group, count))
            self.by_group.setdefault(group, []).append((label, count))

    def groups_of(self, label: int) -> list[tuple[int, int]]:
        """Groups with images of a class, and how many; in the order of their numbers."""
        return self.by_class[label]

    def classes(self, group: int) -> Iterable[tuple[int, int]]:
        """Classes of a group, and how many images it has of each."""
        return self.by_group[group]

    def can_lose(self, group: int) -> bool:
        """Whether every class of a group keeps an image without it."""
        return all(self.left[label] > count for label, count in self.by_group[group])
