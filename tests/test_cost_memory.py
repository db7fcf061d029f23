"""Peak memory: anchors, laws, and the best order against brute force."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netlathe import zoo
from netlathe.arch.build import concat, conv, relu, seq
from netlathe.arch.combinators import Dag, Vertex
from netlathe.arch.graph import Graph, graph
from netlathe.arch.joins import Add, Cat, Flatten
from netlathe.arch.layers import Act, Conv, Norm
from netlathe.arch.node import Node
from netlathe.arch.pools import GlobalPool, Pool
from netlathe.cost.arena import arena
from netlathe.cost.count import count
from netlathe.cost.memory import VARIANTS, memory, timeline
from netlathe.cost.order import best_order
from netlathe.cost.plan import MemoryPlan, last_reads, plan, run_order
from netlathe.errors import NetlatheError

MIB = 2**20


def peak(plan: MemoryPlan, order: tuple[int, ...]) -> int:
    return max(moment.live for moment in run_order(plan, order))


def test_mobilenetv2_needs_what_mcunetv2_prints() -> None:
    found = memory(zoo.get("mobilenetv2").graph(), bytes_per_element=1)
    assert found.max_in_out == 1372 * 1024 == (16 + 96) * 112 * 112
    assert found.at["max_in_out"] == "stage2.block1.expand.conv"
    assert found.largest == 1470 * 1024 == 96 * (112 * 112 + 56 * 56)  # the depthwise after it, not in place


@pytest.mark.parametrize(
    ("name", "kept", "measured"),
    [
        # what Python's variables keep besides: the image, and ...
        ("resnet50", 64 * 56 * 56, 10.53),  # the block's input
        ("mobilenetv2", (16 + 32) * 112 * 112, 12.06),  # the block's input and, in timm, the stem's output
    ],
)
def test_eager_memory_and_what_python_keeps_are_what_pytorch_allocates(name: str, kept: int, measured: float) -> None:
    eager = memory(zoo.get(name).graph()).eager
    assert round((eager + 4 * (3 * 224 * 224 + kept)) / MIB, 2) == measured


# Wired so freely that the search for the best order meets its limit.
TANGLED = {"unet_diffusion", "ddpm_cifar10", "darts_v1_cifar10", "darts_v2_cifar10"}


@pytest.mark.parametrize("name", zoo.names())
def test_memory_lies_between_the_largest_step_and_the_sum(name: str) -> None:
    found = memory(zoo.get(name).graph())
    assert found.max_in_out <= found.largest <= found.best <= found.folded <= found.eager <= found.total
    assert found.folded <= found.arena <= found.total
    assert found.best_exact == (name not in TANGLED)


def test_memory_grows_with_batch_and_precision_alone() -> None:
    net = zoo.get("resnet18").graph()
    one, many = memory(net, 1), memory(net, 2, batch=8)
    assert [getattr(many, name) for name in VARIANTS] == [16 * getattr(one, name) for name in VARIANTS]
    assert one.at == many.at


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_timeline_peaks_where_memory_says(variant: str) -> None:
    net = zoo.get("densenet121").graph()
    line, found = timeline(net, variant), memory(net)
    assert max(size for _, size in line) == getattr(found, variant)
    assert found.at[variant] == next(path for path, size in line if size == getattr(found, variant))


def test_an_unknown_variant_is_named_with_the_legal_ones() -> None:
    with pytest.raises(NetlatheError, match="folded"):
        timeline(zoo.get("lenet5").graph(), "fold")


def test_a_small_chain_by_hand() -> None:
    net = graph(seq(pre=Conv(8), body=seq(first=conv(8, 3), second=conv(8, 3, act=None))), (8, 4, 4))
    size = 8 * 4 * 4
    assert (memory(net, 1).eager, memory(net, 1).total) == (2 * size, (1 + 1 + 3 + 2) * size)


def test_norm_and_activation_fold_and_a_view_is_free() -> None:
    net = graph(seq(body=conv(4, 3), pool=GlobalPool(), flat=Flatten(), act=relu), (4, 6, 6))
    assert [step.path for step in plan(net).steps] == ["body.conv", "pool"]
    assert [step.path for step in plan(net, folded=False).steps] == [
        "body.conv",
        "body.norm",
        "body.act",
        "pool",
        "act",
    ]


def test_nothing_writes_over_the_image_or_over_a_value_that_is_read_again() -> None:
    dag = Dag(1, (Vertex("a", Act("relu"), ("in0",)), Vertex("b", Act("silu"), ("a",)), Vertex("y", Add(), ("a", "b"))))
    moments = list(run_order(plan(graph(dag, (2, 2, 2))), (0, 1, 2)))
    assert [moment.replaced for moment in moments][:2] == [None, None]
    assert [moment.live for moment in moments] == [16, 16, 16]  # add takes over one of the two it reads last


def test_the_branch_with_the_small_result_runs_first() -> None:
    heavy = seq(swell=Conv(64), shrink=Conv(1))
    net = graph(seq(pre=Conv(2), branches=concat(wide=Conv(32), heavy=heavy)), (2, 4, 4))
    found = memory(net, 1)
    assert found.folded == 16 * (32 + 64 + 2)  # both wide maps, and what the branches read
    assert found.best == 16 * (64 + 2 + 1)
    assert found.best_exact
    assert [path for path, _ in timeline(net, "best")] != [path for path, _ in timeline(net, "folded")]


def test_equal_branches_need_no_exponential_search() -> None:
    branches = {f"b{i}": seq(swell=Conv(400), shrink=Conv(1)) for i in range(32)}
    assert memory(graph(seq(pre=Conv(4), branches=concat(**branches)), (4, 4, 4))).best_exact


def test_a_search_that_meets_its_limit_says_so_and_keeps_the_given_order() -> None:
    branches = concat(wide=Conv(32), heavy=seq(swell=Conv(64), shrink=Conv(1)))
    steps = plan(graph(seq(pre=Conv(2), branches=branches), (2, 4, 4)))
    found = best_order(steps, limit=1)
    assert found.order == tuple(range(len(steps.steps)))
    assert not found.exact


# Random networks: vertices read one or two values made before, so branches, skips and dead ends occur.


@st.composite
def wirings(draw: st.DrawFn, most: int = 6) -> Graph:
    vertices: list[Vertex] = []
    names = ["in0"]
    for i in range(draw(st.integers(2, most))):
        reads = tuple(draw(st.lists(st.sampled_from(names[-4:]), min_size=1, max_size=3, unique=True)))
        width = draw(st.sampled_from([1, 2, 3, 8, 20]))
        body: Node = Cat() if len(reads) > 1 else draw(st.sampled_from([Conv(width), Act("relu"), Norm(), Conv(width)]))
        vertices.append(Vertex(f"v{i}", body, reads))
        names.append(f"v{i}")
    unread = [name for name in names[1:-1] if not any(name in vertex.reads for vertex in vertices)]
    if draw(st.booleans()) and unread:
        vertices.append(Vertex("all", Cat(), (names[-1], *unread)))
    return graph(Dag(1, tuple(vertices)), (2, 2, 2))


@given(wirings())
@settings(max_examples=150)
def test_the_best_order_is_that_of_brute_force(net: Graph) -> None:
    steps = plan(net)
    count = len(steps.steps)
    made = {step.writes: i for i, step in enumerate(steps.steps)}
    needs = [{made[buffer] for buffer in step.reads if buffer in made} for step in steps.steps]
    legal = [
        order for order in permutations(range(count)) if all(needs[i] <= set(order[:n]) for n, i in enumerate(order))
    ]
    found = best_order(steps)
    assert found.exact
    assert found.order in legal
    assert peak(steps, found.order) == min(peak(steps, order) for order in legal)


@given(wirings(most=14))
@settings(max_examples=150)
def test_laws_of_memory_on_random_wirings(net: Graph) -> None:
    found = memory(net, 1)
    assert found.largest <= found.folded <= found.eager <= found.total
    assert found.best <= found.folded <= found.arena <= found.total
    assert count(net).bytes(fused=True) <= count(net).bytes()


@given(wirings(most=14))
@settings(max_examples=100)
def test_eager_liveness_is_what_a_set_of_values_says(net: Graph) -> None:
    sizes = [shape[0] * shape[1] * shape[2] for shape in net.shapes]
    kept, expected = {0} if any(0 in op.inputs for op in net.ops) else set(), []
    for i, op in enumerate(net.ops):
        kept.add(op.output)
        expected.append(sum(sizes[value] for value in kept))
        later = {value for after in net.ops[i + 1 :] for value in after.inputs} | set(net.outputs)
        kept &= later
    assert [size for _, size in timeline(net, "eager", 1)] == expected


@given(wirings(most=14))
@settings(max_examples=100)
def test_places_that_live_together_do_not_overlap(net: Graph) -> None:
    places = arena(plan(net))
    for i, a in enumerate(places):
        for b in places[:i]:
            if a.first <= b.last and b.first <= a.last:
                assert a.offset + a.size <= b.offset or b.offset + b.size <= a.offset


@given(
    st.lists(
        st.tuples(st.sampled_from([2, 4, 8]), st.sampled_from([1, 3, 5]), st.integers(1, 2)), min_size=1, max_size=8
    )
)
def test_laws_of_memory_on_random_chains(layers: list[tuple[int, int, int]]) -> None:
    net = graph(seq(**{f"c{i}": conv(*layer) for i, layer in enumerate(layers)}), (3, 32, 32))
    found = memory(net)
    assert found.best == found.folded == found.largest <= found.arena
    assert found.eager >= max(4 * (op.in_elements + op.out_elements) for op in net.ops)


def test_a_pool_is_not_in_place() -> None:
    net = graph(seq(pre=Conv(4), pool=Pool("max", 3, 1, padding=1)), (4, 4, 4))
    assert memory(net, 1).folded == 2 * 64


def test_outputs_stay_to_the_end() -> None:
    steps = plan(zoo.get("googlenet").graph(training=True))
    assert len(steps.outputs) == 3
    assert all(last_reads(steps, range(len(steps.steps)))[buffer] == len(steps.steps) for buffer in steps.outputs)
