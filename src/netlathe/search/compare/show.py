"""A comparison as tables, notes and JSON."""

from __future__ import annotations

from typing import Any

import numpy as np

from netlathe.search.compare import Arm, Comparison
from netlathe.search.compare.simulate import FREE
from netlathe.search.compare.verdict import INCONCLUSIVE
from netlathe.stats.permutation import fewest_pairs
from netlathe.stats.power import ALPHA, POWER
from netlathe.train.experiment.table import ResultTable, format_p

POINTS = (10, 20, 50, 100, 200, 500, 1000)  # evaluations at which a curve is printed, and its end


def comparison_tables(comparison: Comparison) -> list[ResultTable]:
    """Regret over the budget, the pairs, and where a search sees one training, what its winner really is."""
    tables = [regret_table(comparison), pair_table(comparison)]
    return [*tables, winner_table(comparison)] if any(arm.curse for arm in comparison.arms.values()) else tables


def regret_table(comparison: Comparison) -> ResultTable:
    """A row a strategy: mean regret at some evaluations, then at the end with its interval and the spread of runs."""
    at = [n for n in POINTS if n < comparison.evaluations]
    rows = tuple(
        (
            arm.name,
            *(f"{arm.mean[n - 1]:.3f}" for n in at),
            f"{arm.mean[-1]:.3f}",
            f"{arm.low[-1]:.3f} to {arm.high[-1]:.3f}",
            f"{np.std(arm.final, ddof=1):.3f}" if comparison.runs > 1 else "-",
            f"{np.mean([trace.distinct for trace in arm.traces]):.0f}",
        )
        for arm in rank_arms(comparison)
    )
    heads = ("strategy", *map(str, at), str(comparison.evaluations), "95 % interval", "SD of a run", "networks")
    return ResultTable(f"{comparison.benchmark.name}: mean regret in points after so many evaluations", heads, rows)


def rank_arms(comparison: Comparison) -> list[Arm]:
    """The arms, the least regret first."""
    return sorted(comparison.arms.values(), key=lambda arm: float(arm.mean[-1]))


def pair_table(comparison: Comparison) -> ResultTable:
    """A row a pair, the one with less regret first."""
    rows = []
    for pair in comparison.pairs:
        gain, ahead, names = pair.gain, pair.ahead, (pair.a, pair.b)
        low, high = gain.low, gain.high
        if gain.mean < 0:
            ahead, names = 1 - ahead, (pair.b, pair.a)
            low, high = (None, None) if low is None or high is None else (-high, -low)
        rows.append(
            (
                " against ".join(names),
                f"{abs(gain.mean):.3f}",
                "-" if low is None or high is None else f"{low:+.3f} to {high:+.3f}",
                f"{100 * ahead:.0f} %",
                format_p(pair.p),
                pair.describe(comparison.runs, comparison.margin),
            )
        )
    heads = ("pair", "less regret by", "95 % interval", "ahead in", "p (Holm)", "verdict")
    return ResultTable(f"Pairs, over {comparison.runs} paired runs", heads, tuple(rows))


def winner_table(comparison: Comparison) -> ResultTable:
    """A row a strategy: its winner as the search saw it, and as the trainings tell that it did not see."""
    rows = []
    for arm in rank_arms(comparison):
        seen, worth = (float(np.mean([getattr(trace, what) for trace in arm.traces])) for what in ("seen", "worth"))
        curse = arm.curse
        assert curse is not None
        interval = "-" if curse.low is None or curse.high is None else f"{curse.low:+.3f} to {curse.high:+.3f}"
        rows.append((arm.name, f"{seen:.2f}", f"{worth:.2f}", f"{curse.mean:+.3f}", interval))
    heads = ("strategy", "it reports", "unseen seeds say", "winner's curse", "95 % interval")
    return ResultTable("The winner, trained again: accuracy in %", heads, tuple(rows))


def comparison_notes(comparison: Comparison) -> list[str]:
    """How to read it, and what it cannot say."""
    benchmark, runs, margin = comparison.benchmark, comparison.runs, comparison.margin
    free = "costs nothing, as in a search that remembers" if comparison.repeats == FREE else "costs an evaluation"
    regret = (
        f"Regret: the best there is ({benchmark.best:.3f} %) minus what the best-looking network so far is worth. "
        f"Of a network a search is told {benchmark.describe_view(comparison.noisy)}. Asking a network again {free}. "
        f"Bands are 95 % bootstrap intervals over {runs} runs."
    )
    n = len(comparison.pairs)
    corrected = f"corrected by Holm for {n} pairs" if n > 1 else "of the one pair"
    test = (
        "A pair of runs shares what is observed of every network and the stream of random numbers. p: sign-flip "
        f"permutation test, two-sided, {corrected}; better means p < {ALPHA:g}; "
        f"equal means that the corrected interval lies within {margin:g} points."
    )
    notes = [regret, test]
    if runs < fewest_pairs(len(comparison.pairs)):
        notes.append(
            f"{runs} runs cannot show anything: even if one strategy were ahead in all of them, p would not be "
            f"below {ALPHA:g}. That takes {fewest_pairs(n)} runs."
        )
    margins = [pair.needed_for_margin for pair in comparison.pairs if pair.needed_for_margin]
    if margins and runs > 1:
        notes.append(
            f"With the spread seen here, {max(margins):,} runs find a true difference of {margin:g} points "
            f"between any two of these with a chance of {100 * POWER:.0f} %."
        )
    if any(pair.verdict == INCONCLUSIVE for pair in comparison.pairs):
        notes.append(
            "Inconclusive is not equal. The runs it names assume that the difference seen is the true one; where it is "
            "mostly chance, it takes more."
        )
    return notes


def comparison_to_json(comparison: Comparison) -> dict[str, Any]:
    """All of it as JSON values."""
    return {
        "space": comparison.benchmark.name,
        "networks": len(comparison.benchmark.genotypes),
        "best": comparison.benchmark.best,
        "evaluations": comparison.evaluations,
        "runs": comparison.runs,
        "seed": comparison.seed,
        "noisy": comparison.noisy,
        "repeats": comparison.repeats,
        "margin": comparison.margin,
        "strategies": [
            {
                "name": arm.name,
                "regret": list(map(float, arm.mean)),
                "low": list(map(float, arm.low)),
                "high": list(map(float, arm.high)),
                "final": list(map(float, arm.final)),
                "winners": [
                    {
                        "genotype": list(comparison.benchmark.genotypes[trace.row]),
                        "seen": trace.seen,
                        "worth": trace.worth,
                        "networks": trace.distinct,
                    }
                    for trace in arm.traces
                ],
                "winners_curse": arm.curse._asdict() if arm.curse else None,
            }
            for arm in comparison.arms.values()
        ],
        "pairs": [
            pair._asdict() | {"gain": pair.gain._asdict(), "said": pair.describe(comparison.runs, comparison.margin)}
            for pair in comparison.pairs
        ],
        "notes": comparison_notes(comparison),
    }
