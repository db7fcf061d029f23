"""The JSON files of a run folder: a damaged one is named, with what to do about it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from netlathe.errors import NetlatheError


@contextmanager
def whole(path: Path, remedy: str) -> Iterator[None]:
    """Where reading a file fails, whatever it lacks: raises NetlatheError with its path and the remedy."""
    try:
        yield
    except NetlatheError:
        raise
    except OSError as error:
        message = f"cannot read this file: {error.strerror}"
        raise NetlatheError(message, code="file.unreadable", path=str(path)) from None
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        what = f"no field {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
        message = f"this file is damaged: {what}"
        raise NetlatheError(message, code="folder.damaged", path=str(path), hint=remedy) from None


def read_document(path: Path, remedy: str) -> dict[str, Any]:
    """A JSON object in a file. Raises NetlatheError, with the remedy, where there is none."""
    with whole(path, remedy):
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict):
            raise ValueError("it holds no JSON object")
        return document
