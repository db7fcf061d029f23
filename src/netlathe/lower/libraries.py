"""timm and torchvision, imported as they are installed, also where torchvision's build does not fit that of torch."""

from __future__ import annotations

import re
import warnings
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from netlathe.errors import NetlatheError
from netlathe.lower.checkpoint import require_package

LIBRARIES = ("timm", "torchvision")


def import_library(name: str) -> ModuleType:
    """timm or torchvision. Raises MissingExtra, or NetlatheError where it is installed but broken."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about itself and its dependencies, to its developers
            if find_spec("torch") is not None and find_spec("torchvision") is not None:
                declare_torchvision_operators()
            return require_package(name, "hub")
    except (RuntimeError, ImportError) as error:
        raise NetlatheError(
            f"{name} is installed but does not import: {error}",
            code="weights.library",
            hint="its build must fit that of torch: install both from one index",
        ) from error


def declare_torchvision_operators() -> None:
    """Give torch the names of torchvision's compiled operators, where its build does not fit that of torch.

    Importing torchvision registers shape rules for some of them and fails where the name is unknown, and timm imports
    torchvision: this is so beside a CPU build of torch with the published wheel. Nothing here implements them, and no
    network for classification calls one: calling one still raises.
    """
    import torch

    if hasattr(declare_torchvision_operators, "library"):
        return
    spec = find_spec("torchvision")
    assert spec is not None, "torchvision is not installed"
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0])
    try:
        torch.ops.load_library(str(folder / "_C.so"))  # type: ignore[no-untyped-call]
    except OSError:  # of another build
        pass
    else:
        return
    rules = folder / "_meta_registrations.py"
    source = rules.read_text(encoding="utf-8") if rules.is_file() else ""
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    declare_torchvision_operators.library = library  # type: ignore[attr-defined]  # a library lives while it is held
    for name in sorted(set(re.findall(r'register_fake\("torchvision::(\w+)"\)', source))):
        if not hasattr(torch.ops.torchvision, name):
            library.define(f"{name}(Tensor x) -> Tensor")  # type: ignore[no-untyped-call]
