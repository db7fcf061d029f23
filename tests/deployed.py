"""A package whose answers are known without running it: the network names the strongest of red, green and blue."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from netlathe.arch.build import head
from netlathe.arch.network import Network
from netlathe.deploy.export import arch_document, deployable_model
from netlathe.deploy.package import Package, Preprocessing, write_package
from netlathe.lower.weights import tensor_shapes

COLOURS = ("red", "green", "blue")
GAIN = 4.0  # of the outputs: channel means of pixels from 0 to 1, times this


def colours(folder, *, classes=COLOURS, resolution=16, crop=1.0, **more):
    """The package, written into a folder; its three outputs are GAIN times the mean of each channel."""
    network = Network("colours", head(3), (3, resolution, resolution))
    weights = {
        name: (np.eye(3) * GAIN if len(shape) == 2 else np.zeros(shape)).astype(np.float32)
        for name, shape in tensor_shapes(network).items()
    }
    p = Preprocessing(
        resolution=resolution, crop=crop, interpolation="bilinear", mean=(0.0,) * 3, std=(1.0,) * 3, channels=3
    )
    package = Package(arch=arch_document(network), classes=classes, preprocessing=p, folder=folder)
    model = deployable_model(network, weights, p).SerializeToString()
    return write_package(replace(package, **more), {"model.onnx": model})


def plain(path, colour, size=(40, 30)):
    """An image file of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def odds(colour):
    """What the package must answer for an image of one colour: the softmax of its outputs."""
    found = np.exp(GAIN * np.array(colour) / 255)
    return found / found.sum()
