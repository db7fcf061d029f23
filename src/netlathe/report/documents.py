"""page_of(): the page of anything that Netlathe wrote: a document of --json, a card, the folder of a fit."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from netlathe.deploy.model_card import JSON, SCHEMA
from netlathe.documents.json import parse_json
from netlathe.errors import NetlatheError
from netlathe.files import TEXT_LIMIT, read_text, too_large, unreadable
from netlathe.report.page import Page
from netlathe.report.pages import anything, audit, choose, compare, cost, device, fit, search

Data = Mapping[str, Any]
Maker = Callable[[Data, Sequence[str]], Page]
STDIN = "-"


def page_of(path: str) -> Page:
    """The page of a file or folder; `-` reads a document from the standard input. Raises NetlatheError for others."""
    if Path(path).is_dir():
        return page_of_folder(Path(path))
    document = read_document(path)
    schema, data = document.get("schema"), document.get("data")
    if schema == SCHEMA:
        return page_of_folder(Path(path).parent)
    if schema == "netlathe.error/1":
        error = document.get("error", {})
        raise NetlatheError(f"this document is an error, {error.get('message', '')!r}", code="report.error", path=path)
    if not isinstance(schema, str) or not isinstance(data, Mapping):
        hint = "a document of --json, the folder of a fit, or a card.json"
        raise NetlatheError("this is nothing that a page can be made of", code="report.kind", path=path, hint=hint)

    def make() -> Page:
        warnings = [str(warning) for warning in document.get("warnings", ())]
        return PAGES[schema](data, warnings) if schema in PAGES else anything.page(schema, data, warnings)

    return make_page(schema, path, make)


def make_page(what: str, path: str, make: Callable[[], Page]) -> Page:
    """A page of a document that may lack something. Raises NetlatheError where it does."""
    try:
        return make()
    except NetlatheError:
        raise
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, ArithmeticError, RecursionError) as error:
        message = f"this is not what {what} holds: {type(error).__name__} {error}"
        hint = "it may be of another version of Netlathe: make it again"
        raise NetlatheError(message, code="report.document", path=path, hint=hint) from error


def page_of_folder(folder: Path) -> Page:
    """The page of a folder, by what lies in it."""
    if (folder / JSON).exists():
        return make_page(SCHEMA, str(folder), lambda: fit.page(folder))
    hint = f"it has no {JSON}, so no fit ended in it"
    raise NetlatheError("there is nothing in this folder to report", code="report.folder", path=str(folder), hint=hint)


def read_document(path: str) -> dict[str, Any]:
    """A JSON document. Raises NetlatheError for what is none."""
    text = read_stdin() if path == STDIN else read_text(path)
    document = parse_json(text, source=path, code="report.syntax", what="a document")
    return document if isinstance(document, dict) else {}


def read_stdin() -> str:
    """What is piped in. Raises NetlatheError for what is no text, or too much of it."""
    try:
        text = sys.stdin.read(TEXT_LIMIT + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(STDIN, error) from None
    if len(text) > TEXT_LIMIT:
        raise too_large(STDIN, TEXT_LIMIT)
    return text


def of_cost(data: Data, warnings: Sequence[str]) -> Page:
    """One network, several, or another tool's total."""
    if "rows" in data:
        return cost.page(data)
    if "networks" in data and all("rows" in one for one in data["networks"]):
        return cost.many(data["networks"])
    return anything.page("netlathe.cost/1", data, warnings)


def of_device(data: Data, warnings: Sequence[str]) -> Page:
    """A roofline, a why, or what else `netlathe device` prints."""
    if "ridge" in data and "lines" in data:
        return device.roofline(data, warnings)
    if "by_bound" in data:
        return device.why(data, warnings)
    return anything.page("netlathe.device/1", data, warnings)


def of_audit(data: Data, warnings: Sequence[str]) -> Page:
    """The claims, or one of the lecture's tables."""
    return audit.page(data, warnings) if "claims" in data else anything.page("netlathe.audit/1", data, warnings)


PAGES: dict[str, Maker] = {
    "netlathe.audit/1": of_audit,
    "netlathe.bench/1": compare.bench,
    "netlathe.choose/1": choose.page,
    "netlathe.compare/1": compare.page,
    "netlathe.cost/1": of_cost,
    "netlathe.device/1": of_device,
    "netlathe.search.compare/1": search.comparison,
    "netlathe.search.show/1": search.show,
}
