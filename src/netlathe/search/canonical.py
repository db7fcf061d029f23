"""The canonical form of a network: what it computes, whatever its parts are called and wherever they are written.

A reading of the graph: every value is a hash of the operator that made it and of what that read. So names do not
matter, identities vanish, the summands of an addition have no order, and an operator whose result never reaches an
output does not appear. Isomorphic cells get one form.

Two operators of equal settings on equal values have equal hashes though they have weights of their own, so the form
also says how often each occurs: the sum of two such convolutions is not one convolution twice.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

from netlathe.arch.graph import Graph
from netlathe.arch.leaf import Leaf
from netlathe.arch.network import Network

COMMUTE = frozenset({"add", "mul"})


def digest(*parts: str) -> str:
    """A short hash of texts in order."""
    return blake2b("\0".join(parts).encode(), digest_size=12).hexdigest()


def form(network: Network) -> str:
    """The canonical form: equal for networks whose live operators compute the same of the same image."""
    graph = network.graph()
    hashes = [digest("input", str(i), str(shape)) for i, shape in enumerate(graph.input_shapes)]
    for op in graph.ops:
        assert op.leaf is not None
        read = [hashes[value] for value in op.inputs]
        if op.kind in COMMUTE and len(set(op.in_shapes)) == 1:
            read.sort()
        hashes.append(digest(spelt(op.leaf), *read))
    live = live_values(graph)
    made = sorted(hashes[op.output] for op in graph.ops if op.output in live)
    return digest(*(hashes[value] for value in graph.outputs), *made)


def live_values(graph: Graph) -> frozenset[int]:
    """The values that an output depends on."""
    live = set(graph.outputs)
    for op in reversed(graph.ops):
        if op.output in live:
            live.update(op.inputs)
    return frozenset(live)


@lru_cache(maxsize=1 << 14)
def spelt(leaf: Leaf) -> str:
    """An operator with its free choices."""
    return f"{leaf.label} {leaf.fields()}"
