"""netlathe export NET -o net.tflite, or -o model_data.c: for LiteRT and for TensorFlow Lite Micro."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from netlathe.cli.common import one_net
from netlathe.cli.quantise import worst_layers
from netlathe.cli.training import is_training
from netlathe.errors import NetlatheError
from netlathe.units import show_bytes

if TYPE_CHECKING:
    from netlathe.deploy.package import Preprocessing
    from netlathe.deploy.tflite_export import TfliteFile, TfliteSource


class TfliteRequest(NamedTuple):
    """What is asked for; `micro`: as C, for a microcontroller."""

    net: str
    output: Path
    micro: bool
    form: str
    data: str | None
    randomly: bool
    labels: Path | None
    weights: str | None
    resolution: int | None
    seed: int


def export_tflite(request: TfliteRequest) -> dict[str, Any]:
    """Write the file, and say what is known of it. Raises NetlatheError where it would compute something else."""
    from netlathe.deploy.tflite_export import write_form
    from netlathe.runtimes.registry import runtime_version
    from netlathe.tflite.c_source import refuse_missing

    for runtime in ("litert", "tflm") if request.micro and request.form == "int8" else ("litert",):
        runtime_version(runtime)
    source, steps, about = find_source(request)
    if request.micro:
        refuse_missing(source.model.name, [op.kind for op in source.model.operators])
    images = find_images(request, steps)
    written = write_form(source, request.form, images, grown=request.micro)
    files = write_files(request, written)
    quantised = written.quantised
    return about | {
        "name": source.model.name,
        "files": files,
        "form": request.form,
        "bytes": len(written.content),
        "input": list(source.model.tensors[source.model.inputs[0]].shape),
        "pixels": steps is not None,
        "classes": len(source.facts.classes) or None,
        "relative_error": written.agreement.relative_error,
        "snr_db": quantised.snr_db if quantised else None,
        "agreeing": [quantised.after, quantised.images] if quantised else None,
        "float_layers": list(quantised.kept) if quantised else [],
        "layer_snr": [list(pair) for pair in quantised.layer_snr] if quantised else [],
        "images": "random" if request.randomly else request.data,
        "arena": arena(written.content) if request.micro and request.form == "int8" else None,
    }


def find_source(request: TfliteRequest) -> tuple[TfliteSource, Preprocessing | None, dict[str, Any]]:
    """The source of the file, how its images are prepared where it takes pixels, and where its weights come from."""
    from netlathe.deploy.package import load_package
    from netlathe.deploy.tflite_export import package_source
    from netlathe.deploy.trained import package_training
    from netlathe.load import is_package
    from netlathe.process.temporary import temporary_folder

    net = request.net
    if not is_training(net) and not is_package(net):
        return bare_source(request)
    if request.weights or request.labels or request.resolution:
        raise NetlatheError(
            "a package has its weights, labels and resolution", code="export.option", path=net,
            hint="leave --weights, --labels and --resolution out",
        )  # fmt: skip
    with temporary_folder() as folder:
        package = package_training(Path(net), folder / "package")[0] if is_training(net) else load_package(net)
        source = package_source(package, grow_kernels=request.micro)
    return source, package.preprocessing, {"weights": package.weights, "licence": package.licence}


def bare_source(request: TfliteRequest) -> tuple[TfliteSource, Preprocessing | None, dict[str, Any]]:
    """The same for an expression. Its float files take normalised images, as its ONNX file does."""
    from netlathe.arch.net import rewritable
    from netlathe.cli.export_onnx import verified_weights
    from netlathe.deploy.tflite_export import expression_source, image_steps
    from netlathe.files import read_text
    from netlathe.tflite.metadata import ModelFacts

    net = one_net(request.net, request.resolution)
    if (network := rewritable(net)) is None:
        message = f"{net.name} is no expression, and only expressions are written as .tflite files"
        hint = "give a zoo name, an arch.json or a function that returns an expression"
        raise NetlatheError(message, code="tflite.module", path=request.net, hint=hint)
    loaded = verified_weights(request.weights, network) if request.weights else None
    published = loaded.preprocessing if loaded else {}
    steps = image_steps(network, published) if request.form == "int8" else None
    classes = tuple(read_text(request.labels).splitlines()) if request.labels else ()
    mean, std = (steps.mean, steps.std) if steps else (published.get(name, ()) for name in ("mean", "std"))
    facts = ModelFacts(classes, tuple(mean), tuple(std), (loaded.licence if loaded else "") or "")
    source = expression_source(
        network, loaded.tensors if loaded else None, facts, steps, grow_kernels=request.micro, seed=request.seed
    )
    about = {"weights": loaded.source if loaded else f"random, seed {request.seed}",
             "licence": loaded.licence if loaded else None}  # fmt: skip
    return source, steps, about


def find_images(request: TfliteRequest, steps: Preprocessing | None) -> Any:
    """Images (N, r, r, C) for int8; None for floats."""
    if request.form != "int8":
        return None
    assert steps is not None
    if request.data:
        from netlathe.deploy.tflite_export import calibration_pixels

        return calibration_pixels(request.data, steps)
    from netlathe.deploy.quantise import FEWEST
    from netlathe.deploy.trial import random_images

    return random_images(FEWEST, steps.resolution, steps.channels).pixels


def write_files(request: TfliteRequest, written: TfliteFile) -> list[str]:
    """Write the .tflite file, or the C source and its header."""
    from netlathe.files import write_bytes
    from netlathe.tflite.c_source import c_array

    if not request.micro:
        write_bytes(request.output, written.content)
        return [str(request.output)]
    source, header = c_array(written.content)
    place = request.output.with_suffix(".h")
    write_bytes(place, header.encode())
    write_bytes(request.output, source.replace("model_data.h", place.name).encode())
    return [str(request.output), str(place)]


def arena(content: bytes) -> int:
    """The arena that TensorFlow Lite Micro needs for a file, in bytes, at most."""
    from netlathe.tflite.c_source import arena_size
    from netlathe.tflite.parse import parse

    return arena_size(parse(content))


def show_tflite(data: dict[str, Any]) -> None:
    """What was written, and what is known of it."""
    shape = "x".join(map(str, data["input"]))
    takes = "pixels of 0 to 255" if data["pixels"] else "normalised images"
    click.echo(f"{' and '.join(data['files'])}: {data['name']}, {data['form']}, {show_bytes(data['bytes'])}")
    click.echo(f"  input     {shape}, {takes}, channels last")
    click.echo(f"  weights   {data['weights']}")
    if data["licence"]:
        click.echo(f"  licence   {data['licence']}")
    click.echo(f"  verified  LiteRT agrees with ONNX Runtime within {data['relative_error']:.1e} (relative)")
    if data["agreeing"]:
        hits, images = data["agreeing"]
        layers = f", {len(data['float_layers'])} layers left in float" if data["float_layers"] else ""
        where = "random images: it says nothing of photographs" if data["images"] == "random" else "images held back"
        same = f"the same class on {hits} of {images} {where}{layers}"
        click.echo(f"  int8      {data['snr_db']:.1f} dB against float, {same}")
        click.echo(f"  hurts     most behind {worst_layers(data['layer_snr'])}")
    if data["arena"]:
        click.echo(f"  arena     {data['arena']:,} bytes of SRAM are enough for TensorFlow Lite Micro")
