"""The road of a ResNet to a ConvNeXt, step by step, as `netlathe modernise` prints it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from netlathe.arch.net import Net, rewritable
from netlathe.cost.totals import totals
from netlathe.errors import NetlatheError
from netlathe.reshape.modernise import ladder
from netlathe.units import show_count


@lru_cache(maxsize=64)
def roadmap_steps(net: Net) -> dict[str, Any]:
    """The steps with their cost and, where the paper printed it, its accuracy; `why` says why there are none."""
    network = rewritable(net)
    if network is None:
        return {"steps": [], "why": f"{net.name} has no expression to rewrite."}
    try:
        rungs = ladder(network)
    except NetlatheError as error:
        return {"steps": [], "why": f"{error.message}. {error.hint}".strip()}
    steps = []
    for rung in rungs:
        cost, published = totals(rung.network.body, rung.network.input), rung.published
        top1 = (
            f"{published.top1:.2f}" + (f" ± {published.deviation:.2f}" if published.deviation else "")
            if published
            else ""
        )
        steps.append(
            {
                "step": rung.step,
                "what": rung.what,
                "params": show_count(cost.params),
                "macs": show_count(cost.macs),
                "top1": top1,
                "note": published.note if published else "",
            }
        )
    return {"steps": steps, "why": ""}
