"""Does the collapse detector see what happened in 210 real DARTS searches? python benchmarks/bench_collapse.py

The logs are the 212 of RobustDARTS (Zela et al. 2020; ../shared/data/darts_space), two of them repeats. Collapsed:
spaces S1 and S3 without drop-path at a weight decay of 9e-4 or less, 12 searches that all end with 7 or 8 skips of 8.
Sound: the same at 8.1e-3, 6 searches that end with 0 to 2. The detector reads each log epoch by epoch, as it would
beside a running search.
"""

from __future__ import annotations

import csv
import gzip
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from netlathe.search.collapse import COLLAPSED, DIVERGED, HEALTHY, Diagnosis, EpochReading, diagnose

LOGS = Path(__file__).parent.parent.parent / "shared" / "data" / "darts_space"


class Search(NamedTuple):
    space: str
    dataset: str
    drop_path: float
    weight_decay: float
    seed: int


def rows(name: str) -> list[dict[str, str]]:
    with gzip.open(LOGS / f"robustdarts_{name}.csv.gz", "rt") as file:
        return list(csv.DictReader(file))


def which(row: dict[str, str]) -> Search:
    return Search(row["space"], row["dataset"], float(row["drop_path"]), float(row["wd"]), int(row["seed"]))


def logs() -> dict[Search, list[EpochReading]]:
    """Of the two searches that were logged twice the last reading of an epoch counts, as for its eigenvalue."""
    eigenvalues = {(which(row), int(row["epoch"])): float(row["max_eig"]) for row in rows("eig")}
    found: dict[Search, dict[int, EpochReading]] = defaultdict(dict)
    for row in rows("epochs"):
        search, epoch = which(row), int(row["epoch"])
        accuracy = float(row["supernet_valid_acc"])
        eigenvalue = eigenvalues.get((search, epoch))
        found[search][epoch] = EpochReading(epoch, int(row["skips_normal"]), 8, eigenvalue, accuracy)
    return {search: [log[epoch] for epoch in sorted(log)] for search, log in found.items()}


def first_alarm(search: Search, log: list[EpochReading]) -> Diagnosis:
    """The first diagnosis that is not healthy or merely suspect, else the last one."""
    said = diagnose([])
    for n in range(1, len(log) + 1):
        said = diagnose(log[:n], weight_decay=search.weight_decay)
        if said.state in (COLLAPSED, DIVERGED):
            break
    return said


def groups(found: dict[Search, list[EpochReading]]) -> tuple[list[Search], list[Search]]:
    plain = [search for search in found if search.drop_path == 0]
    return [s for s in plain if s.weight_decay <= 9e-4], [s for s in plain if s.weight_decay == 8.1e-3]


def main() -> None:
    if not LOGS.exists():
        sys.exit(f"the logs are absent: {LOGS}")
    found = logs()
    collapsed, sound = groups(found)
    for name, searches in (("collapsed", collapsed), ("sound", sound)):
        flagged = [s for s in searches if first_alarm(s, found[s]).state == COLLAPSED]
        rising = [s for s in searches if any(a.sign == "eigenvalue" for a in diagnose(found[s]).alarms)]
        print(f"{name}: flagged {len(flagged)} of {len(searches)}; the eigenvalue rule alone {len(rising)}")
    print("\nspace wd     seed  skips  val. %   flagged at epoch   eigenvalue at   back to epoch (skips)")
    for search in (*collapsed, *sound):
        log, whole = found[search], diagnose(found[search])
        at = {alarm.sign: alarm.epoch for alarm in whole.alarms}
        back = f"{whole.roll_back} ({log[whole.roll_back].skips})" if whole.roll_back is not None else "-"
        row = f"{search.space:<5} {search.weight_decay:<7g} {search.seed}    "
        row += f"{log[-1].skips} of 8   {log[-1].validation:.1f}"
        print(f"{row}   {at.get('skips', '-'):>12} {at.get('eigenvalue', '-'):>16}   {back:>15}")
    example = first_alarm(collapsed[0], found[collapsed[0]])
    print(
        f"\n{collapsed[0].space}, weight decay {collapsed[0].weight_decay:g}, seed {collapsed[0].seed}: {example.state}"
    )
    print("\n".join(f"  sign    {alarm.text}" for alarm in example.alarms))
    print("\n".join(f"  remedy  {remedy}" for remedy in example.remedies))
    states = [first_alarm(search, log).state for search, log in found.items()]
    ends = [log[-1].skips > 4 for log in found.values()]
    alone = sum(state == COLLAPSED and not end for state, end in zip(states, ends, strict=True))
    missed = sum(state not in (COLLAPSED, DIVERGED) and end for state, end in zip(states, ends, strict=True))
    counts = ", ".join(f"{states.count(state)} {state}" for state in (COLLAPSED, DIVERGED, HEALTHY, "suspect"))
    print(f"\nall {len(found)} searches: {counts}")
    print(f"flagged but recovered {alone}, not flagged but mostly skips at the end {missed}")


if __name__ == "__main__":
    main()
