"""The ConvNeXt roadmap: from a bottleneck ResNet to a ConvNeXt in named steps, each a rewrite of what the last gave.

Liu et al. 2022, A ConvNet for the 2020s, https://arxiv.org/abs/2201.03545, section 2. Accuracy and cost of every step
are in `roadmap`. The steps fit every bottleneck ResNet of the zoo, not only the two of the paper.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, TypeVar

from netlathe.arch.build import conv, residual, seq
from netlathe.arch.combinators import Residual, Seq, Stage
from netlathe.arch.layers import Act, Conv, Linear, Norm, Scale
from netlathe.arch.leaf import Times, pair
from netlathe.arch.network import Network
from netlathe.arch.node import Node
from netlathe.arch.pools import GlobalPool
from netlathe.arch.rewrite import at, replace_at, rewrite, walk
from netlathe.arch.tokens import Grid, Map
from netlathe.errors import NetlatheError
from netlathe.reshape import roadmap
from netlathe.reshape.roadmap import RoadmapFigure, Route
from netlathe.reshape.width import width
from netlathe.zoo.convnext import layer_norm
from netlathe.zoo.resnet import resnet

N = TypeVar("N", bound=Node)
Parts = dict[str, Node]
Rewrite = Callable[[Node, Route], Node]


class Rung(NamedTuple):
    """A step taken: what it does, the network after it, and the paper's figure where this ladder is the paper's."""

    step: str
    what: str
    network: Network
    published: RoadmapFigure | None


def stage_ratio(body: Node, route: Route) -> Node:
    """blocks a stage as 1:1:3:1 or 1:1:9:1, as in Swin"""
    for i, depth in enumerate(route.depths, 1):
        body = replace_at(body, f"stage{i}", replace(require_kind(Stage, at(body, f"stage{i}")), depth=depth))
    return widen_to(body, route.narrow)


def patchify(body: Node, route: Route) -> Node:
    """stem 7x7 /2 and max pool /2 -> 4x4 /4"""
    return replace_at(body, "stem", conv(route.narrow, 4, 4, padding=0))


def depthwise(body: Node, route: Route) -> Node:
    """the 3x3 of every block -> depthwise"""
    alone = change_part("process", lambda c: replace(c, width=None, groups=1, group_width=1))
    return change_blocks(body, alone)


def wider(body: Node, route: Route) -> Node:
    """every width in proportion, as wide as Swin"""
    return widen_to(body, route.wide)


def invert(body: Node, route: Route) -> Node:
    """squeeze and expansion swap widths: a wide middle"""

    def swap(block: Residual, parts: Parts) -> Node:
        squeeze, process, expand = (core_conv(parts[name]) for name in ("squeeze", "process", "expand"))
        stride = pair(squeeze.stride)[0] * pair(process.stride)[0]
        wide = own_width(expand)
        return residual(
            expand=conv(wide),
            process=with_core(parts["process"], lambda c: replace(c, stride=stride)),
            squeeze=conv(wide // 4, act=None),
            project=conv(wide // 4, 1, stride, act=None),
        )

    return change_blocks(body, swap)


def move_up(body: Node, route: Route) -> Node:
    """the depthwise convolution first, at the narrow width"""
    return change_blocks(body, lambda block, parts: with_parts(block, {"process": parts["process"]} | parts))


def kernel(size: int) -> Rewrite:
    """The step that makes the depthwise convolution size x size."""

    def enlarge(body: Node, route: Route) -> Node:
        return change_blocks(body, change_part("process", lambda c: replace(c, kernel=size)))

    enlarge.__doc__ = f"depthwise {size}x{size}"
    return enlarge


def gelu(body: Node, route: Route) -> Node:
    """relu -> gelu"""
    return rewrite(body, lambda path, node: Act("gelu") if isinstance(node, Act) else None, name="gelu")


def fewer_acts(body: Node, route: Route) -> Node:
    """one activation a block, between the two 1x1"""

    def drop(path: str, node: Node) -> Node | None:
        ends = isinstance(node, Seq) and node.names == ("", "act") and isinstance(node.items[0], Residual)
        return node.items[0] if ends and isinstance(node, Seq) else None

    body = rewrite(body, drop, name="fewer activations")
    body = change_blocks(
        body, lambda block, parts: with_parts(block, parts | {"process": drop_kind(parts["process"], Act)})
    )
    return replace_at(body, "stem", lambda stem: drop_kind(stem, Act))


def fewer_norms(body: Node, route: Route) -> Node:
    """one norm a block, before the first 1x1"""

    def drop(block: Residual, parts: Parts) -> Node:
        bare = {name: drop_kind(parts[name], Norm) for name in ("expand", "squeeze")}
        biased = {name: with_core(bare[name], lambda c: replace(c, bias=True)) for name in bare}
        return with_parts(block, parts | biased)

    return change_blocks(body, drop)


def to_layer_norm(body: Node, route: Route) -> Node:
    """batch norm -> layer norm"""
    return rewrite(body, lambda path, node: layer_norm if isinstance(node, Norm) else None, name="layer norm")


def separate_downsampling(body: Node, route: Route) -> Node:
    """norm and 2x2 /2 between stages, norms at both ends

    What the released network has besides comes in here too: the 1x1 convolutions as linear layers on a grid (the same
    arithmetic), biases, and one factor a channel at the end of a block.
    """

    def mix(block: Residual, parts: Parts) -> Node:
        process, norm, act = (
            core_conv(parts["process"]),
            require_kind(Seq, parts["process"]).items[1],
            at(parts["expand"], "act"),
        )
        ratio = own_width(core_conv(parts["expand"])) // own_width(core_conv(parts["squeeze"]))
        return residual(
            map=Map(),
            process=replace(process, stride=1, bias=True),
            grid=Grid(),
            norm=norm,
            expand=Linear(Times(ratio)),
            act=act,
            squeeze=Linear(Times(1, ratio)),
            scale=Scale(),
        )

    patch, norm = require_kind(Conv, at(body, "stem.conv")), at(body, "stem.norm")
    classifier = at(body, "head.classifier")
    body = change_blocks(body, mix)
    parts: Parts = {"stem": seq(patch=replace(patch, bias=True), grid=Grid(), norm=norm)}
    for i in range(len(route.depths)):
        if i:
            down = Conv(own_width(patch) * 2**i, 2, 2, padding=0, bias=True)
            parts[f"down{i}"] = seq(norm=norm, map=Map(), conv=down, grid=Grid())
        parts[f"stage{i + 1}"] = at(body, f"stage{i + 1}")
    return seq(**parts, head=seq(pool=GlobalPool(), norm=norm, classifier=classifier))


# By the names of the published steps; the enhanced recipe changes the training alone, so the expression stays.
STEPS: dict[str, Rewrite] = {
    "stage ratio": stage_ratio,
    "patchify stem": patchify,
    "depthwise": depthwise,
    "width": wider,
    "inverted bottleneck": invert,
    "move depthwise up": move_up,
    "kernel 5": kernel(5),
    "kernel 7": kernel(7),
    "gelu": gelu,
    "fewer activations": fewer_acts,
    "fewer norms": fewer_norms,
    "layer norm": to_layer_norm,
    "separate downsampling": separate_downsampling,
}


def resnet200() -> Network:
    """The start of the paper's second ladder: blocks (3, 24, 36, 3)."""
    return Network("resnet200", resnet(depths=(3, 24, 36, 3)))


def ladder(network: Network, route: Route | None = None) -> list[Rung]:
    """The network at the start, with the better recipe, and after every step; the last is a ConvNeXt.

    Without a route: that of the paper for resnet50 and resnet200, else ConvNeXt-T's for up to 16 blocks and
    ConvNeXt-S's for more. Raises NetlatheError for a network that is not a bottleneck ResNet.
    """
    refuse_other_shapes(network)
    route = route or roadmap.ROUTES.get(network.name) or standard(network)
    published = roadmap.FIGURES.get(network.name, {}) if route == roadmap.ROUTES.get(network.name) else {}
    recipe = "the training, not the network: 300 epochs"
    rungs = [
        Rung("start", "the network as it is, 90 epochs", network, published.get("start")),
        Rung("recipe", recipe, network, published.get("recipe")),
    ]
    for name, step in STEPS.items():
        before = rungs[-1].network
        try:
            body = step(before.body, route)
        except (AssertionError, NetlatheError) as error:
            message = f"the step {name!r} of the roadmap does not apply to {network.name}: {error}"
            raise NetlatheError(message, code="modernise.network", hint=SHAPE) from None
        after = Network(f"{network.name}-{name.replace(' ', '-')}", body, network.input)
        rungs.append(Rung(name, (step.__doc__ or "").partition("\n")[0], after, published.get(name)))
    return rungs


def standard(network: Network) -> Route:
    """ConvNeXt-T's or ConvNeXt-S's depths and width, whichever is nearer in blocks; with other than four stages, the
    network's own depths, and widths in the same proportion."""
    depths = tuple(require_kind(Stage, part).depth for _, part in stages_of(network.body))
    if len(depths) != 4:
        stem = stem_width(network.body)
        return Route(depths, stem, stem * 3 // 2)
    count = sum(depths)
    return Route((3, 3, 9, 3) if count <= 16 else (3, 3, 27, 3), 64, 96)


SHAPE = (
    "it needs seq(stem=conv(w, ...), stage1=stage(residual(squeeze=, process=, expand=), ...), ..., head=head(...)), "
    "stage i expanding to 4 w 2^(i - 1)\n  legal: resnet50, resnet101, resnet152, wide_resnet*, resnext*, and their "
    "rewrites"
)


def refuse_other_shapes(network: Network) -> None:
    """Refuse what is not a stem, stages of bottlenecks that double the width, and a head, with all that is missing."""
    missing = missing_parts(network.body)
    if missing:
        raise NetlatheError(
            f"{network.name} is not a bottleneck ResNet, so the roadmap does not apply: {'; '.join(missing)}",
            code="modernise.network",
            hint=SHAPE,
        )


def stages_of(body: Node) -> list[tuple[str, Node]]:
    """The parts that are called stage1, stage2 ..."""
    return [(name, part) for name, part in body.children() if name.startswith("stage")]


def missing_parts(body: Node) -> list[str]:
    """What keeps a network from the roadmap, with the path; empty where nothing does."""
    parts = dict(body.children()) if isinstance(body, Seq) else {}
    stages = stages_of(body) if parts else []
    names = ("stem", *(f"stage{i}" for i in range(1, max(len(stages), 1) + 1)), "head")
    faults = [f"it has no part {name}" for name in names if name not in parts]
    faults += [f"it has a part {name or 'without a name'}" for name in parts if name not in names]
    if faults:
        return faults
    if not isinstance(dict(parts["stem"].children()).get("conv"), Conv):
        faults.append("stem has no part conv that is a convolution")
    if not isinstance(dict(parts["head"].children()).get("classifier"), Linear):
        faults.append("head has no part classifier that is a linear layer")
    for i, (name, part) in enumerate(stages):
        wanted, widths = 4 * 2**i * stem_width(body), out_widths(part)
        if not isinstance(part, Stage):
            faults.append(f"{name} is no stage(block, depth)")
        elif not widths:
            faults.append(f"{name} has no residual block of squeeze, process and expand")
        elif widths != {wanted}:
            faults.append(f"{name} expands to {', '.join(map(str, sorted(widths, key=str)))}, and not to {wanted}")
    return faults


def out_widths(stage: Node) -> set[int | None]:
    """The widths that the blocks of a stage expand to; nothing else is in the stages of a ResNet."""
    if not isinstance(stage, Stage):
        return set()
    blocks = [bottleneck(part) for block in (stage.block, stage.first or stage.block) for _, part in walk(block)]
    last = [convolutions(parts["expand"])[-1:] for parts in blocks if parts]
    return {core.width if isinstance(core.width, int) else None for cores in last for core in cores}


def stem_width(body: Node) -> int:
    """The channels that the stem leaves."""
    convs = [leaf for leaf in convolutions(at(body, "stem")) if isinstance(leaf.width, int)]
    return own_width(convs[-1]) if convs else 0


def convolutions(node: Node) -> list[Conv]:
    """Those of a part, in order."""
    return [leaf for _, leaf in walk(node) if isinstance(leaf, Conv)]


def bottleneck(node: Node) -> Parts | None:
    """The parts of a block by name, if it is x + f(x) with f of squeeze, process and expand in any order."""
    if not isinstance(node, Residual) or not isinstance(node.body, Seq):
        return None
    parts = dict(node.body.children())
    return parts if parts.keys() == {"squeeze", "process", "expand"} else None


def change_blocks(body: Node, change: Callable[[Residual, Parts], Node]) -> Node:
    """The body with every block changed."""

    def rule(path: str, node: Node) -> Node | None:
        parts = bottleneck(node)
        return change(require_kind(Residual, node), parts) if parts else None

    return rewrite(body, rule, name="this step of the roadmap")


def change_part(name: str, change: Callable[[Conv], Conv]) -> Callable[[Residual, Parts], Node]:
    """The change of one convolution of a block."""
    return lambda block, parts: with_parts(block, parts | {name: with_core(parts[name], change)})


def with_parts(block: Residual, parts: Parts) -> Residual:
    """The same block with other parts."""
    return replace(block, body=seq(**parts))


def core_conv(node: Node) -> Conv:
    """The convolution of a part, which may stand alone or before norm and activation."""
    return node if isinstance(node, Conv) else require_kind(Conv, at(node, "conv"))


def with_core(node: Node, change: Callable[[Conv], Conv]) -> Node:
    """A part with another convolution."""
    return change(node) if isinstance(node, Conv) else replace_at(node, "conv", change(core_conv(node)))


def drop_kind(node: Node, kind: type[Node]) -> Node:
    """A part without its norm or its activation."""
    items = {name: item for name, item in require_kind(Seq, node).children() if not isinstance(item, kind)}
    return seq(**items)


def own_width(leaf: Conv) -> int:
    """The width of a convolution that has one of its own."""
    assert isinstance(leaf.width, int), leaf
    return leaf.width


def widen_to(body: Node, channels: int) -> Node:
    """Every width in proportion to that of the stem."""
    factor = channels / own_width(require_kind(Conv, at(body, "stem.conv")))
    return width(Network("", body), factor, "floor").body


def require_kind(kind: type[N], node: Node) -> N:
    """A node that must be of that kind: the steps follow each other, so it is."""
    assert isinstance(node, kind), f"{node} is not {kind.__name__}"
    return node
