"""The text notation: an expression as a person reads it, one line a step, equal neighbours folded into a stage.

stem       conv 7x7 64 /2 > batch norm > relu > max pool 3x3 /2 pad 1
stage1     3 x
  block      x + f(x), where the shape changes: conv 1x1 256 > batch norm
    squeeze    conv 1x1 64 > batch norm > relu
"""

from __future__ import annotations

from collections.abc import Iterator

from netlathe.arch.combinators import Choice, Combinator, Concat, Dag, Gate, Identity, Residual, Seq, Side, Stage
from netlathe.arch.leaf import Leaf
from netlathe.arch.network import Network
from netlathe.arch.node import Node


def to_text(network: Network) -> str:
    """The network on a page: name, input, then its expression."""
    head = f"{network.name}  {'x'.join(map(str, network.input))}"
    return "\n".join([head, *(f"  {line}" for line in node_lines("", network.body))]) + "\n"


def leaf_line(node: Node) -> str | None:
    """The node in a line, if it is a leaf or a chain of nothing but leaves; None otherwise."""
    if isinstance(node, Leaf):
        return str(node)
    if isinstance(node, Identity):
        return "x"
    if isinstance(node, Seq) and all(isinstance(item, Leaf) for item in node.items):
        return " > ".join(str(item) for item in node.items)
    return None


def node_lines(name: str, node: Node) -> Iterator[str]:
    """The node under its name, children indented below."""
    short = leaf_line(node)
    if short is not None:
        yield f"{name:<10} {short}".strip()
        return
    assert isinstance(node, Combinator)
    if isinstance(node, Seq) and not name:
        for child_name, child in node.children():
            yield from node_lines(child_name, child)
        return
    yield f"{name:<10} {combinator_title(node)}".strip()
    for child_name, child in printed_children(node):
        for line in node_lines(child_name, child):
            yield f"  {line}"


def combinator_title(node: Combinator) -> str:
    """What a combinator computes, in words."""
    match node:
        case Residual(project=None, optional=True):
            return "x + f(x) where the shape stays, f(x) where it changes"
        case Residual(project=None):
            return "x + f(x)"
        case Residual():
            return "x + f(x), a projected x where the shape changes"
        case Gate():
            return "x * f(x)"
        case Concat():
            return "concatenate"
        case Stage(first=None):
            return f"{node.depth} x"
        case Stage():
            return f"{node.depth} x, the first one different"
        case Side():
            return "while training, one more output"
        case Choice(id=name):
            return f"one of ({name})" if name else "one of"
        case Dag():
            return "wired"
    return ""


def printed_children(node: Combinator) -> Iterator[tuple[str, Node]]:
    """The children to print: a stage prints its first and its repeated block once."""
    if isinstance(node, Stage):
        if node.first is not None:
            yield "first", node.first
        if node.first is None or node.depth > 1:
            yield "block", node.block
    elif isinstance(node, Dag):
        for vertex in node.vertices:
            yield f"{vertex.name}({', '.join(vertex.reads)})", vertex.body
    else:
        yield from node.children()
