"""The pages of `netlathe search compare` and `netlathe search show`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from netlathe.html import Html, bullets, pairs, table
from netlathe.report.charts import front, progress, regret
from netlathe.report.charts.chart import Chart
from netlathe.report.page import Page, PagePart
from netlathe.tables.search import show_choices
from netlathe.units import show_ms

Data = Mapping[str, Any]
# what stands on the axis of the front, the first that is known: key, name, unit and its size, how a value is written
COSTS = (("latency", "latency", "ms", 1.0, show_ms), ("macs", "MACs", "M", 1e6, "{:.4g} M".format))
START = 20  # the first twentieth of a curve is so high that the rest would be flat


def comparison(data: Data, warnings: Sequence[str] = (), *, command: str = "") -> Page:
    """`data` is that of `netlathe search compare --json`."""
    arms, runs = sorted(data["strategies"], key=lambda arm: float(arm["regret"][-1])), data["runs"]
    start = data["evaluations"] // START
    x = tuple(float(n) for n in range(start + 1, data["evaluations"] + 1))
    curves = [
        regret.RegretCurve(arm["name"], x, *(tuple(arm[side][start:]) for side in ("regret", "low", "high")))
        for arm in data["strategies"]
    ]
    band = f"95 % bootstrap interval of the mean of {runs} runs"
    sections: list[tuple[str, Sequence[PagePart]]] = [
        ("Regret", [regret.chart(curves, x="evaluations", band=band), finals(arms)]),
        ("Pairs", [pairs_table(data["pairs"])]),
    ]
    if any(arm["winners_curse"] for arm in arms):
        sections.append(("The winner, trained again", [winners(arms)]))
    sections.append(("How to read it", [bullets(data["notes"])]))
    best = arms[0]
    ends = f"{best['name']}, {best['low'][-1]:.3f} to {best['high'][-1]:.3f}"
    apart = f"{sum(p['verdict'] in ('better', 'worse') for p in data['pairs'])} of {len(data['pairs'])}"
    return Page(
        title=f"Search strategies on {data['space']}",
        lead=f"{len(arms)} strategies, {runs} runs of {data['evaluations']} evaluations each; regret in points.",
        basis=f"{data['networks']:,} networks, the best has {data['best']:.3f} %; repeats {data['repeats']}; "
        f"{'one training seen of each' if data['noisy'] else 'all trainings seen'}; seed {data['seed']}.",
        tiles=[
            ("least regret", f"{best['regret'][-1]:.3f}", ends),
            ("told apart", apart, "pairs, p by sign flips after Holm"),
        ],
        notes=warnings,
        sections=sections,
        command=command,
    )


def finals(arms: Sequence[Data]) -> Html:
    """Where each strategy ends, the least regret first."""
    rows = [(arm["name"], f"{arm['regret'][-1]:.3f}", f"{arm['low'][-1]:.3f} to {arm['high'][-1]:.3f}") for arm in arms]
    return table(("strategy", "regret at the end", "95 % interval"), rows, label="Regret at the end")


def pairs_table(pairs: Sequence[Data]) -> Html:
    """Every pair of strategies."""

    def interval(gain: Data) -> str:
        return "-" if gain["low"] is None or gain["high"] is None else f"{gain['low']:+.3f} to {gain['high']:+.3f}"

    rows = [
        (
            f"{p['a']} against {p['b']}",
            f"{p['gain']['mean']:+.3f}",
            interval(p["gain"]),
            f"{100 * p['ahead']:.0f} %",
            f"{p['p']:.3g}",
            p["said"],
        )
        for p in pairs
    ]
    heads = ("pair", "less regret by", "95 % interval", "ahead in", "p (Holm)", "verdict")
    return table(heads, rows, label="Pairs of strategies")


def winners(arms: Sequence[Data]) -> Html:
    """What a search reports of its winner, and what trainings say that it did not see."""
    rows = []
    for arm in arms:
        curse = arm["winners_curse"]
        seen, worth = (sum(w[name] for w in arm["winners"]) / len(arm["winners"]) for name in ("seen", "worth"))
        ends = "-" if not curse or curse["low"] is None else f"{curse['low']:+.3f} to {curse['high']:+.3f}"
        rows.append((arm["name"], f"{seen:.2f} %", f"{worth:.2f} %", f"{curse['mean']:+.3f}" if curse else "-", ends))
    heads = ("strategy", "it reports", "unseen seeds say", "winner's curse", "95 % interval")
    return table(heads, rows, label="The winner, trained again")


def show(data: Data, warnings: Sequence[str] = (), *, command: str = "") -> Page:
    """`data` is that of `netlathe search show --json`."""
    best, final = data["best"], data["final"]
    trials = [
        progress.TrialMark(t["number"], t["state"], t["score"], name(t))
        for t in data["trials"]
        if t["state"] != "running"
    ]
    sections: list[tuple[str, Sequence[PagePart]]] = [("The search", [progress.chart(trials, word="score")])]
    front_chart = plane(data)
    if front_chart:
        sections.append(("The front", [front_chart]))
    facts = [(state, f"{count:,} trials") for state, count in data["counts"].items()]
    facts += [(error, f"{count:,} failed") for error, count in data["failures"].items()]
    facts += [(reason, f"{count:,} infeasible") for reason, count in data.get("reasons", {}).items()]
    sections.append(("Trials", [pairs(facts)]))
    if importance := data.get("importance"):
        rows = [(decision, f"{100 * share:.0f} %") for decision, share in importance.items()]
        note = "Of the trials that this strategy chose: a hint at what matters, not an experiment."
        shares = table(("decision", "of the variance of scores"), rows, label="What the decisions explain")
        sections.append(("Decisions", [shares, bullets([note])]))
    tiles = [("trials", f"{sum(data['counts'].values()):,}", data["ended"] or "it has not ended")]
    if best:
        tiles.append(("the search says", f"{best['score']:.2f}", f"of trial {best['number']}, the best it saw"))
    if final:
        half = f"± {final['half']:.2f}, " if final["half"] is not None else ""
        tiles.append(("fresh seeds say", f"{final['score']:.2f}", f"{half}the mean of {len(final['scores'])}"))
        tiles.append(("the curse", f"{final['gap']:+.2f}", "what the search said beyond the fresh seeds"))
    return Page(
        title=f"{data['strategy']} in {data['space']}",
        lead=f"A search of {data['evaluations']} evaluations, seed {data['seed']}.",
        tiles=tiles,
        notes=warnings,
        sections=sections,
        command=command,
    )


def name(trial: Data) -> str:
    """What was chosen."""
    return show_choices(trial)


def plane(data: Data) -> Chart | None:
    """Score against latency where it is known of all, else against MACs."""
    done = [t for t in data["trials"] if t["state"] == "done" and t["score"] is not None]
    best = {t["number"] for t in data["front"]}
    winner = data["winner"]["number"] if data["winner"] else None
    for cost, across, unit, size, show_ in COSTS:
        if done and all(cost in t["costs"] for t in done):
            points = [
                front.FrontPoint(
                    f"trial {t['number']}",
                    t["score"],
                    ms := t["costs"][cost] / size,
                    ms,
                    ms,
                    int(t["costs"].get("memory", 0)) or None,
                    "pick" if t["number"] == winner else "front" if t["number"] in best else "fits",
                    name(t),
                )
                for t in done
            ]
            return front.chart(points, word="search", across=across, unit=unit, show=show_)
    return None
