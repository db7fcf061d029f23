"""One rule an operator of torch: its kind, and its multiply-accumulates from shapes.

Names are those of the dispatcher without overload (`convolution` is aten's; others keep their namespace, as in
`torchvision::nms`); https://docs.pytorch.org/docs/stable/torch.compiler_ir.html lists the core. An operator that only
shows the memory of another tensor under another shape says so in its schema and needs no rule. What is in no table
raises: `register` adds a rule.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple, TypeAlias

from netlathe.arch.node import Shape
from netlathe.errors import NetlatheError
from netlathe.read.rules import Work, attention, convolution, product, transposed_convolution


class AtenCall(NamedTuple):
    """An operator with its arguments (tensors as torch has them, batch axis included) and the shape that it makes."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    y: Shape

    def shape(self, i: int) -> Shape:
        """The shape of argument i, a tensor."""
        return tuple(self.args[i].shape)


Count: TypeAlias = Callable[[AtenCall], Work]


class AtenRule(NamedTuple):
    """What an operator is; without `work` it multiplies no matrices."""

    kind: str
    form: str = ""
    work: Count | None = None


def matrices(a: int, b: int) -> Count:
    """Arguments a (..., n, k) and b (..., k, m) are multiplied."""
    return lambda call: product((*call.shape(a)[:-1], *call.shape(b)[-1:]), call.shape(a)[-1])


def convolve(call: AtenCall) -> Work:
    rule = transposed_convolution if call.args[6] else convolution
    return rule(call.shape(0), call.shape(1), call.y)


def fused_attention(call: AtenCall) -> Work:
    return attention(call.shape(0), call.shape(1), call.shape(2))


def vector_product(call: AtenCall) -> Work:
    """A matrix or a vector times a vector."""
    return product(call.y, call.shape(0)[-1])


def trilinear(call: AtenCall) -> Work:
    """nn.Bilinear: x1 (n, i), w (o, i, j), x2 (n, j); the two products are done one after the other."""
    n, (o, i, j) = prod(call.y[:-1]), call.args[1].shape[-3:]
    return Work("", product((n, o, j), i).macs + product((n, o), j).macs)


def distances(call: AtenCall) -> Work:
    """x (..., n, k) and y (..., m, k): the products of all pairs, of which Euclidean distances are made."""
    euclidean = len(call.args) < 3 or float(call.args[2]) == 2
    return Work("cdist", product(call.y, call.shape(0)[-1]).macs if euclidean else 0)


def affine_grid(call: AtenCall) -> Work:
    """The positions (N, ..., k) of a grid times theta (N, k, k + 1)."""
    return Work("affine_grid", product(call.y, call.shape(0)[-1]).macs)


def deformable_convolution(call: AtenCall) -> Work:
    """As a convolution at the same positions: what is looked up between pixels multiplies no matrices."""
    return Work("deformable", convolution(call.shape(0), call.shape(1), call.y).macs)


MAC_RULES: dict[str, AtenRule] = {
    "convolution": AtenRule("conv", "", convolve),
    "linear": AtenRule("linear", "", lambda call: product(call.y, call.shape(0)[-1])),
    "mm": AtenRule("matmul", "", matrices(0, 1)),
    "bmm": AtenRule("matmul", "", matrices(0, 1)),
    "addmm": AtenRule("matmul", "", matrices(1, 2)),
    "baddbmm": AtenRule("matmul", "", matrices(1, 2)),
    "addbmm": AtenRule("matmul", "", matrices(1, 2)),
    "mv": AtenRule("matmul", "", vector_product),
    "dot": AtenRule("matmul", "", vector_product),
    "vdot": AtenRule("matmul", "", vector_product),
    "addmv": AtenRule("matmul", "", lambda call: product(call.y, call.shape(1)[-1])),
    "_trilinear": AtenRule("linear", "bilinear", trilinear),
    "_euclidean_dist": AtenRule("matmul", "", distances),
    "_cdist_forward": AtenRule("matmul", "", distances),
    "affine_grid_generator": AtenRule("matmul", "", affine_grid),
    "torchvision::deform_conv2d": AtenRule("conv", "", deformable_convolution),
    "scaled_dot_product_attention": AtenRule("attention", "", fused_attention),
    "_scaled_dot_product_flash_attention_for_cpu": AtenRule("attention", "", fused_attention),
    "_scaled_dot_product_flash_attention": AtenRule("attention", "", fused_attention),
    "_scaled_dot_product_efficient_attention": AtenRule("attention", "", fused_attention),
    "_scaled_dot_product_cudnn_attention": AtenRule("attention", "", fused_attention),
}


def split_names(text: str) -> list[str]:
    return text.split()


# Operators that multiply no matrices, by kind; the form is the operator's own name unless it is given.
FORMS: dict[str, AtenRule] = {
    "relu": AtenRule("act", "relu"),
    "_softmax": AtenRule("act", "softmax"),
    "_safe_softmax": AtenRule("act", "softmax"),
    "_log_softmax": AtenRule("act", "log_softmax"),
    "_prelu_kernel": AtenRule("act", "prelu"),
    "log_sigmoid_forward": AtenRule("act", "log_sigmoid"),
    "max_pool1d": AtenRule("pool", "max"),
    "max_pool2d": AtenRule("pool", "max"),
    "max_pool2d_with_indices": AtenRule("pool", "max"),
    "max_pool3d_with_indices": AtenRule("pool", "max"),
    "avg_pool1d": AtenRule("pool", "avg"),
    "avg_pool2d": AtenRule("pool", "avg"),
    "avg_pool3d": AtenRule("pool", "avg"),
    "_adaptive_avg_pool2d": AtenRule("adaptivepool"),
    "_adaptive_avg_pool3d": AtenRule("adaptivepool"),
    "adaptive_max_pool2d": AtenRule("adaptivepool", "max"),
    "adaptive_max_pool3d": AtenRule("adaptivepool", "max"),
    "adaptive_avg_pool2d": AtenRule("adaptivepool"),
    "global_avg_pool2d": AtenRule("globalpool"),
    "native_batch_norm": AtenRule("norm", "batch"),
    "_native_batch_norm_legit": AtenRule("norm", "batch"),
    "_native_batch_norm_legit_no_training": AtenRule("norm", "batch"),
    "_batch_norm_with_update": AtenRule("norm", "batch"),
    "cudnn_batch_norm": AtenRule("norm", "batch"),
    "native_layer_norm": AtenRule("norm", "layer"),
    "native_group_norm": AtenRule("norm", "group"),
    "_fused_rms_norm": AtenRule("norm", "rms"),
    "rms_norm": AtenRule("norm", "rms"),
    "add": AtenRule("add"),
    "mul": AtenRule("mul"),
    "cat": AtenRule("cat"),
    "stack": AtenRule("cat"),
    "embedding": AtenRule("embedding"),
    "torchvision::roi_align": AtenRule("pool", "roi_align"),
    "torchvision::ps_roi_align": AtenRule("pool", "roi_align"),
    "torchvision::roi_pool": AtenRule("pool", "roi_pool"),
    "torchvision::ps_roi_pool": AtenRule("pool", "roi_pool"),
}
NAMES: dict[str, str] = {
    "act": "gelu silu sigmoid tanh hardswish hardsigmoid hardtanh leaky_relu elu softplus mish glu celu selu threshold "
    "softshrink hardshrink rrelu_with_noise relu6",
    "map": "sub rsub div pow neg abs exp exp2 expm1 log log2 log10 log1p sqrt rsqrt reciprocal square clamp clamp_min "
    "clamp_max minimum maximum fmin fmax where floor ceil round trunc frac sign sgn sin cos tan asin acos atan atan2 "
    "sinh cosh erf erfc erfinv logit eq ne gt ge lt le logical_and logical_or logical_not logical_xor bitwise_and "
    "bitwise_or bitwise_not bitwise_xor isnan isinf isfinite masked_fill fill zero lerp addcmul addcdiv remainder fmod "
    "floor_divide true_divide nan_to_num polar complex dropout native_dropout bernoulli xlogy hypot heaviside "
    "_weight_norm_interface",
    "reduce": "mean sum amax amin aminmax max min var var_mean std std_mean norm linalg_vector_norm argmax "
    "argmin cumsum cumprod prod any all logsumexp topk sort argsort median kthvalue mode count_nonzero",
    "layout": "copy clone contiguous _to_copy index_select index _unsafe_index gather index_put _index_put_impl "
    "scatter scatter_add scatter_reduce index_add index_copy index_fill masked_scatter take roll flip rot90 "
    "constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d "
    "replication_pad3d pixel_shuffle pixel_unshuffle channel_shuffle im2col col2im repeat repeat_interleave tril "
    "triu narrow_copy slice_scatter select_scatter diagonal_scatter split_with_sizes_copy split_copy unbind_copy "
    "permute_copy view_copy expand_copy lift_fresh_copy unfold_copy one_hot resize",
    "upsample": "max_unpool2d max_unpool3d upsample_nearest1d upsample_nearest2d upsample_nearest3d "
    "_upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d upsample_linear1d "
    "upsample_bilinear2d upsample_bicubic2d upsample_trilinear3d _upsample_bilinear2d_aa _upsample_bicubic2d_aa "
    "grid_sampler_2d grid_sampler_3d",
}
RULES: dict[str, AtenRule] = {
    **{name: AtenRule(kind, name) for kind, text in NAMES.items() for name in split_names(text)},
    **FORMS,
    **MAC_RULES,
}

# What makes weights of weights (orthogonal and other parametrisations), once and before inference. It is refused where
# something of the image reaches it, for nobody counted it.
OF_WEIGHTS = frozenset(
    split_names(
        "linalg_matrix_exp linalg_qr linalg_householder_product linalg_inv_ex linalg_solve_ex _linalg_solve_ex "
        "linalg_cholesky_ex linalg_lu_factor_ex linalg_solve_triangular triangular_solve linalg_eigh _linalg_eigh "
        "_linalg_svd _linalg_det geqrf ormqr cholesky_inverse"
    )
)

# Views that the schema does not mark, for the memory is shared only until somebody writes.
VIEWS = frozenset({"_unsafe_view", "unsafe_split", "unsafe_split_with_sizes", "unsafe_chunk", "lift_fresh"})

# The result does not depend on the elements of its arguments: a constant.
MAKERS = frozenset(
    split_names(
        "zeros_like ones_like empty_like full_like rand_like randn_like randint_like new_zeros new_ones new_empty "
        "new_full new_empty_strided sym_size sym_numel sym_stride"
    )
)

# The result, or its shape, depends on the elements: they are not known.
NEEDS_VALUES = frozenset(
    split_names(
        "_local_scalar_dense item is_nonzero equal allclose nonzero masked_select _unique _unique2 unique_dim "
        "unique_consecutive bincount histc argwhere "
        "torchvision::nms tolist numpy"
    )
)


def register(name: str, kind: str, form: str = "", work: Callable[[AtenCall], int] | None = None) -> None:
    """Say what an operator is, such as `register("mylib::window_attention", "attention", work=macs)`.

    `kind` and `form` classify it as in `netlathe cost --by op`; `work(call)` gives its multiply-accumulates for one
    image from `call.shape(i)` of its arguments and `call.y`, the shape that it makes, both with the batch axis. Without
    `work` it counts none. Raises NetlatheError for a name with a rule of the package.
    """
    name = name.removeprefix("aten::")
    if name in BUILT_IN:
        raise NetlatheError(f"{name} has a rule already: {RULES[name].kind}", code="read.registered")
    count = work
    RULES[name] = AtenRule(kind, form, None if count is None else lambda call: Work(form, count(call)))


BUILT_IN = frozenset(RULES)
