"""An expression becomes a torch module: https://docs.pytorch.org/docs/stable/fx.html. Needs the extra `train`.

The modules inside are torch.nn's own and carry the expression's paths (`stage1.block1.process.conv`), so state dict
keys are the names of `tensor_shapes`; batch norm's `num_batches_tracked` is the only one more. The forward is written
by torch.fx: straight lines that free every value after its last use.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from netlathe.arch.graph import Graph, Op
from netlathe.arch.layers import Linear
from netlathe.arch.network import Network
from netlathe.arch.own_leaves import own_rule
from netlathe.errors import MissingExtra, NetlatheError
from netlathe.lower.branches import drop_rates
from netlathe.lower.initial import initial_weights
from netlathe.lower.weights import checked_weights, random_weights

try:
    import torch
    from torch import fx, nn

    from netlathe.lower.fx_builder import FxGraphBuilder, FxNodeBuilder
    from netlathe.lower.torch_modules import DropPath
    from netlathe.lower.torch_ops import RULES, Rules
except ImportError as error:
    raise MissingExtra("torch", "train") from error


def to_torch(
    network: Network,
    weights: Mapping[str, Any] | None = None,
    *,
    init: str | None = None,
    seed: int = 0,
    drop_rate: float = 0.0,
    drop_path: float = 0.0,
    ramp: str = "over_last",
    aux: bool = False,
    device: str = "cpu",
) -> nn.Module:
    """The network as a module in training mode, float32: (batch, channels, height, width) -> (batch, ...).

    `weights` by path; without, those of the recipe `init` (see `lower.initial`), else random ones, the same as in the
    ONNX reading for the same `seed`. The rest is for training: `drop_rate` is the dropout before the classifier,
    `drop_path` the largest rate at which residual branches are left out, rising with depth as `ramp` says (see
    `lower.branches`); with `aux` the auxiliary heads exist, and in training mode the result is (y, their outputs ...).
    On the device `meta` there are shapes and no weights. Raises ShapeError where shapes do not fit, and NetlatheError
    for weights that do not fit, an operator without a rule, a rate outside [0, 1), or a name that torch cannot give.
    """
    for name, rate in {"drop_rate": drop_rate, "drop_path": drop_path}.items():
        if not 0 <= rate < 1:
            raise NetlatheError(f"{name} must be at least 0 and less than 1, not {rate}", code="torch.rate")
    graph = network.graph(training=aux)
    drops = drop_rates(network.body, drop_path, ramp) if drop_path else {}
    with torch.device("meta"):
        module = build_module(graph, drops, classifier(graph).path if drop_rate else "", drop_rate)
    if device == "meta":
        return module.to(device)
    if weights is None:
        weights = random_weights(graph, seed) if init is None else initial_weights(network, init, seed, aux=aux)
    fill(module, checked_weights(graph, weights))
    return module.to(device)


def build_module(
    graph: Graph, drops: Mapping[str, float], last: str, drop_rate: float, *, rules: Rules = RULES
) -> fx.GraphModule:
    """The module without its weights; `drops` by the path of a residual sum, dropout before the linear at `last`."""
    fx_graph = FxGraphBuilder(graph)
    for op in graph.ops:
        rule = (rules.get(type(op.leaf)) or own_rule(op.leaf, "torch")) if op.leaf is not None else None
        if rule is None:
            kind = type(op.leaf).__name__
            raise NetlatheError(f"no torch rule for the operator {kind}", code="torch.rule", path=op.path)
        build = FxNodeBuilder(op, fx_graph)
        if op.path in drops:
            path = f"{op.path.rpartition('.')[0]}.drop_path".lstrip(".")
            build.xs = (fx_graph.call(path, DropPath(drops[op.path]), build.xs[0]), *build.xs[1:])
        if last and op.path == last:
            path = f"{op.path.rpartition('.')[0]}.dropout".lstrip(".")
            build.xs = (fx_graph.call(path, nn.Dropout(drop_rate), build.xs[0]),)
        fx_graph.values[op.output] = rule(op.leaf, op, build)
    result, *sides = (fx_graph.values[i] for i in graph.outputs)
    fx_graph.nodes.output((result, *sides) if sides else result)
    return (WithHeads if sides else fx.GraphModule)(fx_graph.root, fx_graph.nodes, "Network")


def classifier(graph: Graph) -> Op:
    """The linear that computes the result."""
    for op in graph.ops:
        if op.output == graph.outputs[0] and isinstance(op.leaf, Linear):
            return op
    raise NetlatheError("drop_rate is the dropout before the classifier, but no linear ends this network",
                        code="torch.classifier")  # fmt: skip


def fill(module: nn.Module, weights: Mapping[str, Any]) -> None:
    """Give a module on the meta device its tensors: copies of `weights` by path."""
    state = {name: torch.tensor(np.asarray(array)) for name, array in weights.items()}
    counts = {name: torch.tensor(0) for name in module.state_dict() if name.endswith("num_batches_tracked")}
    module.load_state_dict(state | counts, assign=True)


class WithHeads(fx.GraphModule):
    """In training (y, outputs of the auxiliary heads ...), at inference y alone: the heads are not computed then."""

    def recompile(self) -> Any:
        """Write the forward for both modes."""
        code = super().recompile()
        lean = fx.Graph(owning_module=self)
        result = lean.graph_copy(self.graph, {})
        lean.output(result[0])  # type: ignore[index]
        lean.eliminate_dead_code()
        full, short = type(self).forward, type(fx.GraphModule(self, lean)).forward

        def forward(self: nn.Module, *xs: torch.Tensor) -> Any:
            return full(self, *xs) if self.training else short(self, *xs)

        type(self).forward = forward
        return code

    def __reduce__(self) -> Any:
        return with_heads, super().__reduce__()


def with_heads(rebuild: Any, arguments: tuple[Any, ...]) -> WithHeads:
    """What a pickle holds, with both forwards."""
    module = rebuild(*arguments)
    return WithHeads(module, module.graph)
