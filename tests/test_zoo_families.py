"""What is particular to a family: Transformers, found cells, U-Nets, text. Twins by name are in test_zoo_counts."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from oracle import Count, count
from torch import nn

from netlathe import zoo
from netlathe.arch.graph import Graph
from netlathe.arch.network import Network
from netlathe.arch.rewrite import walk
from netlathe.arch.tokens import WindowAttention
from netlathe.cost.totals import totals
from netlathe.errors import NetlatheError, ShapeError
from netlathe.zoo.cells import operation
from netlathe.zoo.darts import V2, style
from netlathe.zoo.nasnet import NORMAL, REDUCTION


def counted(network: Network) -> Count:
    """What Netlathe says."""
    said = totals(network.body, *network.inputs)
    return Count(said.params, said.macs)


def paths(name: str, *, training: bool = False, **changes: Any) -> set[str]:
    return {op.path for op in zoo.get(name, **changes).graph(training=training).ops}


def sums(graph: Graph) -> tuple[int, int]:
    return sum(op.params for op in graph.ops), sum(op.macs for op in graph.ops)


# The oracle


@pytest.mark.parametrize(
    "attend",
    [
        lambda q, k, v: nn.functional.scaled_dot_product_attention(q, k, v),
        lambda q, k, v: (q @ k.mT).softmax(-1) @ v,
        lambda q, k, v: torch.einsum("bhmn,bhnc->bhmc", torch.einsum("bhmc,bhnc->bhmn", q, k).softmax(-1), v),
    ],
)
def test_the_oracle_counts_both_products_of_attention_however_it_is_written(attend: Any) -> None:
    class Heads(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return attend(x, x, x)  # type: ignore[no-any-return]

    assert count(Heads, (4, 64, 8)).macs == 262_144  # 4 heads, 64 tokens, 8 channels: 2 x 4 x 64 x 64 x 8


# Vision Transformers


@pytest.mark.parametrize(("name", "twin"), [("vit_base_patch16", "vit_base_patch16_384")])
def test_another_resolution_is_another_twin(name: str, twin: str, timm: ModuleType) -> None:
    network = zoo.get(name, resolution=384)
    assert counted(network) == count(lambda: timm.create_model(twin), network.input)


def test_a_vit_can_average_its_tokens_instead_of_reading_one(timm: ModuleType) -> None:
    def build() -> nn.Module:
        return timm.create_model(  # type: ignore[no-any-return]
            "vit_tiny_patch16_224", class_token=False, global_pool="avg", fc_norm=False
        )

    mean = zoo.get("vit_tiny_patch16", pool="mean")
    assert counted(mean) == count(build, mean.input)
    assert zoo.get("vit_base_patch16_gap").body == zoo.get("vit_base_patch16", pool="mean").body
    assert "head.pool" in paths("vit_base_patch16_gap")
    assert not {"token", "head.select"} & paths("vit_base_patch16_gap")


def test_the_smallest_vit_of_large_patches_is_timms_with_other_patches(timm: ModuleType) -> None:
    network = zoo.get("vit_tiny_patch32")
    assert counted(network) == count(lambda: timm.create_model("vit_tiny_patch16_224", patch_size=32), network.input)


def test_positions_derive_from_the_tokens_that_arrive() -> None:
    weights = {op.path: op.weights for op in zoo.get("vit_small_patch16", resolution=384).graph().ops}
    assert weights["position"] == {"weight": (24 * 24 + 1, 384)}


def test_a_patch_is_a_position_so_a_ragged_image_loses_its_edge() -> None:
    exact, ragged = (zoo.get("vit_tiny_patch16", resolution=size) for size in (224, 239))
    assert counted(exact) == counted(ragged)


def test_paths_of_transformers_read_well() -> None:
    vit, swin = paths("vit_base_patch16"), paths("swin_tiny")
    assert {"stem", "token", "position", "encoder.block2.attention.qkv", "encoder.block12.mlp.expand"} <= vit
    assert {"encoder.block1.attention.add", "encoder.block1.attention.attend", "head.classifier"} <= vit
    assert {"stem.patch", "stage3.block3.shifted.attention.qkv", "merge1.squeeze"} <= swin
    assert {"stem.stage3.block9.process.conv", "stem.down.pool", "stem.project"} <= paths("vit_base_r50_s16")
    assert {"stem.conv4.conv", "encoder.block11.mlp.squeeze"} <= paths("vitc_4gf")
    convnext = {"stem.patch", "stage3.block9.process", "stage3.block9.expand", "stage1.block1.scale", "down3.conv"}
    assert convnext <= paths("convnext_tiny")
    assert convnext - {"stage3.block9.process", "stage3.block9.expand"} <= paths("convnext_atto")


def test_every_second_block_of_swin_shifts_its_windows_by_half() -> None:
    body = zoo.get("swin_base_384").body
    found = [node for _, node in walk(body) if isinstance(node, WindowAttention)]
    assert [node.shift for node in found] == [0, 6] * 12
    assert {(node.heads, node.size) for node in found} == {(4, 12), (8, 12), (16, 12), (32, 12)}


def test_a_window_larger_than_the_map_becomes_the_map() -> None:
    swin = zoo.get("swin_tiny", resolution=96)  # maps of 24, 12, 6 and 3
    biases = {op.path: op.weights["bias"] for op in swin.graph().ops if op.form == "window"}
    assert biases["stage1.block1.shifted.attention.attend"] == (13**2, 3)
    assert biases["stage4.block1.shifted.attention.attend"] == (5**2, 24)


def test_the_layouts_of_convnext_count_the_same() -> None:
    grid, maps = (zoo.get("convnext_tiny", maps=maps) for maps in (False, True))
    assert counted(grid) == counted(maps)
    assert grid.body != maps.body


# Cells found by search


def test_a_normal_cell_of_nasnet_also_passes_on_the_cell_before() -> None:
    assert NORMAL.concat[0] == 1
    ops = {op.path: op for op in zoo.get("nasnet_large").graph().ops}
    assert ops["stage1_cell2.cat"].out_shape == (6 * 168, 42, 42)
    assert ops["reduce1.cat"].out_shape == (4 * 336, 21, 21)
    assert ops["head.classifier"].in_shapes == ((4032,),)  # "6 @ 4032"
    assert {"stage1_cell1.state1.halves.odd.conv", "stage1_cell2.state1.conv", "down2.step1.left.first.point"} <= set(
        ops
    )


def test_strides_of_a_reduction_act_on_its_two_inputs_only() -> None:
    strided = [
        op.path for op in zoo.get("nasnet_mobile").graph().ops if op.path.startswith("reduce1.") and "step" in op.path
        if op.out_shape[1:] != op.in_shapes[0][1:]
    ]  # fmt: skip
    assert {path.split(".")[1] for path in strided} == {"step1", "step2", "step3", "step5"}
    assert "reduce1.step5.right" in strided
    assert not any(path.startswith("reduce1.step5.left") for path in strided)
    assert len(REDUCTION.steps) == 5


def test_after_a_reduction_the_large_nasnet_looks_one_cell_further_back() -> None:
    large, mobile = (zoo.get(name).graph().ops for name in ("nasnet_large", "nasnet_mobile"))

    def source(ops: Any, path: str) -> str:
        read = next(op for op in ops if op.path == path)
        return next(str(op.path) for op in ops if op.output == read.inputs[0])

    assert source(large, "stage2_cell1.state1.act") == "stage1_cell5.cat"
    assert source(mobile, "stage2_cell1.state1.act") == "stage1_cell4.cat"
    assert source(large, "stage2_cell2.state1.act") == "reduce1.cat"


@pytest.mark.parametrize(
    ("name", "aux"),
    [
        # 1x1 to 128, 6x6 (4x4) to 768, linear: with the factors and shifts of two norms
        ("nasnet_large", 2016 * 128 + 128 * 768 * 36 + 768 * 1000 + 1000 + 2 * (128 + 768)),
        ("nasnet_mobile", 528 * 128 + 128 * 768 * 16 + 768 * 1000 + 1000 + 2 * (128 + 768)),
        ("darts_v2_cifar10", 576 * 128 + 128 * 768 * 4 + 768 * 10 + 10 + 2 * (128 + 768)),
        ("darts_v2_imagenet", 768 * 128 + 128 * 768 * 4 + 768 * 1000 + 1000 + 2 * 128),
    ],
)
def test_the_auxiliary_head_of_a_cell_network_is_read_while_training(name: str, aux: int) -> None:
    network = zoo.get(name)
    plain, training = network.graph(), network.graph(training=True)
    assert sums(training)[0] - sums(plain)[0] == aux
    assert [training.shapes[id] for id in training.outputs] == [plain.shapes[plain.outputs[0]]] * 2


def test_darts_counts_what_its_authors_code_prints() -> None:
    assert counted(zoo.get("darts_v2_cifar10")).params == 3_349_342  # "param size = 3.349342MB"
    ops = {op.path: op for op in zoo.get("darts_v2_imagenet").graph().ops}
    assert ops["cell5.cat"].out_shape == (4 * 96, 14, 14)
    assert ops["cell10.cat"].out_shape == (4 * 192, 7, 7)
    assert ops["cell4.step4.right.depthwise"].weights == {"weight": (48, 1, 3, 3)}
    assert "cell4.step4.left" not in ops  # a skip costs no operator
    assert len(V2[0].steps) == 4


def test_an_unknown_operation_of_a_cell_is_refused() -> None:
    with pytest.raises(ValueError, match="max, avg, skip, not 'blur3'"):
        operation("blur3", 16, 1, style)


# U-Nets


class Level(nn.Module):
    """Ronneberger et al.'s recursion, in torch."""

    def __init__(self, arrive: int, width: int, depth: int) -> None:
        super().__init__()
        self.encode = self.double(arrive, width)
        self.inner = Level(width, 2 * width, depth - 1) if depth else None
        if depth:
            self.up = nn.ConvTranspose2d(2 * width, width, 2, 2)
            self.decode = self.double(2 * width, width)

    def double(self, arrive: int, leave: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(arrive, leave, 3), nn.ReLU(), nn.Conv2d(leave, leave, 3), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.encode(x)
        if self.inner is None:
            return x
        y = self.up(self.inner(nn.functional.max_pool2d(x, 2)))
        cut = [(a - b) // 2 for a, b in zip(x.shape[2:], y.shape[2:], strict=True)]
        x = x[:, :, cut[0] : cut[0] + y.shape[2], cut[1] : cut[1] + y.shape[3]]
        return self.decode(torch.cat([x, y], 1))  # type: ignore[no-any-return]


def test_the_unet_of_the_paper_is_its_recursion() -> None:
    network = zoo.get("unet")
    theirs = count(lambda: nn.Sequential(Level(1, 64, 4), nn.Conv2d(64, 2, 1)), network.input)
    assert counted(network) == theirs
    assert theirs.params == 31_030_658
    ops = {op.path: op for op in network.graph().ops}
    assert ops["deeper.crop0"].in_shapes == ((128, 280, 280),)
    assert ops["deeper.crop0"].out_shape == (128, 200, 200)  # Fig. 1
    assert ops["deeper.deeper.deeper.deeper.second.conv"].out_shape == (1024, 28, 28)


def test_a_padded_unet_keeps_the_size_and_crops_nothing() -> None:
    graph = zoo.get("unet_padded").graph()
    assert not [op for op in graph.ops if op.kind == "crop"]
    assert graph.shapes[graph.outputs[0]] == (2, 256, 256)


def test_a_denoiser_reads_an_image_and_a_time_step() -> None:
    network = zoo.get("ddpm_cifar10")
    assert network.inputs == ((3, 32, 32), (1,))
    ops = {op.path: op for op in network.graph().ops}
    assert ops["down2_block1.attention.attend"].macs == 2 * 256 * 256 * 256  # 16 x 16 positions, 256 channels
    assert ops["down2_block1.shift"].in_shapes == ((256, 32 // 2, 32 // 2), (256,))
    attending = {path.split(".")[0] for path in ops if ".attend" in path}
    assert attending == {f"down2_block{i}" for i in (1, 2)} | {f"up2_block{i}" for i in (1, 2, 3)} | {"middle_block1"}
    assert counted(network).params == 35_746_307  # the paper prints 35.7 million


def test_a_denoiser_without_its_time_step_is_refused() -> None:
    network = zoo.get("unet_diffusion")
    with pytest.raises(ShapeError, match="reads 2 values, but 1 arrive"):
        totals(network.body, network.input)


def test_group_norm_refuses_channels_that_do_not_divide() -> None:
    with pytest.raises(ShapeError, match="64 channels cannot be normed in 48 groups") as caught:
        zoo.get("unet_diffusion", groups=48).graph()
    assert caught.value.path == "down1_block1.first.norm"


# Text


@pytest.mark.parametrize(
    ("name", "width", "depth", "heads"), [("text_encoder", 512, 4, 8), ("text_encoder_tiny", 128, 2, 2)]
)
def test_a_text_encoder_counts_what_torch_executes(name: str, width: int, depth: int, heads: int) -> None:
    class Text(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(30_522, width)
            self.position = nn.Parameter(torch.empty(128, width))
            self.norm = nn.LayerNorm(width)
            layer = nn.TransformerEncoderLayer(width, heads, 4 * width, activation="gelu", batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, depth)
            self.head = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 2))

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            tokens = self.encoder(self.norm(self.embed(ids) + self.position))
            return self.head(tokens[:, 0])  # type: ignore[no-any-return]

    # In training mode, for the fused layer of inference hides its operators.
    assert counted(zoo.get(name)) == count(Text, (128,), training=True, dtype=torch.long)


def test_a_text_encoder_has_no_resolution() -> None:
    with pytest.raises(NetlatheError, match="reads no image"):
        zoo.get("text_encoder", resolution=224)
