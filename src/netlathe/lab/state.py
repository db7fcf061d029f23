"""State: what the page is asked to show, written as its address writes it: net=resnet50&width=0.75&device=rpi-5."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import parse_qsl

from netlathe.choose.budget import Budget
from netlathe.errors import NetlatheError, unknown
from netlathe.reshape.knobs import KNOBS
from netlathe.units import byte_count, mac_count, milliseconds

BUDGETS = {"latency": milliseconds, "memory": byte_count, "size": byte_count, "macs": mac_count}
NO_LIMITS = Budget()
MOST = 1024  # images at a time
LONGEST, LONGEST_NET, LONGEST_WORD = (
    8192,
    1000,
    200,
)  # characters of an address, of a network with its choices, of others


@dataclass(frozen=True, slots=True)
class LabState:
    """A network, how far it is modernised (a step of the roadmap), its knobs, the device, and the limits."""

    net: str = "mobilenetv2"
    step: int | None = None
    knobs: tuple[tuple[str, float], ...] = ()
    device: str = "rpi-5"
    run: str = ""  # runtime/precision/threads; empty is the first that the device has
    batch: int = 1
    budget: Budget = NO_LIMITS


START = LabState()
KEYS = (*(f.name for f in fields(LabState) if f.name not in ("knobs", "budget")), *KNOBS, *BUDGETS)


def read_state(query: str) -> LabState:
    """The state of an address. Raises NetlatheError for an unknown field, a wrong number and a limit without unit."""
    try:
        words = dict(parse_qsl(query[: LONGEST + 1], keep_blank_values=False, max_num_fields=64))
    except ValueError:
        raise NetlatheError("this address has too many fields", code="lab.field") from None
    for key, word in words.items():
        if key not in KEYS:
            raise unknown("field of the address", key[:40], KEYS, code="lab.field")
        if len(word) > (LONGEST_NET if key == "net" else LONGEST_WORD):
            raise NetlatheError(f"what the address says of {key} is too long", code="lab.field")
    limits: dict[str, Any] = {name: limit(name, words[name]) for name in BUDGETS if name in words}
    return LabState(
        net=words.get("net", START.net),
        step=whole("step", words["step"], 0, 99) if "step" in words else None,
        knobs=tuple((knob, number(knob, words[knob])) for knob in KNOBS if knob in words),
        device=words.get("device", START.device),
        run=words.get("run", ""),
        batch=whole("batch", words["batch"], 1, MOST) if "batch" in words else 1,
        budget=Budget(**limits),
    )


def limit(name: str, text: str) -> float:
    """A limit of the budget, of a size that a page can compare with."""
    value: float = BUDGETS[name](text)
    if not 1e-6 <= value <= 1e18:
        raise NetlatheError(f"no network is near a {name} of {text}", code="lab.number")
    return value


def number(name: str, text: str) -> float:
    """A finite positive number."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise NetlatheError(f"{name} must be a positive number, not {text[:40]!r}", code="lab.number")
    return value


def whole(name: str, text: str, low: int, high: int) -> int:
    """A whole number between two."""
    if not text.isdecimal() or not low <= int(text) <= high:  # read_state bounds its digits
        message = f"{name} must be a whole number from {low} to {high}, not {text[:40]!r}"
        raise NetlatheError(message, code="lab.number")
    return int(text)
