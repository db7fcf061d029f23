"""A package: the folder that is deployed. Its package.json says all that a runtime and a reader must know of its files.

model.onnx takes pixels, `image` uint8 (N, r, r, C), and gives `output` float32 (N, classes): see export.py. A quantised
file lies beside it (for OpenVINO, model.xml and model.bin); `model` names the file that the package stands for.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from math import inf
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from annotated_types import Interval

from netlathe.arch.document import from_json
from netlathe.arch.net import Net
from netlathe.documents.faults import faults_error
from netlathe.documents.json import parse_json
from netlathe.documents.schema import check_document
from netlathe.errors import NetlatheError
from netlathe.files import make_folder, read_bytes, read_text, write_bytes, write_json
from netlathe.read.buildable import SCHEMA as MODULE
from netlathe.runtimes.registry import DEFAULT, model_files

SCHEMA = "netlathe.package/1"
FILE = "package.json"
INPUT = "image"  # its name in the file
FLOAT_FILE = "model.onnx"  # in float32, of which every other file is made


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """How an image becomes what the file takes, and what the file does with it.

    Resized, antialiased, so that the short side (with `shape` stretch, each side) has floor(resolution / crop) px, then
    the square of `resolution` px in the middle. The file itself takes the mean from pixels of 0..1 and divides by the
    standard deviation, by channel.
    """

    resolution: int
    crop: float
    interpolation: str  # nearest, bilinear, bicubic
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channels: int  # 1 grey, 3 RGB
    shape: Literal["crop", "stretch"] = "crop"  # of what is not square: the middle is cut out; all of it is squeezed

    @property
    def side(self) -> int:
        """Pixels of the short side before the crop."""
        return int(self.resolution / self.crop + 1e-6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """What is deployed. `arch` is the document of the network before folding (arch.json), or where a module is from."""

    arch: dict[str, Any]
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    runtime: str = DEFAULT
    precision: str = "fp32"  # fp32, bf16, int8+fp32, int8+bf16
    threads: int = 1
    batch: int = 1  # of the latency claim; the file takes any
    model: str = FLOAT_FILE
    device: str | None = None  # id of the machine that it was measured on
    files: dict[str, str] = field(default_factory=dict)  # name -> SHA-256
    temperature: Annotated[float, Interval(gt=0, lt=inf)] = (
        1.0  # by which the outputs are divided before they become probabilities (`calibration.py`)
    )
    images: dict[str, Any] = field(default_factory=dict)  # how those of the training are read (`train.images.options`)
    licence: str | None = None  # of the weights
    weights: str | None = None  # where they come from
    budget: dict[str, Any] = field(default_factory=dict)  # as it was asked for: latency = "10ms"
    folder: Path = Path()

    @property
    def network(self) -> Net:
        """The network at the resolution of the package: an expression, or the float file that a module was written to.

        So nothing of where the module comes from has to be installed here.
        """
        if self.arch.get("schema") == MODULE:
            from netlathe.read.onnx_file import onnx_file

            return onnx_file(self.folder / FLOAT_FILE).renamed(str(self.arch.get("name", FLOAT_FILE)))
        return from_json(json.dumps(self.arch), source=f"{self.folder / FILE}: arch")

    @property
    def path(self) -> Path:
        """The file that a runtime loads."""
        return self.folder / self.model

    @property
    def bytes(self) -> int:
        """Size of the files that are deployed: the model, with its weights where these are a file of their own."""
        return sum((self.folder / name).stat().st_size for name in model_files(self.model))


def write_package(package: Package, files: dict[str, bytes]) -> Package:
    """Write the files and, last, package.json into `package.folder`; returns the package with their hashes.

    Raises NetlatheError where the folder cannot be made or written.
    """
    folder = package.folder
    missing = set(model_files(package.model)) - set(files)
    assert not missing, f"the package names {missing} but holds {set(files)}"
    make_folder(folder)
    for name, content in files.items():
        write_bytes(folder / name, content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    return write_facts(replace(package, files=hashes))


def write_facts(package: Package) -> Package:
    """Write package.json alone, for a package whose files are there. Raises NetlatheError where that cannot be done."""
    document = {f.name: getattr(package, f.name) for f in fields(Package) if f.name != "folder"}
    write_json(package.folder / FILE, {"schema": SCHEMA} | document | {"preprocessing": asdict(package.preprocessing)})
    return load_package(package.folder)


def load_package(folder: str | Path, *, verify: bool = True) -> Package:
    """The package in a folder; with `verify`, its files are those that were written.

    Raises NetlatheError for a folder that holds none, a document that is none, and files that are gone or changed.
    """
    folder = Path(folder)
    try:
        text = read_text(folder / FILE)
    except NetlatheError as error:
        hint = "`netlathe fit` writes packages"
        message = f"this is no package: {FILE}: {error.message}"
        raise NetlatheError(message, code="package.missing", path=str(folder), hint=hint) from None
    document = parse_json(text, source=str(folder / FILE), code="package.read", what="a package")
    package = parse_package(document, folder)
    for name, hash in package.files.items() if verify else ():
        refuse_changed(folder / name, hash)
    return package


def parse_package(document: Any, folder: Path) -> Package:
    """The package of a JSON document. Raises NetlatheError for one that is none."""
    where = str(folder / FILE)
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        schema = document.get("schema") if isinstance(document, dict) else type(document).__name__
        message = f"the schema is {schema!r}, not {SCHEMA!r}"
        raise NetlatheError(message, code="package.schema", path=where, hint="it was written by another version")
    # A field that this version does not know is no fault: what it says is of no use here.
    values = {name: document[name] for name in document.keys() & {f.name for f in fields(Package)} - {"folder"}}
    steps = values.get("preprocessing")
    if isinstance(steps, dict):
        values["preprocessing"] = {f.name: steps[f.name] for f in fields(Preprocessing) if f.name in steps}
    package, faults = check_document(Package, values)
    if faults:
        raise faults_error(faults, code="package.read", path=where)
    package = replace(cast(Package, package), folder=folder)
    inside = [*package.files, *model_files(package.model)]
    if outside := [name for name in inside if Path(name).name != name]:
        raise NetlatheError(f"{outside[0]!r} lies outside the package", code="package.read", path=where)
    if gone := [name for name in model_files(package.model) if name not in package.files]:
        raise NetlatheError(f"{gone[0]!r} is not among its files", code="package.read", path=where)
    return package


def refuse_changed(path: Path, hash: str) -> None:
    """Raise NetlatheError for a file that is gone, or is not the one that was written."""
    try:
        actual = hashlib.sha256(read_bytes(path)).hexdigest()
    except NetlatheError as error:
        raise NetlatheError(error.message, code="package.file", path=str(path)) from None
    if actual != hash:
        raise NetlatheError(
            "this is not the file that the package was written with",
            code="package.changed",
            path=str(path),
            hint="copy the whole folder again, or write the package anew",
        )
