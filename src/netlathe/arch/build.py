"""How people write expressions: seq, residual, concat, gate, stage, convolution with norm and activation, head."""

from __future__ import annotations

from collections import Counter
from itertools import chain

from netlathe.arch.combinators import Combinator, Concat, Gate, Residual, Seq, Stage
from netlathe.arch.joins import Flatten
from netlathe.arch.layers import Act, Conv, Linear, Norm
from netlathe.arch.leaf import Leaf, Padding, Pair, Width
from netlathe.arch.node import Node, Size, block
from netlathe.arch.pools import GlobalPool


def name_parts(parts: tuple[Node, ...], named: dict[str, Node]) -> tuple[tuple[str, ...], tuple[Node, ...]]:
    """Names for the parts that have none: the label, numbered where it recurs; a lone combinator stays transparent."""
    labels = [part.label for part in parts]
    lone = sum([isinstance(part, Combinator) for part in parts]) == 1
    counts, seen = Counter(labels), Counter[str]()
    names = []
    for label, part in zip(labels, parts, strict=True):
        seen[label] += 1
        numbered = label if counts[label] == 1 else f"{label}{seen[label]}"
        names.append("" if lone and isinstance(part, Combinator) else numbered)
    return (*names, *named), (*parts, *named.values())


@block
def seq(*parts: Node, **named: Node) -> Seq:
    """First the first, then the next: positional parts get names from their kind, keywords name theirs."""
    return Seq(*name_parts(parts, named))


@block
def then(a: Node, b: Node) -> Seq:
    """a >> b, flat: a chain of >> is one Seq. A combinator stays transparent where its names are its own."""
    if not isinstance(a, Seq):
        a = seq(a)
    inner = {name for name, _ in b.children()}
    transparent = isinstance(b, Combinator) and "" not in a.names and not inner & set(a.names)
    free = chain([b.label], (f"{b.label}{i}" for i in range(2, len(a.names) + 3)))
    name = "" if transparent else next(name for name in free if name not in a.names)
    return Seq((*a.names, name), (*a.items, b))


@block
def residual(*parts: Node, project: Node | None = None, optional: bool = False, **named: Node) -> Residual:
    """x + f(x), f the sequence of parts."""
    return Residual(sequence_of(parts, named), project, optional)


@block
def concat(*parts: Node, **named: Node) -> Concat:
    """[f1(x), f2(x), ...]: parallel branches."""
    return Concat(*name_parts(parts, named))


@block
def gate(*parts: Node, **named: Node) -> Gate:
    """x * f(x), f the sequence of parts."""
    return Gate(sequence_of(parts, named))


def sequence_of(parts: tuple[Node, ...], named: dict[str, Node]) -> Node:
    """The only part, or the sequence of all."""
    return (
        parts[0] if len(parts) == 1 and not named and not isinstance(parts[0], Leaf) else Seq(*name_parts(parts, named))
    )


@block
def stage(block: Node, depth: int, first: Node | None = None) -> Stage:
    """`depth` blocks in a row; `first` where the first one differs."""
    return Stage(block, depth, None if first == block else first)


relu = Act("relu")
batch_norm = Norm("batch")


@block
def conv(
    out: Width,
    kernel: Pair = 1,
    stride: Pair = 1,
    *,
    groups: Size = 1,
    group_width: Size | None = None,
    padding: Padding = None,
    norm: Norm | None = batch_norm,
    act: Act | None = relu,
    bias: bool | None = None,
) -> Seq:
    """act(norm(conv(x))); the bias is left out where a norm follows, unless asked for."""
    with_bias = norm is None if bias is None else bias
    core = Conv(out, kernel, stride, groups=groups, group_width=group_width, padding=padding, bias=with_bias)
    parts = {"conv": core, "norm": norm, "act": act}
    return seq(**{name: part for name, part in parts.items() if part is not None})


@block
def depthwise(kernel: Pair = 3, stride: Pair = 1, *, norm: Norm | None = batch_norm, act: Act | None = relu) -> Seq:
    """act(norm(conv(x))) with one filter a channel."""
    return conv(None, kernel, stride, group_width=1, norm=norm, act=act)


@block
def head(classes: Size) -> Seq:
    """linear(mean over positions): the classifier of nearly every network after 2014."""
    return seq(pool=GlobalPool(), flatten=Flatten(), classifier=Linear(classes))
