"""Published weights here or out there: what is in a hub's cache is used as it is, and a hub that is down is told.

A cached file is not looked up again, so a machine without a network waits for none; its hash has to be the one that it
is named by. Where a file has to be fetched, its hub must answer within seconds first: the libraries try for a minute.
"""

from __future__ import annotations

import hashlib
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from netlathe.errors import NetlatheError
from netlathe.lower.checkpoint import require_package

FILES = ("model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors")  # of a repository of timm's hub
PATIENCE_S = 5.0  # until the first answer
STALLED_S = 20.0  # without a byte of a download
DIGEST = re.compile(r"(?:.*-)?([0-9a-f]{8,64})(?:\.\w+)?")  # a blob of huggingface_hub, a file of torch.hub


@contextmanager
def timm_hub(repository: str, file: str | None) -> Iterator[None]:
    """While timm fetches a repository's weights: from the cache alone, where they are there.

    Raises NetlatheError for a damaged file in the cache, and where the hub does not answer.
    """
    hub, constants = require_package("huggingface_hub", "hub"), import_module("huggingface_hub.constants")
    cached = (hub.try_to_load_from_cache(repository, name) for name in ((file,) if file else FILES))
    here = next((Path(path) for path in cached if isinstance(path, str)), None)
    before: bool = constants.HF_HUB_OFFLINE
    if here is not None:
        require_digest(here)
    elif not before:
        require_answer(constants.ENDPOINT, repository)
    constants.HF_HUB_OFFLINE = before or here is not None  # type: ignore[attr-defined]
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before  # type: ignore[attr-defined]


@contextmanager
def torch_hub(url: str) -> Iterator[None]:
    """While torchvision fetches weights. Raises NetlatheError for a damaged file in the cache."""
    from torch.hub import get_dir

    here = Path(get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if here.is_file():
        require_digest(here)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALLED_S)  # torch's own download has none
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def require_answer(endpoint: str, repository: str) -> None:
    """Raise NetlatheError where a hub gives no answer of whatever kind."""
    session: Any = import_module("huggingface_hub.utils").get_session()
    try:
        session.head(endpoint, timeout=PATIENCE_S)
    except Exception as error:  # of whichever library it fetches with
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise NetlatheError(
            f"{endpoint} does not answer, and {repository} is not in its cache: {first}",
            code="weights.fetch",
            hint="is this machine online? a file works without: --weights file.safetensors",
        ) from None


def require_digest(file: Path) -> None:
    """Raise NetlatheError for a file that does not have the hash of its name; a name without one says nothing."""
    match = DIGEST.fullmatch(file.resolve().name)
    if match is None:
        return
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if not digest.startswith(match[1]):
        raise NetlatheError(
            f"this file is damaged: its SHA-256 is {digest[:12]}..., and its name says {match[1][:12]}",
            code="weights.broken_file",
            path=str(file),
            hint="remove it: it is fetched again",
        )
