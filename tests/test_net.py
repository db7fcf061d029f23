"""Net: every kind of network keeps one contract, and says what it lacks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx
import pytest
from deployed import colours

from netlathe import zoo
from netlathe.arch.graph import Graph, Op
from netlathe.arch.inputs import batched
from netlathe.arch.net import GraphNet, Net, rewritable
from netlathe.arch.network import Network
from netlathe.cost.count import count
from netlathe.cost.memory import memory
from netlathe.device import card
from netlathe.device.features import fused
from netlathe.device.latency import predict
from netlathe.device.roofline import roofline
from netlathe.errors import NetlatheError
from netlathe.load import load, load_any
from netlathe.lower.onnx import save_onnx
from netlathe.read.buildable import BuildableModule
from netlathe.read.module import ForeignModule, InputShape
from netlathe.read.onnx_file import OnnxFile
from netlathe.runtimes.registry import forecast_names

NAME = "mobilenetv1_025"
SIZE = 64
RESNET50 = "659329384e590341"
REFUSALS = {
    "expression": "load.no_expression",
    "trainable": "load.not_trainable",
    "module": "load.no_module",
    "onnx": "load.no_file",
}


def expression(folder: Path) -> Net:
    return zoo.get(NAME).at(SIZE)


def file(folder: Path) -> Net:
    path = folder / "net.onnx"
    save_onnx(zoo.get(NAME).at(SIZE), path, batch=None)
    (net,) = load_any(str(path))
    return net


def module(folder: Path) -> Net:
    (folder / "mine.py").write_text(f"""
from netlathe import zoo
def net():
    return zoo.get("{NAME}").module()
""")
    (net,) = load_any(f"{folder / 'mine.py'}:net", resolution=SIZE)
    return net


def handed(folder: Path) -> Net:
    return ForeignModule("handed", zoo.get(NAME).module(), (InputShape((3, SIZE, SIZE)),))


def operators(folder: Path) -> Net:
    return GraphNet("sent", zoo.get(NAME).at(SIZE).graph())


KINDS: dict[Callable[[Path], Net], tuple[type, set[str]]] = {
    expression: (Network, {"expression", "trainable", "module", "onnx"}),
    file: (OnnxFile, {"onnx"}),
    module: (BuildableModule, {"trainable", "module", "onnx"}),
    handed: (ForeignModule, {"module", "onnx"}),
    operators: (GraphNet, set()),
}


@pytest.fixture(params=list(KINDS), ids=lambda make: make.__name__)
def kind(request: pytest.FixtureRequest) -> Callable[[Path], Net]:
    make: Callable[[Path], Net] = request.param
    return make


def ability(net: Net, name: str, folder: Path) -> Any:
    return net.onnx(folder) if name == "onnx" else getattr(net, name)()


def test_a_net_counts_as_the_expression_does(kind: Callable[[Path], Net], tmp_path: Path) -> None:
    net, ours = kind(tmp_path), zoo.get(NAME).at(SIZE)
    assert isinstance(net, KINDS[kind][0])
    assert (net.input, net.inputs) == (ours.input, ours.inputs)
    read, counted = count(net.graph()), count(ours.graph())
    assert (read.params, read.macs, read.acts) == (counted.params, counted.macs, counted.acts)
    assert net.graph().input_shapes == net.inputs


def test_the_key_is_of_the_content_and_not_of_the_name(kind: Callable[[Path], Net], tmp_path: Path) -> None:
    net, again = kind(tmp_path), kind(tmp_path)
    assert net.key == again.key == net.renamed("another").key
    assert len(net.key) == 16
    assert net.renamed("another").name == "another"
    assert net.renamed("another").graph() == net.graph()
    hash(net)


def test_keys_of_expressions_are_those_of_the_measurements_that_exist() -> None:
    assert zoo.get("resnet50").key == RESNET50
    assert zoo.get(NAME).at(SIZE).key != zoo.get(NAME).key


@pytest.mark.parametrize("name", list(REFUSALS))
def test_an_ability_answers_or_says_what_is_lacking(kind: Callable[[Path], Net], name: str, tmp_path: Path) -> None:
    net = kind(tmp_path)
    if name in KINDS[kind][1]:
        assert ability(net, name, tmp_path) is not None
        return
    with pytest.raises(NetlatheError) as caught:
        ability(net, name, tmp_path)
    error = caught.value
    assert error.code == REFUSALS[name]
    assert error.message.startswith(f"{net.name} is a")
    assert "netlathe " in error.hint


def test_only_an_expression_can_be_rewritten(kind: Callable[[Path], Net], tmp_path: Path) -> None:
    net = kind(tmp_path)
    assert rewritable(net) is (net if kind is expression else None)


def test_the_file_of_a_net_takes_what_it_is_fed(kind: Callable[[Path], Net], tmp_path: Path) -> None:
    if "onnx" not in KINDS[kind][1]:
        with pytest.raises(NetlatheError):
            kind(tmp_path).feeds(2)
        return
    net = kind(tmp_path)
    (feed,) = net.feeds(2)
    assert feed.shape == batched((3, SIZE, SIZE), 2)
    assert feed.type == "float32"
    folder = tmp_path / "written"
    folder.mkdir()
    model = onnx.load(net.onnx(folder, batch=2))
    onnx.checker.check_model(model, full_check=True)
    sizes = [axis.dim_value or 2 for axis in model.graph.input[0].type.tensor_type.shape.dim]
    assert tuple(sizes) == feed.shape


def test_an_onnx_file_whose_operators_nobody_counted_still_runs(tmp_path: Path) -> None:
    helper = onnx.helper
    x, y = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, 8, 8]) for name in "xy")
    body = helper.make_graph([helper.make_node("Mine", ["x"], ["y"], domain="mine")], "other", [x], [y])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    onnx.save(helper.make_model(body, opset_imports=opsets, ir_version=8), tmp_path / "other.onnx")
    (net,) = load_any(str(tmp_path / "other.onnx"))
    assert (net.input, net.precision) == ((3, 8, 8), "fp32")
    assert net.onnx(tmp_path) == (tmp_path / "other.onnx").resolve()
    with pytest.raises(NetlatheError, match="unknown operator mine::Mine"):
        net.graph()


def test_a_module_that_torch_cannot_export_says_so(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text("""
import torch
from torch import nn
class Odd(nn.Module):
    def forward(self, x):
        return torch.fft.fft2(x).real
def net():
    return Odd()
""")
    (net,) = load_any(f"{tmp_path / 'odd.py'}:net")
    with pytest.raises(NetlatheError, match="net is a torch module that torch cannot export") as caught:
        net.onnx(tmp_path)
    assert caught.value.code == "read.export"


def test_load_gives_expressions_alone(tmp_path: Path) -> None:
    file(tmp_path)
    assert load(NAME) == [zoo.get(NAME)]
    with pytest.raises(NetlatheError, match="no expression"):
        load(str(tmp_path / "net.onnx"))


def test_the_folder_of_a_package_names_the_file_that_is_deployed(tmp_path: Path) -> None:
    package = colours(tmp_path / "out")
    (net,) = load_any(str(tmp_path / "out"))
    assert isinstance(net, OnnxFile)
    assert net.name == str(tmp_path / "out")
    assert net.onnx(tmp_path) == package.path.resolve()
    assert net.feeds(2)[0].type == "uint8"
    assert package.network.expression() == package.network


def test_a_text_that_no_file_can_be_called_is_an_unknown_name() -> None:
    for text in ("x" * 5000, "re\0snet"):
        with pytest.raises(NetlatheError) as caught:
            load_any(text)
        assert caught.value.code == "zoo.unknown_name"


# Products that read only constants: relative positions by a small network, weights standardised in the forward.


def of_constants(kind: str, form: str, shape: tuple[int, ...], weight: tuple[int, ...]) -> Graph:
    """One product of weights alone, and a map that it is added to."""
    product = Op(kind, form, "bias", (), 1, (), shape, {"weight": weight}, {}, 1_000_000, False)
    add = Op("add", "", "add", (0, 1), 2, (shape, shape), shape, {}, {}, 0, False)
    return Graph((product, add), (shape,), (2,), (shape, shape, shape))


@pytest.mark.parametrize(
    ("kind", "form"),
    [("conv", "dense"), ("conv", "grouped"), ("conv", "depthwise"), ("linear", ""), ("matmul", ""), ("attention", "")],
)
@pytest.mark.parametrize("runtime", forecast_names())
def test_a_product_of_constants_is_forecast(kind: str, form: str, runtime: str) -> None:
    graph = of_constants(kind, form, (8, 16, 16), (8, 8, 3, 3))
    groups = fused(graph, runtime)
    assert sum(group.macs for group in groups) == 1_000_000
    assert next(group for group in groups if group.path == "bias").read in (0, 8 * 16 * 16)
    device = card.load("i9-10940x")
    assert predict(graph, device, runtime=runtime, precision="fp32").total_ms > 0
    assert roofline(graph, device).ms > 0
    assert memory(graph).arena > 0


@pytest.mark.parametrize(
    "name",
    ["convit_tiny", "edgenext_xx_small", "swinv2_tiny_window8_256", "coatnet_rmlp_nano_rw_224", "xcit_nano_12_p16_224",
     "vit_relpos_small_patch16_224"],
)  # fmt: skip
def test_families_with_products_of_constants_are_forecast(name: str, timm: ModuleType) -> None:
    import torch

    from netlathe.read.module import InputShape

    with torch.device("meta"):
        made = timm.create_model(name).eval()
    net = ForeignModule(name, made, (InputShape(made.pretrained_cfg["input_size"]),))
    device = card.load("i9-10940x")
    for runtime in forecast_names():
        found = predict(net.graph(), device, runtime=runtime, precision="fp32")
        assert 0 < found.low_ms < found.total_ms < found.high_ms
    assert roofline(net.graph(), device).flops == 2 * count(net.graph()).macs
