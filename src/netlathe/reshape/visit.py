"""How a rewrite looks at a network: every leaf once a stage, and what surrounds an operator in the graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase

from netlathe.arch.combinators import Combinator, Stage
from netlathe.arch.graph import Graph, Op
from netlathe.arch.node import Node
from netlathe.arch.rewrite import join

# A rule of a node whose children are already rewritten, at the path where it is met first.
Rule = Callable[[str, Node], Node]


def rewrite_everywhere(node: Node, rule: Rule, path: str = "") -> Node:
    """The expression with `rule` applied to every node, children first; a stage keeps its two kinds of block.

    Unlike `arch.rewrite.rewrite`, the repeated block of a stage is visited once, also where the depth is 1: stages stay
    stages, and the time does not grow with the depth.
    """
    if isinstance(node, Stage):
        first = None if node.first is None else rewrite_everywhere(node.first, rule, join(path, "block1"))
        block = rewrite_everywhere(node.block, rule, join(path, "block1" if first is None else "block2"))
        if block is not node.block or first is not node.first:
            node = Stage(block, node.depth, None if first == block else first)
    elif isinstance(node, Combinator):
        old = list(node.children())
        new = tuple(rewrite_everywhere(child, rule, join(path, name)) for name, child in old)
        if any(a is not b for a, (_, b) in zip(new, old, strict=True)):
            node = node.rebuild(new)
    return rule(path, node)


def path_matches(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether a path, or one of the parts it lies in, matches one of the shell patterns."""
    return any(fnmatchcase(path, pattern) or fnmatchcase(path, f"{pattern}.*") for pattern in patterns)


# Operators that leave channels where they are: what lies behind them is a neighbour.
TRANSPARENT = frozenset({"norm", "act", "scale", "mul", "globalpool", "pool"})


class Neighbours:
    """Who computes what an operator reads, and who reads what it computes, across norms, activations and gates."""

    def __init__(self, graph: Graph) -> None:
        self.made = {op.output: op for op in graph.ops}
        self.read: dict[int, list[Op]] = {}
        for op in graph.ops:
            for value in op.inputs:
                self.read.setdefault(value, []).append(op)

    def before(self, op: Op) -> Iterator[Op]:
        """The nearest operators upwards that are not transparent."""
        for value in op.inputs:
            maker = self.made.get(value)
            if maker is not None:
                yield from self.before(maker) if maker.kind in TRANSPARENT else (maker,)

    def after(self, op: Op) -> Iterator[Op]:
        """The nearest operators downwards that are not transparent."""
        for reader in self.read.get(op.output, ()):
            yield from self.after(reader) if reader.kind in TRANSPARENT else (reader,)


def classifiers(graph: Graph) -> frozenset[str]:
    """The paths of the operators that give an output its width: the last ones with channels of their own."""
    makers = {op.output: op for op in graph.ops}
    paths: set[str] = set()
    waiting = list(graph.outputs)
    while waiting:
        op = makers.get(waiting.pop())
        if op is None:
            continue
        if op.kind in ("conv", "linear", "rbf"):
            paths.add(op.path)
        else:
            waiting += op.inputs
    return frozenset(paths)
