"""factor(): one operator that does two jobs becomes two operators that do one each.

separable    k x k                -> k x k depthwise, 1x1                        MobileNetV1, arXiv:1704.04861
grouped      k x k                -> k x k in `groups` groups                    ResNeXt, arXiv:1611.05431
bottleneck   k x k                -> 1x1 to `width`, k x k, 1x1 back             ResNet, arXiv:1512.03385, section 4.1
squeeze      k x k                -> 1x1 to `width`, k x k                       GoogLeNet, arXiv:1409.4842, section 4
low_rank     k x k (or linear)    -> k x k to `width`, 1x1                       Denton et al. 2014, arXiv:1404.0736
split        k x k                -> (k - 1) / 2 convolutions 3x3                VGG, arXiv:1409.1556, section 2.3
spatial      k x k                -> k x 1 to `width`, 1 x k                     Jaderberg et al. 2014, arXiv:1405.3866

`width` is by default a quarter of the narrower side (spatial and split: the output); for separable it is the number of
filters of a channel, by default one. Norm and activation that follow
the operator also follow every factor but the last, unless the factoring is `linear`. What a form costs is what the
leaves say, counted or as a formula: there is no second arithmetic here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from netlathe.arch.build import seq
from netlathe.arch.combinators import Seq
from netlathe.arch.graph import Op
from netlathe.arch.layers import Act, Conv, Linear, Norm
from netlathe.arch.leaf import Pair, Times, pair
from netlathe.arch.network import Network
from netlathe.arch.node import Node
from netlathe.arch.rewrite import join, rewrite, walk
from netlathe.cost.formula import formula, odd_symbol, symbols, sympy
from netlathe.cost.totals import totals
from netlathe.errors import NetlatheError, unknown
from netlathe.reshape.legal import divisors

Where = Callable[[Op], bool]
# A form: the operator, the channels that arrive, those that leave, and the free number -> named factors.
Form = Callable[[Conv, Any, Any, Any], dict[str, Node]]


def separable(conv: Conv, arrive: Any, leave: Any, free: Any) -> dict[str, Node]:
    """y[o] = sum_i,j P[o, i, j] (D[i, j] * x[i]), j over the filters of a channel"""
    spatial = replace(conv, width=None if free == 1 else Times(free), groups=1, group_width=1, bias=False)
    return {"depthwise": spatial, "pointwise": Conv(leave, bias=conv.bias)}


def grouped(conv: Conv, arrive: Any, leave: Any, free: Any) -> dict[str, Node]:
    """y[o] = sum over the group of o of w[o, i] * x[i]"""
    return {"": replace(conv, groups=free, group_width=None)}


def bottleneck(conv: Conv, arrive: Any, leave: Any, free: Any) -> dict[str, Node]:
    """y = E(w * S(x)), S and E by position"""
    middle = replace(conv, width=free, bias=False)
    return {"squeeze": Conv(free), "process": middle, "expand": Conv(leave, bias=conv.bias)}


def squeeze(conv: Conv, arrive: Any, leave: Any, free: Any) -> dict[str, Node]:
    """y = w * S(x), S by position"""
    return {"squeeze": Conv(free), "process": conv}


def low_rank(conv: Conv, arrive: Any, leave: Any, free: Any) -> dict[str, Node]:
    """y = E(w * x), E by position"""
    return {"process": replace(conv, width=free, bias=False), "expand": Conv(leave, bias=conv.bias)}


def split(conv: Conv, arrive: Any, leave: Any, free: Any) -> dict[str, Node]:
    """y = w_n * ... w_1 * x, each 3x3"""
    kernel = pair(conv.kernel)[0]
    small = replace(conv, kernel=3, padding=None)
    rest = {f"conv{i}": replace(small, stride=1) for i in range(2, (kernel - 1) // 2 + 1)}
    return {"conv1": small, **rest}


def spatial(conv: Conv, arrive: Any, leave: Any, free: Any) -> dict[str, Node]:
    """y = h * (v * x), v a column, h a row"""
    (kh, kw), (sh, sw) = pair(conv.kernel), pair(conv.stride)
    ph, pw = (None, None) if conv.padding is None or conv.padding == "same" else pair(conv.padding)
    column, row = ((ph, 0), (0, pw)) if ph is not None and pw is not None else (conv.padding, conv.padding)
    return {
        "column": replace(conv, width=free, kernel=(kh, 1), stride=(sh, 1), padding=column, bias=False),
        "row": replace(conv, kernel=(1, kw), stride=(1, sw), padding=row),
    }


FORMS: dict[str, Form] = {
    form.__name__: form for form in (separable, grouped, bottleneck, squeeze, low_rank, split, spatial)
}
WIDE = ("spatial", "split")  # forms whose free width is by default that of the output


@dataclass(frozen=True, slots=True)
class FactoredNetwork:
    """What factor() did: the new network and, by path of a factored operator, what it was and the paths it became."""

    network: Network
    form: str
    parts: dict[str, tuple[Op, tuple[str, ...]]]


def where(
    *,
    path: str = "*",
    kernel: Pair | None = None,
    stride: Pair | None = None,
    form: str | None = None,
    kind: str = "conv",
    test: Where | None = None,
) -> Where:
    """A predicate of operators: shell pattern of the path (or of a part it lies in), kernel, stride, form, own test."""

    def holds(op: Op) -> bool:
        leaf = op.leaf
        return (
            op.kind == kind
            and (fnmatchcase(op.path, path) or fnmatchcase(op.path, f"{path}.*"))
            and (kernel is None or (isinstance(leaf, Conv) and pair(leaf.kernel) == pair(kernel)))
            and (stride is None or (isinstance(leaf, Conv) and pair(leaf.stride) == pair(stride)))
            and (form is None or op.form == form)
            and (test is None or test(op))
        )

    return holds


def dense(op: Op) -> bool:
    """A dense convolution larger than 1x1 that does not read the image: what every form applies to."""
    return op.kind == "conv" and op.form == "dense" and 0 not in op.inputs


def factor(
    network: Network,
    form: str = "separable",
    where: Where = dense,
    *,
    groups: int | None = None,
    width: int | Callable[[Op], int] | None = None,
    linear: bool = False,
) -> FactoredNetwork:
    """Replace the operators for which `where` holds by a form; paths grow by the names of the factors.

    `groups` for grouped, `width` for the forms that have one (a number, or a function of the operator). Raises
    NetlatheError for an unknown form, where nothing matches, and where a form does not fit a matched operator.
    """
    if form not in FORMS:
        raise unknown("form", form, FORMS, code="factor.form")
    graph = network.graph()
    by_path = {op.path: op for op in graph.ops if where(op)}
    follow = {} if linear else following(network.body)
    parts: dict[str, tuple[Op, tuple[str, ...]]] = {}

    def rule(path: str, node: Node) -> Node | None:
        op = by_path.get(path)
        if op is None or not isinstance(node, Conv | Linear):
            return None
        pieces = factors(op, form, groups=groups, width=width)
        parts[path] = (op, tuple(join(path, name) for name in pieces))
        if list(pieces) == [""]:
            return pieces[""]
        last = list(pieces)[-1]
        after = follow.get(path, {})
        between = {n: seq(conv=p, **after) if after and n != last else p for n, p in pieces.items()}
        return seq(**between)

    try:
        body = rewrite(network.body, rule, name=f"factor {form}")
    except NetlatheError as error:
        if error.code == "rewrite.no_match":
            kinds = ", ".join(sorted({f"{op.form} {op.kind}".strip() for op in graph.ops if op.macs}))
            error.hint = (
                f"operators of {network.name} with MACs: {kinds}; the default is dense convolutions after the first"
            )
        raise
    factored = replace(network, name=f"{network.name}-{form}", body=body)
    totals(body, factored.input, *factored.more)  # a shape that does not fit is an error here
    return FactoredNetwork(factored, form, parts)


def factors(
    op: Op, form: str, *, groups: int | None = None, width: int | Callable[[Op], int] | None = None
) -> dict[str, Node]:
    """The named factors of one operator. Raises NetlatheError where the form does not fit it."""
    leaf = op.leaf

    def refuse(why: str, hint: str = "") -> NetlatheError:
        return NetlatheError(f"{form} does not fit {leaf}: {why}", code="factor.fit", path=op.path, hint=hint)

    if isinstance(leaf, Linear) and form == "low_rank":
        rank = free_width(op, form, width)
        return {"squeeze": Linear(rank, bias=False), "expand": Linear(leaf.width, leaf.bias)}
    if not isinstance(leaf, Conv):
        raise refuse("it is not a convolution", "legal for linear layers: low_rank")
    if leaf.form(*op.in_shapes) not in ("dense", "pointwise"):
        raise refuse("its channels are already apart")
    kernel, arrive, leave = pair(leaf.kernel), op.in_shapes[0][0], op.out_shape[0]
    if kernel == (1, 1) and form != "low_rank":
        raise refuse("a 1x1 does only one job", "legal for 1x1: low_rank")
    if form == "split" and (kernel[0] != kernel[1] or kernel[0] < 5 or kernel[0] % 2 == 0):
        raise refuse("only an odd square of at least 5 is a stack of 3x3")
    if form == "split" and (leaf.padding not in (None, kernel[0] // 2) or leaf.dilation != 1):
        raise refuse("its padding changes the size, which a stack of 3x3 does not")
    if form == "grouped":
        if groups is None or groups < 1 or arrive % groups or leave % groups:
            legal = divisors(arrive, leave)[1:]
            raise refuse(
                f"groups={groups} does not divide {arrive} and {leave}", f"legal: {', '.join(map(str, legal))}"
            )
        return FORMS[form](leaf, arrive, leave, groups)
    return FORMS[form](leaf, arrive, leave, free_width(op, form, width))


def free_width(op: Op, form: str, width: int | Callable[[Op], int] | None) -> int:
    """The free width of a form for one operator."""
    axis = 0 if op.kind == "conv" else -1
    arrive, leave = op.in_shapes[0][axis], op.out_shape[axis]
    if width is None:
        return 1 if form == "separable" else leave if form in WIDE else max(1, min(arrive, leave) // 4)
    size = width(op) if callable(width) else width
    if size < 1:
        raise NetlatheError(f"the width must be at least 1, not {size}", code="factor.width", path=op.path)
    return size


def following(body: Node) -> dict[str, dict[str, Node]]:
    """By path of a leaf: the norm and the activation that come right after it in its sequence."""
    followers: dict[str, dict[str, Node]] = {}
    for path, node in walk(body):
        if not isinstance(node, Seq):
            continue
        for i, name in enumerate(node.names):
            after: dict[str, Node] = {}
            for item in node.items[i + 1 :]:
                key = "norm" if isinstance(item, Norm) else "act" if isinstance(item, Act) else ""
                if not key or key in after:
                    break
                after[key] = item
            if after and isinstance(node.items[i], Conv | Linear):
                followers[join(path, name)] = after
    return followers


def cost_factor(form: str, what: str = "macs") -> Any:
    """New cost over old of a form, as a sympy expression in i, o (channels), k (kernel), g (groups), m (free width).

    `what` is macs or weights; stride 1, no bias. Raises NetlatheError for an unknown form, and for `split`, whose
    number of factors depends on k: cost_factor("split 5") is for 5x5.
    """
    name, _, number = form.partition(" ")
    if name not in FORMS:
        raise unknown("form", form, FORMS, code="factor.form")
    if name == "split" and not number:
        raise NetlatheError("the factor of split depends on the kernel", code="factor.form", hint="write split 5")
    i, o, g, m, h, w = symbols("i o g m h w")
    i = g * i if name == "grouped" else i  # the groups divide what arrives
    k: Any = int(number) if number else odd_symbol("k")
    free = {"grouped": g, "separable": 1, "split": None}.get(name, m)
    old = formula(Conv(o, k), (i, h, w))
    pieces = FORMS[name](Conv(o, k), i, o, free)
    new = formula(seq(**pieces) if "" not in pieces else pieces[""], (i, h, w))
    return sympy().simplify(getattr(new, what) / getattr(old, what))
