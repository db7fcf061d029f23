"""The tables of an experiment: accuracies, where the differences come from, who is better, what was spent."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from netlathe.stats.estimates import Estimate
from netlathe.train.experiment.compare import ConditionComparison
from netlathe.train.experiment.findings import ExperimentFindings
from netlathe.train.experiment.scores import Level, format_condition
from netlathe.train.experiment.variance import VarianceSource
from netlathe.units import show_count, show_span

PLURALS = {"network": "networks", "recipe": "recipes", "fraction": "amounts of training images"}


class ResultTable(NamedTuple):
    """Texts; the first column is a name, the others are figures or verdicts."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def build_tables(findings: ExperimentFindings) -> list[ResultTable]:
    """All tables that the findings fill, in the order in which they are read."""
    tables = [accuracy_table(findings)]
    tables += [decomposition_table(fraction, sources) for fraction, sources in findings.sources.items()]
    tables += [comparison_table(factor, ones) for factor, ones in findings.comparisons.items() if ones]
    if findings.flips:
        tables.append(flip_table(findings))
    return [*tables, cost_table(findings)]


def accuracy_table(findings: ExperimentFindings) -> ResultTable:
    """A row a network, a column a condition: the mean, and half of its interval."""
    scores = findings.scores
    conditions = list(product(range(len(scores.recipes)), range(len(scores.fractions))))
    rows = [
        (network, *(format_mean(scores.cell(i, r, f)) for r, f in conditions))
        for i, network in enumerate(scores.networks)
    ]
    wide = len(scores.fractions) > 1
    heads = [scores.recipes[r] + (f", {format_condition(scores.fractions[f])}" if wide else "") for r, f in conditions]
    return ResultTable(f"Top-1 on the {findings.scored_on} images, %", ("network", *heads), tuple(rows))


def decomposition_table(fraction: float | None, sources: tuple[VarianceSource, ...]) -> ResultTable:
    """A row a source of differences, over all runs or those with a fraction of the training images."""
    rows = tuple(
        (
            source.name,
            str(source.df),
            f"{source.size:.2f}",
            format_percent(source.share),
            format_percent(source.beyond_noise),
            "" if source.f is None else f"{source.f:.1f}",
            "" if source.p is None else format_p(source.p),
        )
        for source in sources
    )
    heads = ("source", "df", "size, points", "share of variance", "beyond noise", "F", "p")
    title = "Where the differences come from" + ("" if fraction is None else f", with {format_condition(fraction)}")
    return ResultTable(title, heads, rows)


def comparison_table(factor: str, ones: tuple[ConditionComparison, ...]) -> ResultTable:
    """A row a pair, on average and under each condition."""
    average = "on average" if any(c.where for c in ones) else ""
    rows = tuple(
        (
            f"{format_condition(c.a)} - {format_condition(c.b)}",
            join_conditions(c.where) or average,
            f"{c.difference.mean:+.2f}",
            format_interval(c.difference),
            "" if c.p is None else format_p(c.p),
            c.verdict,
        )
        for c in ones
    )
    heads = ("difference", "where", "points", "95 % interval", "p (Holm)", "verdict")
    return ResultTable(f"The {PLURALS[factor]} compared", heads, rows)


def flip_table(findings: ExperimentFindings) -> ResultTable:
    """A row a pair of networks, or of recipes, whose order changes."""
    rows = tuple(
        (
            f"{format_condition(flip.a)} - {format_condition(flip.b)}",
            f"{join_conditions(flip.first)}: {flip.ahead.mean:+.2f}",
            f"{join_conditions(flip.second)}: {flip.behind.mean:+.2f}",
            "" if flip.p is None else format_p(flip.p),
            "shown" if flip.shown else "not shown: may be chance",
        )
        for flip in findings.flips
    )
    return ResultTable("Ranks that flip", ("difference", "ahead", "behind", "p (Holm)", "verdict"), rows)


def cost_table(findings: ExperimentFindings) -> ResultTable:
    """A row a network: its costs, and what its runs saw and took."""
    rows = []
    for name in findings.experiment.networks:
        mine = [reached for run, reached in findings.outcomes.items() if run.network == name]
        cost = findings.experiment.facts.get("networks", {}).get(name, {})
        rows.append(
            (
                name,
                *(show_count(cost[what]) if what in cost else "" for what in ("params", "macs")),
                format_range([reached.images for reached in mine]),
                format_range([reached.macs for reached in mine]),
                ", ".join(sorted({reached.precision for reached in mine})),
                show_span(sum(reached.seconds for reached in mine) / len(mine)) if mine else "",
            )
        )
    heads = ("network", "params", "MACs an image", "images seen", "MACs of training", "precision", "time a run")
    return ResultTable("What a run was given", heads, tuple(rows))


def render_markdown(findings: ExperimentFindings) -> str:
    """The page of an experiment: tables, notes, the command."""
    return "\n".join(render_text(findings)) + "\n"


def render_text(findings: ExperimentFindings) -> Iterator[str]:
    """The lines of that page."""
    experiment = findings.experiment
    data = experiment.settings.get("data", "")
    yield f"# {len(experiment.networks)} networks x {len(experiment.recipes)} recipes, {data}"
    for table in build_tables(findings):
        yield from ("", f"## {table.title}", "")
        yield f"| {' | '.join(table.columns)} |"
        yield f"|---|{'--:|' * (len(table.columns) - 1)}"
        yield from (f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in table.rows)
    yield from ("", "## How to read this", "")
    yield from (f"- {note}" for note in findings.notes)
    yield from ("", "## Again", "")
    settings = {name: value for name, value in experiment.settings.items() if value is not None}
    yield from (f"- {name}: {value}" for name, value in settings.items())
    if "command" in experiment.facts:
        yield from ("", f"    {experiment.facts['command']}")


def format_mean(estimate: Estimate | None) -> str:
    """92.31 ± 0.42; without the noise the mean alone."""
    if estimate is None:
        return "-"
    return f"{estimate.mean:.2f}" + (f" ± {estimate.high - estimate.mean:.2f}" if estimate.high is not None else "")


def format_interval(estimate: Estimate) -> str:
    """+0.40 to +2.00"""
    return "" if estimate.low is None else f"{estimate.low:+.2f} to {estimate.high:+.2f}"


def join_conditions(where: tuple[Level, ...]) -> str:
    """The levels of the other factors."""
    return ", ".join(map(format_condition, where))


def format_percent(share: float) -> str:
    """12.3 %"""
    return f"{100 * share:.1f} %"


def format_p(p: float) -> str:
    """Three decimals; smaller ones are only bounded."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def format_range(values: list[int]) -> str:
    """The value, or the smallest and the largest."""
    if not values:
        return ""
    low, high = show_count(min(values)), show_count(max(values))
    return low if low == high else f"{low} to {high}"
