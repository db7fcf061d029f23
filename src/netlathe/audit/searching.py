"""Checks of slides 22 and 23: architecture search and what it found."""

from __future__ import annotations

from math import hypot

from netlathe.audit import records
from netlathe.audit.claims import Claim
from netlathe.audit.facts import family, number, word
from netlathe.audit.rules import CheckResult, check, grade, is_near

COMPARISONS = 12  # three strategies on four tables, see docs/nas_critique.md


@check("s22-1")
def outer_loop(claim: Claim) -> CheckResult:
    used, listed = word("nas.methods").split(), claim.word("methods").split()
    more = [method for method in used if method not in listed]
    return CheckResult(
        f"{len(listed)} of {len(used)}",
        grade(all(method in used for method in listed)),
        f"All of {', '.join(listed)} are in use; so are {', '.join(more)}: the list is right and not complete.",
    )


@check("s22-4")
def half_a_percent(claim: Claim) -> CheckResult:
    gains = {name: float(f.value) for name, f in family("nasnet.gain.").items()}
    like = [name for name, gain in gains.items() if is_near(gain, claim.number("points"))]
    return CheckResult(
        ", ".join(f"{gain:+g}" for gain in gains.values()) + " points",
        grade(bool(like), like == list(gains)),
        "NASNet over the best design by hand: "
        + ", ".join(f"{gain:+g} ({name})" for name, gain in gains.items())
        + f"; about {claim.number('points'):g}: {', '.join(like) or 'none'}.",
    )


@check("s22-6")
def jointly(claim: Claim) -> CheckResult:
    scheme, other, both = word("darts.scheme"), number("darts.alternating.error"), number("darts.simultaneous.error")
    learned = {"joint": word("darts.relaxation") == "softmax", "alternating": True}  # gradients reach both
    return CheckResult(
        f"{scheme}: {other} % error, at once {both} %",
        grade(learned.get(claim.word("scheme"), False), scheme == claim.word("scheme")),
        f"Both are trained by gradients, but {scheme}, on two halves of the data: {other} % error. At once on one set, "
        f"as the paper shows, it fails with {both} %.",
    )


@check("s23-1")
def rarely_transfer(claim: Claim) -> CheckResult:
    transfers = {name: str(f.value) for name, f in family("transfer.").items()}
    good = [name for name, worked in transfers.items() if worked == "yes"]
    share = len(good) / len(transfers)
    return CheckResult(
        f"{len(good)} of {len(transfers)} transfers work",
        grade(share <= claim.number("most")),
        f"Transfers that work: {', '.join(good)}; that do not: "
        f"{', '.join(name for name in transfers if name not in good)}. "
        f"Rarely is at most {claim.number('most'):g} of them.",
    )


@check("s23-2")
def random_search(claim: Claim) -> CheckResult:
    gap = number("random.error") - number("darts.error")
    noise = hypot(number("random.spread"), number("darts.spread"))
    better = "random" if gap < -2 * noise else "search" if gap > 2 * noise else "neither"
    won, single = records.latest_record("study.search.better"), records.latest_record("study.search.random_ahead")
    return CheckResult(
        f"{number('random.error')} against {number('darts.error')} % error",
        grade(better == claim.word("better"), won.value < COMPARISONS / 2),
        f"Random search is {gap:+.2f} points from DARTS on CIFAR-10; the deviation of the difference is "
        f"{noise:.2f}, so {better} is better. On public tables search wins {won.value:g} of {COMPARISONS} "
        f"comparisons of 100 runs each, while random search is ahead in up to {single.value:g} % of single "
        "runs: a handful of runs cannot tell.",
    )


@check("s23-3")
def priors(claim: Claim) -> CheckResult:
    protocol, space, divided = number("yang.protocol"), number("yang.architecture"), word("yang.decomposed")
    design = records.latest_record("study.search.space_share")
    return CheckResult(
        f"protocol {protocol:+g}, architecture below {space:g} points",
        grade(protocol > space * claim.number("times") and design.value > 50, divided == "yes"),
        f"The training protocol gives the same networks {protocol:g} points, architectures of the space differ by less "
        f"than {space:g}. On public tables the mean network, for which nobody searched, has gone at least "
        f"{design.value:g} % of the way from guessing to the best. A published division of the gains exists: "
        f"{divided}.",
    )
