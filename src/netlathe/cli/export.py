"""netlathe export NET -o net.onnx: the network as an ONNX file, with real weights and the proof that they are in it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from netlathe.arch.net import Net, rewritable
from netlathe.arch.network import Network
from netlathe.cli.common import emit, json_option, one_net, resolution_option
from netlathe.errors import NetlatheError
from netlathe.units import read_digits, show_bytes


class BatchType(click.ParamType[int | None]):
    """A number of images, or None for a free batch axis."""

    name = "N|dynamic"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value == "dynamic":
            return None
        if size := read_digits(str(value)):
            return size
        return self.fail(f"{value!r} is neither a positive number nor dynamic", param, ctx)


@click.command()
@click.argument("net")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="The ONNX file to write, or the folder of a package.",
)
@click.option("--weights", metavar="SOURCE", help="Whose weights; without it random ones.")
@click.option("--batch", type=BatchType(), default="1", show_default=True, help="Images at a time.")
@resolution_option
@click.option("--seed", type=int, default=0, show_default=True, help="Of random weights.")
@json_option
def command(
    net: str, output: Path, weights: str | None, batch: int | None, resolution: int | None, seed: int, as_json: bool
) -> None:
    """Write NET as an ONNX file; with weights, only if it computes what their source computes.

    SOURCE is timm:NAME, torchvision:NAME[.WEIGHTS], or a .safetensors or .pth file whose tensors are named by the paths
    of NET or as in its twin of timm or torchvision.

    \b
      netlathe export mobilenetv2 -o random.onnx
      netlathe export resnet50 --weights timm:resnet50.a1_in1k -o resnet50.onnx
      netlathe export resnet50 --weights torchvision:resnet50.IMAGENET1K_V2 --batch dynamic -o resnet50.onnx
      netlathe export resnet50:classes=10 --weights mine.safetensors -o mine.onnx
      netlathe export timm:vit_tiny_patch16_224 --weights timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k -o vit.onnx
      netlathe export run/ -o out/

    The folder of a training becomes a package, for netlathe check, predict and quantise: its file takes pixels.
    """
    if is_training(net):
        package_run(Path(net), output, as_json)
        return
    refuse_place(output)
    network = one_net(net, resolution)
    if (expression := rewritable(network)) is None:
        data = export_module(network, output, weights, batch, seed)
    else:
        data = export_expression(expression, output, weights, batch, seed)
    emit("export", data) if as_json else show(data)


def is_training(net: str) -> bool:
    """Whether this is the folder of a training."""
    return all((Path(net) / name).is_file() for name in ("run.json", "arch.json", "weights.safetensors"))


def package_run(folder: Path, output: Path, as_json: bool) -> None:
    """Write the package of a training."""
    from netlathe.deploy.trained import package_training

    package, agreement = package_training(folder, output)
    if as_json:
        emit("export", {"package": str(output), "name": package.network.name, "files": package.files,
                        "relative_error": agreement.relative_error})  # fmt: skip
        return
    click.echo(f"{output}: {package.network.name}, {package.model}, {show_bytes(package.bytes)}")
    click.echo(f"  verified  agrees with {folder / 'model.onnx'} within {agreement.relative_error:.1e} (relative)")
    click.echo(f"  next      netlathe check {output} --data SOURCE, netlathe predict {output} photo.jpg")


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


def refuse_place(output: Path) -> None:
    """Refuse a place that cannot take the file, before any work."""
    if output.is_dir():
        hint = f"name a file: {output / 'net.onnx'}"
        raise NetlatheError("this is a directory", code="file.write", path=str(output), hint=hint)
    if not output.parent.is_dir():
        hint = f"mkdir -p {output.parent}"
        raise NetlatheError("its directory does not exist", code="file.write", path=str(output), hint=hint)
    if output.suffix != ".onnx":
        hint = f"name it {output.with_suffix('.onnx')}"
        raise NetlatheError("the name of an ONNX file ends in .onnx", code="file.write", path=str(output), hint=hint)


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
