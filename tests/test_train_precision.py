"""A precision policy changes how a step computes, never what is learned or kept; the machine decides which."""

from __future__ import annotations

import os
import resource
from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from netlathe import zoo
from netlathe.errors import NetlatheError
from netlathe.lower.torch import to_torch
from netlathe.train.conv_kernels import RearrangedConv2d, RearrangedConvFunction, Rearrangement, choose_rearrangement
from netlathe.train.host import idle_cores, keep_freed_memory
from netlathe.train.precision import POLICIES, autocast, candidate_policies, measure_policies, set_precision

pytestmark = pytest.mark.usefixtures("one_thread")


def lowered(name: str, px: int) -> nn.Module:
    return to_torch(zoo.get(name).at(px), init="he")


def gradients(module: nn.Module, x: Tensor, name: str) -> dict[str, Tensor]:
    """Of a fixed loss, by path, under a policy."""
    set_precision(module, name).train().zero_grad()
    with autocast(name):
        y = module(x)
    assert y.dtype == (torch.bfloat16 if POLICIES[name].bfloat16 else x.dtype)
    F.cross_entropy(y.to(x.dtype), torch.arange(len(x))).backward()
    return {path: weight.grad.clone() for path, weight in module.named_parameters() if weight.grad is not None}


def distance(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """Of two gradients, relative to the length of the second."""
    difference = sum(float((a[path] - b[path]).double().square().sum()) for path in b)
    return float((difference / sum(float(g.double().square().sum()) for g in b.values())) ** 0.5)


def kinds(module: nn.Module) -> list[str]:
    """What the parts of a module are; copying renames the whole."""
    return [type(part).__name__ for part in module.modules()][1:]


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[int, int, int, tuple[int, int], tuple[int, int], tuple[int, int], bool]:
    """Input and output channels, groups, kernel, stride, padding, bias."""
    kernel = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    padding = draw(st.tuples(st.integers(0, kernel[0] - 1), st.integers(0, kernel[1] - 1)))
    channels = draw(st.integers(2, 5))
    if draw(st.booleans()):
        return channels, channels, channels, kernel, stride, padding, draw(st.booleans())
    return channels, draw(st.integers(1, 5)), 1, kernel, stride, padding, draw(st.booleans())


@settings(max_examples=80)
@given(case=convolutions(), size=st.tuples(st.integers(3, 9), st.integers(3, 9)))
def test_a_rearranged_convolution_and_all_its_gradients_are_those_of_torch(case, size):
    c_in, c_out, groups, kernel, stride, padding, has_bias = case
    if any(s + 2 * p < k for s, p, k in zip(size, padding, kernel, strict=True)):
        return
    x = torch.randn(2, c_in, *size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(c_out, c_in // groups, *kernel, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(c_out, dtype=torch.float64, requires_grad=True) if has_bias else None
    inputs = [t for t in (x, weight, bias) if t is not None]
    y = F.conv2d(x, weight, bias, stride, padding, groups=groups)
    grad = torch.randn_like(y)
    wanted = [y, *torch.autograd.grad(y, inputs, grad)]
    tiled = kernel == stride and padding == (0, 0) and all(s % k == 0 for s, k in zip(size, kernel, strict=True))
    every = Rearrangement(output=groups == 1, input=groups > 1 or tiled, weight=True)
    y = RearrangedConvFunction.apply(x, weight, bias, stride, padding, every)
    for ours, theirs in zip([y, *torch.autograd.grad(y, inputs, grad)], wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("x", "weight", "stride", "padding", "found"),
    [
        ((64, 160, 4, 4), (160, 1, 7, 7), (1, 1), (3, 3), Rearrangement(False, False, True)),  # ConvNeXt's
        (
            (64, 960, 2, 2),
            (960, 1, 3, 3),
            (1, 1),
            (1, 1),
            Rearrangement(False, False, True),
        ),  # a map smaller than the kernel
        ((64, 96, 32, 32), (96, 1, 3, 3), (2, 2), (1, 1), Rearrangement(False, True, False)),  # strided depthwise
        ((64, 144, 16, 16), (144, 1, 3, 3), (1, 1), (1, 1), Rearrangement(False, False, False)),
        ((64, 512, 3, 3), (512, 512, 3, 3), (1, 1), (1, 1), Rearrangement(True, False, True)),
        ((64, 256, 6, 6), (256, 256, 3, 3), (1, 1), (1, 1), Rearrangement(False, False, True)),
        ((64, 64, 24, 24), (64, 64, 3, 3), (1, 1), (1, 1), Rearrangement(False, False, False)),
        ((64, 80, 8, 8), (160, 80, 2, 2), (2, 2), (0, 0), Rearrangement(True, True, True)),  # patches
        (
            (64, 80, 9, 9),
            (160, 80, 2, 2),
            (2, 2),
            (0, 0),
            Rearrangement(False, False, True),
        ),  # a row belongs to no patch
        ((64, 3, 64, 64), (40, 3, 4, 4), (4, 4), (0, 0), Rearrangement(False, False, False)),  # runs too short to copy
    ],
)
def test_the_shapes_decide_what_is_rearranged(x, weight, stride, padding, found):
    assert choose_rearrangement(x, weight, stride, padding, True) == found
    strips_alone = Rearrangement(False, False, found.weight and weight[1] == 1)
    assert choose_rearrangement(x, weight, stride, padding, False) == strips_alone


@pytest.mark.parametrize("odd", [{"padding_mode": "reflect"}, {"dilation": 2}, {"padding": "same"}, {"groups": 4}])
def test_convolutions_of_other_kinds_are_left_to_torch(odd):
    conv = nn.Conv2d(8, 16, 7, **{"padding": 3} | odd)
    x = torch.randn(2, 8, 16, 16)
    wanted = set_precision(conv, "fp32-last")(x)
    set_precision(conv, "fp32-arranged")
    assert type(conv) is RearrangedConv2d
    assert torch.equal(conv(x), wanted)


NETWORKS = {"resnet18": 48, "mobilenetv2": 64, "convnext_atto": 64}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_arranged_kernels_give_the_gradient_of_the_whole_network(name):
    px = NETWORKS[name]
    module, x = lowered(name, px).double(), torch.randn(2, 3, px, px, dtype=torch.float64)
    wanted = gradients(deepcopy(module), x, "fp32")
    assert distance(gradients(deepcopy(module), x, "fp32-last"), wanted) < 1e-9
    assert distance(gradients(deepcopy(module), x, "fp32-arranged"), wanted) < 1e-9


@pytest.mark.parametrize("name", NETWORKS)
def test_no_policy_in_bfloat16_rounds_more_than_torch_alone(name):
    px = NETWORKS[name]
    module, x = lowered(name, px), torch.randn(8, 3, px, px)
    wanted = gradients(deepcopy(module), x, "fp32")
    rounding = distance(gradients(deepcopy(module), x, "bf16"), wanted)
    for other in ("bf16-last", "bf16-depthwise32", "bf16-arranged"):
        assert distance(gradients(deepcopy(module), x, other), wanted) < 1.3 * rounding, other


def test_weights_and_gradients_are_float32_and_keys_are_those_of_the_expression_under_every_policy():
    module = lowered("mobilenetv2", 32)
    keys = list(module.state_dict())
    for name in POLICIES.keys() - {"bf16-compiled"}:
        found = gradients(module, torch.randn(4, 3, 32, 32), name)
        assert {g.dtype for g in found.values()} == {torch.float32}
        assert {w.dtype for w in module.parameters()} == {torch.float32}
        assert list(module.state_dict()) == keys


def test_a_state_saved_under_one_policy_goes_on_under_any_other():
    saved = set_precision(lowered("convnext_atto", 32), "bf16-arranged").state_dict()
    x = torch.randn(2, 3, 32, 32)
    for name in POLICIES.keys() - {"bf16-compiled"}:
        module = set_precision(lowered("convnext_atto", 32), name).eval()
        module.load_state_dict(saved)
        assert all(torch.equal(tensor, saved[path]) for path, tensor in module.state_dict().items())
        with torch.no_grad(), autocast(name):
            y = module(x).float()
        assert (y - set_precision(module, "fp32")(x)).norm() < 0.05 * y.norm()


def test_a_policy_replaces_the_one_before_and_leaves_nothing_of_it():
    plain = lowered("mobilenetv2", 32)
    changed = deepcopy(plain)
    for name in ("bf16-arranged", "bf16-depthwise32", "fp32"):
        set_precision(changed, name)
    assert kinds(changed) == kinds(plain)
    assert len(changed._forward_pre_hooks) == 1
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(changed.eval()(x), plain.eval()(x))
    assert torch.equal(changed(x.contiguous(memory_format=torch.channels_last)), plain(x))


def test_the_layout_is_the_policys_whatever_the_images_have():
    seen = []
    module = nn.Sequential(nn.Conv2d(3, 8, 3))
    module[0].register_forward_pre_hook(lambda part, inputs: seen.append(inputs[0].stride(1)))
    for x in (torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8).contiguous(memory_format=torch.channels_last)):
        set_precision(module, "fp32")(x)
        set_precision(module, "fp32-last")(x)
    assert seen == [64, 1, 64, 1]


def test_one_input_gives_the_same_bits_again_under_the_policy_that_is_fastest_here():
    module, x = lowered("convnext_atto", 64), torch.randn(8, 3, 64, 64)
    first, again = (gradients(deepcopy(module), x, "bf16-arranged") for _ in range(2))
    assert all(torch.equal(first[path], again[path]) for path in first)


@pytest.mark.parametrize("name", ["googlenet", "efficientnet_b0", "regnety_400mf", "densenet121", "vit_tiny_patch16"])
def test_other_families_take_a_step_under_the_arranged_policy(name):
    found = gradients(lowered(name, 64), torch.randn(4, 3, 64, 64), "bf16-arranged")
    assert all(g.isfinite().all() for g in found.values())


def test_an_unknown_policy_names_the_nearest():
    with pytest.raises(NetlatheError, match="unknown precision 'bf16-arrange'") as caught:
        set_precision(nn.Linear(1, 1), "bf16-arrange")
    assert "bf16-arranged" in caught.value.hint
    assert caught.value.code == "train.precision"


def test_policies_that_change_nothing_are_not_measured():
    assert candidate_policies(lowered("vit_tiny_patch16", 32)) == [
        "bf16-arranged",
        "bf16-last",
        "fp32-last",
        "fp32",
        "bf16",
    ]
    assert candidate_policies(nn.Linear(2, 2)) == ["bf16-last", "fp32-last"]
    assert set(candidate_policies(lowered("mobilenetv2", 32))) == POLICIES.keys() - {"bf16-compiled"}
    assert candidate_policies(nn.Linear(2, 2), compiled=True)[-1] == "bf16-compiled"


def test_the_probe_gives_the_fastest_of_its_table_and_changes_nothing():
    module = lowered("mobilenetv2", 32)
    before, types = deepcopy(module.state_dict()), kinds(module)
    state = torch.get_rng_state()
    found = measure_policies(module, (16, 3, 32, 32), seconds=0.5)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[path], tensor) for path, tensor in module.state_dict().items())
    assert kinds(module) == types
    assert all(weight.grad is None for weight in module.parameters())
    assert found.images_per_s.keys() <= set(candidate_policies(module))
    assert found.policy == max(found.images_per_s, key=lambda name: found.images_per_s[name])
    assert 2 <= found.batch <= 16
    assert found.threads == torch.get_num_threads()


def test_the_probe_takes_idle_cores_alone_and_gives_the_threads_back(monkeypatch):
    monkeypatch.setattr("netlathe.train.precision.idle_cores", lambda: 1)
    torch.set_num_threads(2)
    try:
        assert measure_policies(nn.Linear(4, 4), (4, 4), seconds=0.05).threads == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_the_probe_accepts_one_image_a_step_and_modules_that_give_several_outputs():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3)
            self.norm = nn.BatchNorm2d(4)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            y = self.norm(self.conv(x))
            return y, y

    assert measure_policies(Two(), (1, 1, 3, 3), seconds=0.05).batch == 2


def faults() -> int:
    """Page faults while a large block is taken, written and freed, ten times."""
    start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.empty(16 << 20, dtype=torch.uint8).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - start


def test_kept_memory_is_not_asked_for_again_and_is_given_back():
    with keep_freed_memory() as kept:
        if not kept:
            pytest.skip("only glibc can be told to keep memory")
        faults()
        again = faults()
    assert again < faults() / 10


def test_a_training_takes_at_least_one_core():
    assert 1 <= idle_cores(0.05) <= (os.cpu_count() or 1)
