"""Our ONNX files against those that torch.onnx.export makes of timm's modules: python benchmarks/bench_onnx.py [names]

1. Writing ResNet-50: expression and weights to file, against module to file, the better of torch's two exporters.
2. One network of each family: latency of both files in ONNX Runtime, one thread, batch 1. A ratio above 1 says that
   ours is faster; the target is 0.98.
"""

from __future__ import annotations

import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import netlathe  # noqa: F401  # isort: skip  (first: it keeps the others from reporting their use)
import numpy as np
import onnxruntime as ort
import torch
from peers import duel, load_timm, timed

from netlathe import zoo
from netlathe.arch.network import Network
from netlathe.lower.onnx import save_onnx
from netlathe.lower.weights import random_weights

# One network a family, and its twin in timm; timm's MobileNetV3 has another head than torchvision's and ours.
FAMILIES = {
    "resnet50": "resnet50",
    "resnext50_32x4d": "resnext50_32x4d",
    "vgg11_bn": "vgg11_bn",
    "densenet121": "densenet121",
    "mobilenetv1": "mobilenetv1_100",
    "mobilenetv2": "mobilenetv2_100",
    "mobilenetv3_large": "torchvision:mobilenet_v3_large",
    "efficientnet_b0": "efficientnet_b0",
    "regnety_800mf": "regnety_008",
    "convnext_atto": "convnext_atto",
    "convnext_tiny": "convnext_tiny",
    "vit_small_patch16": "vit_small_patch16_224",
    "vit_small_r26_s32": "vit_small_r26_s32_224",
    "swin_tiny": "swin_tiny_patch4_window7_224",
    "nasnet_large": "nasnetalarge",
}


def export(module: Any, network: Network, path: Path, *, dynamo: bool = True) -> None:
    """What a user of torch does."""
    sink = os.open(os.devnull, os.O_WRONLY)
    keep = os.dup(1)
    os.dup2(sink, 1)  # the exporter prints its progress
    try:
        x = torch.zeros(1, *network.input)
        torch.onnx.export(module, (x,), str(path), dynamo=dynamo, external_data=False)
    finally:
        os.dup2(keep, 1)


def twin(timm: Any, name: str) -> Any:
    """A module of timm, or of torchvision where the name says so."""
    library, _, model = name.rpartition(":")
    return getattr(import_module("torchvision.models"), model)() if library else timm.create_model(model)


def export_ms(module: Any, network: Network, path: Path, dynamo: bool) -> float:
    """The fastest of three exports."""
    return min(timed(lambda: export(module, network, path, dynamo=dynamo)) for _ in range(3))


def session(path: Path) -> ort.InferenceSession:
    """ONNX Runtime as `netlathe bench` opens it."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def call(path: Path, network: Network) -> Any:
    """One inference."""
    loaded = session(path)
    x = np.random.default_rng(0).standard_normal((1, *network.input), np.float32)
    feed = {loaded.get_inputs()[0].name: x}
    return lambda: loaded.run(None, feed)


def main() -> None:
    timm = load_timm()
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp(prefix="netlathe-bench-"))
    chosen = sys.argv[1:] or list(FAMILIES)
    if not sys.argv[1:]:
        network, module = zoo.get("resnet50"), timm.create_model("resnet50").eval()
        weights = random_weights(network)
        ours = min(timed(lambda: save_onnx(network, folder / "a.onnx", weights)) for _ in range(5))
        exported, traced = (export_ms(module, network, folder / "b.onnx", dynamo) for dynamo in (True, False))
        print(
            f"write ResNet-50      {ours:8.0f} ms   torch.onnx.export {exported:8.0f} ms, dynamo=False {traced:6.0f} ms"
        )
        print(f"ratio                {min(traced, exported) / ours:8.1f} x    (target 5)")
    print("latency, ms              ours   torch.onnx.export   ratio (target 0.98)")
    for name in chosen:
        network = zoo.get(name)
        module = twin(timm, FAMILIES[name]).eval()
        save_onnx(network, folder / "ours.onnx")
        export(module, network, folder / "theirs.onnx")
        del module
        # Of two sessions in a process the second runs a percent faster, so each side is the second once.
        theirs, ours = (call(folder / side, network) for side in ("theirs.onnx", "ours.onnx"))
        first = duel(ours, theirs, seconds=8)
        del ours, theirs
        ours, theirs = (call(folder / side, network) for side in ("ours.onnx", "theirs.onnx"))
        second = duel(ours, theirs, seconds=8)
        ratio = (first.ratio * second.ratio) ** 0.5
        ours_ms, theirs_ms = (sum(sides) / 2 for sides in zip(first[:2], second[:2], strict=True))
        print(f"{name:20} {ours_ms:8.1f} {theirs_ms:8.1f}            {ratio:6.3f}", flush=True)


if __name__ == "__main__":
    main()
