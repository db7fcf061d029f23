"""The laws of an expression, as checks that anybody runs on networks of their own.

    from netlathe.testing import check, conformance
    for result in check(my_network): print(result)     # every law, whatever happens
    conformance(my_network)                            # raises AssertionError with the laws that are broken

A law is a function of a network and, where there is one, the torch module of somebody else that computes the same. It
returns its evidence in a line, raises Broken where it does not hold, and NotApplicable where it says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from math import prod
from typing import Any, Literal, NamedTuple

import numpy as np

from netlathe import zoo
from netlathe.arch.combinators import Dag, Vertex
from netlathe.arch.document import from_json, to_json
from netlathe.arch.inputs import input_specs
from netlathe.arch.leaf import Leaf
from netlathe.arch.network import Network
from netlathe.arch.node import node
from netlathe.arch.notation import to_text
from netlathe.arch.rewrite import rewrite
from netlathe.cost.memory import memory
from netlathe.cost.totals import totals
from netlathe.errors import MissingExtra, NetlatheError
from netlathe.lower.weights import drawing_rule, random_weights, tensor_shapes
from netlathe.zoo.published import Figure, figures

TOLERANCE = 1e-4  # relative error, float32


class NotApplicable(Exception):
    """The law says nothing about this network, and why."""


class Broken(AssertionError):
    """The law does not hold, and what was seen."""


def require(holds: bool, otherwise: str) -> None:
    """Raise Broken unless a claim holds (an `assert` that `python -O` keeps)."""
    if not holds:
        raise Broken(otherwise)


class LawResult(NamedTuple):
    """What became of one law for one network."""

    law: int
    network: str
    outcome: Literal["holds", "broken", "says nothing"]
    evidence: str

    def __str__(self) -> str:
        return f"{self.network}: law {self.law} {self.outcome}: {self.evidence}"


class Law(NamedTuple):
    """A statement about every network, and the function that checks it."""

    statement: str
    holds: Callable[[Network, Any], str]


def torch_counts_the_same(network: Network, twin: Any = None) -> str:
    """Law 1; with a twin, its forward as well."""
    from netlathe.lower.torch import to_torch
    from netlathe.read.torch import read_module

    ours = totals(network.body, network.input, *network.more)
    modules = {"its torch reading": to_torch(network, device="meta")} | ({} if twin is None else {"its twin": twin})
    for name, module in modules.items():
        counted = read_module(module, *torch_inputs(network)).graph.ops
        theirs = sum(op.params for op in counted), sum(op.macs for op in counted)
        require(theirs == (ours.params, ours.macs), f"{name} has (params, MACs) {theirs}, the graph {ours[1:3]}")
    return f"{ours.params:,} params, {ours.macs:,} MACs"


def torch_computes_what_onnx_does(network: Network, twin: Any = None) -> str:
    """Law 2."""
    import torch

    from netlathe.lower.agreement import OutputProbe, difference
    from netlathe.lower.inputs import examples
    from netlathe.lower.onnx import to_onnx
    from netlathe.lower.torch import to_torch

    weights, inputs = random_weights(network), examples(network)
    with torch.no_grad():
        y = to_torch(network, weights).eval()(*map(torch.from_numpy, inputs))
    return check_tolerance(difference(to_onnx(network, weights).SerializeToString(), OutputProbe(inputs, y.numpy())))


def a_twins_weights_give_its_output(network: Network, twin: Any = None) -> str:
    """Law 3; without a given twin, the network's twins in timm and torchvision, with random weights."""
    from netlathe.lower.pretrained import from_module
    from netlathe.lower.twins import build_twin, twins_of

    twins = (
        [t for t in twins_of(network.name) if t.build_network().at(resolution(network)) == network]
        if twin is None
        else []
    )
    if twin is None and not twins:
        raise NotApplicable("no twin")
    modules = (
        {"the twin": twin} if twin is not None else {f"{t.library} {t.name}": build_twin(t, network) for t in twins}
    )
    evidence = []
    for name, module in modules.items():
        if twin is None:
            randomise(module)
        try:
            loaded = from_module(module, network)
        except NetlatheError as error:
            raise Broken(f"{name}: {error}") from error
        assert loaded.error is not None
        evidence.append(f"{name} {check_tolerance(loaded.error)}")
    return ", ".join(evidence)


def documents_are_faithful(network: Network, twin: Any = None) -> str:
    """Law 4."""
    document = to_json(network)
    again = from_json(document)
    require(again == network, "from_json(to_json(network)) is another network")
    require(to_json(again) == document, "its JSON changes on the way")
    require(to_text(again) == to_text(network), "its text changes on the way")
    return f"{len(document):,} characters of JSON"


def figures_are_the_published_ones(network: Network, twin: Any = None) -> str:
    """Law 5."""
    rows = figures(network.name) if network.name in zoo.names() and zoo.get(network.name).body == network.body else ()
    if not rows:
        raise NotApplicable("nothing is published about it")
    for row in rows:
        counted = totals(network.body, network.at(row.resolution).input, *network.more)
        for name, printed, value, unit in (
            ("params", row.params_M, counted.params, 10**6),
            ("MACs", row.macs_G, counted.macs, 10**9),
        ):
            require(
                is_explained(row, name, printed, value, unit), f"{row.source} prints {printed}, {name} are {value:,}"
            )
    return f"{len(rows)} rows"


def knobs_turn_the_right_way(network: Network, twin: Any = None) -> str:
    """Law 6."""
    require(
        bool(refusal(lambda: rewrite(network.body, lambda path, part: None))),
        "a rewrite that matches nothing is silent",
    )
    if network.name in zoo.names():
        row = zoo.registry.table()[network.name]
        require(zoo.get(network.name, **row.free) == zoo.get(network.name), "its own choices give another network")
    if len(network.input) != 3:
        return "identity"
    side = network.input[-1]
    require(network.at(side) == network, "its own resolution gives another network")
    try:
        larger = totals(network.body, network.at(2 * side).input, *network.more).macs
    except NetlatheError as error:
        raise NotApplicable(f"no other resolution: {error.message}") from None
    smaller = totals(network.body, network.input, *network.more).macs
    require(larger > smaller, f"{larger:,} MACs at twice the resolution, {smaller:,} at {side}")
    return f"MACs x{larger / smaller:.2f} at twice the resolution"


def memory_keeps_its_bounds(network: Network, twin: Any = None) -> str:
    """Law 7."""
    graph = network.graph()
    peaks = memory(graph, 1, limit=2000)
    require(peaks.largest <= peaks.best <= peaks.folded <= peaks.eager <= peaks.total, f"out of order: {peaks}")
    require(peaks.best <= peaks.arena, f"the arena holds less than its tensors: {peaks}")
    require(peaks.max_in_out <= peaks.largest, f"in place needs more than out of place: {peaks}")
    return f"{peaks.largest:,} <= {peaks.eager:,} <= {peaks.total:,} elements"


def unknown_operators_raise(network: Network, twin: Any = None) -> str:
    """Law 8."""
    from netlathe.lower.onnx import to_onnx
    from netlathe.lower.torch import to_torch

    reads = tuple(f"in{i}" for i in range(1 + len(network.more)))
    vertices = (Vertex("network", network.body, reads), Vertex("strange", Unknown(), ("network",)))
    strange = Network(network.name, Dag(len(reads), vertices), network.input, network.more)
    path = strange.graph().ops[-1].path
    zeros = {name: np.broadcast_to(np.float32(0), shape) for name, shape in tensor_shapes(strange).items()}
    for reading, lower in (
        ("ONNX", lambda: to_onnx(strange, zeros)),
        ("torch", lambda: to_torch(strange, device="meta")),
    ):
        message = refusal(lower)
        require(bool(message), f"the {reading} reading takes an operator that it does not know")
        require(
            "Unknown" in message and path in message,
            f"the {reading} reading does not say which operator and where: {message}",
        )
    return f"at {path}"


@node
class Unknown(Leaf):
    """y = something that no reading knows."""

    kind = "unknown"


LAWS: dict[int, Law] = {
    1: Law("params and MACs of the graph are those of the torch module's own forward, exactly", torch_counts_the_same),
    2: Law("the torch module and the ONNX file give the same output", torch_computes_what_onnx_does),
    3: Law("weights of the twin in timm or torchvision load and give its output", a_twins_weights_give_its_output),
    4: Law("JSON and text come back unchanged", documents_are_faithful),
    5: Law(
        "counts are the published figures within their rounding, or the row says why", figures_are_the_published_ones
    ),
    6: Law("knobs at x1 change nothing, turned up they cost more, and no rewrite is silent", knobs_turn_the_right_way),
    7: Law("peak memory lies between the largest operator's and the sum of all", memory_keeps_its_bounds),
    8: Law("an unknown operator raises, with its name and path", unknown_operators_raise),
}


def check(network: Network, laws: Iterable[int] = LAWS, twin: Any = None) -> list[LawResult]:
    """Check laws by number; `twin` is a torch module that computes what the network does. Missing extras raise."""
    results = []
    for number in laws:
        try:
            outcome: tuple[Literal["holds", "broken", "says nothing"], str] = (
                "holds",
                LAWS[number].holds(network, twin),
            )
        except NotApplicable as reason:
            outcome = ("says nothing", str(reason))
        except MissingExtra:
            raise
        except (Broken, NetlatheError) as error:
            outcome = ("broken", str(error))
        except Exception as error:  # a reading that fails is one more way to break a law
            outcome = ("broken", f"{type(error).__name__}: {error}")
        results.append(LawResult(number, network.name, *outcome))
    return results


def conformance(network: Network, laws: Iterable[int] = LAWS, twin: Any = None) -> None:
    """Raise AssertionError with every law that is broken. In pytest: `def test_mine(): conformance(my_network())`."""
    broken = [result for result in check(network, laws, twin) if result.outcome == "broken"]
    if broken:
        raise Broken("\n".join(f"{result}\n  ({LAWS[result.law].statement})" for result in broken))


def refusal(act: Callable[[], Any]) -> str:
    """The error for the user that an act raises, empty where it raises none."""
    try:
        act()
    except NetlatheError as error:
        return str(error)
    return ""


def check_tolerance(error: float) -> str:
    """The error, if it is small enough."""
    require(error <= TOLERANCE, f"outputs differ by {error:.1e} (relative), more than {TOLERANCE:.0e}")
    return f"{error:.1e}"


def is_explained(row: Figure, name: str, printed: Decimal | None, counted: int, unit: int) -> bool:
    """Whether a count is within half a unit of the last printed digit, or the row has a note about it."""
    if printed is None or name in row.note:
        return True
    exponent = printed.as_tuple().exponent
    assert isinstance(exponent, int)
    return abs(printed - Decimal(counted) / unit) <= Decimal(5).scaleb(exponent - 1)


def smallest(network: Network) -> Network:
    """The network at the smallest image that it takes, from 64 pixels on; attention and positions tie it to its own."""
    if len(network.input) != 3 or any(op.kind in ("attention", "position") for op in network.graph().ops):
        return network
    for side in range(64, network.input[-1], 4):
        try:
            network.at(side).graph()
        except NetlatheError:
            continue
        return network.at(side)
    return network


def resolution(network: Network) -> int | None:
    """The side of its images."""
    return network.input[-1] if len(network.input) == 3 else None


def torch_inputs(network: Network) -> list[Any]:
    """What `read_module` wants: a shape, or a row of ids."""
    import torch

    return [
        x.shape if x.vocabulary is None else torch.zeros((1, *x.shape), dtype=torch.int64)
        for x in input_specs(network.graph())
    ]


def randomise(module: Any, seed: int = 0) -> None:
    """Give a torch module weights and statistics that keep activations of order one and show every mistake."""
    import torch

    from netlathe.lower.weight_trace import named_weights, owner

    for i, (name, tensor) in enumerate(named_weights(module).items()):
        shape, role = tuple(tensor.shape), owner(name)[1]
        values = drawing_rule(role or ("weight" if prod(shape) == max(shape) else "bias"), shape)
        with torch.no_grad():
            tensor.copy_(torch.from_numpy(values(np.random.default_rng([seed, i]), shape)))
