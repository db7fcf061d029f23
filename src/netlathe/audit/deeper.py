"""Checks of slides 6 to 8: the bottleneck, squeeze and expand, cardinality."""

from __future__ import annotations

from itertools import pairwise
from math import log2

from netlathe.arch.build import seq
from netlathe.arch.graph import Op, graph
from netlathe.arch.layers import Conv
from netlathe.arch.node import Node
from netlathe.audit.claims import Claim
from netlathe.audit.facts import (
    convolutions,
    cost,
    family,
    format_percent,
    kernel,
    macs,
    number,
    ops,
    top1,
    weights,
)
from netlathe.audit.rules import CheckResult, check, grade, grade_number
from netlathe.cost.count import op_cost
from netlathe.reshape.inverse import block
from netlathe.units import show_count
from netlathe.zoo.googlenet import TABLE
from netlathe.zoo.resnet import basic, bottleneck

SHAPE = (256, 56, 56)  # where ResNet-50's first bottlenecks stand
BASIC, BOTTLENECK = ("resnet18", "resnet34"), ("resnet50", "resnet101", "resnet152")


def block_convolutions(expression: Node, *shape: int) -> list[Op]:
    """The convolutions of a block without its projection."""
    return [op for op in convolutions(graph(expression, shape)) if "shortcut" not in op.path]


def inner_share(mid: int, io: int = 256) -> float:
    """The part of a bottleneck that its 3x3 costs."""
    parts = {kernel(op): op.macs for op in block_convolutions(bottleneck(io, mid), io, 56, 56)}
    whole = sum(op.macs for op in block_convolutions(bottleneck(io, mid), io, 56, 56))
    return parts[3] / whole


@check("s6-1")
def kernels(claim: Claim) -> CheckResult:
    block_sizes: dict[str, set[str]] = {"basic": set(), "bottleneck": set()}
    for names, sort in ((BASIC, "basic"), (BOTTLENECK, "bottleneck")):
        for name in names:
            blocks: dict[str, list[str]] = {}
            for op in convolutions(ops(name)):
                if op.path.startswith("stage") and "shortcut" not in op.path:
                    blocks.setdefault(".".join(op.path.split(".")[:2]), []).append(str(kernel(op)))
            block_sizes[sort] |= {"-".join(sizes) for sizes in blocks.values()}
    fact = all(block_sizes[sort] == {claim.word(sort)} for sort in block_sizes)
    shown = {sort: " or ".join(sorted(sizes)) for sort, sizes in block_sizes.items()}
    return CheckResult(
        f"{shown['basic']} and {shown['bottleneck']}",
        grade(fact),
        f"Kernels of all blocks of the built networks: {shown['basic']} in ResNet-18 and -34, {shown['bottleneck']} in "
        "ResNet-50, -101 and -152.",
    )


@check("s6-3")
def bottleneck_weights(claim: Claim) -> CheckResult:
    total = weights(bottleneck(256, 64), *SHAPE)
    parts = " + ".join(f"{op_cost(op).weights:,}" for op in block_convolutions(bottleneck(256, 64), *SHAPE))
    return CheckResult(
        f"{total:,}",
        grade_number(total, claim.number("weights")),
        f"{parts} = {total:,} weights, against {claim.number('weights'):,.0f} as said.",
    )


@check("s6-5")
def same_shape(claim: Claim) -> CheckResult:
    shapes = {"basic": graph(basic(256), SHAPE).shapes[-1], "bottleneck": graph(bottleneck(256, 64), SHAPE).shapes[-1]}
    answer = "same" if set(shapes.values()) == {SHAPE} else "different"
    return CheckResult(
        answer,
        grade(answer == claim.word("shape")),
        f"From {SHAPE} basic leaves {shapes['basic']} and bottleneck {shapes['bottleneck']}.",
    )


@check("s6-6")
def same_role(claim: Claim) -> CheckResult:
    blocks = {
        "basic": block_convolutions(basic(256), *SHAPE),
        "bottleneck": block_convolutions(bottleneck(256, 64), *SHAPE),
    }
    field = {name: 1 + sum(kernel(op) - 1 for op in operators) for name, operators in blocks.items()}
    rank = {name: min(op.out_shape[0] for op in operators) for name, operators in blocks.items()}
    equal = len(set(field.values())) == len(set(rank.values())) == 1
    shapes = {operators[-1].out_shape for operators in blocks.values()}
    return CheckResult(
        f"sees {field['bottleneck']} or {field['basic']} pixels, rank {rank['bottleneck']} or {rank['basic']}",
        grade(("same" if shapes == {SHAPE} else "different") == claim.word("shape"), equal),
        f"The shapes agree, the functions do not: a position sees {field['bottleneck']}x{field['bottleneck']} in the "
        f"bottleneck and {field['basic']}x{field['basic']} in the basic block, and all passes through "
        f"{rank['bottleneck']} channels against {rank['basic']}.",
    )


@check("s6-7")
def innovation(claim: Claim) -> CheckResult:
    effects = {
        "shortcut": number("plain34.error") - number("residual34.error"),
        "bottleneck": top1("resnet50", "original 2015") - top1("resnet34", "original 2015"),
    }
    first = max(effects, key=lambda name: effects[name])
    return CheckResult(
        f"shortcut {effects['shortcut']:.1f}, bottleneck {effects['bottleneck']:.1f} points",
        grade(effects.get(claim.word("innovation"), 0) > 0, first == claim.word("innovation")),
        f"Shortcuts are worth {effects['shortcut']:.2f} points at 34 layers (and {number('resnet50.shortcuts.points')} "
        f"in ResNet-50); ResNet-50's bottlenecks gain {effects['bottleneck']:.2f} over ResNet-34. The larger effect is "
        f"the {first}.",
    )


@check("s7-1")
def narrowed(claim: Claim) -> CheckResult:
    wide, narrow = inner_share(256), inner_share(64)
    balance = next(m for m in range(1, 256) if inner_share(m) >= 0.5)
    return CheckResult(
        f"{format_percent(wide)} of the block, {format_percent(narrow)} narrowed",
        grade(wide > claim.number("share") > 0, narrow < wide),
        f"The 3x3 costs {format_percent(wide)} of the block at an inner width of 256 and {format_percent(narrow)} at "
        f"64; from {balance} on it is more than half.",
    )


@check("s7-2")
def inception(claim: Claim) -> CheckResult:
    ratios = {}
    for op in convolutions(ops("googlenet_paper")):
        if op.path.endswith("five.process.conv"):
            name = op.path.split(".")[0].removeprefix("stage") + op.path.split(".")[1]
            arrive = next(
                x for x in convolutions(ops("googlenet_paper")) if x.path == op.path.replace("process", "squeeze")
            )
            inputs, (_, *side) = arrive.in_shapes[0][0], op.out_shape
            ratios[name] = cost(Conv(TABLE[name].five, 5), inputs, *side) / (arrive.macs + op.macs)
    least, most = min(ratios.values()), max(ratios.values())
    return CheckResult(
        f"{least:.1f} to {most:.1f} times",
        grade(least >= claim.number("least")),
        f"Without its 1x1 a 5x5 branch of GoogLeNet would cost {least:.1f} to {most:.1f} times as much (3a "
        f"{ratios['3a']:.1f}, 4a {ratios['4a']:.1f}, 5b {ratios['5b']:.1f}); a 5x5 costs {25 / 9:.1f} times a 3x3.",
    )


@check("s7-3")
def expands(claim: Claim) -> CheckResult:
    ratios = set()
    for name in ("vit_small_patch16", "vit_base_patch16", "vit_large_patch16"):
        for op in ops(name).ops:
            if op.path.endswith("mlp.expand"):
                out, arrive = op.weights["weight"]
                ratios.add(out / arrive)
    return CheckResult(
        " or ".join(f"{x:g} times" for x in sorted(ratios)),
        grade(ratios == {claim.number("times")}),
        f"Hidden over outer width of every MLP of ViT-S, -B and -L: {sorted(ratios)}.",
    )


def encoder_shares(resolution: int) -> dict[str, float]:
    """Parts of the MACs of ViT-B's encoder: mlp, projections, core (scores and values)."""
    parts = {"mlp": 0, "projections": 0, "core": 0}
    for op in ops("vit_base_patch16", resolution).ops:
        if op.path.startswith("encoder"):
            parts["core" if op.kind == "attention" else "mlp" if ".mlp." in op.path else "projections"] += op.macs
    return {name: part / sum(parts.values()) for name, part in parts.items()}


@check("s7-4")
def where_the_work_is(claim: Claim) -> CheckResult:
    at = {px: encoder_shares(px) for px in (224, 1024)}
    work = {px: "mlp" if shares["mlp"] > 0.5 else "attention" for px, shares in at.items()}
    now = at[224]
    return CheckResult(
        f"MLP {format_percent(now['mlp'])} at 224 px, {format_percent(at[1024]['mlp'])} at 1024",
        grade(work[224] == claim.word("work"), work[1024] == claim.word("work")),
        f"In ViT-B/16 at 224 px the MLP takes {format_percent(now['mlp'])}, the projections of attention "
        f"{format_percent(now['projections'])}, its scores and values {format_percent(now['core'])}. At 1024 px the "
        f"MLP is down to {format_percent(at[1024]['mlp'])}: there attention is the work.",
    )


@check("s7-5")
def depthwise_is_cheap(claim: Claim) -> CheckResult:
    shares = {}
    for c in (16, 64, 160):
        parts = graph(block("depthwise", c, 6 * c, 3), (c, 14, 14)).ops
        shares[c] = parts[1].macs / sum(op.macs for op in parts)
    return CheckResult(
        f"at most {format_percent(max(shares.values()))} of the block",
        grade(max(shares.values()) <= claim.number("share")),
        "Depthwise share of an inverted block, expansion 6: "
        + ", ".join(f"{format_percent(x)} at {c} channels" for c, x in shares.items())
        + ".",
    )


def growth_power(inner: str, c: int = 256, m: int = 64) -> float:
    """The exponent with which the inner operator's cost grows with its width; 0 where there is none."""

    def operator(width: int) -> int:
        return cost(block(inner, c, width, 3), c, 14, 14) - cost(block("none", c, width, 3), c, 14, 14)

    return log2(operator(2 * m) / operator(m)) if operator(m) else 0.0


@check("s7-6")
def inverse_forms(claim: Claim) -> CheckResult:
    powers = {inner: growth_power(inner) for inner in ("dense", "depthwise", "none")}
    forms = {inner: "squeeze" if power > 1 else "expand" for inner, power in powers.items()}
    return CheckResult(
        ", ".join(f"{inner}: {form}" for inner, form in forms.items()),
        grade(all(forms[inner] == claim.word(inner) for inner in forms)),
        "The operator inside two pointwise convolutions grows with its width to the power "
        + ", ".join(f"{power:.2g} ({inner})" for inner, power in powers.items())
        + "; what grows faster than the pointwise parts, which are linear, is squeezed.",
    )


@check("s8-1")
def two_knobs(claim: Claim) -> CheckResult:
    start = number("wrn.resnet50.error")
    errors = {"deeper": number("wrn.resnet152.error"), "wider": number("wrn.wide_resnet50_2.error")}
    helping = [name for name, error in errors.items() if error < start]
    return CheckResult(
        f"{start} % becomes {errors['deeper']} or {errors['wider']} %",
        grade(len(helping) == claim.number("knobs")),
        f"From ResNet-50's {start} % depth (ResNet-152, {show_count(macs('resnet152'))} MACs) leads to "
        f"{errors['deeper']} % and width (Wide ResNet-50-2, {show_count(macs('wide_resnet50_2'))}) to "
        f"{errors['wider']} %.",
    )


@check("s8-2")
def paths(claim: Claim) -> CheckResult:
    op = next(op for op in convolutions(ops("resnext50_32x4d")) if ".process." in op.path)
    groups = op.in_shapes[0][0] // op.weights["weight"][1]
    width = op.weights["weight"][1]
    one = seq(squeeze=Conv(width), process=Conv(width, 3), expand=Conv(256))
    split, grouped = groups * weights(one, *SHAPE), weights(bottleneck(256, groups * width, groups=groups), *SHAPE)
    return CheckResult(
        f"{groups} groups",
        grade(groups == claim.number("paths"), split == grouped),
        f"{groups} paths of width {width} hold {split:,} weights, the block with one convolution in {groups} groups "
        f"{grouped:,}.",
    )


@check("s8-4")
def resnext_gain(claim: Claim) -> CheckResult:
    gains = {name: float(f.value) for name, f in family("resnext.gain.").items()}
    for recipe in ("RSB A1", "RSB A2", "RSB A3", "torchvision IMAGENET1K_V2"):
        gains[recipe] = top1("resnext50_32x4d", recipe, 224) - top1("resnet50", recipe, 224)
    points, low, high = claim.number("points"), min(gains.values()), max(gains.values())
    return CheckResult(
        f"{low:.1f} to {high:.1f} points",
        grade(low <= points <= high, high - low < points / 2),
        "ResNeXt-50 less ResNet-50: " + ", ".join(f"{name} {gain:+.2f}" for name, gain in gains.items()) + ".",
    )


@check("s8-5")
def grouped_is_cardinality(claim: Claim) -> CheckResult:
    from netlathe.audit.simulate import cardinality_error

    difference = cardinality_error()
    return CheckResult(
        f"equal to {difference:.0e}",
        grade(("yes" if difference < 1e-9 else "no") == claim.word("same")),
        f"32 paths added, 32 paths concatenated and one convolution in 32 groups give the same output in "
        f"float64: largest difference {difference:.0e}.",
    )


@check("s8-6")
def toward_depthwise(claim: Claim) -> CheckResult:
    c = 64
    groups = [2**i for i in range(7)]
    held = [weights(Conv(c, 3, groups=g), c, 14, 14) for g in groups]
    end = graph(Conv(c, 3, groups=c), (c, 14, 14)).ops[0].form
    falls = all(a == 2 * b for a, b in pairwise(held))
    return CheckResult(
        f"{held[0]:,} to {held[-1]:,} weights",
        grade(end == claim.word("end") and falls and held[-1] == weights(Conv(None, 3, group_width=1), c, 14, 14)),
        f"A 3x3 of {c} channels holds {', '.join(f'{w:,}' for w in held)} weights in {', '.join(map(str, groups))} "
        f"groups; the last is {end}. ResNeXt stops at 32.",
    )
