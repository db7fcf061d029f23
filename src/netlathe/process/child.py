"""A worker process that is sent JSON messages, a line each, and answers with one (`channel` is its end)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self

POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class ChildDied(Exception):
    """A process that ended without an answer; the message says how, `code` is its return code."""

    def __init__(self, code: int, words: str = "") -> None:
        super().__init__(describe_death(code, words))
        self.code = code


class ChildTimeout(Exception):
    """A process that gave no answer in time, and was killed."""


def python(module: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs a module of the package; -P: modules come from nowhere but the installation."""
    return (sys.executable, "-P", "-m", module, *arguments)


def child_environment(threads: int) -> dict[str, str]:
    """This process's environment with numeric libraries on so many threads, which they read when they are imported."""
    return os.environ | dict.fromkeys(POOLS, str(threads))


class Child:
    """A running worker, until it is closed or left as a context manager."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], log: Path | None = None) -> None:
        """Start it; what it writes to its error stream is appended to `log`, without one its last words are kept."""
        self.errors: IO[bytes] = tempfile.TemporaryFile() if log is None else log.open("a+b")  # noqa: SIM115  closed below
        self.before = self.errors.seek(0, os.SEEK_END)  # what earlier workers wrote
        # In a session of its own: Ctrl-C reaches only us, and we decide what is kept.
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env=env,
            start_new_session=True,
            text=True,
        )

    def send(self, message: Any) -> None:
        """Send a message; a worker that has died is noticed when its answer is waited for."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()

    def receive(self) -> Any:
        """The next answer. Raises ChildDied where the process ends first, also within an answer."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.endswith("\n"):
            raise ChildDied(self.process.wait(), self.last_words())
        return json.loads(line)

    def ask(self, message: Any, timeout: float) -> Any:
        """The answer to a message. Raises ChildDied, and ChildTimeout after so many seconds."""
        late = threading.Event()

        def end() -> None:
            late.set()
            self.process.kill()

        timer = threading.Timer(timeout, end)
        timer.daemon = True
        timer.start()
        try:
            self.send(message)
            answer = self.receive()
        except ChildDied:
            if late.is_set():
                raise ChildTimeout(f"no answer within {timeout:g} s") from None
            raise
        finally:
            timer.cancel()
        return answer

    def fileno(self) -> int:
        """What a selector waits on: it can be read when an answer is there, or the process has ended."""
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def last_words(self) -> str:
        """The last line that the worker wrote to its error stream."""
        self.errors.seek(self.before)
        return last_line(self.errors.read().decode(errors="replace"))

    def interrupt(self) -> None:
        """Ask the process to save and end."""
        if self.process.poll() is None:
            self.process.terminate()

    def close(self, patience: float = 0) -> None:
        """End the process, which has so many seconds to do so by itself."""
        if patience:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(patience)
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def describe_death(code: int, words: str = "") -> str:
    """What a return code says: the name of the signal, or the number; and the last words."""
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    return f"the worker {how}" + (f": {words}" if words else "")


def last_line(text: str) -> str:
    """The last line of a text that is not empty; "" where there is none."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
