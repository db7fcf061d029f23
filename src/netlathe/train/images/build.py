"""From a source to an entry of the cache: read every file once to know it, choose the canvas, then decode.

Two passes, because the canvas follows from all sizes and the order of the entry from all contents. Both run on every
core: Pillow decodes and resizes without holding Python's lock, so threads are enough.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from netlathe.errors import NetlatheError
from netlathe.train.images import alike
from netlathe.train.images import cache as store
from netlathe.train.images.cache import CacheEntry
from netlathe.train.images.decode import (
    DECODER,
    Canvas,
    Header,
    UnreadableImage,
    decode_twice,
    hash_image,
    read_header,
    read_image,
    resize_pixels,
    silence_warnings,
)
from netlathe.train.images.sources import ImageFiles, ImageSource, ImageStack, SkippedFile

Progress = Callable[[str, int, int], None]  # what is being done, how much is done, of how much
T = TypeVar("T")
SAME_RATIO = 1.02  # largest over smallest width / height of images that count as of one shape
CHUNK = 64  # images of one task
PICTURE = Canvas(alike.SIDE, alike.SIDE, 3)  # what is looked at to find images that are alike


@dataclass(frozen=True, eq=False)
class StoragePlan:
    """What the first pass found, in the order of the entry: the images `rows` of the source, on a canvas."""

    rows: NDArray[np.int64]
    digests: NDArray[np.uint64]
    sizes: NDArray[np.int32]
    bursts: NDArray[np.int64]  # as `alike.group_bursts` numbers them
    canvas: Canvas
    facts: dict[str, Any]


def store_images(
    source: ImageSource, size: int, channels: int | None, cache: Path, limit: int, progress: Progress | None
) -> tuple[CacheEntry, bool]:
    """The entry of a source, and whether it had to be decoded now. Raises NetlatheError where no image can be read."""
    name, trusted = store.fingerprint(
        source.files, source.layout, *source.reading, str(size), str(channels), DECODER, alike.VERSION
    )
    key = store.recall_key(cache, name)
    entry = store.look_up(cache, key) if key else None
    if entry is not None:
        return entry, False
    with silence_warnings():
        images = source.open()
        plan = plan_storage(images, size, channels, source, progress)
        key = hash_content(images, plan)
        entry = store.look_up(cache, key)
        built = entry is None
        if entry is None:
            need = len(plan.rows) * plan.canvas.height * plan.canvas.width * plan.canvas.channels
            with store.build_entry(cache, key, need, limit) as folder:
                write_entry(images, plan, folder, source, progress)
            entry = store.look_up(cache, key)
    if entry is None:
        raise NetlatheError("an entry vanished while it was made", code="images.cache", path=str(cache / key))
    if trusted:
        with suppress(
            OSError
        ):  # a cache that others filled may be closed for writing; next time the files are read again
            store.remember_key(cache, name, key)
    return entry, built


def plan_storage(
    images: ImageFiles | ImageStack, size: int, channels: int | None, source: ImageSource, progress: Progress | None
) -> StoragePlan:
    """The first pass: digests, sizes and colours, hence the canvas and the order of the entry."""
    count = len(images.names)
    if isinstance(images, ImageFiles):
        paths = images.paths
        chunks = run_parallel(lambda lo, hi: [file_header(path) for path in paths[lo:hi]], count, "reading", progress)
    else:
        pixels = images.pixels
        chunks = run_parallel(lambda lo, hi: [array_header(x) for x in pixels[lo:hi]], count, "reading", progress)
    headers = [header for chunk in chunks for header in chunk]
    good = [i for i, header in enumerate(headers) if not header.fault]
    skipped = [*source.skipped, *(SkippedFile(images.names[i], h.fault) for i, h in enumerate(headers) if h.fault)]
    if not good:
        raise no_image_error(source, skipped)
    splits = images.splits.tolist()
    order = sorted(good, key=lambda i: (splits[i], headers[i].digest, images.names[i]))
    sizes = np.array([(headers[i].width, headers[i].height) for i in order], np.int32)
    colour = any(headers[i].colour for i in good)
    facts = {
        "modes": dict(Counter(headers[i].mode for i in good).most_common()),
        "grey": sum(not headers[i].colour for i in good),
        "turned": sum(headers[i].turned for i in good),
        "animated": sum(headers[i].animated for i in good),
        "skipped": skipped,
        "notes": images.notes if isinstance(images, ImageStack) else (),
    }
    return StoragePlan(
        np.array(order, np.int64),
        np.frombuffer(b"".join(headers[i].digest for i in order), ">u8").astype(np.uint64).reshape(-1, 2),
        sizes,
        alike.group_bursts([headers[i].camera for i in order], [headers[i].taken for i in order]),
        choose_canvas(sizes, size, channels or (3 if colour else 1)),
        facts,
    )


def file_header(path: Path) -> Header:
    """The header of a file."""
    try:
        return read_header(read_image(path))
    except UnreadableImage as error:
        return Header(b"", fault=str(error))


def array_header(x: NDArray[np.uint8]) -> Header:
    """The header of an image (H, W, C) in an array."""
    height, width, channels = x.shape
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    return Header(hash_image(f"{x.shape}".encode() + x.tobytes()), width, height, mode, channels > 1)


def choose_canvas(sizes: NDArray[np.int32], size: int, channels: int) -> Canvas:
    """The shape that all images get: theirs if they share one, else a square; the short side is `size`, or that of
    the largest image if all are smaller."""
    side = min(size, int(sizes.min(axis=1).max()))
    ratios = sizes[:, 0] / sizes[:, 1]
    ratio = float(np.median(ratios)) if ratios.max() <= SAME_RATIO * ratios.min() else 1.0
    return Canvas(round(side * max(1 / ratio, 1)), round(side * max(ratio, 1)), channels)


def hash_content(images: ImageFiles | ImageStack, plan: StoragePlan) -> str:
    """A hash of all that an entry holds."""
    names = "\0".join(images.names[i] for i in plan.rows)
    rows = np.column_stack([images.labels[plan.rows], images.splits[plan.rows], images.groups[plan.rows],
                            plan.bursts])  # fmt: skip
    facts = json.dumps([plan.canvas, images.classes, plan.facts, DECODER, alike.VERSION])
    return store.hash_parts(names, plan.digests.tobytes(), rows.tobytes(), facts)


def write_entry(
    images: ImageFiles | ImageStack, plan: StoragePlan, folder: Path, source: ImageSource, progress: Progress | None
) -> None:
    """The second pass: the files of an entry, without the images that turn out to be unreadable."""
    shape = (len(plan.rows), *plan.canvas)
    row_bytes = int(np.prod(plan.canvas))
    pictures = alike.blank_pictures(shape[0])
    with (folder / "pixels.npy").open("w+b") as file:
        np.lib.format.write_array_header_1_0(file, npy_header(shape))
        file.flush()
        start, number = file.tell(), file.fileno()

        # Writing through a memory map would end the process with a signal where the disk is full.
        def task(low: int, high: int) -> list[tuple[int, str]]:
            faults: list[tuple[int, str]] = []
            blocks = [row_pixels(images, plan, k, faults, pictures) for k in range(low, high)]
            write_all(number, b"".join(blocks), start + low * row_bytes)
            return faults

        faults = [fault for part in run_parallel(task, shape[0], "decoding", progress) for fault in part]
        kept = np.delete(np.arange(shape[0]), [k for k, _ in faults])
        for new, old in enumerate(kept):
            if new != old:
                write_all(number, os.pread(number, row_bytes, start + int(old) * row_bytes), start + new * row_bytes)
        os.ftruncate(number, start + len(kept) * row_bytes)
        file.seek(0)
        np.lib.format.write_array_header_1_0(file, npy_header((len(kept), *plan.canvas)))
        file.flush()
        assert file.tell() == start, "numpy leaves room in its header for longer shapes"
        os.fsync(number)
    skipped = plan.facts["skipped"] + [SkippedFile(images.names[plan.rows[k]], why) for k, why in faults]
    if not len(kept):
        raise no_image_error(source, skipped)
    rows = plan.rows[kept]
    digests, sizes = plan.digests[kept], plan.sizes[kept]
    same = alike.group_alike(digests, alike.Pictures(pictures.bits[kept], pictures.colours[kept]))
    with (folder / "rows.npz").open("wb") as table:
        np.savez(
            table, labels=images.labels[rows], splits=images.splits[rows], digests=digests, sizes=sizes, alike=same,
            groups=images.groups[rows], bursts=plan.bursts[kept],
        )  # fmt: skip
    facts = plan.facts | {"skipped": skipped, "names": [images.names[i] for i in rows], "classes": images.classes}
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


def npy_header(shape: Sequence[int]) -> dict[str, Any]:
    """What the header of an npy file says."""
    return {"descr": "|u1", "fortran_order": False, "shape": tuple(int(n) for n in shape)}


def row_pixels(
    images: ImageFiles | ImageStack, plan: StoragePlan, k: int, faults: list[tuple[int, str]], pictures: alike.Pictures
) -> bytes:
    """The pixels of an image on the canvas; zeros, and a fault, where there are none. What it looks like is noted."""
    i = int(plan.rows[k])
    small = plan.sizes[k].min() < alike.LEAST_SIDE
    try:
        if isinstance(images, ImageStack):
            x = images.pixels[i]
            pixels = x.tobytes() if x.shape == plan.canvas else resize_pixels(x, plan.canvas)
            picture = b"" if small else resize_pixels(x, PICTURE, stretch=True)
        else:
            data = read_image(images.paths[i])
            if hash_image(data) != plan.digests[k].astype(">u8").tobytes():
                raise UnreadableImage("the file changed while it was read")
            pixels, picture = decode_twice(data, plan.canvas, PICTURE)
    except UnreadableImage as error:
        faults.append((k, str(error)))
        return bytes(int(np.prod(plan.canvas)))
    if not small:
        pictures.bits[k], pictures.colours[k] = alike.describe(np.frombuffer(picture, np.uint8).reshape(PICTURE))
    return pixels


def write_all(number: int, data: bytes, at: int) -> None:
    """Write bytes at a place of a file. Raises OSError, also where the disk is full."""
    done = 0
    while done < len(data):
        done += os.pwrite(number, data[done:] if done else data, at + done)


def run_parallel(task: Callable[[int, int], T], count: int, what: str, progress: Progress | None) -> list[T]:
    """The task on [low, high) chunks of 0..count on every core that is ours, results in order."""
    chunks = [(low, min(low + CHUNK, count)) for low in range(0, count, CHUNK)]
    results: list[T] = []
    with ThreadPoolExecutor(count_cores()) as pool:
        waiting = [pool.submit(task, *chunk) for chunk in chunks]
        try:
            for (_, high), future in zip(chunks, waiting, strict=True):
                results.append(future.result())
                if progress is not None:
                    progress(what, high, count)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return results


def count_cores() -> int:
    """The cores that this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def no_image_error(source: ImageSource, skipped: Sequence[SkippedFile]) -> NetlatheError:
    """An error for a source of which every image was skipped."""
    reasons = Counter(reason for _, reason in skipped).most_common(5)
    lines = "".join(f"\n  {count:,}: {reason}" for reason, count in reasons)
    return NetlatheError(f"no image can be read{lines}", code="images.unreadable", path=source.place)
