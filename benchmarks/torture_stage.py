"""Where a job is tortured: folders of its own, its processes, and what is left of both: see torture.py."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from torture_jobs import TESTS, Job

CLOCK = Path(__file__).parent / "torture_clock"
PATIENCE_S = 180.0  # for a job of seconds; one that is still there then is frozen
GRACE_S = 30.0  # for processes whose parent has ended
POLL_S = 0.005
TAG = "TORTURE_ATTEMPT"
PART = re.compile(r"\..+\.\d+(\.part)?")  # what netlathe.files writes before it renames
UNCLEAR = (
    *("Traceback (most recent call last)", "Exception ignored", "Fatal Python error"),
    *("this is a bug in Netlathe", "which is not installed"),  # all that the jobs need is installed
)


class Ended(NamedTuple):
    """How a process ended: its exit code (None: it had to be killed), and its last words."""

    code: int | None
    errors: str

    def unclear(self, legal: Sequence[int]) -> str:
        """What is wrong with this end, "" for nothing: a traceback, or an exit code that is not legal."""
        mark = next((mark for mark in UNCLEAR if mark in self.errors), "")
        if mark:
            return f"{mark}: {last_lines(self.errors)}"
        return "" if self.code is None or self.code in legal else f"exit code {self.code}: {last_lines(self.errors)}"


class Undisturbed(NamedTuple):
    """A run of a job that nobody disturbed."""

    result: Any
    seconds: float
    changes: int  # of files, as a watcher sees them
    bytes: int  # in its folder


class Stage:
    """The folders, environment and dice of one attempt."""

    def __init__(self, folder: Path, job: Job, materials: Path, seed: str, usual: Undisturbed | None = None) -> None:
        """`materials` holds what jobs read, and a cache to start from; `usual` is what the moments are drawn from."""
        self.folder, self.job, self.materials = folder, job, materials
        self.dice = random.Random(seed)
        self.usual = usual or Undisturbed(None, 10.0, 10, 100_000)
        self.out, self.tmp, self.home, self.cache = (folder / name for name in ("out", "tmp", "home", "cache"))
        shutil.rmtree(folder, ignore_errors=True)
        for path in (self.tmp, self.home):
            path.mkdir(parents=True)
        if (materials / "cache").exists():
            shutil.copytree(materials / "cache", self.cache)
        self.tag = uuid.uuid4().hex
        self.kills = 0
        self.unclear: list[str] = []  # what was wrong with the ends of processes
        self.frozen: list[str] = []
        self.records: frozenset[str] = frozenset()

    def words(self) -> list[str]:
        """The command of the job with the paths of this stage."""
        paths = {name: self.materials / name for name in ("images.npz", "package")}
        line = self.job.words.format(
            out=self.out, images=paths["images.npz"], package=paths["package"], space=TESTS / "searchable.py"
        )
        return [*self.job.program, *line.split()]

    def environment(self) -> dict[str, str]:
        """One thread, a cache, a home and a temporary folder of its own, and the tag of the attempt."""
        return os.environ | {
            TAG: self.tag,
            "NETLATHE_CACHE": str(self.cache),
            "TMPDIR": str(self.tmp),
            "HOME": str(self.home),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }

    def start(
        self,
        *,
        before: Sequence[str] = (),
        env: dict[str, str | None] | None = None,
        name: str = "",
        **how: Any,
    ) -> subprocess.Popen[bytes]:
        """Start the job in a session of its own; `before` goes before its words, None unsets a variable."""
        merged = self.environment() | (env or {})
        self.out.parent.mkdir(parents=True, exist_ok=True)
        if "{out}/" in self.job.words:
            self.out.mkdir(exist_ok=True)
        with (self.folder / f"stdout{name}").open("wb") as stdout, (self.folder / f"stderr{name}").open("ab") as stderr:
            self.mark = stderr.tell()
            return subprocess.Popen(
                [*before, *self.words()],
                env={key: value for key, value in merged.items() if value is not None},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
                **how,
            )

    def finish(self, process: subprocess.Popen[bytes], name: str = "") -> Ended:
        """Wait for a process; one that is frozen is killed with all that it started."""
        mark = self.mark
        try:
            code: int | None = process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            code = None
            for pid in self.processes():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()
        self.records |= self.job.records(self.out, self.cache)
        with (self.folder / f"stderr{name}").open("rb") as file:
            file.seek(mark)
            return Ended(code, file.read().decode(errors="replace"))

    def result(self) -> Any:
        """What the finished job left. Raises whatever reading it raises."""
        self.out.mkdir(exist_ok=True)
        shutil.copy(self.folder / "stdout", self.out / "stdout")
        result = self.job.result(self.out)
        (self.out / "stdout").unlink()
        return result

    def processes(self) -> list[int]:
        """Everything alive that this attempt started, zombies aside."""
        alive = []
        for entry in Path("/proc").iterdir():
            with suppress(OSError, ValueError):
                pid = int(entry.name)
                tagged = f"{TAG}={self.tag}".encode() in (entry / "environ").read_bytes().split(b"\0")
                if tagged and (entry / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
                    alive.append(pid)
        return alive

    def orphans(self) -> list[int]:
        """What is alive a while after the last command has ended; it is killed."""
        until = time.monotonic() + GRACE_S
        while (alive := self.processes()) and time.monotonic() < until:
            time.sleep(0.1)
        for pid in alive:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return alive

    def leftovers(self) -> list[Path]:
        """What lies in the temporary folder and in the home, and files that were never renamed into place.

        Not counted: parts of files in the cache, which go when those are written next; the empty folder that torch
        makes once a user; and the four bytes by which Python tries whether it can write, where it was killed between
        writing and removing them.
        """
        stray = [path for folder in (self.tmp, self.home) for path in sorted(folder.iterdir())]
        stray = [path for path in stray if not is_empty_folder(path, "torchinductor_") and not is_trial_of_python(path)]
        return stray + [path for path in self.out.rglob(".*") if PART.fullmatch(path.name)]

    def wait_for_moment(self, process: subprocess.Popen[bytes]) -> bool:
        """Wait for a random moment of the job: a time, or just after a file has changed. False: it ended before."""
        if self.dice.random() < 0.5:
            until = time.monotonic() + self.dice.uniform(0.0, self.usual.seconds)
            return wait_until(lambda: time.monotonic() >= until, process)
        watcher = Watcher(self.out, self.cache, self.tmp)
        wanted = self.dice.randint(1, max(1, self.usual.changes))
        return wait_until(lambda: watcher.look() >= wanted, process)

    def strike(self, process: subprocess.Popen[bytes], number: int, target: str) -> bool:
        """Send a signal to all, to the first process alone, or to one of those that it started. False: too late."""
        if target == "child":
            children: list[int] = []

            def some() -> bool:
                children[:] = [pid for pid in self.processes() if pid != process.pid]
                return bool(children)

            if not wait_until(some, process):
                return False
            victim = self.dice.choice(children)
            with suppress(ProcessLookupError):
                os.kill(victim, number)
                self.kills += 1
            return True
        if process.poll() is not None:
            return False
        if target == "all":
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)
        self.kills += 1
        return True


class Watcher:
    """Counts the changes of files below folders."""

    def __init__(self, *folders: Path) -> None:
        self.folders, self.changes = folders, 0
        self.seen = self.state()

    def state(self) -> list[tuple[str, int, int]]:
        state = []
        for folder in self.folders:
            for root, _, names in os.walk(folder):
                for name in names:
                    with suppress(OSError):
                        status = Path(root, name).stat()
                        state.append((f"{root}/{name}", status.st_size, status.st_mtime_ns))
        return state

    def look(self) -> int:
        """How often a look has shown something new."""
        state = self.state()
        self.changes += state != self.seen
        self.seen = state
        return self.changes


def wait_until(reached: Callable[[], bool], process: subprocess.Popen[bytes]) -> bool:
    """Wait for something while a process is alive; False where it ended before, or froze."""
    until = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < until:
        if reached():
            return True
        time.sleep(POLL_S)
    return False


def last_lines(text: str) -> str:
    """The end of a text on one line."""
    return " | ".join(line.strip() for line in text.splitlines() if line.strip())[-400:]


def is_empty_folder(path: Path, prefix: str) -> bool:
    return path.name.startswith(prefix) and path.is_dir() and not any(path.iterdir())


def is_trial_of_python(path: Path) -> bool:
    """What `tempfile.gettempdir` writes."""
    return len(path.name) == 8 and path.is_file() and path.read_bytes() in (b"", b"blat")


def size_of(folder: Path) -> int:
    """Bytes of the files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
