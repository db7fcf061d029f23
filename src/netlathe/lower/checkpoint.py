"""Tensors of a .safetensors or .pth file. A pickle is read for its tensors only: one that asks for more is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from os import environ
from pathlib import Path
from pickle import UnpicklingError
from types import ModuleType
from typing import Any
from warnings import catch_warnings, simplefilter

from netlathe.errors import MissingExtra, NetlatheError

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "state_dict_ema", "model_ema")  # of training scripts
PREFIXES = ("module.", "_orig_mod.", "model.")  # DistributedDataParallel, torch.compile, Lightning


def require_package(package: str, extra: str) -> ModuleType:
    """The package, or MissingExtra with the line that installs it."""
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise MissingExtra(package, extra) from None


def read_tensors(path: str | Path, entry: str | None = None) -> tuple[dict[str, Any], dict[str, str]]:
    """(torch tensors by name, what the file says about itself).

    `entry` picks a part of a checkpoint that holds several, such as the moving average. Raises NetlatheError for a file
    that cannot be read, is cut short, holds no tensors, or is a pickle that would run code.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise NetlatheError(
            f"{path.suffix or 'a file without suffix'} is no format of weights",
            code="weights.format",
            path=str(path),
            hint=f"legal: {', '.join(SUFFIXES)}",
        )
    if not path.is_file():
        raise NetlatheError("no such file", code="file.unreadable", path=str(path))
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    return unwrap_tensors(read_pickle(path), entry, str(path)), {}


def read_safetensors(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Format: https://huggingface.co/docs/safetensors."""
    require_package("torch", "train")
    safetensors = require_package("safetensors", "train")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError) as error:
        raise NetlatheError(
            f"this is no whole safetensors file: {error}",
            code="weights.broken_file",
            path=str(path),
            hint="fetch it again",
        ) from None


def read_pickle(path: Path) -> Any:
    """torch.load, weights only."""
    torch = require_package("torch", "train")
    try:
        with catch_warnings():
            simplefilter("ignore")  # about unusual pickles, which are refused or harmless here
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the bytes lead it into
        message = str(error)
        asks = re.search(r"GLOBAL ([\w.]+)|class ([\w.]+)", message)
        if "TorchScript" in message or (isinstance(error, UnpicklingError) and (asks or "nsupported" in message)):
            what = (
                "it is a TorchScript program" if "TorchScript" in message else "it is a pickle with more than tensors"
            )
            named = next(filter(None, asks.groups()), "") if asks else ""
            raise NetlatheError(
                f"refused: {what}{f' (it asks for {named})' * bool(named)}, and loading that may run any code",
                code="weights.unsafe_file",
                path=str(path),
                hint="if you trust its author, open it in Python and save the tensors alone: "
                "torch.save(torch.load(path, weights_only=False)['state_dict'], 'tensors.pth')",
            ) from None
        raise NetlatheError(
            f"this file cannot be read: {message.strip().splitlines()[0] if message.strip() else type(error).__name__}",
            code="weights.broken_file",
            path=str(path),
            hint="it may be cut short: fetch it again",
        ) from None


def unwrap_tensors(content: Any, entry: str | None, path: str) -> dict[str, Any]:
    """The tensors by name inside what training scripts wrap around them."""
    if not isinstance(content, Mapping):
        kind = type(content).__name__
        raise NetlatheError(f"this file holds a {kind}, not tensors by name", code="weights.format", path=path)
    held = {key: value for key, value in content.items() if key in WRAPPERS and tensor_entries(value)}
    if entry is not None and entry not in held:
        legal = ", ".join(held) or "none"
        raise NetlatheError(f"no part {entry!r} with tensors", code="weights.entry", path=path, hint=f"parts: {legal}")
    if entry is None and len(held) > 1:
        hint = f"say which: entry={next(iter(held))!r}"
        raise NetlatheError(f"this file holds {' and '.join(held)}", code="weights.entry", path=path, hint=hint)
    tensors = tensor_entries(held[entry or next(iter(held))] if held else content)
    if not tensors:
        raise NetlatheError("this file holds no tensors by name", code="weights.format", path=path)
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def tensor_entries(value: Any) -> dict[str, Any]:
    """The entries of a mapping that are tensors."""
    torch = require_package("torch", "train")
    if not isinstance(value, Mapping):
        return {}
    return {str(name): tensor for name, tensor in value.items() if isinstance(tensor, torch.Tensor)}


@contextmanager
def weights_only() -> Iterator[None]:
    """While it holds, every torch.load of whatever library reads tensors only, even where the library asks for more."""
    before = environ.get("TORCH_FORCE_WEIGHTS_ONLY_LOAD")
    environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    try:
        yield
    finally:
        if before is None:
            del environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"]
        else:
            environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = before
