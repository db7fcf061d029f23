"""One rule an operator of ONNX: its kind, and its multiply-accumulates from shapes. https://onnx.ai/onnx/operators/.

What is in no table raises: `register` adds a rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any, NamedTuple, TypeAlias

from netlathe.arch.node import Shape
from netlathe.errors import NetlatheError
from netlathe.read.rules import Work, attention, convolution, product, transposed_convolution


class OnnxCall(NamedTuple):
    """A node: the shapes that it reads and the one it makes, with the batch axis, and its attributes."""

    xs: tuple[Shape, ...]
    y: Shape
    attributes: Mapping[str, Any]


Count: TypeAlias = Callable[[OnnxCall], Work]


class OnnxRule(NamedTuple):
    """What an operator is; without `work` it multiplies no matrices. `first`: only its first input is data."""

    kind: str
    form: str = ""
    work: Count | None = None
    first: bool = False


def gemm(call: OnnxCall) -> Work:
    return product(call.y, call.xs[0][0 if call.attributes.get("transA") else 1])


def einsum(call: OnnxCall) -> Work:
    """Every element of y sums over the letters that y lacks."""
    sides = call.attributes["equation"].decode().replace(" ", "").split("->")
    terms = sides[0].split(",")
    if len(sides) != 2 or len(terms) > 2 or "." in terms[0]:
        raise NetlatheError(f"the Einsum {'->'.join(sides)} is not a product of two", code="read.unknown_operator")
    sizes = {letter: size for term, x in zip(terms, call.xs, strict=True) for letter, size in zip(term, x, strict=True)}
    return product(call.y, prod(size for letter, size in sizes.items() if letter not in sides[1]) * (len(terms) - 1))


RULES: dict[str, OnnxRule] = {
    "Conv": OnnxRule("conv", work=lambda call: convolution(call.xs[0], call.xs[1], call.y)),
    "ConvTranspose": OnnxRule("conv", work=lambda call: transposed_convolution(call.xs[0], call.xs[1], call.y)),
    "ConvInteger": OnnxRule("conv", work=lambda call: convolution(call.xs[0], call.xs[1], call.y)),
    "QLinearConv": OnnxRule("conv", work=lambda call: convolution(call.xs[0], call.xs[3], call.y)),
    "Gemm": OnnxRule("linear", work=gemm),
    "MatMul": OnnxRule("matmul", work=lambda call: product(call.y, call.xs[0][-1])),
    "MatMulInteger": OnnxRule("matmul", work=lambda call: product(call.y, call.xs[0][-1])),
    "QLinearMatMul": OnnxRule("matmul", work=lambda call: product(call.y, call.xs[0][-1])),
    "Einsum": OnnxRule("matmul", work=einsum),
    "Attention": OnnxRule("attention", work=lambda call: attention(*call.xs[:3])),
    "BatchNormalization": OnnxRule("norm", "batch"),
    "LayerNormalization": OnnxRule("norm", "layer"),
    "InstanceNormalization": OnnxRule("norm", "instance"),
    "GroupNormalization": OnnxRule("norm", "group"),
    "RMSNormalization": OnnxRule("norm", "rms"),
    "LpNormalization": OnnxRule("norm", "lp"),
    "LRN": OnnxRule("localnorm"),
    "MaxPool": OnnxRule("pool", "max"),
    "AveragePool": OnnxRule("pool", "avg"),
    "LpPool": OnnxRule("pool", "lp"),
    "GlobalAveragePool": OnnxRule("globalpool"),
    "GlobalMaxPool": OnnxRule("globalpool", "max"),
    "Add": OnnxRule("add"),
    "Sum": OnnxRule("add"),
    "Mul": OnnxRule("mul"),
    "Concat": OnnxRule("cat"),
    "Resize": OnnxRule("upsample", first=True),
    "Upsample": OnnxRule("upsample", first=True),
    "Gather": OnnxRule("layout", "gather"),  # of a weight: an embedding
}


def kinds(kind: str, names: str, *, first: bool = False) -> dict[str, OnnxRule]:
    """Operators of a kind that multiply no matrices; the form is the operator's name."""
    return {name: OnnxRule(kind, name.lower(), first=first) for name in names.split()}


RULES |= kinds("act", "Relu PRelu LeakyRelu Elu Selu Celu Gelu Sigmoid HardSigmoid HardSwish Swish Softplus Softsign "
                      "Tanh Softmax LogSoftmax Mish ThresholdedRelu Shrink Hardmax")  # fmt: skip
RULES |= kinds("map", "Sub Div Pow Neg Abs Exp Log Sqrt Reciprocal Erf Floor Ceil Round Sign Sin Cos Tan Asin Acos "
                      "Atan Sinh Cosh Min Max Mean Mod Equal Greater GreaterOrEqual Less LessOrEqual And Or Not Xor "
                      "Where IsNaN IsInf BitShift CumSum")  # fmt: skip
RULES |= kinds("act", "Clip", first=True)  # its limits are no weights
RULES |= kinds("reduce", "ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum "
                         "ReduceLogSumExp ReduceSumSquare ArgMax ArgMin TopK", first=True)  # fmt: skip
RULES |= kinds("layout", "Transpose Slice Split Pad Tile Expand DepthToSpace SpaceToDepth Cast CastLike QuantizeLinear "
                         "DequantizeLinear ReverseSequence GatherElements GatherND Trilu OneHot CenterCropPad Col2Im",
               first=True)  # fmt: skip
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
