"""Pretrained weights that a hub would give: of the networks of the zoo, those that keep the budget, by their accuracy.

Nothing is downloaded here. Forecasts decide what is offered; what was downloaded is measured like anything else.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from netlathe.choose.budget import Budget, candidate_on
from netlathe.lower.twins import twins
from netlathe.sources.registry import open_source
from netlathe.sources.source import EVERYTHING
from netlathe.sources.zoo import NAME as ZOO
from netlathe.target.target import Target
from netlathe.units import show_bytes

HUB, HUB_VARIABLE, OFFLINE_VARIABLE = "https://huggingface.co", "HF_ENDPOINT", "HF_HUB_OFFLINE"
ANSWER_S = 4.0  # within which a hub has to answer


class Offer(NamedTuple):
    """Published weights: as people type them, the accuracy of their network on ImageNet in %, bytes to download."""

    asked: str
    top1: float
    bytes: int

    def __str__(self) -> str:
        return f"{self.asked} ({self.top1:.1f} % on ImageNet, {show_bytes(self.bytes)})"


def find_offers(limits: Budget, targets: Sequence[Target], count: int) -> list[Offer]:
    """The `count` most accurate of the networks whose published weights load and whose forecast keeps the limits."""
    names = {twin.network: f"{twin.library}:{twin.name}" for twin in reversed(twins())}  # timm's before torchvision's
    rated = [(net, accuracy) for net, accuracy, *_ in open_source(ZOO).entries(EVERYTHING) if accuracy is not None]
    offers: dict[str, Offer] = {}
    for net, accuracy in sorted(rated, key=lambda one: -one[1].top1):
        asked = names.get(net.name.partition("@")[0])
        if asked is None or asked in offers:
            continue
        fitting = [c for target in targets if not limits.broken(c := candidate_on(target, net, accuracy))]
        if fitting:
            offers[asked] = Offer(asked, accuracy.top1, fitting[0].size_bytes)
        if len(offers) == count:
            break
    return list(offers.values())


def hub_fault() -> str:
    """Why nothing can be downloaded, in a few words; empty where the hub answers. It takes a few seconds at most."""
    if find_spec("timm") is None:
        return "timm is not installed: pip install 'netlathe[hub]'"
    if os.environ.get(OFFLINE_VARIABLE, "").upper() in ("1", "ON", "YES", "TRUE"):
        return f"{OFFLINE_VARIABLE} is set"
    hub = os.environ.get(HUB_VARIABLE) or HUB
    try:
        with urlopen(Request(hub, method="HEAD"), timeout=ANSWER_S):
            return ""
    except HTTPError:  # it answers
        return ""
    except (OSError, ValueError) as error:
        return f"{hub} does not answer ({getattr(error, 'reason', None) or error})"
