"""A torch module is counted by what its forward executes, whoever wrote it and however."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch
from oracle import count as trace
from torch import nn
from torch.nn import functional as F

from netlathe import zoo
from netlathe.cost.count import count
from netlathe.cost.memory import memory
from netlathe.cost.table import cost_rows
from netlathe.errors import NetlatheError
from netlathe.lower.twins import OPTIONS, Twin, twins
from netlathe.read import torch_ops
from netlathe.read.torch import read_module, register

MAP, TOKENS = (16, 16, 16), (64, 32)


class Function(nn.Module):
    """A module whose forward is a function of x and of parameters of the given shapes."""

    def __init__(self, function: Callable[..., Any], *shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.function = function
        self.tensors = nn.ParameterList(nn.Parameter(torch.zeros(shape)) for shape in shapes)

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x, *self.tensors)


class Convolution(nn.Conv2d):
    """A subclass, which counters that look up the exact type miss."""


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = conv(16, 16, 3, padding=1), conv(16, 16, 3, padding=1)
        self.b.weight = self.a.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(x))


class Uncalled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = conv(16, 16, 3, padding=1)
        self.spare = conv(16, 64, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


def conv(*args: Any, **kwargs: Any) -> nn.Conv2d:
    return nn.Conv2d(*args, **kwargs, bias=False)


def self_attention(x: torch.Tensor) -> torch.Tensor:
    return torch.matmul(torch.softmax(torch.matmul(x, x.transpose(1, 2)), -1), x)


def fused_attention(x: torch.Tensor) -> torch.Tensor:
    q = x.view(1, 64, 4, 8).transpose(1, 2)
    return F.scaled_dot_product_attention(q, q, q)


class MultiHead(nn.Module):
    def __init__(self, need_weights: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(32, 4, bias=False, batch_first=True)
        self.need_weights = need_weights

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.attention(x, x, x, need_weights=self.need_weights)[0]
        return y


def twice() -> nn.Module:
    shared = conv(16, 16, 3, padding=1)
    return nn.Sequential(shared, shared)


# Counted by hand. fvcore, ptflops, torchinfo, calflops, thop and torchprofile each get some of them wrong.
CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "1 conv": (lambda: conv(16, 32, 3, padding=1), MAP, 1_179_648),
    "2 grouped conv": (lambda: conv(16, 32, 3, padding=1, groups=4), MAP, 294_912),
    "3 depthwise": (lambda: conv(16, 16, 3, padding=1, groups=16), MAP, 36_864),
    "4 dilated": (lambda: conv(16, 32, 3, padding=2, dilation=2), MAP, 1_179_648),
    "5 transposed": (lambda: nn.ConvTranspose2d(16, 32, 2, 2, bias=False), MAP, 524_288),
    "6 subclass": (lambda: Convolution(16, 32, 3, padding=1, bias=False), MAP, 1_179_648),
    "7 F.conv2d": (lambda: Function(lambda x, w: F.conv2d(x, w, padding=1), (32, 16, 3, 3)), MAP, 1_179_648),
    "8 linear on tokens": (lambda: nn.Linear(32, 96, bias=False), TOKENS, 196_608),
    "9 linear on NHWC": (lambda: nn.Linear(32, 96, bias=False), (8, 8, 32), 196_608),
    "10 F.linear": (lambda: Function(F.linear, (96, 32)), TOKENS, 196_608),
    "11 x @ W": (lambda: Function(lambda x, w: x @ w, (32, 96)), TOKENS, 196_608),
    "12 matmul attention": (lambda: Function(self_attention), TOKENS, 262_144),
    "13 @ attention": (lambda: Function(lambda x: (x @ x.mT).softmax(-1) @ x), TOKENS, 262_144),
    "14 bmm": (lambda: Function(lambda x: torch.bmm(x, x.transpose(1, 2))), TOKENS, 131_072),
    "15 einsum": (lambda: Function(lambda x: torch.einsum("bnc,bmc->bnm", x, x)), TOKENS, 131_072),
    "16 fused attention": (lambda: Function(fused_attention), TOKENS, 262_144),
    "17 multi-head attention": (lambda: MultiHead(False), TOKENS, 524_288),
    "17 with its weights": (lambda: MultiHead(True), TOKENS, 524_288),
    "18 encoder layer": (lambda: nn.TransformerEncoderLayer(32, 4, 128, batch_first=True), TOKENS, 1_048_576),
    "19 called twice": (twice, MAP, 1_179_648),
    "20 tied": (Tied, MAP, 1_179_648),
    "21 uncalled": (Uncalled, MAP, 589_824),
    "22 batch norm": (lambda: nn.BatchNorm2d(16), MAP, 0),
    "23 relu": (nn.ReLU, MAP, 0),
    "24 max pool": (lambda: nn.MaxPool2d(2), MAP, 0),
    "25 upsample": (lambda: nn.Upsample(scale_factor=2), MAP, 0),
}


@pytest.mark.parametrize("case", CASES)
def test_the_micro_cases_that_counters_get_wrong(case: str) -> None:
    build, shape, macs = CASES[case]
    assert count(read_module(build().eval(), shape).graph).macs == macs


def graph_of(module: nn.Module, *inputs: Any) -> Any:
    return read_module(module.eval(), *inputs).graph


def test_the_scores_of_attention_are_whole_only_where_nobody_asks_for_them() -> None:
    kinds = [op.kind for op in graph_of(MultiHead(False), TOKENS).ops]
    assert kinds.count("attention") == 1
    assert "matmul" not in kinds
    assert [op.kind for op in graph_of(MultiHead(True), TOKENS).ops].count("matmul") == 2


def test_tied_weights_count_once_and_are_named() -> None:
    reading = read_module(Tied(), MAP)
    assert count(reading.graph).params == 16 * 16 * 9
    assert reading.tied == {"b.weight": "a.weight"}
    shared = read_module(twice(), MAP)
    assert count(shared.graph).params == 16 * 16 * 9
    assert [op.path for op in shared.graph.ops] == ["0", "0:2"]


def test_what_the_forward_never_uses_is_told_apart() -> None:
    reading = read_module(Uncalled(), MAP)
    assert count(reading.graph).params == 16 * 16 * 9
    assert reading.uncalled == {"spare.weight": (64, 16, 3, 3)}


def test_arithmetic_between_weights_is_no_operator_unless_it_multiplies_matrices() -> None:
    scaled = graph_of(Function(lambda x, w, g: F.linear(x, w * g), (96, 32), (96, 1)), TOKENS)
    assert [op.kind for op in scaled.ops] == ["linear"]
    assert count(scaled).params == 96 * 32 + 96
    product = graph_of(Function(lambda x, a, b: F.linear(x, a @ b), (96, 4), (4, 32)), TOKENS)
    assert [op.macs for op in product.ops] == [96 * 4 * 32, 64 * 96 * 32]
    assert memory(product).eager > 0


def test_writing_into_a_part_of_a_tensor_keeps_the_wiring() -> None:
    def assemble(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        y = torch.zeros(1, 64, 96)
        y[:, :, :32] = x
        y[:, :, 32:64].add_(x)
        return F.linear(y, w)

    ops = graph_of(Function(assemble, (8, 96)), TOKENS).ops
    assert [op.kind for op in ops if not op.view] == ["layout", "add", "linear"]
    assert ops[-1].inputs == (next(op.output for op in ops if op.kind == "add"),)


def test_a_module_is_neither_changed_nor_kept() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.ReLU(inplace=True)).train()
    before = copy.deepcopy(module.state_dict())
    ids = [id(p) for p in module.parameters()]
    read_module(module, (3, 8, 8), training=True)
    assert module.training
    assert ids == [id(p) for p in module.parameters()]
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert all(not part._forward_hooks and not part._forward_pre_hooks for part in module.modules())


def test_no_tensor_with_memory_is_made() -> None:
    with torch.device("meta"):  # 400 TB of weights
        module = nn.Sequential(nn.Linear(10_000_000, 10_000_000), nn.GELU())
    assert count(graph_of(module, (10_000_000,))).macs == 10**14


class Branch(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    "look",
    [lambda x: x[x > 0], lambda x: x * x.max().item(), lambda x: torch.nonzero(x), lambda x: x.mean(1).tolist()],
)
def test_a_forward_that_looks_at_values_is_named(look: Callable[..., Any]) -> None:
    with pytest.raises(NetlatheError) as caught:
        read_module(nn.Sequential(nn.ReLU(), Function(look)), TOKENS)
    assert caught.value.path == "1"
    assert caught.value.code in ("read.values", "read.forward")


def test_a_branch_on_the_image_is_named() -> None:
    with pytest.raises(NetlatheError, match="looks at the values") as caught:
        read_module(nn.ModuleDict({"first": Branch()})["first"], TOKENS)
    assert caught.value.code == "read.values"


def test_a_branch_on_a_flag_of_the_module_is_taken() -> None:
    class Flag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("on", torch.tensor(True))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.relu() if self.on else x

    assert [op.form for op in graph_of(Flag(), TOKENS).ops] == ["relu"]


def test_an_unknown_operator_raises_until_somebody_says_what_it_is() -> None:
    library = torch.library.Library("netlathe_test", "DEF")
    library.define("twist(Tensor x) -> Tensor")
    library.impl("twist", lambda x: torch.empty_like(x), "Meta")
    module = nn.Sequential(nn.ReLU(), Function(torch.ops.netlathe_test.twist))
    try:
        with pytest.raises(NetlatheError, match=r'register\("netlathe_test::twist"') as caught:
            read_module(module, TOKENS)
        assert (caught.value.code, caught.value.path) == ("read.unknown_operator", "1")
        register("netlathe_test::twist", "matmul", work=lambda call: 7 * call.shape(0)[-1])
        assert count(graph_of(module, TOKENS)).macs == 7 * 32
    finally:
        torch_ops.RULES.pop("netlathe_test::twist", None)
    with pytest.raises(NetlatheError, match="has a rule already"):
        register("aten::relu", "act")


def test_shapes_that_do_not_fit_name_the_module_and_the_input() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(300, 10)))
    with pytest.raises(NetlatheError, match="fails on an input of 3x8x8") as caught:
        read_module(module, (3, 8, 8))
    assert caught.value.path == "1.0"


def test_an_input_of_another_type_and_outputs_in_a_dictionary() -> None:
    class Text(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(100, 8), nn.Linear(8, 2)

        def forward(self, ids: torch.Tensor) -> dict[str, torch.Tensor]:
            x = self.embed(ids)
            return {"tokens": x, "classes": self.head(x.mean(1))}

    graph = graph_of(Text(), torch.zeros(1, 16, dtype=torch.int64))
    assert (graph.input_shapes, len(graph.outputs)) == (((16,),), 2)
    assert count(graph).params == 800 + 18


def test_vit_b_16_is_17_56_gmacs(timm: ModuleType, torchvision: ModuleType) -> None:
    with torch.device("meta"):
        ours, theirs = timm.create_model("vit_base_patch16_224"), torchvision.models.vit_b_16()
    for module in (ours, theirs):
        cost = count(graph_of(module, (3, 224, 224)))
        assert (cost.params, cost.macs, cost.acts) == (86_567_656, 17_563_828_224, 23_895_544)


def test_memory_and_rows_of_a_read_module_are_those_of_the_expression(torchvision: ModuleType) -> None:
    with torch.device("meta"):
        read = graph_of(torchvision.models.resnet50(), (3, 224, 224))
    ours = zoo.get("resnet50").graph()
    assert replace(memory(read), at={}) == replace(memory(ours), at={})
    assert count(read) == count(ours)
    assert [row.path for row in cost_rows(read)] == ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3",
                                               "layer4", "avgpool", "fc"]  # fmt: skip


# One of each family whose forward is unusual: shifted windows, mixers, relative positions, einsum, deformed grids.
@pytest.mark.parametrize(
    "name",
    ["swin_tiny_patch4_window7_224", "convnext_atto", "mixer_s32_224", "coat_tiny", "beit_base_patch16_224",
     "swinv2_cr_tiny_224", "halonet26t", "levit_128s", "mobilevit_s", "xcit_nano_12_p16_224", "resnetv2_50",
     "nasnetalarge", "maxvit_tiny_tf_224", "eva02_tiny_patch14_224", "ghostnet_100"],
)  # fmt: skip
def test_timm_is_counted_as_an_operator_trace_counts_it(name: str, timm: ModuleType) -> None:
    with torch.device("meta"):
        module = timm.create_model(name).eval()
    shape = module.pretrained_cfg["input_size"]
    reading = read_module(module, shape)
    cost = count(reading.graph)
    assert not reading.uncalled
    assert (cost.params, cost.macs) == trace(lambda: module, shape)


def one_a_family() -> list[Twin]:
    """The first row of each family of zoo/twins.csv in each library; the other rows differ in numbers alone."""
    first: dict[tuple[str, str], Twin] = {}
    for twin in twins():
        first.setdefault((twin.library, re.sub(r"[_:\d].*", "", twin.short)), twin)
    return list(first.values())


@pytest.mark.parametrize("twin", one_a_family(), ids=lambda twin: f"{twin.library}-{twin.name}")
def test_a_twin_counts_as_its_expression(twin: Twin, timm: ModuleType, torchvision: ModuleType) -> None:
    with torch.device("meta"):
        if twin.library == "timm":
            module = timm.create_model(twin.name)
        else:
            module = getattr(torchvision.models, twin.name)(**OPTIONS.get(twin.name, {}))
    network = twin.build_network()
    read, ours = count(graph_of(module, network.input)), count(network.graph())
    assert (read.params, read.macs) == (ours.params, ours.macs)
