"""Space: a network with open choices as a set of networks, sampled, changed, decoded and encoded by genotype.

A space needs no second definition: it is an expression that contains `Choice` nodes. Width is a choice of convolutions,
depth one of stages (or of identity), wiring one of small dags that read all earlier states; the resolution of the image
is a decision of the space itself. Choices of one id are one decision, so a cell that repeats is chosen once. All
randomness comes from the generator that is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

import numpy as np

from netlathe.arch.combinators import Choice, Combinator
from netlathe.arch.network import Network
from netlathe.arch.node import Node
from netlathe.arch.rewrite import join, rewrite, walk
from netlathe.errors import NetlatheError
from netlathe.search import genotype as tree
from netlathe.search.canonical import canonical_form
from netlathe.search.genotype import DecisionNode, DecisionPoint, Genotype, Open, genotype_text

__all__ = ["DecisionPoint", "Genotype", "SearchSpace"]

RESOLUTION = "resolution"


@dataclass(frozen=True)
class SearchSpace:
    """The networks of an expression with open choices, at one or several resolutions.

    A choice without an id is a decision of its own, named by its path. `merge` says by a genotype in normal form which
    networks are one; the default is their canonical form. Raises NetlatheError where one id stands for different
    options.
    """

    name: str
    network: Network
    resolutions: tuple[int, ...] = ()
    merge: Callable[[Genotype], str] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "network", replace(self.network, body=name_choices(self.network.body)))
        assert self.decisions is not None  # an inconsistent space is refused when it is made

    @cached_property
    def points(self) -> Open:
        """The tree of decisions."""
        points = decision_tree(self.network.body)
        if not self.resolutions:
            return points
        sizes = DecisionPoint(RESOLUTION, tuple(map(str, self.resolutions)))
        return (DecisionNode(sizes, ((),) * len(self.resolutions)), *points)

    @cached_property
    def decisions(self) -> tuple[DecisionPoint, ...]:
        """What is to be decided; those that open others come before them. Empty where nothing is open."""
        return tree.list_decisions(self.points)

    @cached_property
    def size(self) -> int:
        """The number of genotypes in normal form; 1 where nothing is open."""
        return tree.count_genotypes(self.points)

    @cached_property
    def flat(self) -> bool:
        """Whether no decision opens another."""
        return not any(opens for point in self.points for opens in point.opens)

    @cached_property
    def radices(self) -> tuple[int, ...]:
        """The number of options of every decision."""
        return tuple(len(decision.options) for decision in self.decisions)

    def check(self, genotype: Sequence[int]) -> Genotype:
        """The genotype as a tuple of whole numbers. Raises NetlatheError with the decision that is not legal."""
        if len(genotype) != len(self.radices):
            raise NetlatheError(
                f"a genotype of {self.name} has {len(self.radices)} decisions, not {len(genotype)}",
                code="search.genotype",
                hint=f"in this order: {', '.join(decision.name for decision in self.decisions)}",
            )
        for pick, decision in zip(genotype, self.decisions, strict=True):
            if not 0 <= pick < len(decision.options):
                options = ", ".join(f"{i} {option}" for i, option in enumerate(decision.options))
                raise NetlatheError(
                    f"{self.name} has no option {pick} of {decision.name}",
                    code="search.genotype",
                    path=decision.name,
                    hint=f"legal: {options}",
                )
        return tuple(map(int, genotype))

    def active(self, genotype: Genotype) -> dict[str, int]:
        """The decisions that have an effect under this genotype, with the option taken."""
        picks = {decision.name: pick for decision, pick in zip(self.decisions, genotype, strict=True)}
        return picks if self.flat else tree.active_decisions(self.points, picks)

    def normal(self, genotype: Sequence[int]) -> Genotype:
        """The same network's genotype with the decisions that have no effect at 0."""
        return self.genotype_of(self.active(self.check(genotype)))

    def genotype_of(self, picks: dict[str, int]) -> Genotype:
        """The genotype of picks by name, 0 where none is said."""
        return tuple(picks.get(decision.name, 0) for decision in self.decisions)

    def nth(self, index: int) -> Genotype:
        """The genotype of that number, from 0 up to `size`, in a fixed order."""
        if not 0 <= index < self.size:
            raise NetlatheError(f"{self.name} has {self.size} genotypes: {index} is none", code="search.genotype")
        return self.genotype_of(tree.nth_genotype(self.points, index))

    def all(self) -> Iterator[Genotype]:
        """Every genotype in normal form."""
        return (self.nth(index) for index in range(self.size))

    def sample(self, rng: np.random.Generator) -> Genotype:
        """A genotype in normal form, each with the same probability."""
        if self.flat:
            return tuple(rng.integers(self.radices).tolist()) if self.radices else ()
        return self.nth(tree.random_below(self.size, rng))

    def mutate(self, genotype: Genotype, rng: np.random.Generator) -> Genotype:
        """One active decision changed to another option; decisions that this opens are drawn afresh.

        The decision and its new option are uniform. A space of one point gives that point back.
        """
        picks = self.active(genotype)
        free = [i for i, decision in enumerate(self.decisions) if decision.name in picks and len(decision.options) > 1]
        if not free:
            return genotype
        decision = self.decisions[free[int(rng.integers(len(free)))]]
        other = int(rng.integers(len(decision.options) - 1))
        picks[decision.name] = other + (other >= picks[decision.name])
        if self.flat:
            return self.genotype_of(picks)
        left = self.points
        for name, option in picks.items():
            left = tree.take_option(left, name, option)
        drawn = tree.nth_genotype(left, tree.random_below(tree.count_genotypes(left), rng))
        return self.normal(self.genotype_of(picks | drawn))

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """Every genotype with one active decision changed; decisions that this opens are at their first option."""
        picks = self.active(genotype)
        for decision in self.decisions:
            if decision.name in picks:
                for option in range(len(decision.options)):
                    if option != picks[decision.name]:
                        changed = self.genotype_of(picks | {decision.name: option})
                        yield changed if self.flat else self.normal(changed)

    def options(self, genotype: Genotype) -> dict[str, str]:
        """What a genotype says, by the names of decisions and options; without those that have no effect."""
        picks = self.active(self.check(genotype))
        return {d.name: d.options[picks[d.name]] for d in self.decisions if d.name in picks}

    def decode(self, genotype: Sequence[int]) -> Network:
        """The network of a genotype, named after it. Raises NetlatheError for an illegal genotype."""
        picks = self.active(self.check(genotype))
        return replace(self.build(picks), name=f"{self.name}-{genotype_text(self.genotype_of(picks))}".rstrip("-"))

    def build(self, picks: dict[str, int]) -> Network:
        """The network under the active decisions."""
        network = replace(self.network, body=take_choices(self.network.body, tuple(picks.items())))
        return network.at(self.resolutions[picks[RESOLUTION]]) if self.resolutions else network

    def find(self, network: Network) -> dict[str, int]:
        """The decisions that give a network. Raises NetlatheError, with the place, where none do."""
        start: dict[str, int] = {}
        if self.resolutions and network.input[1:] in [(side, side) for side in self.resolutions]:
            start[RESOLUTION] = self.resolutions.index(network.input[1])
        elif network.input != self.network.input or self.resolutions:
            sizes = ", ".join(map(str, self.resolutions)) or "x".join(map(str, self.network.input))
            raise self.not_a_member(network, f"it reads {'x'.join(map(str, network.input))}", f"legal sizes: {sizes}")
        ends: list[str] = []
        picks = next(match_choices(self.network.body, network.body, start, "", ends), None)
        if picks is None or network.more != self.network.more:
            where = next((path for path in ends if path), "")
            raise self.not_a_member(
                network, f"no option gives what it has {f'at {where}' if where else 'on the whole'}"
            )
        return picks

    def not_a_member(self, network: Network, why: str, hint: str = "") -> NetlatheError:
        """The error for a network that is no member."""
        return NetlatheError(
            f"{network.name} is not in the space {self.name}: {why}", code="search.not_member", hint=hint
        )

    def encode(self, network: Network) -> Genotype:
        """The genotype of a network, by its expression. Raises NetlatheError if it is not a member."""
        return self.normal(self.genotype_of(self.find(network)))

    def contains(self, network: Network) -> bool:
        """Whether a network is a member."""
        try:
            self.encode(network)
        except NetlatheError:
            return False
        return True

    def key(self, genotype: Sequence[int]) -> str:
        """What networks share that are one; by default their canonical form (`canonical.form`)."""
        genotype = self.normal(genotype)
        if genotype not in self._keys:
            self._keys[genotype] = self.merge(genotype) if self.merge else canonical_form(self.decode(genotype))
        return self._keys[genotype]

    @cached_property
    def _keys(self) -> dict[Genotype, str]:
        """The keys that were asked for; some 100 bytes each."""
        return {}


def name_choices(body: Node) -> Node:
    """The expression with every choice named: by its id, else by its path."""
    if not any(isinstance(node, Choice) and not node.id for _, node in walk(body)):
        return body

    def name(path: str, node: Node) -> Node | None:
        return replace(node, id=path or "choice") if isinstance(node, Choice) and not node.id else None

    return rewrite(body, name)


@lru_cache(maxsize=1 << 14)
def decision_tree(node: Node) -> Open:
    """The tree of decisions that an expression opens, equal ones once."""
    if isinstance(node, Choice):
        return (DecisionNode(DecisionPoint(node.id, node.names), tuple(decision_tree(item) for item in node.items)),)
    nodes: dict[DecisionNode, None] = {}
    for _, child in node.children():
        nodes |= dict.fromkeys(decision_tree(child))
    return tuple(nodes)


@lru_cache(maxsize=1 << 14)
def decisions_below(node: Node) -> frozenset[str]:
    """The names of the decisions that an expression depends on."""
    return frozenset(decision.name for decision in tree.walk_decisions(decision_tree(node)))


def take_choices(node: Node, picks: tuple[tuple[str, int], ...]) -> Node:
    """The expression with its choices taken."""
    names = decisions_below(node)
    return _take_choices(node, tuple(pick for pick in picks if pick[0] in names)) if names else node


@lru_cache(maxsize=1 << 16)
def _take_choices(node: Node, picks: tuple[tuple[str, int], ...]) -> Node:
    """Remembered by the picks that matter: networks of a space share their parts, and so what is known of these."""
    if isinstance(node, Choice):
        return take_choices(node.items[dict(picks)[node.id]], picks)
    assert isinstance(node, Combinator)
    return node.rebuild(tuple(take_choices(child, picks) for _, child in node.children()))


def match_choices(
    pattern: Node, node: Node, picks: dict[str, int], path: str, ends: list[str]
) -> Iterator[dict[str, int]]:
    """Every way to take the choices of `pattern` that gives `node`; `ends` gathers the paths that no way passes."""
    if isinstance(pattern, Choice):
        picked, passed = picks.get(pattern.id), False
        for option in range(len(pattern.items)) if picked is None else (picked,):
            for way in match_choices(pattern.items[option], node, picks | {pattern.id: option}, path, []):
                passed = True
                yield way
        if not passed:
            ends.append(path)
        return
    if not decisions_below(pattern):
        if pattern == node:
            yield picks
        else:
            ends.append(path)
        return
    assert isinstance(pattern, Combinator)
    ours, theirs = list(pattern.children()), list(node.children())
    alike = [name for name, _ in ours] == [name for name, _ in theirs]
    if not alike or pattern.rebuild(tuple(child for _, child in theirs)) != node:
        ends.append(path)
        return

    def rest(i: int, picks: dict[str, int]) -> Iterator[dict[str, int]]:
        if i == len(ours):
            yield picks
            return
        (name, child), (_, other) = ours[i], theirs[i]
        for way in match_choices(child, other, picks, join(path, name), ends):
            yield from rest(i + 1, way)

    yield from rest(0, picks)
