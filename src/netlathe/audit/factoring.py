"""Checks of slides 12 to 14: one operator that does two jobs, and the two that replace it."""

from __future__ import annotations

from fractions import Fraction

from netlathe.audit import simulate
from netlathe.audit.claims import Claim
from netlathe.audit.facts import macs, number, word
from netlathe.audit.rules import NEAR, SAME, CheckResult, check, grade, relative_difference
from netlathe.audit.separable import separable_ratio

EXACT = 1e-9  # differences below it are rounding in float64
SINGLE = 1e-5  # and in float32


def yes_or_no(fact: bool) -> str:
    """yes or no"""
    return "yes" if fact else "no"


def check_mixing(claim: Claim, operator: str, clean: bool = True, more: str = "") -> CheckResult:
    """Compare what the Jacobian of an operator says with what a claim says of space and channels."""
    mixing = simulate.find_mixing(operator)
    answers = {"space": yes_or_no(mixing.space), "channels": yes_or_no(mixing.channels)}
    fact = all(answers[axis] == claim.word(axis) for axis in answers if axis in claim.says)
    return CheckResult(
        f"space {answers['space']}, channels {answers['channels']}",
        grade(fact, clean),
        f"In the Jacobian of a {operator} convolution with random weights, outputs depend on other positions: "
        f"{answers['space']}; on other channels: {answers['channels']}.{more}",
    )


@check("s12-1")
def standard(claim: Claim) -> CheckResult:
    return check_mixing(claim, "dense")


@check("s13-1", "s14-2")
def depthwise(claim: Claim) -> CheckResult:
    return check_mixing(claim, "depthwise")


@check("s13-2")
def pointwise(claim: Claim) -> CheckResult:
    return check_mixing(claim, "pointwise")


@check("s13-3")
def nine_times(claim: Claim) -> CheckResult:
    times = claim.number("times")
    ratio, wide = float(1 / separable_ratio(3, 64, 256)), float(1 / separable_ratio(3, 64, 4096))
    net = macs("mobilenetv1_conv") / macs("mobilenetv1")
    return CheckResult(
        f"{1 / separable_ratio(3, 64, 256)} = {ratio:.3f} times",
        grade(relative_difference(ratio, times) <= NEAR, relative_difference(ratio, times) <= SAME),
        f"{ratio:.3f} times at 256 outputs and {wide:.3f} at 4096: 9 is the limit, not the figure. The whole "
        f"MobileNetV1 is {net:.2f} times cheaper than its twin with full convolutions.",
    )


@check("s13-5")
def replaces(claim: Claim) -> CheckResult:
    difference, rank = simulate.separable_as_dense()
    return CheckResult(
        f"equal to {difference:.0e}; rank 1 of {rank}",
        grade(yes_or_no(difference < EXACT) == claim.word("replaces"), rank == 1),
        f"A separable pair is the dense convolution with kernels P[o,i] D[i] (largest difference "
        f"{difference:.0e}): rank 1 for every input channel. A random 3x3 has rank {rank}, so most dense "
        "convolutions are no separable pair.",
    )


@check("s14-1")
def one_by_one(claim: Claim) -> CheckResult:
    title, cited = word("lecture.L19"), word("lecture.L19.cited")
    return check_mixing(claim, "pointwise", title == cited, f" The slide cites L19 for it, whose title is {title}.")


@check("s14-3")
def attention(claim: Claim) -> CheckResult:
    mixing, difference = simulate.find_mixing("attention"), simulate.permutation_error()
    return CheckResult(
        f"by content; positions mixed: {yes_or_no(mixing.space)}",
        grade(difference < SINGLE, yes_or_no(mixing.space) == claim.word("positions")),
        f"Permuted tokens give permuted outputs (relative difference {difference:.0e}), so no position is known. But "
        f"outputs depend on other tokens: {yes_or_no(mixing.space)}, and on other channels: "
        f"{yes_or_no(mixing.channels)}; it is mixing of positions that does not know which they are.",
    )


@check("s14-4")
def transformer_mlp(claim: Claim) -> CheckResult:
    mixing = simulate.find_mixing("mlp")
    return CheckResult(
        f"tokens {yes_or_no(mixing.space)}, channels {yes_or_no(mixing.channels)}",
        grade(yes_or_no(mixing.space) == claim.word("tokens") and yes_or_no(mixing.channels) == claim.word("channels")),
        f"In the Jacobian of the MLP of ViT, outputs depend on other tokens: {yes_or_no(mixing.space)}; on other "
        f"channels: {yes_or_no(mixing.channels)}.",
    )


@check("s14-5")
def usually_cheaper(claim: Claim) -> CheckResult:
    grid = {(k, c): separable_ratio(k, 16, c, 2) for k in range(1, 8) for c in (1, 2, 3, 4, 8, 64)}
    dear = sorted(at for at, cost in grid.items() if cost >= 1)
    always = all(cost < 1 for (k, c), cost in grid.items() if k >= claim.number("k") and c >= claim.number("width"))
    usual = Fraction(len(grid) - len(dear), len(grid))
    return CheckResult(
        f"cheaper in {len(grid) - len(dear)} of {len(grid)} cases",
        grade(always and usual > Fraction(1, 2)),
        f"Depthwise + pointwise is cheaper in {len(grid) - len(dear)} of {len(grid)} cases (k 1 to 7, 1 to 64 "
        f"outputs); where it is not, k is 1 or there is one output: {all(k == 1 or c == 1 for k, c in dear)}.",
    )


@check("s14-7")
def seen_before(claim: Claim) -> CheckResult:
    now = number("lecture.number")
    later = [n for n in (claim.number("first"), claim.number("second")) if n > now]
    decoupled = not simulate.find_mixing("pointwise").space and not simulate.find_mixing("mlp").space
    return CheckResult(
        f"{len(later)} of 2 come later",
        grade(decoupled, not later),
        f"1x1 convolution and the MLP do mix channels alone; of the lectures cited for them {len(later)} come "
        f"after this one, L{now:g}.",
    )


@check("s14-8")
def forced(claim: Claim) -> CheckResult:
    kernel = int(claim.number("kernel"))
    free, without = simulate.free_numbers(8, 3), simulate.free_numbers(8, 3, shifts=False)
    return CheckResult(
        f"{free} numbers are free",
        grade(free == kernel),
        f"Linear maps on 8 positions in a ring have 64 free numbers; those that look 3 wide {without}; those that also "
        f"commute with shifts {free}: the weights of a convolution, so the assumptions leave nothing else.",
    )
