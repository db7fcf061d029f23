"""netlathe search compare --table FILE --strategies random,evolution: which is better, and do the runs show it?"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netlathe.cli.common import (
    command_line,
    emit,
    html_option,
    json_option,
    print_table,
    progress_bar,
    wide_option,
    write_page,
)
from netlathe.errors import NetlatheError
from netlathe.tables.table import text_table

if TYPE_CHECKING:
    from numpy.random import Generator

    from netlathe.report.charts.chart import Chart
    from netlathe.search.compare import Comparison
    from netlathe.search.compare.benchmark_table import BenchmarkTable
    from netlathe.search.compare.simulate import Make

BASELINES = "random,local,evolution,reinforce"


@click.command()
@click.option("--space", "name", default="macro", show_default=True, help="The space of the table: macro or nb201.")
@click.option("--table", "path", type=click.Path(path_type=Path), help="The file with what its networks reached.")
@click.option("--score", default="c10", show_default=True, help="What networks are judged by, where a table has more.")
@click.option(
    "--strategies", default=BASELINES, show_default=True, metavar="A,B", help="With options: evolution:sample=9"
)
@click.option("--evaluations", type=click.IntRange(1, 100_000), default=100, show_default=True, help="Of each run.")
@click.option("--runs", type=click.IntRange(1, 100_000), default=33, show_default=True, help="Of each strategy.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The same seed, the same result.")
@click.option("--noisy", is_flag=True, help="A search sees one training of each network; the others judge its winner.")
@click.option("--bill-repeats", is_flag=True, help="Asking a network again costs an evaluation.")
@click.option("--margin", type=float, default=0.1, show_default=True, help="Points within which strategies are equal.")
@click.option("--plot", type=click.Path(path_type=Path), help="A page with the curves.")
@html_option
@wide_option
@json_option
def command(
    name: str,
    path: Path | None,
    score: str,
    strategies: str,
    evaluations: int,
    runs: int,
    seed: int,
    noisy: bool,
    bill_repeats: bool,
    margin: float,
    plot: Path | None,
    html: Path | None,
    as_json: bool,
) -> None:
    """Compare search strategies on a table of trained networks: equal budgets, paired runs, honest verdicts.

    \b
      netlathe search compare --table nas_bench_macro.npz --strategies random,evolution --noisy
      netlathe search compare --space nb201 --table nas_bench_201.npz --score c100 --runs 100
    """
    from netlathe.search.compare import compare_strategies, show
    from netlathe.search.compare.load import load_table
    from netlathe.search.compare.simulate import BILLED, FREE

    if margin <= 0:
        raise NetlatheError(f"the margin must be above 0, not {margin:g}", code="search.margin", hint="--margin 0.1")
    ground = load_table(name, path, score)
    makers = makers_of(strategies, ground)
    with progress_bar("searching") as progress:
        result = compare_strategies(
            ground,
            makers,
            evaluations=evaluations,
            runs=runs,
            seed=seed,
            noisy=noisy,
            repeats=BILLED if bill_repeats else FREE,
            margin=margin,
            progress=progress,
        )
    for file in filter(None, (plot, html)):
        draw(result, file)
    if as_json:
        emit("search.compare", show.comparison_to_json(result))
        return
    for table in show.comparison_tables(result):
        print_table(text_table(table.columns, table.rows, title=table.title))
    for note in show.comparison_notes(result):
        click.echo(f"- {note}")
    if plot:
        click.echo(f"curves: {plot}", err=True)


def makers_of(texts: str, ground: BenchmarkTable) -> dict[str, Make]:
    """The strategies that a text names, by what was typed. Raises NetlatheError for unknown ones and for repeats."""
    from netlathe.cli.experiment import parts, refuse_twice
    from netlathe.load import parse_choices
    from netlathe.search.strategy import Strategy, StrategyFactory, get_strategy

    def make(
        maker: StrategyFactory, options: dict[str, bool | int | float | str], rng: Generator, budget: int
    ) -> Strategy:
        return maker(ground.space, rng, evaluations=budget, **options)

    makers: dict[str, Make] = {}
    refuse_twice("strategy", parts(texts))
    for text in parts(texts):
        name, _, changes = text.partition(":")
        maker, options = get_strategy(name), parse_choices(changes, text)
        maker.settings(**options)  # a wrong option is refused before anything runs
        makers[text] = partial(make, maker, options)
    return makers


def draw(result: Comparison, file: Path) -> None:
    """The page of the comparison, with its curves."""
    from netlathe.report.pages.search import comparison
    from netlathe.search.compare import show

    write_page(file, comparison(show.comparison_to_json(result), command=command_line()))


def curves(result: Comparison) -> Chart:
    """Mean regret with its interval; without the first evaluations, beside which the rest would be flat."""
    from netlathe.report.charts.regret import RegretCurve, chart

    start = result.evaluations // 20
    across = tuple(float(n + 1) for n in range(start, result.evaluations))
    shown = [
        RegretCurve(arm.name, across, *(tuple(side[start:].tolist()) for side in (arm.mean, arm.low, arm.high)))
        for arm in result.arms.values()
    ]
    return chart(shown, x="evaluations", band=f"95 % bootstrap interval of the mean of {result.runs} runs")
