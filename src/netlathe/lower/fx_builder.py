"""Builder: writes the torch.fx nodes of one operator. https://docs.pytorch.org/docs/stable/fx.html"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import fx, nn

from netlathe.arch.graph import Graph, Op
from netlathe.arch.joins import Add, Cat
from netlathe.arch.layers import Conv, ConvTranspose, Linear, Norm
from netlathe.errors import NetlatheError

# Operators whose result nobody needs for the backward pass: who reads it alone may overwrite it.
FRESH = (Conv, ConvTranspose, Linear, Norm, Add, Cat)


class FxGraphBuilder:
    """A graph that is being written: fx nodes, the modules that they call, who reads which value."""

    def __init__(self, graph: Graph) -> None:
        self.root, self.nodes = nn.Module(), fx.Graph()
        self.values = {i: self.nodes.placeholder(f"x{i}" if i else "x") for i in range(len(graph.input_shapes))}
        self.reads = [0] * len(graph.shapes)
        for i in (*graph.outputs, *(i for op in graph.ops for i in op.inputs)):
            self.reads[i] += 1
        self.free = {op.output for op in graph.ops if isinstance(op.leaf, FRESH) and self.reads[op.output] == 1}

    def call(self, path: str, module: nn.Module, *xs: fx.Node) -> fx.Node:
        """Put a module at a path and call it."""
        put_module(self.root, path or "leaf", module)
        return self.nodes.call_module(path or "leaf", xs)


class FxNodeBuilder:
    """Writes the nodes of one operator; a rule returns the node of its result."""

    def __init__(self, op: Op, fx_graph: FxGraphBuilder) -> None:
        self.op, self.fx_graph = op, fx_graph
        self.xs = tuple(fx_graph.values[i] for i in op.inputs)

    def module(self, module: nn.Module, x: fx.Node) -> fx.Node:
        """The operator's own module, at its path."""
        if not self.op.path and next(module.parameters(), None) is not None:
            raise NetlatheError(
                f"the network is a lone {self.op.kind}, whose weights have no path in torch",
                code="torch.path",
                hint="name it: seq(layer=...)",
            )
        return self.fx_graph.call(self.op.path, module, x)

    def __call__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> fx.Node:
        return self.fx_graph.nodes.call_function(function, args, kwargs)

    def method(self, name: str, *args: Any, **kwargs: Any) -> fx.Node:
        """The method of a tensor: `build.method("permute", x, 0, 2, 3, 1)`."""
        return self.fx_graph.nodes.call_method(name, args, kwargs)

    def free(self, i: int = 0) -> bool:
        """Whether input `i` may be overwritten."""
        return self.op.inputs[i] in self.fx_graph.free


def put_module(root: nn.Module, path: str, module: nn.Module) -> None:
    """Put a module at a path, inside plain modules; what already lies below it stays there."""
    *outer, name = path.split(".")
    for part in outer:
        if part not in root._modules:
            add_child(root, part, nn.Module(), path)
        root = root.get_submodule(part)
    for below, child in root._modules.pop(name, nn.Module()).named_children():  # type: ignore[union-attr]
        add_child(module, below, child, path)
    add_child(root, name, module, path)


def add_child(parent: nn.Module, name: str, child: nn.Module, path: str) -> None:
    """`parent.name = child`, unless torch uses that name itself."""
    if hasattr(fx.GraphModule, name) or hasattr(parent, name):
        raise NetlatheError(f"torch.nn.Module has an attribute {name!r}", code="torch.name", path=path,
                            hint="give the part another name")  # fmt: skip
    parent.add_module(name, child)
