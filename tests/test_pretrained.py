"""Real weights come into an expression whole, or with a report. All offline."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn
from twins import resnet, timm_resnet

from netlathe import weights, zoo
from netlathe.arch.build import concat, conv, relu, seq
from netlathe.arch.layers import Conv
from netlathe.arch.network import Network
from netlathe.errors import Exit, NetlatheError
from netlathe.lower.twins import Twin, build_twin, twins
from netlathe.testing import randomise

pytestmark = pytest.mark.usefixtures("one_thread")


SMALL = {  # one network a family, at an image that it takes
    "resnet18": 64,
    "resnext50_32x4d": 64,
    "densenet121": 64,
    "googlenet": 64,
    "mobilenetv1": 64,
    "mobilenetv2_035": 64,
    "mobilenetv3_small": 64,
    "efficientnet_b0": 64,
    "regnetx_200mf": 64,
    "regnety_400mf": 64,
    "convnext_atto": 64,
    "vit_tiny_patch16": 224,
    "vit_small_r26_s32": 224,
    "swin_tiny": 224,
}


@pytest.mark.parametrize("twin", [t for t in twins() if t.network in SMALL], ids=lambda t: f"{t.library}-{t.name}")
def test_a_twin_of_every_family_loads_and_agrees(twin: Twin, timm: ModuleType) -> None:
    network = zoo.get(twin.network, resolution=SMALL[twin.network])
    module = build_twin(twin, network)
    randomise(module)
    loaded = weights.from_module(module, network)
    assert loaded.error is not None
    assert loaded.error < 1e-5
    assert loaded.missing == loaded.unused == ()
    numbers = sum(p.numel() for p in module.parameters())
    assert numbers == sum(t.size for name, t in loaded.tensors.items() if not name.endswith(("_mean", "_var")))


def test_every_twin_is_a_registered_network_of_that_library(timm: ModuleType, torchvision: ModuleType) -> None:
    assert len(twins()) == len({(t.library, t.name) for t in twins()}) > 100
    for twin in twins():
        assert twin.short in zoo.names()
        legal = timm.list_models() if twin.library == "timm" else torchvision.models.list_models()
        assert twin.name in legal


def test_the_module_stays_as_it_was() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8)).half().train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    weights.from_module(module, Network("two", conv(8, bias=True, act=None), (3, 8, 8)))
    assert module.training
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


class Branches(nn.Module):
    """[a(x), b(x)] or [b(x), a(x)], equal shapes, called in either order."""

    def __init__(self, swapped: bool, b_first: bool) -> None:
        super().__init__()
        self.a, self.b, self.b_first, self.swapped = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1), b_first, swapped

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ys = {}
        for name in "ba" if self.b_first else "ab":
            ys[name] = getattr(self, name)(x)
        return torch.cat([ys[name] for name in ("ba" if self.swapped else "ab")], 1)


@pytest.mark.parametrize("b_first", [False, True])
@pytest.mark.parametrize("swapped", [False, True])
def test_branches_of_equal_shape_are_told_apart_by_their_place_not_by_the_order_of_calls(
    swapped: bool, b_first: bool
) -> None:
    layer = Conv(4, bias=True)
    module = Branches(swapped, b_first)
    loaded = weights.from_module(module, Network("branches", concat(first=layer, second=layer), (3, 8, 8)))
    first = module.b if swapped else module.a
    assert np.array_equal(loaded.tensors["first.weight"], first.weight.detach().numpy())
    assert loaded.error is not None


def test_a_linear_layer_is_a_convolution_over_all_it_sees() -> None:
    network = Network("point", seq(squeeze=Conv(5, bias=True)), (4, 3, 3))

    class Pointwise(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(4, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x.movedim(1, -1)).movedim(-1, 1)

    loaded = weights.from_module(Pointwise(), network)
    assert loaded.tensors["squeeze.weight"].shape == (5, 4, 1, 1)
    assert loaded.error is not None


class Standardised(nn.Conv2d):
    """A convolution whose kernel has mean 0 and variance 1, computed at every call."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = self.weight.mean((1, 2, 3), keepdim=True)
        spread = self.weight.std((1, 2, 3), keepdim=True)
        return nn.functional.conv2d(x, (self.weight - mean) / spread, self.bias, padding=1)


def test_a_kernel_that_is_computed_at_every_call_arrives_computed() -> None:
    module = nn.Sequential(Standardised(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 1))
    body = seq(process=Conv(4, 3, bias=True), act=relu, last=Conv(4, bias=True))
    loaded = weights.from_module(module, Network("standardised", body, (3, 8, 8)))
    assert abs(loaded.tensors["process.weight"].mean()) < 1e-6
    assert loaded.tensors["process.weight"][0].std(ddof=1) == pytest.approx(1)


def test_frozen_norms_load_like_others(torchvision: ModuleType) -> None:
    from torchvision.ops import FrozenBatchNorm2d

    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), FrozenBatchNorm2d(4))
    randomise(module)
    loaded = weights.from_module(module, Network("frozen", conv(4, 3, act=None), (3, 8, 8)))
    assert len(loaded.tensors) == 5
    assert loaded.error is not None


def test_weights_of_another_depth_are_refused_with_the_tensors_that_do_not_fit(timm: ModuleType) -> None:
    with pytest.raises(NetlatheError, match="do not fit resnet34") as caught:
        weights.from_module(timm_resnet(), zoo.get("resnet34", resolution=64))
    assert "missing: stage" in caught.value.message
    assert "more" in caught.value.message  # a screen, not a flood


def test_another_classifier_is_refused_or_left_out_on_request(timm: ModuleType) -> None:
    network = resnet(classes=10)
    with pytest.raises(NetlatheError) as caught:
        weights.from_module(timm_resnet(), network)
    assert caught.value.code == "weights.mismatch"
    for line in ("missing: head.classifier.weight (10, 512)", "left over: fc.weight (1000, 512)"):
        assert line in caught.value.message
    loaded = weights.from_module(timm_resnet(), network, strict=False)
    assert loaded.missing == ("head.classifier.weight", "head.classifier.bias")
    assert loaded.unused == ("fc.weight", "fc.bias")
    assert loaded.error is None
    assert len(loaded.tensors) == 100


def test_tensors_that_fit_another_function_are_refused(timm: ModuleType) -> None:
    with pytest.raises(NetlatheError, match="its output differs by") as caught:
        weights.from_module(timm_resnet(act_layer=nn.SiLU), resnet())
    assert caught.value.exit == Exit.CHECK_FAILED
    assert weights.from_module(timm_resnet(act_layer=nn.SiLU), resnet(), verify=False).error is None


def test_an_image_that_the_module_does_not_take_is_told(timm: ModuleType) -> None:
    module = timm.create_model("vit_tiny_patch16_224", depth=1)
    with pytest.raises(NetlatheError, match="fails on 1x3x384x384") as caught:
        weights.from_module(module, zoo.get("vit_tiny_patch16", resolution=384))
    assert "resolution" in caught.value.hint
