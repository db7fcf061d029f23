"""What decides a search: its space, objective and data by their contents; and whether a trial is still what it was.

A file of the user's counts by its bytes, a space also by the expression that it gives: helpers that the file imports
may have changed, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netlathe.code_name import file_of
from netlathe.errors import NetlatheError
from netlathe.runfolder.identity import content, content_hash, file_content

if TYPE_CHECKING:
    from netlathe.arch.network import Network
    from netlathe.search.config import SearchConfig, SearchProblem
    from netlathe.search.genotype import Genotype
    from netlathe.search.space import SearchSpace
    from netlathe.search.trial import Trial

COUNTED = ("params", "macs")  # costs that a network has once and for all


def search_identity(config: SearchConfig, problem: SearchProblem) -> dict[str, Any]:
    """All that decides what a search finds. Latencies that are measured here belong to this machine."""
    from netlathe.bench.machine import this_machine
    from netlathe.search.objective import spec_from_json

    outside = spec_from_json(config.objective).contents(problem.space)
    where = dict(config.where)
    if where["device"] is not None:
        where["device"] = device_content(where["device"])
    elif problem.budget.latency is not None:
        where["device"] = content("this machine", this_machine().id)
    return asdict(config) | {
        "space": space_content(config.space, problem.space),
        "objective": config.objective | outside,
        "where": where,
    }


def space_content(text: str, space: SearchSpace | None = None) -> dict[str, str]:
    """A space by its decisions and expression, one of a Python file by the file as well."""
    from netlathe.search.config import load_space

    space = space or load_space(text)
    file = file_of(text)
    code = file_content(file)["key"] if file else ""
    decisions = [(decision.name, list(decision.options)) for decision in space.decisions]
    return content(text, content_hash(space.network.key, list(space.resolutions), decisions, code))


def code_files(config: SearchConfig) -> dict[str, str]:
    """The user's files that a worker runs, with their hashes."""
    texts = (config.space, str(config.objective.get("function", "")))
    files = {file for text in texts if (file := file_of(text))}
    return {file: file_content(file)["key"] for file in sorted(files)}


def refuse_changed_code(files: Mapping[str, str]) -> None:
    """Raise NetlatheError where a file is no longer what it was when the search began."""
    for file, key in files.items():
        if file_content(file)["key"] != key:
            hint = "give the old file back, and the same command goes on"
            message = "this file has changed since the search began, and a new worker would run it"
            raise NetlatheError(message, code="search.changed", path=file, hint=hint)


def device_content(device: str) -> dict[str, str]:
    """A device by the file of its card; one that comes with Netlathe by its name."""
    return file_content(device) if Path(device).is_file() else content(device, device)


def network_of(problem: SearchProblem, genotype: Genotype) -> Network:
    """The network of a genotype as it is evaluated."""
    make: Any = getattr(problem.objective, "network", problem.space.decode)
    network: Network = make(genotype)
    return network


def refuse_changed(problem: SearchProblem, trials: Iterable[Trial], folder: Path) -> None:
    """Raise NetlatheError where a genotype stands for another network than when it was a trial."""
    for trial in trials:
        before = {"key": trial.key, "network": trial.arch or None} | pick_counts(trial.costs)
        if trial.same_as is not None:  # of an equal network, whose expression may be another one
            before = {"key": trial.key}
        now: dict[str, Any] = {"key": problem.space.key(trial.genotype)}
        if trial.arch and "network" in before:
            now["network"] = network_of(problem, trial.genotype).key
        if before.keys() & set(COUNTED):
            now |= pick_counts(known_costs(problem, trial.genotype))
        changes = [
            f"{name} {value:,} there, {now.get(name, 0):,} now" if name in COUNTED else f"another {name}"
            for name, value in before.items()
            if value is not None and now.get(name) != value
        ]
        if changes:
            raise NetlatheError(
                f"trial {trial.number} is no longer the network that it was: {', '.join(changes)}",
                code="search.changed",
                path=str(folder),
                hint="the space or Netlathe has changed: give back the old one, or search in another folder with -o",
            )


def pick_counts(costs: Mapping[str, float]) -> dict[str, float]:
    """Params and MACs among costs."""
    return {name: costs[name] for name in COUNTED if name in costs}


def known_costs(problem: SearchProblem, genotype: Genotype) -> Mapping[str, float]:
    """What a network costs; nothing for one that cannot be built."""
    try:
        return problem.objective.costs(genotype)
    except NetlatheError:
        return {}
