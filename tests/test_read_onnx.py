"""An ONNX file is counted by its nodes and shapes, whoever wrote it, without reading a weight."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from netlathe import zoo
from netlathe.cost.count import count
from netlathe.errors import NetlatheError
from netlathe.lower.onnx import save_onnx
from netlathe.read import onnx_ops
from netlathe.read.onnx import read_onnx, register
from netlathe.read.torch import read_module

# The smallest of each family; every other network differs in numbers alone.
FAMILIES = ["lenet5_modern", "googlenet", "resnet18", "densenet121", "mobilenetv1_025", "mobilenetv2_035",
            "mobilenetv3_small", "efficientnet_b0", "regnety_200mf", "nasnet_mobile", "darts_v2_cifar10",
            "vit_tiny_patch16", "vitc_1gf", "swin_tiny", "convnext_atto", "unet_diffusion",
            "text_encoder_tiny"]  # fmt: skip


def test_nodes_may_stand_in_any_order(tmp_path: Path) -> None:
    save_onnx(zoo.get("resnet18"), tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    nodes = list(reversed(model.graph.node))
    del model.graph.node[:]
    model.graph.node.extend(nodes)  # ONNX Runtime's quantiser does something of the kind
    onnx.save(model, tmp_path / "reversed.onnx")
    graphs = [read_onnx(tmp_path / name) for name in ("net.onnx", "reversed.onnx")]
    assert count(graphs[0]) == count(graphs[1])
    model.graph.node[0].input[0] = model.graph.node[0].output[0]  # one that waits for itself
    onnx.save(model, tmp_path / "circle.onnx")
    with pytest.raises(NetlatheError, match="does not hold together"):
        read_onnx(tmp_path / "circle.onnx")


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("batch", [1, None])
def test_our_own_files_give_back_what_the_expression_counts(name: str, batch: int | None, tmp_path: Path) -> None:
    network = zoo.get(name)
    save_onnx(network, tmp_path / "net.onnx", batch=batch)
    read, ours = count(read_onnx(tmp_path / "net.onnx")), count(network.graph())
    assert (read.params, read.buffers, read.macs) == (ours.params, ours.buffers, ours.macs)


def test_the_fixed_codes_of_lenet_count_as_params_for_onnx_does_not_say_what_is_trained(tmp_path: Path) -> None:
    network = zoo.get("lenet5")
    save_onnx(network, tmp_path / "net.onnx")
    read, ours = count(read_onnx(tmp_path / "net.onnx")), count(network.graph())
    assert (read.params, read.macs) == (ours.params + ours.buffers, ours.macs)


def test_paths_and_weights_are_those_of_the_expression(tmp_path: Path) -> None:
    network = zoo.get("resnet18")
    save_onnx(network, tmp_path / "net.onnx")
    read, ours = read_onnx(tmp_path / "net.onnx"), network.graph()
    assert [op.path for op in read.ops if not op.view] == [op.path for op in ours.ops if not op.view]
    assert [op.weights for op in read.ops] == [op.weights for op in ours.ops]


def small_vit(timm: ModuleType) -> torch.nn.Module:
    return timm.create_model("vit_tiny_patch16_224", img_size=64, depth=2)


def small_swin(timm: ModuleType) -> torch.nn.Module:
    how = {"img_size": 64, "patch_size": 4, "window_size": 8, "embed_dim": 24, "depths": (2, 2), "num_heads": (3, 6)}
    return timm.models.swin_transformer.SwinTransformer(**how)


def small_convnext(timm: ModuleType) -> torch.nn.Module:
    return timm.create_model("convnext_atto", depths=(1, 1, 1, 1))


def small_resnet(timm: ModuleType) -> torch.nn.Module:
    return timm.create_model("resnet18", layers=(1, 1, 1, 1))


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("build", [small_resnet, small_vit, small_swin, small_convnext])
def test_files_of_torchs_exporter_have_the_macs_of_the_module(
    build: Callable[[ModuleType], torch.nn.Module], free: bool, timm: ModuleType, tmp_path: Path
) -> None:
    module = build(timm).eval()
    for parameter in module.parameters():  # the exporter would share tensors that are equal
        torch.nn.init.normal_(parameter)
    axes = {"dynamic_axes": {"x": {0: "batch"}}, "do_constant_folding": False} if free else {}
    export(module, tmp_path / "net.onnx", **axes)
    read, theirs = count(read_onnx(tmp_path / "net.onnx")), count(read_module(module, (3, 64, 64)).graph)
    assert read.macs == theirs.macs
    if build is not small_swin:  # whose mask and gathered biases are tensors like any other in ONNX
        assert read.params == pytest.approx(theirs.params, rel=0.01)  # batch norms are folded into convolutions


def test_nodes_of_torchs_exporter_have_the_paths_of_modules(tmp_path: Path) -> None:
    body = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    export(torch.nn.Sequential(body, torch.nn.Conv2d(4, 5, 3)).eval(), tmp_path / "net.onnx", shape=(3, 8, 8))
    assert [op.path for op in read_onnx(tmp_path / "net.onnx").ops] == ["0.0", "0.1", "1"]


def export(module: torch.nn.Module, path: Path, shape: tuple[int, ...] = (3, 64, 64), **how: Any) -> None:
    """torch's own exporter, the one that needs no further package."""
    import warnings

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (torch.zeros(1, *shape),), path, input_names=["x"], dynamo=False, **how)


Shape = tuple[int | str, ...]


def saved(
    path: Path,
    nodes: list[onnx.NodeProto],
    shape: Shape,
    tensors: dict[str, Any] | None = None,
    *,
    domains: tuple[str, ...] = (),
) -> Path:
    """A file of those nodes from x to y."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in (tensors or {}).items()],
    )
    opsets = [helper.make_opsetid("", 21), *(helper.make_opsetid(domain, 1) for domain in domains)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


node = helper.make_node
ZEROS = np.zeros((8, 3, 3, 3), np.float32)
CONV = node("Conv", ["x", "w"], ["y"], "conv", pads=[1, 1, 1, 1])
CASES: dict[str, tuple[list[onnx.NodeProto], Shape, dict[str, Any], int]] = {
    "conv": ([CONV], (1, 3, 16, 16), {"w": ZEROS}, 8 * 27 * 256),
    "free batch": ([CONV], ("N", 3, 16, 16), {"w": ZEROS}, 8 * 27 * 256),
    "1-D conv": ([node("Conv", ["x", "w"], ["y"])], (1, 3, 16), {"w": ZEROS[..., 0]}, 8 * 9 * 14),
    "transposed conv": (
        [node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2])],
        (1, 16, 16, 16),
        {"w": np.zeros((16, 32, 2, 2), np.float32)},
        524_288,
    ),
    "gemm of a transposed matrix": (
        [node("Gemm", ["w", "x"], ["y"], transA=1, transB=1)],
        (1, 32),
        {"w": np.zeros((32, 5), np.float32)},
        5 * 32,
    ),
    "matmul of values": (
        [node("Transpose", ["x"], ["t"], perm=[0, 2, 1]), node("MatMul", ["x", "t"], ["y"])],
        (1, 64, 32),
        {},
        131_072,
    ),
    "einsum": ([node("Einsum", ["x", "x"], ["y"], equation="bnc,bmc->bnm")], (1, 64, 32), {}, 131_072),
    "a reshape that is computed": (
        [
            node("Shape", ["x"], ["s"]),
            node("Slice", ["s", "i0", "i1"], ["batch"]),
            node("Concat", ["batch", "rest"], ["to"], axis=0),
            node("Reshape", ["x", "to"], ["flat"]),
            node("MatMul", ["flat", "w"], ["y"]),
        ],
        ("N", 4, 8),
        {
            "i0": np.array([0]),
            "i1": np.array([1]),
            "rest": np.array([-1]),
            "w": np.zeros((32, 7), np.float32),
        },
        32 * 7,
    ),
    "quantised": (
        [
            node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            node("DequantizeLinear", ["q", "s", "z"], ["d"]),
            node("DequantizeLinear", ["w", "s", "z"], ["dw"]),
            node("Conv", ["d", "dw"], ["y"], pads=[1, 1, 1, 1]),
        ],
        (1, 3, 16, 16),
        {"w": ZEROS.astype(np.int8), "s": np.float32(1), "z": np.int8(0)},
        8 * 27 * 256,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_nodes_are_counted(case: str, tmp_path: Path) -> None:
    nodes, shape, tensors, macs = CASES[case]
    cost = count(read_onnx(saved(tmp_path / "net.onnx", nodes, shape, tensors)))
    weights = sum(array.size for name, array in tensors.items() if name == "w")
    assert (cost.macs, cost.params) == (macs, weights)


def test_external_data_is_not_needed(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.onnx", [CONV], (1, 3, 16, 16), {"w": ZEROS})
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="data", size_threshold=0)
    (tmp_path / "data").unlink()
    assert count(read_onnx(path)).params == ZEROS.size


def test_free_axes_are_named_and_can_be_given(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.onnx", [CONV], ("N", 3, "height", "width"), {"w": ZEROS})
    with pytest.raises(NetlatheError, match=r"axis 2 of the input x is free \(height\)") as caught:
        read_onnx(path)
    assert "--input 3x224x224" in str(caught.value)
    assert count(read_onnx(path, (3, 16, 16))).macs == 8 * 27 * 256
    with pytest.raises(NetlatheError, match="the input x is 3xheightxwidth, not 3x16"):
        read_onnx(path, (3, 16))


def test_a_batch_in_the_file_is_refused_or_replaced(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.onnx", [CONV], (4, 3, 16, 16), {"w": ZEROS})
    with pytest.raises(NetlatheError, match="a batch of 4, but counts are of one image"):
        read_onnx(path)
    assert count(read_onnx(path, (3, 16, 16))).macs == 8 * 27 * 256


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (cut, "not an ONNX file, or only a part"),
        (lambda path: path.write_bytes(b""), "not an ONNX file, or only a part"),
        (lambda path: path.write_text("import torch\n" * 99), "not an ONNX file, or only a part"),
        (lambda path: path.unlink(), "cannot read this file: No such file"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot read this file: it is a folder"),
    ],
)
def test_files_that_are_none_are_named(spoil: Callable[[Path], Any], said: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "net.onnx", [CONV], (1, 3, 16, 16), {"w": ZEROS})
    spoil(path)
    with pytest.raises(NetlatheError, match=said) as caught:
        read_onnx(path)
    assert caught.value.path == str(path)


def test_shapes_that_do_not_fit_are_named(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.onnx", [node("MatMul", ["x", "w"], ["y"], "head")], (1, 8), {"w": ZEROS[:, 0, 0]})
    assert count(read_onnx(path)).macs == 24
    with pytest.raises(NetlatheError, match=r"shapes do not fit: .*head"):
        read_onnx(path, (9,))


def test_an_unknown_operator_raises_until_somebody_says_what_it_is(tmp_path: Path) -> None:
    nodes = [node("Relu", ["x"], ["r"]), node("Twist", ["r"], ["t"], "deep.twist", domain="mine"),
             node("Identity", ["t"], ["y"])]  # fmt: skip
    path = saved(tmp_path / "net.onnx", nodes, (1, 8), domains=("mine",))
    model = onnx.load(path)
    model.graph.value_info.append(helper.make_tensor_value_info("t", TensorProto.FLOAT, (1, 8)))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 8)))
    onnx.save(model, path)
    try:
        with pytest.raises(NetlatheError, match="mine::Twist") as caught:
            read_onnx(path)
        assert (caught.value.code, caught.value.path) == ("read.unknown_operator", "deep.twist")
        register("mine::Twist", "matmul", work=lambda call: 5 * call.y[-1])
        assert count(read_onnx(path)).macs == 40
    finally:
        onnx_ops.RULES.pop("mine::Twist", None)
    with pytest.raises(NetlatheError, match="has a rule already"):
        register("Relu", "act")


def test_a_branch_has_no_one_cost(tmp_path: Path) -> None:
    constant = node("Constant", [], ["one"], value=onnx.numpy_helper.from_array(np.ones((1, 8), np.float32)))
    body = helper.make_graph([constant], "b", [], [helper.make_tensor_value_info("one", TensorProto.FLOAT, (1, 8))])
    nodes = [
        node("ReduceSum", ["x"], ["sum"], keepdims=0),
        node("Greater", ["sum", "zero"], ["positive"]),
        node("If", ["positive"], ["y"], "choose", then_branch=body, else_branch=body),
    ]
    path = saved(tmp_path / "net.onnx", nodes, (1, 8), {"zero": np.float32(0)})
    with pytest.raises(NetlatheError, match="decides at run time") as caught:
        read_onnx(path)
    assert caught.value.path == "choose"
