"""What training keeps for the backward pass, counted from a graph.

An operator keeps what its gradient reads (autograd's rule in PyTorch): a convolution, a matrix product, a norm and a
smooth activation their input, relu and a sigmoid their output, a pool of windows its input (of maxima an index of 8
bytes an output too), a product its factors, attention its three inputs and its output. A value that two operators keep
is kept once; the image is kept by the first.
"""

from __future__ import annotations

from math import prod

from netlathe.arch.graph import Graph

INPUTS = frozenset({"conv", "linear", "matmul", "norm", "mul", "scale", "attention", "pool"})
OUTPUTS = frozenset({"relu", "sigmoid"})  # activations whose gradient reads the output
INDEX = 8  # bytes of the place of a maximum


def backward_bytes(graph: Graph, bytes_per_element: int = 4) -> int:
    """Bytes of one image's activations that the backward pass needs; views are the values that they show."""
    root = list(range(len(graph.shapes)))
    for op in graph.ops:
        if op.view:
            root[op.output] = root[op.inputs[0]]
    values: set[int] = set()
    indices = 0
    for op in graph.ops:
        smooth = op.kind == "act" and op.form not in OUTPUTS
        if op.kind in INPUTS or smooth:
            values |= {root[i] for i in op.inputs}
        if (op.kind == "act" and not smooth) or op.kind == "attention":
            values.add(root[op.output])
        if op.kind == "pool" and op.form == "max":
            indices += prod(op.out_shape)
    return bytes_per_element * sum(prod(graph.shapes[i]) for i in values) + INDEX * indices
