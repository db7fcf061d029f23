"""The knobs: the papers' own tables come out of them, x1 changes nothing, and what has no meaning is refused."""

import re

import pytest

from netlathe import zoo
from netlathe.cost.totals import totals
from netlathe.errors import Infeasible, NetlatheError
from netlathe.reshape.compound import grid
from netlathe.reshape.knobs import KNOBS, cardinalities, exponents, reshape
from netlathe.reshape.legal import divisors
from netlathe.reshape.solve import cost_of, solve
from netlathe.reshape.width import width
from netlathe.zoo.efficientnet import NETWORKS as EFFICIENTNETS

SOME = [
    *("alexnet_grouped", "vgg16_bn", "googlenet", "resnet18", "resnet50", "resnext50_32x4d", "densenet121"),
    *("mobilenetv1_025", "mobilenetv2", "mobilenetv3_small", "efficientnet_b0", "regnety_400mf", "nasnet_mobile"),
    *("vit_tiny_patch16", "swin_tiny", "convnext_atto", "unet_padded", "ddpm_cifar10", "text_encoder_tiny"),
]


def body(name):
    return zoo.get(name).body


def macs(network):
    return totals(network.body, network.input, *network.more).macs


@pytest.mark.parametrize(("alpha", "name"), [(1.25, "125"), (0.75, "075"), (0.5, "050"), (0.25, "025")])
@pytest.mark.parametrize("rounding", ["floor", "ten_percent"])
def test_the_width_knob_is_mobilenetv1s_alpha(alpha, name, rounding):
    assert width(zoo.get("mobilenetv1"), alpha, rounding).body == body(f"mobilenetv1_{name}")


@pytest.mark.parametrize("rho", [128, 160, 192, 224])
@pytest.mark.parametrize(("alpha", "name"), [(1, ""), (0.75, "_075"), (0.5, "_050"), (0.25, "_025")])
def test_both_knobs_give_the_whole_table_of_mobilenetv1(alpha, name, rho):
    turned = reshape(zoo.get("mobilenetv1"), width=alpha, resolution=rho)
    registered = zoo.get(f"mobilenetv1{name}", resolution=rho)
    assert (turned.body, turned.input) == (registered.body, registered.input)


@pytest.mark.parametrize(
    ("alpha", "name", "keep"),
    [(1.4, "140", ()), (1.3, "130", ()), (0.75, "075", ("top",)), (0.5, "050", ("top",)), (0.35, "035", ("top",))],
)
def test_the_width_knob_is_mobilenetv2s_alpha_which_never_narrows_the_top(alpha, name, keep):
    assert width(zoo.get("mobilenetv2"), alpha, keep=keep).body == body(f"mobilenetv2_{name}")


@pytest.mark.parametrize(
    ("name", "start", "inner", "groups"),
    [
        ("wide_resnet50_2", "resnet50", 2, 1),
        ("wide_resnet101_2", "resnet101", 2, 1),
        ("resnext50_2x40d", "resnet50", 1.25, 2),
        ("resnext50_4x24d", "resnet50", 1.5, 4),
        ("resnext50_8x14d", "resnet50", 1.75, 8),
        ("resnext50_32x4d", "resnet50", 2, 32),
        ("resnext101_32x4d", "resnet101", 2, 32),
        ("resnext101_32x8d", "resnet101", 4, 32),
        ("resnext101_64x4d", "resnet101", 4, 64),
    ],
)
def test_wide_resnet_and_resnext_are_resnet_with_two_knobs_turned(name, start, inner, groups):
    assert reshape(zoo.get(start), inner=inner, groups=groups).body == body(name)


@pytest.mark.parametrize("i", range(1, 8))
def test_efficientnet_b1_to_b7_are_b0_with_three_knobs_turned(i):
    name = f"efficientnet_b{i}"
    row = EFFICIENTNETS[name]
    turned = reshape(
        zoo.get("efficientnet_b0", eps=row.free["eps"]),
        width=row.free["width"],
        depth=row.free["depth"],
        resolution=row.input[-1],
    )
    assert (turned.body, turned.input) == (body(name), zoo.get(name).input)


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("knob", KNOBS)
def test_a_knob_at_one_changes_nothing_and_turned_up_it_never_costs_less(name, knob):
    network = zoo.get(name)
    start = {"resolution": network.input[-1], "groups": 1}.get(knob, 1)
    values = {"resolution": (start, start + 32, start + 64), "groups": cardinalities(network)}
    try:
        costs = [macs(reshape(network, **{knob: value})) for value in values.get(knob, (0.5, 0.75, 1, 1.3, 2))]
        same = reshape(network, **{knob: start})
    except NetlatheError as error:
        refused = error
    else:
        assert costs == sorted(costs, reverse=knob == "groups")
        assert costs[0] != costs[-1] or len(costs) < 2
        assert same.body == network.body or knob == "groups"  # a cardinality of one is a network of its own
        return
    assert re.search("has no|reads no image", refused.message)  # the refusal names the knob, not a shape


def test_the_width_knob_leaves_classes_and_colours_alone():
    for name in ("vgg16", "resnet50", "vit_tiny_patch16", "googlenet_paper"):
        narrow = width(zoo.get(name), 0.5).graph()
        assert narrow.shapes[narrow.outputs[0]] == (1000,)
        assert narrow.input_shapes == ((3, 224, 224),)


def test_widths_stay_multiples_of_heads_and_group_widths():
    swin = width(zoo.get("swin_tiny"), 0.7).graph()
    attention = [op for op in swin.ops if op.kind == "attention"]
    assert all(op.out_shape[-1] % op.leaf.heads == 0 for op in attention)
    regnet = width(zoo.get("regnetx_400mf"), 0.7).graph()
    assert {op.leaf.group_width for op in regnet.ops if op.form == "grouped"} == {16}


def test_depth_knows_the_repeated_block_of_a_stage_of_one():
    once = reshape(zoo.get("regnetx_200mf"), width=0.5)
    twice = reshape(once, depth=2)
    assert macs(twice) > macs(once)
    assert [op.leaf.stride for op in twice.graph().ops if op.path.endswith("process.conv")].count(2) == 4


def test_what_has_no_meaning_is_refused_with_the_reason():
    for name, knob, why in (
        ("googlenet", "depth", "none of its blocks repeats"),
        ("mobilenetv3_large", "depth", "none of its blocks repeats"),
        ("mobilenetv2", "groups", "depthwise"),
        ("vit_base_patch16", "groups", "no spatial convolution"),
        ("vgg16", "inner", "no residual block"),
    ):
        with pytest.raises(NetlatheError, match=why):
            reshape(zoo.get(name), **{knob: 2})
    with pytest.raises(NetlatheError, match="reads no image"):
        reshape(zoo.get("text_encoder"), resolution=64)
    with pytest.raises(NetlatheError, match="cannot have groups=7") as error:
        reshape(zoo.get("resnet50"), groups=7)
    assert error.value.hint == "legal: 1, 2, 4, 8, 16, 32, 64"
    for knob in ("width", "depth", "inner"):
        with pytest.raises(NetlatheError, match=f"{knob} must be positive"):
            reshape(zoo.get("resnet50"), **{knob: 0})
    with pytest.raises(NetlatheError, match="resolution must be at least 1"):
        reshape(zoo.get("resnet50"), resolution=0)
    with pytest.raises(NetlatheError, match=r"resolution=20 breaks vgg16: .*does not fit"):
        reshape(zoo.get("vgg16"), resolution=20)
    with pytest.raises(NetlatheError, match="unknown knob 'widht'"):
        reshape(zoo.get("resnet50"), widht=2)


def test_the_measured_exponents_are_those_of_the_formula_where_it_is_simple():
    for knob, params, macs_, acts in (("width", 2, 2, 1), ("resolution", 0, 2, 2), ("depth", 1, 1, 1)):
        found = exponents(zoo.get("resnet152"), knob)
        assert (round(found["params"]), round(found["macs"]), round(found["acts"])) == (params, macs_, acts)
    assert exponents(zoo.get("densenet201"), "depth")["macs"] > 1.5  # it concatenates, so depth widens


@pytest.mark.parametrize("knob", ["width", "depth", "inner", "resolution", "groups"])
def test_a_solved_knob_is_the_best_within_the_budget(knob):
    network = zoo.get("resnet50")
    budget = 2_900_000_000
    found = solve(network, "macs", budget, knob)
    assert found.cost == cost_of(found.network, "macs") <= budget
    steps = {"resolution": 1, "groups": None}.get(knob, 0.001)
    if steps is None:
        legal = cardinalities(network)
        more = legal[legal.index(int(found.value)) - 1]
    else:
        more = next(
            found.value + i * steps for i in range(1, 999) if rises(network, knob, found, found.value + i * steps)
        )
    assert cost_of(reshape(network, **{knob: more}), "macs") > budget


def rises(network, knob, found, value):
    return cost_of(reshape(network, **{knob: value}), "macs") > found.cost


def test_the_missing_knob_is_solved_for():
    given = {"width": 0.5, "depth": 1.2, "resolution": 160, "groups": 8}
    found = solve(zoo.get("resnet50"), "macs", 300_000_000, fixed=given)
    assert found.knob == "inner"
    assert 0.9 * 300e6 < found.cost <= 300e6
    assert solve(zoo.get("mobilenetv2"), "params", 2_000_000).knob == "width"


def test_an_unreachable_target_says_the_reachable_range():
    with pytest.raises(Infeasible, match="macs=1k is out of reach of width") as error:
        solve(zoo.get("resnet50"), "macs", 1000)
    assert "25.01 M to 1018 G" in error.value.hint
    with pytest.raises(Infeasible, match="out of reach of groups"):
        solve(zoo.get("resnet50"), "macs", 10**10, "groups")
    with pytest.raises(NetlatheError, match="has no groups"):
        solve(zoo.get("vgg16"), "macs", 10**9, "groups")
    with pytest.raises(NetlatheError, match="unknown cost 'flops'"):
        solve(zoo.get("vgg16"), "flops", 10**9)
    with pytest.raises(NetlatheError, match="both given and to be solved for"):
        solve(zoo.get("vgg16"), "macs", 10**9, "width", {"width": 2})


@pytest.mark.parametrize("group_width", [4_000_000, 9_999_999])
def test_the_numbers_of_groups_are_counted_without_trying_every_number(group_width):
    network = zoo.get("resnext50_32x4d", groups=16, group_width=group_width)
    assert cardinalities(network)[-1] == 16 * group_width


def test_divisors_are_all_there():
    for widths in ((1,), (12, 18), (64, 128), (7, 13), (36, 36), (2**31 - 1,)):
        small = range(1, min(min(widths), 100) + 1)
        found = divisors(*widths)
        assert [n for n in found if n <= 100] == [n for n in small if all(w % n == 0 for w in widths)]
        assert found == sorted(set(found))
    assert divisors() == []


@pytest.mark.parametrize(
    ("knob", "value"),
    [("depth", 1e9), ("width", 1e308), ("inner", 1e300), ("depth", float("inf")), ("resolution", float("inf")),
     ("resolution", float("nan")), ("resolution", 1e9), ("groups", 1e300), ("groups", float("nan"))],
)  # fmt: skip
def test_a_knob_turned_beyond_reason_is_refused_before_anything_is_built(knob, value):
    with pytest.raises(NetlatheError, match=r"must be|cannot have"):
        reshape(zoo.get("resnet50"), **{knob: value})


def test_a_grid_without_an_end_is_refused():
    with pytest.raises(NetlatheError, match="has no end"):
        next(grid(step=1e-9))
    with pytest.raises(NetlatheError, match="has no end"):
        next(grid(step=0))
