"""Where a network looks: class activation maps of the deployed ONNX file, or what covering a part of the image changes.

A network that ends in global pooling and a linear layer says how much each place speaks for a class: the weights of the
class times the activations there (Zhou et al. 2016, https://arxiv.org/abs/1512.04150). For others, a patch in the mean
colour covers one place after another, and what the probability loses is the map (Zeiler and Fergus 2014,
https://arxiv.org/abs/1311.2901, section 4.2).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netlathe.deploy.calibration import probabilities

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]
PASSES = ("Flatten", "Reshape", "Squeeze", "Dropout", "Identity", "Cast")  # between pooling and the linear layer
GRID = 7  # places that are covered, in each direction


class LinearHead(NamedTuple):
    """What the global pooling takes, and the weights (classes, channels) of the linear layer behind it."""

    features: str
    weights: Floats


class Heatmaps(NamedTuple):
    """Maps (N, h, w), larger where the class is supported, and how they were made: activation or occlusion."""

    maps: Floats
    method: str


def make_heatmaps(path: Path, pixels: Pixels, classes: NDArray[np.int64]) -> Heatmaps:
    """How much each place of images (N, r, r, C) speaks for a class (N,) of each, in a file with preprocessing."""
    import onnx

    model = onnx.load(str(path))
    head = find_linear_head(model)
    if head is not None:
        features = run(with_output(model, head.features), pixels)[-1].astype(np.float64)
        if features.ndim == 4 and features.shape[1] == head.weights.shape[1]:
            return Heatmaps(np.einsum("nchw,nc->nhw", features, head.weights[classes]), "activation")
    return Heatmaps(occlusion_maps(model, pixels, classes), "occlusion")


def find_linear_head(model: Any) -> LinearHead | None:
    """The end of a network of the form: global average pooling, perhaps a new shape, linear layer; None for others."""
    from onnx import numpy_helper

    made_by = {name: node for node in model.graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}

    def back(name: str, *kinds: str) -> Any:
        while (node := made_by.get(name)) is not None and node.op_type in PASSES:
            name = node.input[0]
        return node if node is not None and node.op_type in kinds else None

    last = back(model.graph.output[0].name, "Gemm", "MatMul", "Add")
    if last is not None and last.op_type == "Add":
        last = next(filter(None, (back(name, "MatMul") for name in last.input)), None)
    if last is None or last.input[1] not in constants:
        return None
    weights = numpy_helper.to_array(constants[last.input[1]]).astype(np.float64)
    transposed = any(a.name == "transB" and a.i for a in last.attribute) if last.op_type == "Gemm" else False
    pool = back(last.input[0], "GlobalAveragePool", "ReduceMean")
    if pool is None or weights.ndim != 2:
        return None
    return LinearHead(pool.input[0], weights if transposed else weights.T)


def with_output(model: Any, name: str) -> bytes:
    """The file with one more output."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.output.append(onnx.ValueInfoProto(name=name))
    return bytes(copy.SerializeToString())


def run(content: bytes, pixels: Pixels) -> list[NDArray[np.float32]]:
    """All outputs of a file for images."""
    import onnxruntime as ort

    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    return list(session.run(None, {session.get_inputs()[0].name: pixels}))


def occlusion_maps(model: Any, pixels: Pixels, classes: NDArray[np.int64]) -> Floats:
    """What the probability of the class loses when each of GRID x GRID places is covered: (N, GRID, GRID)."""
    content = bytes(model.SerializeToString())
    side = pixels.shape[1]
    edges = np.linspace(0, side, GRID + 1).round().astype(int)
    maps = np.zeros((len(pixels), GRID, GRID))
    for image, label, grid in zip(pixels, classes.tolist(), maps, strict=True):
        covered = np.repeat(image[None], GRID * GRID + 1, axis=0)
        colour = image.reshape(-1, image.shape[-1]).mean(0).round().astype(np.uint8)
        for k in range(GRID * GRID):
            y, x = divmod(k, GRID)
            covered[k, edges[y] : edges[y + 1], edges[x] : edges[x + 1]] = colour
        shares = probabilities(run(content, covered)[0])[:, label]
        grid[:] = (shares[-1] - shares[:-1]).reshape(GRID, GRID)
    return maps
