"""The catalogue: the networks and cards that the page can name: the zoo, and what was uploaded since the start.

A page names no path of a file system: a network is a name of the zoo with its choices, or the mark of an upload.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TypeAlias

from netlathe import zoo
from netlathe.arch.document import from_json
from netlathe.arch.graph import count_operators
from netlathe.arch.net import GraphNet, Net
from netlathe.bench.own_card import read_own_card
from netlathe.catalogue.weights import PREFIX
from netlathe.device import card as cards
from netlathe.device.card import DeviceCard
from netlathe.device.card import parse as parse_card
from netlathe.errors import NetlatheError, unknown
from netlathe.lab.child import refuse_large
from netlathe.lab.graph_json import graph_from_json
from netlathe.lab.uploads import MARK, Upload
from netlathe.load import parse_choices

Parsed: TypeAlias = Net | DeviceCard
THIS = "this"


class Catalogue:
    """What the names of a page mean; one a worker."""

    def __init__(self) -> None:
        self.uploads: dict[str, Upload] = {}

    def find(self, name: str) -> Parsed:
        """An upload. Raises NetlatheError where this server has not seen it."""
        if name not in self.uploads:
            raise NetlatheError(
                "this server does not have that file: it was dropped on an earlier one, or long ago",
                code="lab.gone",
                hint="drop the file again; the address then fits",
            )
        return parsed(self.uploads[name])

    def net(self, name: str) -> Net:
        """A network by its name of the zoo, or by the mark of an upload. Raises NetlatheError."""
        if name.startswith(PREFIX):
            return from_timm(name)
        if not name.startswith(MARK):
            return from_zoo(name)
        net = self.find(name)
        if isinstance(net, DeviceCard):
            raise NetlatheError(f"{net.id} is a device, not a network", code="lab.not_a_network")
        return net

    def card(self, name: str) -> DeviceCard:
        """A card by its name, `this` for that of this machine, or by the mark of an upload. Raises NetlatheError."""
        if name == THIS:
            own = read_own_card()
            if own is None:
                hint = "netlathe device calibrate, half a minute"
                raise NetlatheError("this machine has no card yet", code="lab.no_own_card", hint=hint)
            return own
        if not name.startswith(MARK):
            if name not in cards.names():  # a path stays outside
                raise unknown("device", name, cards.names(), code="device.unknown")
            return cards.load(name)
        card = self.find(name)
        if not isinstance(card, DeviceCard):
            raise NetlatheError("that file is a network, not a device", code="lab.not_a_card")
        return card

    def devices(self) -> list[tuple[str, str, str]]:
        """(name, what it is called, class): this machine where it was calibrated, uploads, the shipped cards."""
        own = read_own_card()
        devices = [(THIS, f"This machine: {own.name}", own.class_)] if own else []
        dropped = {mark: self.card(mark) for mark, upload in self.uploads.items() if upload.kind == "card"}
        devices += [(mark, card.name, card.class_) for mark, card in dropped.items()]
        return devices + [(name, cards.load(name).name, cards.load(name).class_) for name in cards.names()]


@lru_cache(maxsize=256)
def from_zoo(name: str) -> Net:
    """A name of the zoo, with choices: mobilenetv1:alpha=0.5. Raises NetlatheError with the nearest names, and where
    the choices make it so large that it could not follow a knob."""
    base, _, choices = name.partition(":")
    network = zoo.get(base, **parse_choices(choices, name))
    refuse_large(name, count_operators(network.body))
    return network


@lru_cache(maxsize=64)
def from_timm(name: str) -> Net:
    """timm:NAME by its operators. Raises NetlatheError with the nearest names, MissingExtra without timm."""
    from netlathe.read.timm import load_timm

    (net, *_) = load_timm(name)
    return GraphNet(name, net.graph())


@lru_cache(maxsize=64)
def parsed(upload: Upload) -> Parsed:
    """The network or the device in the text of an upload. Raises NetlatheError for a text that holds none."""
    try:
        match upload.kind:
            case "graph":
                return GraphNet(upload.name, graph_from_json(json.loads(upload.text)))
            case "card":
                return parse_card(upload.text, upload.name)
        return from_json(upload.text, source=upload.name)
    except NetlatheError:
        raise
    except (ValueError, KeyError, TypeError):
        message = f"what was read of {upload.name} is neither a network nor a device"
        raise NetlatheError(message, code="lab.unreadable") from None
