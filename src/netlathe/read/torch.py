"""read_module(): a torch module becomes a Graph by its own forward, on tensors that have shapes but no memory.

The module is copied onto torch's meta device and run once. A dispatch mode sees every operator that the forward
executes, whoever wrote it (subclass, functional, `@`, einsum); a function mode keeps whole what torch takes apart
before: a linear layer, adaptive pooling, and attention, whose two products count in full. How modes work:
https://docs.pytorch.org/docs/stable/notes/extending.html.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn

from netlathe.arch.graph import Graph
from netlathe.arch.node import Shape
from netlathe.arch.types import FLOATS
from netlathe.errors import MissingExtra, NetlatheError, nearest
from netlathe.read.graph_builder import GraphBuilder, Scope, TracedValue
from netlathe.read.torch_ops import MAKERS, NEEDS_VALUES, OF_WEIGHTS, RULES, VIEWS, AtenCall, AtenRule, register
from netlathe.read.views import view_form

try:
    import torch
except ImportError as error:
    raise MissingExtra("torch", "train") from error
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from netlathe.read.meta import META, on_meta
from netlathe.read.rules import scores
from netlathe.read.torch_calls import (
    COMPOSITE,
    has_dynamic_shape,
    is_composite,
    is_shape,
    name_of,
    signature,
    tensors_of,
    uncompiled,
    without_memory,
)
from netlathe.read.torch_constants import ConstantLog, UnknownValue, stand_in
from netlathe.read.torch_whole import KeepWhole

__all__ = ["ModuleReading", "read_module", "register"]


TYPES = {torch.float32: "fp32", torch.float64: "fp64", torch.float16: "fp16", torch.bfloat16: "bf16"} | {
    getattr(torch, name): name
    for name in ("int64", "int32", "int16", "int8", "uint8", "bool", "complex64", "complex128")
}  # other types have the network's


class ModuleReading(NamedTuple):
    """A module as a graph, and what the graph does not say."""

    graph: Graph
    uncalled: dict[str, Shape]  # trainable tensors that the forward never used: not in the graph's params
    frozen: dict[str, Shape]  # parameters with requires_grad=False, which count as buffers
    tied: dict[str, str]  # further names of shared tensors -> the name under which they count, once


def read_module(
    module: nn.Module, *inputs: Any, keywords: Mapping[str, Any] | None = None, training: bool = False
) -> ModuleReading:
    """The graph of a module for one image: `inputs` are shapes without the batch axis, such as (3, 224, 224).

    An input that is no float is given as a tensor with a batch of 1, of which only shape and type matter; so are
    `keywords`, and inputs that are lists or dictionaries of tensors. The module is not changed, and its weights are
    neither read nor copied. Raises NetlatheError with the path of the submodule: where the forward looks at values that
    depend on the input, where an operator is unknown, where it fails on these shapes.
    """
    twin, constants = on_meta(getattr(module, "_orig_mod", module))  # _orig_mod: what torch.compile wraps
    twin.train(training)
    names = {id(p): name for name, p in twin.named_parameters()}
    aliases = {name: names[id(p)] for name, p in twin.named_parameters(remove_duplicate=False)}
    weights = {name: tuple(p.shape) for name, p in twin.named_parameters() if p.requires_grad}
    frozen = {name: tuple(p.shape) for name, p in twin.named_parameters() if not p.requires_grad}
    buffers = frozen | {name: tuple(b.shape) for name, b in twin.named_buffers()}
    dtype = next((p.dtype for p in twin.parameters() if p.is_floating_point()), torch.float32)
    types = {name: TYPES.get(t.dtype, "") for name, t in (*twin.named_parameters(), *twin.named_buffers())}
    precision = TYPES.get(dtype, "")
    builder = GraphBuilder(weights, buffers, types, precision if precision in FLOATS else "fp32")
    recorder = Recorder(builder, twin, ConstantLog(constants))
    xs = [
        torch.empty((1, *x), dtype=dtype, device=META) if is_shape(x) else tree_map(without_memory, x) for x in inputs
    ]
    words = tree_map(without_memory, dict(keywords or {}))
    for x in tree_leaves((xs, words)):
        if isinstance(x, torch.Tensor):
            recorder.assign(x, builder.input(tuple(x.shape), recorder.type_of(x)))
    y = recorder.run(twin, xs, words)
    outputs = [recorder.values[id(leaf)] for leaf in tree_leaves(y) if id(leaf) in recorder.values]
    graph = builder.graph(outputs, recorder.root)
    uncalled = {name: shape for name, shape in weights.items() if name not in builder.used}
    return ModuleReading(graph, uncalled, frozen, {name: first for name, first in aliases.items() if name != first})


IN_PLACE = object()


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch annotates neither mode
    """Writes every operator that reaches the dispatcher to a graph builder."""

    def __init__(self, builder: GraphBuilder, module: nn.Module, constants: ConstantLog) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.builder, self.constants = builder, constants
        self.spoiled: set[int] = set()  # ids of values that were constants until something of the image was written
        self.paths = {id(part): path for path, part in module.named_modules()}
        self.root = Scope("", alone=False)
        self.calls: list[tuple[nn.Module, Scope]] = []  # the modules that are running, innermost last
        self.values: dict[int, TracedValue] = {}  # by id of tensor
        self.alive: list[torch.Tensor] = []  # keeps those ids from being used again
        self.quiet = False  # inside an operator that is written down as a whole
        self.memo: dict[Any, Any] = {}  # what operators make, by their arguments
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            self.assign(tensor, TracedValue(tuple(tensor.shape), sources=(name,), type=self.type_of(tensor)))

    def assign(self, tensor: torch.Tensor, traced: TracedValue) -> None:
        self.alive.append(tensor)
        self.values[id(tensor)] = traced

    @property
    def scope(self) -> Scope:
        """Where the forward is."""
        return self.calls[-1][1] if self.calls else self.root

    def type_of(self, tensor: torch.Tensor) -> str:
        """Its type in our words; empty for the network's."""
        type_ = TYPES.get(tensor.dtype, "")
        return "" if type_ == self.builder.precision else type_

    def run(self, module: nn.Module, xs: list[Any], words: dict[str, Any]) -> Any:
        """The forward, recorded."""
        try:
            with torch.no_grad(), uncompiled(), self.following(), KeepWhole(self), self:
                return module(*xs, **words)
        except NetlatheError:
            raise
        except Exception as error:
            tensors = [x for x in tree_leaves((xs, words)) if isinstance(x, torch.Tensor)]
            shapes = " and ".join("x".join(map(str, x.shape[1:])) for x in tensors)
            raise NetlatheError(
                f"the forward fails on an input of {shapes or 'nothing'}: {type(error).__name__}: {error}",
                code="read.forward",
                path=self.scope.path or type(module).__name__,
                hint="give the shapes that it is made for: --input, without the batch axis, or --example",
            ) from error

    @contextmanager
    def following(self) -> Iterator[None]:
        """Keep `calls` while modules run."""

        def enter(part: nn.Module, _: Any) -> None:
            path = self.paths.get(id(part))
            scope = self.scope if path is None else Scope(path, alone=not part._modules)
            self.calls.append((part, scope))

        def leave(part: nn.Module, _: Any, y: Any) -> None:
            while self.calls.pop()[0] is not part:  # modules whose error somebody caught
                pass

        hooks = register_module_forward_pre_hook(enter), register_module_forward_hook(leave)
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = tensors_of(args, kwargs)
        is_traced = any(t.is_meta or self.written(t) for t in tensors)
        device = kwargs.get("device")
        if device is not None and (is_traced or device.type != "cpu"):
            kwargs = {**kwargs, "device": META}
        if is_traced and not all(t.is_meta for t in tensors):
            args, kwargs = self.moved(args), {key: self.moved(value) for key, value in kwargs.items()}
            tensors = tensors_of(args, kwargs)
        name = name_of(func)
        if is_composite(func):  # under inference_mode the dispatcher sees what is else taken apart before
            with self:
                return func._op_dk(COMPOSITE, *args, **kwargs)
        if is_traced and (name in NEEDS_VALUES or (has_dynamic_shape(func) and kwargs.get("output_size") is None)):
            return self.ask_values(name, func, args, kwargs)
        if is_traced and name in ("index", "_unsafe_index"):
            args = (args[0], [axis for index in args[1] for axis in self.positions(name, index)], *args[2:])
            tensors = tensors_of(args, kwargs)
        try:
            y = self.once(func, func, args, kwargs) if is_traced and not func.is_view else func(*args, **kwargs)
        except NotImplementedError as error:
            if "::" not in name:
                return self.ask_values(name, func, args, kwargs)
            raise NetlatheError(
                f"torch cannot say which shape {name} makes without running it",
                code="read.values",
                path=self.scope.path,
                hint="of an operator of your own, say it: torch.library.register_fake",
            ) from error
        if not self.quiet and (is_traced or (tensors and func.is_view)):
            self.write(func, name, args, kwargs, tensors, y)
        if not self.quiet:
            if name in MAKERS:  # what they make depends on the shape alone
                args, tensors = tree_map(stand_in, args), []
            self.remember(func, args, kwargs, tensors, y)
        return y

    def remember(self, func: Callable[..., Any], args: Any, kwargs: Any, tensors: list[torch.Tensor], y: Any) -> None:
        """Log what ran on constants alone; what it writes of the image into one makes that none."""
        results = [t for t in tree_leaves(y) if isinstance(t, torch.Tensor) and t.is_meta]
        tags = getattr(func, "tags", ())
        if self.are_constants(tensors) and torch.Tag.nondeterministic_seeded not in tags:
            if results:
                self.constants.add(func, args, kwargs, y)
        else:
            self.spoiled |= {id(self.value_of(t).root) for t in results if any(t is read for read in tensors)}

    def are_constants(self, tensors: list[torch.Tensor]) -> bool:
        """Whether the values of all these can be had."""
        return self.constants.holds(t for t in tensors if t.is_meta) and not any(
            id(self.value_of(t).root) in self.spoiled or self.written(t) for t in tensors
        )

    def ask_values(self, name: str, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """The result of an operator that depends on elements: of constants it can be had, else it is refused."""
        if not self.are_constants(tensors_of(args, kwargs)):
            self.refuse_values(name)
        try:
            y = self.constants.evaluate(func, args, kwargs)
        except UnknownValue:
            self.refuse_values(name)
        return tree_map(self.constant_twin, y)

    def constant_twin(self, leaf: Any) -> Any:
        """A tensor whose values we have, as one without memory."""
        if not isinstance(leaf, torch.Tensor):
            return leaf
        twin = leaf.to(META)
        self.constants.add_value(twin, leaf.clone())
        self.value_of(twin)
        return twin

    def positions(self, name: str, index: Any) -> list[Any]:
        """An index by a mask as indices of whole numbers, one an axis; any other index as it is."""
        if not isinstance(index, torch.Tensor) or index.dtype not in (torch.bool, torch.uint8):
            return [index]
        if not index.is_meta:
            return [self.constant_twin(axis) for axis in index.nonzero(as_tuple=True)]
        return list(self.ask_values(name, lambda mask: mask.nonzero(as_tuple=True), (index,), {}))

    def once(self, what: Any, func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        """func(...), run once for equal arguments: torch takes longer to find shapes than we to remember them."""
        key = (what, signature(args), signature(tuple(kwargs.items())))
        remembered = self.memo.get(key)
        if remembered is None:
            y = func(*args, **kwargs)
            tensors = y if isinstance(y, (tuple, list)) else (y,)
            own = isinstance(what, torch._ops.OpOverload) and what._schema.is_mutable  # it writes into an argument
            if own and y is args[0] and torch.Tag.inplace_view not in what.tags:
                self.memo[key] = IN_PLACE
            elif not own and all(isinstance(t, torch.Tensor) and t.is_meta for t in tensors):
                self.memo[key] = type(y), [(t.shape, t.stride(), t.dtype) for t in tensors]
            return y
        if remembered is IN_PLACE:
            return args[0]
        kind, recipes = remembered
        results = [torch.empty_strided(shape, stride, dtype=dtype, device=META) for shape, stride, dtype in recipes]
        return results[0] if issubclass(kind, torch.Tensor) else kind(results)

    def write(self, func: Any, name: str, args: Any, kwargs: Any, tensors: list[torch.Tensor], y: Any) -> None:
        """One operator that has run."""
        results = [t for t in (y if isinstance(y, (tuple, list)) else [y]) if isinstance(t, torch.Tensor)]
        reads = [self.value_of(t) for t in tensors]
        if func.is_view or name in VIEWS or torch.Tag.inplace_view in func.tags:
            for t in results:
                form = view_form(name.removesuffix("_"), tensors[0].shape, t.shape, args[1:])
                self.assign(t, self.builder.view(reads[0], tuple(t.shape), form))
        elif name not in MAKERS and results:
            target = next((t for t in tensors if t is results[0]), None)  # in place
            self.record(name, AtenCall(args, kwargs, tuple(results[0].shape)), reads, results, target)

    def record(
        self,
        name: str,
        call: AtenCall,
        reads: list[TracedValue],
        results: list[torch.Tensor],
        target: torch.Tensor | None = None,
    ) -> None:
        """Write an operator down by its rule; further results are views of the first."""
        rule = RULES.get(name) or RULES.get(name.removesuffix("_"))
        if name in OF_WEIGHTS and not any(traced.root.id is not None for traced in reads):
            rule = AtenRule("map")
        if rule is None:
            self.refuse_unknown(name)
        form, macs = rule.work(call) if rule.work else (rule.form, 0)
        linear = rule.kind == "matmul" and any(h.id is None and h.root.id is None and h.sources for h in reads)
        inner = scores(call.shape(0), call.shape(1)) if rule.kind == "attention" else 0
        kind, type_ = "linear" if linear else rule.kind, self.type_of(results[0])
        if form == "cdist" and not macs:
            kind = "reduce"
        traced = self.builder.emit(self.scope, kind, form, reads, call.y, macs, type_, inner)
        if target is None:
            self.assign(results[0], traced)
        else:
            root = self.value_of(target).root
            root.id, root.sources = traced.id, traced.sources if traced.id is None else ()
        for further in results[1:]:
            self.assign(further, self.builder.view(traced, tuple(further.shape)))

    def value_of(self, tensor: torch.Tensor) -> TracedValue:
        """What a tensor holds; one that was never seen is a constant of the forward."""
        traced = self.values.get(id(tensor))
        if traced is None:
            traced = TracedValue(tuple(tensor.shape), type=self.type_of(tensor))
            self.assign(tensor, traced)
        return traced

    def written(self, tensor: torch.Tensor) -> bool:
        """Whether something of the network was written into a constant of the forward: its memory tells nothing."""
        traced = self.values.get(id(tensor))
        return traced is not None and traced.root.id is not None

    def moved(self, value: Any) -> Any:
        """Tensors with memory (constants of the forward) as tensors without, beside those of the network."""
        if isinstance(value, torch.Tensor) and not value.is_meta:
            twin = value.to(META)
            self.assign(twin, self.value_of(value))
            self.constants.add_value(twin, value.clone())
            return twin
        return type(value)(map(self.moved, value)) if isinstance(value, (list, tuple)) else value

    def refuse_values(self, name: str) -> NoReturn:
        raise NetlatheError(
            f"the forward looks at the values of a tensor ({name}), but only its shape is known",
            code="read.values",
            path=self.scope.path,
            hint="a network whose shapes or branches depend on the image has no one cost: read its parts, or export it "
            "to ONNX for one branch",
        )

    def refuse_unknown(self, name: str) -> NoReturn:
        close = nearest(name, RULES, 1)
        like = f", for example as {close[0]} is" if close else ""
        raise NetlatheError(
            f"unknown operator {name}: nothing is assumed to be free",
            code="read.unknown_operator",
            path=self.scope.path,
            hint=f'say what it is{like}: netlathe.read.torch.register("{name}", kind, work=macs)',
        )
