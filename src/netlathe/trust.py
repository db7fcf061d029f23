"""Code that a NET, a space, an objective or a runtime names is run; NETLATHE_NO_CODE=1, or --no-code, refuses it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from netlathe.errors import NetlatheError

if TYPE_CHECKING:
    from pathlib import Path

NO_CODE = "NETLATHE_NO_CODE"  # children inherit it


def refuse_code(path: str | Path) -> None:
    """Raise NetlatheError for a file that would be run, where that is not wanted."""
    if os.environ.get(NO_CODE, "0") not in ("", "0"):
        hint = f"leave --no-code out (and unset {NO_CODE}) if you trust its author"
        raise NetlatheError("this file would be run, and no code is wanted", code="load.no_code", path=str(path),
                            hint=hint)  # fmt: skip


@contextmanager
def without_code() -> Iterator[None]:
    """While it holds, no code that is named is run, here or in a child."""
    before = os.environ.get(NO_CODE)
    os.environ[NO_CODE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[NO_CODE]
        else:
            os.environ[NO_CODE] = before


def inherited_trust() -> dict[str, str]:
    """What the environment of a child has to say, so that it refuses what we refuse."""
    return {NO_CODE: os.environ[NO_CODE]} if NO_CODE in os.environ else {}
