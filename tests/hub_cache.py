"""Files of weights, and a cache of huggingface_hub that holds them under the names of published ones."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file


def saved(path: Path, tensors: dict[str, Any]) -> Path:
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path)
    return path


def cached(monkeypatch: pytest.MonkeyPatch, hub: Path, name: str, content: Any, suffix: str = ".safetensors") -> Path:
    """A cache of huggingface_hub with timm's weights of that name, as it lays them out; the file."""
    home = hub / f"models--timm--{name}"
    for folder in (home / "refs", home / "blobs", home / "snapshots" / ("0" * 40)):
        folder.mkdir(parents=True)
    (home / "refs" / "main").write_text("0" * 40)
    file = saved(home / f"new{suffix}", content)
    blob = file.rename(home / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest())
    link = home / "snapshots" / ("0" * 40) / ("model" if suffix == ".safetensors" else "pytorch_model")
    link = link.with_suffix(".bin" if suffix == ".pth" else suffix)
    link.symlink_to(blob)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub))
    return link
