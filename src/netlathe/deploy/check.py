"""check(): the deployed file against its budget, measured again on this machine.

A limit is kept only where the far end of the interval keeps it. Where the interval straddles the limit the verdict is
"not shown", which is no pass: another run could say otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netlathe.bench.machine import this_machine
from netlathe.bench.measure import HEADLINE, Progress, measure
from netlathe.bench.measurement import Measurement
from netlathe.cost.count import BYTES, count
from netlathe.cost.memory import timeline
from netlathe.deploy.limits import KINDS
from netlathe.deploy.package import Package
from netlathe.deploy.score import ConfusionScore, score
from netlathe.deploy.session import model_file
from netlathe.deploy.tflite import arena_bytes
from netlathe.errors import NetlatheError
from netlathe.runtimes import registry
from netlathe.target.target import Forecast

if TYPE_CHECKING:
    from netlathe.train.images import ImageSet

KEPT, OVER, NOT_SHOWN = "kept", "over", "not shown"


@dataclass(frozen=True, slots=True)
class BudgetFinding:
    """One figure in base units (ms, bytes, MACs, share) with its interval; exact ones have three equal values.

    `limit` is None where the budget says nothing of it, and `value` where it could not be had (`note` says why).
    """

    name: str
    limit: float | None
    low: float | None
    value: float | None
    high: float | None
    note: str = ""

    @property
    def verdict(self) -> str:
        """kept, over, or not shown; empty without a limit."""
        if self.limit is None:
            return ""
        if self.low is None or self.high is None:
            return NOT_SHOWN
        least = KINDS[self.name].at_least
        keeps, breaks = (
            (self.low >= self.limit, self.high < self.limit)
            if least
            else (self.high <= self.limit, self.low > self.limit)
        )
        return KEPT if keeps else OVER if breaks else NOT_SHOWN

    @property
    def used(self) -> str:
        """The figure, as people read it, with its interval where it has one."""
        show = KINDS[self.name].show
        if self.low is None or self.value is None or self.high is None:
            return "-"
        return show(self.value) + (f" ({show(self.low)} to {show(self.high)})" if self.low < self.high else "")

    def to_json(self) -> dict[str, Any]:
        """The fields and the verdict."""
        return {name: getattr(self, name) for name in ("name", "limit", "low", "value", "high", "verdict", "note")}


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The findings, what they rest on, and what there is to say of them."""

    findings: tuple[BudgetFinding, ...]
    latency: Measurement | None  # None for another device, whose latency is a forecast
    score: ConfusionScore | None
    warnings: tuple[str, ...]

    @property
    def kept(self) -> bool:
        """Whether every limit is shown to be kept."""
        return all(finding.verdict in ("", KEPT) for finding in self.findings)

    @property
    def verdict(self) -> str:
        """The worst of all verdicts."""
        verdicts = {finding.verdict for finding in self.findings}
        return next((verdict for verdict in (OVER, NOT_SHOWN) if verdict in verdicts), KEPT)


def check(
    package: Package,
    limits: Mapping[str, float],
    images: ImageSet | None = None,
    *,
    split: str = "test",
    seconds: float = 1.0,
    processes: int = HEADLINE,
    progress: Progress | None = None,
    keep: Callable[[Measurement], None] | None = None,
) -> CheckReport:
    """Measure the file of a package under its runtime, precision, threads and batch, and hold it against limits.

    `limits` are in base units (`limits.limits`); `images` of `split` are needed where accuracy is limited. `seconds`
    and `processes` are those of `bench.measure`, `keep` gets the measurement. Raises NetlatheError where accuracy is
    limited without images, and as `measure` and `score` do.
    """
    if "accuracy" in limits and images is None:
        raise NetlatheError(
            "the budget limits the accuracy, and there are no images to measure it on",
            code="check.no_images",
            path=str(package.folder),
            hint="--data SOURCE, with the images of the training; or a budget file without accuracy",
        )
    scored = score(package, images, split) if images is not None else None
    latency = measure(
        [model_file(package)],
        threads=package.threads,
        batch=package.batch,
        seconds=seconds,
        processes=processes,
        runtime=package.runtime,
        precision=package.precision,
        progress=progress,
        keep=keep,
    )[0]
    return check_figures(package, limits, latency, scored)


def check_figures(
    package: Package,
    limits: Mapping[str, float],
    latency: Measurement | Forecast | None,
    scored: ConfusionScore | None = None,
) -> CheckReport:
    """A latency (measured, or forecast for another device), a score and the exact costs, held against limits."""
    findings = [latency_finding(latency, limits.get("latency"))]
    exact: dict[str, Callable[[], float]] = {
        "size": lambda: package.bytes,
        "memory": lambda: memory_bytes(package),
        "macs": lambda: count(package.network.graph()).macs,
    }
    findings += [exact_finding(name, limits.get(name), value) for name, value in exact.items()]
    if scored is not None:
        a = scored.accuracy
        findings.append(BudgetFinding("accuracy", limits.get("accuracy"), a.low, a.share, a.high, f"{a.images} images"))
    measured = latency if isinstance(latency, Measurement) else None
    return CheckReport(tuple(findings), measured, scored, warnings_of(package, measured, scored))


def exact_finding(name: str, limit: float | None, compute: Callable[[], float]) -> BudgetFinding:
    """A figure that is known exactly; not shown for a file of a module with an operator that nobody counted."""
    try:
        value = compute()
    except NetlatheError as error:
        return BudgetFinding(name, limit, None, None, None, error.message)
    return BudgetFinding(name, limit, value, value, value)


def latency_finding(latency: Measurement | Forecast | None, limit: float | None) -> BudgetFinding:
    """The latency as a finding; a failed run shows nothing, and a forecast says that it is one."""
    if latency is None:
        return BudgetFinding("latency", limit, None, None, None, "nothing is known of it")
    if isinstance(latency, Forecast):
        return BudgetFinding(
            "latency", limit, latency.low_ms, latency.ms, latency.high_ms, f"predicted: {latency.basis}"
        )
    if latency.failure:
        return BudgetFinding("latency", limit, None, None, None, latency.failure)
    many = f"{latency.processes} process{'es' * (latency.processes > 1)}"
    return BudgetFinding("latency", limit, *latency.interval, many)


def memory_bytes(package: Package) -> int:
    """Weights and peak activations of a batch, as an inference runtime allocates them (one arena, norms folded).

    Weights of a quantised file are its size; activations have the types that they have in the file. For TensorFlow Lite
    Micro it is the arena alone: weights stay in flash.
    """
    if registry.runtime(package.runtime).processor == "microcontroller":
        return arena_bytes(package)
    graph = package.network.graph()
    quantised, _, floats = package.precision.rpartition("+")
    width = BYTES[floats]
    cost = count(graph)
    arena = max((size for _, size in timeline(graph, "arena", width, package.batch)), default=0)
    return arena + (package.bytes if quantised else cost.stored_bytes(width))


def warnings_of(package: Package, latency: Measurement | None, scored: ConfusionScore | None) -> tuple[str, ...]:
    """What makes the figures say less than they seem to."""
    warnings = []
    here = this_machine()
    if latency is None:
        warnings.append(f"nothing was measured on {package.device}: its latency is a forecast, to be measured there")
    elif package.device and package.device != here.id:
        warnings.append(
            f"the package was measured on the machine {package.device}, and this is {here.id} ({here.cpu}): "
            "the latency here says nothing about there"
        )
    if latency is not None and latency.failure:
        warnings.append(f"the file did not run: {latency.failure}")
    elif latency is not None and latency.warning:
        warnings.append(latency.warning)
    if scored is not None and scored.split == "validation":
        warnings.append("the accuracy is of validation images, on which the weights may have been picked")
    return tuple(warnings)


def format_markdown(package: Package, checked: CheckReport) -> str:
    """The findings as Markdown, for the summary of a CI job."""
    sign = {KEPT: "✅ kept", OVER: "❌ over", NOT_SHOWN: "⚠️ not shown", "": ""}
    name = escape_cell(str(Path(package.folder)))
    lines = [f"### {name}: {checked.verdict}", "", "| | measured | limit | |", "|---|---|---|---|"]
    for f in checked.findings:
        limit = "" if f.limit is None else KINDS[f.name].show(f.limit)
        used = f"{f.used}, {f.note}" if f.note else f.used
        lines.append(f"| {f.name} | {escape_cell(used)} | {limit} | {sign[f.verdict]} |")
    if m := checked.latency:
        how = f"{m.runtime} {m.runtime_version}, {m.precision}, {m.threads} threads, batch {m.batch}"
        lines += ["", f"{escape_cell(m.cpu)} ({m.device}), {how}, {m.processes} processes"]
    lines += [f"\n> {escape_cell(warning)}" for warning in checked.warnings]
    return "\n".join(lines)


def escape_cell(text: str) -> str:
    """Text that Markdown takes as it is."""
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{c}" if c in "|*`[]\\" else c for c in plain)
