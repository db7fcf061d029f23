"""The folder of a fit, which goes on with the same fit and refuses another."""

from __future__ import annotations

from pathlib import Path

from netlathe.files import make_folder
from netlathe.runfolder.identity import Identity, RunKind, refuse_other
from netlathe.runfolder.steps import cached_step

FIT = RunKind("fit", "fit.other_run")


def claim_folder(folder: Path, asked: Identity) -> None:
    """Write what is asked for; raise NetlatheError where the folder holds a fit of something else."""
    make_folder(folder)
    refuse_other(FIT, cached_step(folder, "wish", lambda: dict(asked)), asked, folder)
