"""JSON that people may have written: a name that stands twice, a number without end and half a character are faults."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from netlathe.documents.values import RepeatedNames, nested_too_deeply, refuse_unusable
from netlathe.errors import NetlatheError


def parse_json(text: str, *, source: str, code: str, what: str) -> Any:
    """The document of a text; `source` names it in errors, `what` says what it should be ("a network").

    Raises NetlatheError with the line of what is no JSON, and with the paths of names that stand twice in a table,
    whole numbers beyond 64 bits, and texts that cannot be written.
    """
    try:
        document = json.loads(text, object_pairs_hook=table, parse_int=whole_number)
    except json.JSONDecodeError as error:
        where = f"{source}, line {error.lineno}, column {error.colno}"
        raise NetlatheError(f"this is not JSON: {error.msg}", code=code, path=where) from None
    except RecursionError:
        raise nested_too_deeply(source, code, what) from None
    refuse_unusable(document, source=source, code=code, what=what)
    return document


def table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A table, with the names that it says twice."""
    values = dict(pairs)
    if len(values) == len(pairs):
        return values
    counts = Counter(name for name, _ in pairs)
    repeated = RepeatedNames(values)
    repeated.names = tuple(name for name in values if counts[name] > 1)
    return repeated


def whole_number(text: str) -> int:
    """A whole number; Python refuses to read one of thousands of digits, which becomes another that is too large."""
    return int(text) if len(text) < 4000 else 10 ** min(len(text) - 1, 10**6)
