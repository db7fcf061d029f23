"""Candidates that tests choose from."""

from dataclasses import replace

from netlathe import zoo
from netlathe.bench.measurement import Measurement
from netlathe.choose.budget import Accuracy, Candidate
from netlathe.choose.decide import IMAGES

NETWORK = zoo.get("lenet5_modern")


def measured(median, rough=False, failure=None, processes=1):
    return Measurement(
        network="n", key="k", input=(3, 1, 1), device="d", cpu="c", cores=1, flags=(), runtime="onnxruntime",
        runtime_version="1", threads=1, precision="fp32", batch=1, seed=0, date="2026-01-01T00:00:00+00:00",
        median_ms=median, low_ms=median * 0.98, high_ms=median * 1.02, min_ms=median * 0.95,
        rough=rough, failure=failure, processes=processes,
    )  # fmt: skip


def candidate(name, top1, ms, *, macs=100, size=10, memory=20):
    accuracy = Accuracy(top1, "some recipe", "somewhere", IMAGES)
    latency = measured(ms) if ms else None
    return Candidate(replace(NETWORK, name=name, input=(3, 224, 224)), accuracy, macs, size, memory, latency=latency)


A = candidate("small", 60.0, 2.0, macs=50, size=5, memory=10)
