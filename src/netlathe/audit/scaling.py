"""Checks of slides 19 to 21: depth, width and resolution, and what the recipe did."""

from __future__ import annotations

from netlathe import zoo
from netlathe.audit.claims import Claim
from netlathe.audit.facts import convolutions, family, format_percent, macs, number, ops, top1
from netlathe.audit.rules import (
    CheckResult,
    check,
    grade,
    is_near,
    is_same,
)
from netlathe.reshape.compound import ReleasedModel, compound, released_models
from netlathe.zoo.registry import table as variants_of_zoo

EFFICIENTNETS = tuple(f"efficientnet_b{i}" for i in range(8))


@check("s19-1")
def exemplars(claim: Claim) -> CheckResult:
    def shape(name: str, resolution: int | None = None) -> tuple[int, int, int]:
        convs = [op for op in convolutions(ops(name, resolution)) if "shortcut" not in op.path]
        inner = max(
            op.out_shape[0]
            for op in convs
            if (op.form == "dense" and op.weights["weight"][2] == 3) or op.form == "depthwise"
        )
        return len(convs), inner, convs[0].in_shapes[0][1]

    pairs = {
        "depth": (shape("vgg11"), shape("vgg19")),
        "width": (shape("resnet50"), shape("wide_resnet50_2")),
        "resolution": (shape("convnext_base", 224), shape("convnext_base", 384)),
    }
    turned = {
        axis: [knob for knob, a, b in zip(pairs, before, after, strict=True) if b > a]
        for axis, (before, after) in pairs.items()
    }
    right = [axis for axis, knobs in turned.items() if knobs == [axis]]
    times = macs("convnext_base", 384) / macs("convnext_base", 224)
    return CheckResult(
        f"{len(right)} of 3 turn one knob",
        grade(len(right) == claim.number("knobs")),
        f"Counted: VGG-11 to -19 changes {', '.join(turned['depth'])}, ResNet-50 to Wide ResNet-50-2 "
        f"{', '.join(turned['width'])}, ConvNeXt-B from 224 to 384 px {', '.join(turned['resolution'])} (for "
        f"{number('convnext_base_384.top1') - number('convnext_base.top1'):.1f} points and {times:.1f} times "
        "the MACs).",
    )


@check("s19-2")
def one_knob(claim: Claim) -> CheckResult:
    usual, mixed = number("usual.knobs"), family("mixed.")
    return CheckResult(
        f"{len(mixed)} exceptions",
        grade(usual == claim.number("knobs"), not mixed),
        f"EfficientNet describes its past as turning {usual:g} knob, and names itself {len(mixed)} that turned more: "
        f"{', '.join(mixed)}.",
    )


@check("s19-3")
def diminishing(claim: Claim) -> CheckResult:
    alone = {axis: number(f"b0.{axis}") for axis in ("depth4", "width2", "resolution2")}
    both = number("b0.compound")
    best_way = "compound" if both > max(alone.values()) else max(alone, key=lambda axis: alone[axis])
    return CheckResult(
        f"{min(alone.values())} to {max(alone.values())} %, together {both} %",
        grade(best_way == claim.word("best")),
        "B0 at about 1.8 G MACs: "
        + ", ".join(f"{axis} {value} %" for axis, value in alone.items())
        + f"; all three together {both} %.",
    )


@check("s19-4")
def doubling_depth(claim: Claim) -> CheckResult:
    gains = {name: float(f.value) for name, f in family("deeper.").items()}
    points = claim.number("points")
    like = [name for name, gain in gains.items() if is_near(gain, points)]
    return CheckResult(
        f"{min(gains.values())} to {max(gains.values())} points",
        grade(bool(like), len(like) == len(gains)),
        f"About {points:g} points in {', '.join(like) or 'none'}; elsewhere "
        + ", ".join(f"{gain} ({name})" for name, gain in gains.items() if name not in like)
        + ".",
    )


def released_efficientnets() -> list[ReleasedModel]:
    """B1 to B7 beside the formula."""
    variants = variants_of_zoo()
    rows = {n: (variants[n].free["width"], variants[n].free["depth"], variants[n].input[-1]) for n in EFFICIENTNETS[1:]}
    return released_models(zoo.get("efficientnet_b0"), rows)


@check("s20-1")
def together(claim: Claim) -> CheckResult:
    last = released_efficientnets()[-1]
    axes = sum(factor > 1 for factor in last.table)
    spread = {row.name.removeprefix("efficientnet_").upper(): row.implied for row in released_efficientnets()}
    fixed = [name for name, phi in spread.items() if min(phi) > 0 and max(phi) / min(phi) <= 1.1]
    shown = "; ".join(f"{name} {', '.join(f'{phi:.2f}' for phi in spread[name])}" for name in ("B1", "B4", "B7"))
    return CheckResult(
        f"{axes} axes; {len(fixed)} of {len(spread)} in fixed ratios",
        grade(axes == claim.number("axes"), len(fixed) == len(spread)),
        f"The released B7 scales {axes} axes, but not by one phi: depth, width and resolution imply {shown}; within "
        f"10 % of each other in {len(fixed)} of {len(spread)}.",
    )


@check("s20-3")
def doubles(claim: Claim) -> CheckResult:
    start = macs(EFFICIENTNETS[0])
    ratios = [macs(name) / start for name in EFFICIENTNETS[1:]]
    step = ratios[-1] ** (1 / 7)
    return CheckResult(
        f"{ratios[-1]:.1f} times for B7",
        grade(is_near(step, claim.number("step")), is_same(ratios[-1], claim.number("step") ** 7)),
        f"MACs over B0: {', '.join(f'{ratio:.2f}' for ratio in ratios)} for B1 to B7; {step:.3f} times a step, "
        f"so B7 is {ratios[-1]:.1f} and not {claim.number('step') ** 7:.0f}; 1.92^7 is {compound(7).macs:.1f}.",
    )


@check("s21-3")
def beats_b4(claim: Claim) -> CheckResult:
    ours, theirs = top1("resnet50", "RSB A1", 224), top1("efficientnet_b4", "original")
    equal = top1("resnet50", "pycls"), top1("efficientnet_b4", "pycls")
    beaten = [n for n in EFFICIENTNETS if ours > top1(n, "original")]
    return CheckResult(
        f"{ours} against {theirs} %",
        grade(("resnet50" if ours > theirs else "efficientnet_b4") == claim.word("better")),
        f"{ours} % is below B4's {theirs} %; it beats {(beaten or ['none'])[-1]}. Under one recipe of 100 "
        f"epochs ResNet-50 has {equal[0]} % and B4 {equal[1]} %.",
    )


def recipe_shares() -> dict[str, float]:
    """The part of a published gain that goes away, or stays without, the architecture: 1 - equal gap / "
    "published gap."""
    from netlathe.reshape.roadmap import FIGURES

    plain, basic = top1("resnet50", "torchvision IMAGENET1K_V1"), number("regnet.resnet50.error")
    shares = {}
    for size in ("b4", "b5"):
        equal = basic - number(f"regnet.{size}.error")
        shares[f"ResNet-50 to EfficientNet-{size.upper()}"] = 1 - equal / (
            top1(f"efficientnet_{size}", "original") - plain
        )
    shares["ResNet-200 to ResNet-RS"] = number("recipe.resnet_rs.recipe") / number("recipe.resnet_rs.gap")
    shares["ResNet-50 to ResNeXt-50"] = 1 - number("resnext.gain.regnet") / number("resnext.gain.paper")
    for name, steps in FIGURES.items():
        whole = steps["separate downsampling"].top1 - steps["start"].top1
        shares[f"{name} to ConvNeXt"] = (steps["recipe"].top1 - steps["start"].top1) / whole
    return shares


@check("s21-4", "s29-3")
def recipe_gains(claim: Claim) -> CheckResult:
    shares, limit = recipe_shares(), claim.number("share")
    above = [name for name, share in shares.items() if share > limit]
    return CheckResult(
        f"{format_percent(min(shares.values()))} to {format_percent(max(shares.values()))}",
        grade(bool(above), len(above) == len(shares)),
        "The recipe's part of published gains: "
        + ", ".join(f"{name} {format_percent(share)}" for name, share in shares.items())
        + f". Above {format_percent(limit)}: {len(above)} of {len(shares)}.",
    )
