"""Checks of slides 25 and 26: the Vision Transformer, and ConvNeXt's reply."""

from __future__ import annotations

from netlathe import zoo
from netlathe.arch.network import Network
from netlathe.audit import simulate
from netlathe.audit.claims import Claim
from netlathe.audit.factoring import SINGLE
from netlathe.audit.facts import format_percent, number, ops, top1
from netlathe.audit.rules import CheckResult, check, grade
from netlathe.choose.decide import noise
from netlathe.cost.totals import totals
from netlathe.reshape.modernise import ladder
from netlathe.reshape.roadmap import FIGURES

VIT = "vit_base_patch16"


@check("s25-1")
def tokens(claim: Claim) -> CheckResult:
    read = ops(VIT)
    embed = next(op for op in read.ops if op.kind == "conv")
    positions = embed.out_shape[1] * embed.out_shape[2]
    patch = embed.weights["weight"][2]
    return CheckResult(
        f"{positions} + 1 tokens",
        grade(patch == claim.number("patch") and positions == claim.number("tokens")),
        f"224 px in patches of {patch} make {embed.out_shape[1]}x{embed.out_shape[2]} = {positions} tokens and one for "
        f"the class; the embedding has {embed.params:,} parameters.",
    )


@check("s25-2")
def no_convolution(claim: Claim) -> CheckResult:
    read = ops(VIT)
    convs = [op for op in read.ops if op.kind == "conv"]
    share = sum(op.macs for op in convs) / sum(op.macs for op in read.ops)
    difference = simulate.patches_as_convolution()
    return CheckResult(
        f"{len(convs)} convolution, {format_percent(share)} of the MACs",
        grade(share < 0.01 and difference < SINGLE, len(convs) <= claim.number("convolutions")),
        f"The linear layer on patches is a convolution of as large a stride (relative difference {difference:.0e}); it "
        f"is the only one, {format_percent(share)} of the MACs.",
    )


@check("s25-3")
def no_bias(claim: Claim) -> CheckResult:
    difference, exceptions = simulate.permutation_error(), number("vit.exceptions")
    return CheckResult(
        f"{exceptions:g} exceptions",
        grade(difference < SINGLE, exceptions <= claim.number("exceptions")),
        f"Attention does not know where a token stands (relative difference after a permutation {difference:.0e}); the "
        f"paper names {exceptions:g} exceptions: patches, and positions that are interpolated.",
    )


@check("s25-5")
def worse_on_imagenet(claim: Claim) -> CheckResult:
    then = {"vit": top1(VIT, "original: ImageNet-1k"), "resnet": top1("resnet152", "torchvision IMAGENET1K_V1")}
    later = {"vit": top1(VIT, "DeiT III: 800 ep", 224), "resnet": top1("resnet152", "RSB A1", 224)}
    better = [max(pair, key=lambda name: pair[name]) for pair in (then, later)]
    return CheckResult(
        f"{then['vit']} to {then['resnet']} % then, {later['vit']} to {later['resnet']} % later",
        grade(better[0] == claim.word("better"), better[1] == claim.word("better")),
        f"ViT-B against ResNet-152 on ImageNet alone: {then['vit']} and {then['resnet']} % with the recipes of their "
        f"papers, {later['vit']} and {later['resnet']} % with those of 2021 and 2022, where {better[1]} is ahead.",
    )


@check("s26-1")
def step_by_step(claim: Claim) -> CheckResult:
    rungs = ladder(zoo.get(claim.word("start"))) if claim.word("start") in FIGURES else []
    steps = FIGURES["resnet50"]
    whole = bool(rungs) and rungs[-1].network.body == zoo.get("convnext_tiny").body
    matching = [r for r in rungs if r.published and abs(r.published.macs_G - macs_of(r.network) / 1e9) <= 0.006]
    return CheckResult(
        f"{steps['start'].top1} to {steps['separate downsampling'].top1} %",
        grade(whole),
        f"{len(rungs)} rewrites lead from {claim.word('start')} to the very expression of ConvNeXt-T: {whole}; "
        f"the MACs of {len(matching)} are the printed ones. Top-1 goes from {steps['start'].top1} to "
        f"{steps['recipe'].top1} % (recipe) and {steps['separate downsampling'].top1} %.",
    )


def macs_of(network: Network) -> int:
    """MACs of a network, counted."""
    total: int = totals(network.body, network.input).macs
    return total


@check("s26-2")
def choices_not_operators(claim: Claim) -> CheckResult:
    sorts = {n: {(op.kind, op.form) for op in ops(n).ops} for n in ("convnext_tiny", "swin_tiny", "resnet50")}
    ours, swin, resnet = sorts["convnext_tiny"], sorts["swin_tiny"], sorts["resnet50"]
    mixing = [kind for kind, _ in ours if kind == "attention"]
    borrowed = sorted(f"{form} {kind}".strip() for kind, form in (ours & swin) - resnet if kind in ("act", "norm"))
    return CheckResult(
        f"no attention; {len(borrowed)} layers borrowed",
        grade(not mixing, len(borrowed) <= claim.number("borrowed")),
        f"ConvNeXt has {len(mixing)} attention operators. What it shares with Swin and not with ResNet-50: "
        f"{', '.join(borrowed)}: layers, so the line between choices and operators is not sharp.",
    )


def roadmap_gains() -> tuple[float, float, float, float]:
    """Points on the road from ResNet-50: recipe, macro design, all, and to Swin-T."""
    steps = FIGURES["resnet50"]
    start = steps["start"].top1
    return (
        steps["recipe"].top1 - start,
        steps["patchify stem"].top1 - steps["recipe"].top1,
        steps["separate downsampling"].top1 - start,
        number("swin_tiny.top1") - start,
    )


@check("s26-5")
def partly_recipe(claim: Claim) -> CheckResult:
    recipe, _, _, swin = roadmap_gains()
    return CheckResult(
        format_percent(recipe / swin),
        grade(claim.number("least") <= recipe / swin < 1),
        f"The recipe alone gives ResNet-50 {recipe:.2f} of the {swin:.2f} points that Swin-T is ahead: "
        f"{format_percent(recipe / swin)}.",
    )


@check("s26-6")
def proves(claim: Claim) -> CheckResult:
    recipe, macro, whole, _ = roadmap_gains()
    share, seen = (recipe + macro) / whole, number("roadmap.images")
    return CheckResult(
        format_percent(share),
        grade(share > claim.number("share"), seen > 1e8),
        f"Recipe and macro design give {recipe + macro:.2f} of {whole:.2f} points, {format_percent(share)}. It is "
        f"shown for {seen / 1e6:.1f} M images and networks of Swin-T's size, and says nothing of ViT on very large "
        "data.",
    )


def are_apart(a: float, b: float) -> bool:
    """Whether two top-1 accuracies differ by more than the noise of measuring them."""
    return abs(a - b) > noise(max(a, b))
