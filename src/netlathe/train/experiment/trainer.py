"""How an experiment trains: each run by `train()`, with what its cell says and what all runs share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from netlathe.arch.trainable import Trainable
from netlathe.cost.count import count
from netlathe.errors import NetlatheError, unknown
from netlathe.runfolder.identity import content_hash
from netlathe.train import checkpoint
from netlathe.train.classification import train
from netlathe.train.experiment.grid import ExperimentRun, RunResult, Trainer
from netlathe.train.experiment.subset import take_fraction
from netlathe.train.images import Splits
from netlathe.train.recipe import Recipe
from netlathe.train.recipefile import recipe_key
from netlathe.train.run import fit_to_images

EQUAL = ("epochs", "images", "macs")


class ExperimentSetup(NamedTuple):
    """What the names of an experiment stand for. `epochs` of None are the recipes' own; `equal` is a word of EQUAL."""

    networks: Mapping[str, Trainable]
    recipes: Mapping[str, Recipe]
    splits: Splits
    epochs: float | None = None
    equal: str = "epochs"

    def content(self, network: str, recipe: str, fraction: float) -> str:
        """A hash of all that makes a run of this cell. Raises NetlatheError where the network does not fit."""
        images = [s.key for s in (self.splits.train, self.splits.validation, self.splits.test) if s is not None]
        epochs = self.epochs_of(network, recipe, fraction)
        return content_hash(
            self.fitted(network, recipe).key, recipe_key(self.recipes[recipe]), images, fraction, epochs
        )

    def epochs_of(self, network: str, recipe: str, fraction: float) -> float:
        """How often a run passes over its images.

        Equal epochs: the same for all. Equal images: as many times more often as the part is smaller. Equal MACs: that,
        and as many times more often as the network costs less than the first one, at the recipe's resolution.
        """
        if self.equal not in EQUAL:
            raise unknown("way to be equal", self.equal, EQUAL, code="study.equal")
        epochs = self.recipes[recipe].epochs if self.epochs is None else self.epochs
        if self.equal == "epochs":
            return epochs
        if self.equal == "images":
            return epochs / fraction
        first = next(iter(self.networks))
        return epochs / fraction * self.macs(first, recipe) / self.macs(network, recipe)

    def macs(self, network: str, recipe: str) -> int:
        """MACs of one image in training."""
        fitted = self.fitted(network, recipe)
        return int(count(fitted.graph()).macs)

    def fitted(self, network: str, recipe: str) -> Trainable:
        """A network for the images and the recipe's resolution. Raises NetlatheError, with the name of the network."""
        try:
            return fit_to_images(self.networks[network], self.splits.train, self.recipes[recipe])
        except NetlatheError as error:
            error.path = ".".join(filter(None, (network, error.path)))
            raise

    def costs(self, network: str) -> dict[str, int]:
        """Params and MACs at the resolution of the first recipe."""
        fitted = self.fitted(network, next(iter(self.recipes)))
        cost = count(fitted.graph())
        return {"params": int(cost.params), "macs": int(cost.macs)}


def make_trainer(
    setup: ExperimentSetup, *, time: float | None = None, precision: str = "auto", threads: int | None = None
) -> Trainer:
    """What does a run of the experiment. `time` is a wall in seconds for each of them.

    The precision that is found fastest in the first run of a network is that of all its runs, so that it is no source
    of differences between them. Checkpoints of finished runs go; weights, model and metrics stay.
    """

    def run(cell: ExperimentRun, folder: Path, before: Mapping[ExperimentRun, RunResult]) -> RunResult:
        chosen = next((o.precision for other, o in before.items() if other.network == cell.network), precision)
        result = train(
            setup.networks[cell.network],
            take_fraction(setup.splits, cell.fraction, cell.seed),
            setup.recipes[cell.recipe],
            folder,
            seed=cell.seed,
            epochs=setup.epochs_of(cell.network, cell.recipe, cell.fraction),
            time=time,
            precision=chosen,
            threads=threads,
        )
        for slot in checkpoint.SLOTS:
            (folder / slot).unlink(missing_ok=True)
        return RunResult(
            validation=result.validation,
            test=result.test,
            images=result.images,
            macs=result.macs_seen,
            seconds=result.seconds,
            precision=result.precision,
        )

    return run
