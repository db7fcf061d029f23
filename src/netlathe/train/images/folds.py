"""Folds for cross-validation: disjoint parts of the images, stratified by class, copies and groups together."""

from __future__ import annotations

import numpy as np

from netlathe.errors import NetlatheError
from netlathe.train.images.split import GroupCounts, LabelledGroups, Rows


def fold_rows(pool: LabelledGroups, folds: int) -> list[Rows]:
    """Rows (ascending) that each of the folds holds out; those in none are learned from in all.

    Group by group, largest first and rare classes first, into the fold with the fewest images of the class, then with
    the fewest images. Each class has images to learn from in every fold, so a class of one group is in none. Raises
    NetlatheError for less than two folds, and for more than there are groups.
    """
    counts = GroupCounts(pool)
    most = max(map(len, counts.by_class.values()), default=0)
    if not 2 <= folds <= most:
        message = (
            f"{folds} folds cannot be made: the largest class has {most:,} images that are no copies of each other"
        )
        raise NetlatheError(message, code="images.folds", hint=f"2 to {min(most, 10)} folds can" if most > 1 else "")
    lone = {groups[0][0] for groups in counts.by_class.values() if len(groups) == 1}
    fold_of: dict[int, int] = {}
    sizes = [0] * folds
    images_in, groups_in = ([dict.fromkeys(counts.left, 0) for _ in range(folds)] for _ in range(2))

    def leaves_none(group: int, fold: int) -> bool:
        """Whether a class of the group would be in no other fold."""
        return any(groups_in[fold][label] == len(counts.groups_of(label)) - 1 for label, _ in counts.classes(group))

    for label in sorted(counts.left, key=lambda label: (counts.left[label], label)):
        for group, _ in sorted(counts.groups_of(label), key=lambda row: (-row[1], row[0])):
            if group in lone or group in fold_of:
                continue
            ranked = sorted(range(folds), key=lambda fold: (images_in[fold][label], sizes[fold], fold))
            if (fold := next((fold for fold in ranked if not leaves_none(group, fold)), None)) is None:
                lone.add(group)
                continue
            fold_of[group] = fold
            for other, count in counts.classes(group):
                images_in[fold][other] += count
                groups_in[fold][other] += 1
                sizes[fold] += count
    places = np.array([fold_of.get(group, -1) for group in pool.groups.tolist()])
    return [pool.rows[places == fold] for fold in range(folds)]
