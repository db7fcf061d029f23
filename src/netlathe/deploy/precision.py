"""The words for the form of a deployed network, as commands and files say them."""

from __future__ import annotations

from typing import Literal, get_args

PrecisionChoice = Literal["auto", "fp32", "bf16", "int8"]  # auto: what `deploy.variants` finds best
PRECISION_CHOICES: tuple[PrecisionChoice, ...] = get_args(PrecisionChoice)
