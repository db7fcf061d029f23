"""Grid: a space whose networks come from a function of its decisions, not from one expression with open choices.

RegNet's widths follow from four numbers, a searched cell is data that a zoo function stacks, a knob rewrites a network:
here the decisions are named options, and a function gives the network of each combination.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from netlathe.arch.network import Network
from netlathe.errors import NetlatheError
from netlathe.search.genotype import DecisionNode, DecisionPoint, Open
from netlathe.search.space import SearchSpace

Options = Mapping[str, str]  # the option by decision


@dataclass(frozen=True, kw_only=True)
class GridSpace(SearchSpace):
    """All combinations of options; `network` is one member.

    `make` gives the network of a combination and raises NetlatheError where there is none; `options_of` says the
    combination of a network, and None for one that is no member.
    """

    axes: tuple[DecisionPoint, ...]
    make: Callable[[Options], Network] = field(compare=False)
    options_of: Callable[[Network], Options | None] = field(compare=False)

    @cached_property
    def points(self) -> Open:
        return tuple(DecisionNode(axis, ((),) * len(axis.options)) for axis in self.axes)

    def build(self, picks: dict[str, int]) -> Network:
        options = {axis.name: axis.options[picks[axis.name]] for axis in self.axes}
        try:
            return self.make(options)
        except NetlatheError as error:
            text = ", ".join(f"{name}={option}" for name, option in options.items())
            raise NetlatheError(
                f"{self.name} has no network for {text}: {error.message}", code="search.no_network", hint=error.hint
            ) from None

    def find(self, network: Network) -> dict[str, int]:
        options = self.options_of(network)
        if options is not None:
            picks = {axis.name: axis.options.index(options[axis.name]) for axis in self.axes}
            member = self.build(picks)
            if replace(member, name="") == replace(network, name="") or self.same(member, network):
                return picks
        raise self.not_a_member(network, "no combination of its decisions gives it")

    def same(self, ours: Network, theirs: Network) -> bool:
        """Whether two networks of different expressions are one, as two orders of summands are."""
        from netlathe.search.canonical import canonical_form

        return ours.inputs == theirs.inputs and canonical_form(ours) == canonical_form(theirs)
