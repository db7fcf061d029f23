"""Checks of slides 2 to 4: how accurate networks became, and what a phone affords."""

from __future__ import annotations

from itertools import pairwise

from netlathe import zoo
from netlathe.audit.claims import Claim
from netlathe.audit.facts import cited_figure, cost, family, macs, months, number, top1, weights, word
from netlathe.audit.rules import CheckResult, check, grade
from netlathe.device.card import load
from netlathe.device.microcontroller import fit_microcontroller
from netlathe.units import show_bytes, show_count
from netlathe.zoo.resnet import basic, bottleneck

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
FRAME_MS = 1000 / 30
PHONE = "phone-2023-core"
MICRO = "stm32f746"


@check("s2-1")
def depth_is_no_limit(claim: Claim) -> CheckResult:
    errors = [100 - top1(name, "original 2015") for name in RESNETS]
    trend = "falls" if all(a > b for a, b in pairwise(errors)) else "does not fall"
    plain = number("plain34.error") - number("plain18.error")
    shown = ", ".join(f"{e:.2f}" for e in errors)
    return CheckResult(
        f"top-1 error {errors[0]:.2f} to {errors[-1]:.2f} %",
        grade(trend == claim.word("error") and plain > 0),
        f"From 18 to 152 layers the 10-crop error of ResNets is {shown} %: it {trend} at every step, while plain "
        f"networks get {plain:.2f} points worse from 18 to 34 layers.",
    )


@check("s2-4")
def below_human(claim: Claim) -> CheckResult:
    date, error, human = word("below_human.date"), number("below_human.top5"), number("human.top5")
    people, year = number("human.annotators"), claim.number("year")
    late = months(date, f"{year:.0f}-01")
    return CheckResult(
        f"{error} % in {date}",
        grade(error < human and int(date[:4]) <= year, late <= 0 and people > 1),
        f"A network was first below the human {human} % in {date} ({error} %), {late} months before {year:.0f} began; "
        f"the human figure is that of {people:g} person.",
    )


@check("s2-5")
def efficiency_from_2016(claim: Claim) -> CheckResult:
    efficient = {name: word(f"date.{name}") for name in ("squeezenet", "xception", "mobilenetv1")}
    later = {name: word(f"date.{name}") for name in ("nasnet", "senet")}
    first = min(efficient.values())
    still = [f"{name} {date}" for name, date in later.items() if date > first]
    return CheckResult(
        f"first in {first}",
        grade(int(first[:4]) == claim.number("year"), not still),
        f"The first efficiency networks are of {', '.join(efficient.values())}; accuracy at any cost went on beside "
        f"them ({', '.join(still)}).",
    )


@check("s3-3")
def five_dollars(claim: Claim) -> CheckResult:
    small = fit_microcontroller(zoo.get("mobilenetv1_025", resolution=128), load(MICRO))
    price = cited_figure("board.pico2.dollars")
    cheap = float(price.value) <= claim.number("dollars")
    return CheckResult(
        f"{small.verdict}: {show_bytes(small.flash.high)} flash, {show_bytes(small.sram.high)} SRAM",
        grade(small.verdict == "fits" and cheap, price.mark == "confirmed"),
        f"MobileNetV1 0.25 at 128 px in int8 needs at most {show_bytes(small.flash.high)} of flash and "
        f"{show_bytes(small.sram.high)} of SRAM; {MICRO} has {show_bytes(small.flash_limit or 0)} and "
        f"{show_bytes(small.sram_limit)}. A board with more SRAM was launched at {price.value:g} $ ({price.mark}).",
    )


@check("s3-6")
def phone_budget(claim: Claim) -> CheckResult:
    flops = 1e6 * claim.number("mflops")
    then = {n: macs(n) / number(f"pixel1.{n}.ms") * FRAME_MS for n in ("mobilenetv1", "mobilenetv2")}
    peak = load(PHONE).peak("fp32")
    return CheckResult(
        f"{min(then.values()) / 1e6:.0f} to {max(then.values()) / 1e6:.0f} M MACs in 2018",
        grade(2 * flops / peak * 1e3 <= FRAME_MS, max(then.values()) >= flops),
        f"At the speed of MobileNetV1 and V2 on one core of a Pixel 1, 30 images a second leave "
        f"{then['mobilenetv1'] / 1e6:.0f} and {then['mobilenetv2'] / 1e6:.0f} M MACs each. A 2023 core ({PHONE}, "
        f"{peak / 1e9:.0f} GFLOP/s) needs {2 * flops / peak * 1e3:.0f} ms for {flops / 1e6:g} M MACs at its peak.",
    )


@check("s3-8")
def accuracy_survives(claim: Claim) -> CheckResult:
    limit = (1 - claim.number("cut")) * macs("resnet152")
    target = number("resnet152.top1.single") - claim.number("points")
    kept = {n: top1(n, "original", 224) for n in ("mobilenetv1", "mobilenetv2", "efficientnet_b0") if macs(n) <= limit}
    good = {name: value for name, value in kept.items() if value >= target}
    shown = ", ".join(f"{name} {value:.1f} %" for name, value in kept.items())
    lost = number("resnet152.top1.single") - min(kept.values(), default=0)
    return CheckResult(
        f"{len(good)} of {len(kept)} networks within {claim.number('points'):g} point",
        grade(bool(good), bool(kept) and len(good) == len(kept)),
        f"Below {show_count(limit)} MACs: {shown}, against {number('resnet152.top1.single')} % of ResNet-152. The "
        f"first of them loses {lost:.1f} points; two years later {', '.join(good) or 'none'} keeps the accuracy.",
    )


@check("s4-1")
def bottleneck_is_cheaper(claim: Claim) -> CheckResult:
    shape = (256, 56, 56)
    blocks = {"basic": cost(basic(256), *shape), "bottleneck": cost(bottleneck(256, 64), *shape)}
    cheaper = min(blocks, key=lambda name: blocks[name])
    narrow = cost(basic(64), 64, 56, 56) / blocks["bottleneck"]
    wide = max(m for m in range(1, 512) if weights(bottleneck(256, m), *shape) < weights(basic(256), *shape))
    return CheckResult(
        f"{blocks['basic'] / blocks['bottleneck']:.2f} times",
        grade(cheaper == claim.word("cheaper")),
        f"Between 256 channels the {cheaper} block costs {blocks[cheaper]:,} MACs at 56x56, the other "
        f"{max(blocks.values()):,}; it stays cheaper up to an inner width of {wide}. At equal inner width, 64, basic "
        f"costs {narrow:.2f} times as much.",
    )


@check("s4-2")
def separable_factor(claim: Claim) -> CheckResult:
    from fractions import Fraction

    from netlathe.audit.separable import separable_ratio

    power = int(claim.number("kernel_power"))
    grid = [(k, c) for k in (3, 5, 7) for c in (16, 64, 256, 1024)]
    wrong = [(k, c) for k, c in grid if separable_ratio(k, 32, c) != Fraction(1, c) + Fraction(1, k**power)]
    free = {separable_ratio(3, i, 256, side) for i in (16, 96) for side in (7, 28)}
    return CheckResult(
        f"1/C_out + 1/k^2 in {len(grid) - len(wrong)} of {len(grid)} cases",
        grade(not wrong, len(free) == 1),
        f"Counted as fractions, depthwise + pointwise over dense is 1/C_out + 1/k^{power} in "
        f"{len(grid) - len(wrong)} of {len(grid)} cases (k 3, 5, 7; C_out 16 to 1024), with {len(free)} value for 4 "
        "choices of C_in and map.",
    )


@check("s4-5")
def borrowed(claim: Claim) -> CheckResult:
    origins = {name: str(f.value) for name, f in family("after2020.").items()}
    own = [name for name, origin in origins.items() if origin != "transformer"]
    share = 1 - len(own) / len(origins)
    return CheckResult(
        f"{len(origins) - len(own)} of {len(origins)} from Transformers",
        grade(share >= claim.number("share")),
        f"Of {len(origins)} ideas after 2020, {len(own)} come from convolutional networks or from training alone: "
        f"{', '.join(own)}.",
    )
