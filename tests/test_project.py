"""Projects of every shape load as they are: what `file.py:name` and `package.module:name` mean."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import command, netlathe

from netlathe.arch.net import Net
from netlathe.errors import NetlatheError
from netlathe.load import load_any
from netlathe.read.example import read_example

HEAD = "import torch\nfrom torch import nn\n"
CONV = "nn.Conv2d(3, 8, 3)"  # 224 params
NET = f"""{HEAD}
class Net(nn.Module):
    def __init__(self, c=8, act="relu", depths=(1,)):
        super().__init__()
        self.convs = nn.Sequential(*[nn.Conv2d(3 if i == 0 else c, c, 3) for i in range(sum(depths))])
        self.act = nn.SiLU() if act == "silu" else nn.ReLU()
    def forward(self, x):
        return self.act(self.convs(x))
"""
LINEAR = f"{HEAD}def block(c):\n    return nn.Conv2d(3, c, 3)\n"
# name -> (files, what is typed, params). Files that are no network end in a way that would break a plain import.
PROJECTS: dict[str, tuple[dict[str, str], str, int]] = {
    "a function": ({"net.py": f"{HEAD}def make():\n    return {CONV}\n"}, "net.py:make", 224),
    "a class": ({"net.py": NET}, "net.py:Net", 224),
    "a class with arguments": ({"net.py": NET}, "net.py:Net:c=16,act=silu", 448),
    "an argument that is a tuple": ({"net.py": NET}, "net.py:Net:depths=(1,1)", 224 + 584),
    "a function with an argument it needs": ({"net.py": LINEAR}, "net.py:block:c=8", 224),
    "an instance": ({"net.py": f"{HEAD}net = {CONV}\n"}, "net.py:net", 224),
    "an instance in a namespace": ({"net.py": f"{HEAD}class Zoo:\n    net = {CONV}\n"}, "net.py:Zoo.net", 224),
    "an expression": (
        {"net.py": "from netlathe.arch.build import conv, head, seq\nnet = seq(conv(8, 3), head=head(10))\n"},
        "net.py:net",
        216 + 16 + 90,
    ),
    "a neighbour": (
        {"net.py": "from helper import block\ndef make():\n    return block(8)\n", "helper.py": LINEAR},
        "net.py:make",
        224,
    ),
    "a neighbour that is imported late": (
        {"net.py": "def make():\n    from helper import block\n    return block(8)\n", "helper.py": LINEAR},
        "net.py:make",
        224,
    ),
    "a folder of neighbours": (
        {"net.py": "from parts.helper import block\nnet = block(8)\n", "parts/helper.py": LINEAR},
        "net.py:net",
        224,
    ),
    "a file in a package": (
        {"pkg/__init__.py": "", "pkg/net.py": "from .helper import block\nnet = block(8)\n", "pkg/helper.py": LINEAR},
        "pkg/net.py:net",
        224,
    ),
    "a package without __init__.py": (
        {"pkg/net.py": "from .helper import block\nnet = block(8)\n", "pkg/helper.py": LINEAR},
        "pkg/net.py:net",
        224,
    ),
    "a module of a package": (
        {"pkg/__init__.py": "", "pkg/net.py": "from .helper import block\nnet = block(8)\n", "pkg/helper.py": LINEAR},
        "pkg.net:net",
        224,
    ),
    "a module in this folder": ({"mynet.py": NET}, "mynet:Net:c=16", 448),
    "a module that is installed": ({}, "torch.nn:Conv2d:in_channels=3,out_channels=8,kernel_size=3", 224),
    "imports from the root of the project": (
        {
            "pyproject.toml": "",
            "models/net.py": "from blocks.helper import block\nnet = block(8)\n",
            "blocks/helper.py": LINEAR,
        },
        "models/net.py:net",
        224,
    ),
    "imports from src": (
        {
            "pyproject.toml": "",
            "scripts/net.py": "from own.helper import block\nnet = block(8)\n",
            "src/own/__init__.py": "",
            "src/own/helper.py": LINEAR,
        },
        "scripts/net.py:net",
        224,
    ),
    "the __init__.py of a package": (
        {"pkg/__init__.py": "from .helper import block\nnet = block(8)\n", "pkg/helper.py": LINEAR},
        "pkg/__init__.py:net",
        224,
    ),
    "argparse at import": (
        {
            "net.py": "import argparse\np = argparse.ArgumentParser()\np.add_argument('--c', type=int, default=8)\n"
            f"args = p.parse_args()\n{LINEAR}net = block(args.c)\n"
        },
        "net.py:net",
        224,
    ),
    "dataclasses with postponed annotations": (
        {
            "net.py": "from __future__ import annotations\nfrom dataclasses import dataclass\n"
            f"from typing import ClassVar\n{HEAD}@dataclass\nclass Config:"
            "\n    kernel: ClassVar[int] = 3\n    c: int = 8\n"
            "def make():\n    return nn.Conv2d(3, Config().c, Config.kernel)\n"
        },
        "net.py:make",
        224,
    ),
    "a name that a library has": ({"torch.py": f"{HEAD}net = {CONV}\n"}, "torch.py:net", 224),
    "a name that is no identifier": ({"my-net.v2.py": NET}, "my-net.v2.py:Net", 224),
    "it looks at values while it is built": (
        {
            "net.py": f"{HEAD}def make():\n    rates = [r.item() for r in torch.linspace(0, 0.1, 3)]\n"
            "    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Dropout(rates[1]))\n"
        },
        "net.py:make",
        224,
    ),
    "it looks at its buffers while it runs": (
        {
            "net.py": f"{HEAD}class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
            f"        self.conv = {CONV}\n        self.register_buffer('on', torch.tensor(True))\n"
            "    def forward(self, x):\n        return self.conv(x) if self.on else x\n"
        },
        "net.py:Net",
        224,
    ),
    "it moves to another folder": (
        {"net.py": f"import os\nos.chdir('/')\n{HEAD}net = {CONV}\n"},
        "net.py:net",
        224,
    ),
}


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def params(net: Net) -> int:
    return sum(op.params for op in net.graph().ops)


@pytest.mark.parametrize("shape", PROJECTS)
def test_a_project_of_this_shape_loads(shape: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, text, expected = PROJECTS[shape]
    write(tmp_path, files)
    monkeypatch.chdir(tmp_path)
    (net,) = load_any(text)
    assert params(net) == expected
    assert Path.cwd() == tmp_path


def test_two_projects_may_each_have_a_helper(tmp_path: Path) -> None:
    late = f"{HEAD}class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    late += "        from helper import block\n        self.block = block()\n"
    late += "    def forward(self, x):\n        from helper import act\n        return act(self.block(x))\n"
    for name, width in {"a": 8, "b": 16}.items():
        helper = f"{HEAD}def block():\n    return nn.Conv2d(3, {width}, 3)\ndef act(x):\n    return x.relu()\n"
        write(tmp_path / name, {"net.py": late, "helper.py": helper if name == "a" else helper.replace("relu", "tanh")})
    nets = [load_any(f"{tmp_path / name / 'net.py'}:Net")[0] for name in "ab"]
    assert [(params(net), net.graph().ops[-1].form) for net in nets] == [(224, "relu"), (448, "tanh")]


def test_a_helper_that_has_changed_is_read_again(tmp_path: Path) -> None:
    for width in (8, 16):
        helper = f"{HEAD}net = nn.Conv2d(3, {width}, 3)\n" + "#" * width  # of another size, for Python's cache
        write(tmp_path, {"net.py": "from helper import net\n", "helper.py": helper})
        (net,) = load_any(f"{tmp_path / 'net.py'}:net")
        assert params(net) == 28 * width


def test_what_a_project_prints_stays_out_of_the_document(tmp_path: Path) -> None:
    loud = f"print('import')\n{HEAD}class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    loud += f"        print('build')\n        self.conv = {CONV}\n"
    loud += "    def forward(self, x):\n        print('forward')\n        return self.conv(x)\n"
    write(tmp_path, {"loud.py": loud})
    done = netlathe("cost", "loud.py:Net", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["data"]["params"] == 224
    assert all(word in done.stderr for word in ("import", "build", "forward"))


HUGE = f"{HEAD}def make():\n    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 224 * 224, 3 * 10**8))\n"


def test_a_module_too_large_for_memory_is_counted(tmp_path: Path) -> None:
    write(tmp_path, {"net.py": HUGE})
    (net,) = load_any(f"{tmp_path / 'net.py'}:make")  # 180 TB of weights
    assert params(net) == (150_528 + 1) * 3 * 10**8


def test_a_module_that_is_run_has_the_weights_that_its_code_gives_it(tmp_path: Path) -> None:
    source = f"{HEAD}def make():\n    net = {CONV}\n    nn.init.constant_(net.weight, 0.5)\n    return net\n"
    write(tmp_path, {"net.py": source})
    (net,) = load_any(f"{tmp_path / 'net.py'}:make")
    assert float(net.module().weight.detach().sum()) == 108.0


@pytest.mark.parametrize(
    ("source", "text", "code", "message"),
    [
        ("import sys\nsys.exit()\n", "net.py:net", "load.broken_file", "it ends the process (SystemExit: None)"),
        ("raise SystemExit(0)\n", "net.py:net", "load.broken_file", "__main__"),
        (
            "import argparse\np = argparse.ArgumentParser()\np.add_argument('path')\np.parse_args()\n",
            "net.py:net",
            "load.broken_file",
            "it ends the process (SystemExit: 2)",
        ),
        (NET, "net.py", "load.no_function", "write net.py:Net"),
        (NET, "net.py:Nett", "load.unknown_function", "did you mean Net?"),
        (NET, "net.py:Net:w=8", "load.choice", "it is Net(c=8, act='relu', depths=(1,))"),
        (NET, "net.py:Net:c", "load.choice", "write net.py:Net:width=8"),
        (NET, "net.py:Net:c=8,c=9", "load.choice", "no arguments"),
        (NET, "net.py:Net:c=__import__('os')", "load.choice", "no arguments"),
        (LINEAR, "net.py:block", "load.choice", "block needs c"),
        (f"{HEAD}net = {CONV}\n", "net.py:net:c=8", "load.choice", "it takes no choices"),
        ("def net(:\n", "net.py", "load.broken_file", "no Python"),
        ("", "nothing.here:net", "load.no_module", "neither an installed package 'nothing'"),
        ("from torch import nothing\n", "net.py:net", "load.broken_file", "cannot import name"),
    ],
)
def test_what_does_not_load_says_what_to_do(source: str, text: str, code: str, message: str, tmp_path: Path) -> None:
    write(tmp_path, {"net.py": source})
    done = command("cost", text, "--json", cwd=tmp_path)
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["code"]) == (2, code)
    assert message in f"{error['message']} {error['hint']}"


def test_a_neighbour_never_stands_for_a_library_and_the_error_says_so(tmp_path: Path) -> None:
    write(tmp_path, {"net.py": "from colorsys import block\n", "colorsys.py": LINEAR})
    with pytest.raises(NetlatheError, match="a neighbour never stands for a library: PYTHONPATH="):
        load_any(f"{tmp_path / 'net.py'}:block")


def test_no_module_is_run_where_no_code_is_wanted(tmp_path: Path) -> None:
    write(tmp_path, {"mynet.py": NET})
    assert "no code is wanted" in netlathe("--no-code", "cost", "mynet:Net", cwd=tmp_path, code=2).stderr


def test_a_slip_in_a_name_of_the_zoo_is_none_of_a_module() -> None:
    with pytest.raises(NetlatheError, match="unknown network"):
        load_any("resnet5o:alpha")


WORDS = f"""{HEAD}
class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(100, 8), nn.Linear(8, 2)
    def forward(self, ids, mask=None, *, scale):
        x = self.embed(ids) * mask[..., None]
        return self.head(x.mean(1)) * scale["by"][0]

def keywords():
    ids = torch.ones(1, 16, dtype=torch.int64)
    return dict(ids=ids, mask=torch.ones(1, 16), scale=dict(by=[torch.ones(1, 1)]))

def both():
    given = keywords()
    return (given["ids"], given["mask"]), dict(scale=given["scale"])

def empty():
    return 3
"""


@pytest.mark.parametrize("function", ["keywords", "both"])
def test_an_example_says_what_a_forward_is_called_with(function: str, tmp_path: Path) -> None:
    write(tmp_path, {"words.py": WORDS})
    done = netlathe("cost", "words.py:Words", "--example", f"words.py:{function}", "--json", cwd=tmp_path)
    data = json.loads(done.stdout)["data"]
    assert (data["params"], data["macs"]) == (800 + 18, 16)


def test_a_module_with_an_example_runs_as_torch_exports_it(tmp_path: Path) -> None:
    write(tmp_path, {"words.py": WORDS})
    (net,) = load_any(f"{tmp_path / 'words.py'}:Words", example=read_example(f"{tmp_path / 'words.py'}:keywords"))
    (again,) = load_any(str(net.onnx(tmp_path, batch=2)))
    assert [(feed.shape, feed.type) for feed in net.feeds(2)] == [
        ((2, 16), "int64"),
        ((2, 16), "float32"),
        ((2, 1), "float32"),
    ]
    assert len(again.inputs) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["words.py:Words", "--example", "words.py:empty"], "gives no tensors with a batch axis"),
        (["resnet18", "--example", "words.py:keywords"], "resnet18 is no torch module"),
        (["words.py:Words", "--example", "words.py:keywords", "--input", "3x8x8"], "leave --input"),
        (["words.py:Words", "--example", "words"], "write --example file.py:function"),
    ],
)
def test_an_example_that_is_none_is_named(words: list[str], message: str, tmp_path: Path) -> None:
    write(tmp_path, {"words.py": WORDS})
    done = command("cost", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr


def test_frozen_weights_are_told(tmp_path: Path) -> None:
    source = f"{HEAD}def make():\n    net = nn.Sequential({CONV}, nn.ReLU())\n    net[0].weight.requires_grad = False\n"
    write(tmp_path, {"net.py": source + "    return net\n"})
    assert (
        "216 params have requires_grad=False and count as buffers: 0"
        in netlathe("cost", "net.py:make", cwd=tmp_path).stderr
    )


def test_a_module_that_cannot_be_exported_prints_nothing_into_the_document(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = f"{HEAD}class Net(nn.Module):\n    def forward(self, x):\n        return torch.linalg.matrix_exp(x)\n"
    write(tmp_path, {"net.py": source})
    (net,) = load_any(f"{tmp_path / 'net.py'}:Net")
    with pytest.raises(NetlatheError, match="torch cannot export"):
        net.onnx(tmp_path)
    assert capfd.readouterr().out == ""


def test_a_transposed_matrix_is_exported(tmp_path: Path) -> None:
    source = f"{HEAD}class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    source += f"        self.conv = {CONV}\n    def forward(self, x):\n        y = self.conv(x).flatten(2)\n"
    source += "        return y @ y.mT\n"
    write(tmp_path, {"net.py": source})
    (net,) = load_any(f"{tmp_path / 'net.py'}:Net", resolution=16)
    (again,) = load_any(str(net.onnx(tmp_path)))
    assert params(again) == params(net) == 224
