"""Advice, asked for when the page rests: how far every knob may be turned within the budget, and what would help.

A limit is met by bisection over a knob's values; a change is made and the network timed again (`device.why`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from netlathe.arch.net import Net, rewritable
from netlathe.arch.network import Network
from netlathe.choose.budget import Budget, within_device
from netlathe.device.card import DeviceCard
from netlathe.errors import NetlatheError
from netlathe.lab.facts import keeps_limits, modernised
from netlathe.lab.knobs import HIGHEST, LOWEST, PIXELS, TITLES, at_rest, knob_names, turn_to_legal
from netlathe.lab.running import target_named
from netlathe.lab.state import LabState
from netlathe.reshape.knobs import KNOBS, cardinalities
from netlathe.target.bottlenecks import explain
from netlathe.units import show_ms

SHOWN = 6  # changes
SOON = ("width", "resolution")  # where an estimate is not instant


def advice(state: LabState, net: Net, card: DeviceCard) -> dict[str, Any]:
    """`most`: by knob, the costliest value that keeps every limit; `changes`: what gains, the best first."""
    net = modernised(net, state.step)
    network = rewritable(net)
    if network is None:
        return {"most": [], "changes": []}
    return {"most": most(state, network, card), "changes": changes(state, network, card)}


def most(state: LabState, network: Network, card: DeviceCard) -> list[dict[str, Any]]:
    """For every knob, the others as they are: the value next to the limits; None where no value keeps them."""
    target = target_named(card, state.run, state.batch)
    limits = within_device(state.budget, target)
    if limits == Budget():
        return []
    now, rows = dict(state.knobs), []
    for knob in [k for k in knob_names(network) if target.instant or k in SOON]:

        def fits(value: float, knob: str = knob) -> bool:
            try:
                turned = turn_to_legal(network, tuple({**now, knob: value}.items()))
                return turned.values.get(knob, at_rest(network, knob)) == value and keeps_limits(
                    state, turned.network, card
                )
            except NetlatheError:
                return False

        value = last(ladder(network, knob), fits)
        rows.append(
            {"knob": knob, "title": TITLES[knob][0], "value": value, "now": now.get(knob, at_rest(network, knob))}
        )
    return rows


def ladder(network: Network, knob: str) -> Sequence[float]:
    """Values of a knob from the cheapest, in steps that a hand would take."""
    match KNOBS[knob].unit:
        case "count":
            return cardinalities(network)[::-1]
        case "pixels":
            return range(8, min(PIXELS[1], 2 * network.input[-1]) + 1, 8)
    return [round(LOWEST * i, 2) for i in range(1, round(HIGHEST / LOWEST) + 1)]


def last(values: Sequence[float], fits: Callable[[float], bool]) -> float | None:
    """The last value that fits, where smaller ones do too; None where the first does not."""
    low, high = -1, len(values) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if fits(values[middle]):
            low = middle
        else:
            high = middle - 1
    return values[low] if low >= 0 else None


def changes(state: LabState, network: Network, card: DeviceCard) -> list[dict[str, Any]]:
    """The changes of `netlathe device why` under the predicted latency; none where the card allows no prediction."""
    network, target = turn_to_legal(network, state.knobs).network, target_named(card, state.run, state.batch)
    if not target.instant:
        return []
    try:
        explanation = explain(network, target)
    except NetlatheError:
        return []
    return [asdict(change) | {"text": show_ms(change.ms)} for change in explanation.changes[:SHOWN]]
