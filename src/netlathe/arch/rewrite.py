"""Rewriting: expression in, new expression out. A rule that matches nothing is an error, never a silent no-op."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from netlathe.arch.combinators import Choice, Combinator
from netlathe.arch.node import Node
from netlathe.errors import NetlatheError, unknown

# A rule sees a path and the node there, with its children already rewritten; None leaves the node as it is.
Rule = Callable[[str, Node], Node | None]


def join(path: str, name: str) -> str:
    """The path of a child: an empty name adds nothing."""
    return f"{path}.{name}" if path and name else path or name


def walk(expression: Node, path: str = "") -> Iterator[tuple[str, Node]]:
    """Every node with its path, parents before children."""
    yield path, expression
    for name, child in expression.children():
        yield from walk(child, join(path, name))


def rewrite(expression: Node, rule: Rule, *, name: str = "rewrite") -> Node:
    """Apply a rule everywhere, children before parents. Raises NetlatheError where no node matched.

    A stage whose blocks come out different is spelt out as a sequence with the same paths.
    """
    matched = False

    def visit(node: Node, path: str) -> Node:
        nonlocal matched
        if isinstance(node, Combinator):
            old = list(node.children())
            new = tuple(visit(child, join(path, child_name)) for child_name, child in old)
            if any(a is not b for a, (_, b) in zip(new, old, strict=True)):
                node = node.rebuild(new)
        result = rule(path, node)
        matched = matched or result is not None
        return node if result is None else result

    result = visit(expression, "")
    if not matched:
        raise NetlatheError(f"{name} matched nothing in this network", code="rewrite.no_match")
    return result


def at(expression: Node, path: str) -> Node:
    """The outermost node with that path. Raises NetlatheError with the nearest paths."""
    for here, node in walk(expression):
        if here == path:
            return node
    raise unknown("path", path, {here for here, _ in walk(expression) if here}, code="arch.unknown_path")


def replace_at(expression: Node, path: str, new: Node | Callable[[Node], Node]) -> Node:
    """The expression with another node at that path (the outermost one there); `new` may be a function of the old."""
    target = at(expression, path)
    replacement = new if isinstance(new, Node) else new(target)

    def visit(node: Node, here: str) -> Node:
        if here == path:
            return replacement
        if not isinstance(node, Combinator) or not (here == "" or path.startswith(here + ".")):
            return node
        return node.rebuild(tuple(visit(child, join(here, name)) for name, child in node.children()))

    return visit(expression, "")


def resolve(expression: Node, picks: dict[str, str]) -> Node:
    """Decide choices: `picks` says which option to take at which path. Every pick must name a choice."""
    legal = {path: node for path, node in walk(expression) if isinstance(node, Choice)}
    for path, option in picks.items():
        if path not in legal:
            raise unknown("choice", path, legal, code="arch.unknown_path")
        if option not in legal[path].names:
            raise unknown("option", option, legal[path].names, code="arch.unknown_option", path=path)

    def pick(path: str, node: Node) -> Node | None:
        if not isinstance(node, Choice) or path not in picks:
            return None
        return node.items[node.names.index(picks[path])]

    return rewrite(expression, pick, name="resolve") if picks else expression
