"""A graph as a runtime of files executes it, whoever wrote the network: an expression, a torch module, an ONNX file.

The three speak of the same network in different words. An expression has attention as one operator, and so has torch;
torch shows permuted axes, parts and repetitions by strides, and copies when somebody needs the elements in a row; an
exported file has a copy for each, attention as two products, and a GELU as five operators. What a runtime makes of the
file is one thing, so that forecasts start from one form: copies where the file has them, attention as its products and
its softmax, and the chains that optimisers of graphs put together as one operator (`device.islands`).
"""

from __future__ import annotations

from math import prod

from netlathe.arch.axes import RowAttention
from netlathe.arch.graph import Graph, Op
from netlathe.arch.node import Shape
from netlathe.arch.tokens import Attention, WindowAttention
from netlathe.device.islands import fold_islands
from netlathe.device.rewriting import OpWriter

COPIES = frozenset({"clone", "contiguous", "copy", "_to_copy", "lift_fresh_copy"})  # torch's, of what it only showed
FORMS = {"clip": "hardtanh", "leakyrelu": "leaky_relu", "thresholdedrelu": "threshold"}  # ONNX's names -> torch's
PARTS = frozenset(
    {"slice", "split", "gather", "index_select", "narrow_copy", "pad", "constant_pad_nd", "tile", "expand"}
)
SHOWN = {"permute": "transpose", "slice": "slice", "expand": "expand"}  # views that are copies in a file


def executed(graph: Graph) -> Graph:
    """The graph with what a file has for every operator, and its chains folded."""
    write = OpWriter(graph)
    for op in graph.ops:
        op = op._replace(inputs=tuple(write.now(i) for i in op.inputs))
        if op.view:
            write.add(op if (form := copied(op)) is None else part_read(op._replace(form=form, view=False)))
        elif op.kind == "layout" and (op.form in COPIES or is_whole(op)):
            write.skip(op)
        elif op.kind == "layout" and op.form == "roll":
            write_roll(op, write)
        elif op.kind == "attention":
            write_attention(op, write)
        else:
            write.add(part_read(op._replace(form=FORMS.get(op.form, op.form))))
    return fold_islands(write.graph())


def copied(op: Op) -> str | None:
    """The form of the copy that a file has for a view; None where it needs none."""
    if op.leaf is None:
        return SHOWN.get(op.form)
    return "transpose" if op.kind == "layout" else None


def is_whole(op: Op) -> bool:
    """Is it a part that is all, or a border or a repetition of nothing?"""
    return op.form in PARTS and op.out_shape == op.data_shape


def part_read(op: Op) -> Op:
    """An operator that takes a part of its input, which reads no more than that."""
    takes = op.kind == "layout" and op.form in PARTS and op.out_elements < prod(op.data_shape)
    return op._replace(in_shapes=(op.out_shape, *op.in_shapes[1:])) if takes else op


def write_roll(op: Op, write: OpWriter) -> None:
    """By height and by width: two parts, put together the other way round."""
    x, half = op.inputs[0], op.out_elements // 2
    for _ in range(2):
        parts = tuple(write.taken(op, "slice", x, (size,)) for size in (half, op.out_elements - half))
        x = write.one(op, "cat", "", parts, op.out_shape)
    write.becomes(op, x)


def write_attention(op: Op, write: OpWriter) -> None:
    """The products of an attention and what stands between them."""
    leaf = op.leaf
    if isinstance(leaf, (Attention, WindowAttention, RowAttention)):
        write.becomes(op, write_heads(op, leaf, write))
        return
    if len(op.inputs) < 3:  # queries or keys that are constants: nothing says which of them
        write.add(op)
        return
    q, k, v, *mask = op.inputs
    scores, out = (*op.in_shapes[0][:-1], op.in_shapes[1][-2]), (*op.in_shapes[0][:-1], op.in_shapes[2][-1])
    write.becomes(op, write_products(op, write, q, k, v, scores, out, tuple(mask)))


def write_products(
    op: Op,
    write: OpWriter,
    q: int,
    k: int,
    v: int,
    scores: Shape,
    out: Shape,
    mask: tuple[int, ...] = (),
    *,
    biased: bool = False,
) -> int:
    """softmax(q k^T + mask) v; the MACs of both products are halves where queries and values are as wide."""
    first = op.macs // 2
    y = write.one(op, "matmul", "", (q, k), scores, first)
    if mask or biased:
        y = write.one(op, "add", "", (y, *mask), scores)
    y = write.one(op, "act", "softmax", (y,), scores)
    return write.one(op, "matmul", "", (y, v), out, op.macs - first)


def write_heads(op: Op, leaf: Attention | WindowAttention | RowAttention, write: OpWriter) -> int:
    """Attention on query, key and value side by side, as `lower.onnx_tokens` writes it."""
    (*positions, channels), heads, x = op.out_shape, leaf.heads, op.inputs[0]
    count, windows, gathered = prod(positions), 1, False
    if isinstance(leaf, RowAttention):
        windows, count = positions[1:]
    elif isinstance(leaf, WindowAttention):
        side, _ = leaf.window(op.in_shapes[0])
        windows, count = -(-positions[1] // side) * -(-positions[2] // side), side * side
        gathered = windows > 1
    if gathered:
        x = write.one(op, "layout", "gather", (x,), (windows, count, 3 * channels))
    before = (windows,) if windows > 1 else ()
    out = (*before, heads, count, channels // heads)
    x = write.one(op, "layout", "transpose", (x,), (3, *out))
    q, k, v = (write.taken(op, "slice", x, out) for _ in range(3))
    scores = (*before, heads, count, count)
    y = write_products(op, write, q, k, v, scores, out, biased=isinstance(leaf, WindowAttention))
    y = write.one(op, "layout", "transpose", (y,), (windows, count, channels) if gathered else op.out_shape)
    return write.one(op, "layout", "gather", (y,), op.out_shape) if gathered else y
