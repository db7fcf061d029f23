"""Genotypes: a point of a space as one number a decision, and the arithmetic of decisions that open others.

What is open is a tree: `Open` lists the choices that are met, each with what every option of it opens in turn. A
decision is active where a choice of that name is met under the options taken; others are 0 in the normal form, so that
every network of the space has exactly one normal genotype for each way to take its active decisions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy as np

from netlathe.errors import NetlatheError

Genotype = tuple[int, ...]  # the index of an option for each decision, in the order of Space.decisions
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class DecisionPoint(NamedTuple):
    """A choice by its name: choices of equal names, anywhere in the expression, are one decision."""

    name: str
    options: tuple[str, ...]


class DecisionNode(NamedTuple):
    """An open choice, and what each of its options opens."""

    decision: DecisionPoint
    opens: tuple[tuple[DecisionNode, ...], ...]


Open = tuple[DecisionNode, ...]


def list_decisions(points: Open) -> tuple[DecisionPoint, ...]:
    """Every decision once, in order of appearance, those that open others first.

    Raises NetlatheError where one name stands for choices of different options.
    """
    by_name: dict[str, DecisionPoint] = {}
    for decision in walk_decisions(points):
        earlier = by_name.setdefault(decision.name, decision)
        if earlier.options != decision.options:
            raise NetlatheError(
                f"the decision {decision.name!r} has the options {', '.join(earlier.options)} in one place and "
                f"{', '.join(decision.options)} in another",
                code="search.decision",
                hint="choices of one id are one decision: give them the same options, or another id",
            )
    return tuple(by_name.values())


def walk_decisions(points: Open) -> Iterator[DecisionPoint]:
    """The decision of every point, in pre-order."""
    for point in points:
        yield point.decision
        for opened in point.opens:
            yield from walk_decisions(opened)


@lru_cache(maxsize=1 << 14)
def decision_names(point: DecisionNode) -> frozenset[str]:
    """All decisions that a point depends on."""
    return frozenset(decision.name for decision in walk_decisions((point,)))


@lru_cache(maxsize=1 << 14)
def take_option(points: Open, name: str, option: int) -> Open:
    """What stays open once a decision is taken."""
    left: dict[DecisionNode, None] = {}
    for point in points:
        if name not in decision_names(point):
            left[point] = None
        elif point.decision.name == name:
            left |= dict.fromkeys(take_option(point.opens[option], name, option))
        else:
            left[DecisionNode(point.decision, tuple(take_option(opened, name, option) for opened in point.opens))] = (
                None
            )
    return tuple(left)


@lru_cache(maxsize=1 << 14)
def components(points: Open) -> tuple[Open, ...]:
    """The points in groups that share no decision: their numbers of genotypes multiply."""
    groups: list[tuple[set[str], list[DecisionNode]]] = []
    for point in points:
        names, together = set(decision_names(point)), [point]
        apart = []
        for group in groups:
            if group[0] & names:
                names, together = names | group[0], group[1] + together
            else:
                apart.append(group)
        groups = [*apart, (names, together)]
    return tuple(tuple(group) for _, group in groups)


@lru_cache(maxsize=1 << 14)
def count_genotypes(points: Open) -> int:
    """The number of normal genotypes."""
    return prod(sum(count_by_option(group)) for group in components(points))


@lru_cache(maxsize=1 << 14)
def count_by_option(group: Open) -> tuple[int, ...]:
    """For each option of the first decision of a group, the number of normal genotypes with it."""
    name, options = group[0].decision
    return tuple(count_genotypes(take_option(group, name, option)) for option in range(len(options)))


def nth_genotype(points: Open, index: int) -> dict[str, int]:
    """The active decisions of the normal genotype of that number, from 0 up to `count`."""
    picked: dict[str, int] = {}
    for group in components(points):
        index, rest = divmod(index, count_genotypes(group))
        name = group[0].decision.name
        for option, size in enumerate(count_by_option(group)):
            if rest < size:
                picked |= {name: option} | nth_genotype(take_option(group, name, option), rest)
                break
            rest -= size
    return picked


def active_decisions(points: Open, picks: Mapping[str, int]) -> dict[str, int]:
    """The decisions that are met under `picks`, with what is picked, in order of appearance."""
    picked: dict[str, int] = {}

    def visit(points: Open) -> None:
        for point in points:
            name = point.decision.name
            picked[name] = picks[name]
            visit(point.opens[picks[name]])

    visit(points)
    return picked


def random_below(number: int, rng: np.random.Generator) -> int:
    """A uniform whole number from 0 up to, without, `number`, however large."""
    if number <= 1 << 62:
        return int(rng.integers(number))
    bits = number.bit_length()
    while True:  # half of all draws succeed at least
        drawn = int.from_bytes(rng.bytes((bits + 7) // 8), "little") >> (-bits % 8)
        if drawn < number:
            return drawn


def genotype_text(genotype: Sequence[int]) -> str:
    """A genotype as people and file names carry it: a digit or letter each, or numbers joined by underscores."""
    if all(pick < len(DIGITS) for pick in genotype):
        return "".join(DIGITS[pick] for pick in genotype)
    return "_".join(map(str, genotype))
