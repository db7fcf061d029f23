"""The spaces of the papers: their sizes, their published members, and that every member is a network like any other."""

import numpy as np
import pytest

from netlathe import testing, zoo
from netlathe.cost.totals import totals
from netlathe.errors import NetlatheError
from netlathe.reshape.knobs import turn_knobs
from netlathe.search import spaces
from netlathe.search.canonical import canonical_form

SIZES = {
    "nasnet": None,
    "darts": (1 * 3 * 6 * 10 * 7**8) ** 2,
    "nb201": 5**6,
    "macro": 3**8,
    "regnet": 10 * 11 * 10 * 17 * 10,
    "ofa": 25 * 2 * (9**2 + 9**3 + 9**4) ** 5,
}
SMALL = {"nasnet": {"depth": 1, "width": 8}, "regnet": {"resolution": 64}, "darts": {"depth": 3, "width": 16}}


def counted(network):
    return totals(network.body, *network.inputs)


@pytest.mark.parametrize("name", spaces.names())
def test_a_space_has_the_size_of_its_paper(name):
    space = spaces.get(name)
    if SIZES[name] is not None:
        assert space.size == SIZES[name]
    assert len({decision.name for decision in space.decisions}) == len(space.decisions)


@pytest.mark.parametrize("name", spaces.names())
def test_members_are_networks_like_any_other(name):
    space = spaces.get(name, **SMALL.get(name, {}))
    rng = np.random.default_rng(4)
    for _ in range(10):
        genotype = space.sample(rng)
        network = space.decode(genotype)
        assert counted(network).macs > 0
        again = space.encode(network)
        assert space.decode(again).body == network.body
        assert space.key(again) == space.key(genotype)
        changed = space.mutate(genotype, rng)
        assert space.normal(changed) == changed != genotype
    testing.conformance(network, (4,))  # its document is faithful
    if name in ("nb201", "macro", "ofa"):  # the others' blocks are the zoo's
        testing.conformance(network, (1,))  # torch counts the same


@pytest.mark.parametrize("name", ["nb201", "macro", "around:resnet20"])
def test_members_compute_in_torch_what_they_compute_in_onnx(name):
    space = spaces.get(name, **({"depth": 1} if name == "nb201" else {}))
    testing.conformance(space.decode(space.sample(np.random.default_rng(5))), (2,))


@pytest.mark.parametrize(
    ("net", "space", "options"),
    [
        ("darts_v1_cifar10", "darts", {}),
        ("darts_v2_cifar10", "darts", {}),
        ("darts_v2_imagenet", "darts", {"width": 48, "depth": 14, "imagenet": True}),
        ("nasnet_mobile", "nasnet", {}),
        ("nasnet_large", "nasnet", {"width": 168, "depth": 6, "stem": 96, "large": True}),
    ],
)
def test_the_published_cells_are_members(net, space, options):
    """DARTS' summands come out in the order of the states they read; everything else is the very expression."""
    space, published = spaces.get(space, **options), zoo.get(net)
    network = space.decode(space.encode(published))
    assert network.input == published.input
    assert counted(network) == counted(published)
    assert canonical_form(network) == canonical_form(published)
    if space.name == "nasnet":
        assert network.body == published.body


def test_cells_that_are_one_share_a_key_and_cells_that_differ_do_not():
    space = spaces.get("darts", depth=3, width=16)
    rng = np.random.default_rng(6)
    names = [decision.name for decision in space.decisions]
    for _ in range(20):
        genotype = list(space.sample(rng))
        # node 3 reads states 0 and 1 as node 2 does: exchanging the two nodes gives the same cell, if none reads them
        for node in (2, 3, 4, 5):
            genotype[names.index(f"normal.node{node}.reads")] = 0
        swapped = genotype.copy()
        for side in ("low", "high"):
            a, b = names.index(f"normal.node2.{side}"), names.index(f"normal.node3.{side}")
            swapped[a], swapped[b] = genotype[b], genotype[a]
        assert space.key(genotype) == space.key(swapped)
        assert counted(space.decode(genotype)) == counted(space.decode(swapped))
    keys, forms = {}, {}
    for _ in range(30):
        genotype = space.sample(rng)
        keys.setdefault(space.key(genotype), []).append(canonical_form(space.decode(genotype)))
        forms.setdefault(canonical_form(space.decode(genotype)), []).append(space.key(genotype))
    assert all(len(set(found)) == 1 for found in forms.values())


def test_nb201_at_its_published_sizes():
    space = spaces.get("nb201")
    skips, none = space.decode((1,) * 6), space.decode((0,) * 6)
    assert counted(skips).params == counted(none).params == 73_306
    assert space.options((4, 2, 1, 2, 1, 1))["edge0-1"] == "avg_pool_3x3"
    assert space.key((3, 0, 0, 0, 1, 0)) == space.key((0, 0, 0, 3, 0, 0))  # one convolution, through node 1 or directly
    assert counted(spaces.get("nb201", classes=100).decode((1,) * 6)).params == 73_306 + 90 * 65


def test_ofa_opens_what_its_depth_reaches():
    space = spaces.get("ofa", widths=(1.0,), resolutions=(128, 224))
    assert space.size == 2 * (9**2 + 9**3 + 9**4) ** 5
    shallow = space.options(space.nth(0))
    assert "stage1.block3.kernel" not in shallow
    assert shallow["resolution"] == "128"
    deepest = space.normal([len(decision.options) - 1 for decision in space.decisions])
    assert len(space.options(deepest)) == 1 + 5 * (1 + 4 * 2)
    largest, smallest = counted(space.decode(deepest)), counted(space.decode(space.nth(0)))
    assert largest.macs > 4 * smallest.macs


def test_regnets_of_the_space_are_those_of_the_zoo():
    space = spaces.get("regnet", excite=True)
    assert space.name == "regnety"
    said = {"w0": "48", "wa": "28", "wm": "2.1", "depth": "16", "group_width": "8"}
    genotype = [decision.options.index(said[decision.name]) for decision in space.decisions]
    wanted = zoo.get("regnety_400mf", wa=28.0, w0=48, wm=2.1)
    assert space.decode(genotype).body == wanted.body
    assert space.decode(space.encode(wanted)).body == wanted.body


@pytest.mark.parametrize("name", ["resnet50", "mobilenetv2", "regnetx_400mf", "swin_tiny", "unet", "resnet20"])
def test_around_a_network_lies_what_its_knobs_give(name):
    space, start = spaces.get(f"around:{name}"), zoo.get(name)
    itself = space.decode(space.encode(start))
    assert (itself.body, itself.input) == (start.body, start.input)
    rng = np.random.default_rng(7)
    for _ in range(6):
        said = space.options(space.sample(rng))
        values = {knob: float(value) for knob, value in said.items() if value != "as is"}
        wanted = turn_knobs(start, {k: v for k, v in values.items() if v != 1 or k in ("groups", "resolution")})
        genotype = [decision.options.index(said[decision.name]) for decision in space.decisions]
        assert space.decode(genotype).graph() == wanted.graph()


def test_the_grid_around_a_network_is_given_by_hand_as_well():
    space = spaces.get("around:mobilenetv2", width="0.5/1", depth=(), inner=(), resolution=96, classes=10)
    assert [(d.name, d.options) for d in space.decisions] == [("width", ("0.5", "1")), ("resolution", ("96",))]
    network = space.decode((0, 0))
    assert network.body == turn_knobs(zoo.get("mobilenetv2", classes=10), {"width": 0.5}).body
    assert network.input == (3, 96, 96)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("around:resnet5", {}, "unknown network 'resnet5'"),
        ("around:resnet18", {"width": "wide"}, "width needs numbers, not"),
        ("around:mobilenetv2", {"groups": 2}, "mobilenetv2 has no groups to turn"),
        ("around:resnet20", {"width": (), "depth": (), "inner": (), "resolution": ()}, "no knob with two values"),
        ("ofa", {"width": 2}, "unknown option of ofa 'width'"),
        ("nb201", {"width": 0}, "nb201 cannot be built with width=0"),
    ],
)
def test_what_no_space_can_be_is_said(name, options, message):
    with pytest.raises(NetlatheError, match=message):
        spaces.get(name, **options)


def test_networks_of_other_spaces_are_no_members():
    for name in spaces.names():
        with pytest.raises(NetlatheError, match="is not in the space"):
            spaces.get(name).encode(zoo.get("resnet20"))
    assert not spaces.get("darts", depth=8).contains(zoo.get("darts_v2_cifar10"))
    assert not spaces.get("around:resnet18").contains(zoo.get("resnet34"))
