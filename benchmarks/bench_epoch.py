"""A whole epoch, images and steps: ours against timm's loop fed by a DataLoader of Pillow and torchvision's transforms.

`python benchmarks/bench_epoch.py`: trashnet_128, ResNet-18 at 96 px, batch 64, random resized crops and flips, one
thread, processor time, in turns, the order alternating. Ours decodes before (bench_images.py measures that).
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from bench_images import BATCH, TRASHNET, Folder
from peers import load_timm

from netlathe import zoo
from netlathe.train.classification import Classification
from netlathe.train.distributed import join_ranks
from netlathe.train.evaluate import measure_normalisation
from netlathe.train.host import keep_freed_memory
from netlathe.train.images import load
from netlathe.train.job import TrainingJob
from netlathe.train.loop import step_once
from netlathe.train.plan import make_plan
from netlathe.train.recipefile import load as load_recipe
from netlathe.train.run import choose_precision, fit_to_images
from netlathe.train.state import start_state

PX, ROUNDS = 96, 4
PLAIN = ["resolution=96", "evaluate.resolution=96", f"batch={BATCH}", "augment.scale=[0.08, 1.0]"]


def ours() -> tuple[Callable[[], int], str]:
    """An epoch of ours."""
    splits = load(TRASHNET, size=112)
    images = splits.train
    recipe = load_recipe("fast", PLAIN)
    network = fit_to_images(zoo.get("resnet18"), images, recipe)
    plan = make_plan(recipe, len(images))
    job = TrainingJob(
        task=Classification(), network=network, splits=splits, recipe=recipe, seed=0,
        normal=measure_normalisation(images), ranks=join_ranks(), folder=Path(),
    )  # fmt: skip
    module = job.task.build(job, plan)
    chosen = choose_precision(module, (plan.batch, *network.input), "auto", None, join_ranks())
    state, job = start_state(module, recipe, plan, chosen, join_ranks()), replace(job, precision=chosen)
    state.module.train()

    def epoch() -> int:
        for step in range(plan.steps):
            step_once(job, state, job.task.batch(job, plan, 0, step))
            state.seen += plan.batch
        return plan.epoch

    return epoch, chosen


def theirs() -> Callable[[], int]:
    """An epoch of timm's inner loop, float32 as its default is."""
    timm = load_timm()
    from timm.optim import create_optimizer_v2

    loader: Any = torch.utils.data.DataLoader(Folder(TRASHNET), BATCH, shuffle=True, drop_last=True)
    model = timm.create_model("resnet18", num_classes=6).train()
    optimiser = create_optimizer_v2(model, "sgd", lr=0.01, momentum=0.9)
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=0.1)

    def epoch() -> int:
        count = 0
        for x, y in loader:
            loss = loss_of(model(x), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            count += len(x)
        return count

    return epoch


@keep_freed_memory()
def main() -> None:
    """Images a second of both, and the ratio."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    peer = theirs()
    mine, chosen = ours()
    rates: dict[str, list[float]] = {"ours": [], "timm": []}
    for turn in range(ROUNDS):
        for name, work in (("ours", mine), ("timm", peer))[:: 1 if turn % 2 else -1]:
            start = time.process_time()
            count = work()
            rates[name].append(count / (time.process_time() - start))
    ratios = sorted(a / b for a, b in zip(rates["ours"], rates["timm"], strict=True))
    for name, found in rates.items():
        print(f"  {name}   {statistics.median(found):7.0f} images/s" + f"   {chosen}" * (name == "ours"))
    print(f"  an epoch of ours is {statistics.median(ratios):.2f} x as fast ({ratios[0]:.2f} to {ratios[-1]:.2f})")


if __name__ == "__main__":
    main()
