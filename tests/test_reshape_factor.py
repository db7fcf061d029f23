"""Factoring: counted and symbolic costs agree, MobileNetV1 comes out of its dense twin, kernels stay near."""

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netlathe import zoo
from netlathe.arch.build import conv, head, relu, residual, seq, stage
from netlathe.arch.graph import graph
from netlathe.arch.layers import Conv, Linear
from netlathe.arch.network import Network
from netlathe.arch.rewrite import at
from netlathe.cost.count import count
from netlathe.cost.totals import totals
from netlathe.errors import NetlatheError
from netlathe.lower.folding import fold_network, merge_network
from netlathe.lower.onnx import to_onnx
from netlathe.lower.refit import decompose
from netlathe.lower.weights import random_weights
from netlathe.reshape.factor import cost_factor, factor, where
from netlathe.reshape.fold import fold, merge, repvgg_block

SMALL = Network(
    "small",
    seq(
        stem=conv(16, 3, 2),
        stage1=stage(residual(first=conv(16, 3), second=conv(16, 3, act=None)) >> relu, 2),
        wide=conv(24, 5, 2),
        head=head(10),
    ),
    (3, 32, 32),
)


def run(network, weights):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    model = to_onnx(network, weights).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).standard_normal((1, *network.input), np.float32)
    return session.run(None, {"input": image})[0]


def same(a, b):
    return float(np.abs(a - b).max() / np.abs(a).max())


def test_factoring_the_dense_twin_gives_mobilenetv1_to_the_last_parameter():
    made = factor(zoo.get("mobilenetv1_conv"), "separable").network
    paper = zoo.get("mobilenetv1")
    assert totals(made.body, made.input) == totals(paper.body, paper.input)
    assert totals(made.body, made.input).macs == 568_740_352


def forms():
    return {
        "separable": ({}, {}),
        "grouped": ({"groups": 4}, {"g": 4}),
        "bottleneck": ({"width": 6}, {"m": 6}),
        "squeeze": ({"width": 6}, {"m": 6}),
        "low_rank": ({"width": 6}, {"m": 6}),
        "spatial": ({"width": 6}, {"m": 6}),
    }


@settings(max_examples=15)
@given(
    st.sampled_from(sorted(forms())),
    st.sampled_from((3, 5, 7)),
    st.integers(1, 8),
    st.integers(1, 8),
    st.sampled_from(("macs", "weights")),
)
def test_the_symbolic_factor_is_the_counted_one(form, k, i, o, what):
    words, values = forms()[form]
    arrive, leave = 4 * i, 4 * o
    network = Network("one", seq(first=Conv(arrive, 1), second=Conv(leave, k)), (3, 16, 16))
    made = factor(network, form, where(path="second"), **words).network

    def cost(net):
        ops = [op for op in net.graph().ops if op.path.startswith("second")]
        return getattr(count(net.graph()._replace(ops=tuple(ops))), what)

    free = {"i": i if form == "grouped" else arrive, "o": leave, "k": k} | values
    symbolic = cost_factor(form, what)
    exact = symbolic.subs({symbol: free[symbol.name] for symbol in symbolic.free_symbols})
    assert exact == pytest.approx(cost(made) / cost(network), rel=1e-12)


def test_the_factors_are_those_of_the_papers():
    assert str(cost_factor("separable")) == "1/o + k**(-2)"
    assert str(cost_factor("grouped")) == "1/g"
    i, o = cost_factor("split 5").free_symbols
    assert cost_factor("split 5").subs({i: 64, o: 64}) * 25 == 18
    separable = cost_factor("separable")
    told = {s: {"o": 256, "k": 3}[s.name] for s in separable.free_symbols}
    assert 1 / separable.subs(told) == pytest.approx(2304 / 265)


def test_a_predicate_picks_by_path_kernel_and_form():
    made = factor(SMALL, "spatial", where(kernel=5))
    assert list(made.parts) == ["wide.conv"]
    assert {op.path for op in made.network.graph().ops if op.path.startswith("wide.conv")} == {
        *("wide.conv.column.conv", "wide.conv.column.norm", "wide.conv.column.act", "wide.conv.row")
    }
    assert list(factor(SMALL, "split", where(path="wide")).parts) == ["wide.conv"]
    only = factor(zoo.get("resnet50"), "separable", where(path="stage3*", kernel=3, stride=1))
    assert {path.split(".")[0] for path in only.parts} == {"stage3"}
    assert len(only.parts) == 5


def test_factored_stages_stay_stages():
    made = factor(zoo.get("resnet152"), "separable").network
    assert at(made.body, "stage3").depth == 36


def test_shapes_survive_every_form():
    before = SMALL.graph()
    for form, (words, _) in forms().items():
        after = factor(SMALL, form, **words).network.graph()
        assert after.shapes[after.outputs[0]] == before.shapes[before.outputs[0]]
        kept = {op.path: op.out_shape for op in before.ops}
        assert all(kept[op.path] == op.out_shape for op in after.ops if op.path in kept)


def test_what_a_form_cannot_do_is_said():
    with pytest.raises(NetlatheError, match="unknown form 'separible'"):
        factor(SMALL, "separible")
    with pytest.raises(NetlatheError, match="factor separable matched nothing") as error:
        factor(zoo.get("vit_tiny_patch16"), "separable")
    assert "linear" in error.value.hint
    with pytest.raises(NetlatheError, match="groups=5 does not divide 16 and 16"):
        factor(SMALL, "grouped", groups=5)
    with pytest.raises(NetlatheError, match="a 1x1 does only one job"):
        factor(zoo.get("resnet50"), "separable", where(kernel=1))
    with pytest.raises(NetlatheError, match="already apart"):
        factor(zoo.get("mobilenetv2"), "bottleneck", where(form="depthwise"))
    with pytest.raises(NetlatheError, match="only an odd square of at least 5"):
        factor(SMALL, "split", where(kernel=3))
    with pytest.raises(NetlatheError, match="cannot hold the weights"):
        decompose(SMALL, random_weights(SMALL), "bottleneck")


def test_kernels_of_the_form_are_kept_exactly():
    """A kernel that is separable already, or a rank as large as the matrix, loses nothing."""
    weights = random_weights(SMALL)
    rng = np.random.default_rng(1)
    for name, kernel in weights.items():
        if name.endswith("conv.weight") and kernel.shape[1] > 3:
            o, i, k, _ = kernel.shape
            weights[name] = (rng.standard_normal((o, i, 1, 1)) * rng.standard_normal((1, i, k, k))).astype(
                np.float32
            ) / 9
    before = run(SMALL, weights)
    for form, rank in (
        ("separable", None),
        ("separable", 2),
        ("separable", 30),
        ("low_rank", lambda op: op.out_shape[0]),
        ("spatial", lambda op: 5 * 24),
    ):
        done = decompose(SMALL, weights, form, width=rank)
        assert max(error.relative for error in done.errors) < 1e-5
        assert same(before, run(done.network, done.weights)) < 1e-5


def test_the_reported_error_is_that_of_the_best_approximation():
    kernel = random_weights(SMALL)["wide.conv.weight"]
    done = decompose(SMALL, random_weights(SMALL), "separable", where(path="wide"))
    by_channel = [np.linalg.svd(kernel[:, i].reshape(24, -1), compute_uv=False) for i in range(16)]
    lost = np.sqrt(sum((s[1:] ** 2).sum() for s in by_channel)) / np.linalg.norm(kernel)
    assert done.errors[0].relative == pytest.approx(lost, rel=1e-5)
    many = [decompose(SMALL, random_weights(SMALL), "separable", where(path="wide"), width=j) for j in (2, 8, 24)]
    assert [done.errors[0].relative for done in many] == sorted((d.errors[0].relative for d in many), reverse=True)
    assert many[-1].errors[0].relative < 1e-5  # 24 filters a channel hold any 24 kernels
    ranks = [decompose(SMALL, random_weights(SMALL), "low_rank", where(path="wide"), width=r) for r in (4, 12, 24)]
    errors = [done.errors[0].relative for done in ranks]
    assert errors == sorted(errors, reverse=True)


def test_linear_layers_have_a_low_rank_form():
    network = Network("two", seq(hidden=Linear(32), out=Linear(8)), (16,))
    made = factor(network, "low_rank", where(kind="linear", path="hidden"), width=4, linear=True).network
    assert totals(made.body, (16,)).macs == 16 * 4 + 4 * 32 + 32 * 8


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2", "regnety_400mf", "densenet121"])
def test_folding_norms_keeps_the_output(name):
    network = zoo.get(name, resolution=64)
    weights = random_weights(network)
    after, values = fold_network(network, weights)
    left = sum(op.kind == "norm" for op in after.graph().ops)
    assert left == (62 if name == "densenet121" else 0)  # before an activation a norm has nothing to fold into
    assert same(run(network, weights), run(after, values)) < 1e-5
    assert count(after.graph()).macs == count(network.graph()).macs


def test_a_network_without_batch_norm_has_nothing_to_fold():
    with pytest.raises(NetlatheError, match="no batch norm behind a convolution"):
        fold(zoo.get("vgg16"))


def test_a_norm_whose_convolution_others_read_stays():
    body = seq(conv=Conv(3, 3), split=residual(seq(norm=conv(3, 3).items[1], act=relu)))
    assert "norm" in {op.kind for op in graph(body, (3, 8, 8)).ops}
    with pytest.raises(NetlatheError, match="no batch norm"):
        fold(Network("shared", body, (3, 8, 8)))


def test_parallel_branches_merge_into_one_convolution_with_the_same_output():
    body = seq(
        stem=repvgg_block(16, 2),
        stage1=stage(repvgg_block(16), 2),
        stage2=stage(repvgg_block(32, 1, 2), 2, first=repvgg_block(32, 2)),
        head=head(10),
    )
    network = Network("repvgg", body, (3, 32, 32))
    weights = random_weights(network)
    after, values = merge_network(network, weights)
    assert [op.kind for op in after.graph().ops].count("conv") == 5
    assert same(run(network, weights), run(after, values)) < 1e-5
    with pytest.raises(NetlatheError, match="merge matched nothing"):
        merge(zoo.get("resnet18"))
