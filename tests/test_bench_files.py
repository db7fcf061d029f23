"""ONNX files that somebody else wrote are measured too, and the command line names what it measured."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from benched import record, tiny
from command import netlathe
from onnx import TensorProto, helper

from netlathe import zoo
from netlathe.arch.network import Network
from netlathe.bench import ledger
from netlathe.bench.measure import measure, precisions_for
from netlathe.bench.worker import example_input
from netlathe.cli.bench import find_measured_net
from netlathe.errors import NetlatheError
from netlathe.lower.onnx import save_onnx
from netlathe.read.onnx_file import onnx_file

# ONNX files that somebody else wrote


def add_file(path: Path, *, batch: int | str, kind: int = TensorProto.FLOAT, side: int | str = 8, **how: str) -> Path:
    """y = x + w, with w of the input's type, as an operator that nobody has counted where `domain` says so."""
    shape = [batch, 3, side, side]
    x, y = (helper.make_tensor_value_info(name, kind, shape) for name in "xy")
    w = helper.make_tensor("w", kind, [1], [1])
    node = helper.make_node("Add", ["x", "w"], ["y"], **how)
    graph = helper.make_graph([node], "other", [x], [y], [w])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("batch", ["N", 2])
def test_an_onnx_file_runs_as_it_is(tmp_path: Path, runtime: str, batch: int | str) -> None:
    file = onnx_file(add_file(tmp_path / "other.onnx", batch=batch))
    (m,) = measure([file], runtime=runtime, batch=2, seconds=0.05)
    assert m.failure is None
    assert (m.network, m.key, m.input) == (str(tmp_path / "other.onnx"), file.key, (3, 8, 8))
    assert (m.batch, m.precision, m.runtime) == (2, "fp32", runtime)


def test_a_file_with_weights_beside_it_and_several_inputs_runs_where_it_lies(tmp_path: Path) -> None:
    network = zoo.get("text_encoder")
    save_onnx(network, tmp_path / "text.onnx")
    model = onnx.load(tmp_path / "text.onnx")
    onnx.save(model, tmp_path / "split.onnx", save_as_external_data=True, location="weights.bin")
    file = onnx_file(tmp_path / "split.onnx")
    (m,) = measure([file], seconds=0.05)
    assert m.failure is None
    assert m.input == network.input


def test_another_batch_than_the_file_is_fixed_to_is_refused_with_both(tmp_path: Path) -> None:
    file = onnx_file(add_file(tmp_path / "four.onnx", batch=4))
    with pytest.raises(NetlatheError, match=r"fixed to a batch of 4, not 1\n  --batch 4"):
        measure([file])


def test_a_free_axis_needs_a_shape_and_the_shape_is_part_of_the_key(tmp_path: Path) -> None:
    path = add_file(tmp_path / "free.onnx", batch="N", side="S")
    with pytest.raises(NetlatheError, match="axis 2 of the input x is free"):
        onnx_file(path)
    with pytest.raises(NetlatheError, match=r"the input x is 3x\?x\? without its batch, not 1x8x8"):
        onnx_file(path, (1, 8, 8))
    small, large = onnx_file(path, (3, 8, 8)), onnx_file(path, (3, 16, 16))
    assert small.key != large.key
    assert large.feeds(5)[0].shape == (5, 3, 16, 16)


@pytest.mark.parametrize("runtime", ["torch", "torch-compiled"])
def test_torch_refuses_an_onnx_file_with_the_runtimes_that_do_not(tmp_path: Path, runtime: str) -> None:
    file = onnx_file(add_file(tmp_path / "other.onnx", batch="N"))
    with pytest.raises(NetlatheError, match="give one of --runtime onnxruntime, openvino"):
        measure([file], runtime=runtime)


@pytest.mark.parametrize(
    ("kind", "precision", "values"),
    [
        (TensorProto.FLOAT, "fp32", "float32"),
        (TensorProto.FLOAT16, "fp16", "float16"),
        (TensorProto.DOUBLE, "fp64", "float64"),
    ],
)
def test_a_file_is_fed_and_named_by_its_own_type(tmp_path: Path, kind: int, precision: str, values: str) -> None:
    file = onnx_file(add_file(tmp_path / "typed.onnx", batch=1, kind=kind))
    (m,) = measure([file], seconds=0.05)
    assert (m.failure, m.precision) == (None, precision)
    assert example_input(file.feeds(1)[0]).dtype == values
    with pytest.raises(NetlatheError, match=f"computes in what is written, {precision}, not in bf16"):
        precisions_for(file, "onnxruntime", "bf16")
    assert precisions_for(file, "openvino", "bf16") == ("bf16", "bf16")


def test_a_quantised_file_says_so_and_what_the_rest_of_it_is_pinned_to(tmp_path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    save_onnx(tiny(), tmp_path / "net.onnx")
    logging.getLogger().setLevel(logging.ERROR)
    quantize_dynamic(tmp_path / "net.onnx", tmp_path / "small.onnx", weight_type=QuantType.QUInt8)
    file = onnx_file(tmp_path / "small.onnx")
    assert file.precision == "int8+fp32"
    assert (
        precisions_for(file, "openvino", "bf16")
        == precisions_for(file, "openvino", "int8+bf16")
        == ("int8+bf16", "bf16")
    )
    (m,) = measure([file], seconds=0.05)
    assert (m.failure, m.precision) == (None, "int8+fp32")


def test_what_is_no_onnx_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "not.onnx").write_bytes(b"hello")
    with pytest.raises(NetlatheError, match="not an ONNX file"):
        onnx_file(tmp_path / "not.onnx")
    with pytest.raises(NetlatheError, match="unknown type of the input x 'bfloat16'"):
        onnx_file(add_file(tmp_path / "words.onnx", batch=1, kind=TensorProto.BFLOAT16))


def test_an_operator_that_the_runtime_has_not_is_a_result(tmp_path: Path) -> None:
    file = onnx_file(add_file(tmp_path / "mine.onnx", batch=1, domain="mine"))
    (m,) = measure([file], seconds=0.05)
    assert m.failure
    assert "Add" in m.failure


# At the command line


def test_one_network_is_a_headline_of_six_processes_and_several_say_that_they_are_of_one(book: Path) -> None:
    assert "of 6 fresh processes" in netlathe("bench", "lenet5", "--seconds", "0.05").stdout
    several = netlathe("bench", "lenet5", "lenet5_modern", "--seconds", "0.05", "--batch", "4").stdout
    assert "of one process; another one may differ by more (--processes)" in several
    assert "an image" in several
    assert [m.processes for m in ledger.read()] == [6, 1, 1]


def test_bench_times_a_file_and_repeats_it_by_id(book: Path, tmp_path: Path) -> None:
    file = add_file(tmp_path / "free.onnx", batch="N", side="S")
    words = ("--seconds", "0.05", "--processes", "2", "--batch", "3")
    netlathe("bench", file, "--resolution", "8", *words)
    (first,) = ledger.read()
    assert "before: " in netlathe("bench", "--from", first.id, "--seconds", "0.05").stdout
    _, second = ledger.read()
    assert (
        (first.key, first.batch, first.processes) == (second.key, second.batch, second.processes) == (first.key, 3, 2)
    )
    add_file(file, batch="N", side="S", doc_string="another one")
    assert "is not the network it was" in netlathe("bench", "--from", first.id, code=2).stderr


def test_a_mistake_with_a_file_is_one_screen(book: Path, tmp_path: Path) -> None:
    file = add_file(tmp_path / "four.onnx", batch=4)
    assert "--batch 4" in netlathe("bench", file, code=2).stderr
    assert "--runtime onnxruntime, openvino" in netlathe("bench", file, "--runtime", "torch", code=2).stderr
    assert (
        "computes in what is written" in netlathe("bench", file, "--batch", "4", "--precision", "bf16", code=2).stderr
    )
    assert "cannot read this file" in netlathe("bench", tmp_path / "none.onnx", code=2).stderr
    assert list(ledger.read()) == []


def test_compare_counts_and_times_a_file_beside_a_network(book: Path, tmp_path: Path) -> None:
    save_onnx(zoo.get("lenet5_modern"), tmp_path / "lenet.onnx", batch=None)
    said = netlathe("compare", "lenet5_modern", tmp_path / "lenet.onnx", "--seconds", "0.05", "--json").stdout
    ours, theirs = json.loads(said)["data"]["networks"]
    assert ours["macs"] == theirs["macs"]
    assert theirs["latency"]["failure"] is None
    assert theirs["latency"]["network"] == str(tmp_path / "lenet.onnx")


@pytest.mark.parametrize("network", [zoo.get("text_encoder"), zoo.get("mobilenetv1", resolution=160)])
def test_what_a_record_measured_is_found_again_by_its_name_and_input(network: Network) -> None:
    before = record(network=network.name, key=network.key, input=network.input)
    assert find_measured_net(before) == network
    with pytest.raises(NetlatheError, match="is not the network it was"):
        find_measured_net(replace(before, key="another"))
