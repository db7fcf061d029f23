"""How a runtime fuses operators, as data. What is made of it is `device.features`.

The rules can be read from the runtimes themselves, and they decide a latency; how fast a runtime is, is measured.
"""

from __future__ import annotations

from typing import Any, NamedTuple

PRODUCTS = frozenset({"conv", "linear", "attention", "matmul"})  # kinds that multiply matrices


class Fusion(NamedTuple):
    """What a runtime computes in one pass over memory.

    `rides`: after a convolution or matrix product, by kind or kind.form. `chains`: element-wise operators and norms in
    one pass of their own as well. `reorders`: maps are held in a layout of the runtime's own, so that they are copied
    where they become tokens and back, and where they enter or leave the graph. `blocks`: (input and output channels per
    group, channels of anything else) must be multiples of these, or the convolution is an explicit matrix of patches
    and a product. `files`: it runs what a file has, with a copy wherever axes change places (`device.execution`).
    `sums`: the kinds of products that a sum of two values rides in. `attends`: two products with a softmax between them
    are one.
    """

    rides: frozenset[str]
    chains: bool = False
    source: str = ""
    reorders: bool = False
    blocks: tuple[int, int] | None = None
    files: bool = False
    sums: frozenset[str] = PRODUCTS
    attends: bool = False


def fusion(rides: str, chains: bool, source: str, **how: Any) -> Fusion:
    """The rules, with the kinds of operators that ride as one text; `how` are further fields."""
    return Fusion(frozenset(rides.split()), chains, source, **how)
