"""Measures the networks of this folder with ONNX Runtime and writes results.csv.

    python3 measure.py                           # one thread, about six seconds a network
    python3 measure.py --threads 4 --seconds 15
    python3 measure.py -o other.csv

It needs Python 3.8 or newer, numpy and onnxruntime. The same command goes on where it was interrupted: what is in the
file is not measured again. README.md has the rest.
"""

# This file stands alone: it is copied to devices that have no Netlathe. The rules of its estimates are those of
# netlathe.bench.statistics; a test holds the two together, and another one to the syntax of Python 3.8.

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before anything imports ONNX Runtime, here and in child processes

import argparse
import csv
import gc
import hashlib
import json
import platform
import shutil
import signal
import subprocess
import sys
import time
from math import comb
from pathlib import Path
from statistics import median
from typing import Any, Iterable, Iterator, NamedTuple, NoReturn, Sequence  # noqa: UP035  (as in Python 3.8)

FORMAT = "netlathe.kit/1"  # of manifest.csv, and of the results
MANIFEST = ("network", "file", "sha256", "input", "shape", "type", "macs", "format")  # others may stand beside them
RESULTS = (
    *("network", "latency_ms", "runtime", "threads", "precision", "batch"),
    *("low_ms", "high_ms", "loaded_ms", "runs", "processor", "system", "runtime_version", "macs", "sha256", "kit"),
)
FOLDER = Path(__file__).resolve().parent

PROCESSES = 3  # of each network: where its memory lies and which kernels are taken stays with a process
BLOCKS, LEAST_BLOCKS = 6, 2  # of runs in a process
WARM, WARMUPS = 0.2, 3  # the share of the time that warming up lasts at least, and runs
PATIENCE = 4  # times the time of a process, after which no further block begins
WARM_MS = 20.0  # a call shorter than this loses a run of each block to caches that others have emptied
GUARD_S = 3600.0  # for a process that hangs
POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

QUIET, CACHES, RETURN_MS, CONFIDENCE = 0.1, 1.05, 0.5, 0.95


class KitError(Exception):
    """What a person has to mend, in a line or a few."""


class Run(NamedTuple):
    """One run: wall and processor time in milliseconds, and how often the system took the processor away."""

    wall_ms: float
    cpu_ms: float
    switches: int


class QuietEstimate(NamedTuple):
    """Milliseconds: the quiet estimate with its interval, the median as loaded as the device was; and all runs."""

    quiet_ms: float
    low_ms: float
    high_ms: float
    loaded_ms: float
    runs: int


# From runs to an estimate


def estimate(processes: Sequence[Sequence[Sequence[Run]]], threads: int) -> QuietEstimate:
    """The latency of the blocks of runs of several processes."""
    clean, medians, runs = True, [], 0
    for blocks in processes:
        kept = [part for block in blocks for part in [[run for run in block if undisturbed(run, threads)]] if part]
        if len(kept) < (len(blocks) + 1) // 2:
            clean, kept = False, [list(block) for block in blocks]
        medians.append(median([median([run.wall_ms for run in block]) for block in kept]))
        runs += sum(map(len, kept))
    values = [quiet_ms([run for block in blocks for run in block], threads) for blocks in processes]
    low, high = median_interval(values)
    middle = median(values)
    if not clean:  # what others do only adds: the least disturbed process is nearest
        middle, high = min(values), middle
        low = middle / CACHES - min(RETURN_MS, middle / 4)
    return QuietEstimate(middle, low, high, median(medians), runs)


def undisturbed(run: Run, threads: int) -> bool:
    """Never interrupted, or so briefly that less than a hundredth of the time is missing."""
    return run.switches == 0 or run.wall_ms - run.cpu_ms / threads < 0.01 * run.wall_ms


def quiet_ms(runs: Sequence[Run], threads: int) -> float:
    """A low quantile of the own time of runs: processor time of a thread, and what it waits when undisturbed."""
    own = [max(run.cpu_ms / threads, 1e-6) for run in runs]
    free = [runs[i].wall_ms / own[i] for i in range(len(runs)) if runs[i].switches == 0]
    waits = max(1.0, median(free)) if free else 1.0
    return quantile([min(runs[i].wall_ms, own[i] * waits) for i in range(len(runs))], QUIET)


def quantile(values: Iterable[float], share: float) -> float:
    """The value below which that share of the values lies, by linear interpolation between neighbours."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    left = min(int(place), max(len(ordered) - 2, 0))
    right = min(left + 1, len(ordered) - 1)
    return ordered[left] + (ordered[right] - ordered[left]) * (place - left)


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """The narrowest pair of k-th smallest and k-th largest value that holds the median with 95 %; else the range."""
    ordered, n = sorted(values), len(values)
    outside, cut = 0.0, 0
    for k in range((n + 1) // 2):
        outside += 2 * comb(n, k) / 2**n
        if outside > 1 - CONFIDENCE:
            break
        cut = k
    return ordered[cut], ordered[n - 1 - cut]


# The process that holds a network


def work(row: dict[str, str], threads: int, seconds: float) -> None:
    """Load a network of the manifest, warm up, run blocks; print them as one line of JSON."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
    settings.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    settings.log_severity_level = 3
    settings.add_session_config_entry("session.set_denormal_as_zero", "1")
    session = onnxruntime.InferenceSession(str(FOLDER / row["file"]), settings, providers=["CPUExecutionProvider"])
    feed = {row["input"]: smooth_input([int(side) for side in row["shape"].split("x")]).astype(row["type"])}
    gc.disable()
    start = time.perf_counter()
    warm = list(timed_runs(session, feed, threads, WARM * seconds, WARMUPS))
    short = min(run.wall_ms for run in warm) < WARM_MS
    blocks: list[list[Run]] = []
    while len(blocks) < BLOCKS:
        if len(blocks) >= LEAST_BLOCKS and time.perf_counter() - start > PATIENCE * seconds:
            break
        if short:
            list(timed_runs(session, feed, threads, 0, 1))
        blocks.append(list(timed_runs(session, feed, threads, (1 - WARM) * seconds / BLOCKS, 1)))
    print(json.dumps(blocks), flush=True)


def timed_runs(session: Any, feed: dict[str, Any], threads: int, seconds: float, least: int) -> Iterator[Run]:
    """Single runs, for some time and at least so many."""
    end, done = time.perf_counter() + seconds, 0
    while done < least or time.perf_counter() < end:
        switches, cpu, wall = count_switches(), time.process_time_ns(), time.perf_counter_ns()
        session.run(None, feed)
        wall, cpu = time.perf_counter_ns() - wall, time.process_time_ns() - cpu
        yield Run(wall / 1e6, cpu / 1e6 if resource else threads * wall / 1e6, count_switches() - switches)
        done += 1


try:
    import resource
except ImportError:  # Windows counts no switches, and processor time in steps of 16 ms: wall time is all there is
    resource = None  # type: ignore[assignment]


def count_switches() -> int:
    """How often the system took the processor away from this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw if resource else 0


def smooth_input(shape: Sequence[int]) -> Any:
    """A fixed image-like input: waves whose amplitude falls with their frequency. Noise gives denormal numbers."""
    import numpy as np

    steps = [np.arange(n, dtype=np.float32) / max(n, 1) for n in shape]
    x = np.zeros(shape, np.float32)
    for wave in (1, 2, 4, 8):
        phase: Any = 0.0
        for axis, step in enumerate(steps):
            along = [-1 if i == axis else 1 for i in range(len(shape))]
            phase = phase + (wave * (0.7 + 0.3 * axis) * step).reshape(along)
        x += np.cos(2 * np.pi * phase).astype(np.float32) / np.float32(wave)
    return x


# The process that a person starts


def measure(row: dict[str, str], threads: int, seconds: float) -> QuietEstimate:
    """The latency of a network, from fresh processes. Raises KitError with what one of them died of."""
    return estimate([run_worker(row, threads, seconds / PROCESSES) for _ in range(PROCESSES)], threads)


def run_worker(row: dict[str, str], threads: int, seconds: float) -> list[list[Run]]:
    """The blocks that `work` prints in a process of its own. Raises KitError where it prints none."""
    flags = {"-I": sys.flags.isolated, "-E": sys.flags.ignore_environment, "-S": sys.flags.no_site}
    command = [sys.executable, *(flag for flag, on in flags.items() if on), str(Path(__file__).resolve())]
    command += ["--worker", json.dumps(row), str(threads), str(seconds)]
    environment = dict(os.environ, **dict.fromkeys(POOLS, str(threads)))
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    try:
        out, err = child.communicate(timeout=GUARD_S)
    except subprocess.TimeoutExpired:
        raise KitError(f"no answer within {GUARD_S:g} s") from None
    finally:
        child.kill()
        child.wait()
    if child.returncode:
        lines = err.decode("utf-8", "replace").strip().splitlines()
        raise KitError(lines[-1] if lines else f"its process died ({child.returncode}): the memory may be too little")
    return [[Run(*run) for run in block] for block in json.loads(out.decode().splitlines()[-1])]


def read_manifest() -> list[dict[str, str]]:
    """The rows of manifest.csv. Raises KitError where it is damaged, or of another version than this file."""
    _, rows = read_table(FOLDER / "manifest.csv")
    again = "copy the whole folder of one kit again"
    for row in rows:
        if "format" in row and row["format"] != FORMAT:
            raise KitError(f"manifest.csv is {row['format'] or 'torn'}, but this measure.py reads {FORMAT}: {again}")
        if lacking := [name for name in MANIFEST if not row.get(name)]:
            raise KitError(f"manifest.csv is incomplete, it lacks {', '.join(lacking)}: {again}")
    if not rows:
        raise KitError(f"manifest.csv lists no network: {again}")
    return rows


def check_files(rows: Sequence[dict[str, str]]) -> None:
    """Raise KitError with every file that is absent, or differs from the manifest."""
    faults = []
    for row in rows:
        try:
            digest = hashlib.sha256((FOLDER / row["file"]).read_bytes()).hexdigest()
        except OSError as error:
            faults.append(f"{row['file']}: {error.strerror}")
            continue
        if digest != row["sha256"]:
            faults.append(f"{row['file']}: its sha256 is {digest[:12]}..., not {row['sha256'][:12]}...")
    if faults:
        raise KitError("\n  ".join(["these files are not those of manifest.csv, copy them again:", *faults]))


def read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows of a CSV file; cells that are not there are empty. Raises KitError."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, restval="", strict=True)
            return list(reader.fieldnames or ()), list(reader)
    except OSError as error:
        raise KitError(f"cannot read {path}: {error.strerror}") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise KitError(f"{path} is damaged: {error}") from None


def open_results(path: Path, rows: Sequence[dict[str, str]], device: dict[str, str]) -> set[tuple[str, str]]:
    """(network, threads) of all that is in the results; a file that is not there begins with its columns.

    A last line without an end is of a run that was killed: it is cut off. Raises KitError for a file of something else,
    of another device or runtime, or of another kit.
    """
    try:
        content = path.read_bytes() if path.exists() else b""
        complete = content[: content.rfind(b"\n") + 1]
        if complete != content:
            print(f"the last line of {path} is incomplete, it is measured again", file=sys.stderr)
            with path.open("r+b") as file:
                file.truncate(len(complete))
        if not complete:
            add_line(path, RESULTS)
    except OSError as error:
        raise KitError(f"cannot write {path}: {error.strerror}") from None
    other = "give another file with -o"
    files = {row["network"]: row["sha256"] for row in rows}
    columns, results = read_table(path)
    if columns != list(RESULTS):
        raise KitError(f"{path} has other columns than the results of {FORMAT}: {other}")
    for i, row in enumerate(results, 2):
        if row["kit"] != FORMAT:
            raise KitError(f"{path}, line {i}: this is no line of {FORMAT}: remove it, or {other}")
        for name, value in device.items():
            if name != "system" and row[name] != value:
                raise KitError(f"{path}, line {i}: measured with {name} {row[name]!r}, here it is {value!r}: {other}")
        if files.get(row["network"], row["sha256"]) != row["sha256"]:
            raise KitError(f"{path}, line {i}: {row['network']} was another file, that of another kit: {other}")
    return {(row["network"], row["threads"]) for row in results}


def add_line(path: Path, values: Sequence[Any]) -> None:
    """Add a line, and wait until it is on the disk."""
    with path.open("a", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerow(values)
        file.flush()
        os.fsync(file.fileno())


def describe_device(version: str) -> dict[str, str]:
    """What is measured on: processor (with the board or phone, where the system knows it), system, runtime version."""
    names = [*ask("getprop", "ro.product.model"), *ask("getprop", "ro.soc.model")]  # Android
    names += [read_text("/sys/firmware/devicetree/base/model")]  # boards, such as Raspberry Pi
    cpu = [line.partition(":")[2] for line in read_text("/proc/cpuinfo").splitlines() if line.startswith("model name")]
    names += cpu[:1] or ask("sysctl", "-n", "machdep.cpu.brand_string")  # macOS
    clean = [" ".join(name.replace("\0", " ").split()) for name in names]
    processor = ", ".join(dict.fromkeys(filter(None, clean))) or platform.processor() or platform.machine()
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    return {"processor": processor, "system": system, "runtime_version": version}


def ask(*command: str) -> list[str]:
    """What a tool prints, where there is such a tool."""
    if shutil.which(command[0]) is None:
        return []
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=10, check=False)
    return [done.stdout.decode("utf-8", "replace").strip()]


def read_text(path: str) -> str:
    """A text of the system, empty where there is none."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def main() -> int:
    """Measure what is not in the results yet: 0 all, 1 some networks failed, 2 a mistake, 130 interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="that ONNX Runtime uses (default: 1)")
    parser.add_argument("--seconds", type=float, default=6.0, help="of measuring each network (default: 6)")
    parser.add_argument("-o", "--output", type=Path, default=FOLDER / "results.csv", help="default: results.csv here")
    options = parser.parse_args()
    if options.threads < 1 or not 0 < options.seconds < 1e5:
        parser.error("--threads and --seconds must be positive")
    signal.signal(signal.SIGTERM, interrupt)
    try:
        return measure_all(options.threads, options.seconds, options.output)
    except KitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\ninterrupted: what is done is in {options.output}, the same command goes on", file=sys.stderr)
        return 130


def interrupt(*_: object) -> NoReturn:
    """SIGTERM ends this as Ctrl-C does."""
    raise KeyboardInterrupt


def measure_all(threads: int, seconds: float, output: Path) -> int:
    """Measure what is not in the results yet; 1 where a network failed, else 0. Raises KitError."""
    rows = read_manifest()
    check_files(rows)
    try:
        import onnxruntime
    except ImportError as error:
        raise KitError(f"{error}\n  python3 -m pip install numpy onnxruntime") from None
    device = describe_device(onnxruntime.__version__)
    done = open_results(output, rows, device)
    print(f"{device['processor']}, {device['system']}, ONNX Runtime {device['runtime_version']}")
    failures = 0
    for i, row in enumerate(rows, 1):
        title = f"{i:3} of {len(rows)}  {row['network']:32}"
        if (row["network"], str(threads)) in done:
            print(f"{title} done before")
            continue
        print(title, end=" ", flush=True)
        try:
            result = measure(row, threads, seconds)
        except KitError as error:
            failures += 1
            print(f"failed: {error}")
            continue
        quiet, low, high, loaded = (f"{value:.5g}" for value in result[:4])
        ways = ("onnxruntime", threads, "fp32", 1)
        facts = (device["processor"], device["system"], device["runtime_version"], row["macs"], row["sha256"], FORMAT)
        add_line(output, (row["network"], quiet, *ways, low, high, loaded, result.runs, *facts))
        print(f"{quiet} ms ({low} to {high}), as loaded {loaded}, {result.runs} runs")
    print(f"{len(rows) - failures} of {len(rows)} networks are in {output}")
    return 1 if failures else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(json.loads(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
    else:
        sys.exit(main())
