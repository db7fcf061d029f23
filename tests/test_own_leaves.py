"""A leaf of one's own is like any other after one registration, also in documents."""

import json
from pathlib import Path

import pytest
from command import netlathe

from netlathe.arch import own_leaves
from netlathe.arch.document import from_json, to_json
from netlathe.arch.leaf import Leaf
from netlathe.arch.node import node
from netlathe.arch.own_leaves import register_leaf
from netlathe.errors import NetlatheError
from netlathe.load import load
from netlathe.lower.initial import initial_weights
from netlathe.lower.onnx import to_onnx

PAGE = (Path(__file__).parent.parent / "docs" / "add" / "leaf.md").read_text()
SOURCE = PAGE.split("```python\n")[1].split("```")[0]  # as its reader saves it


@pytest.fixture(autouse=True)
def unregistered(monkeypatch):
    for table in ("OWN", "BY_CLASS"):
        monkeypatch.setattr(own_leaves, table, dict(getattr(own_leaves, table)))
        monkeypatch.setattr("netlathe.arch.document.OWN", own_leaves.OWN)
    monkeypatch.setattr(own_leaves, "RUN", set())


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "swish.py"
    path.write_text(SOURCE)
    return path


def test_a_document_names_the_file_and_reads_back_where_it_was_run(file):
    (network,) = load(f"{file}:network")
    document = to_json(network)
    assert json.loads(document)["leaves"] == {"channelswish": "swish.py:ChannelSwish"}
    assert from_json(document) == network


def test_reading_a_document_runs_nothing_until_the_file_is_named(file, tmp_path):
    (network,) = load(f"{file}:network")
    (tmp_path / "arch.json").write_text(to_json(network))
    own_leaves.OWN.clear()
    done = netlathe("cost", "arch.json", cwd=tmp_path, code=2)
    assert "a leaf of swish.py:ChannelSwish, which has not been run" in done.stderr
    assert "NETLATHE_LEAVES=swish.py" in done.stderr
    refused = netlathe("--no-code", "cost", "arch.json", cwd=tmp_path, code=2, NETLATHE_LEAVES="swish.py")
    assert "no code is wanted" in refused.stderr
    own_leaves.RUN.clear()
    named = netlathe("cost", "arch.json", "--json", cwd=tmp_path, NETLATHE_LEAVES="swish.py")
    assert json.loads(named.stdout)["data"]["params"] == 8 * 27 + 16 + 16 + 45


def test_two_projects_may_have_a_leaf_of_one_name(file, tmp_path):
    (tmp_path / "other.py").write_text(SOURCE)
    nets = [load(f"{tmp_path / name}:network")[0] for name in ("swish.py", "other.py")]
    assert [json.loads(to_json(net))["leaves"]["channelswish"] for net in nets] == [
        "swish.py:ChannelSwish",
        "other.py:ChannelSwish",
    ]
    assert all(to_onnx(net) for net in nets)
    with pytest.raises(NetlatheError, match=r"only other.py:ChannelSwish has"):
        from_json(to_json(nets[0]))


def test_a_training_starts_from_what_the_leaf_says(file):
    (network,) = load(f"{file}:network")
    leaf = network.graph().ops[2].leaf
    own = own_leaves.BY_CLASS[type(leaf)]
    register_leaf(type(leaf), source=own.source, init=lambda leaf, name, shape: [2.0] * shape[0], **own.readings)
    assert initial_weights(network, "he")["swish.weight"].tolist() == [2.0] * 8


@node
class Conv(Leaf):
    """A leaf with a name that is taken."""

    kind = "act"


def test_names_are_of_one_leaf_each():
    with pytest.raises(NetlatheError, match="'conv' is that of a part of Netlathe"):
        register_leaf(Conv, torch=print, onnx=print)
    with pytest.raises(NetlatheError, match="write @node above"):
        register_leaf(int, torch=print, onnx=print)


def test_leaves_of_a_document_are_words_by_kind():
    document = {
        "schema": "netlathe.arch/1",
        "name": "x",
        "input": [3, 8, 8],
        "body": {"kind": "odd"},
        "leaves": {"odd": 3},
    }
    with pytest.raises(NetlatheError, match="must say by kind where leaves come from"):
        from_json(json.dumps(document))
