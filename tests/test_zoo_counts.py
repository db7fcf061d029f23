"""The zoo counts what torchvision and timm execute: params and MACs, exactly, at each network's own resolution.

The other side is `oracle.count`, which traces their modules operator by operator. It does so for one network of each
way to build one; those that differ from it in sizes are marked slow (`pytest -m slow`, part of `make bench`), and their
counts are held by docs/conformance.md and by the published figures in every run (`test_laws.py`).
"""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from oracle import Count, count
from variants import one_of_each

from netlathe import zoo
from netlathe.cost.totals import totals

SIZES = ("200mf", "400mf", "600mf", "800mf", "1_6gf", "3_2gf", "4gf", "6_4gf", "8gf", "12gf", "16gf", "32gf")
TIMM_SIZES = ("002", "004", "006", "008", "016", "032", "040", "064", "080", "120", "160", "320")
ALPHAS = ("035", "050", "075", "140")

FAMILIES = ("vgg", "wide_resnet", "densenet", "efficientnet_")
SAME_NAME = [name for name in zoo.names() if name.startswith(FAMILIES) and "lite" not in name]
SAME_NAME += ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
SAME_NAME += ["resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"]

TORCHVISION = {name: name for name in SAME_NAME}
TORCHVISION |= {"alexnet": "alexnet", "mobilenetv2": "mobilenet_v2"}
TORCHVISION |= {f"mobilenetv3_{size}": f"mobilenet_v3_{size}" for size in ("large", "small")}
TORCHVISION |= {f"efficientnetv2_{size}": f"efficientnet_v2_{size}" for size in "sml"}
TORCHVISION |= {f"convnext_{size}": f"convnext_{size}" for size in ("tiny", "small", "base", "large")}
TORCHVISION |= {f"swin_{size}": f"swin_{size[0]}" for size in ("tiny", "small", "base")}
TORCHVISION |= {
    f"vit_{size}_patch{patch}": f"vit_{size[0]}_{patch}" for size in ("base", "large") for patch in (16, 32)
}
TORCHVISION |= {
    f"regnet{kind}_{size}": f"regnet_{kind}_{size}"
    for kind in "xy"
    for size in ("400mf", "800mf", "1_6gf", "3_2gf", "8gf", "16gf", "32gf")
}
# The three names under which torchvision has another network.
for other in ("regnetx_400mf", "regnety_800mf", "regnety_8gf"):
    TORCHVISION[f"{other}_tv"] = TORCHVISION.pop(other)

TIMM = {name: name for name in SAME_NAME}
TIMM |= {"resnext101_32x4d": "resnext101_32x4d", "mobilenetv2": "mobilenetv2_100"}
TIMM |= {"mobilenetv1": "mobilenetv1_100", "mobilenetv1_125": "mobilenetv1_125"}
TIMM |= {f"mobilenetv2_{alpha}": f"mobilenetv2_{alpha}" for alpha in ALPHAS}
TIMM |= {
    f"regnet{kind}_{size}": f"regnet{kind}_{code}"
    for kind in "xy"
    for size, code in zip(SIZES, TIMM_SIZES, strict=True)
}
TIMM |= {name: name for name in zoo.names("convnext_*")}
TIMM |= {f"vit_{size}_patch16": f"vit_{size}_patch16_224" for size in ("tiny", "small", "base", "large")}
TIMM |= {f"vit_{size}_patch32": f"vit_{size}_patch32_224" for size in ("small", "base", "large")}
TIMM |= {name: f"{name}_224" for name in ("vit_base_patch16_gap", *zoo.names("vit_*_r*"))}
TIMM |= {f"swin_{size}": f"swin_{size}_patch4_window7_224" for size in ("tiny", "small", "base")}
TIMM |= {"swin_base_384": "swin_base_patch4_window12_384", "nasnet_large": "nasnetalarge"}
TIMM |= {f"mobilenetv3_{size}": f"mobilenetv3_{size}_100" for size in ("large", "small")}
TIMM |= {f"efficientnetv2_{size}": f"tf_efficientnetv2_{size}" for size in "sml"}
TIMM |= {"regnetx_400mf_tv": "regnetx_004_tv", "regnety_800mf_tv": "regnety_008_tv", "regnety_8gf_tv": "regnety_080_tv"}


def counted(name: str) -> Count:
    """What Netlathe says."""
    network = zoo.get(name)
    said = totals(network.body, network.input)
    return Count(said.params, said.macs)


@pytest.mark.parametrize("name", one_of_each(TORCHVISION))
def test_counts_what_torchvision_executes(name: str, torchvision: ModuleType) -> None:
    build = getattr(torchvision.models, TORCHVISION[name])
    assert counted(name) == count(lambda: build(weights=None), zoo.get(name).input)


@pytest.mark.parametrize("name", one_of_each(TIMM))
def test_counts_what_timm_executes(name: str, timm: ModuleType) -> None:
    assert counted(name) == count(lambda: timm.create_model(TIMM[name], num_classes=1000), zoo.get(name).input)


def test_every_regnet_of_the_paper_has_a_twin() -> None:
    paper = {name for name in zoo.names("regnet[xy]_*") if not name.endswith("_tv")}
    assert len(paper) == 24
    assert paper <= TIMM.keys()


def test_googlenet_counts_what_torchvision_executes(torchvision: ModuleType) -> None:
    def build() -> torch.nn.Module:
        return torchvision.models.googlenet(aux_logits=False, init_weights=False)

    assert counted("googlenet") == count(build, (3, 224, 224)) == (6_624_904, 1_498_376_192)


def test_the_training_graph_of_googlenet_has_torchvisions_auxiliary_heads(torchvision: ModuleType) -> None:
    ops = zoo.get("googlenet").graph(training=True).ops
    theirs = count(lambda: torchvision.models.googlenet(init_weights=False), (3, 224, 224), training=True)
    assert (sum(op.params for op in ops), sum(op.macs for op in ops)) == theirs
    assert theirs.params == 13_004_888


@pytest.mark.parametrize(
    ("layer", "shape", "macs"),
    [
        (lambda: torch.nn.Conv2d(16, 32, 3, padding=1, groups=4), (16, 16, 16), 294_912),
        (lambda: torch.nn.ConvTranspose2d(16, 32, 2, stride=2), (16, 16, 16), 524_288),
        (lambda: torch.nn.Linear(32, 96), (64, 32), 196_608),
        (lambda: torch.nn.BatchNorm2d(16), (16, 16, 16), 0),
    ],
)
def test_the_oracle_counts_hand_checked_layers(layer: object, shape: tuple[int, ...], macs: int) -> None:
    assert count(layer, shape).macs == macs  # type: ignore[arg-type]
