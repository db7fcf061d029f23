"""One rule an operator of ONNX: its kind, and its multiply-accumulates from shapes. https://onnx.ai/onnx/operators/.

What is in no table raises: `register` adds a rule.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from netlathe.errors import NetlatheError
from netlathe.read.onnx_rule import (
    OnnxCall,
    OnnxRule,
    conv,
    conv_transpose,
    fused_attention,
    fused_scores,
    gemm,
    matmul,
    recurrent,
)
from netlathe.read.onnx_runtime_ops import RUNTIME_RULES
from netlathe.read.rules import Work, product

FIRST = (0,)  # only the first input is data


def einsum(call: OnnxCall) -> Work:
    """Every element of y sums over the letters that y lacks; without y, over those that come twice."""
    equation = call.attributes["equation"].decode().replace(" ", "")
    factors, arrow, result = equation.partition("->")
    terms = factors.split(",")
    if len(terms) > 2:
        raise NetlatheError(f"the Einsum {equation} is a product of more than two", code="read.unknown_operator")
    if not arrow:
        result = "".join(letter for letter in factors if factors.count(letter) == 1)
    sizes: dict[str, int] = {}
    for term, x in zip(terms, call.xs, strict=True):
        front, dots, back = term.partition("...")
        sizes |= dict(zip(front, x[: len(front)] if dots else x, strict=True))
        sizes |= dict(zip(reversed(back), reversed(x), strict=False))
    return product(call.y, prod(size for letter, size in sizes.items() if letter not in result) * (len(terms) - 1))


def resize(call: OnnxCall) -> Work:
    """Its form is how it interpolates: nearest, linear or cubic."""
    return Work(call.attributes.get("mode", b"nearest").decode(), 0)


RULES: dict[str, OnnxRule] = {
    **RUNTIME_RULES,
    "Conv": OnnxRule("conv", work=conv()),
    "DeformConv": OnnxRule("conv", "deformable", conv()),
    "ConvTranspose": OnnxRule("conv", work=conv_transpose),
    "Gemm": OnnxRule("linear", work=gemm),
    "MatMul": OnnxRule("matmul", work=matmul),
    "Einsum": OnnxRule("matmul", work=einsum),
    "Attention": OnnxRule("attention", work=fused_attention, inner=fused_scores),
    "RNN": OnnxRule("linear", "rnn", recurrent(1), data=(0, 1, 2, 3, 5)),
    "GRU": OnnxRule("linear", "gru", recurrent(3), data=(0, 1, 2, 3, 5)),
    "LSTM": OnnxRule("linear", "lstm", recurrent(4), data=(0, 1, 2, 3, 5, 6, 7)),
    "BatchNormalization": OnnxRule("norm", "batch"),
    "LayerNormalization": OnnxRule("norm", "layer"),
    "MeanVarianceNormalization": OnnxRule("norm", "meanvariance"),
    "InstanceNormalization": OnnxRule("norm", "instance"),
    "GroupNormalization": OnnxRule("norm", "group"),
    "RMSNormalization": OnnxRule("norm", "rms"),
    "LpNormalization": OnnxRule("norm", "lp"),
    "LRN": OnnxRule("localnorm"),
    "MaxRoiPool": OnnxRule("pool", "maxroi", data=FIRST),
    "RoiAlign": OnnxRule("pool", "roialign", data=FIRST),
    "MaxUnpool": OnnxRule("pool", "maxunpool"),
    "MaxPool": OnnxRule("pool", "max"),
    "AveragePool": OnnxRule("pool", "avg"),
    "LpPool": OnnxRule("pool", "lp"),
    "GlobalAveragePool": OnnxRule("globalpool"),
    "GlobalMaxPool": OnnxRule("globalpool", "max"),
    "Add": OnnxRule("add"),
    "Sum": OnnxRule("add"),
    "Mul": OnnxRule("mul"),
    "Concat": OnnxRule("cat"),
    "Resize": OnnxRule("upsample", work=resize, data=FIRST),
    "Upsample": OnnxRule("upsample", data=FIRST),
    "Gather": OnnxRule("layout", "gather", data=FIRST),  # of a weight: an embedding
}


def kinds(kind: str, names: str, *, data: tuple[int, ...] = ()) -> dict[str, OnnxRule]:
    """Operators of a kind that multiply no matrices; the form is the operator's name."""
    return {name: OnnxRule(kind, name.lower(), data=data) for name in names.split()}


RULES |= kinds("act", "Relu PRelu LeakyRelu Elu Selu Celu Gelu Sigmoid HardSigmoid HardSwish Swish Softplus Softsign "
                      "Tanh Softmax LogSoftmax Mish ThresholdedRelu Shrink Hardmax")  # fmt: skip
RULES |= kinds("map", "Sub Div Pow Neg Abs Exp Log Sqrt Reciprocal Erf Floor Ceil Round Sign Sin Cos Tan Asin Acos "
                      "Atan Sinh Cosh Asinh Acosh Atanh Min Max Mean Mod Equal Greater GreaterOrEqual Less "
                      "LessOrEqual And "
                      "Or Not Xor Where IsNaN IsInf BitShift BitwiseAnd BitwiseOr BitwiseXor BitwiseNot "
                      "CumSum CumProd")  # fmt: skip
RULES |= kinds("act", "Clip", data=FIRST)  # its limits are no weights
RULES |= kinds("reduce", "ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum "
                         "ReduceLogSumExp ReduceSumSquare ArgMax ArgMin TopK", data=FIRST)  # fmt: skip
RULES |= kinds("layout", "Transpose Slice Split Pad Tile Expand DepthToSpace SpaceToDepth Cast CastLike "
                         "Scatter ReverseSequence GatherElements GatherND Trilu OneHot CenterCropPad Col2Im",
               data=FIRST)  # fmt: skip
RULES |= kinds("layout", "ScatterND ScatterElements GridSample")

VIEWS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"})
# The result does not depend on the elements of an input: a constant.
MAKERS = frozenset({"Constant", "ConstantOfShape", "Shape", "Size", "Range", "EyeLike", "RandomNormal", "RandomUniform",
                    "RandomNormalLike", "RandomUniformLike"})  # fmt: skip
BUILT_IN = frozenset(RULES) | VIEWS | MAKERS


def register(name: str, kind: str, form: str = "", work: Callable[[OnnxCall], int] | None = None) -> None:
    """Say what an operator is, such as `register("com.microsoft::QuickGelu", "act", "quickgelu")`.

    `work(call)` gives its multiply-accumulates for one image from the shapes `call.xs` and `call.y`; without it there
    are none. Raises NetlatheError for an operator with a rule of the package.
    """
    if name in BUILT_IN:
        raise NetlatheError(f"{name} has a rule already", code="read.registered")
    count = work
    RULES[name] = OnnxRule(kind, form, None if count is None else lambda call: Work(form, count(call)))
