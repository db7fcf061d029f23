"""The words for the form of a deployed network, as commands and files say them."""

from __future__ import annotations

from typing import Literal, get_args

Wanted = Literal["auto", "fp32", "bf16", "int8"]  # auto: what `deploy.forms` finds best
WANTED: tuple[Wanted, ...] = get_args(Wanted)
