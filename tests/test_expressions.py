"""Expressions are values, derive what they can infer, and say where shapes do not fit."""

import pickle

import pytest

from netlathe import zoo
from netlathe.arch.build import concat, conv, depthwise, gate, relu, residual, seq, stage
from netlathe.arch.combinators import Choice, Dag, Identity, Residual, Seq, Side, Stage, Vertex
from netlathe.arch.graph import graph
from netlathe.arch.joins import Add, Cat, Flatten, Mul, Select
from netlathe.arch.layers import Act, Conv, Linear, Norm, Scale
from netlathe.arch.leaf import Times
from netlathe.arch.pools import AdaptivePool, GlobalPool, Pool
from netlathe.cost.totals import totals
from netlathe.errors import NetlatheError, ShapeError

IMAGE = (3, 32, 32)


def shapes(expression, *inputs):
    return {op.path: op.out_shape for op in graph(expression, *(inputs or (IMAGE,))).ops}


def test_equal_expressions_are_equal_values_with_equal_hashes():
    a = Seq(("a",), (Conv(8, 3),))
    b = Seq(("a",), (Conv(8, 3),))
    assert a is not b
    assert a == b
    assert hash(a) == hash(b)
    assert len({a, b, Seq(("a",), (Conv(8, 5),))}) == 2


def test_an_expression_cannot_be_changed():
    with pytest.raises(AttributeError):
        Conv(8, 3).width = 16


def test_a_pickled_expression_comes_back_equal_and_without_its_hash():
    network = zoo.get("resnet18").body
    hash(network)
    assert b"_hash" not in pickle.dumps(network)
    assert pickle.loads(pickle.dumps(network)) == network


def test_a_depthwise_convolution_takes_its_channels_and_groups_from_what_arrives():
    for channels in (3, 17):
        (op, *_) = graph(depthwise(5), (channels, 9, 9)).ops
        assert op.weights == {"weight": (channels, 1, 5, 5)}
        assert op.out_shape == (channels, 9, 9)
        assert op.form == "depthwise"


def test_a_relative_width_follows_what_arrives():
    assert shapes(seq(expand=Conv(Times(6), 1), squeeze=Conv(Times(1, 2), 1))) == {
        "expand": (18, 32, 32),
        "squeeze": (9, 32, 32),
    }


def test_a_residual_projects_only_where_the_shape_changes():
    same = residual(f=conv(3, 3), project=conv(3, 1, act=None))
    other = residual(f=conv(8, 3, 2), project=conv(8, 1, 2, act=None))
    assert "shortcut.conv" not in shapes(same)
    assert shapes(other)["shortcut.conv"] == (8, 16, 16)


def test_an_optional_residual_drops_the_skip_where_the_shape_changes():
    assert "add" in shapes(residual(f=Conv(3, 3), optional=True))
    assert "add" not in shapes(residual(f=Conv(4, 3), optional=True))


def test_a_residual_without_projection_names_both_shapes_and_the_path():
    network = seq(stem=conv(8, 3), body=seq(block=residual(f=Conv(16, 3, 2))))
    with pytest.raises(ShapeError, match=r"cannot add \(16, 16, 16\) and \(8, 32, 32\)") as caught:
        graph(network, IMAGE)
    assert caught.value.path == "body.block.add"
    with pytest.raises(ShapeError) as memoised:
        totals(network, IMAGE)
    assert memoised.value.path == "body.block.add"


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        (Conv(8, 3, groups=2), "3 input channels cannot be split into 2 groups"),
        (Conv(4, 3, groups=3), "4 output channels cannot be split into 3 groups"),
        (Conv(4, 3, group_width=2), "3 input channels"),
        (Conv(8, 40, padding=0), "kernel 40x40 and padding 0x0 does not fit into 32x32"),
        (Linear(10), "flatten it first"),
        (seq(Flatten(), Conv(8)), "conv needs .channels, height, width., but .3072,. arrives"),
        (concat(Identity(), Conv(8, 3, 2)), "cannot concatenate"),
        (gate(Conv(4, 1)), "cannot multiply"),
        (Select((0, 5)), "channel 5 does not exist"),
        (Choice(("a", "b"), (Conv(8), Conv(9))), "the choice of a, b is still open"),
    ],
)
def test_shapes_that_do_not_fit_are_named(expression, said):
    with pytest.raises(ShapeError, match=said):
        graph(expression, IMAGE)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Conv(0, 3),
        lambda: Conv(8, 3, 0),
        lambda: Conv(8, (3, -1)),
        lambda: Conv(8, 3, groups=0),
        lambda: Linear(-1),
        lambda: Norm("bach"),
        lambda: Act("rleu"),
        lambda: Pool("median", 3),
        lambda: Pool("max", 3, padding=2),
        lambda: AdaptivePool(0),
        lambda: Stage(relu, 0),
        lambda: Select(()),
        lambda: Seq(("a", "a"), (relu, relu)),
        lambda: Seq(("a",), (relu, relu)),
        lambda: Seq(("a.b",), (relu,)),
        lambda: Seq((), ()),
        lambda: Dag(1, (Vertex("a", relu, ("in1",)),)),
    ],
)
def test_values_without_meaning_are_refused_when_the_node_is_made(make):
    with pytest.raises(ValueError, match=r".+"):
        make()


def test_windows_that_start_in_the_right_padding_are_dropped_as_torch_does():
    torch = pytest.importorskip("torch")
    for size in range(2, 12):
        for kernel, stride, padding in [(2, 2, 0), (3, 2, 0), (3, 2, 1), (2, 3, 1), (3, 3, 1)]:
            if size + 2 * padding < kernel:
                continue
            pool = Pool("max", kernel, stride, padding=padding, ceil=True)
            image = torch.zeros(1, 3, size, size)
            oracle = torch.nn.functional.max_pool2d(image, kernel, stride, padding, ceil_mode=True)
            assert pool.out((3, size, size)) == tuple(oracle.shape[1:])


def test_a_dag_wires_freely():
    cell = Dag(
        2,
        (
            Vertex("left", conv(8, 3), ("in0",)),
            Vertex("right", conv(8, 3), ("in1",)),
            Vertex("sum", Add(), ("left", "right")),
            Vertex("all", Cat(), ("sum", "left")),
        ),
    )
    read = graph(cell, IMAGE, IMAGE)
    assert read.shapes[read.outputs[0]] == (16, 32, 32)
    assert [op.path for op in read.ops if op.kind == "conv"] == ["left.conv", "right.conv"]


def test_a_side_head_exists_only_in_the_training_graph():
    network = seq(stem=Conv(8, 3), aux=Side(seq(pool=GlobalPool(), flatten=Flatten(), classifier=Linear(10))), act=relu)
    assert [op.path for op in graph(network, IMAGE).ops] == ["stem", "act"]
    training = graph(network, IMAGE, training=True)
    assert [training.shapes[i] for i in training.outputs] == [(8, 32, 32), (10,)]
    assert "aux.classifier" in [op.path for op in training.ops]
    assert totals(network, IMAGE).params == 3 * 8 * 9


def test_a_gate_multiplies_by_one_factor_a_channel():
    squeeze_excite = gate(pool=GlobalPool(), reduce=Conv(2, bias=True), expand=Conv(3, bias=True), act=Act("sigmoid"))
    assert shapes(squeeze_excite)["mul"] == IMAGE


def test_a_stage_names_its_blocks_and_may_start_with_another():
    paths = shapes(stage(Conv(8, 3), 3, first=Conv(8, 3, 2)))
    assert paths == {"block1": (8, 16, 16), "block2": (8, 16, 16), "block3": (8, 16, 16)}


def test_a_chain_of_arrows_is_one_sequence():
    assert (Conv(8) >> Norm() >> relu) == seq(Conv(8), Norm(), relu)
    assert (residual(Conv(3)) >> relu >> relu).names == ("", "act", "act2")


def test_a_chain_of_alike_blocks_keeps_their_paths_apart():
    assert list(shapes(conv(4, norm=None) >> conv(5, norm=None))) == ["conv", "act", "seq.conv", "seq.act"]


def test_two_operators_never_share_a_path():
    clash = seq(Residual(Seq(("act",), (relu,))), act=relu)
    with pytest.raises(ShapeError, match="two operators have this path"):
        graph(clash, IMAGE)


def test_scale_counts_one_factor_a_channel():
    assert graph(Scale(bias=True), IMAGE).ops[0].params == 6
    assert graph(Scale(), (7, 5)).ops[0].params == 5


def test_multiply_needs_two_values():
    with pytest.raises(NetlatheError, match="reads 2 values, but 1 arrive"):
        graph(Mul(), IMAGE)


def test_an_axis_that_no_runtime_can_index_is_refused_at_its_path():
    from netlathe import zoo
    from netlathe.errors import ShapeError

    with pytest.raises(ShapeError, match="longer than 2,147,483,647") as caught:
        zoo.get("resnext50_32x4d", groups=10**6, group_width=10**6).graph()
    assert caught.value.path.startswith("stage1")
