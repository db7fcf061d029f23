"""A trained network is factored, keeps its weights as well as the form allows, and is fine-tuned.

    python benchmarks/bench_decompose.py [seeds] [images]

Fashion-MNIST (../shared/data/fashion_mnist), five convolutions of 3x3. For every seed: train the dense network, factor
all but the first convolution into depthwise and pointwise by SVD (no training), fine-tune that for one epoch at a tenth
of the learning rate. Two controls tell what the numbers mean: the dense network trained for the same one epoch more,
and the factored network trained from nothing for as many epochs as both phases together. Intervals are 95 % over seeds
(Student's t), differences are paired by seed. Accuracy is of all 10,000 test images.
"""

from __future__ import annotations

import gzip
import statistics
import sys
from math import sqrt
from pathlib import Path

import numpy as np
import torch
from torch import nn

from netlathe.arch.build import conv, head, seq
from netlathe.arch.network import Network
from netlathe.cost.totals import totals
from netlathe.lower.refit import decompose
from netlathe.lower.torch import to_torch

DATA = Path(__file__).parents[2] / "shared" / "data" / "fashion_mnist"
EPOCHS, FINE, BATCH, RATE = 5, 1, 64, 0.1
T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365}  # Student's t, 97.5 %, by seeds

NETWORK = Network(
    "five",
    seq(
        stem=conv(16, 3),
        stage1=seq(first=conv(32, 3, 2), second=conv(32, 3)),
        stage2=seq(first=conv(64, 3, 2), second=conv(64, 3)),
        head=head(10),
    ),
    (1, 28, 28),
)


def read(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of mean 0 and deviation 1, and labels."""
    pixels = np.frombuffer(gzip.decompress((DATA / f"{name}-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16)
    labels = np.frombuffer(gzip.decompress((DATA / f"{name}-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    images = torch.tensor(pixels.reshape(-1, 1, 28, 28), dtype=torch.float32) / 255
    return (images - 0.286) / 0.353, torch.tensor(labels, dtype=torch.long)


def train(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, epochs: int, rate: float, seed: int) -> None:
    """SGD with momentum, the rate to zero by a cosine."""
    model.train()
    random = torch.Generator().manual_seed(seed)
    steps = epochs * (len(images) // BATCH)
    optimiser = torch.optim.SGD(model.parameters(), rate, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(epochs):
        order = torch.randperm(len(images), generator=random)
        for batch in order[: len(order) // BATCH * BATCH].split(BATCH):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimiser.step()
            schedule.step()


def accuracy(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Top-1 in percent."""
    model.eval()
    with torch.no_grad():
        said = torch.cat([model(part).argmax(1) for part in images.split(500)])
    return 100 * float((said == labels).float().mean())


def weights(model: nn.Module) -> dict[str, np.ndarray]:
    """The tensors by path."""
    state = model.state_dict().items()
    return {name: tensor.numpy().copy() for name, tensor in state if not name.endswith("num_batches_tracked")}


def one(seed: int, data: tuple[torch.Tensor, ...]) -> tuple[dict[str, float], float]:
    """Accuracies by arm, and the largest error of a factored kernel."""
    images, labels, test, answers = data
    dense = to_torch(NETWORK, seed=seed)
    train(dense, images, labels, EPOCHS, RATE, seed)
    found = {"dense": accuracy(dense, test, answers)}
    trained = weights(dense)
    train(dense, images, labels, FINE, RATE / 10, seed + 1000)
    found["dense, one epoch more"] = accuracy(dense, test, answers)
    done = decompose(NETWORK, trained, "separable")
    factored = to_torch(done.network, done.weights)
    found["factored by SVD"] = accuracy(factored, test, answers)
    train(factored, images, labels, FINE, RATE / 10, seed + 1000)
    found["factored, fine-tuned"] = accuracy(factored, test, answers)
    fresh = to_torch(done.network, seed=seed)
    train(fresh, images, labels, EPOCHS + FINE, RATE, seed)
    found["factored, from nothing"] = accuracy(fresh, test, answers)
    return found, max(error.relative for error in done.errors)


def interval(values: list[float]) -> str:
    """mean ± half the 95 % interval"""
    spread = T[len(values)] * statistics.stdev(values) / sqrt(len(values))
    return f"{statistics.mean(values):+6.2f} ± {spread:.2f}"


def main() -> None:
    given = [int(word) for word in sys.argv[1:3]]
    seeds, count = (*given, 5, 20_000)[:2] if len(given) != 1 else (given[0], 20_000)
    images, labels = read("train")
    data = (images[:count], labels[:count], *read("t10k"))
    before = totals(NETWORK.body, NETWORK.input)
    runs = []
    for seed in range(seeds):
        found, error = one(seed, data)
        runs.append(found)
        said = ", ".join(f"{arm} {value:.2f}" for arm, value in found.items())
        print(f"seed {seed}: {said}; largest error of a kernel {error:.2f}", flush=True)
    after = totals(decompose(NETWORK, weights(to_torch(NETWORK)), "separable").network.body, NETWORK.input)
    print(f"MACs {before.macs:,} -> {after.macs:,} ({before.macs / after.macs:.1f} x fewer)")
    print(f"params {before.params:,} -> {after.params:,} ({before.params / after.params:.1f} x fewer)")
    print(f"{seeds} seeds, {count} images, {EPOCHS} epochs; % right of 10,000, 95 % interval")
    for arm in runs[0]:
        print(f"  {arm:34} {interval([run[arm] for run in runs])}")
    for a, b in (("factored, fine-tuned", "dense"), ("factored, fine-tuned", "dense, one epoch more"),
                 ("factored, fine-tuned", "factored, from nothing")):  # fmt: skip
        print(f"  {a} - {b:26} {interval([run[a] - run[b] for run in runs])}")


if __name__ == "__main__":
    main()
