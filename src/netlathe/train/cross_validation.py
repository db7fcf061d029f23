"""Cross-validation for small sets: a training for each fold, judged on what it did not see, and one on everything.

The accuracy is that of all images together, each judged by the network that had not learned from it. It is the
accuracy of this way of training with a little less data, not of the final network, which nothing is left to judge.
Networks that share most of their images err alike, so the interval is a little too narrow: there is no unbiased
estimate of its width (Bengio and Grandvalet 2004, https://jmlr.org/papers/v5/grandvalet04a.html).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from netlathe.arch.trainable import Trainable
from netlathe.files import write_json
from netlathe.runfolder.folder import RunFolder
from netlathe.stats.intervals import wilson_interval
from netlathe.train.classification import TrainingResult, train
from netlathe.train.images import FoldedSplits
from netlathe.train.recipe import Recipe

FILE, FOLDER, SCHEMA = "folds.json", "folds", "netlathe.folds/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossValidation:
    """Images that were right, of those that were held out, by fold and together; the 95 % interval is Wilson's."""

    hits: int
    images: int
    share: float
    low: float
    high: float
    by_fold: tuple[tuple[int, int], ...]


def cross_validate(
    network: Trainable,
    folded: FoldedSplits,
    recipe: Recipe,
    folder: RunFolder,
    *,
    time: float | None = None,
    **options: Any,
) -> tuple[TrainingResult, CrossValidation]:
    """Train on all folds but one for each, then on all images; `options` are those of `train`.

    The folds lie in folds/ of the folder, the last training in the folder itself, the figures in folds.json; each goes
    on where it stopped. `time` is shared equally. The result is that of the last training. Raises what `train` raises.
    """
    share = None if time is None else time / (len(folded.folds) + 1)
    by_fold = []
    for i, splits in enumerate(folded.folds, 1):
        part = folder.path / FOLDER / str(i)
        unseen = replace(splits, validation=folded.whole.validation, test=splits.validation)  # no weights are picked
        result = train(network, unseen, recipe, part, time=share, **options)
        assert result.test is not None, "every fold holds images out"
        by_fold.append((round(result.test * result.test_images), result.test_images))
    summary = summarise(by_fold)
    if folder.writes:
        write_json(folder.path / FILE, {"schema": SCHEMA, **asdict(summary)})
    return train(network, folded.whole, recipe, folder, time=share, **options), summary


def summarise(by_fold: list[tuple[int, int]]) -> CrossValidation:
    """The figures of all folds together."""
    hits, images = (sum(column) for column in zip(*by_fold, strict=True))
    low, high = wilson_interval(hits, images)
    return CrossValidation(hits=hits, images=images, share=hits / images, low=low, high=high, by_fold=tuple(by_fold))
