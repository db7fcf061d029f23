"""Weights of a module by the names of its state dict: from the hub of timm or torchvision, or from a file.

What the head has for other classes is drawn anew, and a first convolution is adapted to other channels; anything else
has to fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from netlathe.arch.trainable import Trainable
from netlathe.errors import NetlatheError, nearest
from netlathe.lower.checkpoint import read_tensors, weights_only
from netlathe.lower.libraries import import_library
from netlathe.lower.pretrained import split_source, to_array
from netlathe.lower.twins import pretrained_timm, pretrained_torchvision
from netlathe.lower.weights import Array, generator
from netlathe.read.buildable import COUNTERS, BuildableModule
from netlathe.read.head import adapt_channels
from netlathe.read.module_sources import TimmSource, TorchvisionSource

FEW = 3  # names that an error shows
HEAD_STD = 0.01  # as of the linear layers of the initialisation `he`


class ModuleWeights(NamedTuple):
    """All tensors of a module; of them `fresh` are drawn and the others are of the source, which has the rest."""

    tensors: dict[str, Array]
    fresh: tuple[str, ...]
    source: str
    licence: str | None = None
    preprocessing: Mapping[str, Any] = {}

    @property
    def published(self) -> dict[str, Array]:
        """Those that came."""
        return {name: tensor for name, tensor in self.tensors.items() if name not in self.fresh}


def load_module_weights(source: str, net: Trainable, seed: int) -> ModuleWeights:
    """The weights that a source has for a module, as it is built now; what is fresh is drawn from a seed.

    Raises NetlatheError for a source that cannot be had, and for weights of another network, naming what does not fit.
    """
    assert isinstance(net, BuildableModule), "what is trained is an expression or a module"
    library, name = split_source(source)
    if library == "timm":
        return timm_weights(name, net, seed)
    if library == "torchvision":
        return torchvision_weights(name, net, seed)
    tensors, about = read_tensors(source)
    try:
        loaded = fit_tensors(tensors, net, source, seed)
    except NetlatheError:
        converted = timm_file(tensors, net)
        if converted is None:
            raise
        loaded = fit_tensors(converted, net, source, seed)
    return loaded._replace(licence=about.get("license"), preprocessing=net.source.preprocessing())


def timm_weights(name: str, net: BuildableModule, seed: int) -> ModuleWeights:
    """Published weights of timm, which brings them to other channels and, for positions, to another resolution."""
    source, own = TimmSource(name), net.source
    if not isinstance(own, TimmSource) or own.architecture != source.architecture:
        raise other_network(net, f"timm:{name}", f"NET is {source.text} for these weights")
    module, config = pretrained_timm(name, **source.options(net.request))
    tensors = module.state_dict()
    if config["num_classes"] != net.classes:
        heads = tuple(f"{path}." for path in net.heads())
        tensors = {key: tensor for key, tensor in tensors.items() if not key.startswith(heads)}
    loaded = fit_tensors(tensors, net, f"timm {name}", seed)
    return loaded._replace(licence=config.get("license"), preprocessing=source.preprocessing())


def torchvision_weights(name: str, net: BuildableModule, seed: int) -> ModuleWeights:
    """Published weights of torchvision."""
    source, own = TorchvisionSource(name), net.source
    if not isinstance(own, TorchvisionSource) or own.architecture != source.architecture:
        raise other_network(net, source.text, f"NET is {source.text} for these weights")
    builder, _, entry = name.partition(".")
    module, chosen = pretrained_torchvision(builder, entry or "DEFAULT")
    loaded = fit_tensors(module.state_dict(), net, f"torchvision {builder}.{chosen.name}", seed)
    return loaded._replace(licence=chosen.meta.get("license"), preprocessing=source.preprocessing())


def timm_file(tensors: Mapping[str, Any], net: BuildableModule) -> dict[str, Any] | None:
    """Tensors of a file as timm itself reads them for its network: older names, positions of another resolution.

    None where timm cannot.
    """
    if not isinstance(net.source, TimmSource):
        return None
    classifier = net.source.config.get("classifier") or ""
    head = tensors.get(f"{classifier}.weight") if isinstance(classifier, str) else None
    if head is None:
        return None
    # Only with the classes of the file does timm tell what does not fit, instead of leaving it as it was drawn.
    classes = {"num_classes": len(head)}
    overlay: dict[str, Any] = {"state_dict": dict(tensors), "custom_load": False} | classes
    with suppress(Exception), weights_only():
        module = import_library("timm").create_model(
            net.source.architecture,
            pretrained=True,
            pretrained_cfg_overlay=overlay,
            **net.source.options(net.request) | classes,
        )
        return {name: tensor for name, tensor in module.state_dict().items() if not name.startswith(f"{classifier}.")}
    return None


def fit_tensors(tensors: Mapping[str, Any], net: BuildableModule, source: str, seed: int) -> ModuleWeights:
    """Tensors by name in the module's state dict. Raises NetlatheError where more than the head is left."""
    own = {name: t for name, t in net.module(seed=seed).state_dict().items() if not name.endswith(COUNTERS)}
    heads = tuple(f"{path}." if path else "" for path in net.heads())
    fitted: dict[str, Any] = {}
    fresh, lost = [], []
    for name, old in own.items():
        new = tensors.get(name)
        if new is not None and new.shape == old.shape:
            fitted[name] = new
        elif new is not None and differs_in_channels(new, old, net.image[0]):
            fitted[name] = adapt_channels(new, net.image[0])
        elif name.startswith(heads):
            fresh.append(name)
        else:
            lost.append(name)
    if lost:
        raise misfit(net, source, tensors, own, lost)
    arrays = {name: to_array(tensor) for name, tensor in fitted.items()} | {
        name: draw_head(name, tuple(own[name].shape), seed) for name in fresh
    }
    whole = {name for name, tensor in own.items() if not tensor.is_floating_point()}
    arrays |= {name: own[name].numpy() for name in whole}  # tables of indices: they belong to the module
    return ModuleWeights(arrays, tuple(fresh), source)


def draw_head(name: str, shape: tuple[int, ...], seed: int) -> Array:
    """The first values of a head: small, so that the features are not torn apart before it knows anything."""
    if len(shape) == 1:
        return np.zeros(shape, np.float32)
    return generator(seed, name).standard_normal(shape, np.float32) * np.float32(HEAD_STD)


def differs_in_channels(new: Any, old: Any, channels: int) -> bool:
    """Whether this is the kernel of the first convolution for images of other channels."""
    same = new.ndim == old.ndim == 4 and new.shape[0] == old.shape[0] and new.shape[2:] == old.shape[2:]
    return bool(same and old.shape[1] == channels and new.shape[1] in (1, 3))


def misfit(
    net: BuildableModule, source: str, tensors: Mapping[str, Any], own: Mapping[str, Any], lost: list[str]
) -> NetlatheError:
    """Which tensors have no partner: none at all, or some of another shape or absent."""
    if not own.keys() & tensors.keys():
        theirs, ours = (", ".join([*names][:FEW]) for names in (tensors, own))
        return other_network(net, source, f"they are named {theirs} ..., and its tensors {ours} ...")
    shapes = [
        f"{name} is {tuple(tensors[name].shape)}, and {tuple(own[name].shape)} here" if name in tensors
        else f"{name} is not there" for name in lost[:FEW]
    ]  # fmt: skip
    return NetlatheError(
        f"{len(lost)} of {len(own)} tensors of {net.name} have no partner in these weights: {'; '.join(shapes)}"
        + " ..." * (len(lost) > FEW),
        code="weights.mismatch",
        path=source,
        hint="they belong to another network, or to another resolution",
    )


def other_network(net: BuildableModule, source: str, why: str) -> NetlatheError:
    """Weights that belong to another network, and the nearest name where the file is called after one."""
    close: list[str] = []
    stem = Path(source).stem.replace("-", "_") if Path(source).is_file() else ""
    with suppress(NetlatheError):
        close = nearest(stem, import_library("timm").list_models()) if stem else []
    return NetlatheError(
        f"these are no weights of {net.name}: {why}",
        code="weights.names",
        path=source,
        hint=f"is it timm:{close[0]}? give that as NET" if close else "give the network that they belong to as NET",
    )
