"""netlathe export to .tflite, C and TorchScript: files that compute what ONNX Runtime computes, or none at all."""

import io
import json
import struct
import zipfile

import numpy as np
import onnxruntime
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from safetensors.torch import save_file
from test_deploy_tflite import float_package

from netlathe import zoo
from netlathe.cli.main import run
from netlathe.errors import NetlatheError
from netlathe.load import load_any
from netlathe.lower.tflite.network import to_tflite
from netlathe.lower.weights import random_weights
from netlathe.read.module import InputShape
from netlathe.tflite.half import halve
from netlathe.tflite.metadata import ModelFacts, describe
from netlathe.tflite.parse import TableReader, parse
from netlathe.tflite.pixels import with_pixels

pytestmark = pytest.mark.usefixtures("one_thread")
NET = "lenet5_modern"


def export(capsys, *words, code=0):
    """The export as its caller sees it: its data, or what it says."""
    status = run(["export", *map(str, words), *(["--json"] if code == 0 else [])])
    said = capsys.readouterr()
    assert status == code, said.err
    return json.loads(said.out)["data"] if code == 0 else said.err


def litert(content, x):
    """What LiteRT gives for an input."""
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def test_the_suffix_says_what_is_written_and_all_files_compute_the_same(tmp_path, capsys):
    for name in ("net.onnx", "net.tflite", "net.pt"):
        export(capsys, NET, "-o", tmp_path / name)
    x = np.random.default_rng(0).standard_normal((1, 1, 32, 32)).astype(np.float32)
    expected = onnxruntime.InferenceSession(tmp_path / "net.onnx").run(None, {"input": x})[0]
    np.testing.assert_allclose(
        litert((tmp_path / "net.tflite").read_bytes(), x.transpose(0, 2, 3, 1)), expected, atol=1e-5
    )
    np.testing.assert_allclose(torch.jit.load(tmp_path / "net.pt")(torch.from_numpy(x)).numpy(), expected, atol=1e-5)


def test_float16_is_half_as_large_and_as_good_as_float16_can_be(tmp_path, capsys):
    file = tmp_path / "net.tflite"
    data = export(capsys, NET, "--form", "fp16", "-o", file)
    assert data["bytes"] < 0.53 * len(to_tflite(zoo.get(NET)).serialize())
    assert 1e-6 < data["relative_error"] < 2e-3
    model = parse(file.read_bytes())
    halves = [tensor.name for tensor in model.tensors if tensor.type == "float16"]
    assert "classifier.bias" in halves or any(name.endswith(".bias") for name in halves)
    assert [op.kind for op in model.operators].count("DEQUANTIZE") == len(halves)


def test_a_weight_that_float16_does_not_hold_is_named():
    weights = random_weights(zoo.get(NET))
    name = next(name for name in weights if name.endswith("weight"))
    weights[name] = weights[name] * 1e7
    with pytest.raises(Exception, match="beyond 65504") as raised:
        halve(to_tflite(zoo.get(NET), weights))
    assert raised.value.path == name


def test_int8_needs_images_or_says_that_they_are_random(tmp_path, capsys):
    said = export(capsys, NET, "--form", "int8", "-o", tmp_path / "net.tflite", code=2)
    assert "int8 needs images" in said
    assert "--data photos/, or --random" in said
    data = export(capsys, NET, "--form", "int8", "--random", "-o", tmp_path / "net.tflite")
    assert (data["images"], data["pixels"]) == ("random", True)
    assert data["snr_db"] > 25
    layers, ratios = zip(*data["layer_snr"], strict=True)
    assert set(layers) == {"stage1.act", "stage2.act", "head.act1", "head.act2", "output"}
    assert list(ratios) == sorted(ratios)
    assert min(ratios) > 20
    assert parse((tmp_path / "net.tflite").read_bytes()).tensors[0].type == "int8"


def test_a_network_becomes_c_that_a_microcontroller_has_all_operators_for(tmp_path, capsys):
    data = export(capsys, NET, "--random", "-o", tmp_path / "digits.c")
    assert data["files"] == [str(tmp_path / "digits.c"), str(tmp_path / "digits.h")]
    assert '#include "digits.h"' in (tmp_path / "digits.c").read_text()
    assert data["arena"] % 1024 == 0
    said = export(capsys, "convnext_atto", "--resolution", 32, "--random", "-o", tmp_path / "no.c", code=2)
    assert "no GELU" in said
    assert not (tmp_path / "no.c").exists()


def test_a_package_becomes_a_file_that_takes_pixels_and_knows_its_classes(tmp_path, capsys):
    float_package(tmp_path / "out")
    file = tmp_path / "net.tflite"
    export(capsys, tmp_path / "out", "-o", file)
    with zipfile.ZipFile(file) as archive:
        assert archive.read("labels.txt").decode().splitlines() == ["a", "b", 'c"?', "ä"]
    model = parse(file.read_bytes())
    assert model.tensors[model.inputs[0]].type == "uint8"
    assert normalisation(file.read_bytes()) == ((0.0,), (1.0,)), "it takes pixels as they are"
    said = export(capsys, tmp_path / "out", "--resolution", 64, "-o", file, code=2)
    assert "a package has its weights, labels and resolution" in said


def test_weights_of_a_file_are_in_the_tflite_file(tmp_path, capsys):
    sent = random_weights(zoo.get(NET), seed=5)
    save_file({name: torch.from_numpy(array) for name, array in sent.items()}, tmp_path / "w.safetensors")
    export(capsys, NET, "--weights", tmp_path / "w.safetensors", "-o", tmp_path / "net.tflite")
    kept = {tensor.name: tensor.data for tensor in parse((tmp_path / "net.tflite").read_bytes()).tensors}
    bias = next(name for name in sent if name.endswith("bias"))
    assert np.array_equal(kept[bias], sent[bias])


def normalisation(content):
    """(mean, std) in the metadata of a file, read by the numbers of the schema's fields."""
    metadata = parse(content).metadata["TFLITE_METADATA"]
    assert metadata[4:8] == b"M001"
    root = TableReader(metadata, struct.unpack_from("<I", metadata)[0])
    (unit,) = root.tables(3)[0].tables(2)[0].tables(4)
    assert unit.value(0, "<B", 0) == 1
    options = unit.table(1)
    return options.numbers(0, "<f4"), options.numbers(1, "<f4")


def test_what_a_float_file_takes_of_pixels_is_in_its_metadata():
    model = to_tflite(zoo.get("mobilenetv2_035", resolution=32, classes=2))
    facts = ModelFacts(("cat", "dog"), (0.5, 0.4, 0.3), (0.2, 0.25, 0.25), "apache-2.0")
    content = describe(model, facts)
    mean, std = normalisation(content)
    assert mean == pytest.approx((127.5, 102.0, 76.5))
    assert std == pytest.approx((51.0, 63.75, 63.75))
    assert normalisation(describe(with_pixels(model, facts.mean, facts.std), facts)) == ((0.0,), (1.0,))
    assert content == describe(model, facts), "equal models are equal files"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["labels.txt"]
    Interpreter(model_content=content).allocate_tensors()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-o", "net.foo"), "suffix does not say"),
        (("-o", "net.onnx", "--to", "tflite"), "ends in .tflite"),
        (("-o", "net.tflite", "--batch", "4"), "one image at a time"),
        (("-o", "net.onnx", "--form", "int8"), "--form is for .tflite files"),
        (("-o", "net.tflite", "--random"), "images are read for int8 alone"),
        (("-o", "net.tflite", "--form", "int8", "--data", "nowhere/"), "nowhere"),
        (("-o", "net.tflite", "--labels", "two.txt"), "2 labels for 10 outputs"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two.txt").write_text("cat\ndog\n")
    assert message in export(capsys, NET, *words, code=2)
    assert [path.name for path in tmp_path.iterdir()] == ["two.txt"]


def test_a_file_of_another_size_is_refused_and_says_its_own(tmp_path, capsys):
    file = tmp_path / "net.tflite"
    file.write_bytes(to_tflite(zoo.get(NET)).serialize())
    assert load_any(str(file), resolution=32)[0].input == (32, 32, 1)
    assert run(["bench", str(file), "--runtime", "litert", "--resolution", "64"]) == 2
    assert "this file takes 32x32x1 and nothing else" in capsys.readouterr().err
    with pytest.raises(NetlatheError, match="nothing else"):
        load_any(str(file), [InputShape((3, 32, 32))])


def test_a_module_is_no_expression_and_is_told_so(tmp_path, capsys):
    (tmp_path / "net.py").write_text("import torch\n\ndef net():\n    return torch.nn.Conv2d(3, 4, 3)\n")
    assert "only expressions" in export(capsys, f"{tmp_path / 'net.py'}:net", "-o", tmp_path / "n.tflite", code=2)
