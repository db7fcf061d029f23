"""A trained network is factored, keeps its weights as well as the form allows, and is fine-tuned.

    python benchmarks/bench_decompose.py [seeds]

scikit-learn's digits (1,797 images of 8x8), five convolutions of 3x3. For every seed: split 1,437 / 360, train the
dense network for 30 epochs, factor all but the first convolution by SVD (no training), fine-tune for 6 epochs. Two
controls tell what the numbers mean: the dense network trained for the same 6 epochs more, and each factored network
trained from nothing for 6 and for 36. Intervals are 95 % over seeds (Student's t), differences are paired by seed. The
rate of the fine-tuning was chosen on seed 100, which is not among those reported, and its length by hand.
"""

from __future__ import annotations

import statistics
import sys
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from netlathe.arch.build import conv, head, seq
from netlathe.arch.network import Network
from netlathe.cost.totals import totals
from netlathe.lower.refit import decompose
from netlathe.lower.torch import to_torch
from netlathe.stats.student import t_half_width

EPOCHS, FINE, BATCH, RATE, FINE_RATE, TEST = 30, 6, 64, 0.05, 0.05, 360
Data = tuple[torch.Tensor, torch.Tensor]

NETWORK = Network(
    "five",
    seq(
        stem=conv(16, 3),
        stage1=seq(first=conv(32, 3), second=conv(32, 3)),
        stage2=seq(first=conv(64, 3, 2), second=conv(64, 3)),
        head=head(10),
    ),
    (1, 8, 8),
)
FORMS: dict[str, tuple[str, Any]] = {
    "separable": ("separable", 1),
    "separable, 2 filters a channel": ("separable", 2),
    "spatial, half the width": ("spatial", lambda op: op.out_shape[0] // 2),
    "low rank, half the width": ("low_rank", lambda op: op.out_shape[0] // 2),
}


def split(seed: int) -> tuple[Data, Data]:
    """Images of mean 0 and deviation about 1 with labels, to train and to test."""
    digits = load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.target))
    images = torch.tensor(digits.images[order, None], dtype=torch.float32)
    labels = torch.tensor(digits.target[order], dtype=torch.long)
    images = (images - 4.9) / 6.0
    return (images[TEST:], labels[TEST:]), (images[:TEST], labels[:TEST])


def train(model: nn.Module, data: Data, epochs: int, rate: float, seed: int) -> None:
    """SGD with momentum, the rate to zero by a cosine."""
    images, labels = data
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


def accuracy(model: nn.Module, data: Data) -> float:
    """Top-1 in percent."""
    model.eval()
    with torch.no_grad():
        return 100 * float((model(data[0]).argmax(1) == data[1]).float().mean())


def weights(model: nn.Module) -> dict[str, Any]:
    """The tensors by path."""
    state = model.state_dict().items()
    return {name: tensor.numpy().copy() for name, tensor in state if not name.endswith("num_batches_tracked")}


def one(seed: int) -> dict[str, float]:
    """Accuracies by arm: the form and the phase."""
    data, test = split(seed)
    dense = to_torch(NETWORK, seed=seed)
    train(dense, data, EPOCHS, RATE, seed)
    found = {"dense": accuracy(dense, test)}
    trained = weights(dense)
    train(dense, data, FINE, FINE_RATE, seed + 1000)
    found["dense, more"] = accuracy(dense, test)
    for name, (form, width) in FORMS.items():
        done = decompose(NETWORK, trained, form, width=width)
        model = to_torch(done.network, done.weights)
        found[f"{name}: svd"] = accuracy(model, test)
        train(model, data, FINE, FINE_RATE, seed + 1000)
        found[f"{name}: tuned"] = accuracy(model, test)
        for arm, epochs in (("short", FINE), ("fresh", EPOCHS + FINE)):
            fresh = to_torch(done.network, seed=seed)
            train(fresh, data, epochs, RATE, seed)
            found[f"{name}: {arm}"] = accuracy(fresh, test)
        found[f"{name}: error"] = max(error.relative for error in done.errors)
    return found


def interval(values: list[float], sign: str = "") -> str:
    """mean ± half the 95 % interval"""
    spread = t_half_width(statistics.stdev(values), len(values))
    return f"{statistics.mean(values):{sign}.2f} ± {spread:.2f}"


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    torch.set_num_threads(1)
    runs = []
    for seed in range(seeds):
        runs.append(one(seed))
        print(f"seed {seed} of {seeds}", file=sys.stderr, flush=True)
    before = totals(NETWORK.body, NETWORK.input)

    def column(arm: str) -> list[float]:
        return [run[arm] for run in runs]

    print(f"{seeds} seeds; % right of {TEST}, mean ± 95 %")
    print(f"dense: {before.macs:,} MACs; {interval(column('dense'))}; more: {interval(column('dense, more'))}")
    print("| form | MACs | params | kernel error | by SVD alone | fine-tuned | less dense | from nothing, 6 | 36 |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, (form, width) in FORMS.items():
        made = decompose(NETWORK, weights(to_torch(NETWORK)), form, width=width).network
        after = totals(made.body, made.input)
        ratios = f"/{before.macs / after.macs:.1f} | /{before.params / after.params:.1f}"
        lost = [tuned - start for tuned, start in zip(column(f"{name}: tuned"), column("dense"), strict=True)]
        cells = [interval(column(f"{name}: svd")), interval(column(f"{name}: tuned")), interval(lost, "+")]
        cells += [interval(column(f"{name}: short")), interval(column(f"{name}: fresh"))]
        error = statistics.mean(column(f"{name}: error"))
        print(f"| {name} | {ratios} | {error:.2f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
