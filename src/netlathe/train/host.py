"""The machine under a training: memory that stays with the process, and cores that nobody else uses."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h
NEVER = 2**31 - 1
DEFAULTS = {M_TRIM_THRESHOLD: 128 * 1024, M_MMAP_MAX: 65536}


@contextmanager
def keep_freed_memory() -> Iterator[bool]:
    """While it lasts, freed memory stays with the process; afterwards it is given back. True where libc is glibc.

    glibc gives large blocks back at once and gets new ones from the kernel, zeroed page by page: 23,000 to 33,000 page
    faults in a step of ResNet-18 (96 px, batch 64), a tenth of its time. Elsewhere (musl, macOS, Windows) nothing
    changes and False is given: no result depends on it. https://man7.org/linux/man-pages/man3/mallopt.3.html
    """
    if platform.libc_ver()[0] != "glibc":
        yield False
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, NEVER)
    try:
        yield True
    finally:
        for option, value in DEFAULTS.items():
            libc.mallopt(option, value)
        libc.malloc_trim(0)


def idle_cores(seconds: float = 0.3) -> int:
    """Cores of this process that nobody used for so many seconds, at least 1: how many threads a training may take.

    More threads than idle cores are slower than one, by up to four times: the others wait, busily, for the one that
    does not run (MobileNetV2 at 64 px on 2 cores with 6 other processes: 1.1 to 1.4 s a step on two threads, 0.3 on
    one).
    """
    busy = psutil.cpu_percent(seconds, percpu=True)
    affinity = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(busy))
    idle: float = sum(1 - busy[core] / 100 for core in affinity if core < len(busy))
    return max(1, round(idle))
