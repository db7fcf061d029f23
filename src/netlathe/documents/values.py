"""What no document may hold, whatever its definition: endless nesting, huge numbers, broken texts, a name twice."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from netlathe.documents.faults import SHOWN, Fault, faults_error
from netlathe.errors import NetlatheError

DEEPEST = 250  # tables and lists within each other; the deepest network of the zoo has 40
LARGEST = 2**63 - 1  # as in TOML and in every other program

Place = tuple["Place | None", "str | int"]  # the place of what holds it, and the name or number in that


class RepeatedNames(dict[str, Any]):
    """A table of a document in which names stand more than once."""

    names: tuple[str, ...] = ()


def refuse_unusable(document: Any, *, source: str, code: str, what: str, deepest: int = DEEPEST) -> None:
    """Raise one NetlatheError that lists what can be of no use in a document; `what` says what it should be."""
    faults = list(islice(unusable(document, deepest), SHOWN + 1))
    if any(fault is None for fault in faults):
        raise nested_too_deeply(source, code, what)
    if faults:
        raise faults_error([fault for fault in faults if fault], code=code, path=source)


def nested_too_deeply(source: str, code: str, what: str) -> NetlatheError:
    """The error for a document without end."""
    return NetlatheError(f"this is nested too deeply to be {what}", code=code, path=source)


def unusable(document: Any, deepest: int) -> Iterator[Fault | None]:
    """The faults of a document's values, None for one that is nested too deeply; without recursion."""
    left: list[tuple[Any, Place | None, int]] = [(document, None, 0)]
    while left:
        value, place, depth = left.pop()
        if depth > deepest:
            yield None
            return
        if isinstance(value, dict):
            if isinstance(value, RepeatedNames):
                yield from (Fault(path_to((place, name)), "stands more than once") for name in value.names)
            yield from (Fault(path_to(place), f"the name {name!a} is no text") for name in value if not is_text(name))
            left += [(item, (place, name), depth + 1) for name, item in reversed(value.items())]
        elif isinstance(value, list):
            left += [(item, (place, i), depth + 1) for i, item in reversed(list(enumerate(value)))]
        elif isinstance(value, str):
            if not is_text(value):
                yield Fault(path_to(place), "has half of a character (a lone surrogate), so it is no text")
        elif isinstance(value, int) and not -LARGEST <= value <= LARGEST:
            yield Fault(path_to(place), f"a number of {digits(value)} digits is too large (at most {LARGEST})")


def path_to(place: Place | None) -> str:
    """A place as people read it: wheels[1].size."""
    parts: list[str] = []
    while place is not None:
        place, name = place
        parts.append(f"[{name}]" if isinstance(name, int) else f".{name}" if is_text(name) else f".{name!a}")
    return "".join(reversed(parts)).lstrip(".")


def is_text(text: str) -> bool:
    """Whether a text can be written; halves of characters cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def digits(number: int) -> int:
    """How many digits a number has, about: Python refuses to write a very long one."""
    return int(number.bit_length() * 0.30103) + 1
