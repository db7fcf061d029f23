"""Checkpoints: written whole or not at all, two generations kept, checked when read.

A file is the SHA-256 of its content in hexadecimal, a newline, and what torch.save wrote. Generations alternate between
two names, so a kill at any moment leaves the one before.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import torch

from netlathe.errors import NetlatheError
from netlathe.files import write_bytes

SLOTS = ("checkpoint-a.pt", "checkpoint-b.pt")


def save(folder: Path, state: dict[str, Any], generation: int) -> None:
    """Write a generation over the one before the last. Raises NetlatheError where it cannot be written."""
    buffer = io.BytesIO()
    torch.save(state | {"generation": generation}, buffer)
    content = buffer.getbuffer()
    digest = hashlib.sha256(content).hexdigest().encode()
    write_bytes(folder / SLOTS[generation % 2], digest, b"\n", content)


def read_newest(folder: Path) -> dict[str, Any] | None:
    """The newest whole generation; None where there is none. Raises NetlatheError where all are broken."""
    files = [path for name in SLOTS if (path := folder / name).exists()]
    states = [state for path in files if (state := read(path)) is not None]
    if files and not states:
        raise NetlatheError(
            "no checkpoint here is whole",
            code="train.checkpoint",
            path=str(folder),
            hint=f"remove {' and '.join(path.name for path in files)} to start again",
        )
    return max(states, key=lambda state: int(state["generation"]), default=None)


def read(path: Path) -> dict[str, Any] | None:
    """The state in a file; None for one that is damaged."""
    try:
        content = path.read_bytes()
    except OSError as error:
        message = f"cannot read this checkpoint: {error.strerror}"
        raise NetlatheError(message, code="file.unreadable", path=str(path)) from None
    digest, _, body = content.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        return None
    state: dict[str, Any] = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    return state
