"""Fixtures: the other libraries that serve as oracles, loaded once and only where a test asks for them."""

from __future__ import annotations

import re
import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def declare_torchvision_operators() -> None:
    """Give torch the names of torchvision's compiled operators, which the published wheel lacks beside a CPU torch.

    Importing torchvision registers shape rules for some of them and fails where the name is unknown. Nothing here
    implements them: calling one still raises.
    """
    import torch

    spec = find_spec("torchvision")
    assert spec is not None, "the tests need torchvision: pip install -e '.[dev]' -c constraints.txt"
    assert spec.submodule_search_locations is not None
    source = Path(spec.submodule_search_locations[0], "_meta_registrations.py").read_text(encoding="utf-8")
    library = torch.library.Library("torchvision", "FRAGMENT")
    declare_torchvision_operators.library = library  # type: ignore[attr-defined]  # a library lives while it is held
    for name in sorted(set(re.findall(r'register_fake\("torchvision::(\w+)"\)', source))):
        if not hasattr(torch.ops.torchvision, name):
            library.define(f"{name}(Tensor x) -> Tensor")


def plan_regnets_on_cpu() -> None:
    """torchvision plans the widths of a RegNet with tensors and reads them, so these need values, not only shapes."""
    import torch
    from torchvision.models.regnet import BlockParams

    plan = BlockParams.from_init_params

    def plan_with_values(*args: Any, **kwargs: Any) -> Any:
        with torch.device("cpu"):
            return plan(*args, **kwargs)

    BlockParams.from_init_params = plan_with_values


def load(name: str) -> ModuleType:
    """Import a library whose own import may warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module(name)


@pytest.fixture(scope="session")
def torchvision() -> ModuleType:
    """torchvision, with its models, which all build on the meta device."""
    declare_torchvision_operators()
    library = load("torchvision")
    plan_regnets_on_cpu()
    return library


@pytest.fixture(scope="session")
def timm(torchvision: ModuleType) -> ModuleType:
    """timm, which imports torchvision."""
    return load("timm")
