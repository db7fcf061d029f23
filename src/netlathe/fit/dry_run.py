"""What a fit would do: its candidates, and how its time would be shared. Nothing is trained or written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from netlathe.fit.clock import Clock, divide_time, reserved_seconds
from netlathe.fit.config import FINEST, FitConfig
from netlathe.fit.pipeline import explain_scratch, float_limits
from netlathe.fit.plan import describe_time
from netlathe.fit.pretrained import pretrained_candidates
from netlathe.fit.probing import Prober, measure_speeds
from netlathe.fit.race import Say
from netlathe.fit.shortlist import shortlist
from netlathe.target.target import Target
from netlathe.train.images import Splits


def plan_fit(
    config: FitConfig, splits: Splits, targets: Sequence[Target], say: Say
) -> tuple[dict[str, Any], list[str]]:
    """The candidates, as the step of the fit gives them, with `what` would be done with them; and the plan in lines."""
    limits = float_limits(config.limits, targets[0], config.form)
    seconds, epochs = config.seconds, config.epochs
    if config.starts_pretrained:
        pretrained = pretrained_candidates(config, splits, targets, limits, say)
        if pool := {row["name"]: row for row in pretrained["candidates"]}:
            out, clock = Path(), Clock(Path(), time.monotonic())
            prober = Prober(
                splits=splits, recipe=config.recipe, seed=config.seed, precision=config.precision, out=out,
                clock=clock, say=say,
            )  # fmt: skip
            speeds = measure_speeds(prober, pool)
            lines = describe_time(seconds, epochs, 0.0, len(splits.train), speeds)
            return pretrained | {"what": "probed"}, lines
        say(explain_scratch(pretrained["considered"]))
    candidates = shortlist(
        splits, targets, limits, say, seconds=seconds, epochs=epochs,
        weights=() if config.starts_pretrained else config.weights, source=config.source,
        finest=config.resolution or FINEST,
    )  # fmt: skip
    if seconds is None:
        return candidates | {"what": "raced"}, [f"{epochs:g} epochs of the winner"]
    race, reserve = divide_time(seconds, epochs, 0.0)["search_s"], reserved_seconds(seconds)
    shares = f"{race:.0f} s of racing, {seconds - race - reserve:.0f} s of training the winner, "
    return candidates | {"what": "raced"}, [f"{shares}{reserve:.0f} s for deploying"]
