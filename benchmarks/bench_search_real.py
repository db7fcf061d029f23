"""A real search under a measured latency, against random and against the best knob setting, told honestly.

    python benchmarks/bench_search_real.py [--mini] [--strategy NAME] [-o FOLDER]

On Fashion-MNIST (a part of the training images, 28 px) in the space of NAS-Bench-Macro, one thread: for each of three
seeds the strategy and random search get the same number of evaluations (each a whole short schedule), under a latency
measured on this machine. The third arm has no search: ResNet-20 and MobileNetV2 at every setting of their width that
keeps the latency. Every winner is trained again on fresh seeds and looks at the test images once. The same
command goes on where it was stopped. About an hour of one core.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

from netlathe.arch.combinators import Choice
from netlathe.arch.network import Network
from netlathe.search.config import SearchConfig, load_space
from netlathe.search.costing import TargetOptions
from netlathe.search.objective import spec_to_json
from netlathe.search.run import SearchResult, search
from netlathe.search.training import training_spec
from netlathe.search.trial import TrialState
from netlathe.stats.student import t_half_width
from netlathe.train.recipefile import load as load_recipe
from netlathe.zoo import get

DATA = Path(__file__).parent.parent / "../shared/data/fashion_mnist"
SEEDS = 3
WIDTHS, ALPHAS = (8, 12, 16, 24, 32, 48), (0.35, 0.5, 0.75, 1.0, 1.4)
PX = 28


class Scale(NamedTuple):
    """How much is paid for."""

    evaluations: int
    epochs: float
    fraction: float  # of the training images
    judges: int  # validation images
    latency: str
    finals: int  # fresh seeds a winner


FULL = Scale(8, 2, 0.04, 1500, "2ms", 2)
MINI = Scale(3, 0.5, 0.01, 300, "2ms", 2)


def knobs() -> Network:
    """Two networks by their one knob, as a space: what somebody tries who does not search."""
    made = {f"resnet20-{width}": get("resnet20", width=width) for width in WIDTHS}
    made |= {f"mobilenetv2-{round(100 * alpha)}": get("mobilenetv2", alpha=alpha, classes=10) for alpha in ALPHAS}
    return Network("knobs", Choice(tuple(made), tuple(net.body for net in made.values()), "knob"), (3, PX, PX))


def begin(strategy: str, draws: int) -> dict[str, int]:
    """Few random networks at first: with as many as by default, so short a search would be a random one."""
    return {"gp": {"first": draws}, "evolution": {"population": draws, "sample": 2}}.get(strategy, {})


def arm(name: str, space: str, strategy: str, seed: int, scale: Scale, out: Path) -> SearchResult:
    """One search, with its winner on fresh seeds."""
    recipe = load_recipe("fast", [f"resolution={PX}", f"evaluate.resolution={PX}", "batch=32", "schedule.warmup=0.3"])
    what = training_spec(
        str(DATA.resolve()),
        recipe,
        load_space(space),
        epochs=scale.epochs,
        fraction=scale.fraction,
        judges=scale.judges,
    )
    wish = SearchConfig(
        space=space,
        strategy=strategy,
        options=begin(strategy, max(2, scale.evaluations // 3)),
        objective=spec_to_json(what),
        limits={"latency": scale.latency},
        where=asdict(TargetOptions()),
        evaluations=scale.evaluations,
        seed=seed,
        final_seeds=scale.finals,
    )
    return search(wish, out / f"{name}-{seed}", workers=1, log=lambda line: print(f"  {name} {seed}: {line}"))


def interval(values: list[float]) -> str:
    """The mean with its 95 % interval over seeds (Student's t)."""
    if len(values) < 2:
        return f"{values[0]:.2f}"
    half = t_half_width(stdev(values), len(values))
    return f"{mean(values):.2f} +- {half:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mini", action="store_true", help="A few minutes: shows that it runs, and nothing else.")
    parser.add_argument("--strategy", default="gp")
    parser.add_argument("--evaluations", type=int)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("-o", "--output", type=Path, default=Path("search-real"))
    given = parser.parse_args()
    scale = MINI if given.mini else FULL
    if given.evaluations:
        scale = scale._replace(evaluations=given.evaluations)
    here = f"{Path(__file__).resolve()}:knobs"
    arms = {given.strategy: "macro", "random": "macro", "knob": here}
    tests: dict[str, list[float]] = {}
    print(f"{scale.evaluations} evaluations of {scale.epochs:g} epochs under {scale.latency}, {given.seeds} seeds")
    for seed in range(given.seeds):
        for name, space in arms.items():
            strategy = "random" if name == "knob" else name
            found = arm(name, space, strategy, seed, scale, given.output)
            assert found.best is not None
            assert found.final is not None
            assert found.final.test is not None
            tests.setdefault(name, []).append(found.final.test)
            spent = sum(t.seconds for t in found.trials) / 60
            infeasible = sum(t.state is TrialState.INFEASIBLE for t in found.trials)
            print(
                f"{name:10} seed {seed}: test {found.final.test:.2f}, search said {found.final.searched:.2f}, fresh "
                f"seeds {found.final.score:.2f} (curse {found.final.gap:+.2f}), {found.best.costs['latency']:.2f} ms, "
                f"{spent:.1f} min, {infeasible} infeasible, trial {found.best.number} {found.best.genotype}",
                flush=True,
            )
    print()
    for name, values in tests.items():
        print(f"{name:10} test {interval(values)} over {len(values)} searches")
    for other in list(arms)[1:]:
        gaps = [a - b for a, b in zip(tests[given.strategy], tests[other], strict=True)]
        said = interval(gaps)
        clear = len(gaps) > 1 and abs(mean(gaps)) > float(said.partition("+- ")[2])
        verdict = "no difference shown" if not clear else "better" if mean(gaps) > 0 else "worse"
        print(f"{given.strategy} - {other}: {said} points, paired by seed: {verdict}")


if __name__ == "__main__":
    main()
