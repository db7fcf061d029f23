"""How every process is started: no code from the current folder, in a group of its own, gone with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from netlathe.trust import inherited_trust

if TYPE_CHECKING:
    import asyncio.subprocess

POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class Leash:
    """What ties a child to this process: a pipe that closes when this one ends (`entry` is the child's end).

    `start` and `start_async` are how it is used; it is held for as long as the child is wanted.
    """

    def __init__(self) -> None:
        self.theirs, self.ours = os.pipe()

    def command(self, module: str, *arguments: str) -> tuple[str, ...]:
        """The command that runs a module of the package. -P: modules come from nowhere but the installation."""
        parent = os.getpid() if threading.current_thread() is threading.main_thread() else 0
        entry = (sys.executable, "-P", "-m", "netlathe.process.entry", str(self.theirs), str(parent))
        return (*entry, module, *arguments)

    def options(self, env: Mapping[str, str]) -> dict[str, Any]:
        """How it is started. In a session of its own: Ctrl-C reaches only us, and we decide what is kept.

        What it starts in its turn takes no code from the current folder either.
        """
        return {
            "env": {**env, **inherited_trust(), "PYTHONSAFEPATH": "1"},
            "pass_fds": (self.theirs,),
            "start_new_session": True,
        }

    def hand_over(self) -> None:
        """The child has its end: close ours of it."""
        if self.theirs >= 0:
            os.close(self.theirs)
            self.theirs = -1

    def close(self) -> None:
        """Let go: a child that is still there ends."""
        self.hand_over()
        if self.ours >= 0:
            os.close(self.ours)
            self.ours = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def child_environment(threads: int) -> dict[str, str]:
    """This process's environment with numeric libraries on so many threads, which they read when they are imported."""
    return os.environ | dict.fromkeys(POOLS, str(threads))


def start(leash: Leash, module: str, *arguments: str, env: Mapping[str, str], **pipes: Any) -> subprocess.Popen[Any]:
    """Run a module of the package in a process of its own; `pipes` are options of `Popen`."""
    process = subprocess.Popen(leash.command(module, *arguments), **leash.options(env), **pipes)
    leash.hand_over()
    return process


async def start_async(
    leash: Leash, module: str, *arguments: str, env: Mapping[str, str], **pipes: Any
) -> asyncio.subprocess.Process:
    """As `start`, for a process that an event loop waits for."""
    import asyncio

    program, *rest = leash.command(module, *arguments)
    process = await asyncio.create_subprocess_exec(program, *rest, **leash.options(env), **pipes)
    leash.hand_over()
    return process


def kill(pid: int) -> None:
    """End a child that has not been waited for, with what it started."""
    with suppress(
        ProcessLookupError, PermissionError
    ):  # PermissionError: macOS, for a group whose processes have ended
        os.killpg(pid, signal.SIGKILL)


def ask_tool(*words: str, timeout: float) -> str:
    """What a program of the system prints; empty where it is not there, fails, or takes longer than so many seconds."""
    try:
        answer = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""
