"""Write docs/conformance.md: every network with a twin in timm or torchvision, counts of both sides, error of outputs.

    python benchmarks/conformance.py [PATTERN]     only the networks that match; without it all, about half an hour

The counts of the other side are those of its own forward on meta tensors (`read.torch`), at the registered resolution.
The error is that of our ONNX file against the module, both with the module's random weights and statistics.
"""

from __future__ import annotations

import re
import sys
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "conformance.md"
sys.path.insert(0, str(ROOT / "tests"))

from netlathe.cost.totals import totals  # noqa: E402
from netlathe.lower.libraries import LIBRARIES, import_library  # noqa: E402
from netlathe.lower.pretrained import TOLERANCE, from_module  # noqa: E402
from netlathe.lower.twins import Twin, build_twin, twins  # noqa: E402
from netlathe.read.torch import read_module  # noqa: E402
from netlathe.testing import randomise, smallest  # noqa: E402

HEAD = """# Conformance: the networks that other libraries have too

Every registered network with a twin in timm {timm} or torchvision {torchvision}. Parameters and MACs are ours from the
expression and the twin's from its own forward, traced on meta tensors: equal, all of them, to the last digit. The twin
then gets random weights and statistics, its tensors are brought into the expression (`netlathe.weights.from_module`),
and `error` is the largest difference between the output of our ONNX file in ONNX Runtime and the module's, in units of
the largest output, on a random image of `at` pixels. The law is 1e-4. Written by `benchmarks/conformance.py`.

| network | twin | params | its params | MACs | its MACs | tensors | error | at |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
"""


def row(twin: Twin) -> str:
    """A line of the table."""
    network = twin.build_network()
    ours = totals(network.body, network.input)
    counted = read_module(build_twin(twin, network), network.input).graph.ops
    theirs = sum(op.params for op in counted), sum(op.macs for op in counted)
    assert theirs == (ours.params, ours.macs), (twin, theirs, ours)
    tiny = smallest(network)
    module = build_twin(twin, tiny)
    randomise(module)
    loaded = from_module(module, tiny)
    assert loaded.error is not None
    assert loaded.error <= TOLERANCE
    cells = (f"{ours.params:,}", f"{theirs[0]:,}", f"{ours.macs:,}", f"{theirs[1]:,}", f"{len(loaded.tensors):,}")
    name = f"{twin.library} {twin.name}"
    return f"| {twin.network} | {name} | {' | '.join(cells)} | {loaded.error:.1e} | {tiny.input[-1]} |"


def rows() -> dict[tuple[str, str], str]:
    """The lines of the page by network and twin."""
    if not PAGE.exists():
        return {}
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if re.match(r"\| \w+", line)]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {(cell[0], cell[1]): line for cell, line in zip(cells, lines, strict=True) if cell[0] != "network"}


def main(pattern: str = "*") -> None:
    known = rows()
    for twin in twins():
        if fnmatchcase(twin.network, pattern):
            line = row(twin)
            known[twin.network, f"{twin.library} {twin.name}"] = line
            print(line, flush=True)
    page = HEAD.format(**{name: import_library(name).__version__.partition("+")[0] for name in LIBRARIES})
    order = [(twin.network, f"{twin.library} {twin.name}") for twin in twins()]
    PAGE.write_text(page + "\n".join(known[key] for key in order if key in known) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
