"""A call in a process of its own: converters and runtimes can take their process with them, and that is a result.

OpenVINO 2026.4 ends with SIGSEGV on some quantised files, for example, and a calibration can ask for all memory.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import ParamSpec, TypeVar

from netlathe.bench.runtimes import environment
from netlathe.bench.worker_client import describe_death
from netlathe.errors import NetlatheError

P = ParamSpec("P")
T = TypeVar("T")
# NNCF reports to Google Analytics that it was used, unless it believes to be under test by its makers.
SILENT = {"NNCF_CI": "1"}


class IsolatedFailure(NetlatheError):
    """A process that crashed, raised, or took too long; the message says which."""


def run_isolated(function: Callable[P, T], threads: int, timeout: float, /, *args: P.args, **kwargs: P.kwargs) -> T:
    """What a function of a module returns when another process calls it, with its numeric libraries on `threads`.

    Raises Failed where the process dies, raises anything but a NetlatheError, or takes longer than `timeout` seconds.
    """
    with tempfile.TemporaryDirectory(prefix="netlathe-") as folder:
        call, reply = Path(folder, "call"), Path(folder, "reply")
        call.write_bytes(pickle.dumps((function.__module__, function.__qualname__, args, kwargs)))
        words = (sys.executable, "-P", "-m", "netlathe.deploy.isolation", str(call), str(reply))
        try:
            done = subprocess.run(
                words, env=os.environ | environment(threads) | SILENT, capture_output=True, text=True, timeout=timeout
            )
        except subprocess.TimeoutExpired:
            raise IsolatedFailure(f"it took longer than {timeout:g} s", code="deploy.timeout") from None
        if not reply.exists():
            lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
            raise IsolatedFailure(describe_death(done.returncode, lines[-1] if lines else ""), code="deploy.crash")
        result, error = pickle.loads(reply.read_bytes())
    if error is not None:
        raise error
    returned: T = result
    return returned


def main(call: Path, reply: Path) -> None:
    """The other process: make the call, and leave what it returned, or what it raised."""
    module, name, args, kwargs = pickle.loads(call.read_bytes())
    answer: tuple[object, NetlatheError | None]
    try:
        answer = getattr(import_module(module), name)(*args, **kwargs), None
    except NetlatheError as error:
        answer = None, NetlatheError(error.message, code=error.code, path=error.path, hint=error.hint)
    except Exception as error:
        first = next(iter(str(error).strip().splitlines()), "")
        answer = None, IsolatedFailure(f"{type(error).__name__}: {first}"[:400], code="deploy.failed")
    part = reply.with_suffix(".part")
    part.write_bytes(pickle.dumps(answer))
    part.replace(reply)


if __name__ == "__main__":
    # By its own name, so that what it raises has the class that the caller knows.
    from netlathe.deploy.isolation import main as made

    made(Path(sys.argv[1]), Path(sys.argv[2]))
