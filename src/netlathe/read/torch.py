"""read_module(): a torch module becomes a Graph by its own forward, on tensors that have shapes but no memory.

The module is copied onto torch's meta device and run once. A dispatch mode sees every operator that the forward
executes, whoever wrote it (subclass, functional, `@`, einsum); a function mode keeps whole what torch takes apart
before: a linear layer, adaptive pooling, and attention, whose two products count in full. How modes work:
https://docs.pytorch.org/docs/stable/notes/extending.html.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any, NamedTuple, NoReturn

from netlathe.arch.graph import Graph
from netlathe.arch.node import Shape
from netlathe.errors import MissingExtra, NetlatheError, nearest
from netlathe.read.graph_builder import GraphBuilder, Scope, TracedValue
from netlathe.read.torch_ops import MAKERS, NEEDS_VALUES, RULES, VIEWS, AtenCall, register

try:
    import torch
except ImportError as error:
    raise MissingExtra("torch", "train") from error
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from netlathe.read.meta import META, on_meta, to_meta

__all__ = ["ModuleReading", "read_module", "register"]


class ModuleReading(NamedTuple):
    """A module as a graph, and what the graph does not say."""

    graph: Graph
    uncalled: dict[str, Shape]  # trainable tensors that the forward never used: not in the graph's params
    tied: dict[str, str]  # further names of shared tensors -> the name under which they count, once


def read_module(module: nn.Module, *inputs: Shape | torch.Tensor, training: bool = False) -> ModuleReading:
    """The graph of a module for one image: `inputs` are shapes without the batch axis, such as (3, 224, 224).

    An input that is no float is given as a tensor with a batch of 1, of which only shape and type matter. The module is
    not changed, and its weights are neither read nor copied. Raises NetlatheError with the path of the submodule: where
    the forward looks at values, where an operator is unknown, where it fails on these shapes.
    """
    twin = on_meta(getattr(module, "_orig_mod", module)).train(training)  # _orig_mod: what torch.compile wraps
    names = {id(p): name for name, p in twin.named_parameters()}
    aliases = {name: names[id(p)] for name, p in twin.named_parameters(remove_duplicate=False)}
    weights = {name: tuple(p.shape) for name, p in twin.named_parameters()}
    builder = GraphBuilder(weights, {name: tuple(b.shape) for name, b in twin.named_buffers()})
    recorder = Recorder(builder, twin)
    dtype = next((p.dtype for p in twin.parameters() if p.is_floating_point()), torch.float32)
    xs = [to_meta(x) if isinstance(x, torch.Tensor) else torch.empty((1, *x), dtype=dtype, device=META) for x in inputs]
    for x in xs:
        recorder.assign(x, builder.input(tuple(x.shape)))
    y = recorder.run(twin, xs)
    outputs = [recorder.values[id(leaf)] for leaf in tree_leaves(y) if id(leaf) in recorder.values]
    graph = builder.graph(outputs, recorder.root)
    uncalled = {name: shape for name, shape in weights.items() if name not in builder.used}
    return ModuleReading(graph, uncalled, {name: first for name, first in aliases.items() if name != first})


IN_PLACE = object()


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch annotates neither mode
    """Writes every operator that reaches the dispatcher to a graph builder."""

    def __init__(self, builder: GraphBuilder, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.builder = builder
        self.paths = {id(part): path for path, part in module.named_modules()}
        self.root = Scope("", alone=False)
        self.calls: list[tuple[nn.Module, Scope]] = []  # the modules that are running, innermost last
        self.values: dict[int, TracedValue] = {}  # by id of tensor
        self.alive: list[torch.Tensor] = []  # keeps those ids from being used again
        self.quiet = False  # inside an operator that is written down as a whole
        self.memo: dict[Any, Any] = {}  # what operators make, by their arguments
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            self.assign(tensor, TracedValue(tuple(tensor.shape), sources=(name,)))

    def assign(self, tensor: torch.Tensor, traced: TracedValue) -> None:
        self.alive.append(tensor)
        self.values[id(tensor)] = traced

    @property
    def scope(self) -> Scope:
        """Where the forward is."""
        return self.calls[-1][1] if self.calls else self.root

    def run(self, module: nn.Module, xs: list[torch.Tensor]) -> Any:
        """The forward, recorded."""
        try:
            with torch.no_grad(), self.following(), KeepWhole(self), self:
                return module(*xs)
        except NetlatheError:
            raise
        except Exception as error:
            shapes = " and ".join("x".join(map(str, x.shape[1:])) for x in xs)
            raise NetlatheError(
                f"the forward fails on an input of {shapes or 'nothing'}: {type(error).__name__}: {error}",
                code="read.forward",
                path=self.scope.path or type(module).__name__,
                hint="give the shapes that it is made for, without the batch axis; see --input",
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
        if is_traced and name in NEEDS_VALUES:
            self.refuse_values(name)
        try:
            y = self.once(func, func, args, kwargs) if is_traced and not func.is_view else func(*args, **kwargs)
        except NotImplementedError as error:
            raise NetlatheError(
                f"torch cannot say which shape {name} makes without running it",
                code="read.values",
                path=self.scope.path,
                hint="of an operator of your own, say it: torch.library.register_fake",
            ) from error
        if not self.quiet and (is_traced or (tensors and func.is_view)):
            self.write(func, name, args, kwargs, tensors, y)
        return y

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
                self.assign(t, self.builder.view(reads[0], tuple(t.shape)))
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
        if rule is None:
            self.refuse_unknown(name)
        form, macs = rule.work(call) if rule.work else (rule.form, 0)
        linear = rule.kind == "matmul" and any(h.id is None and h.root.id is None and h.sources for h in reads)
        traced = self.builder.emit(self.scope, "linear" if linear else rule.kind, form, reads, call.y, macs)
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
            traced = TracedValue(tuple(tensor.shape))
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


class KeepWhole(TorchFunctionMode):
    """Keeps some functions whole that the dispatcher would see in pieces."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder
        self.functions: dict[Any, Callable[..., Any]] = {
            F.linear: self.linear,
            F.scaled_dot_product_attention: self.attention,
            F.adaptive_avg_pool2d: self.adaptive_pool,
            F.multi_head_attention_forward: self.multi_head_attention,
        }

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.functions.get(func, func)(*args, **(kwargs or {}))

    def whole(self, name: str, func: Callable[..., Any], tensors: tuple[Any, ...], *args: Any, **kwargs: Any) -> Any:
        """Run a function unseen and write it down as one operator that reads the tensors."""
        recorder, before = self.recorder, self.recorder.quiet
        recorder.quiet = True
        try:
            y = recorder.once(name, func, args, kwargs)
        finally:
            recorder.quiet = before
        reads = [recorder.value_of(t) for t in tensors if isinstance(t, torch.Tensor)]
        if not before and y.is_meta:
            recorder.record(name, AtenCall(tensors, {}, tuple(y.shape)), reads, [y])
        return y

    def linear(self, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> Any:
        return self.whole("linear", F.linear, (input, weight, bias), input, weight, bias)

    def attention(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attn_mask: Any = None, *args: Any, **how: Any
    ) -> Any:
        tensors = (query, key, value, attn_mask)
        return self.whole(
            "scaled_dot_product_attention", F.scaled_dot_product_attention, tensors, *tensors, *args, **how
        )

    def adaptive_pool(self, input: torch.Tensor, output_size: Any) -> Any:
        single = output_size in (1, (1, 1), [1, 1])
        name = "global_avg_pool2d" if single else "adaptive_avg_pool2d"
        return self.whole(name, F.adaptive_avg_pool2d, (input,), input, output_size)

    def multi_head_attention(self, *args: Any, **kwargs: Any) -> Any:
        """torch's own function, in which attention and linear layers are kept whole as well."""
        own = F.multi_head_attention_forward
        inner = {"scaled_dot_product_attention": self.attention, "linear": self.linear}
        function = FunctionType(own.__code__, {**vars(F), **inner}, own.__name__, own.__defaults__, own.__closure__)
        function.__kwdefaults__ = own.__kwdefaults__
        return function(*args, **kwargs)


def tensors_of(args: Any, kwargs: dict[str, Any]) -> list[torch.Tensor]:
    """The tensors among arguments, those in lists included."""
    tensors: list[torch.Tensor] = []
    for value in (*args, *kwargs.values()):
        if isinstance(value, torch.Tensor):
            tensors.append(value)
        elif isinstance(value, (list, tuple)):
            tensors += [item for item in value if isinstance(item, torch.Tensor)]
    return tensors


def signature(value: Any) -> Any:
    """All of arguments that decides the shape of the result, as something that can be hashed."""
    if isinstance(value, torch.Tensor):
        return value.shape, value.stride(), value.dtype, value.device.type
    if isinstance(value, (list, tuple)):
        return tuple(map(signature, value))
    return type(value), value


def name_of(func: Any) -> str:
    """aten's operators by their name, others with their namespace; without overload."""
    return str(func._schema.name).removeprefix("aten::")
