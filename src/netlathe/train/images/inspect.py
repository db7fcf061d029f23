"""What there is to say about images before anything is learned from them, for people and as data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netlathe.escapes import escape_line
from netlathe.train.images.cache import CacheEntry
from netlathe.train.images.sources import ImageSource, SkippedFile, list_folder
from netlathe.train.images.split import SplitRows
from netlathe.units import show_bytes

TINY = 20  # training images below which a class is called tiny
IMBALANCED = 3.0  # largest over smallest class above which it is worth a warning
CUT_OFF = 0.1  # share of the area outside of the canvas above which it is worth a warning
SHOWN = 4  # names of a list that are printed
ROWS = 24  # classes that are printed
LICENCES = ("licence", "license", "copying", "readme")
SPLITS = ("train", "validation", "test")
GROUPS = ("copies", "leaks", "contradictions", "alike", "alike_leaks")


class DuplicateImages(NamedTuple):
    """Names of images of the same content, or that are alike, with the splits and the classes where they are."""

    names: tuple[str, ...]
    splits: tuple[str, ...]
    classes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class DatasetReport:
    """Counts are by class, in the order of `classes`; sizes are width x height of the files in pixels."""

    place: str
    layout: str
    shape: tuple[int, int, int]  # height, width, channels of every image now
    classes: tuple[str, ...]
    counts: dict[str, tuple[int, ...]]
    split: str  # how the splits were made
    imbalance: float  # training images of the largest class over those of the smallest
    tiny: tuple[str, ...]  # classes with fewer than TINY training images
    absent: dict[str, tuple[str, ...]]  # classes without an image in a split
    skipped: tuple[SkippedFile, ...]
    copies: tuple[DuplicateImages, ...]
    alike: tuple[DuplicateImages, ...]  # of other contents, but nearly the same pictures (`alike.py`)
    grouped: int  # groups that the source names
    bursts: int  # photographs that were taken within a second of another
    whole: tuple[str, ...]  # classes whose images cannot be on both sides: one image, or copies of one another
    cut_off: float  # mean share of an image's area that falls outside of the canvas
    cut_off_most: float
    enlarged: int  # images smaller than the canvas
    sizes: dict[str, int]
    modes: dict[str, int]  # Pillow's names of pixel formats
    grey: int
    turned: int  # by EXIF's orientation
    animated: int  # of which only the first frame is here
    licences: tuple[str, ...]  # files that may say what is allowed
    notes: tuple[str, ...]
    cache: str
    cache_bytes: int
    built: bool  # decoded now, not found in the cache

    @property
    def leaks(self) -> tuple[DuplicateImages, ...]:
        """Contents that are in more than one split."""
        return tuple(group for group in self.copies if len(group.splits) > 1)

    @property
    def alike_leaks(self) -> tuple[DuplicateImages, ...]:
        """Images that are alike and in more than one split."""
        return tuple(group for group in self.alike if len(group.splits) > 1)

    @property
    def contradictions(self) -> tuple[DuplicateImages, ...]:
        """Contents that are of more than one class."""
        return tuple(group for group in self.copies if len(group.classes) > 1)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        rows: dict[str, Any] = {"skipped": [s._asdict() for s in self.skipped]}
        rows |= {name: [c._asdict() for c in getattr(self, name)] for name in GROUPS}
        return asdict(self) | rows | {"warnings": list(self.warnings())}

    def warnings(self) -> tuple[str, ...]:
        """What may spoil a training or its figures."""
        warnings = []
        if self.skipped:
            reasons: dict[str, list[str]] = {}
            for name, reason in self.skipped:
                reasons.setdefault(reason, []).append(name)
            warnings.append(f"{self.skipped_count} skipped")
            warnings += [f"  {len(names):,}: {reason}: {shorten_list(names)}" for reason, names in reasons.items()]
        if self.contradictions:
            names = [" = ".join(group.names) for group in self.contradictions]
            warnings.append(f"{len(names):,} contents are of more than one class: {shorten_list(names)}")
        if self.leaks:
            names = [" = ".join(group.names) for group in self.leaks]
            warnings.append(
                f"{len(names):,} contents are in more than one split, so figures flatter: {shorten_list(names)}"
            )
        if self.alike_leaks:
            names = [" ~ ".join(group.names) for group in self.alike_leaks]
            warnings.append(f"{len(names):,} pictures are in more than one split in other files, so figures flatter: "
                            f"{shorten_list(names)}")  # fmt: skip
        if other := [" ~ ".join(group.names) for group in self.alike if len(group.classes) > 1]:
            warnings.append(f"{len(other):,} pictures are of more than one class in other files: {shorten_list(other)}")
        if self.whole:
            warnings.append(
                "one image, or only copies of one, so kept in training and never tested: " + shorten_list(self.whole)
            )
        if self.imbalance > IMBALANCED:
            small, large = (f(range(len(self.classes)), key=self.counts["train"].__getitem__) for f in (min, max))
            larger = f"{self.classes[large]} has {self.counts['train'][large]:,} training images, {self.classes[small]}"
            warnings.append(f"imbalance {self.imbalance:.1f}: {larger} {self.counts['train'][small]:,}")
        if self.tiny:
            warnings.append(f"fewer than {TINY} training images: {shorten_list(self.tiny)}")
        for split, classes in self.absent.items():
            if classes := tuple(name for name in classes if name not in self.whole):
                warnings.append(
                    f"classes without a {split} image, so nothing is known of them: {shorten_list(classes)}"
                )
        if self.cut_off > CUT_OFF:
            warnings.append(f"{self.cut_off:.1%} of the area is outside of the square that images of many shapes share")
        return tuple(warnings)

    @property
    def skipped_count(self) -> str:
        """1 image, or 1,234 images."""
        return f"{len(self.skipped):,} image{'s' * (len(self.skipped) != 1)}"

    def lines(self) -> list[str]:
        """For people."""
        height, width, channels = self.shape
        total = sum(map(sum, self.counts.values()))
        colour = "grey" if channels == 1 else "in colour"
        summary = f"{total:,} images of {len(self.classes):,} classes, {width} x {height} px, {colour}"
        copied = sum(len(group.names) - 1 for group in self.copies)
        facts = {
            "split": self.split,
            "sizes": format_sizes(self.sizes),
            "cut off": f"{self.cut_off:.1%} of the area, at most {self.cut_off_most:.1%} of an image",
            "pixels": ", ".join(f"{mode} {count:,}" for mode, count in self.modes.items()),
            "enlarged": f"{self.enlarged:,} smaller than the canvas" if self.enlarged else "",
            "turned": f"{self.turned:,} as EXIF says" if self.turned else "",
            "animated": f"{self.animated:,}, of which only the first frame is taken" if self.animated else "",
            "copies": f"{copied:,} repeat the content of another" if copied else "",
            "alike": f"{sum(len(group.names) - 1 for group in self.alike):,} show what another file shows"
            if self.alike
            else "",
            "groups": f"{self.grouped:,} that the source names" if self.grouped else "",
            "bursts": f"{self.bursts:,} photographs were taken within a second of another" if self.bursts else "",
            "licence": ", ".join(self.licences) or "no file says",
            "cache": f"{self.cache} ({show_bytes(self.cache_bytes)}, {'made now' if self.built else 'found'})",
        }
        lines = [
            f"{self.place}: {self.layout}",
            summary,
            *self.table(),
            *(f"{name:<9}{fact}" for name, fact in facts.items() if fact),
            *(f"{'note':<9}{note}" for note in self.notes),
            *(f"{'warning' if not text.startswith(' ') else '':<9}{text}" for text in self.warnings()),
        ]
        return list(map(escape_line, lines))

    def table(self) -> list[str]:
        """Counts by class and split; the largest and the smallest where there are many classes."""
        splits = [name for name in SPLITS if name in self.counts]
        order = range(len(self.classes))
        shown: Sequence[int] = order
        if len(order) > ROWS:
            ranked = sorted(order, key=lambda i: -self.counts["train"][i])
            shown = ranked[: ROWS // 2] + ranked[-ROWS // 2 :]
        rows = [
            ["class", *splits],
            *([escape_line(self.classes[i]), *(f"{self.counts[s][i]:,}" for s in splits)] for i in shown),
        ]
        if len(order) > ROWS:
            rows.insert(1 + ROWS // 2, [f"({len(order) - ROWS:,} more)", *["" for _ in splits]])
        rows.append(["together", *(f"{sum(self.counts[s]):,}" for s in splits)])
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
        return [
            "  "
            + "  ".join(
                [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]
            )
            for row in rows
        ]


def inspect_images(source: ImageSource, entry: CacheEntry, split: SplitRows, built: bool) -> DatasetReport:
    """The report of an entry and its splits."""
    slices: dict[str, NDArray[np.int64]] = {name: rows for name in SPLITS if len(rows := getattr(split, name))}
    counts = {name: np.bincount(entry.labels[rows], minlength=len(entry.classes)) for name, rows in slices.items()}
    absent = {name: tuple(entry.classes[i] for i in np.flatnonzero(by_class == 0)) for name, by_class in counts.items()}
    train = counts["train"]
    _, height, width, channels = entry.pixels.shape
    lost = cropped_shares(entry.sizes, width, height)
    return DatasetReport(
        place=source.place,
        layout=source.layout,
        shape=(height, width, channels),
        classes=entry.classes,
        counts={name: tuple(by_class.tolist()) for name, by_class in counts.items()},
        split=split.how,
        imbalance=float(train.max() / max(train.min(), 1)),
        tiny=tuple(entry.classes[i] for i in np.flatnonzero(train < TINY)),
        absent=absent,
        skipped=tuple(SkippedFile(*row) for row in entry.facts["skipped"]),
        copies=tuple(find_duplicates(entry, slices)),
        alike=tuple(find_alike(entry, slices)),
        grouped=len(np.unique(entry.groups[entry.groups >= 0])),
        bursts=int((entry.bursts >= 0).sum()),
        whole=tuple(entry.classes[i] for i in split.whole),
        cut_off=float(lost.mean()),
        cut_off_most=float(lost.max()),
        enlarged=int((entry.sizes < (width, height)).any(axis=1).sum()),
        sizes=count_sizes(entry.sizes),
        modes=entry.facts["modes"],
        grey=entry.facts["grey"],
        turned=entry.facts["turned"],
        animated=entry.facts["animated"],
        licences=find_licences(source),
        notes=(*source.notes, *entry.facts["notes"]),
        cache=str(entry.folder),
        cache_bytes=entry.pixels.nbytes,
        built=built,
    )


def cropped_shares(sizes: NDArray[np.int32], width: int, height: int) -> NDArray[np.float64]:
    """The share of each image's area outside of the largest part of the canvas's shape."""
    w, h = sizes[:, 0].astype(float), sizes[:, 1].astype(float)
    kept = np.minimum(w, h * width / height) * np.minimum(h, w * height / width)
    cropped: NDArray[np.float64] = 1 - kept / (w * h)
    return cropped


def find_duplicates(entry: CacheEntry, parts: Mapping[str, NDArray[np.int64]]) -> Iterable[DuplicateImages]:
    """Groups of rows with the same content."""
    return list_groups(entry, parts, np.unique(entry.digests, axis=0, return_inverse=True)[1].reshape(-1))


def find_alike(entry: CacheEntry, parts: Mapping[str, NDArray[np.int64]]) -> Iterable[DuplicateImages]:
    """Groups of rows that are alike and not all of the same content."""
    contents = np.unique(entry.digests, axis=0, return_inverse=True)[1].reshape(-1)
    pairs = np.unique(np.stack([entry.alike, contents]), axis=1)
    groups, count = np.unique(pairs[0], return_counts=True)
    return list_groups(entry, parts, np.where(np.isin(entry.alike, groups[count > 1]), entry.alike, -1))


def list_groups(
    entry: CacheEntry, parts: Mapping[str, NDArray[np.int64]], numbers: NDArray[np.int64]
) -> Iterator[DuplicateImages]:
    """The rows that have the same number, where that is at least two; none of what is below 0."""
    _, inverse, count = np.unique(numbers, return_inverse=True, return_counts=True)
    place = np.full(len(entry.labels), "", dtype=object)
    for name, rows in parts.items():
        place[rows] = name
    groups: dict[int, list[int]] = {}
    for row in np.flatnonzero((count[inverse] > 1) & (numbers >= 0)).tolist():
        groups.setdefault(int(numbers[row]), []).append(row)
    for rows_of in groups.values():
        yield DuplicateImages(
            tuple(entry.names[i] for i in rows_of),
            tuple(name for name in SPLITS if name in {place[i] for i in rows_of}),
            tuple(entry.classes[label] for label in sorted({int(entry.labels[i]) for i in rows_of})),
        )


def count_sizes(sizes: NDArray[np.int32]) -> dict[str, int]:
    """How many images have each size, the most frequent first."""
    unique, counts = np.unique(sizes, axis=0, return_counts=True)
    return {f"{unique[i][0]} x {unique[i][1]}": int(counts[i]) for i in np.argsort(-counts, kind="stable")}


def format_sizes(sizes: dict[str, int]) -> str:
    """The most frequent sizes."""
    words = ", ".join(f"{size} px ({count:,})" for size, count in list(sizes.items())[:SHOWN])
    return words + (f" and {len(sizes) - SHOWN:,} more" if len(sizes) > SHOWN else "")


def find_licences(source: ImageSource) -> tuple[str, ...]:
    """Files beside the images that may say what is allowed with them."""
    if source.folder is None:
        return ()
    return tuple(x.name for x in list_folder(source.folder) if x.is_file() and x.name.lower().startswith(LICENCES))


def shorten_list(names: Sequence[str]) -> str:
    """The first of many names."""
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")
