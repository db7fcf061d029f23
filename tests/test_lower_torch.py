"""The torch reading computes what the ONNX reading does, carries the expression's paths, and trains."""

from __future__ import annotations

import copy
import io
import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from command import PATIENCE_S
from onnx_runs import MAP, relative_error, session
from test_lower_onnx import CASES, Oracle, pools
from torch import nn

import netlathe.zoo as zoo
from netlathe.arch.build import conv, head, relu, residual, seq, stage
from netlathe.arch.combinators import Concat, Dag, Identity, Residual, Vertex
from netlathe.arch.joins import Add, Condition, Mul
from netlathe.arch.layers import Act, Conv, Linear, Norm
from netlathe.arch.leaf import Leaf
from netlathe.arch.network import Network
from netlathe.arch.node import Node, Shape
from netlathe.arch.pools import GlobalPool
from netlathe.arch.tokens import Embedding, Sinusoid
from netlathe.errors import NetlatheError
from netlathe.lower.branches import drop_rates
from netlathe.lower.initial import initial_weights
from netlathe.lower.inputs import examples
from netlathe.lower.onnx import to_onnx
from netlathe.lower.onnx_ops import RULES as ONNX_RULES
from netlathe.lower.torch import to_torch
from netlathe.lower.torch_ops import RULES
from netlathe.lower.weights import random_weights, tensor_shapes
from netlathe.reshape.knobs import reshape

# One network a family, and the side of an image that the machine computes in a moment.
FAMILIES = {
    "lenet5": None,
    "googlenet": 64,
    "resnext50_32x4d": 64,
    "densenet121": 64,
    "mobilenetv2": 64,
    "mobilenetv3_small": 64,
    "efficientnet_b0": 64,
    "regnety_400mf": 64,
    "vit_tiny_patch16": 64,
    "vit_small_r26_s32": 64,
    "swin_tiny": 96,
    "convnext_atto": 64,
    "darts_v2_cifar10": None,
    "unet_diffusion": None,
    "text_encoder_tiny": None,
}


pytestmark = pytest.mark.usefixtures("one_thread")


def slim(name: str) -> Network:
    """A network of a family, with a quarter of its channels where its maps have no numbers of their own (LeNet-5)."""
    network = zoo.get(name).at(FAMILIES[name])
    return network if name == "lenet5" else reshape(network, width=0.25)


def output(module: nn.Module, *xs: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return module.eval()(*map(torch.from_numpy, xs)).numpy()


def test_the_same_leaves_have_a_rule_in_both_readings() -> None:
    assert RULES.keys() == ONNX_RULES.keys()


@pytest.mark.parametrize(("leaf", "shape", "oracle"), CASES, ids=lambda x: "" if callable(x) else str(x))
def test_a_leaf_computes_what_torchs_own_function_computes(leaf: Leaf, shape: Shape, oracle: Oracle) -> None:
    assert leaf_error(leaf, shape, oracle) < 1e-5


def leaf_error(leaf: Leaf, shape: Shape, oracle: Oracle) -> float:
    network = Network("leaf", seq(leaf=leaf), shape)
    weights = random_weights(network)
    (x,) = examples(network, 2, seed=7)
    tensors = {name.rpartition(".")[2]: torch.from_numpy(array) for name, array in weights.items()}
    return relative_error(output(to_torch(network, weights), x), oracle(torch.from_numpy(x), tensors))


def test_pools_compute_what_torch_computes_wherever_the_last_window_falls() -> None:
    assert not [leaf for leaf, shape, oracle in pools() if leaf_error(leaf, shape, oracle) > 1e-5]


def both(network: Network) -> tuple[np.ndarray, np.ndarray]:
    """What torch and ONNX Runtime compute, each with the weights that it draws itself."""
    xs = examples(network, 2)
    ours = session(to_onnx(network, batch=None))
    feed = dict(zip([x.name for x in ours.get_inputs()], xs, strict=True))
    return output(to_torch(network), *xs), ours.run(None, feed)[0]


@pytest.mark.parametrize("name", FAMILIES)
def test_torch_computes_what_onnx_runtime_computes(name: str) -> None:
    y, wanted = both(slim(name))
    assert wanted.std() > 0.01
    assert relative_error(y, wanted) < 1e-4


def test_joins_and_several_inputs_compute_what_onnx_runtime_computes() -> None:
    steps = (
        Vertex("time", seq(wave=Sinusoid(8), mix=Linear(6)), ("in1",)),
        Vertex("words", seq(table=Embedding(9, 6), mean=GlobalPool()), ("in2",)),
        Vertex("late", Condition(), ("in0", "time")),
        Vertex("told", Condition(), ("late", "words")),
        Vertex("sum", Add(), ("told", "in0", "late")),
        Vertex("gate", Mul(), ("sum", "in0")),
        Vertex("all", Concat(("a", "b"), (Act("tanh"), Identity())), ("gate",)),
    )
    y, wanted = both(Network("conditioned", Dag(3, steps), MAP, ((1,), (4,))))
    assert relative_error(y, wanted) < 1e-5


@pytest.mark.parametrize("name", FAMILIES)
def test_state_dict_keys_are_the_names_of_the_weights_in_order(name: str) -> None:
    network = zoo.get(name)
    state = to_torch(network, device="meta").state_dict()
    shapes = {key: tuple(tensor.shape) for key, tensor in state.items() if not key.endswith("num_batches_tracked")}
    assert list(shapes.items()) == list(tensor_shapes(network).items())


def small(body: Node | None = None) -> Network:
    layer = residual(a=conv(8, 3), b=conv(8, 3, act=None)) >> relu
    return Network("small", body or seq(stem=conv(8, 3, 2), layers=stage(layer, 3), head=head(10)), (3, 16, 16))


def test_modules_are_torchs_own_and_carry_the_paths() -> None:
    module = to_torch(small())
    assert type(module.get_submodule("layers.block2.a.conv")) is nn.Conv2d
    assert type(module.get_submodule("layers.block2.a.norm")) is nn.BatchNorm2d
    assert type(module.get_submodule("head.classifier")) is nn.Linear


def test_a_value_is_overwritten_only_where_nobody_else_needs_it() -> None:
    fresh = to_torch(Network("x", seq(conv=Conv(4), act=Act()), MAP))
    shared = to_torch(Network("x", seq(conv=Conv(6), skip=Residual(Act())), MAP))
    given = to_torch(Network("x", seq(act=Act()), MAP))
    assert [m.get_submodule(p).inplace for m, p in ((fresh, "act"), (shared, "skip"), (given, "act"))] == [1, 0, 0]
    x = torch.full((1, *MAP), -1.0)
    given(x)
    assert (x == -1).all()


def test_given_weights_are_copied_and_follow_their_paths() -> None:
    network = Network("linear", seq(layer=Linear(2)), (2,))
    given = {"layer.weight": np.float32([[1, 2], [3, 4]]), "layer.bias": np.float32([10, 20])}
    module = to_torch(network, given)
    np.testing.assert_array_equal(output(module, np.float32([[1, 1]])), [[13, 27]])
    with torch.no_grad():
        module.get_parameter("layer.bias").zero_()
    assert given["layer.bias"][0] == 10


def test_any_batch_and_channels_last_give_the_same() -> None:
    module = to_torch(small()).eval()
    x = torch.from_numpy(examples(small(), 3)[0])
    with torch.no_grad():
        y = module(x)
        torch.testing.assert_close(module(x[1:2]), y[1:2])
        module.to(memory_format=torch.channels_last)
        torch.testing.assert_close(module(x.to(memory_format=torch.channels_last)), y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("body", [None, seq(stem=Conv(12, 4, 4, padding="same"), norm=Norm("layer"), head=head(3))])
def test_export_gives_the_same_at_any_batch(body: Node | None) -> None:
    module = to_torch(small(body)).eval()
    x = torch.from_numpy(examples(small(), 3)[0])
    program = torch.export.export(module, (x,), dynamic_shapes=({0: torch.export.Dim("n")},))
    torch.testing.assert_close(program.module()(x[:2]), module(x[:2]))


def test_compile_captures_one_whole_graph() -> None:
    module = to_torch(zoo.get("swin_tiny", depths=(2, 2), width=32).at(56)).eval()
    x = torch.from_numpy(examples(zoo.get("swin_tiny").at(56))[0])
    with torch.no_grad():
        y = torch.compile(module, fullgraph=True, backend="aot_eager")(x)
        torch.testing.assert_close(y, module(x))


def test_a_copy_and_a_pickle_are_independent_and_equal() -> None:
    module = to_torch(small()).eval()
    x = torch.from_numpy(examples(small())[0])
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    for twin in (copy.deepcopy(module), torch.load(file, weights_only=False)):
        torch.testing.assert_close(twin(x), module(x))
        assert twin.get_parameter("head.classifier.bias") is not module.get_parameter("head.classifier.bias")


# Training


@pytest.mark.parametrize("name", FAMILIES)
def test_a_gradient_reaches_every_parameter(name: str) -> None:
    network = slim(name)
    module = to_torch(network).train()
    module(*map(torch.from_numpy, examples(network, 4))).square().sum().backward()
    missing = [key for key, tensor in module.named_parameters() if tensor.grad is None or not tensor.grad.any()]
    assert not missing


def test_dropout_stands_before_the_classifier_and_sleeps_at_inference() -> None:
    module = to_torch(small(), drop_rate=0.5)
    assert module.get_submodule("head.dropout").p == 0.5
    x = torch.from_numpy(examples(small())[0])
    np.testing.assert_array_equal(output(module, x.numpy()), output(to_torch(small()), x.numpy()))
    module.train()
    assert not torch.equal(module(x), module(x))


def test_a_dropped_path_leaves_the_skip_by_image_and_keeps_the_mean() -> None:
    network = Network("path", seq(up=Conv(2), body=Residual(seq(norm=Norm()))), (1, 1, 1))
    module = to_torch(network, drop_path=0.25, ramp="constant")
    drop = module.get_submodule("body.drop_path")
    torch.manual_seed(0)
    values = drop(torch.ones(4000, 3, 2, 2))
    assert values.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert (values.flatten(1).std(1) == 0).all()
    assert float(values.mean()) == pytest.approx(1, abs=0.05)
    ones = torch.ones(2, 3)
    assert drop.eval()(ones) is ones


def test_the_ramp_says_which_step_is_the_last() -> None:
    body = small().body
    assert list(drop_rates(body, 0.3, "over_last").values()) == pytest.approx([0, 0.15, 0.3])
    assert list(drop_rates(body, 0.3, "over_total").values()) == pytest.approx([0, 0.1, 0.2])
    assert list(drop_rates(body, 0.3, "constant").values()) == [0.3] * 3


@pytest.mark.parametrize(
    ("name", "ramp", "rate"),
    [
        ("convnext_tiny", "over_last", 0.1),
        ("swin_tiny", "over_last", 0.2),
        ("vit_small_patch16", "over_last", 0.1),
        ("efficientnet_b0", "over_total", 0.2),
    ],
)
def test_drop_path_rates_are_those_of_timm_and_torchvision(
    name: str, ramp: str, rate: float, timm: object, torchvision: object
) -> None:
    rates = drop_rates(zoo.get(name).body, rate, ramp)
    module = to_torch(zoo.get(name), drop_path=rate, ramp=ramp, device="meta")
    ours = [m.rate for _, m in module.named_modules() if type(m).__name__ == "DropPath" and m.rate]
    with torch.device("meta"):
        if name == "efficientnet_b0":
            twin = torchvision.models.efficientnet_b0(stochastic_depth_prob=rate)
            blocks = [m for m in twin.modules() if type(m).__name__ == "MBConv" and m.use_res_connect]
            theirs = [m.stochastic_depth.p for m in blocks]
        else:
            full = {"swin_tiny": "swin_tiny_patch4_window7_224", "vit_small_patch16": "vit_small_patch16_224"}
            twin = timm.create_model(full.get(name, name), drop_path_rate=rate)
            theirs = [float(m.drop_prob) for m in twin.modules() if type(m).__name__ == "DropPath"]
    assert ours == pytest.approx([p for p in theirs if p])
    assert len(rates) >= len(ours)


def test_auxiliary_heads_answer_in_training_only() -> None:
    network = zoo.get("googlenet", classes=7).at(64)
    assert not any(name.startswith("stage4.aux1") for name in to_torch(network).state_dict())
    module = to_torch(network, aux=True, init="he")
    x = torch.from_numpy(examples(network, 2)[0])
    assert [y.shape for y in module(x)] == [(2, 7)] * 3
    sum(y.square().sum() for y in module(x)).backward()
    assert all(p.grad is not None for p in module.parameters())
    for twin in (module, copy.deepcopy(module)):
        calls = []
        twin.get_submodule("stage4.aux1.classifier").register_forward_hook(lambda *_, calls=calls: calls.append(1))
        assert twin.eval()(x).shape == (2, 7)
        assert not calls
        assert len(twin.train()(x)) == 3


def test_a_narrow_strided_shortcut_trains_in_channels_last() -> None:
    """oneDNN #6035 killed the process here, or gave another gradient."""
    code = """
import torch
from netlathe.arch.build import seq
from netlathe.arch.layers import Conv
from netlathe.arch.network import Network
from netlathe.lower.torch import to_torch
torch.set_num_threads(1)
module, found = to_torch(Network("one", seq(layer=Conv(16, 1, 2)), (8, 128, 128))), []
x, grad = torch.randn(8, 8, 128, 128), torch.randn(8, 16, 64, 64)
for layout in [torch.contiguous_format] + 8 * [torch.channels_last]:
    module.to(memory_format=layout).zero_grad()
    module(x.contiguous(memory_format=layout)).backward(grad.contiguous(memory_format=layout))
    found.append(next(module.parameters()).grad.clone())
torch.testing.assert_close(found[0], found[-1], rtol=1e-3, atol=1e-2)
"""
    subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "MALLOC_CHECK_": "3"}, timeout=PATIENCE_S, check=True
    )


@pytest.mark.parametrize("stride", [2, (2, 1), (1, 3)])
def test_a_strided_pointwise_convolution_reads_the_same_positions(stride: int | tuple[int, int]) -> None:
    module = to_torch(Network("one", seq(layer=Conv(5, 1, stride)), (3, 9, 10)))
    x, (weight,) = torch.randn(2, 3, 9, 10), module.parameters()
    torch.testing.assert_close(module(x), nn.functional.conv2d(x, weight, stride=stride))


def test_initial_weights_follow_their_recipe() -> None:
    he, zero = (initial_weights(small(), recipe) for recipe in ("he", "he_zero"))
    assert he["layers.block1.a.conv.weight"].std() == pytest.approx((2 / (8 * 9)) ** 0.5, rel=0.15)
    assert {float(v) for v in he["layers.block1.b.norm.weight"]} == {1.0}
    still = [name for name, array in zero.items() if name.endswith("norm.weight") and not array.any()]
    assert still == [f"layers.block{i}.b.norm.weight" for i in (1, 2, 3)]
    vit = initial_weights(zoo.get("vit_tiny_patch16"), "truncated")
    for name in ("position.weight", "stem.weight", "encoder.block3.mlp.expand.weight"):
        assert 0.015 < vit[name].std() < 0.02
        assert np.abs(vit[name]).max() <= 0.04
    assert not vit["head.classifier.bias"].any()
    depthwise = initial_weights(Network("d", seq(c=Conv(None, 3, group_width=1)), (64, 8, 8)), "he")
    assert depthwise["c.weight"].std() == pytest.approx((2 / 9) ** 0.5, rel=0.1)


def test_a_training_starts_finite_and_the_loss_falls() -> None:
    network = small()
    torch.manual_seed(0)
    module = to_torch(network, init="he_zero", drop_rate=0.1, drop_path=0.1)
    optimiser = torch.optim.SGD(module.parameters(), lr=0.2, momentum=0.9)
    x, classes = torch.from_numpy(examples(network, 16)[0]), torch.arange(16) % 10
    losses = []
    for _ in range(60):
        loss = nn.functional.cross_entropy(module(x), classes)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[0] < 3
    assert losses[-1] < losses[0] / 3


# Mistakes


def mistakes() -> Iterator[tuple[str, Network, dict[str, object]]]:
    yield "ramp", small(), {"drop_path": 0.1, "ramp": "over_lsat"}
    yield "did you mean he", small(), {"init": "hee"}
    yield "less than 1", small(), {"drop_rate": 1.0}
    yield "no linear ends", small(seq(stem=conv(8, 3))), {"drop_rate": 0.1}
    yield "attribute 'train'", small(seq(train=conv(8, 3))), {}
    yield "attribute 'graph'", small(seq(graph=conv(8, 3))), {}
    yield "name it", Network("lone", Conv(3), MAP), {}
    yield "missing: stem.conv.weight", small(), {"weights": {}}


@pytest.mark.parametrize(("said", "network", "how"), list(mistakes()), ids=lambda x: x if isinstance(x, str) else "")
def test_a_mistake_is_named(said: str, network: Network, how: dict[str, object]) -> None:
    with pytest.raises(NetlatheError, match=said):
        to_torch(network, **how)  # type: ignore[arg-type]


def test_without_torch_the_extra_is_named() -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from netlathe.errors import MissingExtra\n"
        "import netlathe.lower.onnx\n"
        "try:\n    import netlathe.lower.torch\n"
        "except MissingExtra as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "netlathe[train]" in done.stdout
