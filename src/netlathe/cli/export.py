"""netlathe export NET -o FILE: the network as ONNX, .tflite, C or TorchScript, or a training as a package.

`export_onnx`, `export_tflite` and `export_torchscript` write the files; this decides which, and refuses early.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from netlathe.arch.net import rewritable
from netlathe.cli.common import emit, json_option, one_net, resolution_option
from netlathe.cli.training import check_images, is_training
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


SUFFIXES = {".onnx": "onnx", ".tflite": "tflite", ".c": "c-array", ".pt": "torchscript", ".torchscript": "torchscript"}
KINDS = tuple(dict.fromkeys(SUFFIXES.values()))
TITLES = {"onnx": "ONNX", "tflite": "LiteRT", "c-array": "C", "torchscript": "TorchScript"}


@click.command()
@click.argument("net")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The file to write.")
@click.option("--to", "kind", type=click.Choice(KINDS), help="[default: by the suffix of the file]")
@click.option("--weights", metavar="SOURCE", help="Whose weights; without it random ones.")
@click.option("--batch", type=BatchType(), default="1", show_default=True, help="Images at a time.")
@resolution_option
@click.option("--form", type=click.Choice(("fp32", "fp16", "int8")),
              help="Of a .tflite file.  [default: fp32, of a c-array int8]")  # fmt: skip
@click.option("--data", callback=check_images, metavar="SOURCE", help="Images that int8 finds its ranges on.")
@click.option("--random", "randomly", is_flag=True, help="Ranges of random images: right for timing alone.")
@click.option("--labels", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="The classes, one a line, for a .tflite file of a bare network.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Of random weights.")
@json_option
def command(
    net: str, output: Path, kind: str | None, weights: str | None, batch: int | None, resolution: int | None,
    form: str | None, data: str | None, randomly: bool, labels: Path | None, seed: int, as_json: bool,
) -> None:  # fmt: skip
    """Write NET as a file, only if it computes what NET and the source of its weights compute.

    SOURCE of weights is timm:NAME, torchvision:NAME[.WEIGHTS], or a .safetensors or .pth file whose tensors are named
    by the paths of NET or as in its twin of timm or torchvision. NET may be the folder of a training or a package.

    \b
      netlathe export mobilenetv2 -o random.onnx
      netlathe export resnet50 --weights timm:resnet50.a1_in1k -o resnet50.onnx
      netlathe export resnet50 --weights torchvision:resnet50.IMAGENET1K_V2 --batch dynamic -o resnet50.onnx
      netlathe export run/ -o out/                                    a package of a training
      netlathe export out/ --form int8 --data photos/ -o net.tflite   for LiteRT, compared with ONNX Runtime
      netlathe export out/ --data photos/ -o model_data.c             for TensorFlow Lite Micro
      netlathe export resnet50 --weights mine.safetensors -o net.pt   for libtorch
    """
    if is_training(net) and kind is None and output.suffix not in SUFFIXES:
        package_run(Path(net), output, as_json)
        return
    kind = kind or kind_of(output)
    refuse_place(output, kind)
    refuse_options(kind, form, batch, data, randomly, labels)
    if kind in ("tflite", "c-array"):
        from netlathe.cli.export_tflite import TfliteRequest, export_tflite, show_tflite

        request = TfliteRequest(net, output, kind == "c-array", form or ("int8" if kind == "c-array" else "fp32"),
                                data, randomly, labels, weights, resolution, seed)  # fmt: skip
        written = export_tflite(request)
        emit("export", written) if as_json else show_tflite(written)
        return
    if kind == "torchscript":
        from netlathe.cli.export_torchscript import export_torchscript, show_torchscript

        written = export_torchscript(net, output, weights, resolution, seed)
        emit("export", written) if as_json else show_torchscript(written)
        return
    from netlathe.cli.export_onnx import export_expression, export_module, export_training, show

    if is_training(net):
        written = export_training(Path(net), output)
    elif (expression := rewritable(network := one_net(net, resolution))) is None:
        written = export_module(network, output, weights, batch, seed)
    else:
        written = export_expression(expression, output, weights, batch, seed)
    emit("export", written) if as_json else show(written)


def kind_of(output: Path) -> str:
    """What a file is by its suffix. Raises NetlatheError for another suffix."""
    if output.suffix in SUFFIXES:
        return SUFFIXES[output.suffix]
    if output.is_dir():
        refuse_place(output, "onnx")
    hint = f"name it {output.with_suffix('.onnx')}, or say --to {', '.join(KINDS)}; legal: {', '.join(SUFFIXES)}"
    raise NetlatheError("the suffix does not say what the file is", code="file.write", path=str(output), hint=hint)


def refuse_options(
    kind: str, form: str | None, batch: int | None, data: str | None, randomly: bool, labels: Path | None
) -> None:
    """Refuse options that the kind of file has no use for, and int8 without images, before any work."""
    if kind not in ("tflite", "c-array"):
        flags = {"--form": form, "--data": data, "--random": randomly, "--labels": labels}
        if useless := [flag for flag, value in flags.items() if value]:
            message = f"{useless[0]} is for .tflite files, and this is {kind}"
            raise NetlatheError(message, code="export.option", hint="--to tflite, or leave it out")
        if kind == "torchscript" and batch != 1:
            raise NetlatheError("TorchScript takes any batch", code="export.option", hint="leave --batch out")
        return
    if batch != 1:
        raise NetlatheError("a .tflite file takes one image at a time", code="tflite.batch", hint="leave --batch out")
    whole = form == "int8" or (form is None and kind == "c-array")
    if whole and not data and not randomly:
        raise NetlatheError(
            "int8 needs images: the ranges of its values are those that it sees",
            code="tflite.images",
            hint="--data photos/, or --random for ranges of random images, right for timing alone",
        )
    if not whole and (data or randomly):
        hint = "--form int8, or leave it out"
        raise NetlatheError("images are read for int8 alone", code="export.option", hint=hint)
    if data and randomly:
        raise NetlatheError("--data and --random exclude each other", code="export.option", hint="leave one out")


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


def refuse_place(output: Path, kind: str) -> None:
    """Refuse a place that cannot take the file, before any work."""
    suffixes = [suffix for suffix, one in SUFFIXES.items() if one == kind]
    if output.is_dir():
        hint = f"name a file: {output / f'net{suffixes[0]}'}"
        raise NetlatheError("this is a directory", code="file.write", path=str(output), hint=hint)
    if not output.parent.is_dir():
        hint = f"mkdir -p {output.parent}"
        raise NetlatheError("its directory does not exist", code="file.write", path=str(output), hint=hint)
    if output.suffix not in suffixes:
        hint = f"name it {output.with_suffix(suffixes[0])}"
        message = f"the name of a file of {TITLES[kind]} ends in {' or '.join(suffixes)}"
        raise NetlatheError(message, code="file.write", path=str(output), hint=hint)
