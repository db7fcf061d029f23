"""arch.json round-trips (networks of the zoo: law 4 in test_laws.py); a broken one is answered with all its faults."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netlathe import zoo
from netlathe.arch import document
from netlathe.arch.build import concat, conv, gate, residual, seq, stage
from netlathe.arch.combinators import Choice, Dag, Identity, Side, Vertex
from netlathe.arch.joins import Add, Cat, Select
from netlathe.arch.layers import Act, Conv, Norm
from netlathe.arch.leaf import Times
from netlathe.arch.network import Network
from netlathe.arch.notation import to_text
from netlathe.arch.pools import GlobalPool, Pool
from netlathe.errors import NetlatheError

leaves = st.one_of(
    st.builds(Conv, st.one_of(st.none(), st.integers(1, 64), st.builds(Times, st.integers(1, 9), st.integers(1, 4)))),
    st.builds(Conv, st.integers(1, 9), st.tuples(st.integers(1, 3), st.integers(1, 7)), bias=st.booleans()),
    st.builds(Norm, st.sampled_from(["batch", "layer"]), st.floats(1e-8, 1)),
    st.builds(Act, st.sampled_from(["relu", "gelu"])),
    st.builds(
        Pool, st.sampled_from(["max", "avg"]), st.integers(2, 5), st.none() | st.integers(1, 3), ceil=st.booleans()
    ),
    st.just(Select((0, 2))),
)
expressions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda a, b: seq(a=a, b=b), inner, inner),
        st.builds(lambda a, b: concat(a=a, b=b), inner, inner),
        st.builds(lambda a, b: Choice(("one", "two"), (a, b)), inner, inner),
        st.builds(lambda a, b: residual(a=a, project=b), inner, inner),
        st.builds(lambda a: residual(a=a, optional=True), inner),
        st.builds(lambda a: gate(a=a, b=GlobalPool()), inner),
        st.builds(lambda a, n: stage(a, n), inner, st.integers(1, 4)),
        st.builds(Side, inner),
        st.builds(lambda a: Dag(2, (Vertex("x", a, ("in0",)), Vertex("y", Add(), ("x", "in1")))), inner),
    ),
    max_leaves=8,
)


@settings(max_examples=150)
@given(expressions)
def test_every_expression_survives_its_document(expression):
    network = Network("mine", expression)
    assert document.from_json(document.to_json(network)) == network


def test_every_kind_of_node_can_be_written_and_read():
    assert {
        "conv",
        "seq",
        "stage",
        "dag",
        "vertex",
        "times",
        "choice",
        "rbf",
        "identity",
    } <= document.node_kinds().keys()


def faults(change):
    good = json.loads(document.to_json(zoo.get("resnet18")))
    change(good)
    with pytest.raises(NetlatheError) as caught:
        document.from_json(json.dumps(good), source="mine.json")
    return str(caught.value)


def test_all_faults_are_reported_at_once_with_their_paths_and_the_nearest_names():
    def change(good):
        stem = good["body"]["items"][0]["items"][0]
        stem["kernle"] = 3
        stem["width"] = "64"
        good["body"]["items"][1]["kind"] = "stge"
        good["body"]["items"][2]["depth"] = 0
        good["inptu"] = [3, 32, 32]

    said = faults(change)
    assert "mine.json: 5 faults; nothing was run" in said
    assert "body.items[0].items[0].kernle: conv has no such field (did you mean kernel?)" in said
    assert "body.items[0].items[0].width: '64' does not fit" in said
    assert "body.items[1]: unknown kind 'stge' (did you mean stage?)" in said
    assert "body.items[2]: depth must be at least 1, not 0" in said
    assert "inptu: unknown field (did you mean input?)" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.update(schema="netlathe.arch/9"), "schema: must be 'netlathe.arch/1'"),
        (lambda d: d.update(input=[3, 0, 32]), "input: must be sizes such as [channels, height, width]"),
        (lambda d: d.update(input="3x32x32"), "input: must be"),
        (lambda d: d.pop("body"), "body: is missing"),
        (lambda d: d.update(body=[1]), "body: must be a node"),
        (lambda d: d["body"].update(items=[]), "at least one"),
        (lambda d: d["body"]["items"][0].pop("kind"), "kind is missing"),
        (lambda d: d["body"]["items"][1].pop("depth"), "depth: is missing"),
        (lambda d: d["body"]["items"][1].update(depth=True), "depth: True does not fit"),
        (lambda d: d["body"]["items"][1].update(block=None), "block"),
    ],
)
def test_each_fault_is_named(change, said):
    assert said in faults(change)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", '{"schema": 1}', "\x00"])
def test_what_is_no_document_is_refused(text):
    with pytest.raises(NetlatheError):
        document.from_json(text)


def test_the_text_notation_reads_like_the_paper():
    text = to_text(zoo.get("resnet50"))
    assert text.splitlines()[:8] == [
        "resnet50  3x224x224",
        "  stem       conv 7x7 64 /2 > batch norm > relu > max pool 3x3 /2 pad 1",
        "  stage1     3 x",
        "    block",
        "      x + f(x), a projected x where the shape changes",
        "        squeeze    conv 1x1 64 > batch norm > relu",
        "        process    conv 3x3 64 > batch norm > relu",
        "        expand     conv 1x1 256 > batch norm",
    ]


def test_the_text_notation_shows_every_network():
    nameless = [name for name in zoo.names() if "object at 0x" in to_text(zoo.get(name))]
    assert not nameless


def test_the_text_notation_shows_wiring_and_choices():
    cell = Dag(1, (Vertex("a", conv(8), ("in0",)), Vertex("b", Cat(), ("a", "in0"))))
    text = to_text(Network("mine", seq(cell=cell, pick=Choice(("x", "y"), (Identity(), conv(8))))))
    assert "a(in0)" in text
    assert "one of" in text
