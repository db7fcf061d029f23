"""The questions of the page and their answers, as a worker gives them: the state as text in, JSON values out.

A state is what the address of the page says (`state`); everything else that an answer depends on is the catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from netlathe import zoo
from netlathe.audit.claims import find_claim, select_claims
from netlathe.audit.run import check_claim
from netlathe.lab import advice, exports, front, modernise
from netlathe.lab.catalogue import Catalogue
from netlathe.lab.charts import charts
from netlathe.lab.facts import LabFacts, read_facts
from netlathe.lab.running import way_name, way_title
from netlathe.lab.state import LabState, read_state
from netlathe.lab.view import answer
from netlathe.target.device import all_targets

About: TypeAlias = Mapping[str, Any]


def menu(catalogue: Catalogue, about: About) -> Any:
    """The networks of the zoo, and the devices with the ways to run a network on each."""
    devices = [
        {
            "name": name,
            "title": title,
            "class": kind,
            "runs": [[way_name(target), way_title(target)] for target in all_targets(catalogue.card(name))],
        }
        for name, title, kind in catalogue.devices()
    ]
    return {"networks": zoo.names(), "devices": devices}


@lru_cache(maxsize=128)
def seen(catalogue: Catalogue, state: LabState) -> tuple[LabFacts, dict[str, Any]]:
    """The facts of a state, and the answer without charts."""
    net = catalogue.net(state.net)
    facts = read_facts(state, net, catalogue.card(state.device))
    return facts, answer(state, facts, net)


def view(catalogue: Catalogue, about: About) -> Any:
    """Everything that the page shows of a network, with the charts that are in sight."""
    facts, document = seen(catalogue, read_state(about["state"]))
    return document | {"charts": charts(facts, about["charts"], tables=about["tables"])}


def advise(catalogue: Catalogue, about: About) -> Any:
    """How far every knob may be turned, and what would help."""
    state = read_state(about["state"])
    return advice.advice(state, catalogue.net(state.net), catalogue.card(state.device))


def show_front(catalogue: Catalogue, about: About) -> Any:
    """The zoo on this device, and the pick."""
    state = read_state(about["state"])
    return front.front(state, catalogue.card(state.device))


def road(catalogue: Catalogue, about: About) -> Any:
    """The steps to ConvNeXt."""
    return modernise.roadmap_steps(catalogue.net(read_state(about["state"]).net))


def export(catalogue: Catalogue, about: About) -> Any:
    """Write a file into the folder that the server gives; its name."""
    state = read_state(about["state"])
    net, card = catalogue.net(state.net), catalogue.card(state.device)
    return exports.export(about["what"], state, net, card, Path(about["folder"])).name


def claims(catalogue: Catalogue, about: About) -> Any:
    """The claims of the lecture."""
    return {"claims": [{"id": c.id, "slide": c.slide, "text": c.text} for c in select_claims()]}


def claim(catalogue: Catalogue, about: About) -> Any:
    """One of them, checked now."""
    return check_claim(find_claim(about["id"])).record()


QUESTIONS: dict[str, Callable[[Catalogue, About], Any]] = {
    "menu": menu,
    "view": view,
    "advice": advise,
    "front": show_front,
    "road": road,
    "export": export,
    "claims": claims,
    "claim": claim,
}
