"""DARTS against chance on Fashion-MNIST, on one core: python benchmarks/bench_darts.py [-o DIR] [--seconds 60]

First order, second order and random search with weight sharing get the same processor time on the same supernet (by
time.process_time, so a busy machine changes nothing but the wait). What they find is then trained from scratch by one
recipe with the same seeds, beside genotypes drawn at random and the published DARTS_V2, and tested on 10,000 images
that no search has seen. Small enough for a quarter of an hour: 14 px, 4 channels in the supernet and 8 afterwards. An
interrupted run goes on from DIR.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from scipy.stats import t

from netlathe.cost.totals import totals
from netlathe.search.oneshot.cells import Cells
from netlathe.search.oneshot.family import DartsFamily
from netlathe.search.oneshot.genotypes import cell_operators, genotype_to_text
from netlathe.search.oneshot.options import OneShotOptions
from netlathe.search.oneshot.run import search_one_shot
from netlathe.search.oneshot.split import take_subset
from netlathe.train.classification import train
from netlathe.train.images import Splits, load
from netlathe.train.recipe import Recipe
from netlathe.train.recipefile import load as recipe_of
from netlathe.zoo.darts import V2

DATA = Path(__file__).parents[1] / "../shared/data/fashion_mnist"
PX, SEARCHED, TRAINED, CLASSES = 14, 1600, 4000, 10
CELLS = Cells(operations=("none", "max3", "skip", "sep3", "dil3"))
FAMILY = DartsFamily(cells=CELLS, channels=4, depth=3, final_channels=8, final_depth=5)
# What a search of 50 epochs does with 3e-4, one of ten can only do with more.
OPTIONS = OneShotOptions(epochs=None, batch=16, alpha_lr=0.01, eigenvalue_every=4, watch_images=256)
METHODS = {"darts-1": {"order": 1}, "darts-2": {"order": 2}, "rsws": {"method": "rsws"}}
RANDOM = 3


def found(method: str, seed: int, splits: Splits, recipe: Recipe, seconds: float, out: Path) -> dict[str, Any]:
    """What a search gives in that many seconds of the processor."""
    options = replace(OPTIONS, seed=seed, **METHODS[method])
    ended = search_one_shot(
        take_subset(splits.train, SEARCHED), recipe, options, FAMILY, out, time_s=seconds, clock=time.process_time,
        started=time.process_time(),
        progress=lambda tick: say(f"{method} {seed}: {tick.progress:.0%} {tick.line}") if tick.line else None,
    )  # fmt: skip
    last = ended.last or {}
    kept = {key: last.get(key) for key in ("entropy", "validation", "discrete", "selected", "candidates")}
    log = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    kept["eigenvalues"] = [line["eigenvalue"] for line in log if line.get("eigenvalue") is not None]
    return kept | {"data": ended.genotype, "epochs": ended.epochs, "steps": ended.steps, "verdict": ended.verdict}


def trained(data: Any, name: str, seed: int, splits: Splits, recipe: Recipe, out: Path) -> float:
    """Test accuracy of a genotype trained from scratch, in percent."""
    network = FAMILY.network(FAMILY.of_data(data), (1, PX, PX), CLASSES, name)
    learned = replace(splits, train=take_subset(splits.train, TRAINED), validation=take_subset(splits.validation, 500))
    result = train(network, learned, recipe, out, seed=seed, threads=1, precision="fp32")
    assert result.test is not None
    return 100 * result.test


def say(words: str) -> None:
    """Progress."""
    print(words, file=sys.stderr, flush=True)


def told(got: dict[str, Any]) -> str:
    """A search in a line."""
    words = [f"{got['epochs']:.1f} epochs, {got['steps']} steps", f"verdict: {got['verdict']}"]
    if got["entropy"] is not None:
        values = ", ".join(f"{value:.3g}" for value in got["eigenvalues"])
        words += [f"entropy {got['entropy']:.3f}, eigenvalues {values}"]
        words += [f"supernet {100 * got['validation']:.1f} %, its cell alone {100 * got['discrete']:.1f} %"]
    else:
        words += [f"{got['candidates']} candidates, the best {100 * got['selected']:.1f} % in the supernet"]
    return "; ".join(words)


def compared(groups: dict[str, list[float]]) -> None:
    """Each method against genotypes at random, by the spread of genotypes within methods."""
    several = [scores for scores in groups.values() if len(scores) > 1]
    freedom = sum(len(scores) - 1 for scores in several)
    pooled = sqrt(sum((len(scores) - 1) * stdev(scores) ** 2 for scores in several) / freedom)
    print(f"  spread of genotypes within a method: {pooled:.2f} points ({freedom} degrees of freedom)")
    base = groups["random"]
    for group, scores in groups.items():
        if group != "random":
            half = t.ppf(0.975, freedom) * pooled * sqrt(1 / len(scores) + 1 / len(base))
            gain = mean(scores) - mean(base)
            word = "no difference can be told" if abs(gain) < half else "a difference"
            print(f"  {group:<9} minus random: {gain:+.2f} points, 95 % interval +- {half:.2f}: {word}")


def main() -> None:
    """Search, train, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, default=Path("/tmp/bench_darts"))
    parser.add_argument("--seconds", type=float, default=60.0, help="of the processor, for each search")
    parser.add_argument("--epochs", type=float, default=4.0, help="of each training")
    parser.add_argument("--searches", type=int, default=2, help="seeds of each method")
    parser.add_argument("--trainings", type=int, default=2, help="seeds of each genotype")
    asked = parser.parse_args()
    searches, trainings = range(asked.searches), range(asked.trainings)
    if not DATA.exists():
        sys.exit(f"{DATA} is not here")
    torch.set_num_threads(1)
    size = [f"resolution={PX}", f"evaluate.resolution={PX}", "augment.pad=1"]
    recipe = recipe_of("fashion", size)
    final = recipe_of(
        "fashion",
        [
            *size,
            "batch=64",
            f"epochs={asked.epochs}",
            f"schedule.warmup={min(1.0, asked.epochs / 8)}",
            "regularise.ema=0.98",
        ],
    )
    splits = load(DATA, size=PX)
    asked.out.mkdir(parents=True, exist_ok=True)
    store = asked.out / "figures.json"
    figures: dict[str, Any] = json.loads(store.read_text()) if store.exists() else {}

    def once(key: str, make: Any) -> Any:
        if key not in figures:
            start = time.process_time()
            figures[key] = make()
            figures[f"{key}: seconds"] = time.process_time() - start
            store.write_text(json.dumps(figures, indent=1))
            say(f"{key}: {figures[key]}")
        return figures[key]

    entries: dict[str, tuple[str, Any]] = {}
    for method in METHODS:
        for seed in searches:
            out = asked.out / f"{method}-{seed}"
            got = once(
                f"search {method} {seed}", lambda m=method, s=seed, o=out: found(m, s, splits, recipe, asked.seconds, o)
            )
            entries[f"{method}, search {seed}"] = method, got["data"]
    for i in range(RANDOM):
        entries[f"random {i}"] = "random", FAMILY.data(FAMILY.draw(np.random.default_rng(1000 + i)))
    entries["DARTS_V2"] = "DARTS_V2", FAMILY.data(V2)
    groups: dict[str, list[float]] = {}
    rows = []
    for name, (group, data) in entries.items():
        slug = name.replace(", ", "-").replace(" ", "-")
        scores = [
            once(f"train {name} {s}", lambda n=name, d=data, s=s, g=slug: trained(
                d, n.replace(" ", "_").replace(",", ""), s, splits, final, asked.out / f"train-{g}-{s}"))
            for s in trainings
        ]  # fmt: skip
        groups.setdefault(group, []).append(mean(scores))
        rows.append((name, scores, FAMILY.of_data(data)))
    print(
        f"Fashion-MNIST at {PX} px; {SEARCHED:,} images and {asked.seconds:.0f} s of the processor a search, "
        f"{TRAINED:,} images and {asked.epochs:g} epochs a training; test accuracy in percent by training seed"
    )
    for name, scores, genotype in rows:
        network = FAMILY.network(genotype, (1, PX, PX), CLASSES, "x")
        cost = totals(network.body, *network.inputs)
        words = "  ".join(f"{score:6.2f}" for score in scores)
        skips = sum(operation == "skip" for operation in cell_operators(genotype[0]))
        size_of = f"{cost.params / 1e3:5.1f}k params {cost.macs / 1e6:5.2f}M MACs"
        print(f"  {name:<20} {words}   mean {mean(scores):6.2f}   {skips} of 8 skips   {size_of}")
    for method in METHODS:
        for seed in searches:
            print(f"  search {method} {seed}: {told(figures[f'search {method} {seed}'])}")
            print(f"    {genotype_to_text(FAMILY.of_data(figures[f'search {method} {seed}']['data']))}")
    compared(groups)
    seconds = sum(value for key, value in figures.items() if key.endswith(": seconds"))
    print(f"  {seconds:.0f} s of the processor in all")


if __name__ == "__main__":
    main()
