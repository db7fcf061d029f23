"""Why: the three sentences beside the charts, with the figures of this moment."""

from __future__ import annotations

from netlathe.cost.table import stage_of
from netlathe.lab.facts import LabFacts, share_used
from netlathe.target.bottlenecks import divide_time
from netlathe.units import show_ms


def sentences(f: LabFacts) -> list[str]:
    """Where the time goes, what holds it back, and what the budget says."""
    return [sentence for sentence in (time(f), bound(f), budget(f)) if sentence]


def time(f: LabFacts) -> str:
    """The latency, its interval, and the stage and the operator that take most of it."""
    p = f.prediction
    if p is None or not p.rows or not p.total_ms:
        return ""
    stages: dict[str, float] = {}
    for row in p.rows:
        stages[stage_of(row.path)] = stages.get(stage_of(row.path), 0.0) + row.ms
    stage, slowest = max(stages, key=lambda s: stages[s]), max(p.rows, key=lambda row: row.ms)
    what = "An image takes" if f.target.batch == 1 else f"A batch of {f.target.batch} takes"
    device = f.target.device.name.partition(" (")[0]
    return (
        f"{what} {show_ms(p.total_ms)} on {device} ({p.low_ms:.3g} to {p.high_ms:.3g} for "
        f"nine of ten networks): {100 * stages[stage] / p.total_ms:.0f} % of it in {stage}, and the slowest operator "
        f"is {slowest.path} with {show_ms(slowest.ms)}."
    )


def bound(f: LabFacts) -> str:
    """What holds it back in the predicted time, and the least time by the roofline, which is no forecast."""
    p, sentences = f.prediction, []
    if p is not None and p.rows and p.total_ms:
        times = divide_time(p, "bound")
        what = next(iter(times))
        sentences.append(f"{upper(what)} holds it back most: {100 * times[what] / p.total_ms:.0f} % of that time.")
    if f.roof is not None and f.roof.ms:
        sentences.append(
            f"By its roofline it takes at least {show_ms(f.roof.ms)}, for the network does {f.roof.intensity:.3g} "
            f"FLOPs per byte, and the ridge of the device is at {f.roof.ridge:.3g}."
        )
    return " ".join(sentences)


def budget(f: LabFacts) -> str:
    """The limit that binds, or the one that is broken most, and what is left of the others."""
    if f.fit is not None and f.fit.patched:
        p = f.fit.patched
        return (
            f"It fits in {p.splits} x {p.splits} patches up to {p.path}, for {100 * p.extra:.1f} % more MACs; whole it "
            f"would need {f.fit.sram.mid / 1024:.0f} KiB of SRAM."
        )
    if f.over:
        worst = f.over[0]
        if worst.used is None or worst.bound is None:
            return f"Whether it keeps the limit of {worst.title} is not known on this device."
        times = worst.used / worst.bound
        end = " at the upper end of the interval" if worst.name == "latency" else ""
        excess = f"{worst.title} is {worst.text}{end}, {times:.2g} times the limit of {worst.bound_text}"
        return f"It is over budget: {excess}."
    b = f.binding
    if b is None or b.used is None or b.bound is None:
        return "Set a limit, and this says which of them binds first."
    left = [f"{u.title} {100 * (1 - share_used(u)):.0f} %" for u in f.uses if u.bound is not None and u is not b]
    others = f"; {', '.join(left)} to spare" if left else ""
    return f"{upper(b.title)} binds: {b.text} of {b.bound_text} is used{others}."


def upper(text: str) -> str:
    """With a capital letter."""
    return text[:1].upper() + text[1:]
