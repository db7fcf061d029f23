"""Checks of slides 15 and 16: MobileNetV1, MobileNetV2 and the inverted bottleneck."""

from __future__ import annotations

from math import log2, prod

from netlathe import zoo
from netlathe.arch.graph import graph
from netlathe.arch.layers import Conv
from netlathe.audit.claims import Claim
from netlathe.audit.facts import (
    convolutions,
    cost,
    family,
    format_percent,
    kernel,
    macs,
    ops,
    params,
    word,
)
from netlathe.audit.rules import CheckResult, check, grade, grade_number
from netlathe.cost.memory import memory
from netlathe.reshape.inverse import block
from netlathe.units import show_count
from netlathe.zoo.mobilenetv2 import inverted


@check("s15-1")
def first_mobile(claim: Claim) -> CheckResult:
    aims = {name: str(f.value) for name, f in family("aim.").items() if f.value != "accuracy"}
    dates = {name: word(f"date.{name}") for name in aims}
    ordered = sorted(dates, key=lambda name: dates[name])
    first = next((name for name in ordered if aims[name] == "mobile"), "")
    earlier = [f"{name} ({dates[name]}, for {aims[name]})" for name in ordered if dates[name] < dates.get(first, "")]
    return CheckResult(
        f"{len(earlier)} efficiency networks are earlier",
        grade(first == claim.word("first"), not earlier),
        f"The first that says mobile is {first} ({dates.get(first)}); small and fast networks came before it: "
        f"{', '.join(earlier)}.",
    )


@check("s15-2")
def every_3x3(claim: Claim) -> CheckResult:
    full = [op for op in convolutions(ops("mobilenetv1_conv")) if kernel(op) == 3]
    left = [op for op in convolutions(ops("mobilenetv1")) if kernel(op) == 3 and op.form == "dense"]
    return CheckResult(
        f"{len(full) - len(left)} of {len(full)}",
        grade(len(left) < len(full) / 2, len(left) <= claim.number("left")),
        f"Of {len(full)} 3x3 convolutions {len(full) - len(left)} are factored; {', '.join(op.path for op in left)} "
        "stays dense.",
    )


@check("s15-3")
def vgg_style(claim: Claim) -> CheckResult:
    counts = {
        n: sum(op.kind in ("add", "cat", "mul") for op in ops(n).ops) for n in ("mobilenetv1", "vgg16", "resnet50")
    }
    return CheckResult(
        f"{counts['mobilenetv1']} joins",
        grade(counts["mobilenetv1"] == claim.number("joins") == counts["vgg16"]),
        f"Skips and branches: {counts['mobilenetv1']} in MobileNetV1, {counts['vgg16']} in VGG-16, "
        f"{counts['resnet50']} in ResNet-50.",
    )


@check("s15-4")
def alpha(claim: Claim) -> CheckResult:
    whole = convolutions(ops("mobilenetv1"))
    by_alpha = {a: convolutions(ops("mobilenetv1", alpha=a)) for a in (0.75, 0.5, 0.25)}
    off = max(
        abs(small.out_shape[0] / (a * big.out_shape[0]) - 1)
        for a, layers in by_alpha.items()
        for small, big in zip(layers, whole, strict=True)
    )
    power = log2(macs("mobilenetv1") / macs("mobilenetv1", alpha=0.5))
    costs = ", ".join(show_count(macs("mobilenetv1", alpha=a)) for a in (1.0, 0.75, 0.5, 0.25))
    return CheckResult(
        f"widths x alpha, MACs x alpha^{power:.2f}",
        grade(off <= claim.number("off")),
        f"Every convolution's outputs are alpha times as many (largest deviation {format_percent(off)}); MACs {costs} "
        f"for 1, 0.75, 0.5, 0.25. The 3 channels of the image and the 1000 classes stay.",
    )


@check("s15-5")
def rho(claim: Claim) -> CheckResult:
    sizes = {px: macs("mobilenetv1", px) for px in (224, 192, 160, 128)}
    power = log2(macs("mobilenetv1", 448) / macs("mobilenetv1", 224))
    held = {params("mobilenetv1", px) for px in sizes}
    return CheckResult(
        f"MACs x rho^{power:.2f}",
        grade(grade_number(power, claim.number("power")) == "holds" and len(held) == 1),
        f"MACs {', '.join(show_count(n) for n in sizes.values())} at {', '.join(map(str, sizes))} px; the parameters "
        f"stay {' or '.join(f'{n:,}' for n in held)}.",
    )


@check("s15-7")
def mobilenet_params(claim: Claim) -> CheckResult:
    total = params("mobilenetv1")
    last = next(op for op in reversed(ops("mobilenetv1").ops) if op.kind == "linear")
    return CheckResult(
        f"{total:,}",
        grade_number(total / 1e6, claim.number("millions")),
        f"{total:,} parameters, {format_percent(last.params / total)} of them in the classifier.",
    )


@check("s16-1")
def order(claim: Claim) -> CheckResult:
    parts = graph(inverted(64, 6), (64, 28, 28)).ops
    convs = [op for op in parts if op.kind == "conv"]
    names = {"depthwise": "depthwise"}
    sequence = "-".join(
        names.get(op.form, "expand" if op.out_shape[0] > op.in_shapes[0][0] else "squeeze") for op in convs
    )
    return CheckResult(
        f"{sequence}, {convs[0].out_shape[0] // 64} times",
        grade(sequence == claim.word("order")),
        f"The block is {sequence} with an expansion of {convs[0].out_shape[0] // 64} and a last layer that is "
        f"{'linear' if parts[-2].kind != 'act' and parts[-1].kind == 'add' else 'not linear'}; the network has "
        f"{params('mobilenetv2'):,} parameters and {macs('mobilenetv2'):,} MACs.",
    )


@check("s16-2")
def no_blow_up(claim: Claim) -> CheckResult:
    c = 64

    def block_cost(t: int) -> int:
        return cost(block("depthwise", c, t * c, 3), c, 14, 14)

    power = log2(block_cost(12) / block_cost(6))
    plain = block_cost(6) / cost(Conv(c, 3), c, 14, 14)
    wide = cost(Conv(6 * c, 3), 6 * c, 14, 14) / block_cost(6)
    return CheckResult(
        f"linear: power {power:.2f}",
        grade(
            power < log2(cost(Conv(2 * c, 3), 2 * c, 14, 14) / cost(Conv(c, 3), c, 14, 14)),
            plain <= claim.number("most"),
        ),
        f"The cost grows with the expansion to the power {power:.2f} (a dense 3x3 to the power 2: {wide:.0f} times as "
        f"much at the wide width); the block at 6 still costs {plain:.2f} times a plain 3x3 at the narrow one.",
    )


@check("s16-3")
def relu_collapses(claim: Claim) -> CheckResult:
    from netlathe.audit.simulate import invertible, invertible_sampled

    exact = {n: invertible(n) for n in (2, 3, 5, 10)}
    drawn = {n: invertible_sampled(n) for n in exact}
    agree = all(abs(drawn[n] - exact[n]) < 0.02 for n in exact)
    return CheckResult(
        ", ".join(f"{exact[n]:.2f}" for n in exact),
        grade(agree and exact[2] <= claim.number("narrow") and exact[10] >= claim.number("wide")),
        "Of a plane mapped to 2, 3, 5, 10 channels, relu leaves invertible "
        f"{', '.join(f'{p:.3f}' for p in exact.values())} of the points (1 - (n+1)/2^n; drawn "
        f"{', '.join(f'{p:.3f}' for p in drawn.values())}): narrow layers lose most.",
    )


def largest_fused(name: str) -> int:
    """The most elements of a block's input and output together, were each block computed as one operation."""
    read = zoo.get(name).graph()
    blocks: dict[str, list[int]] = {}
    for i, op in enumerate(read.ops):
        if op.path.startswith("stage"):
            blocks.setdefault(".".join(op.path.split(".")[:2]), []).append(i)
    return max(prod(read.ops[part[0]].in_shapes[0]) + prod(read.ops[part[-1]].out_shape) for part in blocks.values())


@check("s16-5")
def narrow_skips(claim: Claim) -> CheckResult:
    first, second = (memory(ops(name), 1).largest for name in ("mobilenetv1", "mobilenetv2"))
    whole = largest_fused("mobilenetv2")
    return CheckResult(
        f"{whole / 1e6:.3f} M elements fused, {first / 1e6:.3f} M in V1",
        grade(whole / first < claim.number("ratio"), second / first < claim.number("ratio")),
        f"Input and output of the largest operation: MobileNetV1 {first / 1e6:.3f} M elements, MobileNetV2 "
        f"{second / 1e6:.3f} M operation by operation, {whole / 1e6:.3f} M when a block is one fused operation. The "
        "narrow ends save memory in that case only.",
    )


def affordable_width(inner: str, budget: int, c: int = 256) -> float:
    """The widest block within a budget of MACs a position, over the outer width: by counting."""
    low, high = 1, 64 * c
    while low < high:
        mid = (low + high + 1) // 2
        low, high = (mid, high) if cost(block(inner, c, mid, 3), c, 1, 1) <= budget else (low, mid - 1)
    return low / c


@check("s16-6")
def direction(claim: Claim) -> CheckResult:
    c = 256
    one = cost(Conv(c, 3), c, 1, 1)
    widths = {inner: affordable_width(inner, one) for inner in ("dense", "depthwise", "none")}
    forms = {inner: "squeeze" if width < 1 else "expand" for inner, width in widths.items()}
    return CheckResult(
        ", ".join(f"{inner} {width:.2f} c" for inner, width in widths.items()),
        grade(all(forms[inner] == claim.word(inner) for inner in forms)),
        f"For the price of one dense 3x3 at {c} channels the inside may be {widths['dense']:.2f} c wide with a dense "
        f"operator, {widths['depthwise']:.2f} c with a depthwise one and {widths['none']:.2f} c with none.",
    )
