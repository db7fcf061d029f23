"""The modules of timm and torchvision that are networks of the zoo: zoo/twins.csv, and how each is built.

A row's network is what a person types; where the libraries differ in a free choice (the epsilon of a norm), so do the
rows. timm: https://github.com/huggingface/pytorch-image-models; torchvision: https://github.com/pytorch/vision.
"""

from __future__ import annotations

import csv
from contextlib import nullcontext, suppress
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from netlathe.arch.network import Network
from netlathe.errors import NetlatheError, nearest
from netlathe.load import load
from netlathe.lower.checkpoint import weights_only
from netlathe.lower.hubs import timm_hub, torch_hub
from netlathe.lower.libraries import LIBRARIES, import_library

# What a builder of torchvision needs to build the network of the zoo and no more.
OPTIONS: dict[str, dict[str, Any]] = {"googlenet": {"aux_logits": False, "init_weights": False}}


class Twin(NamedTuple):
    """A module of another library that computes a network of the zoo: `network` is what a person types for it."""

    network: str
    library: str
    name: str

    @property
    def short(self) -> str:
        """The network's name without its choices."""
        return self.network.partition(":")[0]

    def build_network(self) -> Network:
        """The network, at the resolution of its registry row."""
        return load(self.network)[0]


@cache
def twins() -> tuple[Twin, ...]:
    """All twins, in the order of the table."""
    with (files("netlathe.zoo") / "twins.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return tuple(Twin(row["network"], library, row[library]) for row in rows for library in LIBRARIES if row[library])


def twins_of(network: str) -> tuple[Twin, ...]:
    """The twins of a network of the zoo by its name, empty where it has none."""
    return tuple(twin for twin in twins() if twin.short == network)


def twin_named(library: str, name: str, *, required: bool = True) -> Twin | None:
    """The twin of that name. Raises NetlatheError with the nearest names where it is `required`."""
    named = {twin.name: twin for twin in twins() if twin.library == library}
    if name in named or not required:
        return named.get(name)
    close = nearest(name, named)
    raise NetlatheError(
        f"no network of the zoo is known to be {library}'s {name!r}",
        code="weights.no_twin",
        hint=(f"did you mean {' or '.join(close)}? " if close else "")
        + "with a network of your own: from_module(module, network)",
    )


def build_twin(twin: Twin, network: Network | None = None, **options: Any) -> Any:
    """The module with random weights, made for the classes and the resolution of a network if one is given."""
    library = import_library(twin.library)
    options = module_options(twin, network) | options
    if twin.library == "timm":
        return library.create_model(twin.name, **options)
    return library.models.get_model(twin.name, weights=None, **OPTIONS.get(twin.name, {}) | options)


def module_options(twin: Twin, network: Network | None) -> dict[str, Any]:
    """Classes that are not 1000, and the resolution where position embeddings or windows depend on it."""
    if network is None:
        return {}
    graph = network.graph()
    classes, resolution = graph.shapes[graph.outputs[0]][-1], network.input[-1]
    options: dict[str, Any] = {"num_classes": classes}
    if twin.library == "timm":
        config = import_library("timm").get_pretrained_cfg(twin.name)
        if config is not None and config.fixed_input_size and resolution != config.input_size[-1]:
            options["img_size"] = resolution
    elif twin.name.startswith("vit_") and resolution != 224:
        options["image_size"] = resolution
    return options


def pretrained_timm(name: str, **options: Any) -> tuple[Any, dict[str, Any]]:
    """(timm's module with its published weights, its configuration: licence, input_size, mean, std ...)."""
    timm = import_library("timm")
    try:
        config = timm.get_pretrained_cfg(name)
        with weights_only(), timm_hub(config.hf_hub_id, config.hf_hub_filename) if config.hf_hub_id else nullcontext():
            module = timm.create_model(name, pretrained=True, **options)
    except NetlatheError:
        raise
    except Exception as error:  # unknown names, a network that is down, a file that is gone: each library has its own
        close = []
        with suppress(Exception):
            names = timm.list_pretrained()
            close = [] if name in names else nearest(name, names)
        raise fetch_error("timm", name, error, close) from error
    return module, dict(module.pretrained_cfg)


def pretrained_torchvision(name: str, weights: str, **options: Any) -> tuple[Any, Any]:
    """(torchvision's module with published weights, the entry of its weights enumeration)."""
    models = import_library("torchvision").models
    try:
        legal = models.get_model_weights(name)
        entry = legal[weights]
    except (KeyError, ValueError) as error:
        close = [w.name for w in legal] if isinstance(error, KeyError) else nearest(name, models.list_models())
        raise fetch_error("torchvision", f"{name}.{weights}", error, close) from error
    try:
        with weights_only(), torch_hub(entry.url):
            module = models.get_model(name, weights=entry, **options)
    except NetlatheError:
        raise
    except Exception as error:
        raise fetch_error("torchvision", f"{name}.{weights}", error, []) from error
    if getattr(module, "transform_input", False):  # GoogLeNet renormalises its input; preprocessing() says so instead
        module.transform_input = False
    return module, entry


def fetch_error(source: str, name: str, error: Exception, close: list[str]) -> NetlatheError:
    """One screen for whatever a library raised."""
    lines = str(error).strip().splitlines()
    return NetlatheError(
        f"{source} does not give the weights {name!r}: {lines[0] if lines else type(error).__name__}",
        code="weights.fetch",
        hint=f"did you mean {' or '.join(close)}?"
        if close
        else "is this machine online? a file works without: --weights file",
    )
