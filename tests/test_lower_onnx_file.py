"""An ONNX file has names, weights and batches as the network says, and is complete or absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx_runs import MAP, image, relative_error, session
from torch.nn import functional as F

from netlathe.arch.build import conv, head, seq
from netlathe.arch.combinators import Concat, Gate, Identity, Residual, Side
from netlathe.arch.layers import Act, Conv, Linear, Norm
from netlathe.arch.leaf import Leaf
from netlathe.arch.network import Network
from netlathe.arch.node import Node, node
from netlathe.arch.pools import GlobalPool, LocalNorm
from netlathe.errors import NetlatheError
from netlathe.lower.onnx import save_onnx, to_onnx
from netlathe.lower.weights import checked_weights, random_weights, tensor_shapes


def test_an_operator_without_a_rule_is_refused_by_name_and_path() -> None:
    @node
    class Novelty(Leaf):
        kind = "novelty"

    with pytest.raises(NetlatheError, match=r"stem\.new: .*Novelty"):
        to_onnx(Network("new", seq(stem=seq(new=Novelty(), act=Act())), MAP))


def small(body: Node | None = None) -> Network:
    return Network("small", body or seq(stem=conv(8, 3, 2), head=head(10)), (3, 16, 16))


def test_nodes_and_tensors_are_named_by_path() -> None:
    model = to_onnx(small())
    assert [n.name for n in model.graph.node] == [op.path for op in small().graph().ops]
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    assert shapes == tensor_shapes(small())
    assert shapes["stem.norm.running_var"] == (8,)


def test_a_helper_node_is_named_after_its_operator() -> None:
    names = [n.name for n in to_onnx(small(seq(act=Act("silu")))).graph.node]
    assert names == ["act:1", "act"]


def test_a_free_batch_runs_at_any_size_and_a_fixed_one_only_at_its_own() -> None:
    free, fixed = session(to_onnx(small(), batch=None)), session(to_onnx(small(), batch=2))
    assert [free.run(None, {"input": image((3, 16, 16), n)})[0].shape for n in (1, 3)] == [(1, 10), (3, 10)]
    assert fixed.get_inputs()[0].shape == [2, 3, 16, 16]
    assert free.get_inputs()[0].shape == ["N", 3, 16, 16]


def test_the_file_says_what_it_is() -> None:
    model = to_onnx(small())
    said = {p.key: p.value for p in model.metadata_props}
    assert said["netlathe.name"] == "small"
    assert said["netlathe.input"] == "3x16x16"
    assert (model.producer_name, model.opset_import[0].version, model.ir_version) == ("netlathe", 21, 10)


def test_a_network_of_a_lone_leaf_or_of_nothing_runs() -> None:
    x = image(MAP, 1)
    for body, wanted in ((Act(), np.maximum(x, 0)), (Identity(), x), (Side(head(3)), x)):
        model = to_onnx(Network("tiny", body, MAP))
        onnx.checker.check_model(model, full_check=True)
        np.testing.assert_array_equal(session(model).run(None, {"input": x})[0], wanted)


def test_combinators_are_wired_as_they_say() -> None:
    body = seq(
        up=Conv(6, 1),
        skip=Residual(Act("tanh")),
        gate=Gate(seq(pool=GlobalPool(), act=Act("sigmoid"))),
        both=Concat(("a", "b"), (Act("relu"), Identity())),
    )
    network = Network("wired", body, MAP)
    weights, x = random_weights(network), image(MAP)
    y = F.conv2d(torch.from_numpy(x), torch.from_numpy(weights["up.weight"]))
    y = y + torch.tanh(y)
    y = y * torch.sigmoid(y.mean((2, 3), keepdim=True))
    wanted = torch.cat([F.relu(y), y], 1)
    assert relative_error(session(to_onnx(network, weights, batch=2)).run(None, {"input": x})[0], wanted) < 1e-5


# Weights


def test_weights_follow_from_seed_and_path_alone() -> None:
    shallow = random_weights(small(seq(stem=conv(8, 3, 2), head=head(10))))
    deep = random_weights(small(seq(stem=conv(8, 3, 2), more=conv(8, 3), head=head(10))))
    other = random_weights(small(), seed=1)
    for name, array in shallow.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, deep[name])
        assert not np.array_equal(array, other[name])


def test_activations_stay_of_order_one_through_two_hundred_layers() -> None:
    plain = {f"layer{i}": conv(16, 3) for i in range(200)}
    skips = {f"layer{i}": Residual(seq(a=conv(16, 3), b=conv(16, 3, act=None))) >> Act() for i in range(50)}
    for parts in (plain, skips):
        network = Network("deep", seq(**parts), (16, 8, 8))
        y = session(to_onnx(network)).run(None, {"input": image((16, 8, 8), 1)})[0]
        assert np.isfinite(y).all()
        assert 1e-2 < y.std() < 1e4
        assert np.abs(y[y != 0]).min() > 1e-30  # float32 turns denormal, and slow, below 1.2e-38


def test_norm_statistics_are_far_from_trivial() -> None:
    weights = random_weights(Network("norm", seq(norm=Norm()), (1000, 1, 1)))
    assert weights["norm.running_var"].min() > 0
    for name, trivial in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1)):
        assert np.abs(weights[f"norm.{name}"] - trivial).mean() > 0.1


def test_given_weights_are_used() -> None:
    network = Network("linear", seq(layer=Linear(2)), (2,))
    model = to_onnx(network, {"layer.weight": [[1, 2], [3, 4]], "layer.bias": np.array([10.0, 20.0])})
    x = np.array([[1, 1]], np.float32)
    np.testing.assert_array_equal(session(model).run(None, {"input": x})[0], [[13, 27]])


def test_weights_that_do_not_fit_are_all_reported_at_once() -> None:
    given = dict(random_weights(small()))
    given["head.classifier.weights"] = given.pop("head.classifier.weight")
    given["stem.conv.weight"] = given["stem.conv.weight"][:4]
    with pytest.raises(NetlatheError) as caught:
        checked_weights(small(), given)
    said = str(caught.value)
    assert "missing: head.classifier.weight (10, 8)" in said
    assert "unexpected: head.classifier.weights (did you mean head.classifier.weight?)" in said
    assert "stem.conv.weight is (4, 3, 3, 3), the network needs (8, 3, 3, 3)" in said


# Files and limits


def test_a_file_is_complete_or_absent(tmp_path: Path) -> None:
    save_onnx(small(), tmp_path / "a.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]
    assert onnx.load(tmp_path / "a.onnx") == to_onnx(small())
    (tmp_path / "folder.onnx").mkdir()
    for where in (tmp_path / "folder.onnx", tmp_path / "none" / "a.onnx", tmp_path / "a.onnx" / "b.onnx"):
        with pytest.raises(NetlatheError, match="cannot write"):
            save_onnx(small(), where)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.onnx", "folder.onnx"]


def test_what_one_file_cannot_hold_is_refused_before_any_work() -> None:
    with pytest.raises(NetlatheError, match=r"2\.40 GB"):
        to_onnx(Network("huge", seq(layer=Linear(30_000, bias=False)), (20_000,)))


def test_an_even_local_norm_is_refused_with_the_fix() -> None:
    with pytest.raises(NetlatheError, match="use 3 or 5") as caught:
        to_onnx(Network("even", seq(norm=LocalNorm(4)), MAP))
    assert caught.value.path == "norm"


@pytest.mark.parametrize("batch", [0, -1])
def test_a_batch_below_one_is_refused(batch: int) -> None:
    with pytest.raises(NetlatheError, match="at least 1"):
        to_onnx(small(), batch=batch)
