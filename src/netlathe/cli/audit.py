"""netlathe audit: the lecture's claims, each an executable check."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from netlathe.audit.claims import KINDS, VERDICTS, select_claims
from netlathe.audit.run import Finding, check_claims, count_verdicts
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
from netlathe.errors import Exit
from netlathe.tables.audit import TONES, WORDS, claims_table
from netlathe.tables.table import Column, make_table

WRAP = 104  # columns of the detail view


@click.command()
@click.option("--id", "ids", multiple=True, metavar="ID", help="Only this claim, in full, such as s10-2; repeatable.")
@click.option("--slide", "slides", type=int, multiple=True, metavar="N", help="Only this slide; repeatable.")
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, help="Only this kind; repeatable.")
@click.option("--verdict", "verdicts", type=click.Choice(VERDICTS), multiple=True, help="Only these; repeatable.")
@click.option("--table", type=click.Choice(["quiz", "era", "decision"]), help="A table of the lecture with evidence.")
@click.option("--run", "what", type=click.Choice(["measurement", "experiment"]), help="Measure first, here and now.")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), default=2.0, show_default=True, help="A network.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Of what is measured.")
@html_option
@wide_option
@json_option
def command(
    ids: tuple[str, ...],
    slides: tuple[int, ...],
    kinds: tuple[str, ...],
    verdicts: tuple[str, ...],
    table: str | None,
    what: str | None,
    seconds: float,
    threads: int,
    html: Path | None,
    as_json: bool,
) -> int:
    """Check the claims of the lecture now, by counting, simulating, published figures and recorded measurements.

    \b
      netlathe audit --slide 10
      netlathe audit --id s10-2
      netlathe audit --verdict does-not-hold
      netlathe audit --table decision
      netlathe audit --run measurement

    Exit code 4: a check no longer confirms the recorded verdict.
    """
    if table is not None:
        if html is not None:
            raise click.UsageError("--html shows claims, not --table")
        return show_tables(table, as_json)
    select_claims(ids, slides=slides, kinds=kinds)  # unknown ids before anything is measured
    if what is not None:
        ids = measure_first(what, ids, slides, kinds, seconds, threads)
        slides, kinds = (), ()
    with progress_bar("checking") as progress:
        findings = check_claims(ids, slides=slides, kinds=kinds, verdicts=verdicts, progress=progress)
    data = {"totals": count_verdicts(findings), "claims": [finding.record() for finding in findings]}
    if html is not None:
        from netlathe.report.pages.audit import page

        write_page(html, page(data, drift_messages(findings), command=command_line()))
    if as_json:
        emit("audit", data, drift_messages(findings))
    elif ids:
        click.echo("\n\n".join(map(format_claim, findings)))
    else:
        show(findings)
    for line in drift_messages(findings):
        click.echo(line, err=True)
    return Exit.CHECK_FAILED if drift_messages(findings) else Exit.DONE


def measure_first(
    what: str, ids: tuple[str, ...], slides: tuple[int, ...], kinds: tuple[str, ...], seconds: float, threads: int
) -> tuple[str, ...]:
    """Run what bears on the claims that were asked for, keep the records, and give the ids that they bear on."""
    from netlathe.audit.measure import RunConditions, run_recorded
    from netlathe.audit.records import store_records

    asked = [claim.id for claim in select_claims(ids, slides=slides, kinds=kinds)]
    with progress_bar(f"{what}s") as progress:
        records = run_recorded(what, asked, RunConditions(seconds, threads, progress))
    click.echo(f"{len(records)} records kept in {store_records(records)}", err=True)
    return tuple(id for id in asked if any(id in record.claims for record in records))


def drift_messages(findings: Sequence[Finding]) -> list[str]:
    """What to say of checks that do not confirm the recorded verdict."""
    return [
        f"{f.claim.id}: the check says {WORDS[f.verdict]}, recorded is {WORDS[f.claim.verdict]}"
        for f in findings
        if not f.agrees
    ]


def show(findings: Sequence[Finding]) -> None:
    """The table, and totals by verdict."""
    if findings:
        print_table(claims_table(finding.record() for finding in findings))
    counts = ", ".join(f"{WORDS[verdict]} {number}" for verdict, number in count_verdicts(findings).items() if number)
    click.echo(f"  {len(findings)} claims: {counts or 'none'}")
    if any(f.claim.differs for f in findings):
        click.echo("  * another verdict than in the project's notes; `netlathe audit --id ID` says why")


def format_claim(finding: Finding) -> str:
    """Everything about one claim."""
    claim = finding.claim
    lines = [
        f"{claim.id}, slide {claim.slide}, {claim.kind}: {WORDS[finding.verdict]}",
        *format_field("said", claim.text),
    ]
    says = "; ".join(
        f"{key} = {value:g}" if isinstance(value, float) else f"{key} = {value}" for key, value in claim.says.items()
    )
    lines += format_field("checked", says)
    lines += format_field("found", finding.value)
    lines += format_field("evidence", finding.evidence)
    lines += format_field("source", f"{claim.source} ({claim.mark})")
    for figure in finding.figures:
        shown = f"{figure.value:g}" if isinstance(figure.value, float) else figure.value
        lines += format_field(
            "figure", f"{figure.what}: {shown} {figure.unit}".rstrip() + f" ({figure.source}; {figure.mark})"
        )
    for record in finding.records:
        lines += format_field(
            "record", f"{record.what}: {record.value:g} {record.unit}".rstrip() + f" ({record.device}, {record.date})"
        )
        lines += format_field("command", record.command)
    if claim.differs:
        lines += format_field("differs", f"the project's notes say {WORDS[claim.reference]}. {claim.differs}")
    return "\n".join(lines)


def format_field(name: str, text: str) -> list[str]:
    """A named paragraph, wrapped; nothing for an empty text."""
    import textwrap

    wrapped = textwrap.wrap(text, WRAP - 12)
    return [f"  {name if i == 0 else '':<10}{line}" for i, line in enumerate(wrapped)]


def show_tables(table: str, as_json: bool) -> int:
    """A table of the lecture, every row with its verdict and its evidence."""
    from netlathe.audit.tables import HEADS, check_table

    rows = check_table(table)
    every = [finding for row in rows for finding in row.findings]
    if as_json:
        emit("audit", {"table": table, "rows": [row.record() for row in rows]}, drift_messages(every))
    else:
        columns = (
            Column("", lambda row: row.line.name, text=True, wraps=True, name="the row's name"),
            *(lecture_column(heading, i) for i, heading in enumerate(HEADS[table])),
            Column("verdict", lambda row: row.verdict, WORDS.__getitem__, text=True, tone=TONES.__getitem__),
        )
        print_table(make_table(columns, rows))
        for row in rows:
            click.echo(f"  {row.line.name}")
            for finding in row.findings:
                click.echo("\n".join(format_field(finding.claim.id, finding.evidence)))
            if row.counted:
                click.echo("\n".join(format_field("counted", row.counted)))
    for line in drift_messages(every):
        click.echo(line, err=True)
    return Exit.CHECK_FAILED if drift_messages(every) else Exit.DONE


def lecture_column(heading: str, index: int) -> Column:
    """A column of one of the lecture's tables, as it stands there."""
    return Column(heading, lambda row: row.line.cells[index], text=True, wraps=True)
