"""A network is a zoo name with changed choices, a pattern, a function of a file, or an arch.json."""

import os
import sys

import pytest

from netlathe import zoo
from netlathe.arch.document import to_json
from netlathe.errors import NetlatheError
from netlathe.load import load, load_any

SOURCE = """
from netlathe.arch.build import conv, head, seq
from netlathe.arch.network import Network

def expression():
    return seq(stem=conv(8, 3, 2), head=head(10))

def network():
    return Network("mine", expression(), (1, 28, 28))

def number():
    return 3

def wrong():
    return seq(stem=conv(0, 3))
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    return path


def test_a_file_is_run_as_it_is_now_though_it_changed_within_a_second_and_not_in_length(file, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    for width in (8, 9):
        file.write_text(SOURCE.replace("conv(8", f"conv({width}"))
        os.utime(file, (1e9, 1e9))
        (network,) = load(f"{file}:network")
        assert network.graph().ops[0].out_shape[0] == width


def test_a_zoo_name_may_change_free_choices():
    (network,) = load("mobilenetv1:alpha=0.5,resolution=160")
    assert network == zoo.get("mobilenetv1", alpha=0.5, resolution=160)
    (resnext,) = load("resnext50_32x4d:groups=8,group_width=14")
    assert resnext.body == zoo.get("resnext50_8x14d").body


def test_a_name_may_end_in_its_resolution_as_tables_write_it(tmp_path):
    assert load("resnet50@160") == [zoo.get("resnet50").at(160)]
    assert [network.input for network in load("resnet*_v1@96")] == 3 * [(3, 96, 96)]
    assert load("mobilenetv1:alpha=0.5@128") == [zoo.get("mobilenetv1", alpha=0.5).at(128)]
    path = tmp_path / "me@160" / "arch.json"
    path.parent.mkdir()
    path.write_text(to_json(zoo.get("vgg11")))
    assert load(str(path)) == [zoo.get("vgg11")]
    with pytest.raises(NetlatheError, match="no resolution after the @"):
        load("resnet50@big")
    with pytest.raises(NetlatheError, match="give the input twice"):
        load_any("resnet50@160", resolution=128)


def test_a_pattern_names_several():
    assert [network.name for network in load("resnet*_v1")] == ["resnet50_v1", "resnet101_v1", "resnet152_v1"]


def test_a_function_gives_an_expression_or_a_network(file):
    (network,) = load(f"{file}:network")
    assert (network.name, network.input) == ("mine", (1, 28, 28))
    (expression,) = load(f"{file}:expression")
    assert (expression.name, expression.input) == ("expression", (3, 224, 224))


def test_a_document_gives_its_network(tmp_path):
    path = tmp_path / "arch.json"
    path.write_text(to_json(zoo.get("vgg11")))
    assert load(str(path)) == [zoo.get("vgg11")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("resnet5", "did you mean resnet56 or resnet50"),
        ("nothing*", "unknown pattern"),
        ("mobilenetv1:alhpa=0.5", "did you mean alpha?"),
        ("mobilenetv1:alpha", "write mobilenetv1:alpha=0.5"),
        ("mobilenetv1:alpha=-1", "mobilenetv1 cannot be built with alpha=-1"),
        ("mobilenetv1:classes=0", "must be at least 1"),
        ("resnet50:depths=3", "resnet50 cannot be built with depths=3"),
        ("resnet50:resolution=0", "must be at least 1"),
        ("resnet50:resolution=abc", "it must be a whole number"),
        ("lenet5:classes=ten", "it must be a whole number"),
        ("lenet5:classes=1e308", "it must be a whole number"),
        ("lenet5:classes=99999999999999", "a whole number up to 10,000,000"),
        ("alexnet_grouped:groups=nan", "it must be a whole number"),
        ("mobilenetv1:alpha=1e308", "a number up to 10,000,000"),
        ("vgg11:bn=3", "it must be true or false"),
        ("resnext101_32x8d:group_width=99999999999999", "a whole number up to"),
        ("unet:depth=1000000000", "a whole number up to 1,000"),
        ("missing.json", "cannot read this file: No such file"),
        ("missing.py:f", "cannot read this file: No such file"),
        ("missing.py", "say which function"),
        ("model.onnx", "cannot read this file: No such file"),
        ("/", "unknown network"),
    ],
)
def test_what_cannot_be_loaded_says_why(text, said):
    with pytest.raises(NetlatheError) as caught:
        load(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("netwrk", "did you mean network?"),
        ("number", "returned int, not an expression, a Network or a torch module"),
        ("wrong", "width must be at least 1, not 0"),
    ],
)
def test_a_function_that_gives_no_network_is_named(file, function, said):
    with pytest.raises(NetlatheError, match=r"mine\.py") as caught:
        load(f"{file}:{function}")
    assert said in str(caught.value)


def test_a_file_that_does_not_run_is_named(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("import nothing_of_that_name\n")
    with pytest.raises(NetlatheError, match="this file does not run: ModuleNotFoundError"):
        load(f"{path}:f")


def test_a_folder_and_a_binary_file_are_not_documents(tmp_path):
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(NetlatheError, match="it is a folder"):
        load(str(tmp_path / "folder.json"))
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(NetlatheError, match="it is not text"):
        load(str(binary))
