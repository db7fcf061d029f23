"""Cells as values: what two cells that are one have in common."""

from __future__ import annotations

from netlathe.zoo.cells import Cell


def cell_signature(cell: Cell, *, reduces: bool) -> str:
    """A cell up to the order of summands, of blocks and of the states that leave; a skip of equal size is read through.

    Every block is said besides what leaves, so one block that is read twice is not two equal blocks.
    """
    states = ["a", "b"]
    for pair in cell.steps:
        states.append("+".join(sorted(operation_result(op, states[i], reduces and i < 2) for op, i in pair)))
    return "|".join(sorted(states[i] for i in cell.concat)) + ";" + "|".join(sorted(states[2:]))


def operation_result(operation: str, state: str, strided: bool) -> str:
    """What an operation makes of a state."""
    return f"({state})" if operation == "skip" and not strided else f"{operation}({state})"
