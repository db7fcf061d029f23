"""The laws of `netlathe.testing` for every registered network, and the suite itself: it sees what is broken.

Laws 1, 2, 3 and 8 run for one network of each way to build one; the others, which differ in sizes, are marked slow
there (`pytest -m slow`, part of `make bench`). So are those of more than 25 M parameters for laws 2 and 3, which run at
the smallest image that a network takes. docs/conformance.md lists all of them with their errors.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from variants import one_of_each, params, variants

from netlathe import testing, zoo
from netlathe.arch.build import conv, head, seq
from netlathe.arch.network import Network
from netlathe.arch.pools import GlobalPool
from netlathe.cost.totals import totals
from netlathe.lower.twins import twins
from netlathe.reshape.knobs import reshape
from netlathe.testing import LAWS, Broken, check, conformance, smallest

LOWERED = (1, 8)  # that write a network's module
RUN = (2, 3)  # that run a network, or load weights into it
COUNTED = tuple(law for law in LAWS if law not in (*LOWERED, *RUN))

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", zoo.names())
def test_every_registered_network_obeys_the_laws_about_its_expression(name: str) -> None:
    conformance(zoo.get(name), COUNTED)


@pytest.mark.parametrize("name", one_of_each(zoo.names()))
def test_every_registered_network_obeys_the_laws_about_its_module(name: str) -> None:
    conformance(zoo.get(name), LOWERED)


HEAVY = 25e6  # params
# Networks of more that nothing small is built like: in every run law 2 sees them with smaller sizes, and law 3 those of
# families that have no small member with a twin, beside twins of these sizes.
NARROW = ("alexnet", "alexnet_grouped", "unet", "unet_padded", "ddpm_cifar10", "resnet50_v1", "resnext50_32x4d")
NARROW += ("densenet161", "mobilenetv1_conv", "vit_small_r26_s32", "convnext_tiny")
SMALLER: dict[str, dict[str, object]] = {
    **{name: {} for name in NARROW},  # an eighth of every width
    "vgg11": {"widths": (8, 8, 16, 16, 8)},
    "vgg11_bn": {"widths": (8, 8, 16, 16, 8)},
    "wide_resnet50_2": {"width": 16, "group_width": 32},
    "resnet50": {"depths": (2, 2, 1, 1)},
    "swin_tiny": {"width": 32, "depths": (2, 2)},
    "nasnet_large": {"width": 24, "stem": 12, "depth": 2, "aux": 2},
    "vit_base_patch16_gap": {"width": 48, "heads": 3},
    "swin_base_384": {"width": 32, "depths": (2, 2, 2, 2)},
}


@pytest.mark.parametrize("name", one_of_each(zoo.names(), HEAVY))
def test_every_registered_network_obeys_the_laws_about_outputs(name: str, timm: ModuleType) -> None:
    conformance(smallest(zoo.get(name)), RUN)


@pytest.mark.parametrize("name", SMALLER)
def test_networks_built_like_the_heavy_ones_obey_the_law_about_outputs(name: str) -> None:
    network = smallest(zoo.get(name, **SMALLER[name]))
    conformance(network if SMALLER[name] else reshape(network, width=0.125), [2])


def small_twin(name: str, timm: ModuleType) -> torch.nn.Module:
    """timm's network of the sizes of SMALLER."""
    models = timm.models
    if name == "vgg11_bn":
        layers = [8, "M", 8, "M", 16, 16, "M", 16, 16, "M", 8, 8, "M"]
        return models.vgg.VGG(cfg=layers, norm_layer=torch.nn.BatchNorm2d)
    if name == "resnet50":
        return models.resnet.ResNet(models.resnet.Bottleneck, layers=SMALLER[name]["depths"])
    sizes = SMALLER[name]
    return models.swin_transformer.SwinTransformer(embed_dim=sizes["width"], depths=sizes["depths"], num_heads=(1, 2))


@pytest.mark.parametrize("name", ["vgg11_bn", "resnet50", "swin_tiny"])
def test_a_small_network_takes_the_weights_of_a_small_twin(name: str, timm: ModuleType) -> None:
    conformance(zoo.get(name, **SMALLER[name]), [3], twin=small_twin(name, timm).eval())


def test_every_way_to_build_a_network_is_run() -> None:
    groups = variants()
    assert sorted(name for names in groups for name in names) == sorted(zoo.names())
    assert {first for first, *_ in groups if params(first) > HEAVY} == SMALLER.keys()


PAGE = Path(__file__).parent.parent / "docs" / "conformance.md"


def test_the_page_lists_every_twin_with_the_counts_of_today() -> None:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")][2:]
    listed = {}
    for line in lines:
        network, twin, *cells, error, _ = (cell.strip() for cell in line.strip("|").split("|"))
        listed[network, twin] = tuple(int(cell.replace(",", "")) for cell in cells[:4])
        assert float(error) <= 1e-4, line
    for twin in twins():
        network = twin.build_network()
        ours = totals(network.body, network.input)
        counts = (ours.params, ours.params, ours.macs, ours.macs)
        assert listed.pop((twin.network, f"{twin.library} {twin.name}")) == counts, twin
    assert not listed


def tiny(width: int = 8) -> Network:
    return Network("tiny", seq(stem=conv(width, 3, 2), head=head(10)), (3, 32, 32))


def twin(width: int = 8, act: type[torch.nn.Module] = torch.nn.ReLU) -> torch.nn.Module:
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(3, width, 3, 2, 1, bias=False),
        nn.BatchNorm2d(width),
        act(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, 10),
    )


def test_a_network_of_ones_own_and_its_module_are_checked_in_one_call() -> None:
    results = check(tiny(), twin=twin())
    assert [result.law for result in results] == list(LAWS)
    assert {result.law: result.outcome for result in results} == dict.fromkeys(LAWS, "holds") | {5: "says nothing"}
    conformance(tiny(), twin=twin())


@pytest.mark.parametrize("law", [1, 3])
def test_a_twin_of_another_width_breaks_the_laws_about_twins(law: int) -> None:
    (result,) = check(tiny(), [law], twin=twin(9))
    assert result.outcome == "broken"
    with pytest.raises(Broken, match="tiny: law"):
        conformance(tiny(), [law], twin=twin(9))


def test_a_twin_with_another_activation_breaks_the_law_about_outputs() -> None:
    (result,) = check(tiny(), [3], twin=twin(act=torch.nn.SiLU))
    assert result.outcome == "broken"
    assert "output differs" in result.evidence


def test_every_broken_law_is_told_with_its_statement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testing, "from_json", lambda text: replace(tiny(), input=(3, 64, 64)))
    monkeypatch.setattr(testing, "TOLERANCE", -1.0)
    with pytest.raises(Broken) as caught:
        conformance(tiny())
    assert LAWS[2].statement in str(caught.value)
    assert LAWS[4].statement in str(caught.value)
    assert LAWS[8].statement not in str(caught.value)


def test_a_figure_that_is_not_the_counted_one_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = testing.figures("resnet50")
    monkeypatch.setattr(testing, "figures", lambda name: (replace(rows[0], params_M=rows[0].params_M * 2, note=""),))
    (result,) = check(zoo.get("resnet50"), [5])
    assert result.outcome == "broken"
    (noted,) = check(tiny(), [5])
    assert noted.outcome == "says nothing"


def test_a_lowering_that_fails_in_any_way_breaks_its_law(monkeypatch: pytest.MonkeyPatch) -> None:
    import netlathe.lower.torch as room

    def broken(*given: object) -> None:
        raise RuntimeError("no such operator")

    monkeypatch.setattr(room, "to_torch", broken)
    (result,) = check(tiny(), [2])
    assert (result.outcome, result.evidence) == ("broken", "RuntimeError: no such operator")


def test_a_network_that_ignores_its_image_size_has_no_knob_there() -> None:
    flat = Network("flat", seq(pool=GlobalPool()), (3, 8, 8))
    (result,) = check(flat, [6])
    assert result.outcome == "broken"  # no MACs at any size: not monotone
