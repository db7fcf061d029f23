"""The catalogue of published weights: python benchmarks/bench_catalogue.py [time ranks picks counts here]

time    processor time from calibrated to shortlist: entries, costs, forecasts and the first candidates to measure
ranks   Kendall's tau against timm's own published latencies: each table is a device, its coefficients are fitted
        without the family of architectures that is predicted (8 folds)
picks   the accuracy of the pick of --from all against --from zoo for ten budgets a card, by forecast
counts  params and MACs against timm's published ones (within their two digits and 0.05 %), and why MACs differ
here    ten budgets on this machine, measured (calibrates it first; minutes, on a quiet machine)
Without a word all but the last. Reads ../shared/data/timm.
"""

from __future__ import annotations

import csv
import gzip
import os
import re
import sys
import time
from collections import Counter
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from bench_latency_public import FOLDS, TABLES, load_table, scores

from netlathe.catalogue.networks import networks, read_columns
from netlathe.catalogue.weights import TIMM, by_architecture
from netlathe.choose.budget import Budget, Candidate
from netlathe.choose.decide import tied
from netlathe.choose.run import choose, undecided
from netlathe.device.fit import held_out
from netlathe.sources.registry import open_source
from netlathe.sources.source import candidates
from netlathe.target.device import targets_on
from netlathe.target.target import Target

SHARED = Path(__file__).parent.parent.parent / "shared" / "data" / "timm"
# Why timm's tables print other MACs than counted here, beyond what the convention explains, by pattern of names.
REASONS = {
    "*nfnet*": "timm counts the standardisation of the weights in every forward",
    "nf_*": "timm counts the standardisation of the weights in every forward",
    "*_bit": "timm counts the standardisation of the weights in every forward",
    "vit_*_r??_s*": "timm counts the standardisation of the weights in every forward",
    "convmixer*": "timm's counter does not know convolutions whose padding is a word, same",
    "sequencer*": "timm's counter does not know the products of an LSTM",
    "coat_*": "timm counts 4 an element of a bilinear upsampling",
    "ghostnetv3*": "timm's table is of the network with its branches merged",
}
EQUAL, CONVENTION = "equal", "timm counts norms and the pooling of the head too: equal by that convention"
CARDS = ("rpi-5", "phone-a76-core", "rtx-4090")
BUDGETS = (0.07, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 4.0)  # times the forecast of ResNet-50 there


def shortlist_time() -> None:
    targets = targets_on("rpi-5")[:2]
    start = time.process_time()
    pool = candidates(open_source("all"), targets)
    pooled = time.process_time()
    todo = undecided(pool, Budget(latency=60.0))
    print(f"time: {len(pool)} candidates in {len(targets)} ways, {pooled - start:.2f} s of processor time, "
          f"shortlist of {len(todo)} {time.process_time() - pooled:.2f} s (target: 2 s together)\n")  # fmt: skip


def family_of(name: str) -> str:
    """The letters that a name begins with."""
    letters = re.match(r"[a-z_]+?(?=[\d_]|$)", name.removeprefix("tf_"))
    return letters[0] if letters else name


def ranks() -> None:
    print("ranks: leave-family-out, all networks of the catalogue that a table timed at the same side")
    families = sorted({family_of(name) for name in by_architecture()})
    order = np.random.default_rng(1).permutation(len(families)).tolist()
    fold = {family: order.index(i) % FOLDS for i, family in enumerate(families)}
    for device, table in TABLES.items():
        runtime = "torch-compile" if "compiled" in device else "torch"
        rows, ms, folds = [], [], []
        for (name, side), (one_ms, batch) in load_table(table).items():
            row = networks().get((TIMM, name.partition(".")[0], side))
            if row is None:
                continue
            features = row.under(runtime).row(1)
            rows.append({k: v / batch if k.endswith((".weights", ".calls")) else v for k, v in features.items()})
            ms.append(one_ms)
            folds.append(fold[family_of(name)])
        mape, middle, near, tau = scores(np.array(held_out(rows, ms, folds)), np.array(ms))
        print(f"  {device:35} {len(ms):5} networks, tau {tau:.3f}, MAPE {mape:.1%}, median {middle:.1%}, "
              f"within 10 % {near:.0%}", flush=True)  # fmt: skip
    print("(target: tau >= .87)\n")


def limits_of(target: Target, pool: list[Candidate]) -> list[float]:
    """Ten limits of the latency in ms: shares of the forecast of ResNet-50."""
    (resnet,) = [c for c in pool if c.name == "resnet50"]
    return [share * resnet.latency_ms for share in BUDGETS]


def picks() -> None:
    print("picks by forecast, --from all against --from zoo, ten budgets each")
    for card in CARDS:
        targets = targets_on(card)[:1]
        own, both = (candidates(open_source(source), targets) for source in ("zoo", "all"))
        outcomes = Counter[str]()
        for ms in limits_of(targets[0], own):
            budget = Budget(latency=ms)
            a, b = (choose(pool, budget, targets).decision.pick for pool in (own, both))
            verdict = compare(a, b)
            outcomes[verdict] += 1
            print(f"  {card:15} {ms:8.2f} ms  zoo {name_of(a)}  all {name_of(b)}  {verdict}")
        print(f"  {card}: {dict(outcomes)}")
    print()


def compare(a: Candidate | None, b: Candidate | None) -> str:
    """Whether the second pick is better than the first."""
    if a is None or b is None:
        return "the same" if a is b else "better" if a is None else "WORSE"
    return "the same" if a.top1 == b.top1 else "better" if b.top1 > a.top1 else "tied" if tied(a, b) else "WORSE"


def name_of(c: Candidate | None) -> str:
    return f"{c.name[:44]:44} {c.top1:.1f} %" if c else f"{'nothing':44}       "


def counts() -> None:
    params = Counter[str]()
    for (library, name, side), row in networks().items():
        if library == TIMM:
            printed = {one.params_M for one in by_architecture()[name] if one.side == side}
            params["equal" if any(abs(row.cost.params / 1e6 - p) < 0.0051 for p in printed) else name] += 1
    print(f"counts: params as timm prints them, two digits: {dict(params)}")
    reasons = Counter(reason_for(key, row.cost.macs) for key, row in networks().items() if key[0] == TIMM)
    for reason, number in reasons.most_common():
        print(f"  MACs of {number} networks at a side: {reason}")
    print()


def reason_for(key: tuple[str, str, int], macs: int) -> str:
    """Why timm's tables print other MACs for a network than are counted here, or that they print the same."""
    printed = published_macs().get(key[1:])
    if not printed:
        return "timm's tables print none at this side"
    theirs = int(read_columns()["convention"][networks()[key].place])
    ours_is, theirs_is = (any(abs(n / 1e9 - p) < 0.005 + 5e-4 * p for p in printed) for n in (macs, theirs))
    named = next((why for pattern, why in REASONS.items() if fnmatchcase(key[1], pattern)), "")
    return EQUAL if ours_is else CONVENTION if theirs_is else named or f"no reason is known: {key[1]}@{key[2]}"


@cache
def published_macs() -> dict[tuple[str, int], set[float]]:
    """Giga-MACs that timm's tables print, by architecture and side."""
    printed: dict[tuple[str, int], set[float]] = {}
    for file in sorted(SHARED.glob("benchmark-infer-*.csv.gz")):
        with gzip.open(file, "rt") as table:
            for row in csv.DictReader(table):
                if row.get("infer_gmacs"):
                    key = row["model"].partition(".")[0], int(row["infer_img_size"])
                    printed.setdefault(key, set()).add(float(row["infer_gmacs"].replace(",", "")))
    return printed


def here() -> None:
    from netlathe.target.here import targets_here

    targets = targets_here([])
    own, both = (candidates(open_source(source), targets) for source in ("zoo", "all"))
    for ms in limits_of(targets[0], [c for c in own if (c.runtime, c.precision) == ("onnxruntime", "fp32")]):
        start, budget = time.perf_counter(), Budget(latency=ms)
        b = choose(both, budget, targets)
        took = time.perf_counter() - start
        a = choose(own, budget, targets)
        measured, (one, two) = sum(c.is_measured for c in b.candidates), (a.decision.pick, b.decision.pick)
        verdict = f"{compare(one, two)}, {measured} measured, {took:.0f} s"
        print(f"  {ms:8.2f} ms  zoo {name_of(one)}  all {name_of(two)}  {verdict}", flush=True)


PARTS = {"time": shortlist_time, "ranks": ranks, "picks": picks, "counts": counts, "here": here}


def main() -> None:
    if not SHARED.is_dir():
        sys.exit(f"this needs the public tables in {SHARED}, which are not here")
    for word in sys.argv[1:] or list(PARTS)[:-1]:
        PARTS[word]()


if __name__ == "__main__":
    main()
