"""What a runtime copies because it holds maps in a layout of its own, in blocks of channels.

Convolutions with fast kernels read and write blocks, and so do element-wise operators and pools between them; every
other operator needs the plain layout. The rules are what ONNX Runtime's optimised graphs show
(`session.optimized_model_filepath`): a map is reordered once, before the first operator that needs the other layout.
"""

from __future__ import annotations

from math import prod

from netlathe.arch.graph import Graph, Op
from netlathe.device.fusion import NARROW, patched
from netlathe.runtimes.fusion import Fusion

KEEP = frozenset({"act", "add", "pool", "globalpool", "adaptivepool", "cat", "norm"})  # kinds that may stay in blocks
BLOCK = 16  # channels


def reordered(graph: Graph, rule: Fusion) -> list[Op]:
    """The operators before which a map is reordered; one that reads two has two places."""
    assert rule.blocks is not None
    blocked: set[int] = set()  # values in blocks
    both: set[int] = set()  # values that have been reordered: they are there in either layout
    places: list[Op] = []
    maker = {op.output: op for op in graph.ops}

    def need(op: Op, value: int, in_blocks: bool) -> None:
        before = maker.get(value)
        turned = before is not None and before.form == "transpose"  # done on the way
        if (value in blocked) != in_blocks and value not in both and before is not None:
            both.add(value)
            if not (in_blocks and turned):
                places.append(op._replace(in_shapes=(graph.shapes[value],)))

    for op in graph.ops:
        maps = [i for i in op.inputs if is_map(graph.shapes[i])]
        if op.kind == "conv" and maps:
            fast = not patched(op, *rule.blocks)
            if not fast or graph.shapes[maps[0]][0] >= NARROW:
                need(op, maps[0], fast)
            if fast and is_map(op.out_shape):
                blocked.add(op.output)
        elif keeps(op, graph, blocked):
            blocked.add(op.output)
        elif op.form != "transpose":
            for value in maps:
                need(op, value, False)
    return places


def is_map(shape: tuple[int, ...]) -> bool:
    """Is it (channels, height, width), of more than one position?"""
    return len(shape) == 3 and prod(shape[1:]) > 1


def keeps(op: Op, graph: Graph, blocked: set[int]) -> bool:
    """Does an operator stay in the blocks that all its inputs are in?"""
    shapes = [graph.shapes[i] for i in op.inputs]
    if op.kind not in KEEP or not op.inputs or not blocked.issuperset(op.inputs) or "softmax" in op.form:
        return False
    if op.kind == "norm":
        return op.form == "batch"
    return (op.kind != "add" or len(set(shapes)) == 1) and (op.kind != "cat" or all(s[0] % BLOCK == 0 for s in shapes))
