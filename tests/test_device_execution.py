"""The same network has the same forecast in whatever words it arrives; what optimisers put together is one operator."""

import warnings
from pathlib import Path
from typing import Any

import pytest

from netlathe.arch.build import seq
from netlathe.arch.graph import Graph, Op
from netlathe.arch.layers import Linear
from netlathe.arch.leaf import Times
from netlathe.arch.network import Network
from netlathe.arch.tokens import Attention, Grid, Tokens, WindowAttention
from netlathe.device.execution import executed
from netlathe.device.features import QUANTITIES, features, fused, total
from netlathe.read.onnx import read_onnx

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional

# A machine on which traffic, arithmetic and calls all count.
SPEEDS = {f"*.{quantity}": value for quantity, value in zip(QUANTITIES, (10.0, 0.3, 0.3, 0.2, 0.004), strict=True)}
RUNTIMES = ("onnxruntime", "openvino")


class TransformerBlock(nn.Module):  # type: ignore[misc,name-defined]
    """Attention by torch's own function, a GELU and layer norms, on patches of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.qkv, self.project = nn.Conv2d(3, 32, 4, 4), nn.Linear(32, 96), nn.Linear(32, 32)
        self.norms = nn.ModuleList([nn.LayerNorm(32), nn.LayerNorm(32)])
        self.mlp = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))

    def forward(self, x: Any) -> Any:
        x = self.stem(x).flatten(2).transpose(1, 2)
        b, n, c = x.shape
        q, k, v = self.qkv(self.norms[0](x)).reshape(b, n, 3, 4, c // 4).permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, c)
        x = x + self.project(y)
        return x + self.mlp(self.norms[1](x))


class ShuffleBlock(nn.Module):  # type: ignore[misc,name-defined]
    """Halves of the channels, a SiLU written out, a shuffle of channels, a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner, self.narrow = nn.Conv2d(3, 32, 3, 2, 1), nn.Conv2d(16, 16, 3, 1, 1), nn.Conv2d(32, 32, 1)
        self.gate = nn.Linear(32, 32)

    def forward(self, x: Any) -> Any:
        x = F.hardtanh(self.stem(x), 0, 6)
        a, b = x.chunk(2, 1)
        x = torch.cat([a, self.inner(b * torch.sigmoid(b))], 1)
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return self.narrow(x * torch.sigmoid(self.gate(x.mean((2, 3))))[:, :, None, None])


class WindowBlock(nn.Module):  # type: ignore[misc,name-defined]
    """Rolled windows, scores with a bias, a group norm, and a norm by the root of mean squares that is written out."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 32, 4, 4), nn.GroupNorm(4, 32)
        self.qkv, self.bias = nn.Linear(32, 96), nn.Parameter(torch.zeros(4, 16, 16))
        self.weight = nn.Parameter(torch.ones(32))

    def forward(self, x: Any) -> Any:
        x = self.norm(self.stem(x)).permute(0, 2, 3, 1)
        b, h, w, c = x.shape
        x = torch.roll(x, (-2, -2), (1, 2)).view(b, h // 4, 4, w // 4, 4, c).permute(0, 1, 3, 2, 4, 5)
        x = x.reshape(-1, 16, c)
        q, k, v = self.qkv(x).reshape(-1, 16, 3, 4, c // 4).permute(2, 0, 3, 1, 4).unbind(0)
        scores = ((q * 0.35) @ k.transpose(-2, -1) + self.bias).softmax(-1)
        y = (scores @ v).transpose(1, 2).reshape(-1, 16, c)
        return y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight


@pytest.fixture(scope="module", params=[TransformerBlock, ShuffleBlock, WindowBlock])
def block(request: Any, tmp_path_factory: Any) -> tuple[Graph, Graph]:
    """The graph of a block read from torch, and from the file that torch exports."""
    from netlathe.read.torch import read_module

    torch.manual_seed(0)
    module, path = request.param().eval(), tmp_path_factory.mktemp("block") / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (torch.zeros(1, 3, 32, 32),), path, dynamo=False, opset_version=17)
    return read_module(module, (3, 32, 32)).graph, read_onnx(path)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_torch_module_and_its_onnx_file_have_the_same_forecast(block: tuple[Graph, Graph], runtime: str) -> None:
    ours, theirs = (total(features(fused(graph, runtime)), SPEEDS) for graph in block)
    assert ours == pytest.approx(theirs, rel=0.05)


def test_a_torch_module_and_its_onnx_file_compute_the_same(block: tuple[Graph, Graph]) -> None:
    ours, theirs = (sum(op.macs for op in executed(graph).ops) for graph in block)
    assert ours == theirs


def written(*ops: tuple[str, str, tuple[int, ...], tuple[int, ...]], outputs: tuple[int, ...] = ()) -> Graph:
    """A graph of operators (kind, form, inputs, shape) on one input of the shape of the last."""
    shapes: list[Any] = [ops[-1][3]]
    made = []
    for i, (kind, form, inputs, shape) in enumerate(ops):
        weights: dict[str, tuple[int, ...]] = {"weight": (shape[-1],)} if form.startswith("w.") else {}
        read = tuple(shapes[j] for j in inputs)
        made.append(Op(kind, form.removeprefix("w."), f"op{i}", inputs, i + 1, read, shape, weights, {}, 0, False))
        shapes.append(shape)
    return Graph(tuple(made), (shapes[0],), outputs or (len(ops),), tuple(shapes))


ROW, MEAN = (16, 32), (16, 1)
CHAINS = {
    "act.gelu": written(
        ("map", "div", (0,), ROW),
        ("map", "erf", (1,), ROW),
        ("add", "", (2,), ROW),
        ("mul", "", (0, 3), ROW),
        ("mul", "", (4,), ROW),
    ),
    "act.gelu by tanh": written(
        ("map", "pow", (0,), ROW),
        ("mul", "", (1,), ROW),
        ("add", "", (0, 2), ROW),
        ("mul", "", (3,), ROW),
        ("act", "tanh", (4,), ROW),
        ("add", "", (5,), ROW),
        ("mul", "", (0,), ROW),
        ("mul", "", (7, 6), ROW),
    ),
    "act.silu": written(("act", "sigmoid", (0,), ROW), ("mul", "", (0, 1), ROW)),
    "act.mish": written(("act", "softplus", (0,), ROW), ("act", "tanh", (1,), ROW), ("mul", "", (0, 2), ROW)),
    "norm.layer": written(
        ("reduce", "reducemean", (0,), MEAN),
        ("map", "sub", (0, 1), ROW),
        ("map", "pow", (2,), ROW),
        ("reduce", "reducemean", (3,), MEAN),
        ("add", "", (4,), MEAN),
        ("map", "sqrt", (5,), MEAN),
        ("map", "div", (2, 6), ROW),
        ("mul", "w.", (7,), ROW),
        ("add", "w.", (8,), ROW),
    ),
    "norm.group": written(("norm", "instance", (0,), ROW), ("mul", "w.", (1,), ROW), ("add", "w.", (2,), ROW)),
}


@pytest.mark.parametrize("name", CHAINS)
def test_what_a_file_writes_in_parts_is_one_operator(name: str) -> None:
    (op,) = executed(CHAINS[name]).ops
    assert f"{op.kind}.{op.form}" == name.partition(" ")[0]
    assert (op.inputs, op.out_shape) == ((0,), ROW)


def test_a_gate_on_another_value_is_no_activation() -> None:
    gate = written(("act", "sigmoid", (0,), ROW), ("map", "sub", (0,), ROW), ("mul", "", (1, 2), ROW), outputs=(2, 3))
    assert [op.kind for op in executed(gate).ops] == ["act", "map", "mul"]


def test_a_matrix_product_takes_its_scale_its_bias_and_its_transposed_operand_along() -> None:
    square = (4, 16, 16)
    scores = written(
        ("mul", "", (0,), square),
        ("layout", "transpose", (0,), square),
        ("matmul", "", (1, 2), square),
        ("map", "div", (3,), square),
    )
    assert [op.kind for op in executed(scores).ops] == ["matmul"]
    biased = written(("linear", "w.", (0,), ROW), ("add", "w.", (1,), ROW), ("add", "", (2, 0), ROW))
    assert [op.inputs for op in executed(biased).ops] == [(0,), (1, 0)]  # the sum of two values stays


def test_attention_is_its_products_and_its_softmax() -> None:
    part = seq(qkv=Linear(Times(3)), attention=Attention(2), project=Linear(32))
    tokens = Network("tokens", Tokens() >> part, (32, 8, 8)).graph()
    assert sum(op.macs for op in executed(tokens).ops) == sum(op.macs for op in tokens.ops)
    assert [group.class_ for group in fused(tokens, "onnxruntime")].count("matmul") == 2
    (softmax,) = [group for group in fused(tokens, "openvino") if group.class_ == "softmax"]
    assert (softmax.read, softmax.calls) == (2 * 64 * 64, 0)  # within the call of the attention
    grid = Network("grid", Grid() >> seq(qkv=Linear(Times(3)), attention=WindowAttention(2, 4)), (32, 8, 8)).graph()
    (softmax,) = [group for group in fused(grid, "onnxruntime") if group.class_ == "softmax"]
    assert softmax.write == 4 * 2 * 16 * 16  # windows, heads, positions of a window


def test_axes_that_change_places_cost_a_copy_in_a_file_and_nothing_in_torch(block: tuple[Graph, Graph]) -> None:
    graph, _ = block
    turned = [op for op in graph.ops if op.view and op.form == "permute"]
    assert turned
    assert all(op.out_elements == op.in_elements for op in turned)
    classes = [group.class_ for group in fused(graph, "torch")]
    assert classes.count("transpose") <= len(turned)  # clones alone
    assert [group for group in fused(graph, "onnxruntime") if group.class_ == "transpose"]


def test_files_of_earlier_versions_are_read_as_those_of_today(tmp_path: Path) -> None:
    """Clip is torch's hardtanh, and a Split is its parts."""
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Split", ["x"], ["a", "b"], axis=1),
        helper.make_node("Clip", ["a", "low"], ["c"]),
        helper.make_node("Concat", ["c", "b"], ["y"], axis=1),
    ]
    low = helper.make_tensor("low", TensorProto.FLOAT, [], [0.0])
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8, 4, 4]) for name in "xy")
    model = helper.make_model(
        helper.make_graph(nodes, "g", [x], [y], [low]), opset_imports=[helper.make_opsetid("", 17)]
    )
    onnx.save(model, tmp_path / "m.onnx")
    ops = executed(read_onnx(tmp_path / "m.onnx")).ops
    assert [(op.kind, op.form) for op in ops] == [
        *(("layout", "split"), ("layout", "split"), ("act", "hardtanh"), ("cat", ""))
    ]
    assert [op.in_elements for op in ops] == [64, 64, 64, 128]


def test_a_part_of_a_map_that_a_convolution_made_is_reordered_once() -> None:
    """ONNX Runtime holds maps in blocks of channels: what has no kernel for them needs the plain layout."""

    def reorders(*behind: tuple[str, str, tuple[int, ...], tuple[int, ...]]) -> int:
        graph = written(*behind)
        first = Op(
            "conv",
            "dense",
            "conv",
            (0,),
            1,
            ((32, 8, 8),),
            (32, 8, 8),
            {"weight": (32, 32, 3, 3)},
            {},
            9 * 2**16,
            False,
        )
        moved = tuple(op._replace(inputs=tuple(i + 1 for i in op.inputs), output=op.output + 1) for op in graph.ops)
        shapes = ((32, 8, 8), (32, 8, 8), *graph.shapes[1:])
        whole = Graph((first, *moved), ((32, 8, 8),), (len(shapes) - 1,), shapes)
        return [group.class_ for group in fused(whole, "onnxruntime")].count("transpose")

    image, part = (32, 8, 8), (16, 8, 8)
    assert reorders(("act", "gelu", (0,), image)) == 0
    assert reorders(("layout", "slice", (0,), part), ("layout", "slice", (0,), part), ("cat", "", (1, 2), image)) == 1
