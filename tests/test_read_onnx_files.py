"""ONNX files of every day: whoever wrote them, they are counted exactly, or refused by the name of what is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import parser

from netlathe.arch.graph import Graph
from netlathe.cost.count import count
from netlathe.cost.memory import memory
from netlathe.errors import NetlatheError
from netlathe.read.onnx import read_onnx

HEAD = '<ir_version: 8, opset_import: ["" : {opset}, "com.microsoft" : 1, "com.microsoft.nchwc" : 1]>\n'


def graph_of(
    tmp_path: Path, text: str, *shapes: tuple[int, ...], opset: int = 17, tensors: dict[str, np.ndarray] | None = None
) -> Graph:
    """The graph of a model in ONNX's own text, with further tensors."""
    model = parser.parse_model(HEAD.replace("{opset}", str(opset)) + text)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in (tensors or {}).items())
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return read_onnx(path, *shapes)


def zeros(*shape: int, kind: type = np.float32) -> np.ndarray:
    return np.zeros(shape, kind)


SQUEEZE = """g (float[N, 8, H, 16] x) => (float[N, 4, 16] y) {
    sizes = Shape (x)
    axis = Constant <value = int64 {2}> ()
    height = Gather <axis = 0> (sizes, axis)
    one = Constant <value = int64 {1}> ()
    flat = Equal (height, one)
    z = If (flat) <
        then_branch = then () => (a) { axes = Constant <value_ints = [2]> () a = Squeeze (x, axes) },
        else_branch = other () => (b) { b = Identity (x) }
    >
    t = Transpose <perm = [0, 2, 1]> (z)
    u = MatMul (t, w)
    y = Transpose <perm = [0, 2, 1]> (u)
}"""


def test_a_branch_is_taken_where_its_condition_follows_from_shapes(tmp_path: Path) -> None:
    cost = count(graph_of(tmp_path, SQUEEZE, (8, 1, 16), tensors={"w": zeros(8, 4)}))
    assert (cost.macs, cost.params) == (16 * 8 * 4, 32)


@pytest.mark.parametrize("operator", ["If", "Loop"])
def test_what_is_decided_at_run_time_is_refused_by_name(tmp_path: Path, operator: str) -> None:
    body = "t () => (a) { a = Relu (x) }", "e () => (b) { b = MatMul (x, w) }"
    loop = "body = l (int64 i, bool c) => (bool d, float[1, 8] a) { d = Identity (c) a = Relu (x) }"
    nodes = {
        "If": f"sum = ReduceSum <keepdims = 0> (x) zero = Constant <value = float {{0}}> () c = Greater (sum, zero) "
        f"y = If (c) <then_branch = {body[0]}, else_branch = {body[1]}>",
        "Loop": f"n = Cast <to = 7> (k) c = Constant <value = bool {{1}}> () y = Loop (n, c) <{loop}>",
    }
    with pytest.raises(NetlatheError, match=f"{operator} decides at run time") as caught:
        graph_of(tmp_path, f"g (float[1, 8] x, float k) => (float[1, 8] y) {{ {nodes[operator]} }}",
                 tensors={"w": zeros(8, 8)} if operator == "If" else {})  # fmt: skip
    assert caught.value.code == "read.values"


def test_a_weight_or_output_that_is_never_reached_is_refused_by_name(tmp_path: Path) -> None:
    text = "g (float[1, 8] x) => (float[1, 8] y) { y = Relu (x) lost = MatMul (x, w) }"
    with pytest.raises(NetlatheError, match="nothing that an output needs reads the weight w") as caught:
        graph_of(tmp_path, text, tensors={"w": zeros(8, 8)})
    assert caught.value.code == "read.unreached"
    with pytest.raises(NetlatheError, match="nothing in this file makes the output z"):
        graph_of(tmp_path, "g (float[1, 8] x) => (float[1, 8] y, float[1, 8] z) { y = Relu (x) }")
    with pytest.raises(NetlatheError, match="nothing in this file makes 'lost'"):
        graph_of(tmp_path, "g (float[1, 8] x) => (float[1, 8] y) { y = Relu (lost) }")


CONV = "y = Conv <pads = [1, 1, 1, 1]> (x, w, b)"
FLAT = "f = Flatten (x)"
CASES: dict[str, tuple[int, str, dict[str, np.ndarray], int, int]] = {  # opset, nodes, tensors, MACs, params
    "weights as Constant nodes": (
        17, "w = Constant <value = float[2, 3] {1, 2, 3, 4, 5, 6}> () f = Reshape (x, to) y = MatMul (f, w)",
        {"to": np.array([1, 12, 2])}, 12 * 2 * 3, 6),
    "axes as attributes, long ago": (
        11, ("u = Unsqueeze <axes = [0]> (x) s = Squeeze <axes = [0]> (u) "
            "m = ReduceMean <axes = [2, 3], keepdims = 0> (s) y = MatMul (m, k)"), {"k": zeros(6, 5)}, 30, 30),
    "axes as inputs": (
        18, "u = Unsqueeze (x, a) s = Squeeze (u, a) m = ReduceMean <keepdims = 0> (s, b) y = MatMul (m, k)",
        {"k": zeros(6, 5), "a": np.array([0]), "b": np.array([2, 3])}, 30, 30),
    "a shape that is computed with old operators": (
        11, ("s = Shape (x) i = Constant <value = int64 {0}> () n = Gather <axis = 0> (s, i)"
            " v = Unsqueeze <axes = [0]> (n) r = Constant <value = int64[1] {-1}> () t = Concat <axis = 0> (v, r)"
            " f = Reshape (x, t) y = MatMul (f, k)"),
        {"k": zeros(24, 5)}, 120, 120),
    "both directions of an LSTM": (
        17, ("r = Reshape (x, to) h, hn, cn = LSTM <hidden_size = 5, direction = \"bidirectional\"> (r, W, R, B) "
            "y = Identity (h)"),
        {"to": np.array([4, 1, 6]), "W": zeros(2, 20, 6), "R": zeros(2, 20, 5), "B": zeros(2, 40)},
        4 * 2 * 20 * (6 + 5), 2 * 20 * (6 + 5 + 2)),
    "a GRU": (
        14, "r = Reshape (x, to) h, hn = GRU <hidden_size = 5, linear_before_reset = 1> (r, W, R, B) y = Identity (hn)",
        {"to": np.array([4, 1, 6]), "W": zeros(1, 15, 6), "R": zeros(1, 15, 5), "B": zeros(1, 30)},
        4 * 15 * 11, 15 * 13),
    "quantised while it runs": (
        13, ("f = Flatten (x) q, s, z = DynamicQuantizeLinear (f) m = MatMulInteger (q, k, z, kz) "
            "c = Cast <to = 1> (m) both = Mul (s, ks) d = Mul (c, both) y = Add (d, b)"),
        {"k": zeros(24, 5, kind=np.int8), "kz": zeros(1, kind=np.int8)[0], "ks": zeros(5), "b": zeros(5)}, 120, 125),
    "fused by ONNX Runtime": (
        17, ("c = com.microsoft.FusedConv <activation = \"Relu\", pads = [1, 1, 1, 1]> (x, w, wb) f = Flatten (c) "
            "m = com.microsoft.FusedMatMul <transB = 1> (f, k) g = com.microsoft.BiasGelu (m, b) "
            "y = com.microsoft.FusedGemm <activation = \"Relu\"> (g, v, e)"),
        {"w": zeros(8, 6, 3, 3), "wb": zeros(8), "k": zeros(7, 32), "b": zeros(7), "v": zeros(7, 3), "e": zeros(3)},
        8 * 54 * 4 + 7 * 32 + 21, 8 * 54 + 8 + 7 * 33 + 24),
    "pooled and added in integers": (
        13, ("q = QuantizeLinear (x, s, z) c = QLinearConv <pads = [1, 1, 1, 1]> (q, s, z, w, s, wz, s, z, wb) "
            "a = com.microsoft.QLinearAdd (c, s, z, q, s, z, s, z) "
            "p = com.microsoft.QLinearAveragePool <kernel_shape = [2, 2]> (a, s, z, s, z) "
            "g = com.microsoft.QLinearGlobalAveragePool <channels_last = 0> (p, s, z, s, z) f = Flatten (g) "
            "m = QLinearMatMul (f, s, z, k, s, wz, s, z) y = DequantizeLinear (m, s, z)"),
        {"w": zeros(6, 6, 3, 3, kind=np.int8), "wb": zeros(6, kind=np.int32), "k": zeros(6, 5, kind=np.int8),
         "s": np.float32(1), "z": np.uint8(0), "wz": np.int8(0)}, 6 * 54 * 4 + 30, 6 * 54 + 6 + 30),
    "in blocks of channels": (
        17, ("i = com.microsoft.nchwc.ReorderInput (x) c = com.microsoft.nchwc.Conv <pads = [1, 1, 1, 1]> (i, w, wb) "
            "p = com.microsoft.nchwc.GlobalAveragePool (c) y = com.microsoft.nchwc.ReorderOutput <channels = 20> (p)"),
        {"w": zeros(32, 16, 3, 3), "wb": zeros(32)}, 32 * 16 * 9 * 4, 32 * 16 * 9 + 32),
    "attention of ONNX Runtime": (
        17, ("f = Reshape (x, to) a, past = com.microsoft.Attention <num_heads = 2> (f, w, b) "
            "n, m, v, s = com.microsoft.SkipLayerNormalization (a, f, g, e) "
            "y = com.microsoft.MultiHeadAttention <num_heads = 2> (n, n, n)"),
        {"to": np.array([1, 4, 6]), "w": zeros(6, 18), "b": zeros(18), "g": zeros(6), "e": zeros(6)},
        4 * 6 * 18 + 2 * (2 * 4 * 4 * 6), 6 * 18 + 18 + 12),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_operators_of_every_day_are_counted(case: str, tmp_path: Path) -> None:
    opset, nodes, tensors, macs, params = CASES[case]
    text = f"g (float[N, 6, 2, 2] x) => (float[] y) {{ {nodes} }}"
    cost = count(graph_of(tmp_path, text, opset=opset, tensors=tensors))
    assert (cost.macs, cost.params) == (macs, params)


def test_inputs_that_have_no_batch_keep_their_first_axis(tmp_path: Path) -> None:
    text = """g (float[N, 6] x, float[2, N, 6] state, float scale, float[S, 6] table) => (float[] y) {
        a = Add (x, state) b = Mul (a, scale) t = Transpose <perm = [1, 0]> (table) y = MatMul (b, t)
    }"""
    graph = graph_of(tmp_path, text, (6,))
    assert graph.input_shapes == ((6,), (2, 1, 6), (), (6,))  # a free first axis is the batch
    fixed = graph_of(tmp_path, text.replace("[S, 6]", "[7, 6]"), (6,))
    assert fixed.input_shapes[3] == (7, 6)
    assert count(fixed).macs == 2 * 6 * 7


QUANTISED = """g (float[1, 8, 16, 16] x) => (float[] y) {
    q = QuantizeLinear (x, s, z) d = DequantizeLinear (q, s, z)
    dw = DequantizeLinear (w, ws, wz) db = DequantizeLinear (b, bs)
    c = Conv <pads = [1, 1, 1, 1]> (d, dw, db) r = Relu (c)
    q2 = QuantizeLinear (r, s, z) d2 = DequantizeLinear (q2, s, z)
    p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (d2)
    q3 = QuantizeLinear (p, s, z) y = DequantizeLinear (q3, s, z)
}"""


def test_a_quantised_file_has_the_bytes_of_its_types(tmp_path: Path) -> None:
    scales = {"s": np.float32(1), "z": np.uint8(0), "ws": zeros(4), "wz": zeros(4, kind=np.int8), "bs": zeros(4)}
    tensors = {"w": zeros(4, 8, 3, 3, kind=np.int8), "b": zeros(4, kind=np.int32)}
    graph = graph_of(tmp_path, QUANTISED, tensors=scales | tensors)
    kinds = [f"{op.form or op.kind}" for op in graph.ops]
    assert kinds == ["quantizelinear", "dense", "relu", "max", "dequantizelinear"]
    cost = count(graph)
    assert (cost.macs, cost.params) == (4 * 72 * 256, 4 * 72 + 4)
    assert cost.weight_bytes() == 4 * 72 + 4 * 4  # of 8 bits, and of 32
    peak = memory(graph)
    assert peak.folded == 4 * 8 * 256 + 8 * 256  # the image in floats beside itself in 8 bits
    assert peak.at["folded"].startswith("quantizelinear")


def test_a_half_file_has_half_the_bytes(tmp_path: Path) -> None:
    text = "g (float16[1, 8] x) => (float[] y) { m = MatMul (x, w) f = Cast <to = 1> (m) y = Softmax (f) }"
    graph = graph_of(tmp_path, text, tensors={"w": zeros(8, 4, kind=np.float16)})
    assert graph.precision == "fp16"
    assert count(graph).bytes(2) == 2 * (8 + 4 + 32) + (2 * 4 + 4 * 4) + 2 * 4 * 4


def test_a_quantised_file_is_forecast_in_integers_where_they_were_measured(tmp_path: Path) -> None:
    from netlathe.device.card import shipped
    from netlathe.read.onnx_file import onnx_file
    from netlathe.target.card import CardTarget

    (tmp_path / "int8").mkdir()
    scales = {"s": np.float32(1), "z": np.uint8(0), "ws": zeros(4), "wz": zeros(4, kind=np.int8), "bs": zeros(4)}
    graph_of(tmp_path, QUANTISED, tensors=scales | {"w": zeros(4, 8, 3, 3, kind=np.int8), "b": zeros(4, kind=np.int32)})
    file = onnx_file(tmp_path / "net.onnx")
    assert CardTarget(shipped("sd-8-gen-2"), "qnn").for_net(file).precision == "int8"
    assert CardTarget(shipped("rpi-5"), "onnxruntime").for_net(file).precision == "fp32"  # nobody measured integers


def test_other_inputs_than_the_file_has_make_its_own_shapes_unknown(tmp_path: Path) -> None:
    """What the file says of an operator that nobody has a rule for is true at its own size alone."""
    text = "g (float[1, 8] x) => (float[1, 8] y) <float[1, 8] t> { t = mine.Twist (x) y = Relu (t) }"
    with pytest.raises(NetlatheError, match="unknown operator mine::Twist"):
        graph_of(tmp_path, text, (9,))


def test_a_valid_file_is_not_called_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from netlathe.read import onnx as reader

    monkeypatch.setattr(reader, "write_graph", lambda *_: 1 // 0)
    with pytest.raises(NetlatheError, match="cannot be read here"):
        graph_of(tmp_path, "g (float[1, 8] x) => (float[1, 8] y) { y = Relu (x) }")
