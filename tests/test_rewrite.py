"""Rewrites give new expressions, keep paths, and fail loudly when nothing matched."""

import pytest

from netlathe import zoo
from netlathe.arch.build import conv, relu, seq, stage
from netlathe.arch.combinators import Choice, Seq, Stage
from netlathe.arch.graph import graph
from netlathe.arch.layers import Act, Conv
from netlathe.arch.rewrite import at, replace_at, resolve, rewrite, walk
from netlathe.errors import NetlatheError

IMAGE = (3, 64, 64)


def to_silu(path, node):
    return Act("silu") if node == relu else None


def test_a_rule_applies_everywhere_and_leaves_the_original_alone():
    before = zoo.get("resnet50").body
    after = rewrite(before, to_silu)
    forms = [op.form for op in graph(after, IMAGE).ops if op.kind == "act"]
    assert set(forms) == {"silu"}
    assert len(forms) == sum(op.kind == "act" for op in graph(before, IMAGE).ops)
    assert before == zoo.get("resnet50").body


def test_a_rule_that_matches_nothing_is_an_error():
    with pytest.raises(NetlatheError, match="silu to silu matched nothing"):
        rewrite(zoo.get("vgg11").body, lambda path, node: node if node == Act("silu") else None, name="silu to silu")


def test_a_uniform_rewrite_keeps_stages_folded():
    stages = [node for _, node in walk(rewrite(zoo.get("resnet50").body, to_silu)) if isinstance(node, Stage)]
    assert [node.depth for node in stages] == [3, 4, 6, 3]


def test_replacing_in_one_block_of_a_stage_spells_the_stage_out_with_the_same_paths():
    before = zoo.get("resnet50").body
    after = replace_at(before, "stage3.block4.squeeze.act", Act("gelu"))
    old, new = graph(before, IMAGE).ops, graph(after, IMAGE).ops
    assert [op.path for op in old] == [op.path for op in new]
    assert [op.path for op in new if op.form == "gelu"] == ["stage3.block4.squeeze.act"]
    assert isinstance(at(after, "stage3"), Seq)


def test_replacing_the_first_block_keeps_the_stage_folded():
    after = replace_at(zoo.get("resnet50").body, "stage2.block1.process.act", Act("gelu"))
    assert isinstance(at(after, "stage2"), Stage)


def test_an_unknown_path_names_the_nearest():
    with pytest.raises(NetlatheError, match=r"stage3\.block1\.squeeze"):
        at(zoo.get("resnet50").body, "stage3.block1.sqeeze")


def test_a_choice_is_resolved_by_path_and_option():
    space = seq(stem=conv(8, 3), body=stage(Choice(("small", "large"), (Conv(8, 3), Conv(8, 5))), 2))
    picked = resolve(space, {"body.block1": "large", "body.block2": "small"})
    kernels = [op.weights["weight"][-1] for op in graph(picked, IMAGE).ops if op.path.startswith("body")]
    assert kernels == [5, 3]
    with pytest.raises(NetlatheError, match="unknown option 'smal'"):
        resolve(space, {"body.block1": "smal"})
    with pytest.raises(NetlatheError, match="unknown choice"):
        resolve(space, {"body.block9": "small"})
