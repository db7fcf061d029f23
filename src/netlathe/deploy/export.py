"""Preprocessing baked into the file: what is deployed takes uint8 pixels, so that nobody can normalise them wrongly.

A trained network takes float32 (N, C, r, r) of (pixel / 255 - mean) / std. Baked, its input is `image`, uint8
(N, r, r, C), as Pillow and numpy have it: transposed while it is small, cast, and one product and one sum by channel.
The normalisation is not folded into the first convolution: its zero padding is zero after normalisation, not before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from netlathe.arch.net import rewritable
from netlathe.arch.network import Network
from netlathe.arch.trainable import Trainable
from netlathe.deploy.package import INPUT, Preprocessing
from netlathe.errors import MissingExtra, NetlatheError
from netlathe.load import from_document
from netlathe.lower.folding import fold_network
from netlathe.lower.onnx import to_onnx
from netlathe.lower.weights import Array
from netlathe.read.onnx_model import parse_model

STEPS = ("bake:channels", "bake:float", "bake:scale", "bake:shift")  # names of the nodes


def with_preprocessing(model: onnx.ModelProto, preprocessing: Preprocessing) -> onnx.ModelProto:
    """A copy of the model that takes `image`, uint8 (N, r, r, C), instead of normalised float32 (N, C, r, r).

    Raises NetlatheError for a model that does not take one such image, or other channels or pixels than are said.
    """
    exported = onnx.ModelProto()
    exported.CopyFrom(model)
    held = {tensor.name for tensor in exported.graph.initializer}
    inputs = [value for value in exported.graph.input if value.name not in held]
    p = preprocessing
    want = [p.channels, p.resolution, p.resolution]
    if len(inputs) != 1 or [axis.dim_value for axis in inputs[0].type.tensor_type.shape.dim][1:] != want:
        shapes = [[axis.dim_value for axis in value.type.tensor_type.shape.dim] for value in inputs]
        message = f"only a network of one image {'x'.join(map(str, want))} can take pixels; this one takes {shapes}"
        raise NetlatheError(message, code="deploy.input", path=model.graph.name)
    if len(p.mean) != p.channels or len(p.std) != p.channels or not all(s > 0 for s in p.std):
        message = f"mean {p.mean} and std {p.std} do not fit {p.channels} channels"
        raise NetlatheError(message, code="deploy.normalisation", path=model.graph.name)
    axis, inner = inputs[0].type.tensor_type.shape.dim[0], inputs[0].name
    count = axis.dim_value or axis.dim_param or "N"
    scale = 1 / (255 * np.array(p.std, np.float64))
    shift = -np.array(p.mean, np.float64) / np.array(p.std, np.float64)
    for name, values in (("scale", scale), ("shift", shift)):
        array = values.astype(np.float32).reshape(1, -1, 1, 1)
        exported.graph.initializer.append(numpy_helper.from_array(array, f"bake:{name}"))
    steps = [
        helper.make_node("Transpose", [INPUT], ["bake:planes"], STEPS[0], perm=(0, 3, 1, 2)),
        helper.make_node("Cast", ["bake:planes"], ["bake:pixels"], STEPS[1], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["bake:pixels", "bake:scale"], ["bake:scaled"], STEPS[2]),
        helper.make_node("Add", ["bake:scaled", "bake:shift"], [inner], STEPS[3]),
    ]
    nodes = [*steps, *exported.graph.node]
    del exported.graph.node[:]
    exported.graph.node.extend(nodes)
    exported.graph.input.remove(inputs[0])
    shape = (count, p.resolution, p.resolution, p.channels)
    exported.graph.input.insert(0, helper.make_tensor_value_info(INPUT, TensorProto.UINT8, shape))
    exported.graph.value_info.append(
        helper.make_tensor_value_info(inner, TensorProto.FLOAT, (count, p.channels, p.resolution, p.resolution))
    )
    onnx.checker.check_model(exported)
    return exported


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """What a run left: the network at its test resolution, its weights by path, and how its images are prepared."""

    network: Trainable
    weights: dict[str, Array]
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    metadata: dict[str, str]
    file: Path  # that the run exported: normalised images in

    def model(self) -> onnx.ModelProto:
        """The file to deploy, float32, any batch: batch norms folded, preprocessing baked in.

        A module's is made of the exported file, in which torch has folded the norms: its source is not needed.
        """
        if (expression := rewritable(self.network)) is not None:
            return deployable_model(expression, self.weights, self.preprocessing, self.metadata)
        return with_metadata(with_preprocessing(parse_model(self.file), self.preprocessing), self.metadata)


def deployable_model(
    network: Network, weights: dict[str, Array], preprocessing: Preprocessing, metadata: dict[str, str] | None = None
) -> onnx.ModelProto:
    """A network with weights as a float32 ONNX model of any batch: norms folded where they can be, pixels in."""
    try:
        network, weights = fold_network(network, weights)
    except NetlatheError as error:
        if error.code != "fold.none":
            raise
    return with_metadata(with_preprocessing(to_onnx(network, weights, batch=None), preprocessing), metadata or {})


def with_metadata(model: onnx.ModelProto, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """The model itself, with what it does not say of itself yet."""
    present = {entry.key for entry in model.metadata_props}
    for key, value in metadata.items():
        if key not in present:
            entry = model.metadata_props.add()
            entry.key, entry.value = key, value
    return model


def load_trained(folder: str | Path) -> TrainedModel:
    """What `netlathe train` left in a folder.

    Raises NetlatheError for a folder without a finished export, and MissingExtra without the extra `train`.
    """
    folder = Path(folder)
    from netlathe.train.export import read_weights
    from netlathe.train.folder import MODEL, WEIGHTS

    if gone := [name for name in ("arch.json", WEIGHTS, MODEL) if not (folder / name).is_file()]:
        raise NetlatheError(
            f"this is no folder of a finished training: {', '.join(gone)} is not there",
            code="deploy.run",
            path=str(folder),
            hint="netlathe train NET --data photos/ -o run/",
        )
    about = {entry.key: entry.value for entry in parse_model(folder / MODEL).metadata_props}
    try:
        mean, std = (tuple(map(float, about[f"netlathe.{name}"].split())) for name in ("mean", "std"))
        preprocessing = Preprocessing(
            resolution=int(about["netlathe.resolution"]),
            shape=about.get("netlathe.shape", "crop"),
            crop=float(about["netlathe.crop"]),
            interpolation=about["netlathe.interpolation"],
            mean=mean,
            std=std,
            channels=len(mean),
        )
        classes = tuple(about["netlathe.classes"].split("\n"))
    except (KeyError, ValueError) as error:
        message = f"its metadata do not say how images are prepared: {error}"
        raise NetlatheError(message, code="deploy.metadata", path=str(folder / MODEL)) from None
    network = from_document((folder / "arch.json").read_text(encoding="utf-8"), source=str(folder / "arch.json"))
    trained = network.at(preprocessing.resolution)
    return TrainedModel(trained, read_weights(folder), preprocessing, classes, about, folder / MODEL)


def model_pixels(pixels: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """What the file gets of images: (N, H, W, C) -> (N, r, r, C) uint8, resized and cropped as in training's tests."""
    try:
        import torch

        from netlathe.train.augment.geometry import center_crop, resize_for_test
    except ImportError as error:
        raise MissingExtra("torch", "train") from error
    p = preprocessing
    if pixels.ndim != 4 or pixels.dtype != np.uint8 or pixels.shape[3] != p.channels:
        message = f"pixels must be uint8 (N, H, W, {p.channels}), not {pixels.dtype} {pixels.shape}"
        raise NetlatheError(message, code="deploy.pixels")
    resized = np.empty((len(pixels), p.resolution, p.resolution, p.channels), np.uint8)
    for start in range(0, len(pixels), 256):
        some = torch.from_numpy(np.array(pixels[start : start + 256]))
        whole = resize_for_test(some, p.side, p.interpolation, stretch=p.shape == "stretch")
        resized[start : start + 256] = center_crop(whole, p.resolution).numpy()
    return resized


def arch_document(network: Trainable) -> dict[str, object]:
    """The network as package.json holds it."""
    document: dict[str, object] = json.loads(network.document())
    return document
