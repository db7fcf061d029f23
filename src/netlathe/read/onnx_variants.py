"""Shapes of operators for which ONNX itself has no rule: those of ONNX Runtime's own domains above all.

ONNX Runtime's optimiser and quantiser write them:
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md. Most are a variety of an operator of ONNX
(`STAND_INS`, which says where the inputs of that one are); the rest have a rule here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from netlathe.arch.node import Shape

MS, NCHWC = "com.microsoft::", "com.microsoft.nchwc::"


class OnnxStandIn(NamedTuple):
    """An operator of ONNX that makes the same shape, from these of the inputs; empty: from all."""

    operator: str
    inputs: tuple[int, ...] = ()


STAND_INS: dict[str, OnnxStandIn] = {
    f"{MS}FusedConv": OnnxStandIn("Conv", (0, 1, 2)),
    f"{MS}NhwcFusedConv": OnnxStandIn("Conv", (0, 1, 2)),
    f"{MS}NhwcConv": OnnxStandIn("Conv", (0, 1, 2)),
    f"{NCHWC}Conv": OnnxStandIn("Conv", (0, 1, 2)),
    f"{MS}QLinearConv": OnnxStandIn("QLinearConv"),
    f"{NCHWC}MaxPool": OnnxStandIn("MaxPool"),
    f"{MS}NhwcMaxPool": OnnxStandIn("MaxPool"),
    f"{NCHWC}AveragePool": OnnxStandIn("AveragePool"),
    f"{MS}QLinearAveragePool": OnnxStandIn("AveragePool", (0,)),
    f"{NCHWC}GlobalMaxPool": OnnxStandIn("GlobalMaxPool"),
    f"{NCHWC}GlobalAveragePool": OnnxStandIn("GlobalAveragePool"),
    f"{MS}QLinearGlobalAveragePool": OnnxStandIn("GlobalAveragePool", (0,)),
    f"{MS}FusedGemm": OnnxStandIn("Gemm", (0, 1, 2)),
    f"{MS}QGemm": OnnxStandIn("Gemm", (0, 3)),
    f"{MS}QLinearAdd": OnnxStandIn("Add", (0, 3)),
    f"{MS}QLinearMul": OnnxStandIn("Mul", (0, 3)),
    f"{MS}BiasAdd": OnnxStandIn("Add", (0, 2)),
    f"{MS}FusedMatMulActivation": OnnxStandIn("MatMul", (0, 1)),
    f"{MS}MatMulIntegerToFloat": OnnxStandIn("MatMulInteger", (0, 1)),
    f"{MS}DynamicQuantizeMatMul": OnnxStandIn("MatMul", (0, 1)),
    f"{MS}MatMulInteger16": OnnxStandIn("MatMulInteger", (0, 1)),
}


def channels_second(shape: Shape) -> Shape:
    """(N, H, W, C) as (N, C, H, W)."""
    return (shape[0], shape[-1], *shape[1:-1])


def channels_last(shape: Shape) -> Shape:
    """(N, C, H, W) as (N, H, W, C)."""
    return (shape[0], *shape[2:], shape[1])


class ShapeCall(NamedTuple):
    """The shapes that a node reads, an empty one for an input that is left out, and its attributes."""

    xs: Sequence[Shape]
    attributes: Mapping[str, Any]

    def x(self, i: int) -> Shape:
        """The shape of input i; empty where it is left out."""
        return self.xs[i] if i < len(self.xs) else ()


Shapes: TypeAlias = Callable[[ShapeCall], list[Shape | None]]


def same(call: ShapeCall) -> list[Shape | None]:
    """Element by element."""
    return [call.x(0)]


def fused_matmul(call: ShapeCall) -> list[Shape | None]:
    a, b = call.x(0), call.x(1)
    if call.attributes.get("transBatchA") or call.attributes.get("transBatchB"):
        return [None]
    a = (*a[:-2], a[-1], a[-2]) if call.attributes.get("transA") else a
    b = (*b[:-2], b[-1], b[-2]) if call.attributes.get("transB") else b
    return [(*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])]


def skip_norm(call: ShapeCall) -> list[Shape | None]:
    """Output, mean, inverse deviation, sum of input and skip."""
    x = call.x(0)
    return [x, (*x[:-1], 1), (*x[:-1], 1), x]


def embedding_norm(call: ShapeCall) -> list[Shape | None]:
    """Output, index of the mask, sum of embeddings."""
    y = (*call.x(0), call.x(2)[-1])
    return [y, call.x(0)[:1], y]


def attention(call: ShapeCall) -> list[Shape | None]:
    """Input (B, S, D), weight (D, query + key + value): equal parts, or as qkv_hidden_sizes says."""
    sizes = call.attributes.get("qkv_hidden_sizes")
    width = sizes[2] if sizes else call.x(1)[-1] // 3
    return [(*call.x(0)[:2], width), None]


def multi_head_attention(call: ShapeCall) -> list[Shape | None]:
    """Query (B, S, D), key (B, L, D) and value (B, L, D), or all packed as (B, S, heads, 3, size)."""
    query, value = call.x(0), call.x(2)
    if len(query) == 5:
        return [(*query[:2], query[2] * query[4]), None, None]
    width = value[-1] if len(value) == 3 else value[1] * value[-1] if len(value) == 4 else query[-1]
    return [(*query[:2], width), None, None]


def reorder_output(call: ShapeCall) -> list[Shape | None]:
    """Blocks of channels in the usual layout again, without the padding."""
    n, _, *rest = call.x(0)
    channels = call.attributes["channels"]
    return [(n, *rest, channels) if call.attributes.get("channels_last") else (n, channels, *rest)]


BLOCK = 16  # channels that ONNX Runtime keeps together with AVX-512; 8 elsewhere: the convolution behind it knows


def reorder_input(call: ShapeCall) -> list[Shape | None]:
    """Channels are filled up to whole blocks."""
    x = channels_second(call.x(0)) if call.attributes.get("channels_last") else call.x(0)
    block = call.attributes["block"]
    return [(x[0], -(-x[1] // block) * block, *x[2:])]


def upsample(call: ShapeCall) -> list[Shape | None]:
    scales = call.attributes["scales"]
    return [tuple(size * scale for size, scale in zip(call.x(0), scales, strict=True))]


def joined(call: ShapeCall) -> list[Shape | None]:
    """QLinearConcat: scale and zero point of the output, then three inputs a part."""
    parts, axis = call.xs[2::3], call.attributes["axis"]
    shape = list(parts[0])
    shape[axis] = sum(part[axis] for part in parts)
    return [tuple(shape)]


def quantised_mean(call: ShapeCall) -> list[Shape | None]:
    axes, x = call.attributes.get("axes") or range(len(call.x(0))), call.x(0)
    gone = {axis % len(x) for axis in axes}
    keep = call.attributes.get("keepdims", 1)
    return [tuple(1 if i in gone else size for i, size in enumerate(x) if keep or i not in gone)]


def quantised_lstm(call: ShapeCall) -> list[Shape | None]:
    """Weights are (directions, input, 4 x hidden) here."""
    length, batch, _ = call.x(0)
    directions, hidden = call.x(2)[:2]
    return [(length, directions, batch, hidden), (directions, batch, hidden), (directions, batch, hidden)]


SAME = """
    GroupNormalization MeanVarianceNormalization SimplifiedLayerNormalization
    com.microsoft::LayerNormalization com.microsoft::SimplifiedLayerNormalization com.microsoft::Gelu
    com.microsoft::BiasGelu com.microsoft::FastGelu com.microsoft::QuickGelu com.microsoft::BiasSoftmax
    com.microsoft::QLinearSigmoid com.microsoft::QLinearLeakyRelu com.microsoft::QLinearSoftmax
    com.microsoft::GroupNorm com.microsoft::RotaryEmbedding com.microsoft::Silu
"""
SHAPES: dict[str, Shapes] = {
    **dict.fromkeys(SAME.split(), same),
    f"{MS}QLinearWhere": lambda call: [np.broadcast_shapes(call.x(0), call.x(1), call.x(4))],
    f"{MS}FusedMatMul": fused_matmul,
    f"{MS}TransposeMatMul": fused_matmul,
    f"{MS}SkipLayerNormalization": skip_norm,
    f"{MS}SkipSimplifiedLayerNormalization": skip_norm,
    f"{MS}EmbedLayerNormalization": embedding_norm,
    f"{MS}Attention": attention,
    f"{MS}QAttention": attention,
    f"{MS}MultiHeadAttention": multi_head_attention,
    f"{MS}QLinearConcat": joined,
    f"{MS}QLinearReduceMean": quantised_mean,
    f"{MS}DynamicQuantizeLSTM": quantised_lstm,
    f"{NCHWC}ReorderInput": reorder_input,
    f"{NCHWC}ReorderOutput": reorder_output,
    f"{NCHWC}Upsample": upsample,
}
# The type of the result where it is not that of the first input: that of another one.
TYPED_AS: dict[str, int] = {f"{MS}MatMulIntegerToFloat": 2, f"{MS}QAttention": 3, f"{MS}EmbedLayerNormalization": 2,
                            f"{MS}QLinearConcat": 2, f"{MS}QLinearWhere": 1}  # fmt: skip
