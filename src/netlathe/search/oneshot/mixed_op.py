"""An open choice as something that runs: all its options side by side, and one operator that joins their results.

`mixed` is a rewrite; the outcome has no choice left, so it can be read: shapes, weights by path, a torch module.
"""

from __future__ import annotations

from netlathe.arch.combinators import Choice, Combinator, Named
from netlathe.arch.leaf import Leaf, need
from netlathe.arch.node import Node, Run, V, node
from netlathe.arch.rewrite import join, rewrite, walk
from netlathe.errors import NetlatheError, ShapeError


@node
class MixedOp(Leaf):
    """y = sum_i w_i x_i, or one of the x_i; the weights or the index belong to `decision` and come from outside."""

    decision: str

    kind = "mix"
    inputs = None

    def __str__(self) -> str:
        return f"mix {self.decision}"


@node
class PickInput(Combinator):
    """y = one of several inputs, by number."""

    index: int
    count: int

    def __post_init__(self) -> None:
        need(0 <= self.index < self.count, f"input {self.index} of {self.count} cannot be")

    def apply(self, run: Run[V], *xs: V) -> V:
        if len(xs) != self.count:
            raise ShapeError(f"take reads {self.count} values, but {len(xs)} arrive")
        return xs[self.index]


@node
class MixedChoice(Named):
    """A choice of which all options are computed, of equal shapes. Its decision is named as the choice's."""

    decision: str

    def __post_init__(self) -> None:
        super().__post_init__()
        need(bool(self.decision), "a mixture needs the name of its decision")

    def apply(self, run: Run[V], *xs: V) -> V:
        ys = [run(item, name, *xs) for name, item in self.children()]
        if len({tuple(y.shape) for y in ys}) > 1:
            shapes = ", ".join(f"{name} {tuple(y.shape)}" for name, y in zip(self.names, ys, strict=True))
            raise ShapeError(
                f"the options of the choice {self.decision!r} give different shapes: {shapes}",
                hint="options of one shape can be mixed; others need a search that trains each network by itself",
            )
        return run(MixedOp(self.decision), "mixed", *ys)


def mix_choices(expression: Node) -> Node:
    """The expression with every choice as a `Mixture`; choices without an id are named by their path.

    One that is mixed already stays as it is. Raises NetlatheError for an expression without a choice.
    """

    def open_up(path: str, node: Node) -> Node | None:
        return MixedChoice(node.names, node.items, node.id or path) if isinstance(node, Choice) else None

    if mixed_choices(expression) and not any(isinstance(node, Choice) for _, node in walk(expression)):
        return expression
    return rewrite(expression, open_up, name="mixed: an expression without a choice")


def mixed_decisions(expression: Node) -> dict[str, tuple[str, ...]]:
    """The options by decision, in order of appearance. Raises NetlatheError where two choices of one id differ."""
    options_by_decision: dict[str, tuple[str, ...]] = {}
    for _, mixture in mixed_choices(expression):
        names = options_by_decision.setdefault(mixture.decision, mixture.names)
        if names != mixture.names:
            raise NetlatheError(
                f"two choices are called {mixture.decision!r}, with the options {', '.join(names)} "
                f"and {', '.join(mixture.names)}",
                code="search.decision",
                hint="choices of one id are one decision: give the other another id",
            )
    return options_by_decision


def mixed_choices(expression: Node, path: str = "") -> list[tuple[str, MixedChoice]]:
    """Every mixture with its path, outer ones before those inside."""
    pairs = [(path, expression)] if isinstance(expression, MixedChoice) else []
    for name, child in expression.children():
        pairs += mixed_choices(child, join(path, name))
    return pairs


def inherited_tensors(expression: Node, picks: dict[str, str], names: list[str]) -> dict[str, str]:
    """Which of a supernet's tensors a network on one path takes: its own name -> the supernet's, of `names`.

    `picks` says the option of every decision. A tensor inside an option that is not picked goes nowhere.
    """
    taken: dict[str, str] = {}
    inner_first = sorted(mixed_choices(expression), key=lambda pair: -len(pair[0]))
    for name in names:
        own: str | None = name
        for path, mixture in inner_first:
            prefix = f"{path}." if path else ""
            if own is None or not own.startswith(prefix):
                continue
            option, _, rest = own.removeprefix(prefix).partition(".")
            if option in mixture.names:
                own = prefix + rest if option == picks[mixture.decision] else None
        if own is not None:
            taken[own] = name
    return taken
