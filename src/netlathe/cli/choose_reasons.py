"""Why `netlathe choose` picks what it picks, in sentences; or why nothing fits."""

from __future__ import annotations

from math import inf

from netlathe.bench.measure import HEADLINE
from netlathe.catalogue.licences import describe_licence
from netlathe.choose.budget import LIMITS, Budget, Candidate
from netlathe.choose.decide import ACCURACY, Criterion, Relaxation, best_first, better, binding, noise_of
from netlathe.choose.run import ChoiceResult, nearest_budget, notes_of
from netlathe.errors import Infeasible
from netlathe.units import show_bytes, show_count, show_interval, show_ms

FAILURES = 3  # networks that did not run and are named
UNBUILT = 3  # networks that cannot be built here and are named


def format_candidate(c: Candidate, several: bool) -> str:
    """A candidate in a sentence."""
    return f"{c.name} under {c.runtime} {c.precision}" if several else c.name


def reasons(outcome: ChoiceResult) -> list[str]:
    """Why this one: fit, ties, the next better by limit, the next cheaper, and what was left out."""
    decision, budget = outcome.decision, outcome.budget
    pick, several = decision.pick, len(outcome.targets) > 1
    assert pick is not None
    lines = pick_lines(outcome, pick, several)
    uses = [
        f"{limit.name} {limit.show(limit.used(pick))} of {limit.show(bound)}"
        for limit in LIMITS
        if (bound := budget.limit(limit)) is not None
    ]
    lines.append("it uses: " + "; ".join(uses))
    lines += [*weights_lines(pick), *unbuilt_lines(outcome, several)]
    lines += [*likely_lines(outcome, several), *straddling_lines(outcome, several)]
    tight = binding(decision, budget)
    if tight:
        lines.append(f"binding limit: {tight.limit.name}")
    for r in decision.relaxations:
        admitted = f"{format_candidate(r.candidate, several)} ({gain_of(r, outcome.criterion)})"
        lines.append(f"next better: --{r.limit.name} {r.limit.ask(r.value)} would admit {admitted}")
    if not decision.relaxations:
        lines.append("next better: no single limit, raised alone, admits a better network")
    if decision.cheaper:
        c = decision.cheaper
        saved = pick.latency_ms - c.latency_ms
        lost = f"gives up {pick.top1 - c.top1:.1f} points"
        lines.append(f"next cheaper: {format_candidate(c, several)} saves {show_ms(saved)} and {lost}")
    if decision.dearer:
        c = decision.dearer
        more = f"{show_ms(c.latency_ms)}, {show_bytes(c.memory_bytes)} of memory"
        gained = f"+{c.top1 - pick.top1:.1f} points"
        lines.append(f"next more accurate: {format_candidate(c, several)} ({c.top1:.1f} %, {gained}; {more})")
    return [*lines, *int8_lines(outcome, pick), *accounting(outcome), *outcome.notes]


def weights_lines(pick: Candidate) -> list[str]:
    """Whose weights reach the accuracy of the pick, under what licence, and what they saw beyond ImageNet-1k."""
    accuracy = pick.known_accuracy
    if not accuracy.weights:
        return []
    data = f"; pre-trained on {accuracy.data}" if accuracy.data else ""
    return [f"weights: {accuracy.weights}, licence {describe_licence(accuracy.licence)}{data}"]


def better_unbuilt(outcome: ChoiceResult) -> list[Candidate]:
    """What cannot be measured here and is better than the pick by its forecast, whose middle keeps the budget."""
    budget, pick = outcome.budget, outcome.decision.pick
    fitting = [
        c for c in outcome.unbuilt if not budget.broken(c) or (budget.unsure(c) and c.latency_ms <= limit(budget))
    ]
    hopeful = [c for c in fitting if pick is None or better(c, pick, outcome.criterion)]
    return best_first(hopeful, outcome.criterion)


def limit(budget: Budget) -> float:
    """The limit of the latency; infinite where there is none."""
    return inf if budget.latency is None else budget.latency


def unbuilt_lines(outcome: ChoiceResult, several: bool) -> list[str]:
    """What more there would be with an extra, by forecast, and how to measure it."""
    if not outcome.unbuilt:
        return []
    extra = next((c.net.missing_extra for c in outcome.unbuilt if c.net.missing_extra), None)
    more, total = better_unbuilt(outcome), len({c.net.key for c in outcome.unbuilt})
    how = (
        f"pip install 'netlathe[{extra}]', and the same command measures them"
        if extra
        else "another --runtime runs them"
    )
    if not more:
        return [f"not measured: {total} networks of timm; by forecast none is better within the budget ({how})"]
    named = ", ".join(
        f"{format_candidate(c, several)} ({c.top1:.1f} %, ~{show_ms(c.latency_ms)})" for c in more[:UNBUILT]
    )
    rest = f" and {len(more) - UNBUILT} more" * (len(more) > UNBUILT)
    return [f"not measured: {total} networks of timm; by forecast better within the budget: {named}{rest}; {how}"]


def int8_lines(outcome: ChoiceResult, pick: Candidate) -> list[str]:
    """What the pick would take in int8; its accuracy there is not known."""
    lines = []
    for m in outcome.int8:
        low, ms, high = m.interval
        took = f"{show_ms(ms)} ({show_interval(low, high)}), {pick.latency_ms / ms:.2g} times as fast"
        lines.append(
            f"the quantised file of {pick.name} under {m.runtime}: {m.failure or took}; {pick.top1:.1f} % is its "
            "accuracy in fp32, what int8 keeps of it depends on your images (netlathe quantise)"
        )
    return lines


def pick_lines(outcome: ChoiceResult, pick: Candidate, several: bool) -> list[str]:
    """The pick and what is tied with it."""
    decision, criterion = outcome.decision, outcome.criterion
    winner = format_candidate(pick, several)
    first = f"pick: {winner}, the {criterion.superlative} of {len(decision.fitting)} candidates that fit"
    if not decision.ties:
        return [first]
    names = ", ".join(
        f"{format_candidate(c, several)} ({c.top1:.1f} %, {show_ms(c.latency_ms)})" for c in decision.ties
    )
    if criterion is not ACCURACY:
        return [first, f"their latencies are too close to tell apart: {names}"]
    images = pick.known_accuracy.images
    noise = f"tied within {noise_of(pick):.2f} points, the noise of {images:,} test images" if images else "tied"
    return [
        f"pick: {winner}, the fastest of those whose accuracy is tied with the best that fits",
        f"{noise}: {names}",
    ]


def gain_of(r: Relaxation, criterion: Criterion) -> str:
    """How much better the candidate is that a step admits."""
    if criterion is ACCURACY:
        return f"{r.candidate.top1:.1f} %, +{r.gain:.1f} points"
    return f"{r.candidate.top1:.1f} %, {100 * r.gain:.0f} % less {criterion.name}"


def likely_lines(outcome: ChoiceResult, several: bool) -> list[str]:
    """The better networks of which only the upper end of the interval breaks the limit, and how to be sure."""
    lines = []
    for c in outcome.decision.likely:
        target = next(t for t in outcome.targets if (t.runtime, t.precision) == (c.runtime, c.precision))
        what = "measured" if c.is_measured else "forecast"
        at = f"{what} {show_ms(c.latency_ms)}, at most {show_ms(c.latency_high_ms)}"
        name = f"{format_candidate(c, several)} ({c.top1:.1f} %)"
        lines.append(f"likely fits ({at}): {name}; measure it to be sure: {target.measure_command(c.net)}")
    return lines


def straddling_lines(outcome: ChoiceResult, several: bool) -> list[str]:
    """What was measured on a busy machine and has the limit inside its interval: its middle decided."""
    pick, lines = outcome.decision.pick, list[str]()
    for c in outcome.candidates:
        busy = c.latency is not None and c.latency.contended and outcome.budget.unsure(c)
        if not busy or (pick and c is not pick and not better(c, pick, outcome.criterion)):
            continue
        low, middle, high = c.interval
        fits = "fits" if middle <= (outcome.budget.latency or inf) else "does not fit"
        lines.append(
            f"{format_candidate(c, several)} was measured on a busy machine: {show_ms(middle)} "
            f"({show_interval(low, high)}) where nothing else runs; by the middle it {fits}"
        )
    return lines


def accounting(outcome: ChoiceResult) -> list[str]:
    """How many candidates there were, and which were measured, and why the others were not."""
    total, measured_count = len(outcome.candidates), sum(c.is_measured for c in outcome.candidates)
    broken = ", ".join(f"{name} {n}" for name, n in outcome.excluded.items() if n)
    left = f"of {total} candidates these exceed a limit that needs no measurement: {broken or 'none'}"
    if not measured_count:
        basis = next((c.forecast.basis for c in outcome.candidates if c.forecast), "nothing: no latency is known")
        why = "this is not the machine at hand"
        if outcome.targets[0].measures:
            extra = next((c.net.missing_extra for c in outcome.candidates if c.net.missing_extra), None)
            why = f"timm is not installed; pip install 'netlathe[{extra}]', and the same command measures"
        return [left, f"nothing was measured: {why}; latency is predicted by {basis}"]
    fresh = sum(c.latency is not None and c.latency.processes >= HEADLINE for c in outcome.candidates)
    measured = f"measured {measured_count}, {fresh} of them in {HEADLINE} fresh processes each, the pick for one"
    return [left, measured, "of the others the forecast, at the lower end of its interval, rules a win out"]


FAILURES = 3  # networks that did not run and are named


def infeasible_error(outcome: ChoiceResult) -> Infeasible:
    """The error for a budget that no network meets: what binds, and the nearest budgets that work."""
    budget, decision, several = outcome.budget, outcome.decision, len(outcome.targets) > 1
    lines = [
        f"--{r.limit.name} {r.limit.ask(r.value)} would do: "
        f"{format_candidate(r.candidate, several)} ({r.candidate.top1:.1f} %)"
        for r in decision.relaxations
    ]
    lines = [
        *unbuilt_lines(outcome, several),
        *likely_lines(outcome, several),
        *straddling_lines(outcome, several),
        *lines,
    ]
    broken_runs = [c for c in outcome.candidates if c.latency and c.latency.failure]
    for c in broken_runs[:FAILURES]:
        assert c.latency is not None
        lines.append(f"{format_candidate(c, several)} did not run: {c.latency.failure}")
    if len(broken_runs) > FAILURES:
        lines.append(f"nor did {len(broken_runs) - FAILURES} others")
    if not lines:
        candidate, broken = nearest_budget(outcome)
        finite = [limit for limit in broken if limit.used(candidate) < inf]
        joint = " and ".join(f"--{limit.name} {limit.ask(limit.used(candidate))}" for limit in finite)
        lines = [
            f"no single limit is to blame; the nearest network, {format_candidate(candidate, several)}, needs {joint}"
        ]
    smallest = min(outcome.candidates, key=lambda c: (c.macs, c.latency_ms))
    how, batch = "" if smallest.is_measured else "about ", outcome.targets[0].batch
    of_batch = f" for {batch} images" if batch > 1 else ""
    uses = [
        f"{show_count(smallest.macs)} MACs",
        f"{smallest.top1:.1f} % top-1",
        f"{show_bytes(smallest.size_bytes)} size",
        f"{show_bytes(smallest.memory_bytes)} memory",
        *([f"{how}{show_ms(smallest.latency_ms)}{of_batch}"] if smallest.latency_ms < inf else []),
    ]
    lines.append(f"the smallest network, {format_candidate(smallest, several)}: {', '.join(uses)}")
    lines += [*notes_of(outcome.targets), *outcome.notes]
    tight = binding(decision, budget)
    blame = f"; the binding limit is {tight.limit.name}" if tight else ""
    message = f"no network of {len(outcome.candidates)} fits this budget{blame}"
    return Infeasible(message, code="budget.infeasible", hint="\n".join(lines))
