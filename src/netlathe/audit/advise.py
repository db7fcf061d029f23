"""advise(): what to take for a task, from the lecture's decision table, its evidence, and forecasts for a device.

A row of the table is a rule of thumb: the audit says whether it holds, the forecast says which networks keep the limits
on the device, and where the most accurate of them is not of the row's families that is said.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from netlathe import zoo
from netlathe.audit import records
from netlathe.audit.tables import CheckedRow, check_row, lecture_rows
from netlathe.choose.budget import CHEAP, LIMITS, Budget, Candidate, within_device
from netlathe.choose.decide import noise
from netlathe.cost.count import count
from netlathe.errors import NetlatheError, unknown
from netlathe.sources.source import candidates
from netlathe.sources.zoo import Zoo
from netlathe.target.device import targets_on
from netlathe.target.target import Target
from netlathe.units import COUNTS, quantity, read_digits, show_count

TASKS = {
    "classification": ("classification", "classification-large"),
    "mobile": ("mobile",),
    "dense": ("dense",),
    "generation": ("generation",),
    "text": ("sequences",),
    "audio": ("sequences",),
}
RANKED = (
    "classification",
    "mobile",
    "dense",
)  # tasks for which ImageNet accuracies, or backbones by them, say something
SMALL, LARGE = 10_000_000, 100_000_000  # images, the bounds of the lecture's first two rows
SEVERAL = 3  # networks that are shown


@dataclass(frozen=True, slots=True)
class Advice:
    """The answer with its reasons, the networks, and the command that goes on from here."""

    task: str
    answer: str
    reasons: tuple[str, ...]
    rows: tuple[CheckedRow, ...]
    fitting: tuple[Candidate, ...]  # most accurate first, at most SEVERAL
    fit_count: int
    tried: int
    device: str
    budget: Budget
    command: str

    @property
    def possible(self) -> bool:
        """Whether something fits, or nothing was asked to."""
        return self.fit_count > 0 or self.tried == 0

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "task": self.task,
            "answer": self.answer,
            "reasons": list(self.reasons),
            "rows": [row.record() for row in self.rows],
            "device": self.device,
            "tried": self.tried,
            "fit": self.fit_count,
            "networks": [network_facts(candidate) for candidate in self.fitting],
            "next": self.command,
        }


def network_facts(candidate: Candidate) -> dict[str, Any]:
    """A candidate as JSON values."""
    forecast = candidate.forecast
    return {
        "name": candidate.name,
        "top1": candidate.top1,
        "recipe": candidate.known_accuracy.recipe,
        "source": candidate.known_accuracy.source,
        "macs": candidate.macs,
        "size_bytes": candidate.size_bytes,
        "memory_bytes": candidate.memory_bytes,
        "precision": candidate.precision,
        "runtime": candidate.runtime,
        "forecast_ms": forecast.ms if forecast else None,
        "forecast_interval_ms": [forecast.low_ms, forecast.high_ms] if forecast else None,
    }


def image_count(text: str) -> int:
    """50k -> 50000; a bare number counts images too."""
    plain = text.replace(",", "").replace("_", "")
    number = read_digits(plain)
    if number is None:
        number = int(quantity(text, COUNTS, "number of images", "50k"))
    if number < 1:
        raise NetlatheError("at least one image is needed", code="unit.range", hint="for example --images 50k")
    return number


def rows_of(task: str, images: int | None) -> tuple[CheckedRow, ...]:
    """The rows of the decision table that a task, and for classification a number of images, leads to."""
    names: tuple[str, ...] = TASKS[task]
    if task == "classification" and images is not None and not SMALL < images < LARGE:
        names = names[:1] if images <= SMALL else names[1:]
    return tuple(check_row(line) for line in lecture_rows("decision") if line.name in names)


def advise(
    task: str,
    *,
    images: int | None = None,
    device: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    budget: Budget | None = None,
) -> Advice:
    """What to take for a task.

    `images` is the number of training images, `device` a card by name or file; limits that a forecast decides need one.
    Raises NetlatheError for an unknown task or device, and for a latency limit without a device.
    """
    if task not in TASKS:
        raise unknown("task", task, TASKS, code="advise.task")
    limits = budget or Budget()
    if limits.latency is not None and device is None:
        hint = (
            "add --device CARD; `netlathe device list` has the cards, `netlathe choose --latency` measures this machine"
        )
        raise NetlatheError("a latency needs a device", code="advise.device", hint=hint)
    rows = rows_of(task, images)
    reasons = [describe_row(row) for row in rows] + data_reasons(task, images)
    targets = targets_on(device, (), precision, threads) if device else None
    limits = within_device(limits, targets[0]) if targets else limits
    fitting: list[Candidate] = []
    tried: list[Candidate] = []
    if task in RANKED and (targets is not None or limits != Budget()):
        tried = candidates(Zoo(), targets or [any_target()])
        fitting = sorted((c for c in tried if not limits.broken(c)), key=lambda c: (-c.top1, c.latency_ms, c.macs))
        reasons += fit_reasons(task, rows, fitting, tried, limits, device)
    elif task not in RANKED:
        reasons.append(zoo_reason(rows[0]))
    answers = [r.line.instead or r.line.cells[1] if r.verdict == "does-not-hold" else r.line.cells[1] for r in rows]
    return Advice(
        task=task,
        answer="; or ".join(dict.fromkeys(answers)),
        reasons=tuple(reasons),
        rows=rows,
        fitting=tuple(fitting[:SEVERAL]),
        fit_count=len(fitting),
        tried=len(tried),
        device=device or "",
        budget=limits,
        command=next_command(task, images, device, limits, fitting, rows),
    )


def any_target() -> Target:
    """A target for limits that no device decides: MACs, file and memory in fp32."""
    return targets_on("i9-10940x", (), "fp32")[0]


def is_middling(limits: Budget, candidate: Candidate) -> bool:
    """Whether a candidate breaks a limit at the middle of its forecast."""
    slow = limits.latency is not None and candidate.latency_ms > limits.latency
    return slow or bool(limits.broken(candidate, CHEAP))


def describe_row(row: CheckedRow) -> str:
    """What the lecture's row says, and what the audit finds."""
    first = row.findings[0]
    when, tool, why = row.line.cells
    words = {"holds": "holds", "caveat": "holds with a caveat", "does-not-hold": "does not hold"}
    rule = f"The lecture says {tool} ({when}), because {why}."
    return f"{rule} This {words[row.verdict]}: {first.evidence} [{first.claim.id}]"


def data_reasons(task: str, images: int | None) -> list[str]:
    """What the number of images changes."""
    if task != "classification":
        return []
    study = records.latest_record("study.cnn_over_vit.points")
    if images is None:
        bounds = f"up to {show_count(SMALL)}, from {show_count(LARGE)}"
        return [f"How many images there are decides between the rows: {bounds}."]
    if SMALL < images < LARGE:
        return [f"{images:,} images are between the two rows: the lecture says nothing for them."]
    if images >= LARGE:
        return [f"{images:,} images are {images / LARGE:.1f} times the bound of the second row."]
    ours = f"the convolutional network led by {study.value:.0f} points ({study.what}; {study.date})"
    return [f"{images:,} images are {images / SMALL:.2%} of the first row's bound. In trainings of ours {ours}."]


def fit_reasons(
    task: str,
    rows: tuple[CheckedRow, ...],
    fitting: list[Candidate],
    tried: list[Candidate],
    limits: Budget,
    device: str | None,
) -> list[str]:
    """Which networks keep the limits, and whether the best of them is of the row's families."""
    where = f"on {device}, at the upper end of the forecast" if device else "by count"
    named = [f"{limit.name} {limit.show(bound)}" for limit in LIMITS if (bound := limits.limit(limit)) is not None]
    reasons = [f"{len(fitting)} of {len(tried)} networks fit {where} ({', '.join(named) or 'no limit was given'})."]
    middle = [c for c in tried if not is_middling(limits, c)]
    if limits.latency is not None and len(middle) > len(fitting):
        reasons.append(
            f"At the middle of it {len(middle)} would: the forecast for {device} is rough, measure before a "
            f"better network is ruled out."
        )
    if not fitting:
        return [*reasons, "Nothing fits: a larger limit, or another device."]
    patterns = [pattern for row in rows for pattern in row.line.networks]
    own = [c for c in fitting if any(fnmatchcase(c.net.name, pattern) for pattern in patterns)]
    best = fitting[0]
    if not own:
        return [*reasons, f"None is of the row's families ({', '.join(patterns)}); the most accurate is {best.name}."]
    first = own[0]
    behind = best.top1 - first.top1
    if behind > noise(best.top1):
        reasons.append(
            f"The most accurate is {best.name} ({best.top1:.1f} %); of the row's families it is {first.name}, "
            f"{behind:.1f} points behind: here the row is not the best advice."
        )
    else:
        reasons.append(
            f"The most accurate of the row's families, {first.name} ({first.top1:.1f} %), is as good as any."
        )
    if task == "dense":
        reasons.append(
            "The accuracies are those of classification: of a backbone they say something, of a detector little."
        )
    return reasons


def zoo_reason(row: CheckedRow) -> str:
    """What the zoo has for a task that ImageNet accuracies say nothing about."""
    names = [name for pattern in row.line.networks for name in zoo.names(pattern)]
    costs = [f"{name} {show_count(count(zoo.get(name).graph()).macs)} MACs" for name in names]
    return f"The zoo has {', '.join(costs)}; their costs are exact, no accuracy is compared for this task."


def next_command(
    task: str,
    images: int | None,
    device: str | None,
    limits: Budget,
    fitting: list[Candidate],
    rows: tuple[CheckedRow, ...],
) -> str:
    """What to run next."""
    asked: Mapping[str, float | None] = {limit.name: limits.limit(limit) for limit in LIMITS}
    options = [f"--{limit.name} {limit.ask(b)}" for limit in LIMITS if (b := asked[limit.name]) is not None]
    small = task == "classification" and images is not None and images <= SMALL
    if small:
        on = ["--device", shlex.quote(device)] if device else []
        return " ".join(["netlathe fit photos/", *on, *(options or ["--latency 15ms"]), "--time 20m -o out/"])
    if task not in RANKED:
        names = [name for pattern in rows[0].line.networks for name in zoo.names(pattern)]
        return f"netlathe cost {' '.join(names)}" if names else "netlathe zoo"
    if device:
        return " ".join(["netlathe choose --device", shlex.quote(device), *options])
    if task == "dense":
        return f"netlathe cost {fitting[0].net.name if fitting else 'convnext_tiny'} --resolution 512 --by stage"
    return " ".join(["netlathe choose", *(options or ["--latency 15ms"])])
