"""The command line in this process: fast, and told as a subprocess would tell it."""

from __future__ import annotations

import io
import os
import sys
import warnings
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess
from unittest.mock import patch

from netlathe.cli.main import run

# For the tests whose subject is the process: signals, pipes, what is imported.
NETLATHE = str(Path(sys.executable).with_name("netlathe"))
PATIENCE_S = 1800  # a guard against waiting forever, on whatever machine: no test depends on it


def command(*words: object, cwd: Path | None = None, **env: str) -> CompletedProcess[str]:
    """What `netlathe WORDS` prints and how it exits, in a folder and with environment variables of its own."""
    out, err = io.StringIO(), io.StringIO()
    arguments = [str(word) for word in words]
    with (
        patch.dict(os.environ, env),
        chdir(cwd or Path.cwd()),
        redirect_stdout(out),
        redirect_stderr(err),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("default")  # as outside of pytest: written, not raised
        code = run(arguments)
    return CompletedProcess(arguments, int(code), out.getvalue(), err.getvalue())


def netlathe(*words: object, code: int = 0, cwd: Path | None = None, **env: str) -> CompletedProcess[str]:
    """The same, where the exit code is known."""
    done = command(*words, cwd=cwd, **env)
    assert done.returncode == code, done.stderr + done.stdout
    return done
