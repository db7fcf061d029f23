"""The first code of every child: it ends with its parent from now on, and then its module runs.

`python -P -m netlathe.process.entry PIPE PARENT MODULE ARGUMENT ...`. PIPE is the number of a file descriptor whose
other end the parent alone has. It closes when the parent ends, however that happens, and a thread waits for that. Code
that keeps the interpreter busy holds the thread up, so Linux is asked to kill the child as well. It does so when the
*thread* that started the child ends: only a main thread gives its process as PARENT; others give 0, and have the pipe.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def follow(pipe: int, parent: int) -> None:
    """End this process, and what else is in its group, when its parent has ended."""
    if parent and sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent and os.getppid() != parent:  # it ended before we asked to be told
        os._exit(1)
    threading.Thread(target=wait_for_end, args=(pipe,), daemon=True).start()


def wait_for_end(pipe: int) -> None:
    """Nobody writes to the pipe: reading ends when its other end is closed."""
    os.read(pipe, 1)
    os.killpg(0, signal.SIGKILL)


def main(pipe: str, parent: str, module: str, *arguments: str) -> None:
    """Run a module as `python -m` does, tied to the parent."""
    follow(int(pipe), int(parent))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
