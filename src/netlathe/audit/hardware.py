"""Checks of slide 17: what multiply-adds say about time."""

from __future__ import annotations

from collections.abc import Callable

from netlathe.arch.graph import Op, graph
from netlathe.arch.layers import Conv
from netlathe.audit import records
from netlathe.audit.claims import Claim, Verdict
from netlathe.audit.facts import format_percent, macs, number, ops
from netlathe.audit.rules import CheckResult, check, grade
from netlathe.cost.count import op_cost
from netlathe.device.card import load
from netlathe.device.rankings import NETWORKS, Ranking, by_macs, measurements
from netlathe.device.roofline import roofline
from netlathe.units import show_count, show_ms

FP16 = 2  # bytes
BATCH = 128
GPUS = ("a100-sxm-40", "a100-sxm-80", "h100-sxm", "h200-sxm", "rtx-3090", "rtx-4090")
SORTS: dict[str, Callable[[int], Conv]] = {
    "depthwise": lambda c: Conv(None, 3, group_width=1),
    "pointwise": Conv,
    "dense 3x3": lambda c: Conv(c, 3),
}
PLACES = ((128, 56), (256, 28), (512, 14), (1024, 7))  # channels and side of maps


def intensity(conv: Conv, channels: int, side: int) -> float:
    """FLOPs a byte of a convolution in half precision at batch 1."""
    op: Op = graph(conv, (channels, side, side)).ops[0]
    return op_cost(op).intensity(FP16, fused=True)


def to_verdict(text: str) -> Verdict:
    """The verdict of a ranking as one of ours."""
    return "holds" if text.startswith("holds") else "caveat" if text.startswith("caveat") else "does-not-hold"


def measured_speedups(network: str, other: str) -> list[float]:
    """How many times faster than another network a network is, by GPU table."""
    i, j = NETWORKS.index(network), NETWORKS.index(other)
    return [ranking.costs[j] / ranking.costs[i] for ranking in measurements() if ranking.what == "GPU"]


def format_span(values: list[float]) -> str:
    """5.8 to 10.6"""
    return f"{min(values):.1f} to {max(values):.1f}"


@check("s17-2")
def not_nine(claim: Claim) -> CheckResult:
    ratios, times = measured_speedups("mobilenetv1", "vgg16"), claim.number("times")
    below = [ratio for ratio in ratios if ratio < times]
    true = macs("vgg16") / macs("mobilenetv1")
    return CheckResult(
        f"{format_span(ratios)} times",
        grade(len(below) > len(ratios) / 2, len(below) == len(ratios)),
        f"In {len(below)} of {len(ratios)} published GPU tables MobileNetV1 is less than {times:g} times faster than "
        f"VGG-16 ({format_span(ratios)}). The true ratio of MACs is {true:.1f}; "
        f"{sum(ratio < true / 2 for ratio in ratios)} of {len(ratios)} are below half of that.",
    )


@check("s17-3")
def low_intensity(claim: Claim) -> CheckResult:
    intensities = {name: [intensity(conv(c), c, side) for c, side in PLACES] for name, conv in SORTS.items()}
    net = [op for op in ops("mobilenetv1").ops if op.kind == "conv"]
    alone = [op for op in net if op.form == "depthwise"]
    work = sum(op.macs for op in alone) / sum(op.macs for op in net)
    moved = {op.path: op_cost(op).bytes(FP16, BATCH, fused=True) for op in net}
    traffic = sum(moved[op.path] for op in alone) / sum(moved.values())
    return CheckResult(
        f"at most {max(intensities['depthwise']):.2f} FLOP/B in fp16",
        grade(
            max(intensities["depthwise"]) <= claim.number("most")
            and max(intensities["depthwise"]) < min(intensities["pointwise"])
        ),
        "FLOPs a byte in fp16 on four layers: "
        + ", ".join(f"{name} {format_span(values)}" for name, values in intensities.items())
        + f". In MobileNetV1 depthwise convolutions are {format_percent(work)} of the MACs and "
        f"{format_percent(traffic)} of the traffic.",
    )


@check("s17-4")
def bandwidth_limited(claim: Claim) -> CheckResult:
    shares, waits = {}, set()
    for name in GPUS:
        roof = roofline(ops("mobilenetv1"), load(name), precision="fp16", batch=BATCH)
        lines = [line for line in roof.lines if line.kind == "depthwise conv"]
        waits |= {line.bound for line in lines}
        shares[name] = max(line.attainable for line in lines) / roof.peak
    best = max(shares, key=lambda name: shares[name])
    return CheckResult(
        f"at most {format_percent(max(shares.values()))} of the peak",
        grade(waits == {claim.word("bound")}),
        f"Under the roofs of {len(GPUS)} GPU cards in fp16 every depthwise convolution of MobileNetV1 waits for "
        f"{' and '.join(sorted(waits))}; they attain at most {format_percent(shares[best])} of the peak ({best}).",
    )


@check("s17-5")
def macs_are_not_latency(claim: Claim) -> CheckResult:
    work = macs("resnet50") / macs("efficientnet_b0")
    speed = number("pycls.resnet50.ms") / number("pycls.efficientnet_b0.ms")
    here = [records.latest_record(f"cpu.{name}.ms") for name in ("resnet50", "efficientnet_b0")]
    own = here[0].value / here[1].value
    apart = work / min(speed, own)
    return CheckResult(
        f"{work:.1f} times fewer MACs, {min(speed, own):.1f} to {max(speed, own):.1f} times faster",
        grade(apart >= claim.number("apart")),
        f"EfficientNet-B0 has {work:.1f} times fewer MACs than ResNet-50, and is {speed:.1f} times faster on a "
        f"V100 and {own:.1f} times on {here[0].device} ({here[0].date}).",
    )


@check("s17-6")
def ranking_by_macs(claim: Claim) -> CheckResult:
    ranking = by_macs()
    first, second = ranking.steps
    deep = macs("vgg16") / macs("resnet152")
    order = "-".join(sorted(NETWORKS, key=lambda n: -ranking.costs[NETWORKS.index(n)]))
    return CheckResult(
        f"steps of {first:.1f} and {second:.1f}",
        to_verdict(ranking.verdict) if order == claim.word("order") else "does-not-hold",
        f"{', '.join(f'{n} {show_count(c)}' for n, c in zip(NETWORKS, ranking.costs, strict=True))} MACs: VGG is "
        f"{first:.1f} times ResNet-50, marked >>, which is {second:.1f} times MobileNet, marked >; VGG-16 is "
        f"{deep:.2f} times ResNet-152.",
    )


@check("s17-7")
def ranking_on_gpus(claim: Claim) -> CheckResult:
    tables = [ranking for ranking in measurements() if ranking.what == "GPU"]
    apart = [max(ranking.costs) / min(ranking.costs) for ranking in tables]
    return CheckResult(
        f"{format_span(apart)} times apart",
        grade(max(apart) <= claim.number("apart")),
        f"In {len(tables)} published GPU tables the three networks are {format_span(apart)} times apart: MobileNetV1 "
        f"is {format_span(measured_speedups('mobilenetv1', 'resnet50'))} times faster than ResNet-50 and "
        f"{format_span(measured_speedups('mobilenetv1', 'vgg16'))} "
        "times faster than VGG-16. A tie is plausible at batch 1 only, where launching kernels takes the time.",
    )


def ranking_here() -> Ranking:
    """The three networks on one processor, as recorded."""
    rows = [records.latest_record(f"cpu.{name}.ms") for name in NETWORKS]
    return Ranking("CPU", f"{rows[0].device}, {rows[0].date}", tuple(record.value for record in rows))


@check("s17-8")
def ranking_on_cpus(claim: Claim) -> CheckResult:
    tables = [*(ranking for ranking in measurements() if ranking.what == "CPU"), ranking_here()]
    right = "-".join(NETWORKS[::-1]) == claim.word("order")
    verdicts = [to_verdict(ranking.verdict) for ranking in tables]
    shown = "; ".join(
        f"{' / '.join(show_ms(ms) for ms in ranking.costs[::-1])} ({ranking.source})" for ranking in tables
    )
    held = verdicts.count("holds")
    return CheckResult(
        " / ".join(show_ms(ms) for ms in tables[-1].costs[::-1]),
        grade(right and "does-not-hold" not in verdicts, held == len(tables)),
        f"MobileNetV1 / ResNet-50 / VGG-16: {shown}. {held} of {len(tables)} keep both steps above 3 times.",
    )
