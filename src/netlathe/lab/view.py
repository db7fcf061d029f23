"""view(): what was read of a network, as the page shows it, and as JSON values."""

from __future__ import annotations

from typing import Any

from netlathe.arch.net import Net, rewritable
from netlathe.cost.count import BYTES
from netlathe.cost.table import stage_of
from netlathe.device.card import DeviceCard
from netlathe.lab.charts import charts, here
from netlathe.lab.explain import sentences, upper
from netlathe.lab.facts import LabFacts, modernised, peak_of, read_facts, share_used
from netlathe.lab.knobs import knob_states
from netlathe.lab.running import way_name
from netlathe.lab.state import LabState
from netlathe.units import show_bytes, show_count, show_ms


def view(state: LabState, net: Net, card: DeviceCard) -> dict[str, Any]:
    """The answer, as JSON values, with all charts. Raises NetlatheError as `facts` does."""
    facts = read_facts(state, net, card)
    return answer(state, facts, net) | {"charts": charts(facts)}


def answer(state: LabState, f: LabFacts, start: Net) -> dict[str, Any]:
    """What was read, as the page wants it, without charts."""
    base = rewritable(modernised(start, state.step))
    knobs = knob_states(base, f.turned, f.graph) if f.turned and base else []
    return {
        "name": f.net.name,
        "input": "x".join(map(str, f.net.input)),
        "device": f.target.device.name,
        "run": way_name(f.target),
        "totals": totals(f),
        "stages": stages(f),
        "uses": [u._asdict() | {"share": None if u.used is None or not u.bound else u.used / u.bound} for u in f.uses],
        "verdict": verdict(f),
        "knobs": [knob._asdict() for knob in knobs],
        "fixed": "" if f.turned else f"{start.name} has no expression: operators without knobs.",
        "notes": list(f.turned.notes) if f.turned else [],
        "why": sentences(f),
        "warnings": list(f.prediction.warnings if f.prediction else ()) + list(f.missing),
        "here": here(f, start),
        "commands": commands(state, f, start),
    }


def totals(f: LabFacts) -> list[dict[str, Any]]:
    """The figures of the head line: what it is, the number, how it is printed, and what else to say of it."""
    size = BYTES[f.target.precision]
    p, weights, peak = f.prediction, f.cost.weight_bytes(size), peak_of(f.arena)
    rows: list[tuple[str, str, float, str, str]] = []
    if p:
        rows.append(("latency_ms", "Latency", p.total_ms, show_ms(p.total_ms), f"{p.low_ms:.3g} to {p.high_ms:.3g}"))
    rows += [
        ("macs", "MACs", f.cost.macs, show_count(f.cost.macs), "per image"),
        ("params", "Params", f.cost.params, show_count(f.cost.params), show_bytes(weights)),
        ("peak_bytes", "Peak memory", peak, show_bytes(peak), "of activations"),
        ("acts", "Activations", f.cost.acts, show_count(f.cost.acts), "per image"),
        ("moved_bytes", "Moved", moved(f), show_bytes(moved(f)), "fused"),
        ("intensity", "Intensity", intensity(f), f"{intensity(f):.1f}", "FLOPs per byte"),
    ]
    return [dict(zip(("key", "label", "value", "text", "more"), row, strict=True)) for row in rows]


def moved(f: LabFacts) -> int:
    """Bytes that a batch moves."""
    return f.cost.bytes(BYTES[f.target.precision], f.target.batch, fused=True)


def intensity(f: LabFacts) -> float:
    """FLOPs per byte of a batch, fused."""
    return f.cost.intensity(BYTES[f.target.precision], f.target.batch, fused=True)


def stages(f: LabFacts) -> dict[str, Any]:
    """The table of `netlathe cost`, and the predicted time of every stage."""
    times: dict[str, float] = {}
    for group in f.prediction.rows if f.prediction else ():
        times[stage_of(group.path)] = times.get(stage_of(group.path), 0.0) + group.ms
    heads = ["stage", "out", "params", "MACs", "share", "moved", "FLOP/B"] + ["latency"] * bool(f.prediction)
    cells = []
    for row in f.stages:
        out = "x".join(map(str, row.out_shape))
        line = [row.path, out, show_count(row.cost.params), show_count(row.cost.macs), f"{100 * row.share:.1f} %"]
        line += [show_bytes(row.bytes_fused), f"{row.intensity_fused:.1f}"]
        cells.append(line + ([show_ms(times.get(row.path, 0.0))] if f.prediction else []))
    return {"heads": heads, "rows": cells}


def verdict(f: LabFacts) -> dict[str, Any]:
    """Whether the limits are kept, and which binds."""
    limited = [u for u in f.uses if u.bound is not None]
    if not limited:
        return {"state": "none", "text": "No limit is set."}
    if f.over:
        overruns = "; ".join(f"{u.title} {u.text} of {u.bound_text}" for u in f.over)
        return {"state": "over", "text": f"Over budget: {overruns}."}
    b = f.binding
    assert b is not None
    kind = f", {f.fit.verdict}" if f.fit and f.fit.verdict != "fits" else ""
    return {
        "state": "fits",
        "text": f"Fits{kind}. {upper(b.title)} binds: {b.text} of {b.bound_text}, {100 * share_used(b):.0f} %.",
    }


def commands(state: LabState, f: LabFacts, start: Net) -> list[str]:
    """Lines for a shell that print the same."""
    file = state.net
    if file.startswith("upload/"):
        file = "arch.json" if rewritable(start) else start.name
    lines = []
    if state.step is not None:
        lines.append(f"netlathe modernise {file} -o steps/")
        file = f"steps/{state.step:02}-*.json"
    if f.turned and f.turned.values:
        knobs = " ".join(f"--{knob} {value:g}" for knob, value in f.turned.values.items())
        lines.append(f"netlathe reshape {file} {knobs} -o net.json")
        file = "net.json"
    batch = f" --batch {f.target.batch}" if f.target.batch > 1 else ""
    lines.append(f"netlathe cost {file} --precision {f.target.precision}{batch}")
    lines.append(f.target.command(file, state.device))
    return lines
