"""The critique in words: a claim, what the tables answer, the evidence, and what they cannot say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from netlathe.search.compare.critique import BASELINE, CAP_SHARE, Critique
from netlathe.search.compare.statistics import NEAR, TOP, ValueInterval
from netlathe.search.compare.verdict import BETTER, EQUAL, INCONCLUSIVE, WORSE, StrategyPair
from netlathe.train.experiment.table import ResultTable, format_p

TITLE = "Architecture search: what public tables say of the critique"


class CritiquePart(NamedTuple):
    """A claim of the lecture, or of this report, and what is known of it."""

    title: str
    claim: str
    answer: str
    tables: tuple[ResultTable, ...]
    cannot: tuple[str, ...]


def critique_parts(critique: Critique) -> tuple[CritiquePart, ...]:
    """The report, in the order of the lecture's claims; then the noise that all of it rests on."""
    return (report_against_random(critique), report_transfer(critique), report_design(critique), report_noise(critique))


def to_markdown(critique: Critique, command: str) -> str:
    """The report as a page of text."""
    return "\n".join(markdown_lines(critique, command)) + "\n"


def markdown_lines(critique: Critique, command: str) -> Iterator[str]:
    """Its lines."""
    yield f"# {TITLE}"
    yield from ("", "Made by the command at the end from the tables named there; nothing here is typed by hand.")
    for part in critique_parts(critique):
        yield from ("", f"## {part.title}", "", f"*{part.claim}*", "", f"**{part.answer}**")
        for table in part.tables:
            yield from ("", table.title, "", f"| {' | '.join(table.columns)} |")
            yield f"|---|{'--:|' * (len(table.columns) - 1)}"
            yield from (f"| {' | '.join(row)} |" for row in table.rows)
        yield from ("", "What cannot be said:", "")
        yield from (f"- {line}" for line in part.cannot)
    yield from ("", "## Again", "", "```sh", command, "```")


def format_interval(figure: ValueInterval, digits: int = 2) -> str:
    """0.31 [0.19, 0.42]"""
    return f"{figure.value:.{digits}f} [{figure.low:.{digits}f}, {figure.high:.{digits}f}]"


def format_percent_interval(figure: ValueInterval) -> str:
    """61 % [52, 71]"""
    return f"{100 * figure.value:.0f} % [{100 * figure.low:.0f}, {100 * figure.high:.0f}]"


# Search against random


def report_against_random(critique: Critique) -> CritiquePart:
    """Every strategy against random search, on every table."""
    rows, verdicts, aheads = [], [], []
    for name, one in critique.searches.items():
        base = one.arms[BASELINE]
        rows.append((name, BASELINE, f"{base.mean[-1]:.3f} [{base.low[-1]:.3f}, {base.high[-1]:.3f}]", "", "", "", ""))
        for pair in one.pairs:
            if BASELINE not in (pair.a, pair.b):
                continue
            other, gain, ahead, verdict = orient_pair(pair)
            arm = one.arms[other]
            verdicts.append(verdict)
            aheads.append(ahead)
            rows.append(
                (
                    name,
                    other,
                    f"{arm.mean[-1]:.3f} [{arm.low[-1]:.3f}, {arm.high[-1]:.3f}]",
                    format_interval(gain, 3),
                    f"{100 * ahead:.0f} %",
                    format_p(pair.p),
                    f"{verdict}, {pair.needed:,} runs needed" if pair.needed else verdict,
                )
            )
    heads = ("table", "strategy", "regret, points", "less than random by", "ahead in", "p (Holm)", "verdict")
    better, n = verdicts.count(BETTER), len(verdicts)
    needed = [p.needed for one in critique.searches.values() for p in one.pairs if BASELINE in (p.a, p.b) and p.needed]
    spent = f", and it takes {min(needed):,} to {max(needed):,} runs each to show the difference" if needed else ""
    holds = "Not here" if better == n else "Partly" if better else "Yes, here"
    answer = (
        f"{holds}. At {critique.evaluations} evaluations a search is better than random search in {better} of {n} "
        f"comparisons, equal in {verdicts.count(EQUAL)}, worse in {verdicts.count(WORSE)}, and "
        f"{verdicts.count(INCONCLUSIVE)} are inconclusive; but random search is ahead in {100 - 100 * max(aheads):.0f} "
        f"to {100 - 100 * min(aheads):.0f} % of single runs{spent}. A comparison with a handful of runs finds what "
        "chance says."
    )
    return CritiquePart(
        "Search against random in the same space",
        "Random search inside the same search space often performs comparably (Li & Talwalkar, 2019).",
        answer,
        (
            ResultTable(
                f"{critique.runs} paired runs of {critique.evaluations} evaluations; mean and 95 % interval",
                heads,
                tuple(rows),
            ),
        ),
        (
            "Macro has test accuracy only: a search sees one seed of it, and the other two judge.",
            "NAS-Bench-201 is here with its 12 epochs, one seed: no licensed source has the 200 epochs.",
            "Strategies have the settings they come with; settings differ by more than strategies do.",
            "Tables hold small spaces of small images; spaces of 10^18 networks are not in them.",
            "Weight sharing, DARTS included, is not compared: a table has no supernet.",
        ),
    )


def orient_pair(pair: StrategyPair) -> tuple[str, ValueInterval, float, str]:
    """The other strategy against random: its name, by how much its regret is less, how often, and the verdict on it."""
    gain = pair.gain
    low = gain.mean if gain.low is None else gain.low  # strategies that did the same in every run
    high = gain.mean if gain.high is None else gain.high
    if pair.b == BASELINE:
        return pair.a, ValueInterval(gain.mean, low, high), pair.ahead, pair.verdict
    turned = {BETTER: WORSE, WORSE: BETTER}.get(pair.verdict, pair.verdict)
    return pair.b, ValueInterval(-gain.mean, -high, -low), 1 - pair.ahead, turned


# Transfer


def report_transfer(critique: Critique) -> CritiquePart:
    """Between data sets, between devices, and from MACs to milliseconds."""
    sets = tuple(
        (f"{d.chosen_on} to {d.used_on}", f"{d.tau:.2f}", f"{d.loss:+.2f}", f"{100 * d.rank:.2f} %")
        for d in critique.domains
    )
    devices = tuple(
        (
            f"{100 * t.share:.0f} %",
            format_percent_interval(t.breaks),
            f"{100 * t.over:+.0f} %",
            format_interval(t.loss),
            f"{100 * t.same:.0f} %",
        )
        for t in critique.transfers
    )
    macs = tuple(
        (
            cap.device,
            f"{cap.tau:.2f}",
            f"{100 * cap.breaking:.0f} %",
            f"{100 * cap.over:+.0f} %",
            f"{cap.within_macs:.1f}",
            f"{cap.within_latency:.1f}",
        )
        for cap in sorted(critique.caps, key=lambda cap: cap.tau)
    )
    taus = np.array([t for *_, t in critique.devices])
    a, b, least = critique.devices[0]
    middle = next(t for t in critique.transfers if t.share == CAP_SHARE)
    broken = sum(cap.over > 0 for cap in critique.caps)
    lost = max(cap.within_latency - cap.within_macs for cap in critique.caps)
    far = max(d.loss for d in critique.domains)
    count = len(critique.caps)
    answer = (
        f"Between data sets of small photographs cells do transfer: at most {far:.1f} points are lost. Between devices "
        f"they do less: the best network under one device's limit breaks the other's in "
        f"{100 * middle.breaks.value:.0f} % of the pairs, and tau between the latencies of two devices is "
        f"{np.median(taus):.2f} in the middle and {least:.2f} at least ({a}, {b}). A limit of MACs in the place of one "
        f"of latency picks a network that is too slow on {broken} of {count} devices, and misses up to {lost:.1f} "
        "points."
    )
    accuracy = "C100 test, 12 epochs"
    return CritiquePart(
        "Transfer",
        "NAS-found architectures rarely transfer outside their search domain.",
        answer,
        (
            ResultTable(
                "NAS-Bench-201: the cell that is best by validation on one data set, on another",
                ("from, to", "tau of test accuracies", "points lost", "cells that are better there"),
                sets,
            ),
            ResultTable(
                f"{count} devices, all pairs: the best network ({accuracy}) under A's limit, on B with B's own",
                ("a limit admits", "breaks B's limit", "by (median)", "points lost where not", "is B's best too"),
                devices,
            ),
            ResultTable(
                f"A limit of MACs that admits {100 * CAP_SHARE:.0f} % of the networks, for one of latency ({accuracy})",
                (
                    "device",
                    "tau(MACs, ms)",
                    "admitted but too slow",
                    "the best is off the limit by",
                    "best within MACs, %",
                    "best within ms, %",
                ),
                macs,
            ),
        ),
        (
            "Whether a cell found here is good for large images, other kinds of images, or other tasks.",
            "How a network found in one space would do against those of another space.",
            "Latencies of phones are in whole milliseconds; eyeriss and fpga are simulators, not measurements.",
            "Intervals resample the devices at hand, which are no random sample of devices.",
        ),
    )


# Design


def report_design(critique: Critique) -> CritiquePart:
    """From guessing to the optimum, and who brought one there."""
    levels, steps, beyond = [], [], []
    for name, one in critique.shares.items():
        space, rule = one.space, one.rule
        levels.append(
            (
                name,
                f"{one.guess:.1f}",
                f"{space.mean:.2f}",
                f"{space.quantiles[0]:.2f}",
                f"{space.quantiles[1]:.2f}",
                f"{rule.mean:.2f} ({rule.words}: {rule.networks})",
                f"{one.random:.2f}",
                f"{one.found:.2f} ({one.strategy})",
                f"{space.best:.2f}",
            )
        )
        whole = space.best - one.guess
        ways = [space.mean - one.guess, one.random - space.mean, one.found - one.random, space.best - one.found]
        steps.append((name, *(f"{way:.2f} ({100 * way / whole:.1f} %)" for way in ways)))
        beyond.append((one.found - one.random) / whole)
    left = [(one.found - one.random) / max(one.space.best - one.random, 1e-9) for one in critique.shares.values()]
    gone = [(one.space.mean - one.guess) / (one.space.best - one.guess) for one in critique.shares.values()]
    ruled = [(one.rule.mean - one.space.mean) / (one.space.best - one.space.mean) for one in critique.shares.values()]
    holds = "Yes, here" if max(beyond) < min(gone) else "Partly"
    answer = (
        f"{holds}. What a strategy adds to {critique.evaluations} random draws is {100 * min(beyond):.1f} to "
        f"{100 * max(beyond):.1f} % of the way from guessing to the best there is; the mean network of the space, for "
        f"which nobody searched, has gone {100 * min(gone):.0f} to {100 * max(gone):.0f} % of it. One sentence by hand "
        f"brings the mean network {100 * min(ruled):.0f} to {100 * max(ruled):.0f} % of the rest. But of what random "
        f"draws leave to be found, a strategy finds {100 * min(left):.0f} to {100 * max(left):.0f} %."
    )
    return CritiquePart(
        "Design against search",
        'Most "NAS gains" came from the search space designers\' priors, not the search itself.',
        answer,
        (
            ResultTable(
                "Accuracy in %: macro the mean of three trainings, NAS-Bench-201 test after 12 epochs",
                (
                    "table",
                    "guessing",
                    "mean of the space",
                    "median",
                    "95 %",
                    "mean under a rule",
                    f"random, {critique.evaluations}",
                    f"best strategy, {critique.evaluations}",
                    "best there is",
                ),
                tuple(levels),
            ),
            ResultTable(
                "Points, and share of the way from guessing to the best there is",
                ("table", "the space", "random draws", "strategy beyond them", "left"),
                tuple(steps),
            ),
        ),
        (
            "What the design of these spaces owes to earlier searches: designers had seen NASNet.",
            "The rules were written by somebody who knows the tables; that is what a prior is, but it is hindsight.",
            "The best strategy is the best of three in these very runs, which flatters it.",
            "Training recipes: each table has one, and recipes move accuracy by more than either.",
        ),
    )


# Noise


def report_noise(critique: Critique) -> CritiquePart:
    """What one training says."""
    floor = critique.floor
    curses = [
        (arm.name, f"{arm.curse.mean:+.3f}", f"[{arm.curse.low:+.3f}, {arm.curse.high:+.3f}]")
        for arm in critique.searches["macro"].arms.values()
        if arm.curse and arm.curse.low is not None
    ]
    rows = (
        ("SD of a training, the whole space", f"{floor.seed_sd:.3f} points"),
        (f"SD of a training, the best {TOP}", f"{floor.seed_sd_top:.3f} points"),
        ("tau between two seeds, the whole space", format_interval(floor.tau, 3)),
        (f"tau between two seeds, the best {TOP} by the mean of all seeds", format_interval(floor.tau_top)),
        (f"tau between two seeds, the best {TOP} by the third seed", format_interval(floor.tau_top_apart)),
        (f"networks within {NEAR} points of the best", str(floor.near)),
    )
    gains = [orient_pair(p)[1].value for p in critique.searches["macro"].pairs if BASELINE in (p.a, p.b)]
    flattered = [arm.curse.mean for arm in critique.searches["macro"].arms.values() if arm.curse]
    answer = (
        f"One training ranks a space (tau {floor.tau.value:.2f}), its top far less: among the best {TOP} two seeds "
        f"agree with tau {floor.tau_top.value:.2f}, or {floor.tau_top_apart.value:.2f} where a third seed chose them, "
        "as a search with one training does (choosing by the mean of all seeds makes the seeds of the chosen disagree)."
        f" What a search reports of its winner is {min(flattered):.2f} to {max(flattered):.2f} points too high, while "
        f"strategies differ from random search by {min(gains):.2f} to {max(gains):.2f}."
    )
    return CritiquePart(
        "The noise floor",
        "Not in the lecture: what a difference of a few tenths of a point may mean.",
        answer,
        (
            ResultTable("NAS-Bench-Macro, three trainings of every network", ("what", "value"), rows),
            ResultTable(
                f"Winner's curse at {critique.evaluations} evaluations: "
                "what the search saw, minus what unseen seeds say",
                ("strategy", "points", "95 % interval"),
                tuple(curses),
            ),
        ),
        (
            "NAS-Bench-201 has one training of each cell here, so its noise is unknown.",
            "How noise shrinks with longer training: Macro has one schedule.",
        ),
    )
