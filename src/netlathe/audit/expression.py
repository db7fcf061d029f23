"""Expressions of checks.toml: what a row computes, and texts with such expressions in braces.

The syntax is Python's, but only what is listed here is evaluated: numbers, texts, tuples, names, arithmetic,
comparisons, `and`, `or`, `not`, a conditional, fields, the listed functions, and formatted texts. Nothing else runs.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from functools import cache
from itertools import pairwise
from typing import Any

BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
COMPARE: dict[type, Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
UNARY: dict[type, Callable[[Any], Any]] = {ast.USub: operator.neg, ast.Not: operator.not_}


def evaluate(text: str, names: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]) -> Any:
    """The value of an expression. Raises ValueError for what is no expression of ours."""
    return ExpressionEvaluator(names, functions).value(parse(text))


def format_text(text: str, names: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]) -> str:
    """A text with the expressions in its braces evaluated and formatted, as in an f-string."""
    return str(ExpressionEvaluator(names, functions).value(parse(f'f"""{text}"""')))


@cache
def parse(text: str) -> ast.expr:
    """The syntax tree of an expression. Raises ValueError with the text."""
    try:
        return ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"this is no expression: {text}") from error


class ExpressionEvaluator:
    """Walks a syntax tree."""

    def __init__(self, names: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]) -> None:
        self.names, self.functions = names, functions

    def value(self, node: ast.expr) -> Any:
        """Raises ValueError for a node that is not listed."""
        match node:
            case ast.Constant(value=int() | float() | str()):
                return node.value
            case ast.Name(id=name) if name in self.names:
                return self.names[name]
            case ast.Tuple(elts=items):
                return tuple(map(self.value, items))
            case ast.BinOp(op=op) if type(op) in BINARY:
                return BINARY[type(op)](self.value(node.left), self.value(node.right))
            case ast.UnaryOp(op=op) if type(op) in UNARY:
                return UNARY[type(op)](self.value(node.operand))
            case ast.BoolOp(op=ast.And()):
                return all(self.value(item) for item in node.values)
            case ast.BoolOp():
                return any(self.value(item) for item in node.values)
            case ast.IfExp():
                return self.value(node.body if self.value(node.test) else node.orelse)
            case ast.Compare() if all(type(op) in COMPARE for op in node.ops):
                values = list(map(self.value, (node.left, *node.comparators)))
                return all(COMPARE[type(op)](*pair) for op, pair in zip(node.ops, pairwise(values), strict=True))
            case ast.Attribute(attr=name) if not name.startswith("_"):
                return getattr(self.value(node.value), name)
            case ast.Call(func=ast.Name(id=name)) if name in self.functions and all(word.arg for word in node.keywords):
                named = {str(word.arg): self.value(word.value) for word in node.keywords}
                return self.functions[name](*map(self.value, node.args), **named)
            case ast.JoinedStr(values=parts):
                return "".join(str(self.value(part)) for part in parts)
            case ast.FormattedValue(conversion=-1):
                return format(self.value(node.value), self.value(node.format_spec) if node.format_spec else "")
        raise ValueError(f"not allowed in a check: {ast.unparse(node)}")
