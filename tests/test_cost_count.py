"""Counts of operators, blocks and networks, against the reference figures (the memoised fold: test_zoo.py)."""

from __future__ import annotations

import pytest

from netlathe import zoo
from netlathe.arch.build import depthwise, seq
from netlathe.arch.combinators import Dag, Vertex
from netlathe.arch.graph import graph
from netlathe.arch.joins import Add
from netlathe.arch.layers import Conv
from netlathe.arch.node import Node
from netlathe.cost.count import BYTES, count, op_cost, sum_costs
from netlathe.cost.table import GROUPINGS, cost_rows, profile
from netlathe.errors import NetlatheError


def test_resnet50_activations_in_both_conventions() -> None:
    cost = count(zoo.get("resnet50").graph())
    assert (cost.acts, cost.acts_pycls) == (11_114_984, 11_315_688)


def test_flops_are_two_a_mac_and_weights_leave_out_bias_and_norm() -> None:
    cost = count(zoo.get("resnet50").graph())
    assert cost.flops == 2 * 4_089_184_256
    assert cost.weight_bytes(BYTES["fp16"]) == 2 * 25_557_032
    assert cost.params - cost.weights == cost.buffers + 1000  # a weight and a bias for two statistics, and fc's bias


@pytest.mark.parametrize(
    ("name", "eager", "fused"),
    [
        ("resnet50", 19.2, 43.2),
        ("mobilenetv2", 3.5, 8.9),
        ("efficientnet_b0", 3.7, 10.2),
        ("densenet121", 12.3, 47.6),
    ],
)
def test_whole_net_intensity_is_the_reference(name: str, eager: float, fused: float) -> None:
    cost = count(zoo.get(name).graph())
    assert (round(cost.intensity(), 1), round(cost.intensity(fused=True), 1)) == (eager, fused)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("vgg16", 651), ("mobilenetv1_conv", 743), ("resnet50", 186), ("resnet152", 255), ("densenet121", 129),
     ("mobilenetv1", 56), ("efficientnet_b0", 28), ("mobilenetv2", 22)],
)  # fmt: skip
def test_whole_net_intensity_at_half_precision_and_batch_128(name: str, expected: int) -> None:
    assert round(count(zoo.get(name).graph()).intensity(BYTES["fp16"], 128, fused=True)) == expected


# Computed by hand: FLOPs per byte in fp16 of a layer on n x n maps, c channels in and d out, with its printed digits.
LAYERS = [
    (112, 32, 64, "189", "192", "4.50", "24.5", "21.3", "21.3"),
    (56, 128, 128, "487", "575", "4.49", "24.3", "62.7", "64.0"),
    (28, 256, 256, "467", "1139", "4.47", "23.8", "110", "128"),
    (14, 512, 512, "181", "2110", "4.40", "21.8", "111", "253"),
    (7, 1024, 1024, "48.5", "2656", "4.12", "16.3", "44.7", "473"),
]


@pytest.mark.parametrize("row", LAYERS)
def test_layer_intensity_table(row: tuple[int, int, int, str, str, str, str, str, str]) -> None:
    n, c, d, *printed = row

    def intensity(layer: Node, batch: int = 1) -> float:
        return count(graph(layer, (c, n, n))).intensity(BYTES["fp16"], batch)

    standard, pointwise = Conv(d, 3), Conv(d, 1)
    found = [
        intensity(standard),
        intensity(standard, 128),
        intensity(Conv(None, 3, group_width=1)),
        intensity(Conv(None, 7, group_width=1)),
        intensity(pointwise),
        intensity(pointwise, 128),
    ]
    assert [f"{x:.{len(p.partition('.')[2])}f}" for x, p in zip(found, printed, strict=True)] == printed


def test_a_value_that_is_read_twice_moves_once() -> None:
    double = Dag(1, (Vertex("sum", Add(), ("in0", "in0")),))
    assert count(graph(double, (4, 8, 8))).moved == 2 * 4 * 8 * 8


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "efficientnet_b0", "googlenet", "lenet5"])
def test_fused_traffic_is_no_more_than_eager(name: str) -> None:
    cost = count(zoo.get(name).graph())
    assert cost.bytes(4, 8, fused=True) < cost.bytes(4, 8)
    assert cost.bytes(1, 8) * 4 == cost.bytes(4, 8)


@pytest.mark.parametrize("by", GROUPINGS)
def test_rows_add_up_to_the_network(by: str) -> None:
    graph = zoo.get("efficientnet_b0").graph()
    table = cost_rows(graph, by, batch=4)
    assert sum_costs(row.cost for row in table) == count(graph)
    assert sum(row.share for row in table) == pytest.approx(1)
    assert sum(row.bytes for row in table) == count(graph).bytes(4, 4)
    assert sum(row.ops for row in table) == len(graph.ops)


def test_rows_group_by_path() -> None:
    graph = zoo.get("resnet50").graph()
    assert [row.path for row in cost_rows(graph, "stage")] == ["stem", "stage1", "stage2", "stage3", "stage4", "head"]
    assert [row.path for row in cost_rows(graph, "block")][:4] == [
        "stem",
        "stage1.block1",
        "stage1.block2",
        "stage1.block3",
    ]
    assert len(cost_rows(graph, "block")) == 2 + 3 + 4 + 6 + 3
    assert [row.out_shape for row in cost_rows(graph, "stage")][1:5] == [
        (256 * 2**i, 56 // 2**i, 56 // 2**i) for i in range(4)
    ]
    assert len(cost_rows(graph, "net")) == 1
    with pytest.raises(NetlatheError, match="stgae"):
        cost_rows(graph, "stgae")


def test_rows_of_operators_say_what_they_are() -> None:
    row = cost_rows(graph(seq(thin=depthwise(3)), (8, 6, 6)), "op")[0]
    assert (row.path, row.kind, row.cost.macs, row.out_shape) == ("thin.conv", "depthwise conv", 8 * 9 * 36, (8, 6, 6))


def test_the_width_profile_of_a_bottleneck_is_an_hourglass_and_of_its_inverse_a_barrel() -> None:
    def widths(name: str, block: str) -> list[int]:
        return [channels for path, channels, _ in profile(zoo.get(name).graph()) if path.startswith(block)]

    assert widths("resnet50", "stage1.block2") == [64, 64, 256]
    assert widths("mobilenetv2", "stage2.block2") == [144, 144, 24]


def test_costs_of_operators_are_zero_where_nothing_is_computed_or_moved() -> None:
    flatten = next(op for op in zoo.get("vgg11").graph().ops if op.kind == "flatten")
    assert op_cost(flatten) == sum_costs([])
    assert sum_costs([]).intensity() == 0
