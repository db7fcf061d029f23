"""How fast a network would be in int8, before anybody trained it: its quantised file is made and measured.

Weights and images are random. That does not matter for a latency, and says nothing of an accuracy.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from netlathe.arch.network import Network
from netlathe.bench import ledger
from netlathe.bench.measure import HEADLINE, measure
from netlathe.bench.measurement import Measurement
from netlathe.deploy.export import deployable_model
from netlathe.deploy.package import Preprocessing
from netlathe.deploy.quantise import FEWEST, quantise_model
from netlathe.deploy.session import model_file
from netlathe.lower.initial import initial_weights
from netlathe.lower.tflite.network import to_tflite
from netlathe.process.temporary import temporary_folder
from netlathe.runtimes import registry
from netlathe.runtimes.quantise import Labelled, QuantisedModel
from netlathe.tflite.pixels import with_pixels

PATCH = 8  # pixels of a side that are alike in the random images
SECONDS = 30.0  # for quantising


def time_int8(
    network: Network,
    runtime: str,
    *,
    threads: int = 1,
    batch: int = 1,
    seconds: float = 1.0,
    progress: Callable[[int, int, str], None] | None = None,
) -> Measurement:
    """The latency of the int8 file of a network under a runtime, in several fresh processes; kept in the ledger.

    Raises NetlatheError for a network whose input is no square image, and for a runtime without a quantiser;
    MissingExtra where the quantiser is not installed, CallFailed where it crashes.
    """
    quantised = quantise_random(network, runtime, threads)
    with temporary_folder() as folder:
        for name, content in quantised.files.items():
            (folder / name).write_bytes(content)
        net = model_file(folder / next(iter(quantised.files))).renamed(f"{network.name} in int8")
        how = {"threads": threads, "batch": batch, "seconds": seconds, "processes": HEADLINE}
        return measure([net], **how, runtime=runtime, progress=progress, keep=ledger.append)[0]  # type: ignore[arg-type]


def quantise_random(network: Network, runtime: str, threads: int) -> QuantisedModel:
    """The int8 file of a network with random weights, for random images."""
    channels, _, resolution = network.input
    preprocessing = Preprocessing(
        resolution=resolution,
        crop=1.0,
        interpolation="bilinear",
        mean=(0.5,) * channels,
        std=(0.25,) * channels,
        channels=channels,
    )
    weights = initial_weights(network, "he")
    if registry.runtime(runtime).takes == "tflite":
        model = with_pixels(to_tflite(network, weights), preprocessing.mean, preprocessing.std).serialize()
    else:
        model = deployable_model(network, weights, preprocessing).SerializeToString()
    images = random_images(FEWEST, resolution, channels)
    few = Labelled(images.pixels[:2], images.labels[:2])
    return quantise_model(model, images, few, runtime=runtime, tolerance=0.99, seconds=SECONDS, threads=threads)


def random_images(count: int, resolution: int, channels: int) -> Labelled:
    """Images of random patches, of one class."""
    cells = -(-resolution // PATCH)
    colours = np.random.default_rng(0).integers(0, 256, (count, cells, cells, channels), dtype=np.uint8)
    pixels = colours.repeat(PATCH, axis=1).repeat(PATCH, axis=2)[:, :resolution, :resolution]
    return Labelled(np.ascontiguousarray(pixels), np.zeros(count, np.int64))
