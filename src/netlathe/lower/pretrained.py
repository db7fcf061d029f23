"""Weights of somebody else's module in our expression, and the proof: on one image both give the same output.

Public as `netlathe.weights`: from_timm, from_torchvision, from_file, from_module.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from netlathe import zoo
from netlathe.arch.network import Network
from netlathe.errors import Exit, NetlatheError, nearest
from netlathe.load import load
from netlathe.lower.agreement import OutputProbe, difference
from netlathe.lower.align import align
from netlathe.lower.checkpoint import read_tensors, require_package
from netlathe.lower.inputs import examples
from netlathe.lower.libraries import LIBRARIES
from netlathe.lower.onnx import to_onnx
from netlathe.lower.twins import (
    Twin,
    build_twin,
    pretrained_timm,
    pretrained_torchvision,
    twin_named,
    twins_of,
)
from netlathe.lower.weights import SHOWN, Array, checked_weights, tensor_shapes

TOLERANCE = 1e-4  # of the largest output, float32: law 3


SOURCES = "timm:NAME, torchvision:NAME[.WEIGHTS], a .safetensors or .pth file"  # of weights, as people type them


def split_source(text: str) -> tuple[str, str]:
    """A source of weights: its library and the name there, such as ("timm", "resnet50.a1_in1k"); ("", file) of a file.

    Raises NetlatheError for another library.
    """
    library, sign, name = text.partition(":")
    if sign and library in LIBRARIES:
        return library, name
    if sign and library.isidentifier() and not Path(text).exists():
        message = f"{library!r} is no source of weights"
        raise NetlatheError(message, code="weights.source", hint=f"legal: {SOURCES}")
    return "", text


def from_source(source: str, network: Network, *, fitted: Network | None = None) -> LoadedWeights:
    """The weights that a text names, whose output nobody has compared yet.

    `fitted` is the network with other classes, for which a file may hold weights; without it every tensor has to fit.
    Raises NetlatheError as `split_source`, `from_timm` and `from_file` do.
    """
    library, name = split_source(source)
    if library == "timm":
        return from_timm(name, network, verify=False)
    if library == "torchvision":
        builder, _, entry = name.partition(".")
        return from_torchvision(builder, entry or "DEFAULT", network, verify=False)
    try:
        return from_file(source, fitted or network, strict=fitted is None, verify=False)
    except NetlatheError as error:
        if fitted is None or error.code != "weights.mismatch":
            raise
    return from_file(source, network, strict=False, verify=False)  # of its own classes: the head does not fit


@dataclass(frozen=True, slots=True)
class LoadedWeights:
    """Weights by path, and how they came: what found no partner on either side, and whether the output is the source's.

    `error` is the largest difference of outputs in units of the largest output; None where nothing was compared.
    """

    network: Network
    tensors: dict[str, Array]
    source: str
    missing: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    licence: str | None = None
    preprocessing: dict[str, Any] = field(default_factory=dict)  # of the images that the weights were trained on
    probe: OutputProbe | None = None
    error: float | None = None
    twin: str = ""  # what a person types for the network that the source is known to be


def from_timm(
    name: str, network: Network | None = None, *, interpolate: bool = False, strict: bool = True, verify: bool = True
) -> LoadedWeights:
    """timm's published weights, such as "resnet50.a1_in1k", in their twin of the zoo or in the given network.

    `interpolate` lets timm stretch position embeddings to the resolution of `network`. Without `strict`, tensors that
    do not fit are left out and listed. Raises NetlatheError with what does not fit, or where outputs differ.
    """
    twin = twin_named("timm", name.partition(".")[0], required=network is None)
    options = {"img_size": network.input[-1]} if interpolate and network is not None else {}
    module, config = pretrained_timm(name, **options)
    if network is None:
        assert twin is not None
        classes = "" if module.num_classes in (0, 1000) else f"classes={module.num_classes}"
        network = chosen_twin(twin, classes)
        if config.get("fixed_input_size"):
            network = network.at(config["input_size"][-1])
    size, crop = config["input_size"][-1], config.get("crop_pct") or 1.0
    preprocessing = {
        "mean": list(config["mean"]),
        "std": list(config["std"]),
        "resize": int(size / crop),
        "crop": size,
        "interpolation": config["interpolation"],
    }
    loaded = take_weights(module, network, f"timm {name}", twin=twin, strict=strict, verify=verify)
    return replace(loaded, licence=config.get("license"), preprocessing=preprocessing)


def from_torchvision(
    name: str, weights: str = "DEFAULT", network: Network | None = None, *, strict: bool = True, verify: bool = True
) -> LoadedWeights:
    """torchvision's published weights, such as "resnet50", "IMAGENET1K_V2"; otherwise as `from_timm`."""
    twin = twin_named("torchvision", name, required=network is None)
    module, entry = pretrained_torchvision(name, weights)
    if network is None:
        assert twin is not None
        network = twin.build_network().at(getattr(module, "image_size", None))
    transform = entry.transforms()
    half = [0.5] * 3 if name == "googlenet" else None  # its module renormalises what torchvision's transform gives
    preprocessing = {
        "mean": half or list(transform.mean),
        "std": half or list(transform.std),
        "resize": transform.resize_size[0],
        "crop": transform.crop_size[0],
        "interpolation": str(transform.interpolation.value),
    }
    loaded = take_weights(module, network, f"torchvision {name}.{entry.name}", twin=twin, strict=strict, verify=verify)
    return replace(loaded, licence=entry.meta.get("license"), preprocessing=preprocessing)


def from_file(
    path: str | Path, network: Network, *, entry: str | None = None, strict: bool = True, verify: bool = True
) -> LoadedWeights:
    """Tensors of a .safetensors or .pth file: named by our paths, or as in the network's twin of timm or torchvision.

    A pickle is read for its tensors alone; `entry` picks a part of a checkpoint. Raises as `from_timm` does.
    """
    tensors, about = read_tensors(path, entry)
    tensors = {name: tensor for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")}
    shapes = tensor_shapes(network)
    licence = about.get("license")
    if 2 * len(tensors.keys() & shapes.keys()) > len(shapes):
        return own_paths(
            network, {name: to_array(tensor) for name, tensor in tensors.items()}, str(path), strict, licence
        )
    troubles: list[NetlatheError] = []
    for twin in twins_of(network.name):
        try:
            module = build_twin(twin, network)
        except NetlatheError as error:
            troubles.append(error)
            continue
        names = {name for name in module.state_dict() if not name.endswith("num_batches_tracked")}
        if names <= tensors.keys():
            fill_module(module, {name: tensors[name] for name in names}, path)
            loaded = take_weights(module, network, str(path), twin=twin, strict=strict, verify=verify)
            unused = tuple(name for name in tensors if name not in names)
            return replace(loaded, unused=(*loaded.unused, *unused), licence=licence)
    twin_names = " or ".join(f"{twin.library}'s {twin.name}" for twin in twins_of(network.name))
    tried = "".join(f"; {error.message}" for error in troubles)
    close = [name for name in nearest(Path(path).stem, zoo.names()) if name != network.name]
    raise NetlatheError(
        f"its tensors ({', '.join(list(tensors)[:3])} ...) are named neither by the paths of {network.name}"
        + (f" nor as in {twin_names}{tried}" if twin_names else ", which has no twin in timm or torchvision"),
        code="weights.names",
        path=str(path),
        hint=(f"is it {close[0]}? give that as NET; else " if close else "")
        + "build the module that the file belongs to, load it there, and give it to from_module(module, network)",
    )


def own_paths(
    network: Network, tensors: dict[str, Array], source: str, strict: bool, licence: str | None
) -> LoadedWeights:
    """Tensors that are named by our paths."""
    if strict:
        return LoadedWeights(network, checked_weights(network, tensors), source, licence=licence)
    shapes = tensor_shapes(network)
    fitting = {
        name: tensors[name] for name, shape in shapes.items() if name in tensors and tensors[name].shape == shape
    }
    missing = tuple(name for name in shapes if name not in fitting)
    return LoadedWeights(
        network, fitting, source, missing, tuple(name for name in tensors if name not in fitting), licence
    )


def from_module(module: Any, network: Network, *, strict: bool = True, verify: bool = True) -> LoadedWeights:
    """The weights of any torch module that computes what the network does; the module stays as it is.

    Its tensors are matched by the flow of its real forward on a random image. Raises as `from_timm` does.
    """
    torch = require_package("torch", "train")
    copy = deepcopy(module).to("cpu", torch.float32)
    return take_weights(copy, network, type(module).__name__, strict=strict, verify=verify)


def take_weights(
    module: Any, network: Network, source: str, *, twin: Twin | None = None, strict: bool = True, verify: bool = True
) -> LoadedWeights:
    """The weights of a module on this machine, in float32."""
    torch = require_package("torch", "train")
    from netlathe.lower.weight_trace import trace_weights

    inputs = examples(network)
    watched = trace_weights(module.eval(), *map(torch.from_numpy, inputs))
    alignment = align(network, watched.slots)
    if strict and alignment.missing:
        raise misfit(source, network, alignment.faults())
    shapes = tensor_shapes(network)
    tensors = {ours: to_array(watched.weights[name]).reshape(shapes[ours]) for ours, name in alignment.pairs}
    loaded = LoadedWeights(
        network,
        tensors,
        source,
        missing=tuple(alignment.missing),
        unused=tuple(alignment.unused),
        probe=None if alignment.missing else OutputProbe(inputs, to_array(watched.output)),
        twin=twin.network if twin else "",
    )
    return verify_output(loaded) if verify and loaded.probe else loaded


def verify_output(loaded: LoadedWeights) -> LoadedWeights:
    """The same with its error. Raises NetlatheError where our output is not the source's."""
    assert loaded.probe is not None
    error = difference(to_onnx(loaded.network, loaded.tensors).SerializeToString(), loaded.probe)
    if not error <= TOLERANCE:
        raise disagreement(loaded, error)
    return replace(loaded, error=error)


def disagreement(loaded: LoadedWeights, error: float) -> NetlatheError:
    """All tensors fit, and yet another function."""
    named_as = f"; it is known to be {loaded.twin}" if ":" in loaded.twin else ""
    failure = NetlatheError(
        f"the weights of {loaded.source} fit {loaded.network.name}, but its output differs by {error:.1e} (relative)",
        code="weights.disagree",
        hint=f"the source computes something else, such as another activation, padding or epsilon of a norm{named_as}",
    )
    failure.exit = Exit.CHECK_FAILED
    return failure


def misfit(source: str, network: Network, faults: list[str]) -> NetlatheError:
    """Tensors without a partner, as many as fit on a screen."""
    shown = faults[:SHOWN] + [f"and {len(faults) - SHOWN} more"] * (len(faults) > SHOWN)
    return NetlatheError(
        f"the weights of {source} do not fit {network.name}:\n  " + "\n  ".join(shown),
        code="weights.mismatch",
        hint="another size, number of classes or resolution? strict=False takes what fits",
    )


def chosen_twin(twin: Twin, choice: str) -> Network:
    """The twin's network with one more choice."""
    if not choice:
        return twin.build_network()
    return load(f"{twin.network}{',' if ':' in twin.network else ':'}{choice}")[0]


def fill_module(module: Any, tensors: dict[str, Any], path: str | Path) -> None:
    """Put a file's tensors into the module that their names belong to."""
    try:
        module.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        raise NetlatheError(
            "the tensors do not have the shapes of the network:\n  " + "\n  ".join(lines[:SHOWN]),
            code="weights.mismatch",
            path=str(path),
            hint="another number of classes or resolution? give NET with it: resnet50:classes=10",
        ) from None


def to_array(tensor: Any) -> Array:
    """A torch tensor as float32."""
    result: Array = tensor.detach().to("cpu").float().contiguous().numpy()
    return result
