"""An expression with open choices as one torch module whose weights all its networks share.

The nodes are those of the ordinary lowering, with one rule more for `MixedOp`; the forward runs only the nodes that a
setting of the decisions needs. A setting gives each decision its weights (mixed), the number of its option (one path),
or None (nothing passes).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from netlathe.arch.graph import Op
from netlathe.arch.joins import Zero
from netlathe.arch.network import Network
from netlathe.errors import MissingExtra, unknown
from netlathe.lower.initial import initial_weights
from netlathe.lower.weights import Array, checked_weights
from netlathe.search.oneshot.mixed_op import MixedOp, inherited_tensors, mix_choices, mixed_decisions

try:
    import torch
    from torch import Tensor, fx, nn

    from netlathe.lower.fx_builder import FxNodeBuilder
    from netlathe.lower.torch import build_module, fill
    from netlathe.lower.torch_ops import RULES
except ImportError as error:
    raise MissingExtra("torch", "train") from error

Setting: TypeAlias = Mapping[str, "Tensor | int | None"]
ExecutionPlan: TypeAlias = (
    "list[tuple[fx.Node, tuple[fx.Node, ...]]]"  # nodes to run, each with the values that end there
)


class Supernet(nn.Module):
    """All networks of a space in one: (images (N, C, H, W), setting) -> what the networks give, in training mode.

    Weights start by the recipe `init` (`lower.initial`). `affine` says by the path of a batch norm whether it keeps its
    factors and shifts. `decisions` are the options by decision. Raises NetlatheError for an expression without a
    choice, ShapeError for options of different shapes.
    """

    def __init__(
        self, network: Network, *, init: str = "he", seed: int = 0, affine: Callable[[str], bool] = lambda path: True
    ) -> None:
        super().__init__()
        self.network = replace(network, body=mix_choices(network.body))
        self.decisions = mixed_decisions(self.network.body)
        graph = self.network.graph()
        with torch.device("meta"):
            self.net = build_module(graph, {}, "", 0.0, rules=RULES | {MixedOp: mix, Zero: zero})
        fill(self.net, checked_weights(graph, initial_weights(self.network, init, seed)))
        for path, norm in list(self.net.named_modules()):
            if isinstance(norm, nn.BatchNorm2d) and not affine(path):
                norm.affine, norm.weight, norm.bias = False, None, None  # type: ignore[assignment]
        self._plans: dict[tuple[tuple[str, int | None], ...], ExecutionPlan] = {}

    def forward(self, x: Tensor, setting: Setting) -> Tensor:
        """The networks' outputs under a setting of the decisions: (N, classes)."""
        values: dict[fx.Node, Tensor] = {}
        for node, ended in self.plan(setting):
            values[node] = self.value(node, values, x, setting)
            for old in ended:
                del values[old]
        [y] = values.values()
        return y

    def value(self, node: fx.Node, values: dict[fx.Node, Tensor], x: Tensor, setting: Setting) -> Tensor:
        """What one node gives."""
        if node.op == "placeholder":
            return x
        if node.target is mix:
            return mix_values(setting[str(node.args[0])], node, values, x)
        if node.target is zero:
            return zeros_for(node, x)
        args: Any = fx.node.map_arg(node.args, values.__getitem__)
        kwargs: Any = fx.node.map_arg(node.kwargs, values.__getitem__)
        if node.op == "call_module":
            value: Tensor = self.net.get_submodule(str(node.target))(*args, **kwargs)
        elif node.op == "call_method":
            value = getattr(args[0], str(node.target))(*args[1:], **kwargs)
        else:
            value = node.target(*args, **kwargs)  # type: ignore[operator]
        return value

    def plan(self, setting: Setting) -> ExecutionPlan:
        """The nodes that a setting needs, in order."""
        paths = tuple((name, s) for name in self.decisions if not isinstance(s := setting[name], Tensor))
        if (plan := self._plans.get(paths)) is not None:
            return plan
        order = {node: i for i, node in enumerate(self.net.graph.nodes)}
        *_, end = order
        result = end.args[0]
        assert isinstance(result, fx.Node)
        needed, waiting = {result}, [result]
        while waiting:
            new = set(nodes_read(waiting.pop(), setting)) - needed
            needed |= new
            waiting += new
        nodes = sorted(needed, key=order.__getitem__)
        last = {source: node for node in nodes for source in nodes_read(node, setting)}
        ending: dict[fx.Node, list[fx.Node]] = {}
        for source, node in last.items():
            ending.setdefault(node, []).append(source)
        plan = [(node, tuple(ending.get(node, ()))) for node in nodes]
        if len(self._plans) >= KEPT:
            self._plans.pop(next(iter(self._plans)))
        self._plans[paths] = plan
        return plan

    def option(self, decision: str, name: str) -> int:
        """The number of an option. Raises NetlatheError for an unknown decision or option."""
        if decision not in self.decisions:
            raise unknown("decision", decision, self.decisions, code="search.decision")
        if name not in self.decisions[decision]:
            raise unknown("option", name, self.decisions[decision], code="search.option", path=decision)
        return self.decisions[decision].index(name)

    def inherit(self, picks: Mapping[str, str]) -> dict[str, Array]:
        """The weights of the network with these options, by its own paths, as `to_torch` takes them."""
        state = self.net.state_dict()
        shapes = {f"{path}.{name}" for path, norm in self.net.named_modules() for name in dropped_tensors(norm)}
        names = [name for name in [*state, *shapes] if not name.endswith("num_batches_tracked")]
        inherited = inherited_tensors(self.network.body, dict(picks), names)

        def tensor(name: str) -> Array:
            if name in state:
                return np.array(state[name].cpu().numpy())
            where, _, kind = name.rpartition(".")
            norm = self.net.get_submodule(where)
            assert isinstance(norm, nn.BatchNorm2d)
            return np.full(norm.num_features, float(kind == "weight"), np.float32)

        return {own: tensor(name) for own, name in inherited.items()}


KEPT = 64  # plans of settings


def dropped_tensors(norm: nn.Module) -> tuple[str, ...]:
    """The tensors that a batch norm of a network has and one without factors and shifts has not."""
    return ("weight", "bias") if isinstance(norm, nn.BatchNorm2d) and not norm.affine else ()


def nodes_read(node: fx.Node, setting: Setting) -> tuple[fx.Node, ...]:
    """The nodes whose values a node reads under a setting."""
    if node.target is not mix:
        return tuple(node.all_input_nodes)
    decision, *options = node.args
    picked = setting[str(decision)]
    read = [] if picked is None else [options[picked]] if isinstance(picked, int) else options
    return tuple(dict.fromkeys(o for o in read if isinstance(o, fx.Node) and o.target is not zero))


def mix_values(picked: Tensor | int | None, node: fx.Node, values: Mapping[fx.Node, Tensor], x: Tensor) -> Tensor:
    """The value of a `MixedOp`; options that are zero are never computed."""
    _, *options = node.args
    if isinstance(picked, int):
        options = [options[picked]]
    elif picked is None:
        options = []
    parts = [
        values[option] if not isinstance(picked, Tensor) else values[option] * picked[i]
        for i, option in enumerate(options)
        if isinstance(option, fx.Node) and option.target is not zero
    ]
    if not parts:
        return zeros_for(node, x)
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def zeros_for(node: fx.Node, x: Tensor) -> Tensor:
    """Zeros in the shape of a node's value."""
    return x.new_zeros((len(x), *node.meta["shape"]))


def mix(leaf: MixedOp, op: Op, emit: FxNodeBuilder) -> fx.Node:
    """The rule of `MixedOp`, and the mark by which its nodes are known."""
    value = emit(mix, leaf.decision, *emit.xs)
    value.meta["shape"] = op.out_shape
    return value


def zero(leaf: Zero, op: Op, emit: FxNodeBuilder) -> fx.Node:
    """The rule of `Zero`, and the mark by which its nodes are known."""
    value = emit(zero, *emit.xs)
    value.meta["shape"] = op.out_shape
    return value
