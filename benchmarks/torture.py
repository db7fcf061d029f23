"""Kills and faults at random moments over all long jobs: nothing may be lost, differ, stay behind or be unclear.

    python benchmarks/torture.py --attempts 300 --seed 0
    python benchmarks/torture.py --jobs train,search --faults "SIGKILL to all" --minutes 5
    python benchmarks/torture.py --list

An attempt draws a job of torture_jobs.py and a fault of torture_faults.py, disturbs the job, lets its own command end
it, and compares with a run that nobody disturbed. Each row of the table is a job and a kind of fault:

    attempts    histories of a job, each with one fault
    kills       signals that reached a living process: up to five in an attempt
    lost        the command did not end afterwards, or a record that was there is gone
    differing   it ended with another result: weights by hash, metrics, trials
    orphans     processes that are alive after the last command has ended
    leftovers   files and folders in the temporary folder and home, and files that were never renamed into place
    unclear     tracebacks, "this is a bug", exit codes that are not documented
    frozen      no end within three minutes

Exit code 1 unless all are zero. A failure is printed with the command that repeats its draws, and its folder is kept.
"""

from __future__ import annotations

import argparse
import os
import random
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torture_faults import FAULTS, KILLS
from torture_jobs import JOBS, Job
from torture_stage import Stage, Undisturbed, Watcher, size_of, wait_until

COLUMNS = ("attempts", "kills", "lost", "differing", "orphans", "leftovers", "unclear", "frozen")
FAILURES = COLUMNS[2:]


def main(arguments: Sequence[str] | None = None) -> int:
    # A background job of a shell is deaf to Ctrl-C, and so would be the commands that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    options = parse(arguments)
    if options.list:
        print("jobs:  ", *JOBS, sep="\n  ")
        print("faults:", *(f"{name}  {fault.here()}" for name, fault in FAULTS.items()), sep="\n  ")
        return 0
    folder = Path(options.folder or tempfile.mkdtemp(prefix="torture-"))
    materials = make_materials(folder / "materials", options.jobs)
    usual: dict[str, Undisturbed] = {}
    broken: set[str] = set()  # jobs that fail when nobody disturbs them
    counts: dict[tuple[str, str], Counter[str]] = {}
    faults = [name for name in options.faults if not FAULTS[name].here()]
    for name in set(options.faults) - set(faults):
        print(f"left out: {name}: {FAULTS[name].here()}")
    start = time.monotonic()
    for number in range(options.first, options.first + options.attempts):
        if options.minutes and time.monotonic() - start > 60 * options.minutes:
            break
        job, fault = draw(options.seed, number, options.jobs, faults)
        if job in broken:
            continue
        if job not in usual:
            try:
                usual[job] = run_undisturbed(folder / f"{job}-undisturbed", JOBS[job], materials)
            except RuntimeError as error:
                print(f"\n{job} does not run: {error}\n", flush=True)
                broken.add(job)
                counts[job, "none"] = Counter(attempts=1, lost=1)
                continue
            print(f"{job}, undisturbed: {usual[job].seconds:.1f} s, {usual[job].changes} changes of files", flush=True)
        stage = Stage(folder / f"{number}-{job}", JOBS[job], materials, f"{options.seed} {number}", usual[job])
        failures = attempt(stage, fault)
        row = counts.setdefault((job, "signals" if fault in KILLS else fault), Counter())
        row.update(attempts=1, kills=stage.kills, **{name: len(said) for name, said in failures.items()})
        if any(failures.values()):
            show_failure(stage, options.seed, number, job, fault, failures)
        elif not options.keep:
            shutil.rmtree(stage.folder)
    show_table(counts, time.monotonic() - start)
    failed = sum(row[name] for row in counts.values() for name in FAILURES)
    if not failed and not options.folder and not options.keep:
        shutil.rmtree(folder)
    return int(failed > 0)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attempts", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first attempt")
    parser.add_argument("--minutes", type=float, default=0.0, help="begin no attempt after so many")
    parser.add_argument("--jobs", type=names_of(JOBS), default=list(JOBS), metavar="A,B")
    parser.add_argument("--faults", type=names_of(FAULTS), default=list(FAULTS), metavar="A;B")
    parser.add_argument("--folder", help="default: a temporary folder")
    parser.add_argument("--keep", action="store_true", help="keep the folders of attempts that went well")
    parser.add_argument("--list", action="store_true", help="the names of jobs and faults")
    return parser.parse_args(arguments)


def names_of(table: dict[str, Any]) -> Any:
    """A type of argparse: names of a table, divided by commas or semicolons."""

    def parse_names(text: str) -> list[str]:
        if text in table:
            return [text]
        names = [name.strip() for name in text.split(";" if ";" in text else ",")]
        if unknown := [name for name in names if name not in table]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(table)}")
        return names

    return parse_names


def draw(seed: int, number: int, jobs: Sequence[str], faults: Sequence[str]) -> tuple[str, str]:
    """The job and the fault of an attempt, each by its share."""
    dice = random.Random(f"draw {seed} {number}")
    job = dice.choices(jobs, [JOBS[name].share for name in jobs])[0]
    return job, dice.choices(faults, [FAULTS[name].share for name in faults])[0]


def make_materials(folder: Path, jobs: Sequence[str]) -> Path:
    """What these jobs read: images, a cache with the card of this machine, a package to quantise."""
    folder.mkdir(parents=True, exist_ok=True)
    images = folder / "images.npz"
    if not images.exists():
        noise = np.random.default_rng(1)
        labels = np.arange(200) % 3
        pixels = noise.integers(0, 90, (200, 32, 32, 3), np.uint8)
        for image, label in zip(pixels, labels, strict=True):
            start = noise.integers(0, 4)
            image[start::4] += np.uint8(80 * (label != 0))
            image[:, start::4] += np.uint8(80 * (label != 1))
        np.savez(images, images=pixels, labels=labels)
    write_own_card(folder / "cache")
    if not (folder / "package").exists() and any("{package}" in JOBS[name].words for name in jobs):
        run_undisturbed(folder / "fit", JOBS["fit"], folder)
        (folder / "fit" / "out").rename(folder / "package")
    return folder


def write_own_card(cache: Path) -> None:
    """A card of this machine that nobody measured: `choose` predicts with it and measures what it chooses."""
    from netlathe.bench.own_card import own_card_path
    from netlathe.device.card import DeviceCard, ErrorBar, Model, save

    os.environ["NETLATHE_CACHE"] = str(cache)
    table = {"*.macs": 10.0, "*.read": 0.1, "*.write": 0.1, "*.weights": 0.1, "*.calls": 0.01}
    model = Model("onnxruntime", "2026-01-01", 9, table, ErrorBar(0.5, 1.0, 0.2, 5.0))
    path = own_card_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    save(DeviceCard(path.stem, "torture", "server cpu", "2026-01-01", (), (model,)), path)


def run_undisturbed(folder: Path, job: Job, materials: Path) -> Undisturbed:
    """A run that is only watched. Raises RuntimeError where it fails: then there is nothing to compare with."""
    stage = Stage(folder, job, materials, "undisturbed")
    start, process = time.monotonic(), stage.start()
    watcher = Watcher(stage.out, stage.cache, stage.tmp)
    wait_until(lambda: watcher.look() < 0, process)
    ended = stage.finish(process)
    seconds = time.monotonic() - start
    if ended.code != 0:
        raise RuntimeError(f"{' '.join(stage.words())} ends with {ended.code}, undisturbed:\n{ended.errors}")
    return Undisturbed(stage.result(), seconds, watcher.changes, size_of(stage.out))


def attempt(stage: Stage, fault: str) -> dict[str, list[str]]:
    """Disturb the job, end it by its own command, and say what is wrong, by column of the table."""
    FAULTS[fault].act(stage)
    ended = stage.finish(stage.start())
    lost, differing = [], []
    if ended.code != 0:
        lost.append(f"the command does not end what was begun, exit code {ended.code}: {ended.errors[-400:]}")
    else:
        try:
            result = stage.result()
            if result != stage.usual.result:
                differing.append(f"{result} instead of {stage.usual.result}")
        except Exception as error:
            lost.append(f"{type(error).__name__}: {error}")
        now = stage.job.records(stage.out, stage.cache)
        lost += [f"no longer there: {record}" for record in stage.records - now]
    if problem := ended.unclear((0, 2)):
        stage.unclear.append(problem)
    orphans = [str(pid) for pid in stage.orphans()]
    left = [f"{path} ({size_of(path) if path.is_dir() else path.stat().st_size} bytes)" for path in stage.leftovers()]
    return dict(zip(FAILURES, (lost, differing, orphans, left, stage.unclear, stage.frozen), strict=True))


def show_failure(stage: Stage, seed: int, number: int, job: str, fault: str, failures: dict[str, list[str]]) -> None:
    """What went wrong, and the command that draws the same job, fault and moments."""
    print(f"\nattempt {number}: {job}, {fault}; its folder is {stage.folder}")
    for name, said in failures.items():
        for line in said:
            print(f"  {name}: {line[:600]}")
    words = ["--jobs", job, "--faults", fault, "--seed", seed, "--first", number, "--attempts", 1]
    print("  repeat: python benchmarks/torture.py", shlex.join(map(str, words)), "\n", flush=True)


def show_table(counts: dict[tuple[str, str], Counter[str]], seconds: float) -> None:
    """A row for each job and kind of fault, and the sum."""
    rows = sorted(counts.items())
    total: Counter[str] = Counter()
    for _, row in rows:
        total.update(row)
    print(f"\n{'job':<16}{'fault':<26}", *(f"{name:>9}" for name in COLUMNS))
    for (job, fault), row in [*rows, (("all", ""), total)]:
        print(f"{job:<16}{fault:<26}", *(f"{row[name]:>9}" for name in COLUMNS))
    print(f"\n{seconds / 60:.0f} min, load {os.getloadavg()[1]:.1f}")


if __name__ == "__main__":
    sys.exit(main())
