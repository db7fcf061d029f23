"""BuildableModule: a torch module with its source, so that it can be built anew, trained, exported and deployed."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from netlathe.arch.node import Shape
from netlathe.code_name import split_name
from netlathe.documents.json import parse_json
from netlathe.errors import NetlatheError
from netlathe.read.code_source import CodeSource
from netlathe.read.example import Example
from netlathe.read.module import InputShape, ModuleNet
from netlathe.read.module_source import BuildRequest, ModuleSource
from netlathe.read.module_sources import library_source

SCHEMA = "netlathe.module/1"
AS_IT_IS = BuildRequest()
COUNTERS = "num_batches_tracked"  # of batch norms: no weights


@dataclass(frozen=True, eq=False)
class BuildableModule(ModuleNet):
    """What a source builds for a request. The module is built when something asks for it, which the name does not."""

    name: str
    source: ModuleSource
    request: BuildRequest = AS_IT_IS
    given: tuple[InputShape, ...] = ()  # inputs that were asked for by their shapes
    example: Example | None = None

    @property
    def asked(self) -> tuple[InputShape, ...]:  # type: ignore[override]
        """One image, unless other inputs were given."""
        if self.example is not None:
            kinds = ((tuple(x.shape[1:]), str(x.dtype).removeprefix("torch.")) for x in self.example.tensors())
            return tuple(InputShape(shape, kind) for shape, kind in kinds)
        return self.given or (InputShape(self.image),)

    @property
    def image(self) -> Shape:
        """The shape of an image: that of the source, with what was asked for."""
        channels, *sides = self.source.image
        side = self.request.resolution
        return (self.request.channels or channels, *((side, side) if side else sides))

    @property
    def classes(self) -> int | None:
        """How many classes it is built for; None: as many as the source gives it."""
        return self.request.classes

    @property
    def inputs(self) -> tuple[Shape, ...]:
        """The shapes of all inputs; nothing is built for them."""
        return tuple(one.shape for one in self.asked)

    @property
    def running(self) -> Callable[[], AbstractContextManager[Any]]:  # type: ignore[override]
        """While its code runs."""
        return self.source.running

    @cached_property
    def torch_module(self) -> Any:
        """The module with shapes alone, in seconds where random weights would take minutes; else with its own.

        Code that looks at values, or moves tensors, does not build without memory.
        """
        import torch

        try:
            with warnings.catch_warnings(), torch.device("meta"):
                warnings.simplefilter("ignore")  # what its code copies goes nowhere, which torch says
                return self.source.build(self.request).train()
        except Exception:  # whatever is wrong with or without memory is raised by the other way too
            return self.build(0)

    @property
    def is_light(self) -> bool:
        """Whether it has shapes alone."""
        from netlathe.read.head import is_light

        return is_light(self.torch_module)

    @property
    def key(self) -> str:
        """A hash of the source, of its code where that is a file, and of what it is built for."""
        # What is built as its source has it depends on all of its name.
        name = self.source.text if self.source.code is None and None in self.request else self.source.identity
        inputs = self.given if self.example is None else self.asked
        what = (self.source.code, name, tuple(self.request), inputs)
        return hashlib.sha256(repr(what).encode()).hexdigest()[:16]

    def renamed(self, name: str) -> BuildableModule:
        """The same under another name."""
        return replace(self, name=name)

    def trainable(self) -> BuildableModule:
        """Itself."""
        return self

    def at(self, resolution: int | None) -> BuildableModule:
        """The same built for square images of another size."""
        if resolution is None:
            return self
        if resolution < 1:
            raise NetlatheError(f"the resolution must be at least 1, not {resolution}", code="arch.resolution")
        return replace(self, request=self.request._replace(resolution=resolution))

    def for_images(self, *, classes: int, channels: int, resolution: int) -> BuildableModule:
        """The same with another head, for other images. Raises NetlatheError where it cannot be built for them."""
        if len(self.asked) != 1 or len(self.input) != 3:
            raise NetlatheError(f"{self.name} does not read images alone", code="train.network")
        from netlathe.read.head import require_classifier

        fitted = replace(self, request=BuildRequest(classes, channels, resolution), given=())
        try:
            require_classifier(fitted.torch_module, fitted.image, classes)
        except NetlatheError as error:
            if error.code != "module.forward" or not fitted.is_light:
                raise
            require_classifier(fitted.build(0), fitted.image, classes)  # perhaps it looks at values
        return fitted

    def document(self) -> str:
        """Where it comes from and what it is built for; a file by its hash too."""
        facts = {"schema": SCHEMA, "name": self.name, "source": self.source.text, "code": self.source.code}
        return json.dumps(facts | self.request._asdict(), indent=1) + "\n"

    def tensors(self) -> dict[str, Shape]:
        """The shapes of the state dict."""
        state = self.torch_module.state_dict()
        return {name: tuple(t.shape) for name, t in state.items() if not name.endswith(COUNTERS)}

    def heads(self) -> list[str]:
        """The linear layers whose values are its output."""
        from netlathe.read.head import find_heads

        try:
            return find_heads(self.torch_module, self.image)
        except NetlatheError:
            if not self.is_light:
                raise
            return find_heads(self.build(0), self.image)

    def build(self, seed: int, drop_rate: float = 0.0, drop_path: float = 0.0) -> Any:
        """A new module in training mode, whose first weights are drawn from a seed; the caller's generator stays."""
        import torch

        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(seed)
            module = self.source.build(self.request, drop_rate, drop_path)
        return module.float().train()

    def module(
        self,
        weights: Mapping[str, Any] | None = None,
        *,
        init: str | None = None,
        seed: int = 0,
        drop_rate: float = 0.0,
        drop_path: float = 0.0,
        ramp: str = "over_last",
    ) -> Any:
        """A new module; it knows how its weights begin, so `init` and `ramp` change nothing."""
        module = self.build(seed, drop_rate, drop_path)
        if weights is not None:
            fill_state(module, weights, self.name)
        return module

    def onnx_model(self, weights: Mapping[str, Any] | None = None, *, batch: int | None = 1, seed: int = 0) -> Any:
        """As torch exports it, with its own weights or others; what it computes is compared with the module."""
        from netlathe.read.export import export_module

        module = self.module(weights, seed=seed)
        with self.running():
            return export_module(self.flat(module), self.name, self.tensors_for(batch), free=batch is None)


def fill_state(module: Any, weights: Mapping[str, Any], name: str) -> None:
    """Give a module its weights by the names of its state dict. Raises NetlatheError for others."""
    import numpy as np
    import torch

    from netlathe.lower.weights import weight_faults, weights_error

    own = module.state_dict()
    shapes = {key: tuple(tensor.shape) for key, tensor in own.items() if not key.endswith(COUNTERS)}
    if faults := weight_faults(shapes, weights):
        raise weights_error(name, faults)
    state = {key: torch.from_numpy(np.array(array)) for key, array in weights.items()}
    module.load_state_dict(state | {key: tensor for key, tensor in own.items() if key.endswith(COUNTERS)})


def is_module_document(text: str) -> bool:
    """Whether the text of an arch.json says where a module comes from."""
    return f'"{SCHEMA}"' in text[:200]


def from_document(text: str, *, source: str) -> BuildableModule:
    """The module of a document; nothing is built or run for it. Raises NetlatheError for a document that is none."""
    document = parse_json(text, source=source, code="module.document", what="a module")
    fields = document if isinstance(document, dict) else {}
    name, origin, code = (fields.get(key) for key in ("name", "source", "code"))
    numbers = [fields.get(key) for key in BuildRequest._fields]
    whole = all(n is None or (type(n) is int and 0 < n < 2**31) for n in numbers)
    if not (isinstance(name, str) and isinstance(origin, str) and whole and (code is None or isinstance(code, str))):
        message = (
            "its fields are name, source, code, classes, channels and resolution: one is missing or of another kind"
        )
        raise NetlatheError(message, code="module.document", path=source)
    net_source = library_source(origin)
    if net_source is None:
        where = split_name(origin)
        if where is None:
            raise NetlatheError(f"{origin!r} is no source of a module", code="module.document", path=source)
        net_source = CodeSource(where, code)
    return BuildableModule(name, net_source, BuildRequest(*numbers))
