"""What measurements say of a card: the ways to run networks that they speak of, the model of each, and refusals.

A way is (runtime, precision, threads). It has a model on the card, a rate, or a model that the cores of the card make
likely (`device.cores`); where measurements speak of any way, a datasheet is not asked for another.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple, NoReturn

from netlathe.device.card import DeviceCard, Model
from netlathe.device.cores import expected_model, expected_ways
from netlathe.errors import NetlatheError
from netlathe.runtimes import registry

KEPT = 256  # cards whose facts are kept


class CardFacts(NamedTuple):
    """What follows from a card, remembered because a search asks thousands of times; the card is held, so that an
    identity stays its own."""

    card: DeviceCard
    evidence: list[tuple[str, str, int]]
    expected: dict[tuple[str, str, int], Model | None]


CARDS: OrderedDict[int, CardFacts] = OrderedDict()


def card_facts(card: DeviceCard) -> CardFacts:
    """The facts of a card, remembered by identity."""
    facts = CARDS.get(id(card))
    if facts is None:
        facts = CARDS[id(card)] = CardFacts(card, read_evidence(card), {})
        if len(CARDS) > KEPT:
            CARDS.popitem(last=False)
    return facts


def evidence(card: DeviceCard) -> list[tuple[str, str, int]]:
    """(runtime, precision, threads) of every measurement that speaks of a card: its own, then that of its cores."""
    return card_facts(card).evidence


def expected(card: DeviceCard, way: tuple[str, str, int]) -> Model | None:
    """The model that the cores of a card make likely for a way to run networks; None where they say nothing of it."""
    models = card_facts(card).expected
    if way not in models:
        models[way] = expected_model(card, *way)
    return models[way]


def read_evidence(card: DeviceCard) -> list[tuple[str, str, int]]:
    """Models, rates and cores of a card as ways to run networks."""
    own = [(registry.forecast_name(m.runtime), m.precision, m.threads) for m in card.models]
    rates = [(figure.of, "int8" if card.processor == "microcontroller" else "fp32", 1) for figure in card.find("rate")]
    return list(dict.fromkeys([*sorted(own), *rates, *expected_ways(card)]))


def usual_way(
    card: DeviceCard, runtime: str | None = None, precision: str | None = None, threads: int | None = None
) -> tuple[str, str, int]:
    """(runtime, precision, threads): what is not given as it was first measured, else ONNX Runtime, fp32, one."""
    name = runtime and registry.forecast_name(runtime)
    for other, kind, count in evidence(card):
        if name in (None, other) and precision in (None, kind) and threads in (None, count):
            return runtime or other, kind, count
    return runtime or registry.DEFAULT, precision or "fp32", threads or 1


def refuse(card: DeviceCard, runtime: str | None, precision: str | None, threads: int) -> NoReturn:
    """Raise what is said of a way to run networks (None: any) that no measurement speaks of."""
    if runtime is not None:
        registry.fusion_of(runtime)  # an unknown runtime has its own error
    counts: dict[tuple[str, str], set[int]] = {}
    for name, kind, count in evidence(card):
        counts.setdefault((name, kind), set()).add(count)
    legal = "\n".join(
        f"  --runtime {name} --precision {kind} --threads {' or '.join(map(str, sorted(numbers)))}"
        for (name, kind), numbers in counts.items()
    )
    close = any(runtime in (None, name) and precision in (None, kind) for name, kind in counts)
    wanted = " ".join(filter(None, (runtime, precision))) or "networks"
    wanted += f" with --threads {threads}" * close
    raise NetlatheError(
        f"nobody measured {wanted} on {card.id}, so there is no forecast",
        code="device.threads" if close else "device.evidence",
        hint=f"measured:\n{legal}\nfor another way measure networks there: netlathe device probe-set, then device fit",
    )


def model_for(
    card: DeviceCard, runtime: str, threads: int, precision: str, batch: int
) -> tuple[Model | None, tuple[str, ...]]:
    """The model of this runtime, precision and threads, of the nearest batch; and what does not match."""
    name = registry.forecast_name(runtime)
    fitting = [m for m in card.models if (registry.forecast_name(m.runtime), m.precision) == (name, precision)]
    same = [m for m in fitting if m.threads == threads]
    if not same:
        way = (name, precision, threads)
        likely = expected(card, way)
        if likely is None and evidence(card) and way not in evidence(card):
            refuse(card, name, precision, threads)
        return likely, ()
    model = max(same, key=lambda m: (-abs(m.batch - batch), m.date))
    far = f"the model was fitted at batch {model.batch}: at batch {batch} it is extrapolated, with a wider interval"
    return model, (far,) if model.batch != batch else ()
