"""What the time of a fit buys: said before anything slow starts, and the same for a dry run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netlathe.fit.clock import reserved_seconds

PROBE_SHARE, ALONE_SHARE = 0.5, 0.9  # of the time before deploying, at most, for all probes; where nothing follows
FROZEN, UNFREEZE = 0.6, 0.3  # share of the layers that wait, and of the schedule after which they learn too
ALL_COST, LAST_COST = 3.2, 1.8  # of a step in forward passes: of all layers, and while those wait
ENOUGH_EPOCHS, FEWEST_EPOCHS = 3.0, 1.0  # for all layers to learn too; for anything to be unfrozen

Speeds = Mapping[str, Mapping[str, Any]]  # by candidate: images_per_s of a forward pass


def probe_until(budgeted: float | None, spent: float, images: int, speeds: Speeds) -> float | None:
    """Seconds of the clock at which the last probe has to end, of `budgeted` until deploying; None without a wall.

    Half of the time, or nearly all of it where the other half buys no unfreezing of even the fastest network.
    """
    if budgeted is None:
        return None
    left = max(0.0, budgeted - spent)
    fastest = max(one["images_per_s"] for one in speeds.values())
    buys_nothing = plan_unfreezing((1 - PROBE_SHARE) * left, None, images, fastest)["frozen"] is None
    return spent + (ALONE_SHARE if buys_nothing else PROBE_SHARE) * left


def plan_unfreezing(seconds: float | None, epochs: float | None, images: int, images_per_s: float) -> dict[str, Any]:
    """How layers are unfrozen in so many seconds: `frozen` and `unfreeze` of the recipe; frozen None is not at all.

    `buys` says it for people. Without a wall `epochs` are counted.
    """
    plan: dict[str, Any] = {"seconds": seconds, "epochs": epochs, "frozen": FROZEN, "unfreeze": UNFREEZE}
    if seconds is None:
        return plan | {"buys": f"{epochs:g} epochs, of all layers after the first {100 * UNFREEZE:.0f} %"}
    passes = max(0.0, seconds) * images_per_s / images  # over all images, forward alone
    if passes / ALL_COST >= ENOUGH_EPOCHS:
        part = UNFREEZE * passes / LAST_COST + (1 - UNFREEZE) * passes / ALL_COST
        return plan | {"buys": f"about {part:.1f} epochs, of all layers after the first {100 * UNFREEZE:.0f} % of them"}
    if passes / LAST_COST >= FEWEST_EPOCHS:
        return plan | {"unfreeze": 1.0, "buys": f"about {passes / LAST_COST:.1f} epochs of the last layers alone"}
    needed = FEWEST_EPOCHS * LAST_COST * images / images_per_s
    return plan | {"frozen": None, "buys": f"nothing: an epoch of the last layers alone takes {needed:.0f} s"}


def describe_time(seconds: float | None, epochs: float | None, spent: float, images: int, speeds: Speeds) -> list[str]:
    """What a transfer does with its time, line by line; `spent` seconds of it are gone."""
    names = ", ".join(f"{name} {images / one['images_per_s']:.0f} s" for name, one in speeds.items())
    lines = [f"features of {images:,} images: {names}"]
    slowest = min(one["images_per_s"] for one in speeds.values())
    if seconds is None:
        return [*lines, f"then unfreezing: {plan_unfreezing(None, epochs, images, slowest)['buys']}"]
    budgeted = seconds - reserved_seconds(seconds)
    until = probe_until(budgeted, spent, images, speeds)
    assert until is not None
    features = sum(images / one["images_per_s"] for one in speeds.values())
    probing = min(until - spent, features)
    left = max(0.0, budgeted - spent - probing)
    buys = plan_unfreezing(left, None, images, slowest)["buys"]
    if features > until - spent:
        lines.append(
            f"there is time for features of {100 * (until - spent) / features:.0f} % of them before the race ends"
        )
    lines.append(
        f"of {seconds:.0f} s: {spent:.0f} s are gone, {probing:.0f} s for probes, {left:.0f} s for unfreezing, "
        f"{reserved_seconds(seconds):.0f} s for deploying"
    )
    return [*lines, f"unfreezing buys {buys}"]
