"""A device that only a card describes: its latencies are predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from netlathe.arch.graph import Graph
from netlathe.arch.net import Net
from netlathe.cost.count import BYTES
from netlathe.device.card import DeviceCard, Model
from netlathe.device.cores import groups_of
from netlathe.device.evidence import evidence, model_for, refuse
from netlathe.device.latency import LatencyPrediction, check_roofs, predict
from netlathe.device.workload import Workload
from netlathe.errors import unknown
from netlathe.runtimes.registry import DEFAULT, forecast_name
from netlathe.target.target import CostEstimate, Target, Ways, counted_work, forecast_from, operators_of, work_of


@dataclass(frozen=True)
class CardTarget(Target):
    """A device by its card: nothing is measured."""

    @property
    def rule(self) -> str:
        """The name under which a forecast knows the runtime."""
        return forecast_name(self.runtime)

    def for_net(self, net: Net) -> CardTarget:
        """In integers, where a file is quantised and measurements speak of integers here."""
        integers = (net.precision or "").rpartition("+")[0]
        if integers and (self.rule, integers, self.threads) in evidence(self.device):
            return replace(self, precision=integers)
        return self

    def predict(self, net: Net) -> LatencyPrediction:
        """The latency of a batch, operator by operator. Raises NetlatheError where the card does not allow one."""
        return self.forecast(operators_of(net), self.for_net(net).precision)

    def estimate(self, net: Net, work: Graph | Workload | None = None) -> CostEstimate:
        """Exact counts, and the forecast of the card's best model, else of its figures."""
        work = work or work_of(net)
        forecast = forecast_from(self.forecast(work, self.for_net(net).precision, by_operator=False))
        return counted_work(work, self.precision, self.batch)._replace(forecast=forecast)

    def forecast(self, work: Graph | Workload, precision: str, *, by_operator: bool = True) -> LatencyPrediction:
        """The latency of a batch of what has these operators, or these sums."""
        how = {"runtime": self.rule, "threads": self.threads, "precision": precision, "batch": self.batch}
        return predict(work, self.device, **how, by_operator=by_operator)  # type: ignore[arg-type]

    @property
    def model(self) -> Model | None:
        """The card's model of this way to run networks."""
        return model_for(self.device, self.rule, self.threads, self.precision, self.batch)[0]

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
    """How a network is to be run on a card: as it was measured there, or on other devices with its cores; where nobody
    measured anything, in fp32 if it can, under the runtimes that it has a rate of.

    Raises NetlatheError for a runtime, precision or threads that no measurement, or no figure, of the card speaks of.
    """
    measured = evidence(card)
    if measured:
        return measured_ways(card, measured, runtimes, precision, threads)
    legal = [p for p in card.precisions if p in BYTES]
    if precision is not None and legal and precision not in legal:
        raise unknown(f"precision of {card.id}", precision, legal, code="device.precision")
    kind = precision or ("fp32" if "fp32" in legal or not legal else legal[0])
    check_roofs(card, kind, threads)
    rates = [figure.of for figure in card.find("rate")]
    return [(runtime, kind) for runtime in runtimes or rates or [DEFAULT]]


def measured_ways(
    card: DeviceCard, measured: list[tuple[str, str, int]], runtimes: Sequence[str], precision: str | None, threads: int
) -> Ways:
    """Those of the ways that were measured, which were asked for; without a runtime, all."""
    pairs: Ways = []
    for runtime in runtimes or dict.fromkeys(name for name, _, _ in measured):
        own = [p for name, p, n in measured if name == forecast_name(runtime) and n == threads]
        own = [p for p in dict.fromkeys(own) if precision in (None, p)]
        if runtimes and not own:
            refuse(card, forecast_name(runtime), precision, threads)
        pairs += [(runtime, p) for p in own]
    if not pairs:
        refuse(card, None, precision, threads)
    return pairs


def options(card: DeviceCard, batch: int = 1) -> list[Target]:
    """All that is known of a card: measured ways, else rates of a runtime, else precisions with a peak; fp32 first.

    Never empty.
    """
    targets: list[Target] = [CardTarget(card, r, p, n, batch) for r, p, n in evidence(card) if own_or_round(card, n)]
    targets += [CardTarget(card, figure.of, batch=batch) for figure in card.find("rate")]
    if not targets:
        targets = [CardTarget(card, DEFAULT, p, batch=batch) for p in card.precisions if p in BYTES]
    targets.sort(key=lambda target: (target.precision != "fp32", target.threads))
    return list(dict.fromkeys(targets)) or [CardTarget(card, DEFAULT, batch=batch)]


def own_or_round(card: DeviceCard, threads: int) -> bool:
    """Whether a number of threads was measured on the card, or is 1 or all: a list of every number helps nobody."""
    measured = {model.threads for model in card.models}
    return threads in measured or threads in (1, sum(group.number for group in groups_of(card)))
