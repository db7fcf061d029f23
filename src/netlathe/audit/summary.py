"""Checks of slides 29 and 30: the summary, and the next lecture."""

from __future__ import annotations

from netlathe.audit import records, simulate
from netlathe.audit.claims import Claim
from netlathe.audit.convergence import VIT, are_apart
from netlathe.audit.facts import macs, number, top1, word
from netlathe.audit.rules import CheckResult, check, grade
from netlathe.reshape.compound import compound


@check("s29-1")
def cost_not_accuracy(claim: Claim) -> CheckResult:
    cheaper = macs("resnet50") / macs("efficientnet_b0")
    start, tuned = top1("resnet152", "torchvision IMAGENET1K_V1"), top1("resnet152", "RSB A1", 224)
    large, more = number("convnext_large.top1"), number("convnext_large_22k.top1")
    return CheckResult(
        f"{cheaper:.1f} times cheaper, and {start} to {large} %",
        grade(cheaper >= claim.number("cheaper"), large - start <= claim.number("points")),
        f"Cost fell: B0 has {cheaper:.1f} times fewer MACs than ResNet-50 at its accuracy. Accuracy rose too: "
        f"ResNet-152 {start} %, with a later recipe {tuned} %, ConvNeXt-L {large} %, with more images {more} %.",
    )


@check("s29-2")
def decoupling(claim: Claim) -> CheckResult:
    parts = [simulate.find_mixing(name) for name in ("depthwise", "pointwise")]
    inner = simulate.find_mixing("dense")  # the bottleneck's 3x3
    together = sum(factor > 1 for factor in compound(1))
    answers = {
        "depthwise separable": not any(part.space and part.channels for part in parts),
        "bottleneck": not (inner.space and inner.channels),
        "compound scaling": together == 1,
    }
    good = [name for name, decouples in answers.items() if decouples]
    return CheckResult(
        f"{len(good)} of {len(answers)} decouple",
        grade(bool(good), len(good) >= claim.number("examples")),
        f"{', '.join(good)} decouples. The bottleneck's 3x3 still mixes space and channels, at a narrow width, and "
        f"compound scaling ties {together} axes to one number.",
    )


@check("s29-4")
def double_edged(claim: Claim) -> CheckResult:
    small, large = word("vit9m.b32_below_resnet50"), word("vit90m.b32_above_resnet50")
    on_imagenet = top1(VIT, "DeiT III: 800 ep", 224), number("convnext_base.top1")
    on_billions = number("later.vit_g14"), number("later.nfnet_4b")
    differ = are_apart(*on_imagenet) and are_apart(*on_billions)
    return CheckResult(
        f"9 M: ViT below {small}; 90 M: above {large}",
        grade(small == claim.word("small") and large == claim.word("large"), differ),
        f"ViT-B/32 is below ResNet-50 on 9 M images ({small}) and above on 90 M ({large}). With later recipes the two "
        f"sorts meet at both ends: {on_imagenet[0]} and {on_imagenet[1]} % on 1.28 M images, {on_billions[0]} and "
        f"{on_billions[1]} % on billions.",
    )


@check("s30-1")
def contrastive(claim: Claim) -> CheckResult:
    sorts = {name: word(f"ssl.{name}") for name in ("simclr", "moco")}
    probe, supervised = number("ssl.simclr.linear"), number("ssl.supervised")
    return CheckResult(
        " and ".join(sorted(set(sorts.values()))),
        grade(set(sorts.values()) == {claim.word("loss")}),
        f"SimCLR is {sorts['simclr']}, MoCo {sorts['moco']}; a linear probe of SimCLR's ResNet-50 has {probe} %, "
        f"supervised training {supervised} %.",
    )


@check("s30-2")
def needs_ssl(claim: Claim) -> CheckResult:
    alone = {"ConvNeXt-B": number("convnext_base.top1"), "ViT-B": top1(VIT, "DeiT: 300 ep", 224)}
    needed = "no" if min(alone.values()) > claim.number("works") else "yes"
    study = records.latest_record("study.pretraining.points")
    return CheckResult(
        f"supervised {alone['ConvNeXt-B']} and {alone['ViT-B']} %",
        grade(needed == claim.word("needed")),
        f"Without it ConvNeXt-B has {alone['ConvNeXt-B']} % and ViT-B {alone['ViT-B']} %; a masked autoencoder "
        f"as it is does not suit ConvNeXt ({word('mae.convnext')}). Six minutes of SimCLR gave a small ResNet "
        f"{study.value:+.1f} points here, not beyond chance ({study.date}).",
    )
