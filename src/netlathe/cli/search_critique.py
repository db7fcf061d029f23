"""netlathe search critique --data DIR: the lecture's critique of architecture search, measured on public tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netlathe.cli.common import emit, json_option, progress_bar
from netlathe.errors import NetlatheError

if TYPE_CHECKING:
    from netlathe.search.compare.critique import Critique

FORMATS = (".md", ".html")


@click.command()
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    help="The folder of nas_bench_macro, nas_bench_201, hw_latency.",
)
@click.option("--evaluations", type=click.IntRange(10, 5_000), default=100, show_default=True, help="Of each run.")
@click.option("--runs", type=click.IntRange(2, 10_000), default=100, show_default=True, help="Of each strategy.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The same seed, the same report.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A file .md or .html, instead of stdout.")
@json_option
def command(data: Path, evaluations: int, runs: int, seed: int, output: Path | None, as_json: bool) -> None:
    """What tables of trained and timed networks say of architecture search: random search, transfer, design, noise."""
    if output and output.suffix not in FORMATS:
        hint = f"write -o critique{FORMATS[0]} or -o critique{FORMATS[1]}; JSON: --json"
        raise NetlatheError(f"the report is text or a page, not {output.suffix!r}", code="search.format", hint=hint)
    from netlathe.files import write_text
    from netlathe.search.compare import critique, report

    with progress_bar("comparing") as progress:
        result = critique.measure_critique(data, evaluations=evaluations, runs=runs, seed=seed, progress=progress)
    again = f"netlathe search critique --data {data} --evaluations {evaluations} --runs {runs} --seed {seed}"
    if output:
        write_text(output, page(result, again) if output.suffix == ".html" else report.to_markdown(result, again))
        click.echo(f"written: {output}", err=True)
    if as_json:
        parts = [
            {"title": p.title, "claim": p.claim, "answer": p.answer, "cannot": p.cannot}
            for p in report.critique_parts(result)
        ]
        emit("search.critique", critique.critique_to_json(result) | {"parts": parts})
    elif not output:
        click.echo(report.to_markdown(result, again), nl=False)


def page(result: Critique, again: str) -> str:
    """The report as one file of HTML, with the curves of every comparison."""
    from netlathe.cli.search_compare import curves
    from netlathe.html import bullets, paragraph, table, tag
    from netlathe.report.page import Page, PagePart, render
    from netlathe.search.compare import report

    def body(part: report.CritiquePart) -> Sequence[PagePart]:
        rows = [
            piece
            for one in part.tables
            for piece in (tag("h3", one.title), table(one.columns, one.rows, label=one.title))
        ]
        cannot = [tag("h3", "What cannot be said"), bullets(part.cannot)]
        return [paragraph(part.claim, class_="dim"), paragraph(tag("strong", part.answer)), *rows, *cannot]

    drawn: Sequence[PagePart] = [
        curves(one)._replace(id=f"regret-{i}", title=f"Regret on {name}")
        for i, (name, one) in enumerate(result.searches.items())
    ]
    parts = [(part.title, body(part)) for part in report.critique_parts(result)]
    parts.insert(1, ("Regret over evaluations", drawn))
    return render(
        Page(
            title=report.TITLE,
            lead="Each part: a claim, what the tables answer, the evidence, and what cannot be said.",
            sections=parts,
            command=again,
        )
    )
