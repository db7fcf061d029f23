"""What people do to modules before they bring them: compile, freeze, halve, decorate; and what forwards do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from netlathe.arch.build import seq
from netlathe.arch.layers import Linear
from netlathe.arch.tokens import Attention as Attend
from netlathe.cost.count import Cost, count
from netlathe.cost.totals import totals
from netlathe.errors import NetlatheError
from netlathe.read.torch import ModuleReading, read_module

IMAGE = (3, 8, 8)


def conv() -> nn.Conv2d:
    """224 params, 7,776 MACs on 3x8x8."""
    return nn.Conv2d(3, 8, 3)


class Block(nn.Module):
    """A convolution, and what `function` does with the input and its result."""

    def __init__(self, function: Callable[..., Any] = lambda x, y: y) -> None:
        super().__init__()
        self.conv, self.function = conv(), function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x, self.conv(x))


def cost_of(module: nn.Module, *inputs: Any) -> Cost:
    return count(read_module(module.eval(), *inputs).graph)


def compiled_in_place() -> nn.Module:
    module = conv()
    module.compile()
    return module


@pytest.mark.parametrize("build", [lambda: torch.compile(conv()), compiled_in_place], ids=["compile()", ".compile()"])
def test_compiled_modules_are_what_they_were(build: Callable[[], nn.Module]) -> None:
    reading = read_module(nn.Sequential(build(), nn.ReLU()), IMAGE)
    assert [op.path for op in reading.graph.ops] == ["0", "1"]
    assert (count(reading.graph).params, reading.uncalled) == (224, {})
    assert count(read_module(build(), IMAGE).graph).params == 224


def test_a_forward_in_inference_mode_is_the_same_graph() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.linear = conv(), nn.BatchNorm2d(8), nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = F.dropout(self.norm(self.conv(x)).flatten(2).mT, training=self.training)
            return self.linear(torch.matmul(y.softmax(-1), y.mT[:, :, :8])).reshape(1, -1)

    class Decorated(Plain):
        forward = torch.inference_mode()(Plain.forward)

    decorated, plain = (read_module(module().eval(), IMAGE).graph for module in (Decorated, Plain))
    assert decorated == plain


def old_weight_norm() -> nn.Module:
    with pytest.warns(FutureWarning):
        return nn.utils.weight_norm(conv())


@pytest.mark.parametrize(
    ("build", "params"),
    [
        (old_weight_norm, 224 + 8),
        (lambda: parametrizations.weight_norm(conv()), 224 + 8),
        (lambda: parametrizations.orthogonal(nn.Conv2d(3, 3, 1)), 9 + 3),
    ],
)
def test_parametrised_weights_count_as_they_are_trained(build: Callable[[], nn.Module], params: int) -> None:
    assert cost_of(build(), IMAGE).params == params


def test_what_is_made_for_weights_is_refused_for_images() -> None:
    with pytest.raises(NetlatheError, match="unknown operator linalg_qr"):
        read_module(Block(lambda x, y: torch.linalg.qr(y[0])[1]), IMAGE)


def unpooled(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.max_unpool2d(*F.max_pool2d(y, 2, return_indices=True), 2)


def sampled(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    grid = F.affine_grid(y[:, 0, :2, :3], list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


@pytest.mark.parametrize(
    ("function", "macs"),
    [
        (unpooled, 0),
        (sampled, 64 * 3 * 2),  # positions of the grid times a 3x2 matrix
        (lambda x, y: torch.cdist(y.flatten(2), y.flatten(2)), 8 * 8 * 36),
        (lambda x, y: torch.cdist(y[:, :, 0], y[:, :, 0]), 8 * 8 * 6),  # few rows: torch takes another road
        (lambda x, y: torch.cdist(y[:, :, 0], y[:, :, 0], p=1.0), 0),
    ],
)
def test_operators_that_are_seldom_have_their_count(function: Callable[..., Any], macs: int) -> None:
    assert cost_of(Block(function), IMAGE).macs == 7_776 + macs


DEFORM = "deform_conv2d(Tensor x, Tensor w, Tensor offset, Tensor mask, Tensor bias, int[] rest) -> Tensor"
ALIGN = "roi_align(Tensor x, Tensor rois, float scale, int high, int wide, int ratio, bool aligned) -> Tensor"


def test_deformable_convolutions_and_regions_are_counted() -> None:
    library = torch.library.Library("torchvision", "FRAGMENT")  # its build may lack the operators
    if not hasattr(torch.ops.torchvision, "deform_conv2d"):
        library.define(DEFORM)
        library.impl("deform_conv2d", lambda x, w, *rest: x.new_empty(1, len(w), *rest[0].shape[2:]), "Meta")
    if not hasattr(torch.ops.torchvision, "roi_align"):
        library.define(ALIGN)
        library.impl("roi_align", lambda x, rois, _, high, wide, *rest: x.new_empty(2, 8, high, wide), "Meta")

    class Deformable(Block):
        def __init__(self) -> None:
            super().__init__()
            self.offset = nn.Conv2d(3, 18, 3)  # 504 params, 17,496 MACs

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            mask = x.new_ones(1, 9, 6, 6)
            own = "int[] rest" in str(torch.ops.torchvision.deform_conv2d.default._schema)
            rest = ([],) if own else (1, 1, 0, 0, 1, 1, 1, 1, True)
            y = torch.ops.torchvision.deform_conv2d(x, self.conv.weight, self.offset(x), mask, self.conv.bias, *rest)
            return torch.ops.torchvision.roi_align(y, x.new_zeros(2, 5), 1.0, 2, 2, -1, False)

    cost = cost_of(Deformable(), IMAGE)
    assert (cost.params, cost.macs) == (504 + 224, 17_496 + 7_776)


def test_frozen_weights_are_stored_and_not_trained() -> None:
    module = nn.Sequential(conv(), nn.BatchNorm2d(8))
    module[0].weight.requires_grad_(False)
    reading = read_module(module.eval(), IMAGE)
    cost = count(reading.graph)
    assert (cost.params, cost.buffers) == (8 + 16, 216 + 16)
    assert reading.frozen == {"0.weight": (8, 3, 3, 3)}


@pytest.mark.parametrize(("dtype", "precision"), [(torch.float16, "fp16"), (torch.bfloat16, "bf16")])
def test_a_module_in_half_precision_takes_half_the_bytes(dtype: torch.dtype, precision: str) -> None:
    graph = read_module(nn.Sequential(conv(), nn.ReLU()).to(dtype), IMAGE).graph
    assert (graph.precision, dict(graph.types)) == (precision, {})


def test_tensors_of_another_type_have_it() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = conv().half()
            self.register_buffer("order", torch.arange(7, -1, -1))
            self.head = nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x.half())[:, self.order]
            return self.head(y.mean((2, 3)).float())

    graph = read_module(Mixed(), torch.zeros(1, *IMAGE)).graph
    assert graph.precision == "fp16"
    assert graph.types[0] == "fp32"
    cost = count(graph)
    assert cost.stored_bytes(2) == 224 * 2 + 8 * 8 + 36 * 4


def ones(x: torch.Tensor) -> torch.Tensor:
    """As DETR makes the mask of an image without padding."""
    mask = torch.ones((1, *x.shape[2:]), dtype=torch.bool, device=x.device)
    mask[:, 6:] = False
    return mask


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (lambda x, y: y[:, :, : int(ones(x).sum(1).max().item())], (8, 6, 6)),
        (lambda x, y: y[:, :, : int(x.new_ones(4).sum())], (8, 4, 6)),
        (lambda x, y: y if bool(ones(x).all()) else y.flatten(1), (288,)),
        (lambda x, y: y[:, :, ones(x)[0, 1:7, 0]], (8, 5, 6)),
        (lambda x, y: y.flatten(2)[..., torch.nonzero(ones(x)[0, 1:7, 0]).flatten()], (8, 5)),
        (lambda x, y: y[:, : torch.arange(8, device=x.device).tolist()[3]], (3, 6, 6)),
        (lambda x, y: y.repeat_interleave(torch.full((8,), 2, device=x.device), 1), (16, 6, 6)),
    ],
)
def test_constants_may_be_looked_at(function: Callable[..., Any], shape: tuple[int, ...]) -> None:
    graph = read_module(Block(function), IMAGE).graph
    assert graph.shapes[graph.outputs[0]] == shape


def test_a_buffer_may_be_looked_at_and_is_not_changed() -> None:
    class Levels(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = conv()
            self.register_buffer("sizes", torch.tensor([2, 3]))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.sizes.add_(1)
            high, wide = self.sizes.tolist()
            return self.conv(x)[:, :, :high, :wide]

    module = Levels()
    graph = read_module(module, IMAGE).graph
    assert graph.shapes[graph.outputs[0]] == (8, 3, 4)
    assert module.sizes.tolist() == [2, 3]


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: y[y > 0],
        lambda x, y: y[:, :, : int(ones(x).masked_fill(x[:, 0] > 0, False).sum())],
        lambda x, y: y[:, : ones(x).float().mul_(x[:, 0]).max().int().item()],
        lambda x, y: y * torch.rand(3, device=x.device).max().item(),
        lambda x, y: y.tolist(),
        lambda x, y: y.repeat_interleave(y[0, :, 0, 0].int(), 1),
    ],
)
def test_what_depends_on_the_image_is_refused_with_its_path(function: Callable[..., Any]) -> None:
    with pytest.raises(NetlatheError, match="looks at the values") as caught:
        read_module(nn.Sequential(nn.Identity(), Block(function)), IMAGE)
    assert (caught.value.code, caught.value.path) == ("read.values", "1")


def test_inputs_may_be_words_and_dictionaries() -> None:
    class Batch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = conv()

        def forward(self, batch: dict[str, Any], *, scale: torch.Tensor) -> torch.Tensor:
            return self.conv(batch["images"][0]) * scale if batch["on"] else scale

    batch = {"images": [torch.zeros(1, *IMAGE)], "on": True}
    reading: ModuleReading = read_module(Batch(), batch, keywords={"scale": torch.zeros(1, 8, 1, 1)})
    assert reading.graph.input_shapes == (IMAGE, (8, 1, 1))
    assert count(reading.graph).macs == 7_776


def test_attention_has_the_same_activations_fused_or_not() -> None:
    class Attention(nn.Module):
        def __init__(self, fused: bool) -> None:
            super().__init__()
            self.qkv, self.fused = nn.Linear(32, 96), fused

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            q, k, v = self.qkv(x).view(1, 64, 3, 4, 8).permute(2, 0, 3, 1, 4)
            if self.fused:
                return F.scaled_dot_product_attention(q, k, v)
            return (q @ k.mT).softmax(-1) @ v

    fused, plain = (count(read_module(Attention(fused), (64, 32)).graph) for fused in (True, False))
    expected = 64 * 96 + 4 * 64 * 64 + 64 * 32  # of the linear layer, of the scores, of the values
    assert (fused.acts, plain.acts, fused.macs) == (expected, expected, plain.macs)
    ours = totals(seq(qkv=Linear(96), attention=Attend(4)), (64, 32))
    assert (ours.acts, ours.macs) == (expected, plain.macs)
