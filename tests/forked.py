"""Processes that start at once, forked from one that has imported torch: to be killed, or ranks of one training."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from brief import measure_briefly

SERVER = get_context("forkserver")
# What the processes import; nothing of it starts a thread before it is used.
SERVER.set_forkserver_preload(
    ["pytest", "netlathe.cli.train", "netlathe.train.classification", "netlathe.fit.pipeline", "netlathe.search.run"]
)
DISK_FULL = 200_000  # bytes that a file may have


def start(function: Callable[..., Any], *arguments: Any, log: Path | None = None, **env: str) -> BaseProcess:
    """A function of a module in a process of its own, whose output goes to a file."""
    outside = (dict(os.environ) | env, str(Path.cwd()), str(log or os.devnull))
    process = SERVER.Process(target=within, args=(*outside, function, arguments))
    process.start()
    return process


def netlathe(
    words: Sequence[object], log: Path | None = None, *, full: bool = False, brief: bool = False
) -> BaseProcess:
    """The command `netlathe WORDS` in a process of its own, where that is asked for on a disk that is nearly full, or
    with brief measurements."""
    return start(command, [str(word) for word in words], full, brief, log=log)


def ranks(folder: Path, function: Callable[..., Any], *arguments: Any) -> None:
    """A function in two processes that train as one, as torchrun would start them."""
    from torch.distributed import TCPStore

    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "WORLD_SIZE": "2"}
    agent = {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}
    logs = [folder / f"rank{rank}.txt" for rank in range(2)]
    processes = [
        start(function, *arguments, log=log, RANK=str(rank), LOCAL_RANK=str(rank), **address, **agent)
        for rank, log in enumerate(logs)
    ]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0], "\n".join(log.read_text() for log in logs)


def within(env: dict[str, str], cwd: str, log: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """The process: it was forked elsewhere and earlier, so it is told its surroundings."""
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background may inherit deaf ears
    with open(log, "w") as file:  # noqa: PTH123  also /dev/null
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1) for number in (1, 2))
    function(*arguments)


def command(words: list[str], full: bool = False, brief: bool = False) -> None:
    """The command line."""
    from netlathe.cli.main import main

    if full:
        resource.setrlimit(resource.RLIMIT_FSIZE, (DISK_FULL, DISK_FULL))
    if brief:
        measure_briefly(setattr)
    sys.argv = ["netlathe", *words]
    main()
