"""netlathe export NET -o net.pt: a TorchScript file, for libtorch in C++ and on phones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netlathe.cli.common import one_net
from netlathe.cli.training import is_training, needs_torch
from netlathe.units import show_bytes

if TYPE_CHECKING:
    from netlathe.arch.network import Network
    from netlathe.lower.weights import Array


def export_torchscript(
    net: str, output: Path, weights: str | None, resolution: int | None, seed: int
) -> dict[str, Any]:
    """Write a trace of the module; only if ONNX Runtime computes the same, and the source of its weights does."""
    from netlathe.files import write_bytes

    needs_torch()
    from netlathe.deploy.torchscript import trace

    network, tensors, about = find_weights(net, weights, resolution, seed)
    traced = trace(network, tensors)
    write_bytes(output, traced.content)
    return about | {
        "name": network.name,
        "files": [str(output)],
        "bytes": len(traced.content),
        "input": list(network.input),
        "relative_error": traced.relative_error,
    }


def find_weights(
    net: str, weights: str | None, resolution: int | None, seed: int
) -> tuple[Network, dict[str, Array], dict[str, Any]]:
    """An expression with weights, and where they come from: of a training, a package, a source, or random ones."""
    from netlathe.cli.export_onnx import verified_weights
    from netlathe.deploy.export import load_trained
    from netlathe.deploy.package import load_package
    from netlathe.deploy.tflite import folded_weights
    from netlathe.deploy.trained import weights_of
    from netlathe.load import is_package
    from netlathe.lower.weights import random_weights

    if is_training(net):
        run = load_trained(net)
        return run.network.expression(), run.weights, {"weights": weights_of(Path(net)), "licence": None}
    if is_package(net):
        package = load_package(net)
        return *folded_weights(package), {"weights": package.weights, "licence": package.licence}
    network = one_net(net, resolution).expression()
    if weights is None:
        return network, random_weights(network, seed), {"weights": f"random, seed {seed}", "licence": None}
    loaded = verified_weights(weights, network)
    return network, loaded.tensors, {"weights": loaded.source, "licence": loaded.licence}


def show_torchscript(data: dict[str, Any]) -> None:
    """What was written, and what is known of it."""
    shape = "x".join(map(str, ["N", *data["input"]]))
    click.echo(f"{data['files'][0]}: {data['name']}, TorchScript, input {shape}, {show_bytes(data['bytes'])}")
    click.echo(f"  weights   {data['weights']}")
    if data["licence"]:
        click.echo(f"  licence   {data['licence']}")
    click.echo(f"  verified  agrees with ONNX Runtime within {data['relative_error']:.1e} (relative)")
