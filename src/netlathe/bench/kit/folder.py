"""Writes a kit: the networks as ONNX files with random weights, the table of them, the runner and its instructions."""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from netlathe.arch.network import Network
from netlathe.bench.kit.networks import KitNetwork
from netlathe.device.measurements import KIT
from netlathe.errors import NetlatheError
from netlathe.files import PART, make_folder, read_bytes, write_bytes, write_text

OWN = Path(__file__).parent
MANIFEST, RUNNER, README = "manifest.csv", "measure.py", "README.md"


class KitFile(NamedTuple):
    """A line of the manifest. `shape` and `type` are of the input, whose name is `input`; the batch is 1."""

    network: str  # as `device fit` reads it: name@resolution
    file: str
    sha256: str
    input: str
    shape: str  # 1x3x224x224
    type: str  # numpy's name
    macs: int
    params: int
    bytes: int
    format: str = KIT  # last, so that a torn line shows


def write_kit(
    networks: Sequence[KitNetwork], folder: Path, progress: Callable[[int, int, str], None] | None = None
) -> list[KitFile]:
    """Write a kit of these networks; the folder is complete or absent. Raises NetlatheError as `refuse_folder` does,
    and where it cannot be written. `progress(done, total, name)` counts files."""
    refuse_folder(folder)
    make_folder(folder.resolve().parent)
    part = folder.resolve().with_name(f".{folder.resolve().name}.{os.getpid()}{PART}")
    make_folder(part / "networks")
    try:
        sizes = [(one.name, network) for one in networks for network in one.sizes]
        files = []
        for i, (name, network) in enumerate(sizes):
            if progress:
                progress(i, len(sizes), name)
            files.append(write_network(name, network, part))
        write_text(part / MANIFEST, manifest_text(files))
        for own in (RUNNER, README):
            write_bytes(part / own, read_bytes(OWN / own))
        try:
            part.replace(folder)
        except OSError as error:
            raise NetlatheError(f"cannot write {folder}: {error.strerror}", code="file.write") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return files


def refuse_folder(folder: Path) -> None:
    """Raise NetlatheError for a folder that holds anything, and for a file of that name."""
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists() or folder.is_symlink():
        what = "this is a file" if not folder.is_dir() else "this folder holds other things"
        if (folder / MANIFEST).exists():
            what = "this folder holds a kit already"
        raise NetlatheError(
            what, code="kit.folder", path=str(folder), hint="give a folder that is new or empty with -o"
        )


def write_network(name: str, network: Network, folder: Path) -> KitFile:
    """Write one network, at the resolution that it has, and say what belongs in the manifest."""
    from netlathe.lower.onnx import save_onnx

    side = network.input[-1]
    file = Path("networks") / f"{name.replace(':', '-').replace('=', '')}-{side}.onnx"
    save_onnx(network, folder / file)
    content = read_bytes(folder / file)
    graph = network.graph()
    return KitFile(
        network=f"{name}@{side}",
        file=file.as_posix(),
        sha256=hashlib.sha256(content).hexdigest(),
        input="input",
        shape="x".join(map(str, (1, *network.input))),
        type="float32",
        macs=sum(op.macs for op in graph.ops),
        params=sum(op.params for op in graph.ops),
        bytes=len(content),
    )


def manifest_text(files: Sequence[KitFile]) -> str:
    """The table of the files, as CSV."""
    text = StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(KitFile._fields)
    table.writerows(files)
    return text.getvalue()
