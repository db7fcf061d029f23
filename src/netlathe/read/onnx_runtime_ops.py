"""Rules for the operators that ONNX Runtime's optimiser and quantiser write, and those of ONNX with scales as inputs.

https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from netlathe.arch.node import Shape
from netlathe.read.onnx_rule import OnnxCall, OnnxRule, conv, fused_matmul, gemm, matmul, recurrent
from netlathe.read.onnx_variants import MS, NCHWC
from netlathe.read.rules import Work, attention, scores


class HeadSizes(NamedTuple):
    """Queries, keys and widths of an attention, all heads together; `projected`: elements that projections write."""

    batch: int
    heads: int
    queries: int
    keys: int
    width: int
    value: int
    projected: int = 0

    @property
    def shapes(self) -> tuple[Shape, Shape, Shape]:
        """Query, key and value, a head apart."""
        front, size = (self.batch, self.heads), self.width // self.heads
        return (*front, self.queries, size), (*front, self.keys, size), (*front, self.keys, self.value // self.heads)


def packed_heads(call: OnnxCall) -> HeadSizes:
    """Of an Attention that projects (B, L, D) by a matrix of (D, query + key + value); keys of the past come before."""
    (batch, length, _), rows = call.xs[0], call.xs[1][-1]
    value = call.y[-1]
    past = call.xs[4][3] if len(call.xs) > 4 and len(call.xs[4]) == 5 else 0
    heads = call.attributes["num_heads"]
    return HeadSizes(batch, heads, length, length + past, (rows - value) // 2, value, batch * length * rows)


def split_heads(call: OnnxCall) -> HeadSizes:
    """Of a MultiHeadAttention of what was projected before; see `onnx_variants.multi_head_attention` for the shapes."""
    query, key = call.xs[0], call.xs[1] if len(call.xs) > 1 else ()
    heads, value = call.attributes["num_heads"], call.y[-1]
    if len(query) == 5:
        return HeadSizes(query[0], heads, query[1], query[1], query[2] * query[4], value)
    return HeadSizes(query[0], heads, query[1], key[1] if len(key) in (3, 5) else key[2], query[2], value)


def attention_rule(heads: Callable[[OnnxCall], HeadSizes], **how: Any) -> OnnxRule:
    """Both products, and the projection before them where there is one."""

    def work(call: OnnxCall) -> Work:
        one = heads(call)
        return Work("global", one.projected * call.xs[0][-1] + attention(*one.shapes).macs)

    def inner(call: OnnxCall) -> int:
        one = heads(call)
        return one.projected + scores(*one.shapes[:2])

    return OnnxRule("attention", work=work, inner=inner, **how)


def named(kind: str, names: str, *, domain: str = MS, **how: Any) -> dict[str, OnnxRule]:
    """Operators of a kind that multiply no matrices, by form:name."""
    pairs = (word.split(":") for word in names.split())
    return {f"{domain}{name}": OnnxRule(kind, form, **how) for form, name in pairs}


RUNTIME_RULES: dict[str, OnnxRule] = {
    "ConvInteger": OnnxRule("conv", work=conv(), data=(0, 1), quantised=True),
    "MatMulInteger": OnnxRule("matmul", work=matmul, data=(0, 1), quantised=True),
    "QLinearConv": OnnxRule("conv", work=conv(3), data=(0, 3, 8), quantised=True),
    "QLinearMatMul": OnnxRule("matmul", work=matmul, data=(0, 3), quantised=True),
    "QuantizeLinear": OnnxRule("layout", "quantizelinear", data=(0,), quantised=True),
    "DequantizeLinear": OnnxRule("layout", "dequantizelinear", data=(0,), quantised=True),
    "DynamicQuantizeLinear": OnnxRule("layout", "dynamicquantizelinear"),
    "SimplifiedLayerNormalization": OnnxRule("norm", "rms"),
    f"{MS}QLinearConv": OnnxRule("conv", work=conv(3), data=(0, 3, 8), quantised=True),
    f"{MS}QGemm": OnnxRule("linear", work=gemm, data=(0, 3, 6), quantised=True),
    f"{MS}MatMulIntegerToFloat": OnnxRule("matmul", work=matmul, data=(0, 1, 6), quantised=True),
    f"{MS}DynamicQuantizeMatMul": OnnxRule("matmul", work=matmul, data=(0, 1, 4), quantised=True),
    f"{MS}MatMulInteger16": OnnxRule("matmul", work=matmul),
    f"{MS}QAttention": attention_rule(packed_heads, data=(0, 1, 2), quantised=True),
    f"{MS}DynamicQuantizeLSTM": OnnxRule("linear", "lstm", recurrent(4), data=(0, 1, 2, 3, 4, 5, 6), quantised=True),
    f"{MS}Attention": attention_rule(packed_heads),
    f"{MS}MultiHeadAttention": attention_rule(split_heads),
    f"{MS}FusedMatMul": OnnxRule("matmul", work=fused_matmul),
    f"{MS}TransposeMatMul": OnnxRule("matmul", work=fused_matmul),
    f"{MS}FusedMatMulActivation": OnnxRule("matmul", work=fused_matmul),
    f"{MS}FusedGemm": OnnxRule("linear", work=gemm),
    **dict.fromkeys((f"{MS}FusedConv", f"{NCHWC}Conv"), OnnxRule("conv", work=conv())),
    **named("act", "gelu:Gelu gelu:BiasGelu gelu:FastGelu quickgelu:QuickGelu softmax:BiasSoftmax silu:Silu"),
    **named("norm", "layer:LayerNormalization layer:SkipLayerNormalization rms:SimplifiedLayerNormalization "
                    "rms:SkipSimplifiedLayerNormalization layer:EmbedLayerNormalization group:GroupNorm"),
    **named("add", "bias:BiasAdd"),
    **named("layout", "reorder:ReorderInput reorder:ReorderOutput", domain=NCHWC),
    **named("pool", "max:MaxPool avg:AveragePool", domain=NCHWC),
    **named("globalpool", "max:GlobalMaxPool :GlobalAveragePool", domain=NCHWC),
    **named("upsample", ":Upsample", domain=NCHWC),
    **named("pool", "max:NhwcMaxPool"),
    **named("pool", "avg:QLinearAveragePool", data=(0,), quantised=True),
    **named("globalpool", ":QLinearGlobalAveragePool", data=(0,), quantised=True),
    **named("reduce", "reducemean:QLinearReduceMean", data=(0,), quantised=True),
    **named("act", "sigmoid:QLinearSigmoid leakyrelu:QLinearLeakyRelu softmax:QLinearSoftmax", data=(0,),
            quantised=True),
    **named("add", ":QLinearAdd", data=(0, 3), quantised=True),
    **named("mul", ":QLinearMul", data=(0, 3), quantised=True),
    **named("map", "where:QLinearWhere", data=(0, 1, 4), quantised=True),
    **named("cat", ":QLinearConcat", data=tuple(range(2, 302, 3)), quantised=True),
}  # fmt: skip
