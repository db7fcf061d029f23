"""Small networks and records that tests measure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from netlathe.arch.build import conv, head, seq
from netlathe.arch.network import Network
from netlathe.bench.measurement import Measurement
from netlathe.bench.statistics import Sample


def tiny(width: int = 8, name: str = "tiny") -> Network:
    return Network(name, seq(stem=conv(width, 3, 2), head=head(10)), (3, 16, 16))


def record(**changes: object) -> Measurement:
    m = Measurement(
        network="tiny",
        key=tiny().key,
        input=(3, 16, 16),
        device="d",
        cpu="a processor",
        cores=2,
        flags=("avx2",),
        runtime="onnxruntime",
        runtime_version="1.0",
        threads=1,
        precision="fp32",
        batch=1,
        seed=0,
        date="2026-01-02T03:04:05.000+00:00",
        median_ms=1.5,
        low_ms=1.25,
        high_ms=2.0,
        min_ms=1.0,
        p90_ms=2.5,
        cpu_ms=1.5,
    )
    return replace(m, **changes)


def blocks_of(sample: Callable[[int], Sample], count: int = 12) -> list[list[Sample]]:
    return [[sample(i), sample(i)] for i in range(count)]
