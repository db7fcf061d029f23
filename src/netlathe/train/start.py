"""The weights that a training starts from: somebody else's body, and a new head for the classes at hand."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from netlathe.arch.network import Network
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
    source: str | None, network: Network, fitted: Network, init: str, seed: int
) -> StartingWeights:
    """The weights that a source has for `fitted`, which is `network` with other classes; its head is initialised.

    The source is timm:NAME, torchvision:NAME[.WEIGHTS], or a file. Raises NetlatheError where more than the head and
    the first convolution (another number of channels) has no partner.
    """
    if source is None:
        return StartingWeights()
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
    images = loaded.preprocessing
    normal = Normalisation(tuple(images["mean"]), tuple(images["std"])) if images and fitted.input[0] == 3 else None
    tensors = {n: fitting.get(n, random[n]) for n in shapes}
    is_file = Path(source).is_file()
    origin = file_content(source) if is_file else weights_content(loaded.tensors) | {"name": source}
    return StartingWeights(tensors, normal, loaded.source, loaded.licence, fresh, origin)
