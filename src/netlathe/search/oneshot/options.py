"""What a one-shot search is, as data: the method, how weights and architecture parameters move, the remedy."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from netlathe.errors import NetlatheError, unknown

Method = Literal["darts", "rsws"]
Remedy = Literal["none", "early-stop", "decay", "skips"]
# early-stop: stop and go back when the eigenvalue rises (DARTS-ES); decay: then triple the weight decay, up to 0.0243
# (DARTS-ADA); skips: keep the two strongest skips of the normal cell (P-DARTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class OneShotOptions:
    """The defaults are those of the DARTS paper for CIFAR-10 (section A.1), and of the released code of RSWS."""

    method: Method = "darts"
    order: int = 1  # darts: 1, or 2 with the step of the weights unrolled
    epochs: float | None = 50.0  # of the half that trains weights; None: as many as the time allows
    batch: int = 64
    lr: float = 0.025
    final_lr: float = 0.001
    momentum: float = 0.9
    weight_decay: float = 3e-4
    clip: float = 5.0
    alpha_lr: float = 3e-4
    alpha_betas: tuple[float, float] = (0.5, 0.999)
    alpha_weight_decay: float = 1e-3
    rest: float = 0.0  # epochs before the architecture parameters move (PC-DARTS: 15 of 50)
    remedy: Remedy = "none"
    eigenvalue_every: int = 2  # epochs; 0: never
    watch_images: int = 512  # validation images that an epoch's line of the log rests on
    candidates: int = 1000  # rsws: networks that a round scores on one batch
    finalists: int = 10  # rsws: those of them that see the whole validation half
    seed: int = 0

    def __post_init__(self) -> None:
        if self.remedy not in get_args(Remedy):
            raise unknown("remedy", self.remedy, get_args(Remedy), code="search.remedy")
        if self.method not in get_args(Method):
            raise unknown("method", self.method, get_args(Method), code="search.method")
        if self.order not in (1, 2):
            raise NetlatheError(f"DARTS has a first and a second order, no order {self.order}", code="search.order")
        least = {"batch": 2, "candidates": 1, "finalists": 1, "watch_images": 2, "eigenvalue_every": 0}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise NetlatheError(f"{name} must be at least {low}, not {getattr(self, name)}", code="search.options")
        for name in ("lr", "alpha_lr", "clip", "epochs"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise NetlatheError(f"{name} must be positive, not {value}", code="search.options")
        if self.remedy in ("early-stop", "decay") and not self.eigenvalue_every:
            raise NetlatheError(f"the remedy {self.remedy!r} reads the eigenvalue, which is never computed",
                                code="search.remedy", hint="--eigenvalue-every 2")  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """Plain values: of what the search is, not of where it runs."""
        return asdict(self)
