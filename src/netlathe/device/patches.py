"""Patch-based inference: run the first layers patch by patch, and pay for the halo twice.

Lin et al. 2021, MCUNetV2, https://arxiv.org/abs/2110.15352. The map at a cut is split into n x n patches; each patch is
computed from the part of the image that it needs, so no map before the cut is ever whole. Parts overlap by the halo of
the kernels, and are computed again for every patch. Both are exact here: the part of every value that a patch needs is
followed back from the cut, window by window, clipped at the border.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from netlathe.arch.graph import Graph, Op
from netlathe.arch.layers import Conv
from netlathe.arch.leaf import pads, pair
from netlathe.arch.pools import Pool
from netlathe.cost.memory import working_sets
from netlathe.cost.plan import FOLDS, MemoryPlan, plan

SPLITS = range(2, 9)
LOCAL = FOLDS | {"add", "cat"}  # position by position: a patch needs the same part of the input
Part = tuple[int, int]  # first position, one past the last


@dataclass(frozen=True, slots=True)
class Patches:
    """The plan: cut after `path`, n x n patches. Elements and MACs of one image."""

    path: str
    splits: int
    inside: int  # peak while the patches run: the map at the cut, and the working set of a patch; no image
    after: int  # peak of the rest of the network
    image: int  # the whole image, for runtimes that hold it
    macs: int  # of the whole network, with what is computed again
    extra: float  # of its MACs, computed again

    @property
    def peak(self) -> int:
        """Elements of activations, without the image."""
        return max(self.inside, self.after)

    @property
    def peak_with_image(self) -> int:
        """The image lies in memory until the last patch is done."""
        return max(self.inside + self.image, self.after)


def cuts(graph: Graph, steps: MemoryPlan) -> Iterator[int]:
    """Steps after which one map alone is alive, all before it window by window."""
    by_path = {op.path: op for op in graph.ops}
    for i, step in enumerate(steps.steps[:-1]):
        if not spatial(by_path[step.path]):
            return
        written = {s.writes for s in steps.steps[: i + 1]} | steps.inputs
        later = steps.steps[i + 1 :]
        if all(s.reads & written <= {step.writes} for s in later) and not steps.outputs & written:
            yield i


def spatial(op: Op) -> bool:
    """Whether a part of the output needs a part of each input only."""
    window = isinstance(op.leaf, Conv | Pool)
    maps = all(len(shape) == 3 for shape in (*op.in_shapes, op.out_shape))
    return maps and (window or (op.kind in LOCAL and op.form not in ("layer", "softmax")))


def needed(op: Op, part: Part, axis: int) -> Part:
    """The positions of the input along an axis (1 rows, 2 columns) that a part of the output reads."""
    if not isinstance(op.leaf, Conv | Pool):
        return part
    leaf, size = op.leaf, op.in_shapes[0][axis]
    stride = leaf.step() if isinstance(leaf, Pool) else pair(leaf.stride)
    dilation = leaf.dilation if isinstance(leaf, Conv) else 1
    before = pads(op.in_shapes[0], leaf.kernel, stride, leaf.padding, dilation)[axis - 1]
    s, k = stride[axis - 1], pair(leaf.kernel)[axis - 1]
    first, last = part[0] * s - before, (part[1] - 1) * s - before + dilation * (k - 1) + 1
    return max(first, 0), min(last, size)


def parts(ops: tuple[Op, ...], value: int, part: Part, axis: int) -> dict[int, Part]:
    """For every value the positions that a part of `value` needs, along an axis."""
    ranges = {value: part}
    for op in reversed(ops):
        if op.output in ranges:
            for source in op.inputs:
                first, last = needed(op, ranges[op.output], axis)
                low, high = ranges.get(source, (first, last))
                ranges[source] = min(low, first), max(high, last)
    return ranges


def pieces(size: int, count: int) -> list[Part]:
    """`count` nearly equal parts of `size` positions."""
    edges = [size * i // count for i in range(count + 1)]
    return list(pairwise(edges))


def patches(graph: Graph, limit: int | None = None) -> list[Patches]:
    """Every cut and split of a network; with `limit`, of every cut the fewest patches whose peak is at most that.

    Empty where the first layers are no chain of windows (a Transformer's), or where nothing keeps the limit.
    """
    if len(graph.input_shapes) != 1 or len(graph.input_shapes[0]) != 3:
        return []
    steps, splits = plan(graph), []
    number = {op.path: n for n, op in enumerate(graph.ops)}
    for cut in cuts(graph, steps):
        last = number[steps.steps[cut].path]
        after = rest(steps, cut)
        if limit is not None and max(after, steps.sizes[steps.steps[cut].writes]) > limit:
            continue
        for count in SPLITS:
            if count > min(graph.ops[last].out_shape[1:]):
                break
            here = split(graph, steps, cut, last, count, after)
            if limit is None or here.peak <= limit:
                splits.append(here)
            if limit is not None and here.peak <= limit:
                break
    return splits


def rest(steps: MemoryPlan, cut: int) -> int:
    """The peak after a cut: the working set of the largest step, depthwise convolutions in place."""
    later = steps._replace(steps=steps.steps[cut + 1 :], inputs=frozenset({steps.steps[cut].writes}))
    return max(size for _, size in working_sets(later, "depthwise"))


def split(graph: Graph, steps: MemoryPlan, cut: int, last: int, count: int, after: int) -> Patches:
    """The cost of count x count patches before a cut (the number of its step, and of its operator)."""
    before, target = graph.ops[: last + 1], graph.ops[last]
    home = {op.output: step.writes for step in steps.steps[: cut + 1] for op in before if op.path == step.path}
    axes = [[parts(before, target.output, p, axis) for p in pieces(target.out_shape[axis], count)] for axis in (1, 2)]
    whole, inside, macs = steps.sizes[steps.steps[cut].writes], 0, 0
    stage = steps._replace(steps=steps.steps[: cut + 1], outputs=frozenset())
    for rows in axes[0]:
        for columns in axes[1]:
            area = {v: (rows[v][1] - rows[v][0]) * (columns[v][1] - columns[v][0]) for v in rows}
            sizes = list(steps.sizes)
            for value, buffer in home.items():
                sizes[buffer] = graph.shapes[value][0] * area[value]
            sizes[steps.steps[cut].writes] = 0  # a patch is written into the whole map, which is counted once
            sizes[0] = 0  # the image
            patch = working_sets(stage._replace(sizes=tuple(sizes)), "depthwise")
            inside = max(inside, whole + max(size for _, size in patch))
            macs += sum(op.macs * area[op.output] // (op.out_shape[1] * op.out_shape[2]) for op in before)
    total = sum(op.macs for op in graph.ops)
    again = macs - sum(op.macs for op in before)
    return Patches(target.path, count, inside, after, steps.sizes[0], total + again, again / total)
