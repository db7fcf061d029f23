"""The options of a budget, declared once for every verb that takes one."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

OPTIONS = {
    "latency": ("TIME", "15ms", "Maximum latency"),
    "memory": ("SIZE", "64MB", "Maximum memory: weights and peak activations"),
    "size": ("SIZE", "20MB", "Maximum size of the file"),
    "macs": ("COUNT", "600M", "Maximum multiply-accumulates per image"),
}


def budget_options(*, per: str = "image", top1: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command --latency, --memory, --size, --macs and, with `top1`, --top1.

    It gets them as one argument `limits`: what was written, by name, without the options that were not given. `per` is
    what a latency is of. `choose.budget.read_budget` makes a `Budget` of them.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        names = [*OPTIONS, *["top1"] * top1]

        @wraps(function)
        def command(*args: Any, **options: Any) -> Any:
            written = {name: options.pop(name) for name in names}
            return function(*args, limits={name: x for name, x in written.items() if x is not None}, **options)

        decorated: Callable[..., Any] = command
        if top1:
            decorated = click.option("--top1", metavar="PERCENT", help="Minimum published ImageNet top-1, e.g. 75.")(
                decorated
            )
        for name, (unit, example, text) in reversed(OPTIONS.items()):
            of = f" per {per}" if name == "latency" else ""
            decorated = click.option(f"--{name}", metavar=unit, help=f"{text}{of}, e.g. {example}.")(decorated)
        return decorated

    return decorate
