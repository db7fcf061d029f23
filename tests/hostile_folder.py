"""A folder whose modules have the names of others: whoever imports one leaves its name there."""

from __future__ import annotations

import sys
from pathlib import Path

INSTALLED = (
    *("numpy", "scipy", "torch", "onnx", "onnxruntime", "openvino", "nncf", "psutil", "click", "rich", "pydantic"),
    *("PIL", "safetensors", "sklearn", "plotly", "starlette", "uvicorn", "timm", "optuna", "netlathe", "sitecustomize"),
)
# What Python itself imports for `-m`, of any program, before the first line of that program; -P keeps them out.
BEFORE_US = {
    *("importlib", "warnings", "contextlib", "collections", "keyword", "operator", "reprlib", "functools", "types"),
    *("pkgutil", "typing", "__future__", "encodings"),
}
IMPORTED = "imported.txt"


def make_hostile(folder: Path, *, but: set[str] = frozenset()) -> None:
    """Fill a folder with modules of the names of libraries and of Python's own."""
    lines = f"open({str(folder / IMPORTED)!r}, 'a').write(__name__ + ' ')\nraise ImportError('not the real one')\n"
    for name in {*INSTALLED, *sys.stdlib_module_names} - but:
        (folder / f"{name}.py").write_text(lines)


def names_imported(folder: Path) -> str:
    """The modules of the folder that ran."""
    file = folder / IMPORTED
    return file.read_text() if file.exists() else ""
