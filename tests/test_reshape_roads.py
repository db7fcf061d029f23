"""The roadmap to ConvNeXt, compound scaling, the space of RegNet, and what the command line says of them."""

import json
from itertools import pairwise
from random import Random

import pytest

from netlathe import zoo
from netlathe.arch.diff import diff
from netlathe.cli.main import run
from netlathe.cost.totals import totals
from netlathe.errors import Infeasible, NetlatheError
from netlathe.report.charts.curves import distribution_chart
from netlathe.reshape.compound import (
    POLICIES,
    compound,
    doubling,
    grid,
    grid_search,
    policy_factors,
    released_models,
    scale,
)
from netlathe.reshape.knobs import reshape
from netlathe.reshape.modernise import STEPS, kernel, ladder, resnet200
from netlathe.reshape.regnet_space import RegNetSpace, dominates_everywhere, draw, sample
from netlathe.reshape.roadmap import FIGURES, ROUTES
from netlathe.stats.quantiles import distribution_steps
from netlathe.zoo.efficientnet import NETWORKS as EFFICIENTNETS


def cost(network):
    return totals(network.body, network.input, *network.more)


@pytest.mark.parametrize("start", [zoo.get("resnet50"), resnet200()], ids=lambda n: n.name)
def test_every_step_of_the_roadmap_costs_what_the_paper_prints(start):
    for rung in ladder(start):
        if not rung.published.note:  # two rows of Table 10, explained there
            assert f"{cost(rung.network).macs / 1e9:.2f}" == f"{rung.published.macs_G:.2f}", rung.step


def test_the_two_rows_that_differ_are_explained_by_the_other_table():
    noted = [step for step, figure in FIGURES["resnet50"].items() if figure.note]
    assert noted == ["layer norm", "separate downsampling"]
    rungs = {rung.step: rung for rung in ladder(zoo.get("resnet50"))}
    assert cost(rungs["layer norm"].network).macs == cost(rungs["fewer norms"].network).macs
    assert f"{cost(rungs['separate downsampling'].network).macs / 1e9:.2f}" == "4.46"  # printed one row too early
    assert not any(figure.note for figure in FIGURES["resnet200"].values())


@pytest.mark.parametrize("size", [5, 7, 9, 11])
@pytest.mark.parametrize("start", [zoo.get("resnet50"), resnet200()], ids=lambda n: n.name)
def test_other_kernels_cost_what_the_paper_prints(start, size):
    before = next(rung.network for rung in ladder(start) if rung.step == "move depthwise up")
    after = kernel(size)(before.body, ROUTES[start.name])
    printed = FIGURES[start.name][f"kernel {size}"].macs_G
    assert f"{totals(after, start.input).macs / 1e9:.2f}" == f"{printed:.2f}"


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("resnet50", "convnext_tiny"),
        ("resnet50_v1", "convnext_tiny"),
        ("wide_resnet50_2", "convnext_tiny"),
        ("resnext50_32x4d", "convnext_tiny"),
        ("resnet101", "convnext_small"),
        ("resnet152", "convnext_small"),
    ],
)
def test_the_last_step_is_the_convnext_of_the_zoo(start, end):
    assert ladder(zoo.get(start))[-1].network.body == zoo.get(end).body


def test_resnet200_becomes_convnext_base_and_ten_classes_stay_ten():
    assert ladder(resnet200())[-1].network.body == zoo.get("convnext_base").body
    assert ladder(zoo.get("resnet50", classes=10))[-1].network.body == zoo.get("convnext_tiny", classes=10).body


def test_every_step_but_the_recipe_changes_the_network():
    rungs = ladder(zoo.get("resnet50"))
    assert [rung.step for rung in rungs] == ["start", "recipe", *STEPS]
    for before, after in pairwise(rungs):
        assert bool(diff(before.network.graph(), after.network.graph())) == (after.step != "recipe")


def test_what_is_not_a_bottleneck_resnet_is_refused():
    for name in ("vgg16", "resnet18", "regnetx_400mf"):
        with pytest.raises(NetlatheError, match="not a bottleneck ResNet"):
            ladder(zoo.get(name))


def test_a_diff_collapses_blocks_and_names_what_changed():
    changed = diff(zoo.get("resnet50").graph(), reshape(zoo.get("resnet50"), groups=32).graph())
    assert str(changed).splitlines()[0] == "~ stage1.block[1-3].process.conv: conv 3x3 64 -> conv 3x3 64 groups 32"
    assert sum(change.ops for change in changed.changes) == 16
    assert not diff(zoo.get("resnet50").graph(), zoo.get("resnet50").graph())
    assert str(diff(zoo.get("vgg11").graph(), zoo.get("vgg11").graph())) == "no difference"


@pytest.mark.parametrize(("a", "b"), [("resnet50", "resnet101"), ("vgg11", "vgg13_bn"), ("resnet18", "mobilenetv2")])
def test_a_diff_accounts_for_every_parameter_and_mac(a, b):
    one, two = zoo.get(a), zoo.get(b)
    changed = diff(one.graph(), two.graph())
    rows = [*changed.changes, changed.elsewhere]
    assert sum(row.params for row in rows) == cost(two).params - cost(one).params
    assert sum(row.macs for row in rows) == cost(two).macs - cost(one).macs


def test_the_released_efficientnets_are_not_the_formula():
    table = {n: (v.free["width"], v.free["depth"], v.input[-1]) for n, v in EFFICIENTNETS.items() if n[-1] != "0"}
    rows = released_models(zoo.get("efficientnet_b0"), table)
    assert [row.table_macs for row in rows] == [cost(zoo.get(name)).macs for name in table]
    implied = {row.name[-2:]: tuple(round(x, 2) for x in row.implied) for row in rows}
    assert implied["b1"] == (0.52, 0.0, 0.49)
    assert implied["b4"] == (3.22, 3.53, 3.78)
    assert implied["b7"] == (6.21, 7.27, 7.05)
    assert all(row.formula_macs != row.table_macs for row in rows)
    assert compound(1).macs == pytest.approx(1.92027, abs=1e-5)


def test_every_policy_doubles_the_macs_but_dwr_buys_few_activations():
    for name in POLICIES:
        assert policy_factors(name).macs == pytest.approx(2)
    assert policy_factors("w").acts == pytest.approx(2**0.5)
    assert policy_factors("dWr").acts == pytest.approx(2**0.6)
    assert policy_factors("dwr").acts == pytest.approx(2 ** (5 / 6))
    found = {row.policy: row for row in doubling(zoo.get("regnetx_3_2gf"), 4)}
    assert found["w"].acts < found["dWr"].acts < found["dwr"].acts < found["r"].acts


def test_the_grid_search_calls_the_objective_once_a_network_and_finds_its_best():
    seen = []

    def objective(network):
        seen.append(network.key)
        return -abs(network.input[-1] - 258) - abs(totals(network.body, network.input).params / 1e6 - 6.6)

    found = grid_search(zoo.get("efficientnet_b0"), objective, step=0.1)
    assert len(seen) == len(set(seen))
    assert [c.score for c in found] == sorted((c.score for c in found), reverse=True)
    assert len(found) == len(list(grid(0.1)))
    assert all(abs(c.factors.macs / 2 - 1) <= 0.1 for c in found)
    with pytest.raises(NetlatheError, match="no point of a grid"):
        grid_search(zoo.get("efficientnet_b0"), objective, step=0.5, times=9.1, tolerance=0)


def test_scaling_leaves_alone_the_knobs_that_stay_at_one():
    assert scale(zoo.get("googlenet"), policy_factors("w", 2)).input == (3, 224, 224)
    with pytest.raises(NetlatheError, match="no depth"):
        scale(zoo.get("googlenet"), policy_factors("d", 2))


def test_a_sample_of_the_regnet_space_keeps_its_bounds_and_its_seed():
    space = RegNetSpace(macs=(360_000_000, 440_000_000), params=(0, 8_000_000))
    found = sample(space, 8, seed=3)
    assert [n.key for n in found] == [n.key for n in sample(space, 8, seed=3)]
    assert len({n.key for n in found}) == 8
    assert all(360e6 <= cost(n).macs <= 440e6 and cost(n).params <= 8e6 for n in found)
    rng = Random(0)
    assert {type(draw(RegNetSpace(), rng)).__name__ for _ in range(60)} == {"Network", "str"}


def test_a_space_without_networks_says_what_they_broke():
    with pytest.raises(Infeasible, match="0 of 1 were found") as error:
        sample(RegNetSpace(macs=(1, 2)), 1, tries=200)
    assert "macs > 2" in error.value.hint
    with pytest.raises(NetlatheError, match="multiplier must go from"):
        RegNetSpace(multiplier=(3, 1))


def test_the_distribution_orders_spaces():
    assert distribution_steps([3, 1, 2, 2]) == [(1, 0.25), (2, 0.5), (2, 0.75), (3, 1.0)]
    assert dominates_everywhere([1, 2], [2, 3])
    assert not dominates_everywhere([1, 9], [2, 3])
    drawn = distribution_chart({"a & b": [1, 2, 3], "c": [2, 4]}, "error %").figure["data"]
    assert len(drawn) == 2
    assert drawn[0]["name"] == "a &amp; b"
    assert (drawn[1]["x"], drawn[1]["y"], drawn[1]["line"]["shape"]) == ([2, 4], [0.5, 1.0], "hv")


def told(capsys, *words):
    code = run(list(words))
    return code, capsys.readouterr()


def test_reshape_prints_the_knob_it_solved_and_writes_a_network(capsys, tmp_path):
    code, said = told(capsys, "reshape", "mobilenetv2", "--resolution", "160", "--to", "macs=100M", "-o",
                      str(tmp_path / "small.json"))  # fmt: skip
    assert code == 0
    assert "width = 0.74" in said.out
    assert "stem.conv: conv 3x3 32 /2 -> conv 3x3 24 /2" in said.out
    code, said = told(capsys, "cost", str(tmp_path / "small.json"), "--json")
    assert code == 0
    assert json.loads(said.out)["data"]["macs"] <= 100e6


def test_reshape_answers_in_json_and_with_exit_codes(capsys):
    code, said = told(capsys, "reshape", "resnet50", "--inner", "2", "--groups", "32", "--json")
    data = json.loads(said.out)["data"]
    assert code == 0
    assert data["after"]["params"] == cost(zoo.get("resnext50_32x4d")).params
    assert told(capsys, "reshape", "resnet50", "--to", "macs=1k")[0] == 3
    assert told(capsys, "reshape", "resnet50", "--to", "macs=300")[0] == 2
    assert told(capsys, "reshape", "resnet50", "--to", "300M")[0] == 2
    assert told(capsys, "reshape", "resnet50")[0] == 2
    assert told(capsys, "reshape", "vgg16", "--groups", "2")[0] == 2


def test_factor_and_exponents_on_the_command_line(capsys):
    code, said = told(capsys, "reshape", "mobilenetv1_conv", "--factor", "separable", "--json")
    assert code == 0
    assert json.loads(said.out)["data"]["after"]["macs"] == 568_740_352
    code, said = told(capsys, "reshape", "vit_tiny_patch16", "--exponents")
    assert code == 0
    assert "groups: vit_tiny_patch16 has no groups to turn" in said.out


@pytest.mark.parametrize("verb", ["modernise", "modernize"])
def test_modernise_prints_published_figures_beside_counts(capsys, verb, tmp_path):
    code, said = told(capsys, verb, "resnet50", "-o", str(tmp_path))
    assert code == 0
    assert "the last step is convnext_tiny, the same expression" in said.out
    assert "81.97 ±0.06" in said.out
    assert len(list(tmp_path.glob("*.json"))) == 14
    code, said = told(capsys, verb, "resnet18")
    assert code == 2


def test_compare_shows_the_diff_of_two_networks(capsys):
    code, said = told(capsys, "compare", "resnet50", "resnext50_32x4d", "--no-latency", "--diff")
    assert code == 0
    assert "resnet50 -> resnext50_32x4d" in said.out
    assert "~ stage1.block[1-3].process.conv: conv 3x3 64 -> conv 3x3 128 groups 32" in said.out
