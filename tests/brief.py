"""Measurements of a few milliseconds in two processes, for the tests whose subject is what becomes of a latency."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

PROCESSES = 2  # instead of HEADLINE, which test_choose_bench.py holds
CLAIMING = ("choose.run", "deploy.variants", "cli.bench", "cli.choose_reasons")


def measure_briefly(patch: Callable[[object, str, object], None]) -> None:
    """Fewer processes behind a headline, and shorter ones; `patch` is `setattr`, or that of a monkeypatch."""
    from netlathe.bench import measure
    from netlathe.deploy.check import check

    for name in CLAIMING:
        patch(import_module(f"netlathe.{name}"), "HEADLINE", PROCESSES)
    patch(check, "__kwdefaults__", {**(check.__kwdefaults__ or {}), "processes": PROCESSES})
    patch(measure, "SHARED", measure.SHARED._replace(rounds=2, block=0.02, warm=0, warmups=1))
