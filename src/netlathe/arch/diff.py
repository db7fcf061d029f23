"""diff(): what a rewrite changed, operator by operator, as a person reads it.

Operators are compared by path. Blocks of a stage that change alike are one line: stage3.block[1-6].process.conv.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from netlathe.arch.graph import Graph, Op
from netlathe.arch.node import Shape

NUMBER = re.compile(r"\bblock(\d+)")


class Change(NamedTuple):
    """Operators that were added (`before` is empty), removed (`after` is empty) or changed, and what that costs."""

    path: str
    before: str
    after: str
    ops: int
    params: int
    macs: int

    @property
    def sign(self) -> str:
        """+ added, - removed, ~ changed."""
        return "~" if self.before and self.after else "+" if self.after else "-"

    def __str__(self) -> str:
        what = " -> ".join(filter(None, (self.before, self.after)))
        return f"{self.sign} {self.path}: {what}"


class Diff(NamedTuple):
    """All changes, and the cost of operators that stay but see other shapes or channels."""

    changes: tuple[Change, ...]
    elsewhere: Change  # operators that are the same leaf with another cost

    def __bool__(self) -> bool:
        return bool(self.changes) or self.elsewhere.ops > 0

    def __str__(self) -> str:
        rest = self.elsewhere
        end = [f"  {rest.ops} more operators see other shapes"] if rest.ops else []
        return "\n".join([*map(str, self.changes), *end]) or "no difference"


def op_text(op: Op | None) -> str:
    """An operator as its leaf is written, or by kind where it was read from elsewhere."""
    return "" if op is None else str(op.leaf) if op.leaf is not None else f"{op.form} {op.kind}".strip()


def diff(a: Graph, b: Graph) -> Diff:
    """What turns the network read as `a` into the one read as `b`; costs are those of b less those of a."""
    old, new = ({op.path: op for op in graph.ops} for graph in (a, b))
    groups: dict[tuple[str, str, str], list[tuple[str, int, int]]] = {}
    others: list[tuple[int, int]] = []
    for path in merge_order(list(old), list(new)):
        before, after = old.get(path), new.get(path)
        params = (after.params if after else 0) - (before.params if before else 0)
        macs = (after.macs if after else 0) - (before.macs if before else 0)
        if op_text(before) != op_text(after):
            key = (NUMBER.sub("block*", path), op_text(before), op_text(after))
            groups.setdefault(key, []).append((path, params, macs))
        elif before is not None and after is not None and shapes(before) != shapes(after):
            others.append((params, macs))
    changes = tuple(
        Change(
            join_paths([path for path, *_ in rows]), before, after, len(rows), *sum_costs((p, m) for _, p, m in rows)
        )
        for (_, before, after), rows in groups.items()
    )
    return Diff(changes, Change("", "", "", len(others), *sum_costs(others)))


def shapes(op: Op) -> tuple[tuple[Shape, ...], Shape, dict[str, Shape]]:
    """What an operator reads, writes and holds."""
    return op.in_shapes, op.out_shape, op.weights


def sum_costs(rows: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Params and MACs together."""
    pairs = list(rows)
    return sum(p for p, _ in pairs), sum(m for _, m in pairs)


def merge_order(old: list[str], new: list[str]) -> list[str]:
    """The paths of both in order of execution; what goes stands before what comes in its place."""
    old_paths, stays = set(old), set(new)
    result: list[str] = []
    i = 0
    for path in new:
        while i < len(old) and old[i] not in stays:
            result.append(old[i])
            i += 1
        result.append(path)
        i += path in old_paths
    return [*result, *(path for path in old[i:] if path not in stays)]


def join_paths(paths: list[str]) -> str:
    """One path for operators that differ in the number of their block: block[1-3], block[2,4]."""
    if len(paths) == 1 or not NUMBER.search(paths[0]):
        return paths[0]
    numbers = sorted({int(NUMBER.findall(path)[0]) for path in paths})
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    spans = ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
    return NUMBER.sub(f"block[{spans}]", paths[0], count=1)
