"""Spoilt inputs for every reader, as many as you like: no crash, no hang, no gigabyte.

    python benchmarks/fuzz_readers.py --inputs 100000 --seed 0
    python benchmarks/fuzz_readers.py --readers onnx,net --minutes 10
    python benchmarks/fuzz_readers.py --atheris onnx --minutes 10       # pip install atheris

The readers, their valid inputs and what spoils them are rows of tests/fuzzed.py. Inputs are read in batches, each in a
process of its own under limits. Each row of the table is a reader:

    inputs    how many were read
    taken     a reader took it; the others were refused as a mistake that is named
    crashes   anything else: another exception, a signal, exit code 1 of a command
    hangs     more than 10 s of processor time, or two minutes without an end
    memory    more than 1 GB beyond what the process has before it

Exit code 1 unless the last three are zero. An input that fails is written into --folder, with the line that repeats it.
With --atheris, Google's coverage-guided fuzzer makes the inputs of one reader, without batches.
"""

from __future__ import annotations

import argparse
import os
import resource
import select
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
BATCH = 250
HANG_CPU_S, HANG_S = 10.0, 120.0
MEMORY = 10**9
COLUMNS = ("inputs", "taken", "crashes", "hangs", "memory")
FAILURES = COLUMNS[2:]


class Failure(NamedTuple):
    """An input that a reader did not survive: its number, the column that it counts in, and what happened."""

    number: int
    column: str
    what: str


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    if options.atheris:
        return run_atheris(options.atheris, int(60 * options.minutes) or 60)
    from fuzzed import READERS

    names = options.readers.split(",") if options.readers else list(READERS)
    if unknown := [name for name in names if name not in READERS]:
        raise SystemExit(f"{unknown[0]!r} is none of {', '.join(READERS)}")
    for name in names:
        warm(name)
    folder = Path(options.folder or tempfile.mkdtemp(prefix="fuzz-"))
    counts = {name: Counter[str]() for name in names}
    start, first = time.monotonic(), options.first
    share = -(-options.inputs // len(names))
    while first < options.first + share:
        if options.minutes and time.monotonic() - start > 60 * options.minutes:
            break
        last = min(first + BATCH, options.first + share)
        for name in names:
            for failure in read_batch(name, options.seed, first, last, counts[name]):
                counts[name][failure.column] += 1
                show_failure(name, options.seed, failure, folder)
        first = last
    show_table(counts, time.monotonic() - start)
    return int(any(row[column] for row in counts.values() for column in FAILURES))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000, help="of all readers together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input of each reader")
    parser.add_argument("--minutes", type=float, default=0.0, help="begin no round after so many")
    parser.add_argument("--readers", metavar="A,B", help="default: all")
    parser.add_argument("--folder", help="of the inputs that fail; default: a temporary folder")
    parser.add_argument("--atheris", metavar="READER", help="one reader under atheris")
    return parser.parse_args(arguments)


def spoilt_input(name: str, seed: int, number: int) -> bytes:
    """The input of a number: the same wherever and whenever it is asked for."""
    from fuzzed import READERS

    return READERS[name].spoilt(Random(f"{name} {seed} {number}"))


def warm(name: str) -> None:
    """Import what a reader imports, by valid inputs, so that every batch starts with it."""
    from fuzzed import READERS, survives

    for data in READERS[name].seeds():
        survives(name, data)


def read_batch(name: str, seed: int, first: int, last: int, counts: Counter[str]) -> list[Failure]:
    """Read inputs in processes of their own, a new one after each that died. What failed."""
    failures = []
    while first < last:
        number, failure, taken, raised = read_until_death(name, seed, first, last)
        failures += raised
        counts.update(inputs=number - first, taken=taken)
        if failure is not None:
            failures.append(failure)
        first = number
    return failures


def read_until_death(name: str, seed: int, first: int, last: int) -> tuple[int, Failure | None, int, list[Failure]]:
    """Read inputs in one process: the first number that it did not read, how it died, and what it reported."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            read_inputs(name, seed, first, last, writing)
        finally:
            os._exit(0)
    os.close(writing)
    number, taken, raised = first, 0, []
    with os.fdopen(reading, "rb") as reports:
        while select.select([reports], [], [], HANG_S)[0]:
            head = reports.read(9)
            if len(head) < 9:
                break
            kind, length = chr(head[0]), int.from_bytes(head[1:], "big")
            text = reports.read(length).decode(errors="replace")
            taken += kind == "t"
            if kind not in "tr":
                raised.append(Failure(number, {"c": "crashes", "m": "memory"}[kind], text))
            number += 1
        else:
            os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if number >= last:
        return number, None, taken, raised
    return number + 1, Failure(number, *describe_death(status)), taken, raised


def describe_death(status: int) -> tuple[str, str]:
    """The column of the table for how a process died, and the words."""
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGPROF:
        return "hangs", f"more than {HANG_CPU_S:g} s of processor time"
    if code == -signal.SIGKILL:
        return "hangs", f"no end within {HANG_S:g} s"
    return "crashes", f"killed by {signal.Signals(-code).name}" if code < 0 else f"left with code {code}"


def read_inputs(name: str, seed: int, first: int, last: int, reports: int) -> None:
    """In the process: read inputs under limits, and report each: taken, refused, or crashed and how."""
    from fuzzed import survives

    warnings.simplefilter("ignore")
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    for number in range(first, last):
        data = spoilt_input(name, seed, number)
        signal.setitimer(signal.ITIMER_PROF, HANG_CPU_S)
        kind, text = "r", ""
        try:
            kind = "t" if survives(name, data) else "r"
        except MemoryError:
            kind, text = "m", traceback.format_exc()
        except BaseException:
            kind, text = "c", traceback.format_exc()
        signal.setitimer(signal.ITIMER_PROF, 0)
        content = text.encode(errors="replace")[-4000:]
        os.write(reports, kind.encode() + struct.pack(">Q", len(content)) + content)


def show_failure(name: str, seed: int, failure: Failure, folder: Path) -> None:
    """What went wrong, and how to repeat it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{seed}-{failure.number}"
    path.write_bytes(spoilt_input(name, seed, failure.number))
    lines = failure.what.encode(errors="backslashreplace").decode().strip().splitlines()
    print(f"\n{failure.column}: {name}, input {failure.number}, {path}")
    print("".join(f"  {ascii(line)[1:-1][:200]}\n" for line in lines[-7:]), end="")
    words = f"--readers {name} --seed {seed} --first {failure.number} --inputs 1"
    print(f"  repeat: python benchmarks/fuzz_readers.py {words}", flush=True)


def show_table(counts: dict[str, Counter[str]], seconds: float) -> None:
    """A row a reader, and the sum."""
    total: Counter[str] = Counter()
    for row in counts.values():
        total.update(row)
    print(f"\n{'reader':<16}", *(f"{name:>9}" for name in COLUMNS))
    for name, row in [*counts.items(), ("all", total)]:
        print(f"{name:<16}", *(f"{row[column]:>9}" for column in COLUMNS))
    print(f"\n{seconds / 60:.0f} min, load {os.getloadavg()[1]:.1f}")


def run_atheris(name: str, seconds: int) -> int:
    """Fuzz one reader with atheris; libFuzzer prints what it covers, and ends with the input where one fails."""
    import atheris

    with atheris.instrument_imports(include=["netlathe"]):
        from fuzzed import READERS, survives
    with tempfile.TemporaryDirectory() as folder:
        for i, data in enumerate(READERS[name].seeds()):
            Path(folder, f"seed{i}").write_bytes(data)
        limits = ["-timeout=10", "-rss_limit_mb=4096", "-max_len=65536"]
        atheris.Setup([sys.argv[0], folder, f"-max_total_time={seconds}", *limits], lambda data: survives(name, data))
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
