"""This machine: what identifies it in a measurement, and how busy others keep it."""

from __future__ import annotations

import hashlib
import platform
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

from netlathe.process.start import ask_tool

# Instruction sets that decide which kernels a runtime takes.
FLAGS = {
    "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8",
    "asimd", "asimddp", "i8mm", "bf16", "sve", "sve2",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Machine:
    """Processor, memory and system. Equal machines have equal ids, whatever their names on the network."""

    cpu: str
    cores: int  # logical
    physical_cores: int
    flags: tuple[str, ...]
    memory_bytes: int
    system: str

    @property
    def id(self) -> str:
        """A short hash of processor, cores, memory in GiB and system."""
        identity = (
            self.cpu,
            self.cores,
            self.physical_cores,
            self.flags,
            round(self.memory_bytes / 2**30),
            self.system,
        )
        return hashlib.sha256(repr(identity).encode()).hexdigest()[:8]


@cache
def this_machine() -> Machine:
    """The machine that this process runs on."""
    cpu, flags = read_processor()
    cores = psutil.cpu_count() or 1
    return Machine(
        cpu=cpu,
        cores=cores,
        physical_cores=psutil.cpu_count(logical=False) or cores,
        flags=tuple(sorted(FLAGS & flags)),
        memory_bytes=psutil.virtual_memory().total,
        system=f"{platform.system()} {platform.machine()}",
    )


def read_processor() -> tuple[str, set[str]]:
    """Name of the processor and its flags, as far as the system tells."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return read_apple_processor() or platform.processor() or platform.machine(), set()
    name = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", text, re.M)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.M)
    return name[1].strip() if name else platform.machine(), set(flags[1].split()) if flags else set()


def read_apple_processor() -> str:
    """Name of the processor on macOS, else nothing."""
    return ask_tool("sysctl", "-n", "machdep.cpu.brand_string", timeout=5)


class ForeignLoad:
    """Processor time that others use while `watch` runs, in cores: the machine's busy time less our own, over time."""

    def __init__(self) -> None:
        self.seconds = self.foreign = 0.0

    def watch(self, work: Callable[[], float]) -> None:
        """Run `work`, which gives the processor seconds that processes of ours spent on it."""
        wall, busy, own = time.perf_counter(), busy_seconds(), time.process_time()
        others_of_ours = work()
        self.foreign += busy_seconds() - busy - (time.process_time() - own) - others_of_ours
        self.seconds += time.perf_counter() - wall

    @property
    def cores(self) -> float:
        """Cores that others kept busy on average, over everything watched so far."""
        return max(0.0, self.foreign / self.seconds) if self.seconds else 0.0


def busy_seconds() -> float:
    """Processor time that this machine has spent on anything, and what its host took away (steal), in seconds."""
    times = psutil.cpu_times()._asdict()
    counted = ("user", "system", "nice", "irq", "softirq", "steal")  # guest time is part of user
    return sum(float(times.get(name, 0)) for name in counted)
