"""Types of tensors, and what an element of each takes in memory.

An expression says nothing of types: its tensors are in whatever precision the question names. A network that somebody
else wrote has tensors of types of its own: integers, and floats of another width than the rest. A graph names those
alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from netlathe.arch.node import Size

BITS = {
    **dict.fromkeys(("fp64", "int64", "uint64", "complex64"), 64),
    **dict.fromkeys(("fp32", "int32", "uint32"), 32),
    **dict.fromkeys(("fp16", "bf16", "int16", "uint16"), 16),
    **dict.fromkeys(("fp8", "int8", "uint8", "bool"), 8),
    **dict.fromkeys(("int4", "uint4", "fp4"), 4),
    **dict.fromkeys(("int2", "uint2"), 2),
    "complex128": 128,
}  # of an element
FLOATS = ("fp32", "fp16", "bf16")  # in which a network may be as a whole

Types: TypeAlias = Mapping[int | str, str]  # by number of a value, or name of a tensor
UNTYPED: Types = {}


def bytes_of(elements: Size, type_: str, bytes_per_element: int) -> Size:
    """What elements of a type take; those without one are in the precision of the question."""
    return (elements * BITS[type_] + 7) // 8 if type_ else elements * bytes_per_element
