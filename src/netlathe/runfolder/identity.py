"""What a run is, as JSON values: a folder goes on with the same run, and the folder of another one is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from netlathe.errors import NetlatheError

Identity = Mapping[str, Any]


class RunKind(NamedTuple):
    """What a folder holds, as the errors about it say. `{owner}` in `busy` is who holds the lock."""

    noun: str  # training: "this folder holds another training"
    other_code: str
    other_hint: str = "give another folder with -o, or remove this one"
    busy: str = "{owner} is at work in this folder"
    busy_code: str = "folder.locked"
    busy_hint: str = "wait for it or end it, or give another folder with -o"


def refuse_other(
    kind: RunKind, old: Identity, new: Identity, folder: Path, *, changeable: Collection[str] = ()
) -> None:
    """Raise NetlatheError where a folder belongs to another run, saying what differs but for what may change."""
    differing = [
        f"{name} ({describe_difference(old.get(name), new.get(name))})"
        for name in differing_names(new, old)
        if name not in changeable
    ]
    if differing:
        raise NetlatheError(
            f"this folder holds another {kind.noun}: other {', '.join(differing)}",
            code=kind.other_code,
            path=str(folder),
            hint=kind.other_hint,
        )


def describe_difference(old: Any, new: Any) -> str:
    """Where two settings differ; of tables only the fields that do."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return "; ".join(
            f"{name}: {describe_difference(old.get(name), new.get(name))}" for name in differing_names(old, new)
        )
    return f"{old} there, {new} now"


def differing_names(a: Identity, b: Identity) -> list[str]:
    """The fields of two tables that are not equal in both."""
    return [name for name in {**a, **b} if a.get(name) != b.get(name)]


def content_hash(*values: Any) -> str:
    """Twelve hexadecimal digits of JSON values: a name for what a run is."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]
