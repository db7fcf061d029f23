"""How fast rewrites are: python benchmarks/bench_reshape.py

Every rewrite of ResNet-152 (the largest of its family), and solving a knob for a budget on several networks, with empty
memos each time. Times are minima of several runs because the machine is shared; the targets are 20 ms and 200 ms.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from netlathe import zoo
from netlathe.arch.diff import diff
from netlathe.arch.network import Network
from netlathe.cost.totals import totals
from netlathe.errors import NetlatheError
from netlathe.reshape.factor import factor
from netlathe.reshape.fold import fold
from netlathe.reshape.inner import width_step
from netlathe.reshape.knobs import cardinal, reshape
from netlathe.reshape.modernise import ladder
from netlathe.reshape.solve import ORDER, cost_of, solve
from netlathe.reshape.width import width_surroundings

REWRITE, SOLVE = 20.0, 200.0  # ms
NETWORKS = ("resnet50", "resnet152", "mobilenetv2", "efficientnet_b7", "vit_large_patch16", "densenet201", "swin_base")


def timed(work: Callable[[], object], repeat: int = 15) -> float:
    """The shortest of several runs, in ms, the memos empty."""
    best = float("inf")
    for _ in range(repeat):
        for memo in (totals, width_surroundings, width_step, cardinal):
            memo.cache_clear()
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best * 1e3


def line(name: str, ms: float, target: float) -> None:
    print(f"{name:44} {ms:8.1f} ms  {target / ms:6.1f} x within {target:g} ms{'' if ms <= target else '  MISSED'}")


def rewrites(net: Network) -> dict[str, Callable[[], object]]:
    """Every rewrite by name."""
    forms = {
        form: (lambda form=form, words=words: factor(net, form, **words))  # type: ignore[misc]
        for form, words in (
            ("separable", {}),
            ("grouped", {"groups": 8}),
            ("bottleneck", {}),
            ("squeeze", {}),
            ("low_rank", {}),
            ("spatial", {}),
        )
    }
    knobs = {
        f"{knob}={value:g}": (lambda knob=knob, value=value: reshape(net, **{knob: value}))  # type: ignore[misc]
        for knob, value in (("width", 0.73), ("depth", 1.4), ("inner", 2), ("groups", 32), ("resolution", 160))
    }
    return {**knobs, **{f"factor {form}": work for form, work in forms.items()}, "fold": lambda: fold(net)}


def main() -> None:
    net = zoo.get("resnet152")
    for name, work in rewrites(net).items():
        line(f"resnet152, {name}", timed(work), REWRITE)
    rungs = ladder(net)
    per_step = timed(lambda: ladder(net)) / (len(rungs) - 2)
    line("resnet152, a step of the roadmap (mean)", per_step, REWRITE)
    a, b = net.graph(), reshape(net, inner=2).graph()
    line("resnet152, diff", timed(lambda: diff(a, b)), REWRITE)
    for name in NETWORKS:
        network = zoo.get(name)
        budget = int(0.7 * cost_of(network, "macs"))
        for knob in ORDER:
            try:
                ms = timed(lambda network=network, budget=budget, knob=knob: solve(network, "macs", budget, knob), 7)  # type: ignore[misc]
            except NetlatheError:
                continue  # the knob has no meaning here
            line(f"{name}, solve {knob} for 0.7 x MACs", ms, SOLVE)


if __name__ == "__main__":
    main()
