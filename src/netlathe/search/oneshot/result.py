"""What a search ended with: the genotype by the method's own rule, the verdict, and the file that keeps both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from netlathe.runfolder.folder import RunKind
from netlathe.runfolder.result import read_result, write_result
from netlathe.search.collapse import HEALTHY
from netlathe.search.oneshot.diagnostics import collapse_verdict, diagnose_search
from netlathe.search.oneshot.select import select_network
from netlathe.search.oneshot.task import EARLY, STOPPED, OneShotRun, epoch_record
from netlathe.train.folder import FILES

SCHEMA = "netlathe.oneshot/1"
ONE_SHOT = RunKind("one-shot search", (*FILES, "best.json"))
MAX_SKIPS = 2  # skips that the remedy `skips` leaves in the normal cell


@dataclass(frozen=True, slots=True, kw_only=True)
class OneShotResult:
    """What a search ended with."""

    method: str
    space: str
    genotype: Any
    text: str
    verdict: str  # collapsed, not collapsed; of random search with weight sharing: not asked
    state: str  # of `search.collapse`
    alarms: tuple[str, ...]
    remedies: tuple[str, ...]
    said: str  # how the genotype was picked
    epochs: float
    steps: int
    seconds: float
    ended: str
    last: dict[str, Any] | None  # the last line of the log
    folder: str


def derive_result(
    task: OneShotRun, space: str, ended: str, deadline: float | None, stop: Callable[[], bool]
) -> OneShotResult:
    """The genotype by the method's own rule, and the verdict on the search."""
    state, options, family = task.state, task.options, task.family
    last = state.log[-1] if state.log else None
    state_name, word = HEALTHY, "not asked"
    alarms: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()
    if options.method == "darts":
        diagnosis = diagnose_search(state, task.epochs())
        state_name, word = diagnosis.state, collapse_verdict(diagnosis)
        alarms, remedies = tuple(alarm.text for alarm in diagnosis.alarms), tuple(diagnosis.remedies)
        skips = MAX_SKIPS if options.remedy == "skips" else None
        genotype, reason = family.derive(state.shares(), skips), "the strongest operations of the last epoch"
        if skips is not None:
            reason += f", at most {skips} skips in the normal cell"
        back = diagnosis.roll_back
        if options.remedy == "early-stop" and ended == EARLY and back is not None:
            genotype = family.of_data(next(line["genotype"] for line in state.log if line["epoch"] == back))
            reason = f"rolled back to epoch {back}, before the eigenvalue rose"
    else:
        picked = select_network(state, task.split, options, family, deadline=deadline, stop=stop, clock=task.clock)
        if picked is not None:
            genotype, reason = picked.genotype, picked.describe()
            last = (last or {}) | {"selected": picked.accuracy, "candidates": picked.candidates}
        else:
            last = last or epoch_record(task)
            genotype, reason = (
                family.of_data(last["genotype"]),
                "the best of a few at random: there was no time to select",
            )
    task.keep(genotype)
    return OneShotResult(
        method=f"{options.method}-{options.order}" if options.method == "darts" else options.method,
        space=space,
        genotype=family.data(genotype),
        text=family.text(genotype),
        verdict=word,
        state=state_name,
        alarms=alarms,
        remedies=remedies,
        said=reason,
        epochs=task.epoch(),
        steps=state.step,
        seconds=task.spent(),
        ended=ended,
        last=last,
        folder=str(task.folder),
    )


def write_one_shot(task: OneShotRun, result: OneShotResult) -> None:
    """result.json."""
    write_result(task.folder, SCHEMA, {"options": task.options.as_dict()} | asdict(result))


def read_one_shot(folder: Path) -> OneShotResult | None:
    """The result of a search that ended, None where there is none yet. Raises NetlatheError for a damaged file."""
    result = read_result(folder, SCHEMA, one_shot_from_json)
    return None if result is None or result.ended == STOPPED else result


def one_shot_from_json(document: dict[str, Any]) -> OneShotResult:
    """A result of its JSON values."""
    lists = {name: tuple(document[name]) for name in ("alarms", "remedies")}
    return OneShotResult(**{field.name: document[field.name] for field in fields(OneShotResult)} | lists)
