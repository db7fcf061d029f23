"""A device that only a card describes: its latencies are predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netlathe.arch.net import Net
from netlathe.cost.count import BYTES
from netlathe.device.card import DeviceCard
from netlathe.device.latency import LatencyPrediction, model_for, predict
from netlathe.errors import unknown
from netlathe.runtimes.registry import DEFAULT, forecast_name
from netlathe.target.target import CostEstimate, Forecast, Target, Ways, counted, graph_of


@dataclass(frozen=True)
class CardTarget(Target):
    """A device by its card: nothing is measured."""

    @property
    def rule(self) -> str:
        """The name under which a forecast knows the runtime."""
        return forecast_name(self.runtime)

    def predict(self, net: Net) -> LatencyPrediction:
        """The latency of a batch, operator by operator. Raises NetlatheError where the card does not allow one."""
        return predict(
            graph_of(net),
            self.device,
            runtime=self.rule,
            threads=self.threads,
            precision=self.precision,
            batch=self.batch,
        )

    def estimate(self, net: Net) -> CostEstimate:
        """Exact counts, and the forecast of the card's best model, else of its figures."""
        p = self.predict(net)
        forecast = Forecast(p.total_ms, p.low_ms, p.high_ms, p.basis)
        return counted(net, self.precision, self.batch)._replace(forecast=forecast)

    def command(self, net: str, device: str) -> str:
        """`device why`, which says where the time goes."""
        options = f"--device {device} --runtime {self.runtime} --threads {self.threads} --precision {self.precision}"
        return f"netlathe device why {net} {options}" + f" --batch {self.batch}" * (self.batch > 1)

    @property
    def notes(self) -> list[str]:
        """That the model was fitted at another batch."""
        _, warnings = model_for(self.device, self.rule, self.threads, self.precision, self.batch)
        return [f"{self.runtime} {self.precision}: {warning}" for warning in warnings]


def ways(card: DeviceCard, runtimes: Sequence[str], precision: str | None, threads: int) -> Ways:
    """How a network is to be run on a card: its models, where no runtime is asked for, else in fp32 where it can.

    Raises NetlatheError for a precision that the card knows nothing of, and threads that its models do not have.
    """
    fitted = sorted({(m.runtime, m.precision) for m in card.models})
    legal = [p for _, p in fitted] if fitted and not runtimes else [p for p in card.precisions if p in BYTES]
    if precision is not None and legal and precision not in legal:
        raise unknown(f"precision of {card.id}", precision, legal, code="device.precision")
    if fitted and not runtimes:
        pairs = [way for way in fitted if precision in (None, way[1])]
    else:
        kind = precision or ("fp32" if "fp32" in legal or not legal else legal[0])
        pairs = [(runtime, kind) for runtime in runtimes or [DEFAULT]]
    for runtime, kind in pairs:
        model_for(card, forecast_name(runtime), threads, kind, batch=1)
    return pairs


def options(card: DeviceCard, batch: int = 1) -> list[Target]:
    """All that a card knows something of: models first, then rates of a runtime, then the precisions with a peak; fp32
    before others. Never empty."""
    targets: list[Target] = [CardTarget(card, m.runtime, m.precision, m.threads, batch) for m in card.models]
    targets += [CardTarget(card, figure.of, batch=batch) for figure in card.find("rate")]
    if not targets:
        targets = [CardTarget(card, DEFAULT, p, batch=batch) for p in card.precisions if p in BYTES]
    targets.sort(key=lambda target: (target.precision != "fp32", target.threads))
    return list(dict.fromkeys(targets)) or [CardTarget(card, DEFAULT, batch=batch)]
