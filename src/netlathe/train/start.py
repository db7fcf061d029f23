"""The weights that a training starts from: somebody else's body, and a new head for the classes at hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from netlathe.arch.net import rewritable
from netlathe.arch.network import Network
from netlathe.arch.trainable import Trainable
from netlathe.errors import NetlatheError
from netlathe.lower.initial import initial_weights
from netlathe.lower.pretrained import from_source
from netlathe.lower.weights import Array, tensor_shapes
from netlathe.reshape.classes import classifiers
from netlathe.runfolder.identity import file_content
from netlathe.train.evaluate import Normalisation
from netlathe.train.folder import weights_content


class StartingWeights(NamedTuple):
    """Weights by path (None: the recipe's initialisation), the normalisation that they expect, and what is known."""

    tensors: dict[str, Array] | None = None
    normal: Normalisation | None = None
    source: str = ""
    licence: str | None = None
    fresh: tuple[str, ...] = ()  # tensors that are initialised
    origin: dict[str, str] | None = None  # what they are, by content


def load_starting_weights(
    source: str | None, network: Trainable, fitted: Trainable, init: str, seed: int
) -> StartingWeights:
    """The weights that a source has for `fitted`, which is `network` with other classes; its head is initialised.

    The source is timm:NAME, torchvision:NAME[.WEIGHTS], or a file. Raises NetlatheError where more than the head and
    the first convolution (another number of channels) has no partner.
    """
    if source is None:
        return StartingWeights()
    if (expression := rewritable(fitted)) is None:
        return start_of_module(source, fitted, seed)
    return start_of_expression(source, network.expression(), expression, init, seed)


def start_of_module(source: str, fitted: Trainable, seed: int) -> StartingWeights:
    """The same for a module, by the names of its own state dict."""
    from netlathe.read.module_weights import load_module_weights

    loaded = load_module_weights(source, fitted, seed)
    return StartingWeights(
        loaded.tensors,
        normalisation_for(loaded.preprocessing, fitted.input[0]),
        loaded.source,
        loaded.licence,
        loaded.fresh,
        origin_of(source, loaded.published),
    )


def origin_of(source: str, tensors: Mapping[str, Array]) -> dict[str, str]:
    """What weights are, by the content of their file, or of their tensors."""
    return file_content(source) if Path(source).is_file() else weights_content(tensors) | {"name": source}


def normalisation_for(images: Mapping[str, Any], channels: int) -> Normalisation | None:
    """The normalisation that published weights expect, for images of so many channels; of grey ones, the means."""
    if not images:
        return None
    if channels == len(images["mean"]):
        return Normalisation(tuple(images["mean"]), tuple(images["std"]))
    mean, std = (sum(images[name]) / len(images[name]) for name in ("mean", "std"))
    return Normalisation((mean,) * channels, (std,) * channels)


def start_of_expression(source: str, network: Network, fitted: Network, init: str, seed: int) -> StartingWeights:
    """The same for an expression, by its paths."""
    loaded = from_source(source, network, fitted=fitted)
    shapes = tensor_shapes(fitted)
    fitting = {n: t for n, t in loaded.tensors.items() if n in shapes and t.shape == tuple(shapes[n])}
    fresh = tuple(name for name in shapes if name not in fitting)
    heads = tuple(f"{path}." for path in classifiers(fitted.graph(training=True)))
    first = next(iter(shapes))
    lost = [name for name in fresh if not name.startswith(heads) and name != first]
    if lost:
        raise NetlatheError(
            f"{len(lost)} of {len(shapes)} tensors have no partner in these weights: {', '.join(lost[:3])} ...",
            code="weights.mismatch",
            path=source,
            hint="they belong to another network, or to another resolution",
        )
    random = initial_weights(fitted, init, seed)
    normal = normalisation_for(loaded.preprocessing, fitted.input[0])
    tensors = {n: fitting.get(n, random[n]) for n in shapes}
    return StartingWeights(tensors, normal, loaded.source, loaded.licence, fresh, origin_of(source, loaded.tensors))
