"""read_npz(): arrays of an .npz file, within a limit: what its headers claim is checked before room is made for it."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import IO, TYPE_CHECKING, Any
from zipfile import BadZipFile, ZipFile

from netlathe.errors import NetlatheError
from netlathe.files import open_file
from netlathe.units import byte_count, show_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

LIMIT = "4GB"
LIMIT_VARIABLE = "NETLATHE_ARRAYS_LIMIT"
BROKEN = (
    *(OSError, ValueError, EOFError, KeyError, OverflowError, TypeError, RuntimeError, NotImplementedError),
    *(zlib.error, BadZipFile, SyntaxError, TokenError),  # numpy reads a header as Python's words
)


def array_limit() -> int:
    """How many bytes the arrays of a file may have together: $NETLATHE_ARRAYS_LIMIT, else 4GB."""
    return byte_count(os.environ.get(LIMIT_VARIABLE) or LIMIT)


def read_npz(
    path: str | Path, choose: Callable[[tuple[str, ...]], Iterable[str]], *, code: str
) -> dict[str, NDArray[Any]]:
    """The arrays of a file that `choose` picks of the names that it has. No object of Python is made.

    Raises NetlatheError as `open_file` and `choose` do, and with `code` for what is no such file, arrays that claim to
    be larger than they are, and more bytes than `array_limit`.
    """
    arrays: dict[str, NDArray[Any]] = {}
    with open_file(path) as content:
        try:
            with ZipFile(content) as archive:
                members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
                left = array_limit()
                for name in choose(tuple(members)):
                    with archive.open(members[name]) as file:
                        size = claimed_bytes(file)
                    if size > left:
                        raise too_many_bytes(path, size + array_limit() - left, code)
                    if size > members[name].file_size:
                        message = f"the array {name} claims to have {size:,} bytes, and has fewer"
                        raise NetlatheError(message, code=code, path=str(path), hint="the file is damaged")
                    left -= size
                    with archive.open(members[name]) as file:
                        arrays[name] = read_array(file)
        except BROKEN as error:
            if isinstance(error, NetlatheError):
                raise
            message = f"is no npz file of plain arrays: {error}"
            raise NetlatheError(message, code=code, path=str(path)) from error
    return arrays


def claimed_bytes(file: IO[bytes]) -> int:
    """How much memory an array needs, by its header. Raises ValueError for another file, and for Python's objects."""
    from numpy.lib import format as npy

    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    version = npy.read_magic(file)
    if version not in readers:
        raise ValueError(f"version {version} of the format holds no plain numbers")
    shape, _, kind = readers[version](file)
    if kind.hasobject:
        raise ValueError("it holds objects of Python, which could run anything")
    size = prod(map(int, shape)) * int(kind.itemsize)
    if not 0 <= size < 2**63:
        raise ValueError("a header claims a size that no memory has")
    return size


def read_array(file: IO[bytes]) -> NDArray[Any]:
    """The array of a member."""
    from numpy.lib import format as npy

    array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
    return array


def too_many_bytes(path: str | Path, size: int, code: str) -> NetlatheError:
    """The error for arrays that are too large."""
    limit = array_limit()
    return NetlatheError(
        f"holds {show_bytes(size)} once it is unpacked, and {show_bytes(limit)} of arrays are read of a file",
        code=code,
        path=str(path),
        hint=f"{LIMIT_VARIABLE}=20GB allows more, where there is the memory; image files have no such limit",
    )
