"""Groups of weights and optimisers are those of the libraries that recipes were written for; a recipe's loss falls."""

import copy
import io
import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from netlathe import zoo
from netlathe.lower.torch import to_torch
from netlathe.train.loss import classification_loss
from netlathe.train.optim import build_optimiser, parameter_groups, weight_kinds
from netlathe.train.recipe import Optimiser
from netlathe.train.recipefile import load, recipe_names
from netlathe.train.schedule import lr_factor

SGD = Optimiser(name="sgd", lr=0.1)
FAMILIES = ("resnet20", "mobilenetv1_025", "mobilenetv2_035", "regnety_200mf", "convnext_atto", "vit_tiny_patch16")


def shapes(name):
    """The same without weights."""
    return to_torch(zoo.get(name), device="meta")


def ours(**options):
    return lambda network: build_optimiser(network, Optimiser(lr=0.05, **options), 1)


# Groups.


def split(network, exempt, **options):
    """The paths with weight decay, and those without."""
    optimiser = replace(SGD, weight_decay=0.1, no_decay=exempt, **options)
    found = parameter_groups(network, optimiser, 256)
    decayed = {name for group in found if group["weight_decay"] for name in group["names"]}
    free = {name for group in found if not group["weight_decay"] for name in group["names"]}
    assert len(decayed) + len(free) == sum(len(group["params"]) for group in found)
    assert decayed | free == {name for name, _ in network.named_parameters()}
    return decayed, free


@pytest.mark.parametrize("name", ["resnet50", "mobilenetv2", "efficientnet_b0", "convnext_atto", "densenet121"])
def test_norms_and_biases_without_decay_are_the_weights_that_timm_exempts(name):
    network = shapes(name)
    decayed, _ = split(network, ("norm", "bias"))
    assert decayed == {path for path, weight in network.named_parameters() if weight.ndim > 1}


def test_norms_alone_leave_the_biases_to_decay():
    decayed, free = split(shapes("convnext_atto"), ("norm",))
    assert "head.classifier.bias" in decayed
    assert "stem.norm.bias" in free
    assert sum(path.endswith(".scale.weight") for path in free) == 12  # a layer scale in each block
    _, free = split(shapes("resnet50"), ())
    assert not free


def test_depthwise_kernels_are_those_with_a_channel_a_group():
    network = shapes("mobilenetv2")
    _, free = split(network, ("depthwise",))
    assert free == {
        f"{path}.weight" for path, m in network.named_modules() if isinstance(m, nn.Conv2d) and m.groups > 1
    }
    assert len(free) == 17
    assert not split(shapes("regnety_400mf"), ("depthwise",))[1]  # grouped, but not by one channel
    assert not split(to_torch(replace(zoo.get("lenet5")), device="meta"), ("depthwise",))[1]  # one channel at all


def test_positions_are_embeddings_class_tokens_and_the_bias_of_windows():
    _, free = split(shapes("vit_tiny_patch16"), ("position",))
    assert len(free) == 2
    assert {type(shapes("vit_tiny_patch16").get_submodule(p.rpartition(".")[0])).__name__ for p in free} == {
        "PositionModule",
        "ClassTokenModule",
    }
    network = shapes("swin_tiny")
    decayed, free = split(network, ("position",))
    assert len(free) == 12
    assert all(weight_kinds(network.get_submodule(path.rpartition(".")[0]), "bias") == {"position"} for path in free)
    assert any(path.endswith(".bias") for path in decayed)


def test_modules_of_others_have_the_same_kinds_of_weights_as_timm_says(timm):
    """timm leaves out its own list of names, and whatever has one axis."""
    module = timm.create_model("test_vit3", num_classes=3)  # with layer scales
    _, free = split(module, ("norm", "bias", "position"))
    assert any("gamma" in name for name in free)
    assert free == {n for n, p in module.named_parameters() if p.ndim <= 1 or n in module.no_weight_decay()}


def rates(network, **options):
    """The highest learning rate of each weight."""
    found = parameter_groups(network, replace(SGD, **options), 256)
    return {name: group["peak_lr"] for group in found for name in group["names"]}


def test_layer_decay_falls_from_the_classifier_to_the_stem_block_by_block():
    found = rates(shapes("convnext_atto"), layer_decay=0.5)
    layers = list(dict.fromkeys(found.values()))
    assert layers == sorted(layers)
    assert found["head.classifier.weight"] == 0.1
    assert found["stem.patch.weight"] == 0.1 * 0.5 ** (len(layers) - 1)
    blocks = sorted({path.split(".")[1] for path in found if path.startswith("stage3.")})
    assert len({found[path] for path in found if path.startswith("stage3.")}) == len(blocks)
    assert len({found[path] for path in found if path.startswith("stage3.block2.")}) == 1


def test_layer_decay_of_a_transformer_is_that_of_beit(timm):
    from timm.optim import param_groups_layer_decay

    twin = timm.create_model("vit_tiny_patch16_224")
    theirs = param_groups_layer_decay(twin, weight_decay=0, layer_decay=0.75, no_opt_scale=False)
    ours = rates(shapes("vit_tiny_patch16"), lr=1.0, layer_decay=0.75)
    assert sorted({group["lr_scale"] for group in theirs}) == pytest.approx(sorted(set(ours.values())))
    assert {path for path, lr in ours.items() if lr == 1.0} == {
        f"head.{part}.{kind}" for part in ("norm", "classifier") for kind in ("weight", "bias")
    }
    first = {path.partition(".")[0] for path, lr in ours.items() if lr == min(ours.values())}
    assert first == {"stem", "token", "position"}


def test_the_layers_of_a_network_without_blocks_are_the_parts_of_its_paths():
    assert len(set(rates(shapes("googlenet"), layer_decay=0.5).values())) == 5
    assert len(set(rates(shapes("densenet121"), layer_decay=0.5).values())) == 58 + 3 + 2


def test_biases_may_learn_faster_and_the_batch_scales_the_rate():
    found = rates(shapes("resnet50"), bias_lr=64.0, lr_per=512)
    assert found["stem.conv.weight"] == found["stem.norm.weight"] == 0.05
    assert found["stem.norm.bias"] == found["head.classifier.bias"] == 3.2


def test_frozen_weights_are_left_alone():
    network = shapes("resnet50")
    network.get_submodule("stem").requires_grad_(False)
    assert not any(name.startswith("stem.") for group in parameter_groups(network, SGD, 1) for name in group["names"])


# Optimisers.


def trained(make, steps=5, lr=0.05, memory_format=torch.contiguous_format, before=None):
    """The weights of a small network after some steps, with gradients that do not depend on the optimiser."""
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 4))
    for weight in network.parameters():
        weight.data = torch.randn(weight.shape, generator=generator)
    network = network.to(memory_format=memory_format)
    optimiser = make(network)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = lr * (1 - step / steps)
        for weight in network.parameters():
            weight.grad = torch.randn(weight.shape, generator=generator)
        if before and step == steps // 2:
            optimiser = before(network, optimiser)
        optimiser.step()
    return [weight.detach().contiguous() for weight in network.parameters()]


def same(a, b, tolerance=1e-6):
    return all(torch.allclose(x, y, rtol=tolerance, atol=tolerance) for x, y in zip(a, b, strict=True))


KINDS = [
    {"name": "sgd", "weight_decay": 0.1, "no_decay": ("norm", "bias")},
    {"name": "sgd", "weight_decay": 0.1, "nesterov": True},
    {"name": "adamw", "weight_decay": 0.1, "eps": 1e-6},
    {"name": "rmsprop", "weight_decay": 0.1, "eps": 1.0},
    {"name": "rmsprop", "weight_decay": 1e-5, "eps": 1e-3, "no_decay": ("norm",)},
    {"name": "lamb", "weight_decay": 0.02, "eps": 1e-6},
    {"name": "lamb", "weight_decay": 0.02, "eps": 1e-6, "no_decay": ("norm", "bias")},
]


@pytest.mark.parametrize("options", KINDS, ids=lambda o: f"{o['name']} {len(o.get('no_decay', ()))}")
def test_an_optimiser_moves_weights_as_torch_s_or_timm_s_does(timm, options):
    from timm.optim import Lamb, RMSpropTF

    def theirs(network):
        o = Optimiser(lr=0.05, **options)
        parts = [{k: g[k] for k in ("params", "lr", "weight_decay")} for g in parameter_groups(network, o, 1)]
        match o.name:
            case "sgd":
                return torch.optim.SGD(parts, momentum=0.9, nesterov=o.nesterov, foreach=False, fused=False)
            case "adamw":
                return torch.optim.AdamW(parts, betas=o.betas, eps=o.eps, foreach=False, fused=False)
            case "rmsprop":
                return RMSpropTF(parts, alpha=o.alpha, momentum=o.momentum, eps=o.eps)
            case "lamb":
                return Lamb(parts, betas=o.betas, eps=o.eps, max_grad_norm=None)

    assert same(trained(ours(**options)), trained(theirs))
    assert not same(trained(ours(**options)), trained(ours(**options), steps=4))


@pytest.mark.parametrize("options", KINDS, ids=lambda o: f"{o['name']} {len(o.get('no_decay', ()))}")
def test_gradients_and_buffers_in_another_memory_format_change_nothing(options):
    expected = trained(ours(**options))

    def contiguous_buffers(network, optimiser):
        for state in optimiser.state.values():
            for name, tensor in state.items():
                state[name] = tensor.contiguous()
        return optimiser

    assert same(trained(ours(**options), memory_format=torch.channels_last), expected)
    assert same(trained(ours(**options), memory_format=torch.channels_last, before=contiguous_buffers), expected)


@pytest.mark.parametrize("options", KINDS, ids=lambda o: f"{o['name']} {len(o.get('no_decay', ()))}")
def test_an_optimiser_from_a_file_goes_on_bit_for_bit(options):
    def through_a_file(network, optimiser):
        file = io.BytesIO()
        torch.save(optimiser.state_dict(), file)
        file.seek(0)
        other = ours(**options)(network)
        other.load_state_dict(torch.load(file, weights_only=True))
        return other

    expected = trained(ours(**options))
    again = trained(ours(**options), before=through_a_file)
    assert all(torch.equal(a, b) for a, b in zip(again, expected, strict=True))


def test_lamb_takes_a_step_of_the_weight_s_own_size_and_a_plain_one_from_zero():
    weight, zero = nn.Parameter(torch.full((3, 3), 4.0)), nn.Parameter(torch.zeros(2, 2))
    network = nn.Module()
    network.a, network.b = weight, zero
    optimiser = build_optimiser(network, Optimiser(name="lamb", lr=0.1, weight_decay=1e-9), 1)
    weight.grad, zero.grad = torch.ones(3, 3), torch.ones(2, 2)
    optimiser.step()
    assert torch.allclose(weight, torch.full((3, 3), 4.0 - 0.1 * 4.0), atol=1e-4)
    assert torch.allclose(zero, torch.full((2, 2), -0.1), atol=1e-4)


def test_rmsprop_s_epsilon_is_inside_the_root():
    weight = nn.Parameter(torch.zeros(1))
    network = nn.Module()
    network.a = weight
    optimiser = build_optimiser(network, Optimiser(name="rmsprop", lr=1.0, eps=3.1, momentum=0.0, alpha=0.9), 1)
    weight.grad = torch.zeros(1) + 1.0
    optimiser.step()
    assert float(weight.detach()) == pytest.approx(-1 / math.sqrt(0.9 + 0.1 + 3.1))


@pytest.fixture(scope="module")
def families():
    """Networks with weights and gradients that are small random numbers."""
    generator = torch.Generator().manual_seed(0)
    found = {}
    for name in FAMILIES:
        network = shapes(name).to_empty(device="cpu")
        for weight in network.parameters():
            nn.init.normal_(weight, std=0.02, generator=generator)
            weight.grad = torch.empty_like(weight).normal_(std=0.01, generator=generator)
        found[name] = network
    return found


DISTINCT = {replace(load(name).optimiser, lr=1.0, lr_per=None, weight_decay=0.0): name for name in recipe_names()}


@pytest.mark.parametrize("name", DISTINCT.values())
def test_every_recipe_s_optimiser_moves_every_family(families, name):
    recipe = load(name)
    for network in families.values():
        before = {path: weight.detach().clone() for path, weight in network.named_parameters()}
        optimiser = build_optimiser(network, recipe.optimiser, recipe.batch)
        for group in optimiser.param_groups:
            group["lr"] = group["peak_lr"] * lr_factor(recipe.schedule, recipe.schedule.warmup, recipe.epochs)
        optimiser.step()
        for path, weight in network.named_parameters():
            assert weight.isfinite().all(), path
            assert not torch.equal(weight, before[path]), path
            weight.data.copy_(before[path])


def test_a_recipe_s_loss_falls_on_a_small_network():
    network = to_torch(zoo.get("resnet20"), init="he").train()
    x = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    targets = F.one_hot(torch.arange(16) % 10, 10).float()
    for name in ("fast", "rsb-a2", "small", "efficientnet-2019"):
        recipe, other = load(name), copy.deepcopy(network)
        optimiser = build_optimiser(other, replace(recipe.optimiser, lr=recipe.optimiser.lr / 4), 64)
        losses = []
        for _ in range(6):
            optimiser.zero_grad(set_to_none=True)
            loss = classification_loss(other(x), targets, recipe.regularise)
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
        assert losses[-1] < losses[0], name
