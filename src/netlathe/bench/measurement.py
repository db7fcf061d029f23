"""Measurement: one network on one machine under one runtime, with all that a reader needs to repeat and judge it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from math import inf, isinf
from typing import Any


@dataclass(frozen=True, slots=True)
class Measurement:
    """Latency of one call in milliseconds of wall time; a failed one has `failure` and infinite latencies.

    [`quiet_low_ms`, `quiet_high_ms`] with `quiet_ms` in it is what decides: the latency on this machine where nothing
    else runs, estimated from low quantiles, with `slowdown`, that of a reference kernel, divided out
    (`statistics.quiet_interval`). The other latencies are as loaded as the machine was. `median_ms` is the median of
    the medians of `blocks` blocks of runs, and [`low_ms`, `high_ms`] its interval (`statistics.median_interval`); with
    several `processes`, of the medians of these, which covers how fresh processes differ. `min_ms`, `p90_ms` and
    `cpu_ms` (median processor time, all threads) are over all `runs` that count; `warmups` ran before them.
    `foreign_load` is the processor time of other processes in cores. `rss_bytes` is the peak resident memory of a
    worker process above its level before it loaded the model: weights, the runtime's packed copies, activations, and
    what loading took for a moment; None where it cannot be read.
    """

    network: str
    key: str  # Net.key
    input: tuple[int, ...]  # one image
    device: str  # Machine.id
    cpu: str
    cores: int
    flags: tuple[str, ...]
    runtime: str
    runtime_version: str
    threads: int
    precision: str
    batch: int
    seed: int
    date: str  # UTC, ISO 8601
    median_ms: float = inf
    low_ms: float = inf
    high_ms: float = inf
    min_ms: float = inf
    p90_ms: float = inf
    cpu_ms: float = inf
    runs: int = 0
    blocks: int = 0
    quiet_ms: float = inf
    quiet_low_ms: float = inf
    quiet_high_ms: float = inf
    slowdown: float = 1.0
    forecast_ms: float = inf  # of the card of this machine, before its level was corrected
    forecast_model: str = ""  # `level.model_id`
    processes: int = 1
    warmups: int = 0
    rough: bool = False
    interleaved: bool = False
    contended: bool = False
    foreign_load: float = 0.0
    rss_bytes: int | None = None
    failure: str | None = None

    @property
    def id(self) -> str:
        """A short name for this record, from its content."""
        content = json.dumps(self.record(), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:10]

    @property
    def resolution(self) -> int:
        """Height of the image in pixels."""
        return self.input[-1] if len(self.input) < 2 else self.input[-2]

    @property
    def interval(self) -> tuple[float, float, float]:
        """(low, middle, high) in ms of what decides: the quiet estimate; of a record from before there were such
        estimates, the median. Infinite after a failure."""
        if self.failure:
            return inf, inf, inf
        if self.quiet_ms == inf:
            return self.low_ms, self.median_ms, self.high_ms
        return self.quiet_low_ms, self.quiet_ms, self.quiet_high_ms

    @property
    def warning(self) -> str:
        """Why the figure deserves less trust, in one sentence; empty when it does not."""
        if self.failure or not self.contended:
            return ""
        return (
            f"{self.network} was measured on a busy machine: other processes used {self.foreign_load:.2f} cores, so "
            f"it took {self.median_ms:.3g} ms there; the quiet estimate leaves out what they took"
        )

    def age(self) -> timedelta:
        """Time since it was made."""
        return datetime.now(UTC) - datetime.fromisoformat(self.date)

    def record(self) -> dict[str, Any]:
        """The fields as plain JSON values; infinity becomes null."""
        return {name: None if isinstance(x, float) and isinf(x) else x for name, x in asdict(self).items()}

    def to_json(self) -> dict[str, Any]:
        """The record and its derived `id` and `resolution`."""
        return {"id": self.id, "resolution": self.resolution, **self.record()}


def measurement_from_json(document: dict[str, Any]) -> Measurement:
    """The measurement of a JSON object; raises ValueError, TypeError or KeyError where it is none.

    Fields that this version does not know are left out.
    """
    values = {field.name: document[field.name] for field in fields(Measurement) if field.name in document}
    for name in LATENCIES:
        value = values.get(name)
        values[name] = inf if value is None else float(value)
    return Measurement(**values | {"input": tuple(values["input"]), "flags": tuple(values["flags"])})


LATENCIES = tuple(field.name for field in fields(Measurement) if field.name.endswith("_ms"))
