"""A worker process that is sent JSON messages, a line each, and answers with one (`channel` is its end)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self

from netlathe.process.start import Leash, kill, start
from netlathe.process.temporary import unnamed_file


class ChildDied(Exception):
    """A process that ended without an answer; the message says how, `code` is its return code."""

    def __init__(self, code: int, words: str = "") -> None:
        super().__init__(describe_death(code, words))
        self.code = code


class ChildTimeout(Exception):
    """A process that gave no answer in time, and was killed."""


class Child:
    """A running worker, until it is closed or left as a context manager."""

    def __init__(self, module: str, env: Mapping[str, str], log: Path | None = None) -> None:
        """Run a module. Its error stream is appended to `log`; without one only its last words are kept."""
        self.errors: IO[bytes] = unnamed_file() if log is None else log.open("a+b")
        self.before = self.errors.seek(0, os.SEEK_END)  # what earlier workers wrote
        self.leash = Leash()
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.errors}
        self.process = start(self.leash, module, env=env, text=True, **pipes)

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
            kill(self.process.pid)

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
        self.kill()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
        self.leash.close()

    def kill(self) -> None:
        """End the process and what it started."""
        if self.process.poll() is None:
            kill(self.process.pid)
            self.process.wait()

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
