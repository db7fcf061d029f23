"""The ways to run a network on a device, by the names that the page writes in its address."""

from __future__ import annotations

from netlathe.device.card import DeviceCard
from netlathe.errors import unknown
from netlathe.target.device import all_targets
from netlathe.target.target import Target


def way_name(target: Target) -> str:
    """As an address writes it: onnxruntime/fp32/1."""
    return f"{target.runtime}/{target.precision}/{target.threads}"


def way_title(target: Target) -> str:
    """For people: onnxruntime, fp32, 1 thread."""
    return f"{target.runtime}, {target.precision}, {target.threads} thread{'s' * (target.threads > 1)}"


def target_named(card: DeviceCard, name: str, batch: int = 1) -> Target:
    """The target of that name on a device, else its usual one. Raises NetlatheError for one that it does not have."""
    targets = {way_name(target): target for target in all_targets(card, batch)}
    if name and name not in targets:
        raise unknown(f"way to run a network on {card.id}", name, targets, code="lab.run")
    return targets[name] if name else next(iter(targets.values()))
