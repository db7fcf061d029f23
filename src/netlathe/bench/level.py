"""The level of the forecasts on this machine, corrected by what was measured since its card was made.

Every measurement keeps the forecast that the model of the card gave for its network (`forecast_of`). The next reader of
the card gets a model whose level these ratios set: their median, drawn towards none by as much as one network's
error bar, since a few measurements say little. Where they contradict the interval of the model, it becomes as wide as
they need. A new calibration begins anew.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import exp, inf, log
from statistics import median
from typing import NamedTuple

from netlathe.arch.net import Net
from netlathe.bench import ledger
from netlathe.bench.measurement import Measurement
from netlathe.device.card import DeviceCard, Model
from netlathe.device.evidence import model_for
from netlathe.device.latency import predict
from netlathe.errors import NetlatheError
from netlathe.stats.quantiles import quantile

COVER = 0.9  # of the ratios that an interval has to hold
NOTED = 0.1  # a correction that is said, as a logarithm


class Level(NamedTuple):
    """What measurements say of a model: its forecasts times `factor`, and an interval `wider` times as wide, as a
    power of its ends."""

    factor: float
    wider: float
    measured: int

    @property
    def note(self) -> str:
        """The correction in a clause; empty where it is small."""
        clauses = []
        if abs(log(self.factor)) > NOTED:
            clauses.append(f"forecasts times {self.factor:.2f}")
        if self.wider > 1:
            clauses.append("a wider interval, because they contradicted it")
        of = f"{self.measured} measurement{'s' * (self.measured > 1)} made since it was calibrated"
        return f"corrected by {of}: {', '.join(clauses)}" if clauses else ""


def model_id(model: Model) -> str:
    """What tells a model from that of another calibration: a hash of its coefficients and its date."""
    content = json.dumps([model.date, model.runtime_version, sorted(model.coefficients.items())])
    return hashlib.sha256(content.encode()).hexdigest()[:10]


def forecast_of(
    net: Net, card: DeviceCard | None, runtime: str, threads: int, precision: str, batch: int
) -> tuple[float, str]:
    """What the model of a card says of a network before it is measured, in ms, and the id of the model.

    (inf, "") where the card has no model for it, or its operators cannot be read: it is measured all the same.
    """
    try:
        model = model_for(card, runtime, threads, precision, batch)[0] if card is not None else None
        if card is None or model is None or model.batch != batch:
            return inf, ""
        how = {"runtime": runtime, "threads": threads, "precision": precision, "batch": batch}
        return predict(net.graph(), card, **how).total_ms, model_id(model)  # type: ignore[arg-type]
    except NetlatheError:
        return inf, ""


def correct_levels(card: DeviceCard) -> DeviceCard:
    """A card of this machine whose models say what was measured since; the file stays as it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ledger.LedgerWarning)
        ratios = measured_ratios(ledger.read())
    return replace(card, models=tuple(corrected(model, ratios.get(model_id(model), ())) for model in card.models))


def measured_ratios(measurements: Iterable[Measurement]) -> dict[str, list[float]]:
    """log(measured / forecast) by model, one of each network: that of most processes, then the newest."""
    best: dict[tuple[str, str], Measurement] = {}
    for m in measurements:
        if m.forecast_model and m.failure is None and 0 < m.forecast_ms < inf and 0 < m.interval[1] < inf:
            old = best.get((m.forecast_model, m.key))
            if old is None or m.processes >= old.processes:
                best[m.forecast_model, m.key] = m
    ratios: dict[str, list[float]] = {}
    for (model, _), m in best.items():
        ratios.setdefault(model, []).append(log(m.interval[1] / m.forecast_ms))
    return ratios


def level_of(model: Model, ratios: Sequence[float]) -> Level:
    """The level of a model by the logarithms of measured / forecast."""
    middle = log(model.error.p50)
    shift = median([ratio - middle for ratio in ratios]) * len(ratios) / (len(ratios) + 1)
    ends = log(model.error.low) - middle, log(model.error.high) - middle
    needed = [rest / end for ratio in ratios if (end := ends[(rest := ratio - middle - shift) > 0]) and rest / end > 0]
    return Level(exp(shift), max(1.0, quantile(needed, COVER)) if needed else 1.0, len(ratios))


def corrected(model: Model, ratios: Sequence[float]) -> Model:
    """A model at the level that measurements set, with an interval that they do not contradict, and a note of both."""
    if not ratios:
        return model
    level, bar = level_of(model, ratios), model.error
    low, high = (bar.p50 * (end / bar.p50) ** level.wider for end in (bar.low, bar.high))
    return replace(
        model,
        coefficients={name: value * level.factor for name, value in model.coefficients.items()},
        error=replace(bar, low=low, high=high),
        note="; ".join(filter(None, (model.note, level.note))),
    )
