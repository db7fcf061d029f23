"""A .tflite file computes what the network computes, channels last and without transpositions between layers."""

import contextlib

import numpy as np
import onnxruntime
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from test_axes import IMAGE, NETWORKS, linear_attention

from netlathe import zoo
from netlathe.arch.axes import Heads, Join, Multiply, Transpose
from netlathe.arch.build import conv, seq
from netlathe.arch.combinators import Dag, Vertex
from netlathe.arch.inputs import feeds
from netlathe.arch.kinds import built_in_kinds
from netlathe.arch.layers import Act, Conv, Linear
from netlathe.arch.leaf import Leaf
from netlathe.arch.network import Network
from netlathe.arch.node import node
from netlathe.arch.pools import Pool
from netlathe.arch.tokens import Tokens
from netlathe.errors import NetlatheError
from netlathe.lower.onnx import to_onnx
from netlathe.lower.tflite.network import build_model, to_tflite
from netlathe.lower.tflite.ops import RULES
from netlathe.lower.tflite.padding import find_padding
from netlathe.lower.torch import to_torch
from netlathe.lower.weights import random_weights
from netlathe.tflite.parse import parse

EXACT = 1e-5


def scores():
    """Softmax over the last axis of heads, and of a map that is transposed."""
    attend = Dag(
        1,
        (
            Vertex("q", Heads(2), ("in0",)),
            Vertex("scores", Multiply("second"), ("q", "q")),
            Vertex("shares", Act("softmax"), ("scores",)),
            Vertex("y", Multiply(), ("shares", "q")),
            Vertex("join", Join(), ("y",)),
        ),
    )
    return seq(
        turn=Transpose((0, 2, 1)), last=Act("softmax"), tokens=Tokens(), attend=seq(wide=Linear(8), heads=attend)
    )


ZOO = {
    "alexnet_grouped": 224,
    "convnext_atto": 32,
    "convnextv2_atto": 32,
    "darts_v1_cifar10": None,
    "densenet121": 32,
    "efficientnet_b0": 32,
    "ghostnet": 32,
    "googlenet_paper": 224,
    "lenet5": None,
    "mobilenetv1_025": 33,
    "mobilenetv3_small": 64,
    "nasnet_mobile": 64,
    "regnety_200mf": 64,
    "resnet20": None,
    "swin_tiny": 56,
    "text_encoder_tiny": None,
    "unet_diffusion": None,
    "vit_tiny_patch32": None,
}


def outputs(content, arrays):
    """What LiteRT gives for inputs with the channels first."""
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    for about, x in zip(interpreter.get_input_details(), arrays, strict=True):
        x = x.transpose(0, 2, 3, 1) if x.ndim == 4 else x
        interpreter.set_tensor(about["index"], np.ascontiguousarray(x).astype(about["dtype"]))
    interpreter.invoke()
    y = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return y.transpose(0, 3, 1, 2) if y.ndim == 4 else y


def images(network):
    """An input for each of the network's."""
    random = np.random.default_rng(0)
    return [
        random.standard_normal(feed.shape).astype(np.float32)
        if feed.vocabulary is None
        else random.integers(0, feed.vocabulary, feed.shape)
        for feed in feeds(network.graph(), 1)
    ]


def error(network, **how):
    """The relative error of LiteRT against ONNX Runtime, with the same random weights."""
    weights, arrays = random_weights(network), images(network)
    session = onnxruntime.InferenceSession(to_onnx(network, weights).SerializeToString())
    names = [value.name for value in session.get_inputs()]
    expected = session.run(None, dict(zip(names, arrays, strict=True)))[0]
    actual = outputs(to_tflite(network, weights, **how).serialize(), arrays)
    assert actual.shape == expected.shape
    return np.linalg.norm(actual - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize(("name", "resolution"), ZOO.items())
def test_litert_computes_what_onnx_runtime_computes(name, resolution):
    assert error(zoo.get(name).at(resolution)) < EXACT


@pytest.mark.parametrize("build", [*NETWORKS, scores], ids=lambda build: build.__name__)
def test_leaves_that_move_numbers_and_multiply_values_compute_the_same(build):
    assert error(Network(build.__name__, build(), IMAGE)) < EXACT


def test_heads_are_transposed_once():
    kinds = [op.kind for op in to_tflite(Network("attention", linear_attention(), IMAGE)).operators]
    assert kinds.count("TRANSPOSE") == 4, "q, k and v into heads, and the heads back"


def test_every_leaf_of_the_package_has_a_rule():
    leaves = {leaf for leaf in built_in_kinds().values() if issubclass(leaf, Leaf)}
    assert leaves == set(RULES)


def test_a_leaf_without_a_rule_is_named_with_its_path():
    @node
    class Square(Leaf):
        def out(self, *xs):
            return xs[0]

    network = Network("own", seq(stem=conv(4), square=Square()), IMAGE)
    with pytest.raises(NetlatheError, match="LiteRT has no operator for Square") as raised:
        build_model("own", network.graph(), random_weights(network), grow_kernels=False)
    assert raised.value.path == "square"


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2", "efficientnet_b0"])
def test_kernels_that_grow_instead_of_padding_compute_the_same(name):
    network = zoo.get(name, resolution=64)
    assert error(network, grow_kernels=True) < EXACT
    kinds = [op.kind for op in to_tflite(network, grow_kernels=True).operators]
    assert kinds.count("PAD") + kinds.count("PADV2") == (name == "resnet18"), "only a maximum cannot grow"


def random_windows(count):
    """Sizes, kernels, strides, paddings and dilations of all kinds."""
    random = np.random.default_rng(5)
    for _ in range(count):
        kernel = tuple(int(k) for k in random.integers(1, 6, 2))
        stride = tuple(int(s) for s in random.integers(1, 4, 2))
        size = tuple(int(n) for n in random.integers(11, 18, 2))
        yield size, kernel, stride, random


@pytest.mark.parametrize("grow", [False, True])
def test_every_window_is_the_one_of_torch(grow):
    for size, kernel, stride, random in random_windows(25):
        padding = tuple(int(random.integers(0, k // 2 + 1)) for k in kernel)
        groups, dilation = int(random.choice([1, 2, 4])), int(random.integers(1, 3))
        layer = Conv(8, kernel, stride, padding=padding, groups=groups, dilation=dilation, bias=True)
        assert_like_torch(Network("window", seq(layer=layer), (4, *size)), grow_kernels=grow)


@pytest.mark.parametrize("mode", ["max", "avg"])
def test_every_pooling_is_the_one_of_torch(mode):
    for size, kernel, stride, random in random_windows(25):
        padding = tuple(int(random.integers(0, k // 2 + 1)) for k in kernel)
        ceil, counts = bool(random.integers(2)), bool(random.integers(2))
        layer = Pool(mode, kernel, stride, padding=padding, ceil=ceil, count_padding=counts)
        assert_like_torch(Network("pool", layer, (4, *size)))


def assert_like_torch(network, **how):
    """LiteRT gives what torch gives."""
    weights, (x,) = random_weights(network), images(network)
    with torch.no_grad():
        expected = to_torch(network, weights).eval()(torch.from_numpy(x)).numpy()
    actual = outputs(to_tflite(network, weights, **how).serialize(), [x])
    np.testing.assert_allclose(actual, expected, atol=2e-5, err_msg=str(network.body))


def test_a_map_that_is_flattened_stays_as_it_is_where_linear_layers_read_it():
    assert "TRANSPOSE" not in [op.kind for op in to_tflite(zoo.get("lenet5_modern")).operators]


@pytest.mark.parametrize(
    "name", ["mobilenetv3_small", "efficientnet_b0", "densenet121", "regnety_200mf", "convnext_atto"]
)
def test_nothing_is_transposed_between_layers(name):
    assert "TRANSPOSE" not in {op.kind for op in to_tflite(zoo.get(name, resolution=64)).operators}


def test_tensors_have_the_paths_of_the_expression():
    model = to_tflite(zoo.get("resnet20"))
    names = {tensor.name for tensor in model.tensors}
    assert {"input", "output", "stem.conv.weight", "stem.act"} <= names
    assert [model.tensors[i].name for i in (*model.inputs, *model.outputs)] == ["input", "output"]


def test_a_file_is_read_back_as_it_was_written():
    model = to_tflite(zoo.get("lenet5"))
    content = model.serialize()
    again = parse(content)
    assert again.serialize() == content
    assert [(op.kind, op.inputs, op.outputs) for op in again.operators] == [
        (op.kind, op.inputs, op.outputs) for op in model.operators
    ]


def test_a_broken_file_is_one_error_whatever_is_broken():
    content, random = to_tflite(zoo.get("lenet5_modern")).serialize(), np.random.default_rng(0)
    for _ in range(300):
        broken = bytearray(content[: random.integers(8, 4000)] if random.random() < 0.3 else content)
        for _ in range(random.integers(1, 8)):
            broken[random.integers(len(broken))] = random.integers(256)
        with contextlib.suppress(NetlatheError):
            parse(bytes(broken))
    with pytest.raises(NetlatheError, match="this is no"):
        parse(content[:1000])


def test_same_padding_is_a_rule_and_symmetric_padding_a_larger_kernel():
    x, y = (3, 224, 224), (8, 112, 112)
    assert find_padding(x, y, 3, 2, "same").grown == ((0, 0), (0, 0))
    assert find_padding(x, y, 3, 2, None) == ("SAME", ((0, 1), (0, 1)), ((0, 0), (0, 0)))
    assert find_padding(x, y, 3, 2, None, may_grow=False).rule == "VALID"
    assert find_padding((3, 225, 225), (8, 113, 113), 3, 2, None) == ("SAME", ((0, 0), (0, 0)), ((0, 0), (0, 0)))
