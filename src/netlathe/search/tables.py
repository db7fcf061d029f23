"""Tabular benchmarks: spaces of which every network was trained, and latencies that somebody measured.

A table answers in microseconds what a training answers in hours, so a strategy is run hundreds of times on it. The
files are given by path; where they come from, and under which licence, says the README beside each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netlathe.errors import NetlatheError, unknown
from netlathe.npz import read_npz
from netlathe.search import spaces
from netlathe.search.genotype import Genotype
from netlathe.search.space import SearchSpace

Numbers = NDArray[np.floating[Any]] | NDArray[np.integer[Any]]
DATASETS = ("c10", "c100", "in16")  # CIFAR-10, CIFAR-100, ImageNet with 16x16 pixels and 120 classes


@dataclass(frozen=True, eq=False)
class TabularBenchmark:
    """A space with what is known of every genotype; row i of all arrays is `genotypes[i]`.

    `scores` are accuracies in %, a column a seed; `columns` are costs by name (macs, params; ms by device).
    """

    space: SearchSpace
    genotypes: tuple[Genotype, ...]
    scores: NDArray[np.float64]
    columns: Mapping[str, Numbers]

    @cached_property
    def rows(self) -> dict[Genotype, int]:
        """The row by genotype."""
        return {genotype: i for i, genotype in enumerate(self.genotypes)}

    @property
    def seeds(self) -> int:
        """How many trainings of each network there are."""
        return int(self.scores.shape[1])

    @cached_property
    def mean(self) -> NDArray[np.float64]:
        """The mean over seeds by row."""
        mean: NDArray[np.float64] = self.scores.mean(axis=1)
        return mean

    @cached_property
    def best(self) -> Genotype:
        """The genotype of the highest mean score."""
        return self.genotypes[int(self.mean.argmax())]

    def row(self, genotype: Sequence[int]) -> int:
        """The row of a genotype. Raises NetlatheError for one that is not legal."""
        row = self.rows.get(tuple(genotype))
        return self.rows[self.space.normal(genotype)] if row is None else row

    def score(self, genotype: Sequence[int], seed: int | None = None) -> float:
        """The accuracy in %: of one seed, or the mean. Raises NetlatheError for an unknown seed."""
        row = self.row(genotype)
        if seed is None:
            return float(self.mean[row])
        if not 0 <= seed < self.seeds:
            raise NetlatheError(
                f"the table of {self.space.name} has no seed {seed}",
                code="search.seed",
                hint=f"seeds: 0 to {self.seeds - 1}; none for the mean",
            )
        return float(self.scores[row, seed])

    def costs(self, genotype: Sequence[int]) -> dict[str, float]:
        """What the table knows of a genotype's cost, by name."""
        row = self.row(genotype)
        return {name: values[row].item() for name, values in self.columns.items()}

    def feasible(self, limits: Mapping[str, float]) -> NDArray[np.bool_]:
        """Which rows keep all limits, as (macs=50e6, raspi4=15.7). Raises NetlatheError for an unknown cost."""
        kept = np.ones(len(self.genotypes), bool)
        for name, most in limits.items():
            if name not in self.columns:
                raise unknown("cost", name, self.columns, code="search.cost")
            kept &= self.columns[name] <= most
        return kept


def read_arrays(path: str | Path, *fields: str) -> dict[str, NDArray[Any]]:
    """The named arrays of an .npz file. Raises NetlatheError where the file or one of them is absent."""
    path = Path(path)
    if path.is_dir():
        raise NetlatheError(f"{path} is a folder, not a table", code="search.table", hint="give the .npz file in it")
    if not path.exists():
        raise NetlatheError(f"there is no table at {path}", code="search.table")

    def choose(names: tuple[str, ...]) -> tuple[str, ...]:
        if missing := [name for name in fields if name not in names]:
            hint = f"it has {', '.join(names)}"
            raise NetlatheError(f"{path} has no {', '.join(missing)}", code="search.table", hint=hint)
        return fields

    return read_npz(path, choose, code="search.table")


def read_genotypes(array: NDArray[Any], space: SearchSpace, path: str | Path) -> tuple[Genotype, ...]:
    """The rows of an array as genotypes. Raises NetlatheError where they are not all of the space, each once."""
    genotypes = tuple(map(tuple, array.tolist()))
    if len(set(genotypes)) != space.size or any(len(row) != len(space.radices) for row in genotypes):
        raise NetlatheError(
            f"{path} has {len(set(genotypes))} networks, but {space.name} has {space.size}", code="search.table"
        )
    space.check(tuple(array.max(axis=0).tolist()))
    return genotypes


def load_macro(path: str | Path) -> TabularBenchmark:
    """NAS-Bench-Macro, 6,561 networks on CIFAR-10: test accuracy of three seeds (nas_bench_macro.npz).

    Only test accuracies exist: let a search see one seed, and report the others.
    """
    file = read_arrays(path, "arch", "test_acc", "params", "flops")
    space = spaces.get("macro")
    costs = {"macs": file["flops"], "params": file["params"]}
    return TabularBenchmark(
        space, read_genotypes(file["arch"], space, path), file["test_acc"].astype(np.float64), costs
    )


def load_nb201(path: str | Path, dataset: str = "c10", split: str = "val") -> TabularBenchmark:
    """NAS-Bench-201, 15,625 cells: accuracy after 12 epochs on c10, c100 or in16 (nas_bench_201.npz).

    A search may see the split `val`; `test` is for the report. MACs and params are of CIFAR-10, as published: they
    count the classifier's bias, one MAC a class more than ours. Raises NetlatheError for another dataset or split.
    """
    if dataset not in DATASETS:
        raise unknown("dataset", dataset, DATASETS, code="search.table")
    if split not in ("val", "test"):
        raise unknown("split", split, ("val", "test"), code="search.table")
    name = f"{dataset}_{split}_12ep"
    file = read_arrays(path, "ops", name, "params_c10", "macs_c10")
    space = spaces.get("nb201")
    costs = {"macs": file["macs_c10"], "params": file["params_c10"]}
    return TabularBenchmark(
        space, read_genotypes(file["ops"], space, path), file[name].astype(np.float64)[:, None], costs
    )


def with_latency(table: TabularBenchmark, path: str | Path, *devices: str) -> TabularBenchmark:
    """The table with latencies in ms as further costs, by device; all of the file, or those named.

    For NAS-Bench-201: nb201_latency_help.npz (27 devices; _1, _32, _256 are batch sizes; eyeriss and fpga are
    simulated). Raises NetlatheError for an unknown device, or a file of another space.
    """
    file = read_arrays(path, "ops", "devices", "latency_ms")
    measured = [str(name) for name in file["devices"]]
    for device in devices:
        if device not in measured:
            raise unknown("device", device, measured, code="search.device")
    rows = {genotype: i for i, genotype in enumerate(read_genotypes(file["ops"], table.space, path))}
    order = [rows[genotype] for genotype in table.genotypes]
    columns = {name: file["latency_ms"][order, i] for i, name in enumerate(measured) if name in devices or not devices}
    return replace(table, columns=dict(table.columns) | columns)
