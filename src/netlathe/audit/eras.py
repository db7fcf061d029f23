"""Checks of slides 27 and 28: what each era bought, and when not to take a convolutional network."""

from __future__ import annotations

from netlathe import zoo
from netlathe.arch.graph import Op, graph
from netlathe.audit import records, simulate
from netlathe.audit.backward import backward_bytes
from netlathe.audit.claims import Claim
from netlathe.audit.convergence import VIT, are_apart
from netlathe.audit.facts import convolutions, family, format_percent, macs, number, ops, params, top1, word
from netlathe.audit.rules import CheckResult, check, grade, grade_number
from netlathe.units import show_bytes, show_count


def linear_share(name: str) -> float:
    """The part of the parameters in fully connected layers."""
    return sum(op.params for op in ops(name).ops if op.kind == "linear") / params(name)


@check("s27-2")
def alexnet(claim: Claim) -> CheckResult:
    total, gpus = params("alexnet_grouped"), number("alexnet.gpus")
    return CheckResult(
        f"{total:,}, {gpus:g} GPUs",
        grade(grade_number(total / 1e6, claim.number("millions")) == "holds" and gpus == claim.number("gpus")),
        f"{total:,} parameters, {format_percent(linear_share('alexnet_grouped'))} of them fully connected, and "
        f"{show_count(macs('alexnet_grouped'))} MACs; trained on {gpus:g} GPUs.",
    )


@check("s27-3")
def vgg(claim: Claim) -> CheckResult:
    total, share = params("vgg16"), linear_share("vgg16")
    return CheckResult(
        f"{total:,}, {format_percent(share)} fully connected",
        grade(grade_number(total / 1e6, claim.number("millions")) == "holds" and share > 0.5),
        f"VGG-16 has {total:,} parameters, {format_percent(share)} in fully connected layers.",
    )


@check("s27-4")
def googlenet(claim: Claim) -> CheckResult:
    less = macs("vgg16") / macs("googlenet_paper")
    training = sum(op.params for op in zoo_training("googlenet_paper"))
    extra = training - params("googlenet_paper")
    return CheckResult(
        f"{less:.1f} times below VGG-16",
        grade(less >= claim.number("least") and extra > 0),
        f"{show_count(macs('googlenet_paper'))} MACs, {less:.1f} times less than VGG-16; two classifiers that only "
        f"training uses add {extra:,} parameters to {params('googlenet_paper'):,}.",
    )


def zoo_training(name: str) -> list[Op]:
    """The operators of a training graph."""
    network = zoo.get(name)
    return list(graph(network.body, network.input, training=True).ops)


@check("s27-5")
def resnet(claim: Claim) -> CheckResult:
    convs = [op for op in convolutions(ops("resnet50")) if "shortcut" in op.path]
    held = sum(op.params for op in convs)
    joins = sum(op.kind == "add" for op in ops("resnet50").ops)
    return CheckResult(
        f"{held:,} in {len(convs)} projections",
        grade(len(convs) < joins / 2, held <= claim.number("params")),
        f"{joins - len(convs)} of {joins} shortcuts are free; {len(convs)} project and hold {held:,} parameters "
        f"({format_percent(held / params('resnet50'))}), and every map that is skipped stays in memory.",
    )


@check("s27-6")
def mobilenet(claim: Claim) -> CheckResult:
    ours = number("mobilenet.separable.top1")
    lost = {
        "its twin": number("mobilenet.conv.top1") - ours,
        "VGG-16": number("mobilenet.vgg16.top1") - ours,
        "ResNet-152": number("resnet152.top1.single") - ours,
    }
    like = [name for name, points in lost.items() if abs(points - claim.number("points")) <= 0.25]
    return CheckResult(
        f"-{lost['its twin']:.1f} points",
        grade("its twin" in like, len(like) == len(lost)),
        "MobileNetV1 is behind " + ", ".join(f"{name} by {points:.1f} points" for name, points in lost.items()) + ".",
    )


@check("s27-7")
def efficientnet(claim: Claim) -> CheckResult:
    gaps = [top1(f"efficientnet_b{i}", "original") - (100 - number(f"regnet.b{i}.error")) for i in range(6)]
    return CheckResult(
        f"{min(gaps):.1f} to {max(gaps):.1f} points",
        grade(min(gaps) >= claim.number("least")),
        "Own recipe over RegNet's 100 epochs, B0 to B5: " + ", ".join(f"{g:.1f}" for g in gaps) + " points.",
    )


@check("s27-8")
def nas(claim: Claim) -> CheckResult:
    year, spent = int(word("date.nas")[:4]), number("nasnet.gpus") * number("nasnet.days")
    transfers = family("transfer.")
    works = sum(f.value == "yes" for f in transfers.values())
    return CheckResult(
        f"from {year}, {spent:,.0f} GPU-days",
        grade(spent >= claim.number("gpu_days"), year >= claim.number("year") and works < len(transfers) / 2),
        f"The first search is of {word('date.nas')}, before {claim.number('year'):g}; NASNet cost {spent:,.0f} "
        f"GPU-days; {works} of {len(transfers)} known transfers work.",
    )


@check("s27-9")
def convnext(claim: Claim) -> CheckResult:
    pair = ("convnext_tiny", "resnet50")
    ratios = {
        "MACs": macs(pair[0]) / macs(pair[1]),
        "parameters": params(pair[0]) / params(pair[1]),
        "kept for training": backward_bytes(ops(pair[0])) / backward_bytes(ops(pair[1])),
        "epochs": number("epochs.convnext") / number("epochs.resnet"),
    }
    return CheckResult(
        f"MACs {100 * (ratios['MACs'] - 1):+.0f} %, epochs x {ratios['epochs']:.1f}",
        grade(ratios["MACs"] <= 1.1, max(ratios.values()) <= claim.number("ratio")),
        "ConvNeXt-T over ResNet-50: "
        + ", ".join(f"{name} {ratio:.2f} times" for name, ratio in ratios.items())
        + f" ({', '.join(show_bytes(backward_bytes(ops(name))) for name in pair)} an image).",
    )


@check("s28-1")
def small_data(claim: Claim) -> CheckResult:
    ours, theirs = number("convnext_base.top1"), top1(VIT, "DeiT III: 800 ep", 224)
    better = "neither" if not are_apart(ours, theirs) else "cnn" if ours > theirs else "vit"
    study = records.latest_record("study.cnn_over_vit.points")
    return CheckResult(
        f"{ours} against {theirs} % at 1.28 M images",
        grade(claim.word("tool") == "cnn" and better != "vit", better == claim.word("tool")),
        f"On ImageNet-1k ConvNeXt-B has {ours} % and ViT-B {theirs} % with a recipe of 2022: {better} is better. With "
        f"short trainings on 500 to 8,100 small images the convolutional network was {study.value:.0f} points ahead "
        f"({study.date}).",
    )


@check("s28-2")
def large_data(claim: Claim) -> CheckResult:
    then = {"vit": number("jft.vit_h14"), "cnn": number("jft.bit_l")}
    later = {"vit": number("later.vit_g14"), "cnn": number("later.nfnet_4b")}
    better = max(then, key=lambda name: then[name])
    return CheckResult(
        f"{then['vit']} to {then['cnn']} %, later {later['vit']} to {later['cnn']} %",
        grade(better == claim.word("tool"), are_apart(later["vit"], later["cnn"])),
        f"On 300 M images {then['vit']} % for ViT-H/14 and {then['cnn']} % for the largest ResNet; on 3 to 4 G images "
        f"{later['vit']} and {later['cnn']} %, where NFNet has caught up.",
    )


@check("s28-3")
def mobile(claim: Claim) -> CheckResult:
    aims = {name: str(f.value) for name, f in family("objective.").items()}
    named = ("mobilenetv1", "mobilenetv2", "efficientnet")
    here = {
        name: records.latest_record(f"cpu.{name}.ms").value for name in ("resnet50", "efficientnet_b0", "mobilenetv1")
    }
    faster = {name: here["resnet50"] / here[name] for name in ("mobilenetv1", "efficientnet_b0")}
    return CheckResult(
        f"{faster['efficientnet_b0']:.1f} and {faster['mobilenetv1']:.1f} times faster than ResNet-50",
        grade(min(faster.values()) > 1, all(aims[name] == claim.word("objective") for name in named)),
        f"On a processor EfficientNet-B0 is {faster['efficientnet_b0']:.1f} and MobileNetV1 "
        f"{faster['mobilenetv1']:.1f} times faster than ResNet-50. But "
        f"{', '.join(n for n in named if aims[n] == 'macs')} minimise MACs; latency is what "
        f"{', '.join(n for n, aim in aims.items() if aim == 'latency')} minimise.",
    )


@check("s28-5")
def generation(claim: Claim) -> CheckResult:
    scores = {"unet": number("fid.unet"), "transformer": number("fid.dit")}
    best = min(scores, key=lambda name: scores[name])
    return CheckResult(
        f"FID {scores['transformer']} against {scores['unet']}",
        grade(best == claim.word("tool")),
        f"On ImageNet at 256 px a diffusion Transformer has FID {scores['transformer']}, latent diffusion with a U-Net "
        f"{scores['unet']}; the row was right until 2022.",
    )


@check("s28-6")
def text_and_audio(claim: Claim) -> CheckResult:
    stems = {name: str(f.value) for name, f in family("stem.").items()}
    with_conv = [name for name, stem in stems.items() if stem == "convolution"]
    shared, apart = simulate.free_numbers(8, 3), simulate.free_numbers(8, 3, shifts=False)
    exploited = "yes" if with_conv and shared < apart else "no"
    return CheckResult(
        f"{len(with_conv)} of {len(stems)} audio Transformers start with convolutions",
        grade(exploited == claim.word("equivariance")),
        f"A shift in time is a translation: on 8 steps a filter of 3 needs {shared} weights instead of {apart}. "
        f"{', '.join(with_conv)} use it in their first layers, so there is equivariance to exploit.",
    )
