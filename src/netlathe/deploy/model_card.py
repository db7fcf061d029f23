"""The model card: what a deployed network is, what it reaches, and where that ends; as card.json and card.html.

`describe` makes the document, `netlathe.modelcard/1`, of plain JSON values; the page shows that document and nothing
else. Shares have their Wilson interval (95 %), latencies the interval of `bench.measure`. What was not given is null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, NamedTuple

from netlathe.arch.net import Net
from netlathe.bench.machine import this_machine
from netlathe.cost.count import count
from netlathe.deploy.check import CheckReport
from netlathe.deploy.model_card_page import page
from netlathe.deploy.package import FLOAT_FILE, Package
from netlathe.deploy.predict import snippet
from netlathe.deploy.score import ConfusionScore
from netlathe.documents.json import parse_json
from netlathe.errors import NetlatheError
from netlathe.files import read_text, write_json, write_text
from netlathe.target.target import Forecast

if TYPE_CHECKING:
    from netlathe.train.images import DatasetReport

SCHEMA = "netlathe.modelcard/1"
JSON, HTML = "card.json", "card.html"
FEW = 30  # test images of a class, below which its recall is hardly known: the interval is wider than 30 points


class TrainingRecord(NamedTuple):
    """How the weights came to be: the resolved recipe as JSON, the seeds, and the figures that a run reports."""

    recipe: Mapping[str, Any]
    seeds: tuple[int, ...]
    figures: Mapping[str, Any] = {}  # epochs, seconds, images, precision: whatever the run says


def model_card(
    package: Package,
    checked: CheckReport,
    *,
    data: DatasetReport | None = None,
    training: TrainingRecord | None = None,
    forecast: Forecast | None = None,
    forms: Sequence[Mapping[str, Any]] = (),
    review: Mapping[str, Any] | None = None,
    limits: Sequence[str] = (),
    reproduce: Sequence[str] = (),
) -> dict[str, Any]:
    """The document of a card.

    `checked` holds the figures of this very file (`check`); `data` is the report of the images of the training; `forms`
    are the variants that were tried (`variants.DeployVariant`); `review` is what `review.review` gives; `limits` are
    sentences beside those that follow from the figures; `reproduce` are commands, to be run in the folder of the
    package, to which the one that measures again is added.
    """
    network, m = package.network, checked.latency
    machine, exact = this_machine(), {finding.name: finding.value for finding in checked.findings}
    source = f" --data {quote(data.place) if data else 'SOURCE'}" * (checked.score is not None)
    return {
        "schema": SCHEMA,
        "name": network.name,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "classes": list(package.classes),
        "network": {"key": network.key, "params": params_of(network), "macs": exact["macs"], "arch": package.arch},
        "files": package.files,
        "preprocessing": {
            name: getattr(package.preprocessing, name)
            for name in ("resolution", "shape", "crop", "interpolation", "mean", "std", "channels")
        },
        "size_bytes": package.bytes,
        "memory_bytes": exact["memory"],
        "budget": package.budget,
        "findings": [finding.to_json() for finding in checked.findings],
        "latency": {
            "measured": m.to_json() if m else None,
            "predicted": forecast._asdict() if forecast else None,
            "machine": {"id": machine.id, "cpu": machine.cpu, "cores": machine.cores, "system": machine.system},
        },
        "accuracy": accuracy_record(checked.score) if checked.score else None,
        "data": data_facts(data) if data else None,
        "training": training._asdict() if training else None,
        "weights": {"source": package.weights, "licence": package.licence},
        "forms": [dict(form) for form in forms],
        "review": dict(review) if review else None,
        "limits": [*card_limits(package, checked, calibrated=bool(review)), *limits],
        "warnings": list(checked.warnings),
        "use": snippet(package) if FLOAT_FILE in package.files else None,
        "reproduce": [*reproduce, f"netlathe check .{source}"],
    }


def params_of(network: Net) -> int | None:
    """Its parameters; None for a module's file with an operator that nobody counted."""
    try:
        return int(count(network.graph()).params)
    except NetlatheError:
        return None


def accuracy_record(score: ConfusionScore) -> dict[str, Any]:
    """Accuracy, confusion matrix, and recall and precision by class."""
    return {
        "split": score.split,
        **score.accuracy._asdict(),
        "confusion": [list(row) for row in score.confusion],  # rows are true classes, columns predicted ones
        "recall": [share._asdict() for share in score.recall],
        "precision": [share._asdict() for share in score.precision],
    }


def data_facts(report: DatasetReport) -> dict[str, Any]:
    """What a reader of the card asks about the images."""
    counts = {split: dict(zip(report.classes, numbers, strict=True)) for split, numbers in report.counts.items()}
    return {
        "source": report.place,
        "layout": report.layout,
        "counts": counts,
        "split": report.split,
        "skipped": len(report.skipped),
        "leaks": len(report.leaks),
        "alike_leaks": len(report.alike_leaks),
        "licences": list(report.licences),
        "warnings": list(report.warnings()),
    }


def card_limits(package: Package, checked: CheckReport, *, calibrated: bool = False) -> list[str]:
    """What follows from the figures: where they say nothing."""
    m, sentences = checked.latency, []
    count = len(package.classes)
    sentences.append(f"Images of none of the {count} classes: it answers with one of them all the same.")
    score = checked.score
    if score is None:
        sentences.append("Accuracy: it was not measured on this file.")
    else:
        sentences.append(
            f"Images of another origin than the {score.accuracy.images:,} {score.split} images: other cameras, light, "
            "backgrounds and framing may give another accuracy."
        )
        if score.split != "test":
            sentences.append(
                "Images that no decision was made on: there was no test split, so the accuracy may flatter."
            )
        few = [name for name, share in zip(score.classes, score.recall, strict=True) if share.images < FEW]
        if few:
            more = f" and {len(few) - 8} more" * (len(few) > 8)
            names = ", ".join(few[:8]) + more
            sentences.append(
                f"Classes with fewer than {FEW} {score.split} images, whose recall is hardly known: {names}."
            )
        if not calibrated:
            sentences.append("Whether the probabilities are calibrated: only the order of the classes was.")
    sentences.append(
        f"Latency on another machine than {m.device}, with other threads than {m.threads}, in another batch than "
        f"{m.batch}, or beside other work."
        if m
        else f"Latency: it is a forecast for {package.device}, and was not measured there."
    )
    return sentences


def write_card(folder: str | Path, document: Mapping[str, Any]) -> None:
    """Write card.json and card.html. Raises NetlatheError where they cannot be written."""
    html = page(document)
    write_json(Path(folder) / JSON, document)
    write_text(Path(folder) / HTML, html)


def read_card(folder: str | Path) -> dict[str, Any]:
    """The document of card.json. Raises NetlatheError for a folder without one."""
    path = Path(folder) / JSON
    try:
        text = read_text(path)
    except NetlatheError as error:
        raise NetlatheError(error.message, code="card.missing", path=str(path)) from None
    document: Any = parse_json(text, source=str(path), code="card.syntax", what="a card")
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise NetlatheError(f"the schema of this card is not {SCHEMA!r}", code="card.schema", path=str(path))
    return document
