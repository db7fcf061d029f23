"""A package of what a training left: netlathe export run/ -o out/.

The file is made of the one that the training exported, and compared with it, so that nothing but ONNX Runtime is needed
and a module's source may be anywhere else.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from netlathe.deploy.export import TrainedModel, arch_document, load_trained
from netlathe.deploy.package import FILE, FLOAT_FILE, Package, write_package
from netlathe.deploy.session import compute_outputs_isolated
from netlathe.errors import NetlatheError
from netlathe.runfolder.document import read_document
from netlathe.runtimes.agreement import Parity, compare_outputs
from netlathe.runtimes.registry import DEFAULT

if TYPE_CHECKING:
    from netlathe.runtimes.base import Logits, Pixels

COMPARED = 8  # images of noise


def package_training(folder: Path, out: Path) -> tuple[Package, Parity]:
    """The package of a training's folder, written into `out`, and how it agrees with the file of the training.

    Raises NetlatheError for a folder without a finished training, one that is taken, and where they disagree.
    """
    from netlathe.deploy.parity import require_exact

    refuse_taken(out)
    run = load_trained(folder)
    package = write_package(
        Package(
            arch=arch_document(run.network),
            classes=run.classes,
            preprocessing=run.preprocessing,
            weights=weights_of(folder),
            folder=out,
        ),
        {FLOAT_FILE: run.model().SerializeToString()},
    )
    p = run.preprocessing
    pixels = np.random.default_rng(0).integers(0, 256, (COMPARED, p.resolution, p.resolution, p.channels), np.uint8)
    outputs = compute_outputs_isolated(package.path, pixels, runtime=DEFAULT, precision="fp32")
    agreement = compare_outputs(trained_outputs(run, pixels), outputs)
    require_exact(agreement, package.path)
    return package, agreement


def refuse_taken(out: Path) -> None:
    """Raise NetlatheError for a place where something else lies: a package may be written over, nothing else."""
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / FILE).is_file()):
        hint = "name a new folder"
        raise NetlatheError("this is taken, and holds no package", code="file.write", path=str(out), hint=hint)


def weights_of(folder: Path) -> str:
    """Where the weights come from: those that the training began with, and the training."""
    begun = read_document(folder / "run.json", "train again")["identity"]["weights"]
    return f"{begun['name']}, trained on" if isinstance(begun, dict) else "trained from scratch"


def trained_outputs(run: TrainedModel, pixels: Pixels) -> Logits:
    """What the file of the training gives for pixels that are prepared as it says."""
    import onnxruntime as ort

    p = run.preprocessing
    images = (pixels.astype(np.float32).transpose(0, 3, 1, 2) / 255 - column(p.mean)) / column(p.std)
    session = ort.InferenceSession(run.file, providers=["CPUExecutionProvider"])
    outputs: Logits = session.run(None, {session.get_inputs()[0].name: images.astype(np.float32)})[0]
    return outputs


def column(values: tuple[float, ...]) -> NDArray[np.float32]:
    """Values by channel, for images (N, C, r, r)."""
    return np.array(values, np.float32).reshape(1, -1, 1, 1)
