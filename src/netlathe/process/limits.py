"""What a process may use, and the limits of the operating system that hold it to that."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from typing import NamedTuple


class Limits(NamedTuple):
    """What a process may use; None: as much as there is."""

    memory: int | None = None  # bytes of address space, with all files that it maps
    cpu_seconds: int | None = None
    file_bytes: int | None = None  # in any file that it writes
    data: int | None = None  # bytes of memory of its own: heaps and stacks
    processes: int | None = None  # and threads, of this user in all: 0 starts no more. Linux holds root to no number


KINDS = (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE, resource.RLIMIT_DATA, resource.RLIMIT_NPROC)


def set_limits(limits: Limits) -> None:
    """Limit this process from now on; what it has used already counts, and stays its own."""
    for kind, limit in zip(KINDS, limits, strict=True):
        if limit is not None:
            _, most = resource.getrlimit(kind)
            value = limit if most == resource.RLIM_INFINITY else min(limit, most)
            with suppress(ValueError):  # macOS refuses limits of memory below what it maps for every process
                resource.setrlimit(kind, (value, value))


def machine_memory() -> Limits:
    """No more memory than the machine has: what asks for more gets an error there, and the machine does not swap."""
    return Limits(data=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
