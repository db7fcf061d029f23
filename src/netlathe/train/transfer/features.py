"""Features of images under a frozen network: what its last layer reads. Computed once, a file for each CHUNK images.

A file is there as a whole or not at all, so a process that is killed loses one chunk. The folder of a set of features
is named by all that decides them: weights, images, preparation, view and precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netlathe.errors import MissingExtra, NetlatheError
from netlathe.files import make_folder, write_bytes
from netlathe.lower.weights import Array
from netlathe.runfolder.identity import content_hash
from netlathe.train.evaluate import Preprocessor
from netlathe.train.precision import autocast

try:
    import torch
    from torch import Tensor, nn
except ImportError as error:
    raise MissingExtra("torch", "train") from error

CHUNK, BATCH = 128, 32  # images of a file, and of a forward pass
VIEWS: dict[str, Callable[[Tensor], Tensor]] = {"plain": lambda x: x, "mirrored": lambda x: x.flip(3)}


@contextmanager
def head_inputs(module: nn.Module, head: str) -> Iterator[list[Tensor]]:
    """While it holds, what the layer at the path `head` reads in each forward pass is put into the list."""
    inputs: list[Tensor] = []
    hook = module.get_submodule(head).register_forward_pre_hook(lambda layer, x: inputs.append(x[0]))
    try:
        yield inputs
    finally:
        hook.remove()


def features_of(module: nn.Module, head: str, x: Tensor, precision: str) -> Array:
    """What the layer at `head` reads of prepared images (n, C, r, r): (n, d) float32, under a policy of precision."""
    with torch.inference_mode(), autocast(precision), head_inputs(module, head) as inputs:
        module(x)
    if len(inputs) != 1 or inputs[0].flatten(1).shape[0] != len(x):
        message = f"the last layer, {head}, reads {len(inputs)} tensors in a pass, not one of so many images"
        raise NetlatheError(message, code="transfer.head")
    features: Array = inputs[0].flatten(1).float().numpy()
    return features


def compute_features(
    module: nn.Module,
    head: str,
    pixels: NDArray[np.uint8],
    rows: NDArray[np.int64],
    prepare: Preprocessor,
    folder: Path,
    *,
    identity: Any,
    view: str = "plain",
    precision: str = "fp32",
    tick: Callable[[int], None] = lambda done: None,
) -> Array:
    """The features (len(rows), d) of the images `rows` of (N, H, W, C), read where `folder` has them.

    The module is in evaluation mode. `identity` are JSON values that decide the features of all images beside view and
    precision, their order too: `rows` are always the first of one order, so that a longer call goes on where a shorter
    one ended. `tick` is called with the images that are done, after each chunk that was not there. Raises NetlatheError
    where the folder cannot be written.
    """
    place = folder / content_hash(identity, view, precision)
    make_folder(place)
    turn, parts = VIEWS[view], []
    for start in range(0, len(rows), CHUNK):
        path, some = place / f"{start:08}.npy", rows[start : start + CHUNK]
        part = read_chunk(path, len(some))
        if part is None:
            batches = (pixels[some[i : i + BATCH]] for i in range(0, len(some), BATCH))
            part = np.concatenate(
                [features_of(module, head, turn(prepare(torch.from_numpy(np.array(x)))), precision) for x in batches]
            )
            write_chunk(path, part)
            tick(start + len(some))
        parts.append(part)
    return np.concatenate(parts)


def read_chunk(path: Path, count: int) -> Array | None:
    """The features of so many images in a file; None where it is absent or damaged."""
    try:
        part: Array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return part if part.ndim == 2 and len(part) == count and part.dtype == np.float32 else None


def write_chunk(path: Path, part: Array) -> None:
    """Write features; raises NetlatheError where that cannot be done."""
    buffer = BytesIO()
    np.save(buffer, part, allow_pickle=False)
    write_bytes(path, buffer.getbuffer())
