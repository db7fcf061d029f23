"""The accuracy of a network after a short, whole schedule of a recipe, on the validation images.

A fraction of the whole evaluation is a schedule of its own, as long as that fraction and annealed to its end: on a
higher rung the learning rate comes up again, from the weights of the rung below. The search never sees the test images:
an objective does not hold them.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from netlathe.arch.network import Network
from netlathe.errors import NetlatheError
from netlathe.reshape.classes import for_images
from netlathe.search.costing import Costing
from netlathe.search.objective import MAX_FRESH_SEEDS, Objective, measure_latency
from netlathe.search.trial import Costs, Evaluation, Genotype, TrialTask

if TYPE_CHECKING:
    from netlathe.search.space import SearchSpace
    from netlathe.train.images import ImageSet, Splits
    from netlathe.train.recipe import Recipe

SUBSET = 0  # the seed of the part of the training images: the same images for every trial


@dataclass(frozen=True)
class TrainingSpec:
    """The data of the objective. `images` is the key of the training images, which a resumed search finds again."""

    kind: ClassVar[str] = "train"
    data: str
    recipe: dict[str, Any] = field(hash=False)  # resolved: every field
    epochs: float
    classes: int
    channels: int
    images: str
    fraction: float = 1.0  # of the training images
    judges: int = 0  # validation images, about; 0: all
    precision: str = "fp32"  # a policy that is fixed: measuring for the fastest one would make trials differ by chance
    threads: int = 1

    def contents(self, space: SearchSpace) -> dict[str, Any]:
        """The images, those that decide and those for the winner as well."""
        from netlathe.train.folder import images_content

        return {"data": images_content(load_images(self.data, image_side(self.recipe, space)), self.data)}

    def objective(self, space: SearchSpace, costing: Costing) -> Objective:
        """Loads images only when the first trial is trained."""
        return TrainingObjective(self, space, costing)


def training_spec(
    data: str,
    recipe: Recipe,
    space: SearchSpace,
    *,
    epochs: float | None = None,
    fraction: float = 1.0,
    judges: int = 0,
    precision: str = "fp32",
    threads: int = 1,
) -> TrainingSpec:
    """The description for a source of images, decoded and counted now. `epochs` None is the recipe's."""
    from netlathe.train.recipefile import resolve

    document = resolve(recipe)
    splits = load_images(data, image_side(document, space))
    channels = splits.train.pixels.shape[-1]
    return TrainingSpec(
        data=data,
        recipe=document,
        epochs=recipe.epochs if epochs is None else epochs,
        classes=len(splits.train.classes),
        channels=channels,
        images=splits.train.key,
        fraction=fraction,
        judges=judges,
        precision=precision,
        threads=threads,
    )


def image_side(recipe: Mapping[str, Any], space: SearchSpace) -> int:
    """The pixels that the images need: of the finest resolution that is trained or tested."""
    tested, crop = int(recipe["evaluate"]["resolution"]), float(recipe["evaluate"]["crop"])
    if space_resolutions(space):
        return ceil(max(space_resolutions(space)) / crop)
    return max(int(recipe["resolution"]), ceil(tested / crop))


def space_resolutions(space: SearchSpace) -> list[int]:
    """The resolutions among which a space decides; empty where it does not."""
    options = [option for decision in space.decisions if decision.name == "resolution" for option in decision.options]
    return [int(option) if option.isdecimal() else space.network.input[-1] for option in options]


def load_images(data: str, size: int) -> Splits:
    """The images of a source."""
    from netlathe.train.images import load

    return load(data, size=size)


class TrainingObjective:
    """Trains every trial in a folder of its own, which goes on where a kill stopped it."""

    fresh = MAX_FRESH_SEEDS

    def __init__(self, spec: TrainingSpec, space: SearchSpace, costing: Costing) -> None:
        self.spec, self.space, self.costing, self.hopeful = spec, space, costing, costing.measures

    @cached_property
    def splits(self) -> Splits:
        """The images to learn from and to decide on; the test images are not among them."""
        from netlathe.train.experiment.subset import choose_rows, select_rows, take_fraction

        spec = self.spec
        splits = load_images(spec.data, image_side(spec.recipe, self.space))
        if splits.train.key != spec.images:
            hint = "give back the images that the search began with, or search in another folder"
            raise NetlatheError("these are other images than before", code="search.data", path=spec.data, hint=hint)
        judges = splits.validation
        if 0 < spec.judges < len(judges):
            judges = select_rows(judges, choose_rows(judges.labels, spec.judges / len(judges), SUBSET))
        return take_fraction(replace(splits, validation=judges, test=None), spec.fraction, SUBSET)

    def network(self, genotype: Genotype) -> Network:
        """The network for the images: at its own resolution where the space decides it, else at the recipe's."""
        network, spec = self.space.decode(genotype), self.spec
        resolution = network.input[-1] if space_resolutions(self.space) else int(spec.recipe["evaluate"]["resolution"])
        return for_images(network, classes=spec.classes, channels=spec.channels, resolution=resolution)

    def recipe(self, genotype: Genotype) -> Recipe:
        """The recipe at the resolution of the network."""
        from netlathe.train.recipecheck import from_dict
        from netlathe.train.recipefile import set_fields

        recipe = from_dict(self.spec.recipe)
        if not space_resolutions(self.space):
            return recipe
        px = self.network(genotype).input[-1]
        return set_fields(recipe, [f"resolution={px}", f"evaluate.resolution={px}"])

    def costs(self, genotype: Genotype) -> Costs:
        """Of the network for these images."""
        return self.costing.costs(self.network(genotype))

    def evaluate(self, task: TrialTask) -> Evaluation:
        """Measure its latency where one is asked for, then train it."""
        from netlathe.train.classification import train
        from netlathe.train.export import read_weights
        from netlathe.train.metrics import read

        network, folder = self.network(task.genotype), Path(task.folder)
        evaluation = measure_latency(self.costing, network)
        if evaluation.broken:
            return evaluation
        result = train(
            network,
            self.splits,
            self.recipe(task.genotype),
            folder,
            seed=task.seed,
            epochs=self.spec.epochs * task.fraction,
            weights=read_weights(Path(task.before)) if task.before else None,
            precision=self.spec.precision,
            threads=self.spec.threads,
        )
        assert result.validation is not None
        events = [event for event in read(folder) if event["event"] == "evaluation"]
        curve = tuple({name: event[name] for name in ("epoch", "accuracy", "loss")} for event in events)
        remove_checkpoints(folder)
        return evaluation._replace(score=100 * result.validation, costs=evaluation.costs, curve=curve)

    def remeasured(self, genotype: Genotype) -> Costs:
        """Costs with a latency that a claim can rest on: of several fresh processes."""
        from netlathe.bench.measure import HEADLINE

        return self.costing.measured(self.network(genotype), HEADLINE)[0]

    def tested(self, genotype: Genotype, folder: Path) -> float:
        """The accuracy of a finished training on the test images, %: asked once, of the winner's final trainings."""
        return 100 * float(self.right(genotype, folder, load_test_images(self.spec, self.space)).mean())

    def right(self, genotype: Genotype, folder: Path, images: ImageSet) -> Any:
        """Which images a finished training gets right."""
        from netlathe.train.evaluate import correct_images, measure_normalisation

        return correct_images(folder, images, self.recipe(genotype), measure_normalisation(self.splits.train))


def load_test_images(spec: TrainingSpec, space: SearchSpace) -> ImageSet:
    """The held-out images. Raises NetlatheError where the source has none."""
    images = load_images(spec.data, image_side(spec.recipe, space)).test
    if images is None or not len(images):
        raise NetlatheError("there are no test images", code="search.data", path=spec.data)
    return images


def remove_checkpoints(folder: Path) -> None:
    """Without the checkpoints of a finished training."""
    from netlathe.train.checkpoint import SLOTS

    for slot in SLOTS:
        with suppress(OSError):
            (folder / slot).unlink()
