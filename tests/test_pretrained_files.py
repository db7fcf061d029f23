"""Files of weights, and the hubs': recognised, refused with the reason, and no pickle is run. All offline."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from command import PATIENCE_S
from hub_cache import cached, saved
from torch import nn
from twins import resnet, timm_resnet

from netlathe import weights, zoo
from netlathe.arch.layers import Conv
from netlathe.arch.network import Network
from netlathe.arch.node import Node
from netlathe.errors import MissingExtra, NetlatheError
from netlathe.lower.twins import twins_of
from netlathe.lower.weights import random_weights


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_with_our_paths_comes_back_as_it_went(suffix: str, tmp_path: Path) -> None:
    network = resnet()
    sent = random_weights(network)
    shuffled = {name: torch.from_numpy(sent[name]) for name in sorted(sent, key=lambda name: name[::-1])}
    loaded = weights.from_file(saved(tmp_path / f"net{suffix}", shuffled), network)
    assert loaded.tensors.keys() == sent.keys()
    assert all(np.array_equal(loaded.tensors[name], sent[name]) for name in sent)
    assert loaded.error is None  # no module to compare with


def test_a_file_with_our_paths_says_all_that_does_not_fit(tmp_path: Path) -> None:
    network = resnet()
    tensors = {name: torch.from_numpy(array) for name, array in random_weights(network).items()}
    tensors["stem.conv.weight"] = torch.zeros(64, 3, 3, 3)
    tensors["stem.conv.wait"] = tensors.pop("stem.norm.bias")
    path = saved(tmp_path / "net.safetensors", tensors)
    with pytest.raises(NetlatheError) as caught:
        weights.from_file(path, network)
    for line in ("missing: stem.norm.bias", "wrong shape: stem.conv.weight", "unexpected: stem.conv.wait"):
        assert line in caught.value.message
    loaded = weights.from_file(path, network, strict=False)
    assert set(loaded.missing) == {"stem.conv.weight", "stem.norm.bias"}
    assert set(loaded.unused) == {"stem.conv.weight", "stem.conv.wait"}


def wrap(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda tensors: {name: tensors, "epoch": 3}


@pytest.mark.parametrize(
    "dress",
    [
        lambda tensors: tensors,
        wrap("state_dict"),
        wrap("model"),
        lambda tensors: {f"module.{name}": tensor for name, tensor in tensors.items()},
        lambda tensors: {name: tensor.half() for name, tensor in tensors.items()},
        lambda tensors: {"state_dict": {f"_orig_mod.{name}": tensor for name, tensor in tensors.items()}},
    ],
    ids=["bare", "state_dict", "model", "parallel", "half", "compiled"],
)
def test_a_file_of_the_twin_is_recognised_whatever_a_training_script_wrapped_around_it(
    dress: Callable[[dict[str, Any]], dict[str, Any]], tmp_path: Path, timm: ModuleType
) -> None:
    path = saved(tmp_path / "net.pth", dress(timm_resnet(classes := 0, num_classes=7).state_dict()))
    loaded = weights.from_file(path, resnet(classes=7))
    assert loaded.error is not None
    assert classes == len(loaded.unused)


def test_a_file_of_torchvision_is_recognised_with_what_it_holds_too_much(
    tmp_path: Path, torchvision: ModuleType
) -> None:
    module = torchvision.models.googlenet(aux_logits=True, init_weights=False, num_classes=5)
    loaded = weights.from_file(
        saved(tmp_path / "net.pth", module.state_dict()), zoo.get("googlenet", resolution=64, classes=5)
    )
    assert loaded.error is not None
    assert all(name.startswith("aux") for name in loaded.unused)
    assert len(loaded.unused) > 10


def test_a_checkpoint_of_two_parts_asks_which(tmp_path: Path, timm: ModuleType) -> None:
    parts = {"model": timm_resnet(0).state_dict(), "model_ema": timm_resnet(1).state_dict()}
    path = saved(tmp_path / "net.pth", parts)
    with pytest.raises(NetlatheError, match="holds model and model_ema"):
        weights.from_file(path, resnet())
    loaded = weights.from_file(path, resnet(), entry="model_ema")
    assert np.array_equal(loaded.tensors["stem.conv.weight"], parts["model_ema"]["conv1.weight"].numpy())
    with pytest.raises(NetlatheError, match="no part 'mode'"):
        weights.from_file(path, resnet(), entry="mode")


def test_a_file_with_the_names_of_nobody_is_refused(tmp_path: Path, timm: ModuleType) -> None:
    path = saved(tmp_path / "net.safetensors", {"layer.w": torch.zeros(3)})
    with pytest.raises(NetlatheError, match="nor as in timm's resnet18 or torchvision's resnet18") as caught:
        weights.from_file(path, resnet())
    assert "from_module" in caught.value.hint
    with pytest.raises(NetlatheError) as caught:
        weights.from_file(path.rename(tmp_path / "mobilenet_v2.safetensors"), resnet())
    assert "is it mobilenetv2?" in caught.value.hint
    path = saved(path, {"layer.w": torch.zeros(3)})
    with pytest.raises(NetlatheError, match="has no twin"):
        weights.from_file(path, zoo.get("lenet5"))


def test_a_file_of_another_number_of_classes_is_refused(tmp_path: Path, timm: ModuleType) -> None:
    path = saved(tmp_path / "net.pth", timm_resnet(num_classes=7).state_dict())
    with pytest.raises(NetlatheError, match=r"size mismatch for fc.weight") as caught:
        weights.from_file(path, resnet())
    assert caught.value.code == "weights.mismatch"


class Trap:
    """A pickle that makes a directory when it is loaded."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.place),))


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(legacy: bool, tmp_path: Path) -> None:
    path, sprung = tmp_path / "net.pth", tmp_path / "sprung"
    content = {"state_dict": {"conv1.weight": torch.zeros(3)}, "args": Trap(sprung)}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(NetlatheError, match="refused") as caught:
        weights.from_file(path, resnet())
    assert caught.value.code == "weights.unsafe_file"
    assert f"{os.mkdir.__module__}.mkdir" in caught.value.message
    assert "if you trust" in caught.value.hint
    assert not sprung.exists()
    torch.load(path, weights_only=False)  # the trap works
    assert sprung.exists()


def test_a_bare_pickle_and_a_torchscript_program_are_refused(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    (tmp_path / "bare.pth").write_bytes(pickle.dumps(Trap(sprung), protocol=2))
    with pytest.raises(NetlatheError, match="refused"):
        weights.from_file(tmp_path / "bare.pth", resnet())
    assert not sprung.exists()
    torch.jit.trace(nn.ReLU(), torch.zeros(1)).save(str(tmp_path / "program.pt"))
    with pytest.raises(NetlatheError, match="TorchScript"):
        weights.from_file(tmp_path / "program.pt", resnet())


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_a_file_that_is_cut_short_is_told_as_such(suffix: str, share: float, tmp_path: Path) -> None:
    path = saved(tmp_path / f"net{suffix}", {"a": torch.zeros(50_000), "b": torch.zeros(50_000)})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(NetlatheError) as caught:
        weights.from_file(path, resnet())
    assert caught.value.code == "weights.broken_file"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("net.txt", b"", "no format of weights"),
        ("absent.pth", None, "no such file"),
        ("list.pth", [torch.zeros(1)], "holds a list"),
        ("empty.pth", {"epoch": 1}, "no tensors"),
    ],
)
def test_files_that_hold_no_weights_are_refused(name: str, content: Any, said: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(NetlatheError, match=said):
        weights.from_file(path, resnet())


def test_timms_published_weights_bring_their_network_licence_and_preprocessing(
    monkeypatch: pytest.MonkeyPatch, timm: ModuleType, tmp_path: Path
) -> None:
    module = timm_resnet()
    cached(monkeypatch, tmp_path, "resnet18.a1_in1k", module.state_dict())
    loaded = weights.from_timm("resnet18.a1_in1k")
    assert loaded.network == zoo.get("resnet18")
    assert (loaded.source, loaded.licence) == ("timm resnet18.a1_in1k", "apache-2.0")
    assert loaded.preprocessing["mean"] == [0.485, 0.456, 0.406]
    assert loaded.preprocessing["crop"] == 224
    assert loaded.error is not None
    assert np.array_equal(loaded.tensors["head.classifier.weight"], module.state_dict()["fc.weight"].numpy())


def test_position_embeddings_are_stretched_only_on_request(
    monkeypatch: pytest.MonkeyPatch, timm: ModuleType, tmp_path: Path
) -> None:
    module = timm.create_model("vit_tiny_patch16_224")
    cached(monkeypatch, tmp_path, "vit_tiny_patch16_224.augreg_in21k_ft_in1k", module.state_dict())
    larger = zoo.get("vit_tiny_patch16", resolution=256)
    with pytest.raises(NetlatheError, match="256"):
        weights.from_timm("vit_tiny_patch16_224", larger)
    loaded = weights.from_timm("vit_tiny_patch16_224", larger, interpolate=True)
    assert loaded.tensors["position.weight"].shape == (257, 192)


def test_timms_pickled_weights_run_nothing(monkeypatch: pytest.MonkeyPatch, timm: ModuleType, tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    cached(monkeypatch, tmp_path, "resnet18.a1_in1k", {"state_dict": {}, "args": Trap(sprung)}, ".pth")
    with pytest.raises(NetlatheError, match="does not give the weights"):
        weights.from_timm("resnet18.a1_in1k")
    assert not sprung.exists()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


def test_torchvisions_published_weights_come_from_its_cache(
    monkeypatch: pytest.MonkeyPatch, torchvision: ModuleType, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    entry = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    cached = tmp_path / "hub" / "checkpoints" / Path(entry.url).name
    module = torchvision.models.resnet18()
    torch.save(module.state_dict(), cached)
    monkeypatch.setattr("netlathe.lower.hubs.require_digest", lambda file: None)  # these are not the published ones
    loaded = weights.from_torchvision("resnet18")
    assert loaded.source == "torchvision resnet18.IMAGENET1K_V1"
    assert (loaded.preprocessing["resize"], loaded.preprocessing["crop"]) == (256, 224)
    assert np.array_equal(loaded.tensors["stem.conv.weight"], module.conv1.weight.detach().numpy())
    torch.save(Trap(tmp_path / "sprung"), cached)
    with pytest.raises(NetlatheError, match="does not give the weights"):
        weights.from_torchvision("resnet18")
    assert not (tmp_path / "sprung").exists()


def test_the_hubs_own_cache_works_without_a_network(
    tmp_path: Path, timm: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real road of huggingface_hub, from a cache in its layout, in a process that is told to stay offline."""
    cached(monkeypatch, tmp_path / "hub", "resnet18.a1_in1k", timm_resnet().state_dict())
    program = (
        "from netlathe import weights, zoo; net = zoo.get('resnet18', resolution=64);"
        "print(weights.from_timm('resnet18.a1_in1k', net).error < 1e-4);"
        "weights.from_timm('resnet18.a2_in1k', net)"
    )
    env = os.environ | {"HF_HOME": str(tmp_path)} | {"HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env, timeout=PATIENCE_S)
    assert done.stdout.split() == ["True"], done.stderr
    assert "timm does not give the weights 'resnet18.a2_in1k'" in done.stderr


def test_a_cache_asks_nobody_and_a_hub_that_is_down_ends_at_once(
    monkeypatch: pytest.MonkeyPatch, timm: ModuleType, tmp_path: Path
) -> None:
    """Nothing listens on the port of the hub: what is cached loads, anything else is one error with one attempt."""
    attempts = []

    def connect(address: tuple[str, int], *args: Any, **more: Any) -> None:
        attempts.append(address)
        raise ConnectionRefusedError("connection refused")

    monkeypatch.setattr(socket, "create_connection", connect)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    file = cached(monkeypatch, tmp_path, "resnet18.a1_in1k", timm_resnet().state_dict())
    assert weights.from_timm("resnet18.a1_in1k", verify=False).source == "timm resnet18.a1_in1k"
    assert not attempts
    with pytest.raises(NetlatheError, match=r"127.0.0.1:9 does not answer, and timm/resnet18.a2_in1k is not in"):
        weights.from_timm("resnet18.a2_in1k", verify=False)
    assert len(attempts) == 1
    file.resolve().write_bytes(file.read_bytes()[:-1])
    with pytest.raises(NetlatheError, match="this file is damaged: its SHA-256 is") as caught:
        weights.from_timm("resnet18.a1_in1k")
    assert caught.value.path == str(file)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: weights.from_timm("resnet18.a9_in1k", resnet()), "does not give the weights 'resnet18.a9_in1k'"),
        (lambda: weights.from_timm("resnet81.a1_in1k"), "timm's 'resnet81'"),
        (lambda: weights.from_torchvision("resnet18", "IMAGENET2K"), "does not give the weights 'resnet18.IMAGENET2K'"),
        (
            lambda: weights.from_torchvision("resnet81", network=resnet()),
            "does not give the weights 'resnet81.DEFAULT'",
        ),
    ],
)
def test_unknown_names_are_told_with_the_nearest(call: Callable[[], object], said: str, timm: ModuleType) -> None:
    with pytest.raises(NetlatheError, match=said) as caught:
        call()
    assert "did you mean" in caught.value.hint


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_a_missing_library_is_told_with_the_line_that_installs_it(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtra, match=r"netlathe\[hub\]"):
        weights.from_timm("resnet18") if library == "timm" else weights.from_torchvision("resnet18")


def test_networks_without_twins_say_so() -> None:
    assert twins_of("lenet5") == ()
    assert {t.name for t in twins_of("regnety_8gf_tv")} == {"regnety_080_tv", "regnet_y_8gf"}
    assert [t.network for t in twins_of("efficientnet_b5")] == ["efficientnet_b5", "efficientnet_b5:eps=1e-5"]


def test_a_node_alone_takes_weights() -> None:
    lone: Node = Conv(4, 3, bias=True)
    loaded = weights.from_module(nn.Conv2d(3, 4, 3, padding=1), Network("lone", lone, (3, 8, 8)))
    assert set(loaded.tensors) == {"weight", "bias"}
