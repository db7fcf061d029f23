"""The cache of decoded images: one folder a data set, named by its content, complete or absent, bounded in size.

    <cache>/<key>/pixels.npy    (N, H, W, C) uint8, mapped into memory, not read
    <cache>/<key>/rows.npz      labels, splits, digests, original sizes and groups of the N images
    <cache>/<key>/facts.json    names, classes, what was skipped; its time of change is the time of the last use
    <cache>/seen/<mark>         the key of a source whose files had these names, sizes and times

A key is a hash of every file's content, its name, class and split, of the canvas and of the decoder, so an entry is
never out of date. To hash, every file must be read; a mark saves that: it hashes path, size, time of modification and
time of change (which no ordinary program can set) of each file. Files that changed within the last two seconds get no
mark, because a clock's tick may hide the next change; git's index does the same.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from netlathe.errors import NetlatheError
from netlathe.process.temporary import sweep, temporary_folder
from netlathe.units import byte_count, show_bytes

LIMIT = "20GB"
LIMIT_VARIABLE = "NETLATHE_IMAGES_LIMIT"
RACY_SECONDS = 2.0


@dataclass(frozen=True, eq=False)
class CacheEntry:
    """Decoded images, sorted by the source's split and then by digest; N of them.

    `digests` (N, 2) uint64 of the files, `sizes` (N, 2) width and height, `alike` (N,) equal for copies and near
    copies, `groups` (N,) equal for what the source says belongs together, -1 where it says nothing, `bursts` (N,) equal
    for photographs of one burst, -1 for others.
    """

    folder: Path
    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    splits: NDArray[np.int8]
    digests: NDArray[np.uint64]
    sizes: NDArray[np.int32]
    alike: NDArray[np.int64]
    groups: NDArray[np.int64]
    bursts: NDArray[np.int64]
    names: tuple[str, ...]
    classes: tuple[str, ...]
    facts: dict[str, Any]

    @property
    def key(self) -> str:
        """The hash of its content."""
        return self.folder.name


def size_limit(limit: int | None) -> int:
    """How many bytes all entries may have: as told, else $NETLATHE_IMAGES_LIMIT, else 20GB."""
    return limit if limit is not None else byte_count(os.environ.get(LIMIT_VARIABLE) or LIMIT)


def hash_parts(*parts: str | bytes) -> str:
    """One hash of several texts, which are kept apart."""
    digest = blake2b(digest_size=16)
    for part in parts:
        data = part.encode(errors="surrogateescape") if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def fingerprint(files: Iterable[Path], *more: str) -> tuple[str, bool]:
    """What is known of files without reading them, as a hash; and whether it can be trusted later."""
    rows: list[str] = list(more)
    youngest = 0
    for file in files:
        try:
            status = file.stat()
        except OSError:
            rows.append(f"{file} absent")
            continue
        youngest = max(youngest, status.st_mtime_ns, status.st_ctime_ns)
        rows.append(f"{file.absolute()} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}")
    return hash_parts(*rows), time.time() - youngest / 1e9 > RACY_SECONDS


def recall_key(cache: Path, name: str) -> str | None:
    """The key that belongs to a mark, if it was stored."""
    with suppress(OSError, UnicodeDecodeError):
        return (cache / "seen" / name).read_text()
    return None


def remember_key(cache: Path, name: str, key: str) -> None:
    """Store the key that belongs to a mark. Raises OSError."""
    folder = cache / "seen"
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{name}.{os.getpid()}"
    part.write_text(key)
    part.replace(folder / name)


def look_up(cache: Path, key: str) -> CacheEntry | None:
    """An entry, which counts as used now; None where it is absent or damaged."""
    folder = cache / key
    try:
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        with (folder / "rows.npz").open("rb") as file, np.load(file, allow_pickle=False) as rows:
            columns = {
                name: rows[name] for name in ("labels", "splits", "digests", "sizes", "alike", "groups", "bursts")
            }
        pixels = np.load(folder / "pixels.npy", mmap_mode="r", allow_pickle=False)
        names, classes = tuple(facts.pop("names")), tuple(facts.pop("classes"))
        if {*map(len, columns.values()), len(names)} != {len(pixels)}:
            return None
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
    with suppress(OSError):  # a cache that others filled may be closed for writing
        os.utime(folder / "facts.json")
    return CacheEntry(folder, pixels, **columns, names=names, classes=classes, facts=facts)


@contextmanager
def build_entry(cache: Path, key: str, need: int, limit: int) -> Iterator[Path]:
    """A folder to be filled, which becomes the entry at the end, unless another process was first.

    Makes room for `need` bytes before: by deleting the entries that were not used for the longest time, while all are
    more than `limit`. Raises NetlatheError where an entry is too large, or cannot be written.
    """
    hint = f"a smaller size makes it smaller; {LIMIT_VARIABLE}={show_bytes(2 * need).replace(' ', '')} allows more"
    if need > limit:
        message = f"the decoded images take {show_bytes(need)}, and the cache may have {show_bytes(limit)}"
        raise NetlatheError(message, code="images.limit", path=str(cache), hint=hint)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        make_room(cache, limit - need)
        free = shutil.disk_usage(cache).free
        if need > free:
            message = f"the decoded images take {show_bytes(need)}, and the disk has {show_bytes(free)} left"
            where = "free some space, set XDG_CACHE_HOME to another disk, or take a smaller size"
            raise NetlatheError(message, code="images.disk", path=str(cache), hint=where)
        with temporary_folder(cache) as temporary:
            part = temporary / "entry"
            part.mkdir()
            yield part
            install(part, cache / key)
    except OSError as error:
        where = "set XDG_CACHE_HOME to a folder on a disk with room, or give cache="
        message = f"the cache cannot be written: {error.strerror or error}"
        raise NetlatheError(message, code="images.cache", path=str(cache), hint=where) from error


def install(part: Path, folder: Path) -> None:
    """Move a finished entry into place; an entry that cannot be read gives way, one that can was first and stays."""
    for _ in range(3):
        try:
            part.rename(folder)
            return
        except OSError:
            if not folder.is_dir():
                raise
        if look_up(folder.parent, folder.name) is not None:
            return
        discard(folder)
    raise OSError(f"{folder} is damaged and cannot be replaced")


def make_room(cache: Path, allowed: int) -> None:
    """Delete the entries that were not used for the longest time until the rest has at most `allowed` bytes."""
    sweep(cache)
    entries: list[tuple[float, int, Path]] = []
    for folder in cache.iterdir():
        with suppress(OSError):  # another process deletes too
            if not folder.name.startswith(".") and folder.name != "seen":
                size = sum(file.stat().st_size for file in folder.iterdir())
                facts = folder / "facts.json"
                entries.append((facts.stat().st_mtime if facts.exists() else 0.0, size, folder))
    total = sum(size for _, size, _ in entries)
    for _, size, folder in sorted(entries):
        if total <= allowed:
            break
        discard(folder)
        total -= size
    left = {folder.name for _, _, folder in entries if folder.exists()}
    for file in (cache / "seen").glob("*"):
        with suppress(OSError, UnicodeDecodeError):
            if file.read_text() not in left:
                file.unlink()


def discard(folder: Path) -> None:
    """Delete an entry at once for whoever looks; a process that has its pixels mapped keeps them until it ends."""
    with suppress(OSError), temporary_folder(folder.parent) as part:
        folder.rename(part / "entry")
