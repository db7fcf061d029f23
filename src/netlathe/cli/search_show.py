"""netlathe search show out/: what a search has found so far. It may be looked at while it runs."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netlathe.cli.common import emit, json_option, print_table, wide_option
from netlathe.tables.search import front_table, show_choices, show_genotype, show_score
from netlathe.units import show_span

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from netlathe.search.config import SearchConfig
    from netlathe.search.summary import Decisions, FinalResult
    from netlathe.search.trial import Trial

SHOWN = 10  # rows of the front that fit on a screen


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--csv", "as_csv", is_flag=True, help="Every trial as a row, on stdout.")
@click.option("--all", "whole", is_flag=True, help="The whole front.")
@wide_option
@json_option
def command(folder: Path, as_csv: bool, whole: bool, as_json: bool) -> None:
    """The best network, the front of score and costs, what failed and why, and how much was infeasible or known.

    \b
      netlathe search show out/
      netlathe search show out/ --csv > trials.csv
    """
    if as_csv:
        print_csv(folder)
    elif as_json:
        emit("search.show", document(folder))
    else:
        show(folder, whole)


def read(folder: Path) -> tuple[SearchConfig, dict[str, Any], list[Trial], list[dict[str, Any]]]:
    """What the store says now. Raises NetlatheError where no search was begun."""
    from netlathe.search.config import stored_config
    from netlathe.search.store import TrialStore

    with TrialStore(folder, write=False) as store:
        facts = store.facts()
        return stored_config(facts, folder), facts, store.trials(), store.finals()


def document(folder: Path) -> dict[str, Any]:
    """A search as JSON values."""
    from netlathe.search.summary import (
        best_trial,
        count_failures,
        count_reasons,
        count_states,
        decision_importance,
        read_decisions,
        trial_front,
        winning_trial,
    )

    config, facts, trials, finals = read(folder)
    decisions = read_decisions(facts)
    plain = namer(decisions)
    top, won = best_trial(trials), winning_trial(trials, facts)
    final = compute_final_result(trials, finals, won)
    return {
        "folder": str(folder),
        "space": config.space,
        "strategy": config.strategy,
        "seed": config.seed,
        "evaluations": config.evaluations,
        "ended": facts.get("ended"),
        "counts": count_states(trials),
        "feasible_share": facts.get("feasible_share"),
        "failures": count_failures(trials),
        "reasons": count_reasons(trials),
        "importance": decision_importance(trials, decisions),
        "best": plain(top) if top else None,
        "winner": plain(won) if won else None,
        "final": final and final._asdict() | {"score": final.score, "gap": final.gap, "half": final.half(),
                                              "test": final.test},
        "front": [plain(trial) for trial in trial_front(trials)],
        "trials": [plain(trial) for trial in trials],
    }  # fmt: skip


def namer(decisions: Decisions) -> Callable[[Trial], dict[str, Any]]:
    """Trials as JSON values, with the names of what was chosen where they are known."""
    from netlathe.search.summary import name_options
    from netlathe.search.trial import trial_to_json

    return lambda trial: trial_to_json(trial) | {"choices": name_options(trial.genotype, decisions)}


def compute_final_result(
    trials: Sequence[Trial], finals: Sequence[dict[str, Any]], won: Trial | None
) -> FinalResult | None:
    """The winner on fresh seeds."""
    from netlathe.search.summary import final_result

    return final_result(won.number, trials, finals) if won else None


def show(folder: Path, whole: bool = False) -> None:
    """The findings on stdout."""
    from netlathe.search.summary import (
        best_trial,
        count_failures,
        count_reasons,
        count_states,
        decision_importance,
        read_decisions,
        trial_front,
        winning_trial,
    )

    config, facts, trials, finals = read(folder)
    decisions = read_decisions(facts)
    top, won = best_trial(trials), winning_trial(trials, facts)
    front = trial_front(trials)
    if front:
        rest = 0 if whole else max(0, len(front) - SHOWN)
        rows = list(map(namer(decisions), front if whole else front[:SHOWN]))
        print_table(front_table(rows, title=f"front of {config.space}", caption=f"{rest} more: --all" if rest else ""))
    limits = " ".join(f"--{name} {value}" for name, value in config.limits.items())
    click.echo(f"{config.strategy} in {config.space}, seed {config.seed}{', ' * bool(limits)}{limits}")
    click.echo(f"  ended        {facts.get('ended') or 'not yet'}")
    how = count_states(trials)
    click.echo(f"  trials       {', '.join(f'{count} {state}' for state, count in how.items()) or 'none yet'}")
    share = facts.get("feasible_share")
    if config.limits and share is not None:
        click.echo(f"  feasible     about {100 * share:.0f} % of the space, by forecast, before the search")
    spent = sum(trial.seconds for trial in trials)
    if spent >= 1:
        click.echo(f"  paid         {show_span(spent)} of evaluation")
    for error, count in list(count_failures(trials).items())[:5]:
        click.echo(f"  failed       {count} x {error}")
    for reason, count in count_reasons(trials).items():
        click.echo(f"  infeasible   {count} x {reason}")
    if important := [f"{name} {100 * share:.0f} %" for name, share in decision_importance(trials, decisions).items()]:
        click.echo(f"  decisions    explain of the scores: {', '.join(important[:5])}")
    if top is not None:
        tried = how.get("done", 0)
        click.echo(f"  search       {show_score(top.score)} (trial {top.number}, the best of {tried})")
    if won is not None:
        show_winner(won, decisions, compute_final_result(trials, finals, won))
        click.echo(f"  files        {folder}: best.json, search.db" if (folder / "best.json").exists() else "")


def show_winner(won: Trial, decisions: Decisions, final: FinalResult | None) -> None:
    """The winner, and what it is worth on seeds that the search has not seen."""
    click.echo(f"  winner       trial {won.number}: {show_choices(namer(decisions)(won))}")
    if final is None:
        return
    half = final.half()
    interval = (
        f", 95 % interval {show_score(final.score - half)} to {show_score(final.score + half)}"
        if half is not None
        else ""
    )
    click.echo(f"  fresh seeds  {show_score(final.score)}, the mean of {len(final.scores)}{interval}")
    click.echo(f"  the curse    the search said {show_score(final.searched)}: {final.gap:+.2f} beyond the fresh seeds")
    if final.test is not None:
        click.echo(f"  test         {show_score(final.test)}, the same trainings on the test images")


def print_csv(folder: Path) -> None:
    """All trials as CSV."""
    from netlathe.search.trial import trial_to_json as plain

    _, _, trials, _ = read(folder)
    out = csv.writer(sys.stdout, lineterminator="\n")
    documents = [plain(trial) for trial in trials]
    costs = list(dict.fromkeys(name for document in documents for name in document["costs"]))
    plainly = [name for name in (documents[0] if documents else {}) if name not in ("costs", "curve", "genotype")]
    out.writerow([*plainly, "genotype", *costs, "curve"])
    for document, trial in zip(documents, trials, strict=True):
        figures = [document["costs"].get(name) for name in costs]
        out.writerow(
            [
                *(document[name] for name in plainly),
                show_genotype(trial.genotype),
                *figures,
                json.dumps(document["curve"]),
            ]
        )
