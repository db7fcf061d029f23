"""The canonical form of a network: what it computes, whatever its parts are called and wherever they are written.

A reading of the graph: every value is a hash of the operator that made it and of what that read. So names do not
matter, identities vanish, the summands of an addition have no order, and an operator whose result never reaches an
output does not appear. Zeros vanish from sums; an operator that reads nothing but zeros gives a constant, and counts as
zero. Isomorphic cells get one form.

Two operators of equal settings on equal values have equal hashes though they have weights of their own, so the form
also says how often each occurs: the sum of two such convolutions is not one convolution twice.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from netlathe.arch.graph import Graph, Op
from netlathe.arch.joins import Zero
from netlathe.arch.leaf import Leaf
from netlathe.arch.network import Network

COMMUTE = frozenset({"add", "mul"})


class LiveOps(NamedTuple):
    """The operators that an output depends on, and for each what it reads that is not zero."""

    ops: tuple[Op, ...]
    reads: dict[int, tuple[int, ...]]  # by the value that the operator makes
    zeros: frozenset[int]


def live_ops(graph: Graph) -> LiveOps:
    """A graph without what does not matter: results that nobody reads, zeros in sums, operators on zeros alone."""
    zeros: set[int] = set()
    reads: dict[int, tuple[int, ...]] = {}
    for op in graph.ops:
        left = tuple(value for value in op.inputs if value not in zeros)
        if isinstance(op.leaf, Zero) or not left or (op.kind == "mul" and len(left) < len(op.inputs)):
            zeros.add(op.output)
        reads[op.output] = left if op.kind == "add" else op.inputs
    wanted = set(graph.outputs)
    for op in reversed(graph.ops):
        if op.output in wanted and op.output not in zeros:
            wanted.update(reads[op.output])
    ops = tuple(op for op in graph.ops if op.output in wanted and op.output not in zeros)
    return LiveOps(ops, reads, frozenset(zeros))


def canonical_form(network: Network) -> str:
    """The canonical form: equal for networks whose live operators compute the same of the same image."""
    graph = network.graph()
    hashes = {i: hash_texts("input", str(i), str(shape)) for i, shape in enumerate(graph.input_shapes)}
    live = live_ops(graph)
    hashes |= {value: hash_texts("zero", str(graph.shapes[value])) for value in live.zeros}
    hashed = []
    for op in live.ops:
        assert op.leaf is not None
        read = [hashes[value] for value in live.reads[op.output]]
        if op.kind == "add" and len(read) == 1:
            hashes[op.output] = read[0]
            continue
        if op.kind in COMMUTE and len(set(op.in_shapes)) == 1:
            read.sort()
        hashes[op.output] = hash_texts(describe_leaf(op.leaf), *read)
        hashed.append(hashes[op.output])
    return hash_texts(*(hashes[value] for value in graph.outputs), *sorted(hashed))


def hash_texts(*parts: str) -> str:
    """A short hash of texts in order."""
    return blake2b("\0".join(parts).encode(), digest_size=12).hexdigest()


@lru_cache(maxsize=1 << 14)
def describe_leaf(leaf: Leaf) -> str:
    """An operator with its free choices."""
    return f"{leaf.label} {leaf.fields()}"
