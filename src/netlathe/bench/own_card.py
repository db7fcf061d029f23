"""The card of this machine, where calibration leaves it and predictions find it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from netlathe.bench.level import correct_levels
from netlathe.bench.machine import this_machine
from netlathe.device.card import DeviceCard, load
from netlathe.files import cache_dir, make_folder
from netlathe.runfolder.lock import locked, one_at_a_time


def own_card_path() -> Path:
    """Where it lies: in the cache folder, by the id of the machine."""
    return cache_dir() / "cards" / f"this-{this_machine().id}.toml"


@contextmanager
def calibrating(*, wait: bool) -> Iterator[None]:
    """Nobody else calibrates this machine meanwhile: two would disturb each other, and one of their cards be lost.

    Raises NetlatheError, unless it may `wait`, where somebody does.
    """
    path = own_card_path().parent / "calibration.lock"
    make_folder(path.parent)
    hint = "wait for it or end it: two calibrations disturb each other"
    with one_at_a_time(path) if wait else locked(path, at_work="calibrates this machine", hint=hint):
        yield


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
