"""ONNX files compute what torch computes: every leaf alone, whole networks, and every entry of the zoo runs.

The other side is torch's own functions and torchvision's modules; they share no line with the rules under test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx_runs import GRID, MAP, ROW, TOKENS, image, relative_error, session
from torch.nn import functional as F
from variants import one_of_each, params

import netlathe.arch as rooms
from netlathe import zoo
from netlathe.arch.axes import Chunk, Fold, Heads, Join, Multiply, RowAttention, Shuffle, Transpose, Unfold
from netlathe.arch.build import seq
from netlathe.arch.combinators import Dag, Vertex
from netlathe.arch.inputs import input_specs
from netlathe.arch.joins import Add, Cat, Condition, Crop, Flatten, Mul, Offset, Rbf, Select, Subtract, Upsample, Zero
from netlathe.arch.layers import ACTS, Act, Conv, ConvTranspose, Linear, Norm, ResponseNorm, Scale
from netlathe.arch.leaf import Leaf, pads
from netlathe.arch.network import Network
from netlathe.arch.node import Node, Shape
from netlathe.arch.pools import AdaptivePool, GlobalPool, LocalNorm, Pool
from netlathe.arch.tokens import (
    Attention,
    ClassToken,
    Embedding,
    FirstToken,
    Grid,
    Map,
    Merge,
    Position,
    Sinusoid,
    Tokens,
    WindowAttention,
)
from netlathe.errors import NetlatheError
from netlathe.lower.inputs import examples
from netlathe.lower.onnx import to_onnx
from netlathe.lower.onnx_ops import RULES
from netlathe.lower.torch import to_torch
from netlathe.lower.weights import random_weights

Tensors = dict[str, torch.Tensor]


def channels_last(x: torch.Tensor, f: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    return f(x.movedim(1, -1)).movedim(-1, 1)


def batch_norm(x: torch.Tensor, t: Tensors, eps: float = 1e-5) -> torch.Tensor:
    return F.batch_norm(x, t["running_mean"], t["running_var"], t["weight"], t["bias"], eps=eps)


def layer_norm(x: torch.Tensor, t: Tensors) -> torch.Tensor:
    return F.layer_norm(x, x.shape[-1:], t["weight"], t["bias"])


def slow_attention(x: torch.Tensor, heads: int) -> torch.Tensor:
    """Attention one query at a time, on (N, T, 3C) that holds q, k, v side by side."""
    q, k, v = (part.unflatten(-1, (heads, -1)) for part in x.chunk(3, -1))
    rows = []
    for i in range(x.shape[1]):
        scores = (q[:, i : i + 1] * k).sum(-1) / q.shape[-1] ** 0.5
        rows.append((scores.softmax(1)[..., None] * v).sum(1).flatten(1))
    return torch.stack(rows, 1)


def slow_windows(x: torch.Tensor, table: torch.Tensor, heads: int, side: int, shift: int) -> torch.Tensor:
    """Window attention one query at a time on (N, H, W, 3C), as the paper draws it: windows `shift` further on.

    A position sees those of its window; a window at the end of the grid wraps, but its two or four parts stay apart.
    """
    (n, h, w, c), wide = x.shape, -(-x.shape[2] // side) * side
    high = -(-h // side) * side
    full = torch.zeros(n, high, wide, c)
    full[:, :h, :w] = x
    q, k, v = (part.unflatten(-1, (heads, -1)) for part in full.chunk(3, -1))
    y = torch.empty(n, h, w, c // 3)
    for i in range(h):
        for j in range(w):
            top, left = ((p - shift) % size // side * side + shift for p, size in ((i, high), (j, wide)))
            scores, values = [], []
            for row in range(top, top + side):
                for column in range(left, left + side):
                    a, b = row % high, column % wide
                    apart = -100.0 if (a < shift) != (i < shift) or (b < shift) != (j < shift) else 0.0
                    near = (top + (i - top) % high - row, left + (j - left) % wide - column)
                    number = table[(near[0] + side - 1) * (2 * side - 1) + near[1] + side - 1]
                    scores.append((q[:, i, j] * k[:, a, b]).sum(-1) / q.shape[-1] ** 0.5 + number + apart)
                    values.append(v[:, a, b])
            weights = torch.stack(scores, 1).softmax(1)
            y[:, i, j] = (weights[..., None] * torch.stack(values, 1)).sum(1).flatten(1)
    return y


def same(x: torch.Tensor, kernel: int, stride: int, value: float = 0) -> torch.Tensor:
    """x padded as TensorFlow does."""
    top, left, bottom, right = pads(tuple(x.shape[1:]), kernel, stride, "same")
    return F.pad(x, (left, right, top, bottom), value=value)


def mean_inside(x: torch.Tensor, kernel: int, stride: int) -> torch.Tensor:
    """The mean over the part of a window that lies on x."""
    inside = F.avg_pool2d(same(torch.ones_like(x), kernel, stride), kernel, stride)
    return F.avg_pool2d(same(x, kernel, stride), kernel, stride) / inside


def row_attention(x: torch.Tensor, heads: int) -> torch.Tensor:
    """Each row of a grid as a sequence of its own."""
    q, k, v = (part.unflatten(3, (heads, -1)).transpose(2, 3) for part in x.chunk(3, -1))
    return F.scaled_dot_product_attention(q, k, v).transpose(2, 3).flatten(3)


def response_norm(x: torch.Tensor, t: Tensors, positions: Any, channels: int, eps: float = 1e-6) -> torch.Tensor:
    """Woo et al. 2023, algorithm 1."""
    length = x.norm(p=2, dim=positions, keepdim=True)
    n = length / (length.mean(channels, keepdim=True) + eps)
    return t["weight"][:, None, None] * (x * n) + t["bias"][:, None, None] + x


TORCH_ACTS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "silu": F.silu,
    "gelu": F.gelu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "scaled_tanh": lambda x: 1.7159 * torch.tanh(x * 2 / 3),
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    "softmax": lambda x: F.softmax(x, dim=-1),
}


Oracle = Callable[[torch.Tensor, Tensors], torch.Tensor]


# What a leaf must compute on an input of a shape: torch's own function.
CASES: list[tuple[Leaf, Shape, Oracle]] = [
    (Conv(4, 3), MAP, lambda x, t: F.conv2d(x, t["weight"], padding=1)),
    (Conv(4, (5, 2), (2, 3), padding=(1, 0), bias=True), MAP,
     lambda x, t: F.conv2d(x, t["weight"], t["bias"], stride=(2, 3), padding=(1, 0))),
    (Conv(4, 3, dilation=2, groups=2), MAP, lambda x, t: F.conv2d(x, t["weight"], padding=2, dilation=2, groups=2)),
    (Conv(None, 3, group_width=1), MAP, lambda x, t: F.conv2d(x, t["weight"], padding=1, groups=6)),
    (Conv(4, 3, 2, padding="same"), MAP, lambda x, t: F.conv2d(same(x, 3, 2), t["weight"], stride=2)),
    (Conv(4, 4, padding="same"), MAP, lambda x, t: F.conv2d(same(x, 4, 1), t["weight"])),
    (ConvTranspose(4), MAP, lambda x, t: F.conv_transpose2d(x, t["weight"], t["bias"], 2)),
    (ConvTranspose(4, (3, 2), (2, 1), bias=False), MAP, lambda x, t: F.conv_transpose2d(x, t["weight"], None, (2, 1))),
    (Linear(7), ROW, lambda x, t: F.linear(x, t["weight"], t["bias"])),
    (Linear(7, bias=False), ROW, lambda x, t: F.linear(x, t["weight"])),
    (Linear(7), TOKENS, lambda x, t: F.linear(x, t["weight"], t["bias"])),
    (Linear(7, bias=False), TOKENS, lambda x, t: F.linear(x, t["weight"])),
    (Linear(7), GRID, lambda x, t: F.linear(x, t["weight"], t["bias"])),
    (Norm("batch"), MAP, batch_norm),
    (Norm("batch", eps=1e-3), MAP, lambda x, t: batch_norm(x, t, 1e-3)),
    (Norm("batch"), ROW, batch_norm),
    (Norm("batch"), TOKENS, lambda x, t: batch_norm(x.movedim(-1, 1), t).movedim(1, -1)),
    (Norm("layer"), MAP, lambda x, t: channels_last(x, lambda y: layer_norm(y, t))),
    (Norm("layer"), TOKENS, layer_norm),
    (Norm("layer"), ROW, layer_norm),
    (Norm("layer"), GRID, layer_norm),
    (Norm("group", groups=3), MAP, lambda x, t: F.group_norm(x, 3, t["weight"], t["bias"])),
    (Norm("group", 1e-2), (64, 4, 3), lambda x, t: F.group_norm(x, 32, t["weight"], t["bias"], 1e-2)),
    *((Act(name), MAP, lambda x, t, f=TORCH_ACTS[name]: f(x)) for name in ACTS),  # type: ignore[misc]
    (Transpose(), TOKENS, lambda x, t: x.transpose(1, 2)),
    (Transpose((2, 0, 1)), MAP, lambda x, t: x.permute(0, 3, 1, 2)),
    (Transpose((0, 2, 1, 3)), GRID, lambda x, t: x.transpose(1, 2)),
    (Chunk(1, 3), MAP, lambda x, t: x.chunk(3, 1)[1]),
    (Chunk(1, 2), TOKENS, lambda x, t: x.chunk(2, -1)[1]),
    (Chunk(0, 2), GRID, lambda x, t: x.chunk(2, -1)[0]),
    (Shuffle(3), MAP, lambda x, t: F.channel_shuffle(x, 3)),
    (Heads(2), TOKENS, lambda x, t: x.unflatten(2, (2, -1)).transpose(1, 2)),
    (Join(), MAP, lambda x, t: x.transpose(1, 2).flatten(2)),
    (Unfold(2), (6, 4, 8), lambda x, t: F.unfold(x, 2, stride=2).unflatten(1, (6, 4)).permute(0, 2, 3, 1)),
    (RowAttention(2), (1, 3, 5, 12), lambda x, t: row_attention(x, 2)),
    (ResponseNorm(), MAP, lambda x, t: response_norm(x, t, (2, 3), 1)),
    (ResponseNorm(1e-3), GRID, lambda x, t: response_norm(x.movedim(3, 1), t, (2, 3), 1, 1e-3).movedim(1, 3)),
    (Scale(), MAP, lambda x, t: x * t["weight"][:, None, None]),
    (Scale(bias=True), MAP, lambda x, t: x * t["weight"][:, None, None] + t["bias"][:, None, None]),
    (Scale(bias=True), TOKENS, lambda x, t: x * t["weight"] + t["bias"]),
    (Scale(bias=True), GRID, lambda x, t: x * t["weight"] + t["bias"]),
    *((Pool("max", k, s, padding="same"), shape, lambda x, t, k=k, s=s: F.max_pool2d(same(x, k, s, -torch.inf), k, s))  # type: ignore[misc]
      for k, s in ((3, 1), (3, 2), (2, 1)) for shape in (MAP, (2, 7, 8))),
    *((Pool("avg", k, s, padding="same"), shape, lambda x, t, k=k, s=s: F.avg_pool2d(same(x, k, s), k, s))  # type: ignore[misc]
      for k, s in ((3, 1), (3, 2), (2, 1)) for shape in (MAP, (2, 7, 8))),
    *((Pool("avg", k, s, padding="same", count_padding=False), shape, lambda x, t, k=k, s=s: mean_inside(x, k, s))  # type: ignore[misc]
      for k, s in ((3, 1), (3, 2), (2, 1)) for shape in (MAP, (2, 7, 8))),
    (GlobalPool(), TOKENS, lambda x, t: x.mean(1)),
    (GlobalPool(), GRID, lambda x, t: x.mean((1, 2))),
    (GlobalPool(), MAP, lambda x, t: x.mean((2, 3), keepdim=True)),
    *((AdaptivePool(n), shape, lambda x, t, n=n: F.adaptive_avg_pool2d(x, n))  # type: ignore[misc]
      for n in (1, 2, 3, 5, 7) for shape in (MAP, (2, 7, 7), (2, 14, 14), (2, 3, 2))),
    (LocalNorm(), MAP, lambda x, t: F.local_response_norm(x, 5)),
    (LocalNorm(3, alpha=0.3, beta=0.6, bias=2.0), MAP, lambda x, t: F.local_response_norm(x, 3, 0.3, 0.6, 2.0)),
    (Select((4, 0, 4)), MAP, lambda x, t: x[:, [4, 0, 4]]),
    (Crop(4, 9), MAP, lambda x, t: x[:, :, 3:7, 2:11]),
    (Crop(11, 14), MAP, lambda x, t: x),
    (Offset(), MAP, lambda x, t: F.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]),
    (Upsample(), MAP, lambda x, t: F.interpolate(x, scale_factor=2)),
    (Upsample(3), MAP, lambda x, t: x.repeat_interleave(3, -1).repeat_interleave(3, -2)),
    (Grid(), MAP, lambda x, t: x.movedim(1, -1)),
    (Map(), GRID, lambda x, t: x.movedim(-1, 1)),
    (Tokens(), MAP, lambda x, t: x.flatten(2).movedim(1, -1)),
    *((Merge(), shape, lambda x, t: torch.cat([F.pad(x, (0, 0, 0, 1, 0, 1))[:, a : -(-x.shape[1] // 2) * 2 : 2,
                                                                           b : -(-x.shape[2] // 2) * 2 : 2]
                                               for a, b in ((0, 0), (1, 0), (0, 1), (1, 1))], -1))
      for shape in ((1, 4, 6, 3), (1, 5, 6, 3), (1, 4, 7, 3), (1, 5, 7, 3))),
    (ClassToken(), TOKENS, lambda x, t: torch.cat([t["token"].expand(len(x), 1, -1), x], 1)),
    (FirstToken(), TOKENS, lambda x, t: x[:, 0]),
    (Position(), TOKENS, lambda x, t: x + t["weight"]),
    (Embedding(13, 6), (5,), lambda x, t: t["weight"][x]),
    (Sinusoid(6), (1,),
     lambda x, t: torch.cat([f(x * 10000 ** (-torch.arange(3) / 3)) for f in (torch.cos, torch.sin)], 1)),
    (Attention(2), (5, 24), lambda x, t: slow_attention(x, 2)),
    (Attention(1), (7, 12), lambda x, t: slow_attention(x, 1)),
    (Attention(2), (1, 2, 3, 24), lambda x, t: slow_attention(x.flatten(1, 2), 2).unflatten(1, (2, 3))),
    *((WindowAttention(2, side, shift=shift), shape,
       lambda x, t, s=side, d=shift: slow_windows(x, t["bias"], 2, s, d))  # type: ignore[misc]
      for side, shift, shape in ((3, 0, (1, 6, 9, 12)), (3, 1, (1, 6, 9, 12)), (4, 2, (1, 6, 9, 12)),
                                 (3, 0, (1, 5, 7, 12)), (3, 1, (1, 5, 7, 12)))),
    (WindowAttention(2, 7, shift=3), (1, 3, 3, 12), lambda x, t: slow_windows(x, t["bias"], 2, 3, 0)),
    (WindowAttention(2, 7, shift=3), (1, 3, 5, 12), lambda x, t: slow_windows(x, t["bias"], 2, 3, 0)),
    (Flatten(), MAP, lambda x, t: x.flatten(1)),
    (Rbf(5), ROW, lambda x, t: ((x[:, None] - t["codes"]) ** 2).sum(-1)),
]  # fmt: skip


def pools() -> Iterator[tuple[Leaf, Shape, Oracle]]:
    """Every way in which a last window can hang over, at even and odd sizes."""
    for size in (5, 6, 7, 8):
        for kernel, stride, padding in ((2, 2, 0), (2, 2, 1), (3, 2, 0), (3, 2, 1), (3, 3, 1), (3, 1, 1), (5, 4, 2)):
            for ceil in (False, True):
                shape = (2, size, size + 3)
                yield (
                    Pool("max", kernel, stride, padding=padding, ceil=ceil),
                    shape,
                    lambda x, t, k=kernel, s=stride, p=padding, c=ceil: F.max_pool2d(x, k, s, p, ceil_mode=c),  # type: ignore[misc]
                )
                for counted in (False, True):
                    yield (
                        Pool("avg", kernel, stride, padding=padding, ceil=ceil, count_padding=counted),
                        shape,
                        lambda x, t, k=kernel, s=stride, p=padding, c=ceil, n=counted: F.avg_pool2d(x, k, s, p, c, n),  # type: ignore[misc]
                    )


def both(leaf: Node, shape: Shape, oracle: Oracle) -> tuple[Any, Any]:
    """What ONNX Runtime and torch compute."""
    network = Network("leaf", seq(leaf=leaf), shape)
    weights = random_weights(network)
    model = to_onnx(network, weights, batch=None)
    onnx.checker.check_model(model, full_check=True)
    (x,) = examples(network, 2, seed=7)
    tensors = {name.rpartition(".")[2]: torch.from_numpy(array) for name, array in weights.items()}
    return session(model).run(None, {"input": x})[0], oracle(torch.from_numpy(x), tensors)


@pytest.mark.parametrize(("leaf", "shape", "oracle"), CASES, ids=lambda x: "" if callable(x) else str(x))
def test_a_leaf_computes_what_torch_computes(leaf: Leaf, shape: Shape, oracle: Oracle) -> None:
    assert relative_error(*both(leaf, shape, oracle)) < 1e-5


@pytest.mark.parametrize("bias", [False, True])
def test_a_matrix_larger_than_the_cache_works_on_one_row_as_on_several(bias: bool) -> None:
    network = Network("wide", seq(layer=Linear(4096, bias)), (1024,))
    weights, (x,) = random_weights(network), examples(network, 2)
    kinds, ys = [], []
    for rows in (x[:1], x):
        model = to_onnx(network, weights, batch=len(rows))
        kinds.append({node.op_type for node in model.graph.node} & {"Gemm", "Conv"})
        ys.append(session(model).run(None, {"input": rows})[0])
    assert kinds == [{"Conv"}, {"Gemm"}]
    assert relative_error(ys[0], ys[1][:1]) < 1e-5


def test_pools_compute_what_torch_computes_wherever_the_last_window_falls() -> None:
    wrong = [leaf for leaf, shape, oracle in pools() if relative_error(*both(leaf, shape, oracle)) > 1e-5]
    assert not wrong


def test_joins_compute_what_torch_computes() -> None:
    network = Network(
        "joins",
        Dag(
            1,
            (
                Vertex("a", Conv(6, 1), ("in0",)),
                Vertex("b", GlobalPool(), ("a",)),
                Vertex("sum", Add(), ("in0", "a", "a")),
                Vertex("gate", Mul(), ("sum", "b")),
                Vertex("product", Mul(), ("gate", "in0")),
                Vertex("all", Cat(), ("product", "in0", "sum")),
            ),
        ),
        MAP,
    )
    weights, x = random_weights(network), image(MAP)
    t = torch.from_numpy(x)
    a = F.conv2d(t, torch.from_numpy(weights["a.weight"]))
    total = t + a + a
    wanted = torch.cat([total * a.mean((2, 3), keepdim=True) * t, t, total], 1)
    assert relative_error(session(to_onnx(network, weights, batch=2)).run(None, {"input": x})[0], wanted) < 1e-5


def test_zero_is_zero_whatever_arrives() -> None:
    steps = (
        Vertex("zero", Zero(), ("in0",)),
        Vertex("sum", Add(), ("in0", "zero")),
        Vertex("two", Cat(), ("sum", "zero")),
    )
    network, x = Network("zeros", Dag(1, steps), MAP), image(MAP)
    (y,) = session(to_onnx(network, {}, batch=2)).run(None, {"input": x})
    assert (y == np.concatenate([x, np.zeros_like(x)], 1)).all()
    assert (to_torch(network)(torch.from_numpy(x)).numpy() == y).all()


def test_a_network_may_read_an_image_a_time_step_and_words() -> None:
    steps = (
        Vertex("time", seq(wave=Sinusoid(8), mix=Linear(6)), ("in1",)),
        Vertex("words", seq(table=Embedding(9, 6), mean=GlobalPool()), ("in2",)),
        Vertex("late", Condition(), ("in0", "time")),
        Vertex("told", Condition(), ("late", "words")),
    )
    network = Network("conditioned", Dag(3, steps), MAP, ((1,), (4,)))
    assert [(x.name, x.vocabulary) for x in input_specs(network.graph())] == [
        ("input", None),
        ("input1", None),
        ("input2", 9),
    ]
    weights, (x, time, words) = random_weights(network), examples(network, 2)
    model = to_onnx(network, weights, batch=None)
    onnx.checker.check_model(model, full_check=True)
    t = {name: torch.from_numpy(array) for name, array in weights.items()}
    angles = torch.from_numpy(time) * 10000 ** (-torch.arange(4) / 4)
    shift = F.linear(torch.cat([angles.cos(), angles.sin()], 1), t["time.mix.weight"], t["time.mix.bias"])
    shift = shift + t["words.table.weight"][torch.from_numpy(words)].mean(1)
    wanted = torch.from_numpy(x) + shift[:, :, None, None]
    feed = {"input": x, "input1": time, "input2": words}
    assert relative_error(session(model).run(None, feed)[0], wanted) < 1e-5


def test_every_leaf_class_has_a_rule_and_a_test() -> None:
    from importlib import import_module
    from pkgutil import iter_modules

    for module in iter_modules(rooms.__path__):
        import_module(f"netlathe.arch.{module.name}")
    leaves = {leaf for leaf in Leaf.__subclasses__() if leaf.__module__.startswith("netlathe.arch.")}
    assert leaves == set(RULES)
    several = {Add, Mul, Cat, Condition, Zero, Subtract, Multiply, Fold}  # values: above, and in test_axes.py
    tested = {type(leaf) for leaf, _, _ in [*CASES, *pools()]} | several
    assert leaves == tested


# Whole networks against torchvision: our weights copied into its modules in the order of execution.


def executed(module: torch.nn.Module, x: torch.Tensor) -> list[torch.nn.Module]:
    """The modules with tensors of their own, in the order in which a forward calls them."""
    calls: list[torch.nn.Module] = []
    for part in module.modules():
        if next(part.parameters(recurse=False), None) is not None:
            part.register_forward_pre_hook(lambda part, _: calls.append(part))
    module(x)
    return calls


@pytest.mark.parametrize(("name", "twin"), [("resnet18", "resnet18"), ("mobilenetv2", "mobilenet_v2")])
def test_a_network_computes_what_torchvision_computes(name: str, twin: str, torchvision: ModuleType) -> None:
    network = zoo.get(name).at(64)
    weights = random_weights(network, seed=3)
    x = image(network.input)
    module = getattr(torchvision.models, twin)(weights=None).eval()
    with torch.no_grad():
        ours = [op for op in network.graph().ops if op.weights]
        theirs = executed(module, torch.from_numpy(x))
        for op, part in zip(ours, theirs, strict=True):
            for tensor in op.weights | op.buffers:
                target = getattr(part, tensor)
                assert tuple(target.shape) == weights[f"{op.path}.{tensor}"].shape
                target.copy_(torch.from_numpy(weights[f"{op.path}.{tensor}"]))
        wanted = module(torch.from_numpy(x))
    y = session(to_onnx(network, weights, batch=None)).run(None, {"input": x})[0]
    assert wanted.std() > 0.1  # the comparison is about numbers, not about zeros
    assert relative_error(y, wanted) < 1e-4


def smallest(network: Network) -> Network:
    """The network at the smallest resolution that its strides allow."""
    for resolution in (32, 64, 96, 128):
        try:
            network.at(resolution).graph()
        except NetlatheError:
            continue
        return network.at(resolution)
    return network


# Many sums in a row, none behind a wide average, do grow: blocks of ResNet-110, and branches that are not merged.
GROWING = {"resnet110": 1e6, "repvgg": 1e9, "mobileone": 1e9}
# The laws (`netlathe.testing`) run over the others.
LIGHT = [name for name in zoo.names() if params(name) < 30e6]


@pytest.mark.parametrize("name", one_of_each(LIGHT))
def test_every_light_network_of_the_zoo_is_a_valid_file_that_runs(name: str) -> None:
    network = smallest(zoo.get(name))
    content = to_onnx(network).SerializeToString()
    onnx.checker.check_model(content, full_check=True)
    feed = {x.name: value for x, value in zip(input_specs(network.graph()), examples(network), strict=True)}
    y = session(content).run(None, feed)[0]
    assert y.shape == (1, *network.graph().ops[-1].out_shape)
    most = GROWING.get(name.partition("_")[0], 100)
    assert 0.02 < y.std() < most  # neither vanished nor exploded, at any depth
