"""Inference rewrites: fold batch norms, and merge parallel branches into one convolution.

At inference a batch norm is y = a x + b by channel, with numbers known beforehand, so the convolution or linear layer
before it can do its work (Jacob et al. 2018, https://arxiv.org/abs/1712.05877, section 3.2). By the same linearity a
sum of convolutions of one input is a convolution: RepVGG trains 3x3 + 1x1 + identity and runs a 3x3 (Ding et al. 2021,
https://arxiv.org/abs/2101.03697, section 3.3). The weights follow in `lower.folding`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from netlathe.arch.build import batch_norm, conv, relu, seq
from netlathe.arch.combinators import Dag, Identity, Seq, Vertex
from netlathe.arch.graph import Graph
from netlathe.arch.joins import Add
from netlathe.arch.layers import Conv, Linear, Norm
from netlathe.arch.leaf import pair
from netlathe.arch.network import Network
from netlathe.arch.node import Node, Size, block
from netlathe.arch.rewrite import join, rewrite
from netlathe.errors import NetlatheError


@dataclass(frozen=True, slots=True)
class FoldedNetwork:
    """A network without the folded norms; `norms` says which norm went into which operator, by path."""

    network: Network
    norms: dict[str, str]  # path of the convolution or linear layer -> path of the norm
    eps: dict[str, float]  # by path of the norm


def foldable(graph: Graph) -> dict[str, str]:
    """The operator before every batch norm that can take it over: the norm alone reads what it computes."""
    makers = {op.output: op for op in graph.ops}
    readers = [value for op in graph.ops for value in op.inputs] + list(graph.outputs)
    pairs = {}
    for op in graph.ops:
        before = makers.get(op.inputs[0]) if op.inputs else None
        if op.kind != "norm" or op.form != "batch" or before is None or readers.count(before.output) > 1:
            continue
        if isinstance(before.leaf, Conv | Linear):
            pairs[before.path] = op.path
    return pairs


def fold_norms(network: Network) -> Network:
    """The network with its batch norms folded; itself where there is none to fold."""
    return fold(network).network if foldable(network.graph()) else network


def fold(network: Network) -> FoldedNetwork:
    """Give every convolution and linear layer the batch norm right behind it; it gets a bias, the norm goes.

    Norms before an activation and a convolution (DenseNet's) stay. Raises NetlatheError where none can be folded.
    """
    graph = network.graph()
    norms = foldable(graph)
    eps = {op.path: op.leaf.eps for op in graph.ops if isinstance(op.leaf, Norm)}
    gone = set(norms.values())

    def rule(path: str, node: Node) -> Node | None:
        if path in norms and isinstance(node, Conv | Linear):
            return replace(node, bias=True)
        if path in gone and isinstance(node, Norm):
            return Identity()
        return drop_empty(node)

    body = rewrite(network.body, rule, name="fold") if norms else None
    if body is None:
        raise NetlatheError(
            f"{network.name} has no batch norm behind a convolution", code="fold.none", hint="nothing needs folding"
        )
    folded = replace(network, name=f"{network.name}-folded", body=body)
    return FoldedNetwork(folded, norms, {path: eps[path] for path in gone})


def drop_empty(node: Node) -> Node | None:
    """A sequence without the places where nothing happens."""
    if not isinstance(node, Seq) or not any(isinstance(item, Identity) for item in node.items):
        return None
    left = [(name, item) for name, item in node.children() if not isinstance(item, Identity)]
    return Seq(tuple(name for name, _ in left), tuple(item for _, item in left)) if left else None


@block
def repvgg_block(out: Size, stride: int = 1, groups: Size = 1) -> Node:
    """relu(3x3(x) + 1x1(x) + x), each with its norm; without x where the shape changes: RepVGG while it trains."""
    branches: dict[str, Node] = {
        "dense": conv(out, 3, stride, groups=groups, act=None),
        "point": conv(out, 1, stride, groups=groups, act=None),
    }
    if stride == 1:
        branches["same"] = batch_norm
    vertices = [Vertex(name, body, ("in0",)) for name, body in branches.items()]
    return seq(Dag(1, (*vertices, Vertex("add", Add(), tuple(branches)))), act=relu)


@dataclass(frozen=True, slots=True)
class MergedNetwork:
    """A network whose sums of parallel convolutions are single ones; `branches` by path of the new convolution."""

    network: Network
    branches: dict[str, tuple[str, ...]]


def merge(network: Network) -> MergedNetwork:
    """Sums of branches of one input, each a convolution with its norm, or a norm alone -> one convolution with bias.

    All branches must have one stride, one width and one grouping, and keep the size as a centred window does. Raises
    NetlatheError where there is no such sum. Fold nothing before: norms are folded on the way.
    """
    graph = network.graph()
    by_path = {op.path: op for op in graph.ops}
    branches_of: dict[str, tuple[str, ...]] = {}

    def rule(path: str, node: Node) -> Node | None:
        if not isinstance(node, Dag) or node.inputs != 1 or not isinstance(node.vertices[-1].body, Add):
            return None
        *branches, last = node.vertices
        convs = [core(vertex.body) for vertex in branches]
        plain = [c for c in convs if isinstance(c, Conv)]
        reads = all(vertex.reads == ("in0",) for vertex in branches)
        if None in convs or not plain or not reads or set(last.reads) != {vertex.name for vertex in branches}:
            return None
        widest = max(plain, key=lambda c: pair(c.kernel))
        arrive = by_path[join(path, f"{branches[convs.index(widest)].name}.conv")].in_shapes[0]
        same = {(c.width, pair(c.stride), c.group_count(arrive)) for c in plain}
        centred = all(c.padding is None and c.dilation == 1 and set(pair(c.kernel)) <= {1, 3, 5, 7} for c in plain)
        if len(same) > 1 or not centred or (len(plain) < len(convs) and pair(widest.stride) != (1, 1)):
            return None
        # One operator has the path of the sum, so what reads it reads on.
        branches_of[join(path, "add")] = tuple(join(path, vertex.name) for vertex in branches)
        return seq(add=replace(widest, bias=True))

    def core(body: Node) -> Conv | Norm | None:
        if isinstance(body, Norm) and body.mode == "batch":
            return body
        ends = isinstance(body, Seq) and body.names in (("conv",), ("conv", "norm"))
        first = body.items[0] if isinstance(body, Seq) and ends else None
        return first if isinstance(first, Conv) else None

    body = rewrite(network.body, rule, name="merge")
    return MergedNetwork(replace(network, name=f"{network.name}-merged", body=body), branches_of)
