"""netlathe export NET -o net.onnx: the network as an ONNX file, with real weights and the proof that they are in it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netlathe.arch.net import Net
from netlathe.arch.network import Network
from netlathe.errors import NetlatheError
from netlathe.units import show_bytes

if TYPE_CHECKING:
    from netlathe.lower.pretrained import LoadedWeights


def export_module(net: Net, output: Path, weights: str | None, batch: int | None, seed: int) -> dict[str, Any]:
    """Write a torch module as torch exports it, with its own weights, or with published ones and its own head."""
    from netlathe.cost.count import count
    from netlathe.files import write_bytes
    from netlathe.read.export import ERROR

    module, source = net.trainable(), f"its own, seed {seed}"
    tensors, licence, preprocessing = None, None, {}
    if weights:
        from netlathe.read.module_weights import load_module_weights

        loaded = load_module_weights(weights, module, seed)
        tensors, source, licence = loaded.tensors, loaded.source, loaded.licence
        preprocessing = dict(loaded.preprocessing)
    model = module.onnx_model(tensors, batch=batch, seed=seed)
    content = model.SerializeToString()
    check(content)
    write_bytes(output, content)
    return {
        "name": net.name,
        "input": list(net.input),
        "batch": "dynamic" if batch is None else batch,
        "file": str(output),
        "bytes": len(content),
        "params": int(count(net.graph()).params),
        "weights": source,
        "tensors": len(module.tensors()),
        "unused": [],
        "licence": licence,
        "preprocessing": preprocessing,
        "relative_error": float(next(one.value for one in model.metadata_props if one.key == ERROR)),
    }


def export_expression(
    network: Network, output: Path, weights: str | None, batch: int | None, seed: int
) -> dict[str, Any]:
    """Write an expression, only if it computes what the source of its weights computes."""
    from netlathe.files import write_bytes
    from netlathe.lower.agreement import difference
    from netlathe.lower.onnx import to_onnx
    from netlathe.lower.pretrained import TOLERANCE, disagreement, from_source

    loaded = from_source(weights, network) if weights else None
    model = to_onnx(network, loaded.tensors if loaded else None, batch=batch, seed=seed)
    content = model.SerializeToString()
    check(content)
    error = None
    if loaded is not None and loaded.probe is not None:
        error = difference(content, loaded.probe)
        if not error <= TOLERANCE:
            raise disagreement(loaded, error)
    else:
        run_once(content, network)
    write_bytes(output, content)

    return {
        "name": network.name,
        "input": list(network.input),
        "batch": "dynamic" if batch is None else batch,
        "file": str(output),
        "bytes": len(content),
        "params": sum(op.params for op in network.graph().ops),
        "weights": loaded.source if loaded else f"random, seed {seed}",
        "tensors": len(loaded.tensors) if loaded else None,
        "unused": list(loaded.unused) if loaded else [],
        "licence": loaded.licence if loaded else None,
        "preprocessing": loaded.preprocessing if loaded else {},
        "relative_error": error,
    }


def export_training(folder: Path, output: Path) -> dict[str, Any]:
    """Write the ONNX file of a training, pixels in, as its package has it."""
    from netlathe.cost.count import count
    from netlathe.deploy.trained import package_training
    from netlathe.files import write_bytes
    from netlathe.process.temporary import temporary_folder

    with temporary_folder() as place:
        package, agreement = package_training(folder, place / "package")
        content = package.path.read_bytes()
        params = int(count(package.network.graph()).params)
    write_bytes(output, content)
    return {
        "name": package.network.name,
        "input": list(package.network.input),
        "batch": "dynamic",
        "file": str(output),
        "bytes": len(content),
        "params": params,
        "weights": str(package.weights),
        "tensors": None,
        "unused": [],
        "licence": package.licence,
        "preprocessing": {"pixels": "0 to 255, channels last"},
        "relative_error": agreement.relative_error,
    }


def verified_weights(source: str, network: Network) -> LoadedWeights:
    """The weights of a source, with which ONNX Runtime computes what the source does, where that is known."""
    from netlathe.lower.agreement import difference
    from netlathe.lower.onnx import to_onnx
    from netlathe.lower.pretrained import TOLERANCE, disagreement, from_source

    loaded = from_source(source, network)
    if loaded.probe is not None:
        error = difference(to_onnx(network, loaded.tensors).SerializeToString(), loaded.probe)
        if not error <= TOLERANCE:
            raise disagreement(loaded, error)
    return loaded


def check(content: bytes) -> None:
    """The checker of ONNX finds no fault; if it does, it is ours."""
    import onnx

    onnx.checker.check_model(content, full_check=True)


def run_once(content: bytes, network: Network) -> None:
    """ONNX Runtime gives finite numbers."""
    import numpy as np

    from netlathe.lower.agreement import OutputProbe, difference
    from netlathe.lower.inputs import examples

    graph = network.graph()
    zero = np.zeros((1, *graph.shapes[graph.outputs[0]]), np.float32)
    if not math.isfinite(difference(content, OutputProbe(examples(network), zero))):
        raise NetlatheError("the file does not give finite outputs in ONNX Runtime", code="export.check")


def show(data: dict[str, Any]) -> None:
    """What was written, and what is known of it."""
    shape = "x".join(map(str, [data["batch"], *data["input"]]))
    click.echo(f"{data['file']}: {data['name']}, input {shape}, {show_bytes(data['bytes'])}, {data['params']:,} params")
    click.echo(f"  weights   {data['weights']}" + (f" ({data['tensors']} tensors)" if data["tensors"] else ""))
    if data["unused"]:
        click.echo(f"  unused    {', '.join(data['unused'][:5])}" + " ..." * (len(data["unused"]) > 5))
    if data["licence"]:
        click.echo(f"  licence   {data['licence']}")
    if data["preprocessing"]:
        click.echo("  images    " + ", ".join(f"{key} {value}" for key, value in data["preprocessing"].items()))
    error = data["relative_error"]
    compared = (
        "random weights: nothing to compare with" if data["tensors"] is None else "no source module to compare with"
    )
    click.echo(
        "  verified  ONNX checker, ONNX Runtime: "
        + (f"output of the source within {error:.1e} (relative)" if error is not None else f"it runs; {compared}")
    )
