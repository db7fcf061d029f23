"""Has a DARTS search collapsed? Pure functions of its log: call `diagnose` on what there is after every epoch.

A collapsed search fills the cell with skip connections, and the validation accuracy of the supernet does not show it.
Two signs do. The count of skips in the derived normal cell. And the dominant eigenvalue of the Hessian of the
validation loss with respect to the architecture parameters, by the rule of DARTS-ES (Zela et al. 2020, section 5;
github.com/automl/RobustDARTS, Apache-2.0): local means of 5 readings, a stop where one is above 1.3 times the mean 4
readings earlier, not before that earlier mean is centred on epoch 10; then the genotype of its epoch is the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import NamedTuple

SKIPS = frozenset({"skip", "skip_connect", "identity", "none"})  # `none` passes nothing on at all
HEALTHY, SUSPECT, COLLAPSED, DIVERGED = "healthy", "suspect", "collapsed", "diverged"
KEPT = 0.25  # of the edges may be skips in a cell worth going back to: the 2 of 8 that P-DARTS keeps (Chen et al. 2019)
MOST_DECAY = 0.0243  # to which DARTS-ADA raises the weight decay, by threes
STUCK = 5  # equal validation accuracies in a row: the supernet answers one class whatever it sees


class EpochReading(NamedTuple):
    """The search after an epoch (from 0). Edges are those of the derived normal cell: 8 in DARTS."""

    epoch: int
    skips: int
    edges: int = 8
    eigenvalue: float | None = None  # where it was computed: DARTS-ES does so every second epoch
    validation: float | None = None  # accuracy of the supernet, in any unit


class AlarmRules(NamedTuple):
    """When the signs count. In 210 searches of RobustDARTS none with more than half skips after epoch 10 recovered,
    and 11 of 63 with half or more did: the share was set on these logs."""

    start: int = 10  # epochs; before it the cell is that of random parameters
    share: float = 0.5  # of the edges: more skips are a collapse
    window: int = 5  # readings in a local mean
    back: int = 4  # readings between the two means
    factor: float = 1.3


class Alarm(NamedTuple):
    """A sign, the epoch that gave it, and the epoch whose genotype is worth having (None: none is)."""

    sign: str  # skips, eigenvalue, validation
    epoch: int
    roll_back: int | None
    text: str


class Diagnosis(NamedTuple):
    """`state` is healthy, suspect (the eigenvalue alone), collapsed or diverged; what to do is in `remedies`."""

    state: str
    alarms: tuple[Alarm, ...]
    remedies: tuple[str, ...]

    @property
    def roll_back(self) -> int | None:
        """The epoch whose genotype to keep; None: the newest (where healthy), or none."""
        return min((a.roll_back for a in self.alarms if a.roll_back is not None), default=None)


RULES = AlarmRules()


def count_skips(operators: Iterable[str]) -> int:
    """How many of the operators that a cell derives do nothing."""
    return sum(operator in SKIPS for operator in operators)


def diagnose(log: Sequence[EpochReading], *, weight_decay: float | None = None, rules: AlarmRules = RULES) -> Diagnosis:
    """The state of a search after the epochs of `log`, which are in order. Collapsed and suspect stay so."""
    signs = [skip_alarm(log, rules), eigenvalue_alarm(log, rules), stuck_alarm(log)]
    many, rising, stuck = signs
    state = DIVERGED if stuck else COLLAPSED if many else SUSPECT if rising else HEALTHY
    alarms = tuple(alarm for alarm in signs if alarm)
    return Diagnosis(state, alarms, tuple(remedies(state, alarms, weight_decay)))


def skip_alarm(log: Sequence[EpochReading], rules: AlarmRules = RULES) -> Alarm | None:
    """The first reading whose cell is mostly skips; back to the last one before it with a quarter at most."""
    late = [reading for reading in log if reading.epoch >= rules.start]
    first = next((r for r in late if r.skips > rules.share * r.edges), None)
    if first is None:
        return None
    good = [r.epoch for r in late if r.epoch < first.epoch and r.skips <= KEPT * r.edges]
    text = f"{first.skips} of {first.edges} edges of the normal cell are skips at epoch {first.epoch}"
    return Alarm("skips", first.epoch, good[-1] if good else None, text)


def eigenvalue_alarm(log: Sequence[EpochReading], rules: AlarmRules = RULES) -> Alarm | None:
    """The stop of DARTS-ES as released: at the first local mean above `factor` times the one `back` readings earlier.

    Means are centred, so the stop comes window // 2 readings after the rise, and both means need all their readings.
    Where the cell was mostly skips already at the earlier mean there is nothing to go back to.
    """
    readings = [r for r in log if r.eigenvalue is not None]
    values = [r.eigenvalue or 0.0 for r in readings]
    half = rules.window // 2
    for last in range(rules.window + rules.back - 1, len(readings)):
        earlier = last - rules.back
        centre = readings[earlier - half]
        now = sum(values[last + 1 - rules.window : last + 1]) / rules.window
        before = sum(values[earlier + 1 - rules.window : earlier + 1]) / rules.window
        if centre.epoch >= rules.start and now > rules.factor * before:
            at = readings[last].epoch
            text = f"the dominant eigenvalue rose from {before:.2g} to {now:.2g} at epoch {at}"
            too_late = centre.skips > rules.share * centre.edges
            return Alarm("eigenvalue", at, None if too_late else centre.epoch, text)
    return None


def stuck_alarm(log: Sequence[EpochReading]) -> Alarm | None:
    """The last validation accuracies are all one number, or none: the weights diverged, and the cell means nothing."""
    last = [(r.epoch, r.validation) for r in log if r.validation is not None][-STUCK:]
    if last and not isfinite(last[-1][1]):
        return Alarm("validation", last[-1][0], None, f"the supernet's validation accuracy is {last[-1][1]}")
    if len(last) < STUCK or len({accuracy for _, accuracy in last}) > 1:
        return None
    text = f"the supernet's validation accuracy has been exactly {last[-1][1]:g} for {STUCK} readings"
    return Alarm("validation", last[-1][0], None, text)


def remedies(state: str, alarms: Sequence[Alarm], weight_decay: float | None) -> list[str]:
    """What is known to help, most direct first."""
    if state == HEALTHY:
        return []
    if state == DIVERGED:
        return ["search again with less weight decay: the supernet learns nothing under this one"]
    epochs = [alarm.roll_back for alarm in alarms if alarm.roll_back is not None]
    advice = [f"stop and keep the genotype of epoch {min(epochs)} (early stopping, DARTS-ES)"] if epochs else []
    if weight_decay is None or 3 * weight_decay <= MOST_DECAY * 1.001:
        more = f" {3 * weight_decay:.2g} and then more," if weight_decay else ""
        advice.append(f"search again with more weight decay:{more} by threes up to {MOST_DECAY:g} (DARTS-ADA)")
    advice.append("or search with drop-path 0.2 on the operators, or keep only the two strongest skips (P-DARTS)")
    return advice
