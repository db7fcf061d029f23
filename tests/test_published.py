"""The published figures. That counts equal them is law 5, in test_laws.py."""

from __future__ import annotations

from netlathe import zoo
from netlathe.zoo.published import best, figures, table

ROWS = [row for name in table() for row in figures(name)]


def test_most_printed_figures_are_reproduced() -> None:
    off = [row for row in ROWS if "params" in row.note or "MACs" in row.note]
    assert len(off) < len(ROWS) / 4


def test_rows_are_complete_and_sane() -> None:
    assert len(ROWS) > 400
    for row in ROWS:
        assert row.source, row
        assert row.recipe, row
        assert row.top1 is None or 30 < row.top1 < 95, row
        assert row.top1 is None or row.top5 is None or row.top1 < row.top5 < 100, row
        assert row.crops in (1, 10), row
    assert len(set(ROWS)) == len(ROWS)


NEVER_PUBLISHED = {"lenet5_modern", "unet_padded", "unet_diffusion", "vit_tiny_patch32", "vit_base_patch16_gap"}
# Of these the figures at hand are those of the merged form, of another resolution, or count something else.
NEVER_PUBLISHED |= {"repvgg_a0", "mobileone_s0", "mobileone_s1", "convnextv2_tiny", "mobilenetv4_conv_medium"}
NEVER_PUBLISHED |= {"mobilenetv4_conv_large"}


def test_all_registered_families_have_figures() -> None:
    assert set(zoo.names()) - table().keys() == NEVER_PUBLISHED | set(zoo.names("text_*"))
    assert table().keys() <= set(zoo.names())


def test_the_best_figure_is_single_crop_from_imagenet_1k_unless_asked() -> None:
    fair, any_data = best("regnety_16gf"), best("regnety_16gf", extra_data=True)
    assert fair is not None
    assert not fair.extra_data
    assert any_data is not None
    assert any_data.extra_data
    assert any_data.top1 == 86.028  # timm's ImageNet-12k weights at 288 pixels, just above SWAG at 384
    vgg = best("vgg16", resolution=224)
    assert vgg is not None
    assert (vgg.crops, vgg.top1) == (1, 71.594)


def test_the_best_figure_can_be_asked_at_one_resolution() -> None:
    at_224, anywhere = best("resnet50", resolution=224), best("resnet50")
    assert at_224 is not None
    assert anywhere is not None
    assert (at_224.top1, at_224.resolution) == (80.858, 224)
    assert (anywhere.top1, anywhere.resolution) == (81.24, 288)
    assert best("resnet50", resolution=97) is None
    assert best("lenet5") is None
    assert figures("no such network") == ()


def test_weights_of_torchvisions_own_graphs_belong_to_the_tv_names() -> None:
    assert any("torchvision" in row.recipe for row in figures("regnety_8gf_tv"))
    assert not any("torchvision" in row.recipe for row in figures("regnety_8gf"))
