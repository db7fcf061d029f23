"""Device cards: what is known of a device, each figure with its unit, its kind and its source.

A card is a TOML file, schema netlathe.card/1, that people write, correct and commit; `cardfile.py` has its rules,
`vocabulary.py` its words.
Rates count 2 operations a MAC, GB/s are 10^9 bytes a second, peaks are dense. What is not known is not there: a missing
figure is an error where it is needed, never a zero. A figure of one kind may stand beside one of another kind: the
highest is the roof (no time is shorter), the measured one is what is attained.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from netlathe.device.population import coefficients
from netlathe.device.vocabulary import PROCESSORS, SCALE, SCHEMA, Processor
from netlathe.documents.toml import parse_toml
from netlathe.documents.toml import to_toml as document_to_toml
from netlathe.errors import NetlatheError, unknown
from netlathe.files import read_text, write_text

FOLDER = Path(__file__).parent / "cards"


@dataclass(frozen=True, slots=True)
class CardFigure:
    """One number: `quantity` of something (`of`: a precision, a level of memory, a runtime), with its source."""

    quantity: str  # peak, bandwidth, memory, flash, sram, cache, rate, cores, clock
    of: str
    value: float
    unit: str
    kind: str  # datasheet, derived, measured, unconfirmed
    source: str = ""
    note: str = ""
    unconfirmed: bool = False  # a derived or second-hand figure that nobody checked
    low: float | None = None  # the range over networks or models, where one is known
    high: float | None = None

    @property
    def base(self) -> float:
        """The value in base units: operations a second, bytes a second, bytes, MACs a second."""
        return self.value * SCALE[self.unit]


@dataclass(frozen=True, slots=True)
class ErrorBar:
    """How far held-out networks were off: mean |predicted / measured - 1|, and quantiles of measured / predicted."""

    mape: float
    p50: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator alone under a runtime: ms of a call with its data in the caches, and with everything out of them."""

    of: str  # class, as in the coefficients of the model
    shape: str
    macs: int
    bytes: int  # of inputs, output and weights, each once
    warm_ms: float
    cold_ms: float

    def rate(self, ms: float, compute: bool) -> float:
        """FLOP/s (2 a MAC) or bytes a second at a latency."""
        return (2e3 * self.macs if compute else 1e3 * self.bytes) / ms

    def least_ms(self, peak: float, bandwidth: float) -> tuple[float, bool]:
        """The time at the roofs (FLOP/s, bytes/s), and whether that is of compute."""
        compute, traffic = 2e3 * self.macs / peak, 1e3 * self.bytes / bandwidth
        return max(compute, traffic), compute >= traffic


@dataclass(frozen=True, slots=True)
class Model:
    """A latency model of one runtime, from calibration or from a fit: feature name -> coefficient >= 0."""

    runtime: str
    date: str
    networks: int
    coefficients: Mapping[str, float] = field(hash=False)
    error: ErrorBar
    runtime_version: str = ""
    threads: int = 1
    precision: str = "fp32"
    batch: int = 1
    machine: str = ""
    held_out: str = ""  # how the networks of `error` were kept from the fit
    roofs: Mapping[str, float] = field(default_factory=dict, hash=False)  # GFLOP/s that a class attains at best
    operators: tuple[Operator, ...] = ()
    note: str = ""
    source: str = ""  # of the measurements: table, rows, licence
    parts: tuple[float, ...] = ()  # coefficients by part (`device.population`), where they were fitted so
    unseen: tuple[str, ...] = ()  # parts that take no share of any measured network: other devices' stand in
    # Of every network of the fit the shares of its time by class, `network/class` (`device.strangeness`).
    styles: Mapping[str, float] = field(default_factory=dict, hash=False)
    basis: str = ""  # what it rests on, where that is not measurements of this setting


@dataclass(frozen=True, slots=True)
class DeviceCard:
    """A device."""

    id: str
    name: str
    class_: str
    date: str
    figures: tuple[CardFigure, ...]
    models: tuple[Model, ...] = ()
    notes: str = ""

    @property
    def processor(self) -> Processor:
        """What computes in it."""
        return PROCESSORS[self.class_]

    def find(self, quantity: str, of: str | None = None) -> tuple[CardFigure, ...]:
        """All figures of a quantity, of everything or of one thing."""
        return tuple(f for f in self.figures if f.quantity == quantity and of in (None, f.of))

    def figure(self, quantity: str, of: str, *, attained: bool = False) -> CardFigure:
        """The roof, or what is attained (else the roof). Raises NetlatheError that says which figures there are."""
        figures = self.find(quantity, of)
        if not figures:
            kinds = sorted({f.of for f in self.find(quantity)})
            hint = f"it has {quantity} figures for {', '.join(kinds)}" if kinds else "add the figure, with its source"
            name = f"{of} {quantity}".strip()
            raise NetlatheError(
                f"this card has no {name} figure", code="device.no_figure", path=f"card {self.id}", hint=hint
            )
        return max(figures, key=lambda f: (attained and f.kind == "measured", f.base))

    def peak(self, precision: str, *, attained: bool = False) -> float:
        """Operations a second, 2 a MAC."""
        return self.figure("peak", precision, attained=attained).base

    def bandwidth(self, level: str = "dram", *, attained: bool = False) -> float:
        """Bytes a second."""
        return self.figure("bandwidth", level, attained=attained).base

    def bytes(self, quantity: str) -> int:
        """Bytes of memory, flash, sram (or of a cache, the largest)."""
        figures = self.find(quantity)
        return int(max(figures, key=lambda f: f.base).base) if figures else int(self.figure(quantity, "").base)

    @property
    def precisions(self) -> tuple[str, ...]:
        """Those with a peak, in order of the card."""
        return tuple(dict.fromkeys(f.of for f in self.find("peak")))

    def warnings(self, *used: CardFigure) -> list[str]:
        """What to say beside a result that rests on these figures."""
        return [
            f"the {f.of} {f.quantity} of {self.id} ({f.value:g} {f.unit}) is unconfirmed: {f.note or f.source}"
            for f in dict.fromkeys(used)
            if f.unconfirmed or f.kind == "unconfirmed"
        ]


def names() -> list[str]:
    """The cards that come with Netlathe."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name: str | Path) -> DeviceCard:
    """A card by the name of a shipped one, or by the path of a file (*.toml).

    Raises NetlatheError for an unknown name, and one that lists every fault of the file with its place.
    """
    path = Path(name)
    if path.suffix != ".toml" and path.name == str(name):
        if str(name) not in names():
            hint = "a card of your own is named by its file, such as my-phone.toml"
            error = unknown("device", str(name), names(), code="device.unknown")
            raise NetlatheError(error.message, code=error.code, hint=f"{error.hint}\n{hint}".strip())
        return shipped(str(name))
    return parse(read_text(path), str(path))


@cache
def shipped(name: str) -> DeviceCard:
    """A card of this package; read once. It is right: a test holds that, so commands need not ask pydantic again."""
    return card_of((FOLDER / f"{name}.toml").read_text(encoding="utf-8"), f"{name}.toml", check=False)


def parse(text: str, source: str = "card.toml") -> DeviceCard:
    """The card of a TOML text. Raises NetlatheError with every fault."""
    return card_of(text, source, check=True)


def card_of(text: str, source: str, *, check: bool) -> DeviceCard:
    """The card of a TOML text, checked or known to be right."""
    document = parse_toml(text, source=source, code="device.syntax", what="a card")
    if check:
        from netlathe.device.cardfile import check_card

        check_card(document, source)
    models = tuple(model(row) for row in document.pop("model", []))
    figures = tuple(CardFigure(**{"of": ""} | row) for row in document.pop("figure", []))
    return DeviceCard(
        id=document["id"],
        name=document["name"],
        class_=document["class"],
        date=str(document["date"]),
        figures=figures,
        models=models,
        notes=document.get("notes", ""),
    )


def model(row: dict[str, Any]) -> Model:
    """A model of its table."""
    operators = tuple(Operator(**operator) for operator in row.get("operators", ()))
    fields = row | {"error": ErrorBar(**row["error"]), "date": str(row["date"]), "operators": operators}
    if "parts" in row:
        fields |= {"parts": tuple(row["parts"]), "coefficients": coefficients(row["parts"])}
    fields |= {"unseen": tuple(row.get("unseen", ()))}
    return Model(**fields)


def to_toml(card: DeviceCard) -> str:
    """The file of a card; what is at its default is left out."""
    document: dict[str, Any] = {"schema": SCHEMA, "id": card.id, "name": card.name, "class": card.class_}
    document |= {"date": day(card.date)} | ({"notes": card.notes} if card.notes else {})
    models = [
        model_fields(model)
        | {"date": day(model.date), "error": changed_fields(model.error)}
        | list_of_tables("operators", model.operators)
        for model in card.models
    ]
    return document_to_toml(document | list_of_tables("figure", card.figures) | ({"model": models} if models else {}))


def model_fields(model: Model) -> dict[str, Any]:
    """The fields of a model; coefficients by part stand for those by feature."""
    values = changed_fields(model)
    if model.parts:
        del values["coefficients"]
        values["parts"] = list(model.parts)
    return values | ({"unseen": list(model.unseen)} if model.unseen else {})


def day(text: str) -> date | str:
    """A date as TOML has it; what is none stays a text, which `parse` refuses."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return text


def list_of_tables(name: str, records: Iterable[Any]) -> dict[str, Any]:
    """A list of tables by its name; nothing where it is empty."""
    rows = [changed_fields(record) for record in records]
    return {name: rows} if rows else {}


def changed_fields(record: Any) -> dict[str, Any]:
    """The fields of a record that differ from their default."""
    values = {f.name: getattr(record, f.name) for f in fields(record)}
    defaults = {f.name: f.default for f in fields(record)}
    return {name: value for name, value in values.items() if value != defaults[name] and value not in ({}, "")}


def save(card: DeviceCard, path: str | Path) -> None:
    """Write a card, complete or not at all; a card that `load` would refuse is refused here."""
    text = to_toml(card)
    parse(text, str(path))
    write_text(path, text)
