"""The data side against Pillow, torchvision's transforms and a DataLoader: python benchmarks/bench_images.py [--wall]

One epoch of a folder of photographs (trashnet_128: 1,773 training images of 170 x 128) as a training sees it: batches
of 64, random resized crop to 96 px, mirrored at random, normalised. The peer decodes every file in every epoch. Ours
decodes all files (with those for validation and test: 2,527) once into the cache, and serves from it.

    first   our epoch with an empty cache, decoding included, against an epoch of the peer
    later   our epoch with the cache, which is found again, against an epoch of the peer

Processor time on one core, without worker processes, alternating in one run. With --wall also wall time on every core:
the peer with as many worker processes, which stay; ours decodes with as many threads and serves with one, as beside a
training.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from peers import declare_torchvision_operators
from PIL import Image

from netlathe.train.augment.pipeline import augment_images, normalise
from netlathe.train.images import load
from netlathe.train.images.folders import folder_source
from netlathe.train.images.sources import TRAIN, ImageFiles
from netlathe.train.recipe import Augment
from netlathe.train.rng import CounterRNG, shuffled_order

TRASHNET = Path(__file__).parent.parent.parent / "shared" / "data" / "trashnet_128"
BATCH, RESOLUTION, SHORT_SIDE, ROUNDS = 64, 96, 128, 7
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
AUGMENT = Augment(crop="rrc")


class Folder(torch.utils.data.Dataset[Any]):
    """The training images of a folder, decoded and transformed one by one, as torchvision's ImageFolder does it."""

    def __init__(self, root: Path) -> None:
        from torchvision import transforms

        files = folder_source(root).open()
        assert isinstance(files, ImageFiles)
        wanted = np.flatnonzero((files.splits == TRAIN) | (files.splits.max() < TRAIN))
        self.paths = [files.paths[i] for i in wanted]
        self.labels = files.labels[wanted].tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomResizedCrop(RESOLUTION),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        with self.paths[i].open("rb") as file:
            return self.transform(Image.open(file).convert("RGB")), self.labels[i]


def epoch_of(loader: Any) -> int:
    """An epoch of the peer; how many images it had."""
    return sum(len(x) for x, _ in loader)


def our_epoch(root: Path, cache: Path, number: int) -> int:
    """An epoch of ours, from finding the images on."""
    train = load(root, size=SHORT_SIDE, cache=cache).train
    found = shuffled_order(0, number, len(train))
    served = 0
    for start in range(0, len(train), BATCH):
        indices = found[start : start + BATCH]
        pixels = torch.from_numpy(train.pixels[indices])
        x = normalise(augment_images(pixels, AUGMENT, RESOLUTION, CounterRNG(0, number, indices)), MEAN, STD)
        assert x.shape[1:] == (3, RESOLUTION, RESOLUTION)
        served += len(x)
    return served


def compare(root: Path, loader: Any, clock: Callable[[], float]) -> None:
    """Print images a second of both sides, and the ratios, inside rounds."""
    rounds: list[tuple[float, float, float]] = []
    count = epoch_of(loader)
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        assert our_epoch(root, cache, 0) == count, "both sides serve the same images"
        for number in range(ROUNDS):
            shutil.rmtree(cache)
            took = []
            for work in (
                lambda: epoch_of(loader),
                lambda n=number: our_epoch(root, cache, n),
                lambda n=number: our_epoch(root, cache, n + 1),
            ):
                start = clock()
                work()
                took.append(clock() - start)
            rounds.append((took[0], took[1], took[2]))
    peer, first, later = (median(column) for column in zip(*rounds, strict=True))
    print(f"  peer            {count / peer:8,.0f} images/s")
    for name, column, goal in (("first", 1, ""), ("later", 2, "  (target 2)")):
        ratio = median(took[0] / took[column] for took in rounds)
        ours = (first, later)[column - 1]
        print(f"  ours, {name:<10}{count / ours:8,.0f} images/s  x{ratio:.2f}{goal}")
    for epochs in (3, 10):
        ours = first + (epochs - 1) * later
        print(f"  ours, {epochs:>2} epochs {epochs * count / ours:8,.0f} images/s  x{epochs * peer / ours:.2f}")


def main() -> None:
    """One table, or both."""
    root = TRASHNET
    warnings.filterwarnings("ignore")
    declare_torchvision_operators()
    data = Folder(root)
    mine = os.sched_getaffinity(0)
    cores = len(mine)
    print(f"{root.name}: {len(data):,} training images, to {RESOLUTION} px")
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {min(mine)})
    print("processor time, one core")
    compare(root, torch.utils.data.DataLoader(data, BATCH, shuffle=True), time.process_time)
    os.sched_setaffinity(0, mine)
    if "--wall" not in sys.argv:
        return
    print(f"wall time, {cores} cores, {cores} worker processes of the peer, load {os.getloadavg()[0]:.1f}")
    loader = torch.utils.data.DataLoader(data, BATCH, shuffle=True, num_workers=cores, persistent_workers=True)
    compare(root, loader, time.perf_counter)


if __name__ == "__main__":
    main()
