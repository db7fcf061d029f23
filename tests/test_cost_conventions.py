"""Other tools' totals: rebuilt from our graph, equal to what the tools themselves print."""

from __future__ import annotations

import warnings
from decimal import Decimal
from types import ModuleType
from typing import Any

import pytest

from netlathe import zoo
from netlathe.cost.conventions import RULES, convention, published_macs
from netlathe.errors import NetlatheError

TWINS = {
    "alexnet": "alexnet",
    "vgg16": "vgg16",
    "vgg11_bn": "vgg11_bn",
    "googlenet": "googlenet",
    "resnet50": "resnet50",
    "densenet121": "densenet121",
    "mobilenetv2": "mobilenet_v2",
    "efficientnet_b0": "efficientnet_b0",
    "regnety_400mf": "regnet_y_400mf",
}
TIMM = {
    "resnet50": "resnet50",
    "densenet121": "densenet121",
    "mobilenetv2": "mobilenetv2_100",
    "efficientnet_b0": "efficientnet_b0",
    "regnety_400mf": "regnety_004",
}


def build(create: Any, *args: Any, **kwargs: Any) -> Any:
    """The module with memory but without initial values: the tools only look at shapes."""
    import torch

    with torch.device("meta"):
        module = create(*args, **kwargs)
    module = module.to_empty(device="cpu").eval()
    for buffer in module.buffers():  # indices must be legal
        buffer.zero_()
    return module


def said(tool: str, module: Any) -> int:
    """What the tool itself says for one image of 224 x 224."""
    import torch

    shape = (3, 224, 224)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        if tool == "fvcore":
            from fvcore.nn import FlopCountAnalysis

            analysis = FlopCountAnalysis(module, torch.zeros(1, *shape))
            return int(analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total())
        if tool == "thop":
            from thop import profile

            return int(profile(module, (torch.zeros(1, *shape),), verbose=False)[0])
        from ptflops import get_model_complexity_info

        return int(get_model_complexity_info(module, shape, as_strings=False, print_per_layer_stat=False)[0])


@pytest.mark.parametrize("name", TWINS)
def test_fvcore_thop_and_ptflops_print_what_the_convention_says(name: str, torchvision: ModuleType) -> None:
    extra = {"init_weights": False, "aux_logits": True} if name == "googlenet" else {}
    module = build(getattr(torchvision.models, TWINS[name]), **extra)
    graph = zoo.get(name).graph()
    for tool in ("fvcore", "thop", "ptflops"):
        assert convention(graph, tool, name).macs == said(tool, module), tool


@pytest.mark.parametrize("name", TIMM)
def test_timm_prints_what_the_convention_says(name: str, timm: ModuleType) -> None:
    module = build(timm.create_model, TIMM[name])
    assert convention(zoo.get(name).graph(), "timm", name).macs == said("fvcore", module)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "convnext_atto", "resnet50"])
def test_fvcore_prints_what_the_convention_says_of_a_module_that_was_read(name: str, timm: ModuleType) -> None:
    from netlathe.read.torch import read_module

    module = build(timm.create_model, name)
    assert convention(read_module(module, (3, 224, 224)).graph, "fvcore").macs == said("fvcore", module)


def test_a_vision_transformer_is_16_87_for_fvcore_and_17_58_for_timm(timm: ModuleType) -> None:
    from netlathe.read.torch import read_module

    read = read_module(build(timm.create_model, "vit_base_patch16_224"), (3, 224, 224)).graph
    assert f"{convention(read, 'fvcore').macs / 1e9:.4f}" == "16.8674"  # what fvcore 0.1.5 prints
    assert f"{convention(read, 'timm').macs / 1e9:.2f}" == "17.58"
    # the expression norms the class token alone, timm all 197: 5 * 196 * 768 elements fewer
    ours = zoo.get("vit_base_patch16").graph()
    assert convention(read, "fvcore").macs - convention(ours, "fvcore").macs == 5 * 196 * 768


@pytest.mark.parametrize("tool", ["thop", "ptflops"])
def test_what_a_tool_prints_by_the_class_of_a_module_is_not_guessed(tool: str) -> None:
    with pytest.raises(NetlatheError, match="depends on the class"):
        convention(zoo.get("vit_base_patch16").graph(), tool)


@pytest.mark.parametrize("name", ["AlexNet", "VGG16_BN", "GoogLeNet", "ResNet152", "DenseNet201", "EfficientNet_B7"])
def test_torchvision_metadata_prints_what_the_convention_says(name: str, torchvision: ModuleType) -> None:
    meta = getattr(torchvision.models, f"{name}_Weights").IMAGENET1K_V1.meta
    network = zoo.get(name.lower())
    assert round(convention(network.graph(), "torchvision", network.name).macs / 1e9, 3) == meta["_ops"]


@pytest.mark.parametrize("tool", RULES)
@pytest.mark.parametrize("name", ["resnet50", "mobilenetv2", "googlenet_paper"])
def test_differences_explain_the_whole_distance_and_have_a_reason(tool: str, name: str) -> None:
    found = convention(zoo.get(name).graph(), tool, name)
    assert found.ours + sum(row.macs for row in found.differences) == found.macs
    assert all(row.reason and row.macs for row in found.differences)


def test_ptflops_counts_biases_and_torchvision_does_not() -> None:
    graph = zoo.get("vgg16").graph()
    assert convention(graph, "torchvision", "vgg16").differences == ()
    reasons = {row.reason: row.macs for row in convention(graph, "ptflops", "vgg16").differences}
    assert reasons["counts 1 an output for a bias"] == 13_556_712  # every convolution and linear layer has one


def test_a_paper_that_rounds_is_told_from_one_that_counts_something_else() -> None:
    by_digits = {figure.macs_G: figure for figure in published_macs("vgg16", 224)}
    he = convention(zoo.get("vgg16").graph(), "paper", "vgg16", by_digits[Decimal("15.3")])
    assert (he.macs, he.differences[0].macs) == (15_300_000_000, 15_300_000_000 - 15_470_264_320)
    assert "rounded" not in he.differences[0].reason
    assert "15.47" in he.differences[0].reason
    alexnet = convention(zoo.get("alexnet").graph(), "paper", "alexnet", published_macs("alexnet", 224)[0])
    assert alexnet.differences[0].reason.endswith("prints 0.71 G, rounded")


def test_unknown_tools_and_unpublished_networks_are_refused() -> None:
    with pytest.raises(NetlatheError, match="did you mean ptflops"):
        convention(zoo.get("resnet50").graph(), "ptflop", "resnet50")
    with pytest.raises(NetlatheError, match="96 pixels"):
        published_macs("resnet50", 96)
