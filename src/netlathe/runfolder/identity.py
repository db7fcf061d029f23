"""What decides the result of a job, as JSON values: a folder goes on with the same, and refuses anything else.

What comes from outside, such as weights, images or code, is known by its content: a name for people, a hash for us.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from netlathe.errors import NetlatheError

Identity = Mapping[str, Any]
SHOWN = 12  # digits of a hash that people read


class Difference(NamedTuple):
    """A field that two identities do not share, with the values there and now."""

    name: str
    old: Any
    new: Any


def content(name: str, key: str) -> dict[str, str]:
    """Something from outside in an identity: its name is only shown, its key decides."""
    return {"name": name, "key": key}


def file_content(path: str | Path, name: str = "") -> dict[str, str]:
    """A file by the hash of its bytes. Raises NetlatheError where it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        message = f"cannot read this file: {error.strerror}"
        raise NetlatheError(message, code="file.unreadable", path=str(path)) from None
    return content(name or str(path), f"sha256 {digest}")


def content_hash(*values: Any) -> str:
    """Twelve hexadecimal digits of JSON values: a name for what a run is."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def find_differences(old: Identity, new: Identity, *, ignored: Collection[str] = ()) -> list[Difference]:
    """Where two identities differ; of tables within them only the fields that do, as `limits.size`."""
    differences = []
    for name in {**new, **old}:
        before, now = old.get(name), new.get(name)
        if name in ignored or comparable(before) == comparable(now):
            continue
        if isinstance(before, Mapping) and isinstance(now, Mapping) and not (is_content(before) and is_content(now)):
            within = find_differences(before, now)
            differences += [Difference(f"{name}.{inner.name}", inner.old, inner.new) for inner in within]
        else:
            differences.append(Difference(name, before, now))
    return differences


def is_content(value: Any) -> bool:
    """Whether this is what `content` makes."""
    return isinstance(value, Mapping) and value.keys() == {"name", "key"}


def comparable(value: Any) -> Any:
    """A value without the names of contents."""
    if is_content(value):
        return value["key"]
    if isinstance(value, Mapping):
        return {name: comparable(inner) for name, inner in value.items()}
    return [comparable(inner) for inner in value] if isinstance(value, list | tuple) else value


def describe_value(value: Any) -> str:
    """A value of an identity for people: w1.safetensors (sha256 ab12cd34ef56)."""
    if is_content(value):
        *algorithm, digest = str(value["key"]).split(" ")
        return f"{value['name']} ({' '.join([*algorithm, digest[:SHOWN]])})"
    if value is None:
        return "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(describe_value, value)) or "none"
    return value if isinstance(value, str) else json.dumps(value)
