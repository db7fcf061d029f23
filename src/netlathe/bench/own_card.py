"""The card of this machine, where calibration leaves it and predictions find it."""

from __future__ import annotations

from pathlib import Path

from netlathe.bench.level import correct_levels
from netlathe.bench.machine import this_machine
from netlathe.device.card import DeviceCard, load
from netlathe.files import cache_dir


def own_card_path() -> Path:
    """Where it lies: in the cache folder, by the id of the machine."""
    return cache_dir() / "cards" / f"this-{this_machine().id}.toml"


def read_own_card() -> DeviceCard | None:
    """The card, if this machine was calibrated, its models corrected by what was measured since (`bench.level`).

    Raises NetlatheError for a broken file.
    """
    card = read_calibrated_card()
    return correct_levels(card) if card else None


def read_calibrated_card() -> DeviceCard | None:
    """The card as calibration left it."""
    path = own_card_path()
    return load(path) if path.exists() else None
