"""The ends of a torch module that somebody else wrote: the layers that compute its classes, and those that read images.

Both are seen by what flows where in its real forward, whatever their names, on tensors without memory.
"""

from __future__ import annotations

from copy import deepcopy
from math import ceil
from typing import Any

import torch
from torch import nn

from netlathe.arch.node import Shape
from netlathe.errors import NetlatheError
from netlathe.lower.weight_trace import WeightTrace, trace_weights
from netlathe.read.meta import META, on_meta

HINT = "end its forward in nn.Linear or a 1x1 nn.Conv2d of the features, or give the function a parameter num_classes"


def trace_image(module: nn.Module, image: Shape) -> WeightTrace:
    """Which weights the forward of a module reads, in order, for one image of that shape.

    On tensors without memory, unless its code looks at values.
    """
    try:
        return trace_weights(on_meta(module).module.eval(), torch.empty((1, *image), device=META))
    except NetlatheError:
        if is_light(module):
            raise
        return trace_weights(deepcopy(module).eval(), torch.zeros((1, *image)))


def is_light(module: nn.Module) -> bool:
    """Whether it has shapes alone."""
    return any(tensor.is_meta for tensor in module.state_dict().values())


def find_heads(module: nn.Module, image: Shape) -> list[str]:
    """The paths of the layers whose values are the output: one, or several that are averaged (DeiT's).

    Raises NetlatheError where the output is no vector of classes, or is computed by anything but a linear layer.
    """
    trace = trace_image(module, image)
    name, shape = type(module).__name__, tuple(trace.output.shape)
    if len(shape) != 2:
        raise NetlatheError(
            f"the forward of {name} gives {'x'.join(map(str, shape[1:]))} for an image, not a value for each class",
            code="module.head",
            hint=HINT,
        )
    last = next(slot for slot in trace.slots if not slot.path and not slot.tensors)
    paths = [trace.slots[i].path for i in last.reads]
    for path in paths or [""]:
        layer = module.get_submodule(path) if is_module(module, path) else None
        if layer is None or not is_linear(layer) or width(layer) != shape[1]:
            what = f"{path}, which is {type(layer).__name__}" if layer is not None and path else path or "no layer"
            raise NetlatheError(
                f"the head of {name} cannot be found: its {shape[1]} outputs are computed by {what}",
                code="module.head",
                hint=HINT,
            )
    return paths


def is_module(module: nn.Module, path: str) -> bool:
    """Whether there is a submodule at a path."""
    return path in dict(module.named_modules())


def width(layer: nn.Module) -> int:
    """How many outputs a linear layer has."""
    return len(layer.weight)  # type: ignore[arg-type]


def is_linear(layer: Any) -> bool:
    """Whether each output is one weighted sum of features: a linear layer, or a convolution of one pixel."""
    return isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and set(layer.kernel_size) == {1})


def set_classes(module: nn.Module, image: Shape, classes: int) -> None:
    """Replace the heads by new ones with so many outputs, initialised as torch does; those that fit stay.

    Raises NetlatheError as `find_heads` does.
    """
    for path in find_heads(module, image):
        old = module.get_submodule(path)
        new: nn.Module
        if isinstance(old, nn.Conv2d):
            new = nn.Conv2d(old.in_channels, classes, 1, bias=old.bias is not None)
            new.stride, new.padding = old.stride, old.padding
        else:
            assert isinstance(old, nn.Linear)
            new = nn.Linear(old.in_features, classes, bias=old.bias is not None)
        if width(new) != width(old):
            module.set_submodule(path, new.train(old.training))


def set_channels(module: nn.Module, image: Shape, channels: int) -> None:
    """Let the convolutions that read the image of shape `image` read so many channels instead.

    Raises NetlatheError where something else reads it.
    """
    trace = trace_image(module, image)
    readers = [slot.path for slot in trace.slots if slot.tensors and not slot.reads]
    layers = {path: module.get_submodule(path) for path in readers if is_module(module, path)}
    convs = {
        path: layer
        for path, layer in layers.items()
        if isinstance(layer, nn.Conv2d) and (layer.in_channels, layer.groups) == (image[0], 1)
    }
    if not convs:
        raise NetlatheError(
            f"{type(module).__name__} reads images of {image[0]} channels, not of {channels}, by no convolution",
            code="module.channels",
            hint="give the function a parameter in_chans, and build it for that many",
        )
    for path, old in convs.items():
        new = deepcopy(old)
        new.in_channels = channels
        new.weight = nn.Parameter(adapt_channels(old.weight.detach(), channels), old.weight.requires_grad)
        module.set_submodule(path, new)


def adapt_channels(kernel: torch.Tensor, channels: int) -> torch.Tensor:
    """A kernel (out, in, k, k) for images with other channels; of one, it gives what it gave for three equal ones.

    More are repeated in order and scaled, as timm does.
    """
    if channels == 1:
        return kernel.sum(1, keepdim=True)
    times = ceil(channels / kernel.shape[1])
    return kernel.repeat(1, times, 1, 1)[:, :channels] * (kernel.shape[1] / channels)


def require_classifier(module: nn.Module, image: Shape, classes: int | None) -> None:
    """Raise NetlatheError where the forward does not give one tensor (N, classes), in training as at inference.

    A module with its weights, whose code may look at values, is copied; one that has shapes alone is not.
    """
    twin, device = (on_meta(module).module, META) if is_light(module) else (deepcopy(module), torch.device("cpu"))
    name = type(module).__name__
    for training in (False, True):
        try:
            with torch.no_grad():
                y = twin.train(training)(torch.zeros((2, *image), device=device))
        except Exception as error:  # whatever its own forward raises
            first = next(iter(str(error).strip().splitlines()), "")
            raise NetlatheError(
                f"the forward of {name} fails on images of {'x'.join(map(str, image))}: "
                f"{type(error).__name__}: {first}",
                code="module.forward",
                hint="another --resolution; a forward that needs more than images cannot be trained here",
            ) from error
        when = "in training" if training else "at inference"
        if not isinstance(y, torch.Tensor):
            parts = f"{type(y).__name__} of {len(y)}" if isinstance(y, tuple | list | dict) else type(y).__name__
            raise NetlatheError(
                f"the forward of {name} gives a {parts} {when}, and one tensor of classes is trained",
                code="module.head",
                hint="switch its auxiliary outputs off where it is built, such as aux_logits=False",
            )
        if tuple(y.shape) != (2, classes or y.shape[-1]):
            raise NetlatheError(
                f"the forward of {name} gives {'x'.join(map(str, y.shape))} {when} for 2 images and {classes} classes",
                code="module.head",
                hint=HINT,
            )
