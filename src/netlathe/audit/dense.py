"""Checks of slides 9 and 10: DenseNet, and the quiz about the bottleneck."""

from __future__ import annotations

from math import log2

from netlathe.arch.graph import graph
from netlathe.audit import records
from netlathe.audit.backward import backward_bytes
from netlathe.audit.claims import Claim
from netlathe.audit.deeper import SHAPE, block_convolutions, inner_share
from netlathe.audit.facts import convolutions, cost, format_percent, kernel, ops, params, weights
from netlathe.audit.rules import CheckResult, check, grade, grade_number
from netlathe.units import show_bytes
from netlathe.zoo.resnet import bottleneck

JOINS = {"add": "adds", "cat": "concatenates"}


def channels_in(name: str, stage: str) -> list[int]:
    """The channels that arrive at the layers of a dense block."""
    return [op.in_shapes[0][0] for op in ops(name).ops if op.path.startswith(stage) and op.path.endswith("new.norm1")]


@check("s9-1")
def joins(claim: Claim) -> CheckResult:
    joins_by_network = {name: {op.kind for op in ops(name).ops} & JOINS.keys() for name in ("resnet50", "densenet121")}
    texts = {name: " and ".join(JOINS[kind] for kind in kinds) for name, kinds in joins_by_network.items()}
    widths = channels_in("densenet121", "stage1")
    return CheckResult(
        f"ResNet {texts['resnet50']}, DenseNet {texts['densenet121']}",
        grade(texts["resnet50"] == claim.word("resnet") and texts["densenet121"] == claim.word("densenet")),
        f"ResNet-50's only join {texts['resnet50']}, DenseNet-121's only join {texts['densenet121']}; its first "
        f"block's layers read {', '.join(map(str, widths))} channels.",
    )


@check("s9-2")
def sees_all(claim: Claim) -> CheckResult:
    widths = channels_in("densenet121", "stage1")
    growth = widths[1] - widths[0]
    inside = widths == [widths[0] + i * growth for i in range(len(widths))]
    between = sorted({op.path.split(".")[0] for op in ops("densenet121").ops if op.path.startswith("transition")})
    return CheckResult(
        f"all of its block; {len(between)} transitions between",
        grade(("all" if inside else "some") == claim.word("seen"), not between),
        f"Layer l of the first block reads {widths[0]} + {growth} l channels, so all earlier layers of it. Between the "
        f"blocks {len(between)} transitions mix and halve: no link crosses them.",
    )


@check("s9-3")
def deep_supervision(claim: Claim) -> CheckResult:
    dense, plain = (records.latest_record(f"gradient.{name}") for name in ("dense", "plain"))
    uneven = {record.name: max(record.value, 1 / record.value) for record in (dense, plain)}
    better = uneven[plain.name] / uneven[dense.name]
    trained = "trained" in dense.what
    return CheckResult(
        f"gradients {better:.3g} times more even",
        grade(better >= claim.number("least"), trained),
        f"At its start the first layer of a dense network gets {dense.value:.1f} times the gradient of the last "
        f"one (root mean square a weight), in its twin without links {plain.value:,.0f} times: the loss reaches "
        f"all layers alike. That features are used again after training is not shown ({dense.date}, {dense.device}).",
    )


@check("s9-5")
def memory_hungry(claim: Claim) -> CheckResult:
    pairs = (("densenet121", "resnet50"), ("densenet201", "resnet101"))
    sizes = {name: backward_bytes(ops(name)) for both in pairs for name in both}
    ratios = [sizes[a] / sizes[b] for a, b in pairs]
    stored, distinct = sum(channels_in("densenet121", "stage3")), channels_in("densenet121", "stage3")[-1] + 32
    return CheckResult(
        f"{ratios[0]:.1f} times ResNet-50",
        grade(min(ratios) > claim.number("least")),
        "Kept for the backward pass, an image, fp32: "
        + ", ".join(f"{name} {show_bytes(size)}" for name, size in sizes.items())
        + f"; DenseNet-121 has {params('resnet50') / params('densenet121'):.1f} times fewer parameters than ResNet-50. "
        f"Its block of 24 layers would store {stored:,} maps where {distinct:,} are distinct.",
    )


@check("s10-1")
def question_1(claim: Claim) -> CheckResult:
    parts = [op.macs // (56 * 56) for op in block_convolutions(bottleneck(256, 64), *SHAPE)]
    total = weights(bottleneck(256, 64), *SHAPE)
    return CheckResult(
        f"{total:,}",
        grade(total == claim.number("weights") == sum(parts)),
        f"{' + '.join(f'{part:,}' for part in parts)} = {total:,} weights.",
    )


def doubling_growth(stride: int = 1) -> tuple[float, float]:
    """How weights and MACs of the bottleneck grow when its inner width doubles; the projection left out."""

    def both(mid: int) -> tuple[int, int]:
        parts = block_convolutions(bottleneck(256, mid, stride), *SHAPE)
        return sum(op.params for op in parts), sum(op.macs for op in parts)

    return both(128)[0] / both(64)[0], both(128)[1] / both(64)[1]


@check("s10-2")
def question_2(claim: Claim) -> CheckResult:
    ratio, times = weights(bottleneck(256, 128), *SHAPE) / weights(bottleneck(256, 64), *SHAPE), claim.number("times")
    reached = (
        next(
            m
            for m in range(8, 4096)
            if weights(bottleneck(256, 2 * m), *SHAPE) >= times * weights(bottleneck(256, m), *SHAPE)
        )
        if times < 4
        else None
    )
    return CheckResult(
        f"{ratio:.4f} times",
        grade_number(ratio, times),
        f"{weights(bottleneck(256, 128), *SHAPE):,} / {weights(bottleneck(256, 64), *SHAPE):,} = {ratio:.4f}, for MACs "
        f"as well; {times:g} times needs "
        + (f"an inner width of {reached}." if reached else "more than 4, the limit of wide blocks."),
    )


@check("s10-3")
def the_3x3_dominates(claim: Claim) -> CheckResult:
    before, after = inner_share(64), inner_share(128)
    return CheckResult(
        f"{format_percent(before)}",
        grade(min(before, after) > claim.number("share")),
        f"The 3x3 is {format_percent(before)} of the block at an inner width of 64, a bare majority, and "
        f"{format_percent(after)} at 128.",
    )


@check("s10-4")
def square(claim: Claim) -> CheckResult:
    def middle(mid: int) -> int:
        return next(op.macs for op in convolutions(graph(bottleneck(256, mid), SHAPE)) if kernel(op) == 3)

    power = log2(middle(128) / middle(64))
    whole = log2(cost(bottleneck(256, 128), *SHAPE) / cost(bottleneck(256, 64), *SHAPE))
    return CheckResult(
        f"power {power:g}",
        grade_number(power, claim.number("power")),
        f"Doubling the inner width multiplies the 3x3 by 2^{power:g} and the whole block by 2^{whole:.2f}.",
    )


@check("s10-5")
def equal_growth(claim: Claim) -> CheckResult:
    size, work = doubling_growth()
    strided = doubling_growth(2)
    return CheckResult(
        f"{size:.4f} and {work:.4f} times",
        grade_number(size / work, claim.number("ratio")),
        f"At stride 1 both grow {size:.4f} and {work:.4f} times; in a block of stride 2, whose first 1x1 runs on the "
        f"larger map, {strided[0]:.2f} and {strided[1]:.2f} times.",
    )


@check("s10-6")
def the_lever(claim: Claim) -> CheckResult:
    ratios = {}
    for name in ("efficientnet_b0", "efficientnet_b4", "efficientnet_b7"):
        expand = [op for op in convolutions(ops(name)) if op.path.endswith("expand.conv") and ".se." not in op.path]
        ratios[name] = {op.out_shape[0] / op.in_shapes[0][0] for op in expand}
    fixed = len(set().union(*ratios.values())) == 1
    lever = "all widths" if fixed else "middle width"
    wide = {name: max(op.out_shape[0] for op in convolutions(ops(name))) for name in ratios}
    return CheckResult(
        lever,
        grade(lever == claim.word("lever")),
        f"The expansion is {' or '.join(f'{t:g}' for t in set().union(*ratios.values()))} in B0, B4 and B7 "
        f"alike; outer and inner widths grow together (widest layer {', '.join(map(str, wide.values()))}). The "
        "middle width at a fixed outer one is Wide ResNet's.",
    )
