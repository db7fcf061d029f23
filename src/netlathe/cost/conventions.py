"""conventions(): the total that another tool prints for the same network, and why it differs from ours.

Every tool starts from the multiply-accumulates of convolutions and matrix products and adds its own constants for other
operators. The constants are those of the installed packages: fvcore 0.1.5 (nn/flop_count.py, nn/jit_handles.py), thop
0.1.1 (profile.py, vision/basic_hooks.py), ptflops 0.7.5 (pytorch_ops.py, pytorch_engine.py; its default backend). timm
prints fvcore's count with fused attention off, for its own modules: they take the mean in squeeze-excite without
pooling, and VGG's head is written with convolutions there (not modelled: 20,992 less). torchvision's weight metadata
count convolutions and matrix products alone. thop and ptflops hook torch modules by type, and ptflops also replaces
functions, so their totals depend on whether the author wrote a module or a function: `FUNCTIONS` says where torchvision
wrote functions. Of layer norms and attention they see the classes that they know by name, so no rule about operators
gives their totals of a Transformer (`UNSEEN`).
"""

from __future__ import annotations

from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

from netlathe.arch.graph import Graph, Op
from netlathe.arch.node import Size
from netlathe.cost.count import count
from netlathe.errors import NetlatheError, unknown
from netlathe.zoo.published import Figure, figures


class ConventionRule(NamedTuple):
    """What a tool adds for one kind of operator, an element read or written."""

    kind: str  # kind, or "kind form"
    reads: int
    writes: int
    reason: str
    where: Literal["", "module", "function", "head", "bias"] = ""  # only those; "" is all
    macs: int = 0  # times the operator's own


class CountDifference(NamedTuple):
    """One reason why a tool's total is not ours."""

    reason: str
    ops: int
    macs: Size


class Convention(NamedTuple):
    """A tool's total for one image: ours and the differences."""

    tool: str
    macs: Size
    ours: Size
    differences: tuple[CountDifference, ...]


GLOBAL = ("globalpool", "adaptivepool")
FVCORE = (
    ConventionRule("norm batch", 2, 0, "counts 2 an element of a batch norm"),
    ConventionRule("norm layer", 5, 0, "counts 5 an element of a layer norm"),
    ConventionRule("norm group", 5, 0, "counts 5 an element of a group norm"),
    ConventionRule("upsample", 0, 1, "counts 1 an element that upsampling writes"),
)
RULES: dict[str, tuple[ConventionRule, ...]] = {
    "fvcore": (
        *FVCORE,
        ConventionRule("attention global", 0, 0, "does not know fused attention", macs=-1),
        *(ConventionRule(kind, 1, 0, "counts 1 an element that adaptive pooling reads") for kind in GLOBAL),
    ),
    "timm": (
        *FVCORE,
        *(
            ConventionRule(kind, 1, 0, "counts (with fvcore) 1 an element that the head's pooling reads", "head")
            for kind in GLOBAL
        ),
    ),
    "thop": (
        ConventionRule("norm", 4, 0, "counts 4 an element of a norm: 2, and 2 for its weight and bias"),
        ConventionRule("pool avg", 0, 1, "counts 1 an element that average pooling writes"),
        *(
            ConventionRule(kind, 1, 1, "counts the sums and the divisions of adaptive pooling", "module")
            for kind in GLOBAL
        ),
    ),
    "ptflops": (
        ConventionRule("norm", 2, 0, "counts 2 an element of a norm"),
        *(ConventionRule(kind, 0, 1, "counts 1 an output for a bias", "bias") for kind in ("conv", "linear")),
        ConventionRule("act relu", 0, 2, "counts ReLU modules twice: the module and the function in it", "module"),
        ConventionRule("act relu", 0, 1, "counts 1 an element of a ReLU function", "function"),
        ConventionRule("act relu6", 0, 1, "counts 1 an element of a ReLU6"),
        ConventionRule("act gelu", 0, 2, "counts GELU modules twice: the module and the function in it"),
        *(ConventionRule(f"act {form}", 0, 1, f"counts 1 an element of a {form}") for form in ("silu", "softmax")),
        *(
            ConventionRule(kind, 2, 0, "counts pooling modules twice: the module and the function in it", "module")
            for kind in ("pool", *GLOBAL)
        ),
        *(
            ConventionRule(kind, 1, 0, "counts 1 an element that a pooling function reads", "function")
            for kind in GLOBAL
        ),
    ),
    "torchvision": (),
}
TOOLS = (*RULES, "paper")
UNSEEN = {"thop": ("attention", "norm layer"), "ptflops": ("attention", "norm layer")}

# Where torchvision calls a function instead of a module: network -> paths.
FUNCTIONS: dict[str, tuple[str, ...]] = {
    "densenet*": ("act", "head.pool"),
    "mobilenetv2*": ("head.pool",),
    "googlenet*": ("*.act",),
}


def applies_at(op: Op, network: str, where: str, heads: frozenset[int]) -> bool:
    """Whether a rule's `where` holds for an operator."""
    match where:
        case "":
            return True
        case "bias":
            return "bias" in op.weights
        case "head":
            return op.output in heads
    paths = [
        path for name, function_paths in FUNCTIONS.items() if fnmatchcase(network, name) for path in function_paths
    ]
    is_function = any(fnmatchcase(op.path, path) for path in paths)
    return is_function == (where == "function")


def matches(op: Op, which: str) -> bool:
    """Whether a rule for `which` ("kind", or "kind form") speaks of this operator."""
    kind, _, form = which.partition(" ")
    return op.kind == kind and form in ("", op.form)


def convention(graph: Graph, tool: str, network: str = "", figure: Figure | None = None) -> Convention:
    """What `tool` prints for a graph, for one image; `network` is its name in the zoo.

    "paper" needs the published `figure` it speaks of (see `printed`). Raises NetlatheError for an unknown tool.
    """
    if tool not in TOOLS:
        raise unknown("convention", tool, TOOLS, code="cost.convention")
    ours = count(graph).macs
    if tool == "paper":
        assert figure is not None, "paper needs a figure"
        return paper(ours, figure)
    for op in graph.ops:
        if any(matches(op, which) for which in UNSEEN.get(tool, ())):
            raise NetlatheError(
                f"what {tool} prints for {op.form} {op.kind} depends on the class that the author of the module used",
                code="cost.unseen",
                path=op.path,
                hint="fvcore and timm count operators: --convention fvcore",
            )
    heads = frozenset(i for op in graph.ops if op.view for i in op.inputs)  # what is flattened for the classifier
    differences: dict[str, CountDifference] = {}
    for rule in RULES[tool]:
        ops = [op for op in graph.ops if matches(op, rule.kind) and applies_at(op, network, rule.where, heads)]
        if ops:
            macs = sum(rule.reads * op.in_elements + rule.writes * op.out_elements + rule.macs * op.macs for op in ops)
            _, counted, before = differences.get(rule.reason, (rule.reason, 0, 0))
            differences[rule.reason] = CountDifference(rule.reason, counted + len(ops), before + macs)
    return Convention(tool, ours + sum(row.macs for row in differences.values()), ours, tuple(differences.values()))


def published_macs(network: str, resolution: int) -> tuple[Figure, ...]:
    """The published figures with MACs, one for each value. Raises NetlatheError where nothing is published."""
    by_macs = {f.macs_G: f for f in reversed(figures(network)) if f.macs_G is not None and f.resolution == resolution}
    if not by_macs:
        raise NetlatheError(
            f"no MACs of {network or 'this network'} at {resolution} pixels are published",
            code="cost.unpublished",
            hint="zoo/published.csv lists what is; leave out --resolution, or take another convention",
        )
    return tuple(reversed(by_macs.values()))


def paper(ours: Size, figure: Figure) -> Convention:
    """The printed figure: within its last digit it is ours rounded, else the note of the figure says why not."""
    assert figure.macs_G is not None, f"{figure.source} prints no MACs"
    macs = int(figure.macs_G * 10**9)
    unit = Decimal(1).scaleb(int(figure.macs_G.as_tuple().exponent)) * 10**9
    rounded = abs(ours - macs) * 2 <= unit
    reason = f"prints {figure.macs_G} G, rounded" if rounded else figure.note or "no reason is known"
    return Convention(
        "paper",
        macs,
        ours,
        (CountDifference(f"{figure.source}: {reason}", 0, macs - ours),) if macs != ours else (),
    )
