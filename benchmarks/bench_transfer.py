"""The promise of `netlathe fit` with pretrained weights: as good as a plain PyTorch loop in the same processor time.

`python benchmarks/bench_transfer.py [--seconds 180] [--seeds 3] [--work FOLDER] [--data trashnet_128 ...] [--scratch]`

One core, the ImageNet weights of EfficientNet-Lite0 (`lite0_weights.py`) as the only pretrained ones, trashnet_128 and
sign_digits_100. `fit --latency 15ms --time 180s` runs first. The loop then gets as many seconds of the processor as the
fit took in all its processes: features of the centre crop at the network's own resolution, a logistic regression
(scikit-learn), then AdamW on all layers with random crops and mirroring until the time is up; what is better on the
validation images is tested. It neither measures a latency nor exports. With --scratch a fit from random weights
follows, with six times the time. Runs that are complete in the folder are not repeated; each says how busy the machine
was.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from lite0_weights import write_hub_cache

SHARED = Path(__file__).parents[1] / ".." / "shared" / "data"
LATENCY = "15ms"
TIMES = 6  # the time of a fit from scratch


def run(words: list[str], log: Path) -> dict[str, float]:
    """Run a command to its end: seconds by the wall and of the processor, children included, and the load."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    load = os.getloadavg()[0]
    with log.open("w") as file:
        code = subprocess.run(words, stdout=file, stderr=file, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if code.returncode not in (0, 4):  # 4: on a busy machine the latency may not be shown to be kept
        sys.exit(f"exit {code.returncode}: {' '.join(words)}; see {log}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": time.monotonic() - start, "cpu_s": cpu, "load": load}


def fit(data: str, seed: int, args: argparse.Namespace, *, scratch: bool) -> dict[str, Any]:
    """A fit in its folder: its times, its test accuracy, and how it got there."""
    folder = args.work / f"{data}-{'scratch' if scratch else 'fit'}-{seed}"
    note = folder.with_suffix(".json")
    if not note.exists():
        seconds = args.seconds * (TIMES if scratch else 1)
        how = ["--scratch"] if scratch else ["--weights-dir", str(args.work / "weights")]
        words = ["fit", str(SHARED / data), "--latency", LATENCY, "--time", f"{seconds}s", "--threads", "1", *how]
        figures = run([sys.executable, "-m", "netlathe", *words, "--seed", str(seed), "-o", str(folder)],
                      folder.with_suffix(".log"))  # fmt: skip
        card = json.loads((folder / "card.json").read_text())
        training = card["training"]["figures"]
        note.write_text(json.dumps(figures | {
            "test": card["accuracy"]["share"], "images": card["accuracy"]["images"], "network": card["name"],
            "how": training.get("how", "from scratch"), "unfreezing": training.get("unfreezing", ""),
        }))  # fmt: skip
    return dict(json.loads(note.read_text()))


def plain_loop(data: str, seed: int, args: argparse.Namespace, cpu_s: float) -> dict[str, Any]:
    """The same for the plain loop, in a process of its own."""
    note = args.work / f"{data}-plain-{seed}.json"
    if not note.exists():
        words = [sys.executable, __file__, "--peer", data, "--seeds", str(seed), "--seconds", str(math.floor(cpu_s))]
        log = note.with_suffix(".log")
        figures = run([*words, "--work", str(args.work)], log)
        note.write_text(json.dumps(figures | json.loads(log.read_text().splitlines()[-1])))
    return dict(json.loads(note.read_text()))


def peer(data: str, seed: int, seconds: float, work: Path) -> dict[str, Any]:
    """Probe, then fine-tune, as anybody would write it: within so many seconds of the processor."""
    import numpy as np
    import torch
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler
    from torch.nn import functional as F

    from netlathe.lower.libraries import import_library
    from netlathe.train.images import load

    timm = import_library("timm")
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    splits = load(SHARED / data, size=256)
    [file] = (work / "weights").glob("models--*/snapshots/*/model.safetensors")
    overlay = {"file": str(file)}
    classes = len(splits.train.classes)
    net = timm.create_model(
        "tf_efficientnet_lite0", pretrained=True, pretrained_cfg_overlay=overlay, num_classes=classes
    ).to(memory_format=torch.channels_last)

    def batch(pixels: Any, augment: bool) -> Any:
        x = torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2).float()
        height, width = x.shape[2:]
        if augment:
            side = int(min(height, width) * rng.uniform(0.6, 1.0))
            top, left = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
            x = x[..., top : top + side, left : left + side]
            x = x.flip(3) if rng.random() < 0.5 else x
        else:
            side = min(height, width)
            top, left = (height - side) // 2, (width - side) // 2
            x = x[..., top : top + side, left : left + side]
        x = F.interpolate(x, (224, 224), mode="bicubic", antialias=True, align_corners=False)
        return ((x / 255 - 0.5) / 0.5).contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def outputs(images: Any, forward: Any) -> Any:
        net.eval()
        parts = [forward(batch(images.pixels[i : i + 32], False)) for i in range(0, len(images), 32)]
        return torch.cat(parts)

    def accuracy(images: Any) -> float:
        return float((outputs(images, net).argmax(1).numpy() == images.labels).mean())

    scaler = StandardScaler()
    features = outputs(splits.train, lambda x: net.forward_head(net.forward_features(x), pre_logits=True)).numpy()
    probe = LogisticRegression(C=0.01, max_iter=500).fit(scaler.fit_transform(features), splits.train.labels)
    weight = probe.coef_ / scaler.scale_
    with torch.no_grad():
        net.classifier.weight.copy_(torch.from_numpy(weight))
        net.classifier.bias.copy_(torch.from_numpy(probe.intercept_ - weight @ scaler.mean_))
    best = accuracy(splits.validation)
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    probed, seen = best, 0
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-4, weight_decay=0.05)
    reserve = 0.12 * seconds  # for the last evaluation and the test
    labels = torch.from_numpy(splits.train.labels)
    while time.process_time() < seconds - reserve:
        net.train()
        for rows in np.array_split(rng.permutation(len(labels)), max(1, len(labels) // 32)):
            if (spent := time.process_time()) > seconds - reserve:
                break
            for group in optimiser.param_groups:
                group["lr"] = 1e-4 * max(0.0, 1 - spent / (seconds - reserve))
            loss = F.cross_entropy(net(batch(splits.train.pixels[np.sort(rows)], True)), labels[np.sort(rows)])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            seen += len(rows)
    tuned = accuracy(splits.validation) if seen else best
    if tuned <= best:
        net.load_state_dict(state)
    assert splits.test is not None
    return {"test": accuracy(splits.test), "images": len(splits.test), "epochs": seen / len(labels), "probe": probed,
            "tuned": tuned, "used_s": time.process_time()}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=180)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("/tmp/netlathe-bench-transfer"))
    parser.add_argument("--data", nargs="*", default=["trashnet_128", "sign_digits_100"])
    parser.add_argument("--scratch", action="store_true")
    parser.add_argument("--peer", help="the plain loop alone, on these images")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    if args.peer:
        print(json.dumps(peer(args.peer, args.seeds, args.seconds, args.work)))
        return
    if not (args.work / "weights").exists():
        write_hub_cache(args.work / "weights")
    # The machine is calibrated once, which is no part of a fit.
    words = ["fit", "digits", "--latency", LATENCY, "--scratch", "--epochs", "1", "--dry-run"]
    run([sys.executable, "-m", "netlathe", *words], args.work / "calibration.log")
    for data in args.data:
        rows = []
        print(f"{data}\nseed   fit %  plain %  scratch %   cpu s  wall s   load")
        for seed in range(args.seeds):
            ours = fit(data, seed, args, scratch=False)
            plain = plain_loop(data, seed, args, ours["cpu_s"])
            scratch = fit(data, seed, args, scratch=True) if args.scratch else {"test": math.nan}
            rows.append((ours["test"], plain["test"], scratch["test"]))
            print(f"{seed:>4}  {100 * ours['test']:>6.1f}  {100 * plain['test']:>7.1f}  {100 * scratch['test']:>9.1f}  "
                  f"{ours['cpu_s']:>6.0f}  {ours['wall_s']:>6.0f}  {ours['load']:>5.1f}  {ours['how']}; "
                  f"{ours['unfreezing']}", flush=True)  # fmt: skip
        middle = [100 * median(column) for column in zip(*rows, strict=True)]
        print(f"median: fit {middle[0]:.1f} %, plain loop {middle[1]:.1f} % ({middle[0] - middle[1]:+.1f} points), "
              f"from scratch in {TIMES} times the time {middle[2]:.1f} %")  # fmt: skip


if __name__ == "__main__":
    main()
