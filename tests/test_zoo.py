"""The registry, and the networks whose exact counts are known from their papers."""

from __future__ import annotations

import pytest

from netlathe import zoo
from netlathe.arch.graph import Graph
from netlathe.cost.count import count
from netlathe.cost.totals import totals
from netlathe.errors import NetlatheError
from netlathe.zoo.regnet import stage_table

EXACT = {
    "lenet5": (60_000, 325_680),
    "lenet5_modern": (61_706, 416_520),
    "alexnet": (61_100_840, 714_188_480),
    "alexnet_grouped": (60_965_224, 724_406_816),
    "vgg16": (138_357_544, 15_470_264_320),
    "vgg16_bn": (138_365_992, 15_470_264_320),
    "vgg19": (143_667_240, 19_632_062_464),
    "googlenet": (6_624_904, 1_498_376_192),
    "googlenet_paper": (6_998_552, 1_582_671_872),
    "resnet50": (25_557_032, 4_089_184_256),
    "resnet50_v1": (25_557_032, 3_857_973_248),
    "resnet101_v1": (44_549_160, 7_570_194_432),
    "resnet152_v1": (60_192_808, 11_282_415_616),
    "wide_resnet50_2": (68_883_240, 11_398_021_120),
    "resnext50_2x40d": (25_425_000, 4_124_508_160),
    "resnext50_4x24d": (25_292_968, 4_159_832_064),
    "resnext50_8x14d": (25_603_016, 4_267_409_408),
    "densenet121": (7_978_856, 2_834_161_664),
    "mobilenetv1_conv": (29_294_088, 4_867_293_184),
    "mobilenetv1_shallow": (2_887_976, 307_323_392),
    "mobilenetv2_140": (6_108_776, 582_195_824),
    "nasnet_large": (88_753_150, 23_783_414_658),
    "nasnet_mobile": (5_289_978, 563_638_816),
    "darts_v2_imagenet": (4_718_752, 529_911_552),
    "mobilenetv3_large": (5_483_032, 216_589_760),
    "mobilenetv3_small": (2_542_856, 56_510_400),
    "efficientnet_b0": (5_288_548, 385_814_752),
    "efficientnet_b7": (66_347_960, 37_745_884_192),
    "regnetx_400mf_tv": (5_495_976, 413_812_608),
    "regnety_8gf_tv": (39_381_472, 8_473_070_592),
    "vit_small_patch16": (22_050_664, 4_598_882_304),
    "vit_base_patch16": (86_567_656, 17_563_828_224),
    "vit_large_patch16": (304_326_632, 61_554_712_576),
    "swin_tiny": (28_288_354, 4_490_566_656),
    "swin_small": (49_606_258, 8_740_875_264),
    "swin_base": (87_768_224, 15_430_946_816),
    "swin_base_384": (87_903_584, 47_083_134_976),
    "convnext_tiny": (28_589_128, 4_455_531_264),
    "convnext_small": (50_223_688, 8_683_712_256),
    "convnext_base": (88_591_464, 15_354_729_472),
    "convnext_large": (197_767_336, 34_361_433_600),
}

# At 384 pixels: positions and windows grow, convolutions do not.
AT_384 = {
    "vit_base_patch16": (86_859_496, 55_484_350_464),
    "vit_large_patch16": (304_715_752, 191_066_300_416),
    "convnext_base": (88_591_464, 45_122_117_632),
}

# MobileNetV1: params by alpha, MACs by alpha and resolution.
MOBILENETV1 = {
    "mobilenetv1": (4_231_976, {224: 568_740_352, 192: 418_121_728, 160: 290_675_200, 128: 186_400_768}),
    "mobilenetv1_075": (2_585_560, {224: 325_400_448, 192: 239_273_472, 160: 166_396_800, 128: 106_770_432}),
    "mobilenetv1_050": (1_331_592, {224: 149_497_088, 192: 109_970_432, 160: 76_524_800, 128: 49_160_192}),
    "mobilenetv1_025": (470_072, {224: 41_030_272, 192: 30_212_608, 160: 21_059_200, 128: 13_570_048}),
}


def sums(graph: Graph) -> tuple[int, int]:
    return sum(op.params for op in graph.ops), sum(op.macs for op in graph.ops)


@pytest.mark.parametrize("name", EXACT)
def test_a_network_has_the_known_params_and_macs(name: str) -> None:
    assert sums(zoo.get(name).graph()) == EXACT[name]


@pytest.mark.parametrize("name", MOBILENETV1)
def test_rho_changes_macs_and_no_params(name: str) -> None:
    params, macs = MOBILENETV1[name]
    for resolution, expected in macs.items():
        network = zoo.get(name, resolution=resolution)
        assert totals(network.body, network.input)[1:3] == (params, expected)


@pytest.mark.parametrize("name", AT_384)
def test_a_larger_image_has_the_known_params_and_macs(name: str) -> None:
    assert sums(zoo.get(name, resolution=384).graph()) == AT_384[name]


DENOISERS = {"unet_diffusion", "ddpm_cifar10"}  # an image leaves, as large as the one that arrived
MAPS = {"unet": (2, 388, 388), "unet_padded": (2, 256, 256)} | dict.fromkeys(DENOISERS, (3, 32, 32))
FEW_CLASSES = {"lenet5": 10, "lenet5_modern": 10, "darts_v1_cifar10": 10, "darts_v2_cifar10": 10}
FEW_CLASSES |= {"text_encoder": 2, "text_encoder_tiny": 2}
FEW_CLASSES |= dict.fromkeys([*zoo.names("wrn_*"), "resnet20", "resnet32", "resnet44", "resnet56", "resnet110"], 10)


@pytest.mark.parametrize("name", zoo.names())
def test_the_fold_and_the_graph_of_every_network_agree(name: str) -> None:
    network = zoo.get(name)
    graph, fold = network.graph(), totals(network.body, *network.inputs)
    cost = count(graph)
    assert sums(graph) == (cost.params, cost.macs) == (fold.params, fold.macs)
    assert cost.acts == fold.acts
    assert graph.shapes[graph.outputs[0]] == fold.shape == MAPS.get(name, (FEW_CLASSES.get(name, 1000),))


@pytest.mark.parametrize("name", sorted(set(zoo.names()) - DENOISERS))
def test_every_network_takes_the_number_of_classes(name: str) -> None:
    network = zoo.get(name, classes=7)
    shape = totals(network.body, *network.inputs).shape
    assert shape[0] == 7
    assert shape[1:] == MAPS.get(name, (7,))[1:]


def test_auxiliary_classifiers_count_in_the_training_graph_only() -> None:
    paper = zoo.get("googlenet_paper").graph(training=True)
    assert sums(paper) == (13_378_280, 1_591_044_096)
    assert len(paper.outputs) == 3
    assert len(zoo.get("googlenet_paper").graph().outputs) == 1


def test_lenet5_has_the_parameters_of_the_paper_layer_by_layer() -> None:
    params: dict[str, int] = {}
    for op in zoo.get("lenet5").graph().ops:
        layer = op.path.split(".")[0]
        params[layer] = params.get(layer, 0) + op.params
    del params["flatten"]
    assert params == {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48_120, "f6": 10_164, "head": 0}


def test_regnet_numbers_give_the_widths_and_depths_of_the_paper() -> None:
    assert stage_table(38.65, 96, 2.43, 23, 40, tv=False) == [(80, 40, 2), (240, 40, 5), (560, 40, 14), (1360, 40, 2)]
    # Groups never exceed the stage: RegNetX-8GF asks for 120 and starts with 80 channels.
    assert stage_table(49.56, 80, 2.88, 23, 120, tv=False)[0] == (80, 80, 2)


def test_paths_read_like_the_paper() -> None:
    def paths(name: str) -> set[str]:
        return {op.path for op in zoo.get(name).graph().ops}

    assert {"stem.conv", "stage2.block1.expand.conv", "stage2.block2.add", "head.classifier"} <= paths("mobilenetv2")
    assert {"stage4.block7.se.squeeze.conv", "stage1.block1.shortcut.conv"} <= paths("regnety_200mf")
    assert {"stage3.a.five.process.conv", "stage5.b.cat"} <= paths("googlenet")
    assert {"stage1.block6.new.process", "transition3.squeeze"} <= paths("densenet121")


def test_free_choices_replace_those_of_the_row() -> None:
    half = zoo.get("mobilenetv2", alpha=0.5)
    assert half.body == zoo.get("mobilenetv2_050").body
    assert zoo.get("resnext50_32x4d", groups=2, group_width=40).body == zoo.get("resnext50_2x40d").body


def test_a_pattern_lists_names_in_order_of_publication() -> None:
    assert zoo.names("vgg1[13]") == ["vgg11", "vgg13"]
    assert zoo.names("nothing*") == []
    assert zoo.names()[0] == "lenet5"


def test_an_unknown_network_names_the_nearest() -> None:
    with pytest.raises(NetlatheError, match="resnet50") as caught:
        zoo.get("resnet5O")
    assert caught.value.code == "zoo.unknown_name"


def test_an_unknown_choice_names_the_legal_ones() -> None:
    with pytest.raises(NetlatheError, match="alpha") as caught:
        zoo.get("mobilenetv1", alhpa=0.5)
    assert caught.value.code == "zoo.unknown_choice"


@pytest.mark.parametrize(
    ("name", "choice"),
    [
        ("mobilenetv1", {"alpha": 0}),
        ("mobilenetv2", {"alpha": -1.0}),
        ("mobilenetv2", {"alpha": float("inf")}),
        ("mobilenetv1", {"alpha": "wide"}),
        ("resnet50", {"classes": 0}),
        ("resnet50", {"width": 0}),
        ("efficientnet_b0", {"depth": 0.0}),
        ("vgg16", {"depths": (1, 2)}),
        ("regnetx_200mf", {"wm": 1.0}),
        ("regnetx_200mf", {"depth": 0}),
        ("vit_base_patch16", {"pool": "max"}),
        ("vit_base_patch16", {"heads": 0}),
        ("swin_tiny", {"depths": (2, 3, 6, 2)}),
        ("vitc_1gf", {"strides": (2, 2)}),
        ("nasnet_mobile", {"aux": 0}),
        ("unet", {"depth": 0}),
        ("unet_diffusion", {"groups": 0}),
    ],
)
def test_a_bad_value_is_refused_with_its_name_and_value(name: str, choice: dict[str, object]) -> None:
    with pytest.raises(NetlatheError) as caught:
        zoo.get(name, **choice)
    assert caught.value.code == "zoo.bad_choice"
    assert next(iter(choice)) in str(caught.value)


def test_a_resolution_that_does_not_fit_says_where() -> None:
    with pytest.raises(NetlatheError) as caught:
        zoo.get("alexnet", resolution=16).graph()
    assert caught.value.path.startswith("stage")
