"""The candidates of a fit: networks of the zoo, turned by their own knobs, that fit the budget by construction.

Nothing here is sampled and rejected: for each family and resolution the widest member that may keep the budget is
found, so a tight budget gives small candidates, not none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from netlathe import zoo
from netlathe.arch.network import Network
from netlathe.arch.trainable import Trainable
from netlathe.choose.budget import LIMITS, Budget, Candidate, candidate_on
from netlathe.errors import NetlatheError
from netlathe.target.target import Target


class CandidateFamily(NamedTuple):
    """A network of the zoo and the settings of its own knobs, from the narrowest to the widest; or one network."""

    name: str
    settings: tuple[dict[str, Any], ...] = ({},)
    network: Network | None = None  # of another source than the zoo: it has no knobs

    def build(self, settings: dict[str, Any]) -> Network:
        """A member, named after its settings."""
        words = ",".join(f"{knob}={value:g}" for knob, value in settings.items())
        network = self.network or zoo.get(self.name, **settings)
        return replace(network, name=f"{self.name}:{words}" if words else self.name)


def vary_knob(name: str, knob: str, values: Iterable[float], **fixed: Any) -> CandidateFamily:
    """A family with one knob."""
    return CandidateFamily(name, tuple({knob: value} | fixed for value in values))


# Ordered by how well the family learns from few images on a short schedule: plain residual networks first, networks
# without convolutional bias last (docs/experiments.md has our measurement of that).
FAMILIES = (
    vary_knob("resnet20", "width", (8, 12, 16, 24, 32, 48, 64, 96)),
    vary_knob("resnet18", "width", (8, 12, 16, 24, 32, 48, 64)),
    vary_knob("mobilenetv2", "alpha", (0.35, 0.5, 0.75, 1.0, 1.4)),
    vary_knob("resnet20", "width", (8, 12, 16, 24, 32, 48, 64), depth=14),
    CandidateFamily("regnety_200mf", ({},)),
    CandidateFamily("regnety_400mf", ({},)),
    vary_knob("mobilenetv1", "alpha", (0.25, 0.5, 0.75, 1.0)),
    CandidateFamily("mobilenetv3_small", ({},)),
    CandidateFamily("efficientnet_b0", ({},)),
    CandidateFamily("convnext_atto", ({},)),
)
RESOLUTIONS = (16, 32, 48, 64, 96, 128, 160, 192, 224)


class ImageSpec(NamedTuple):
    """What the images ask of a network."""

    classes: int
    channels: int
    side: int  # px of the short side: no finer resolution shows more

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Those worth trying: from a sixth of the side up to it, tiny images magnified up to 32 px."""
        return tuple(r for r in RESOLUTIONS if self.side / 6 <= r <= max(32, self.side))


def find_fitting(
    targets: Sequence[Target],
    budget: Budget,
    images: ImageSpec,
    most_macs: float,
    families: Sequence[CandidateFamily] = FAMILIES,
) -> list[Candidate]:
    """The widest member of each family at each resolution that may keep the budget, on each target.

    `most_macs` is what training can afford an image. In the order of the families, finest resolution first. A latency
    is kept if the lower end of its forecast keeps it; measuring decides later. Empty where nothing fits.
    """
    widest_members: dict[str, Candidate] = {}
    for family in families:
        for resolution in reversed(images.resolutions):
            for target in targets:
                widest = next(iterate_members(target, budget, images, family, resolution, most_macs), None)
                if widest is not None:
                    widest_members.setdefault(f"{widest.net.key} {widest.runtime} {widest.precision}", widest)
    return list(widest_members.values())


def iterate_members(
    target: Target, budget: Budget, images: ImageSpec, family: CandidateFamily, resolution: int, most_macs: float
) -> Iterator[Candidate]:
    """Those of a family that may keep the budget, the widest first."""
    for settings in reversed(family.settings):
        candidate = build_candidate(target, images, family.build(settings), resolution)
        if candidate is not None and candidate.macs <= most_macs and budget.possible(candidate):
            yield candidate


def build_candidate(target: Target, images: ImageSpec, network: Trainable, resolution: int) -> Candidate | None:
    """A network for the images at a resolution, with its costs; None where the image is too small for it.

    No accuracy is known before training.
    """
    try:
        fitted = network.for_images(classes=images.classes, channels=images.channels, resolution=resolution)
        return candidate_on(target, fitted.renamed(network.name))
    except NetlatheError:  # a map that vanishes on the way: another resolution of the family serves
        return None


def smallest_members(
    targets: Sequence[Target], images: ImageSpec, families: Sequence[CandidateFamily] = FAMILIES
) -> list[Candidate]:
    """The cheapest member of each family at the coarsest resolution it takes: what an impossible budget is told."""
    members = []
    for family in families:
        for target in targets:
            tries = (
                build_candidate(target, images, family.build(family.settings[0]), resolution)
                for resolution in images.resolutions
            )
            members += [c for c in [next((c for c in tries if c is not None), None)] if c is not None]
    return members


def interleave_families(candidates: list[Candidate], count: int) -> list[Candidate]:
    """A shortlist: turns through the families, each giving its next resolution, until there are `count`."""
    by_family: dict[str, list[Candidate]] = {}
    for c in candidates:
        by_family.setdefault(c.net.name.partition(":")[0], []).append(c)
    for members in by_family.values():  # the one that uses most of the budget first: it has the most to learn with
        members.sort(key=lambda c: -c.macs)
    turns = max(map(len, by_family.values()), default=0)
    return [members[i] for i in range(turns) for members in by_family.values() if i < len(members)][:count]


def nearest_budgets(budget: Budget, candidates: list[Candidate]) -> dict[str, str]:
    """For each limit that all break: the least that one of them needs, as the option takes it."""
    return {
        limit.name: limit.ask(min(limit.used(c) for c in candidates))
        for limit in LIMITS
        if all(limit in budget.broken(c) for c in candidates)
    }
