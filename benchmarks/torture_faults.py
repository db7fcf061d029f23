"""What is done to the jobs, a row each: see torture.py.

A fault starts the job on a stage, disturbs it, and leaves it ended. What a process says and its exit code have to be
clear whatever happened; that nothing was lost is checked afterwards, by the job's own command, undisturbed.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from torture_stage import CLOCK, Ended, Stage

HOUR_S = 3600
PIDS = Path("/sys/fs/cgroup/pids")
DONE, REFUSED, FAILED, MISSING = 0, 2, 4, 5
# How a process may end after a signal: as the signal says, as an interruption, or done before it arrived.
ENDS = {
    signal.SIGKILL: (-9, DONE),
    signal.SIGINT: (130, DONE),
    signal.SIGTERM: (-15, 143, 130, DONE),
}
OF_A_CHILD = (DONE, REFUSED, FAILED, 130)  # the job goes on without it, or says that it died
OF_A_LIMIT = (DONE, REFUSED)


class Fault(NamedTuple):
    """`act` disturbs the job; `share` is how often it is drawn; `here` says what this machine lacks for it."""

    act: Callable[[Stage], None]
    share: int = 1
    here: Callable[[], str] = lambda: ""


def judge(stage: Stage, ended: Ended, legal: tuple[int, ...]) -> None:
    """Note an end that is not clear, or none at all."""
    if ended.code is None:
        stage.frozen.append(ended.errors[-300:])
    elif problem := ended.unclear(legal):
        stage.unclear.append(problem)


def kill(stage: Stage, number: signal.Signals, target: str, *, twice: bool = False, clock: bool = False) -> None:
    """One to five signals at random moments, each to the job as it goes on after the one before."""
    for _ in range(stage.dice.randint(1, 5)):
        env = wrong_clock(stage) if clock else {}
        process = stage.start(env=env)
        struck = stage.wait_for_moment(process) and stage.strike(process, number, target)
        if struck and twice:
            time.sleep(stage.dice.uniform(0, 0.3))
            stage.strike(process, number, target)
        ended = stage.finish(process)
        judge(stage, ended, OF_A_CHILD if target == "child" else ENDS[number])
        if ended.code == DONE:
            return


def wrong_clock(stage: Stage) -> dict[str, str | None]:
    """A clock that is up to two days off, in either direction."""
    path = os.pathsep.join(filter(None, (str(CLOCK), os.environ.get("PYTHONPATH"))))
    return {"PYTHONPATH": path, "TORTURE_CLOCK_S": str(stage.dice.randint(-48, 48) * HOUR_S)}


def two_at_once(stage: Stage) -> None:
    """The same command twice at the same time; one of them may be killed. Both done, or one refused in clear words."""
    first = stage.start()
    if stage.dice.random() < 0.5:
        stage.wait_for_moment(first)
    mark = stage.mark
    second = stage.start(name=".second")
    if stage.dice.random() < 0.3 and stage.wait_for_moment(first):
        stage.strike(first, signal.SIGKILL, "all")
    judge(stage, stage.finish(second, ".second"), OF_A_LIMIT)
    stage.mark = mark
    judge(stage, stage.finish(first), (*OF_A_LIMIT, -9))


def limited(stage: Stage, limits: dict[int, int], *, legal: tuple[int, ...] = OF_A_LIMIT) -> None:
    """The job under limits of the operating system."""

    def set_limits() -> None:
        for kind, limit in limits.items():
            resource.setrlimit(kind, (limit, limit))

    judge(stage, stage.finish(stage.start(preexec_fn=set_limits)), legal)


def small_files(stage: Stage) -> None:
    """No file may become larger than a random part of what the job writes."""
    limited(stage, {resource.RLIMIT_FSIZE: random_size(stage)})


def few_open_files(stage: Stage) -> None:
    limited(stage, {resource.RLIMIT_NOFILE: stage.dice.randint(8, 64)})


def little_memory(stage: Stage) -> None:
    """Little address space, in which torch may not even load."""
    limited(stage, {resource.RLIMIT_AS: stage.dice.randint(100, 3000) * 2**20}, legal=(*OF_A_LIMIT, MISSING))


def few_processes(stage: Stage) -> None:
    """Few processes and threads, by a control group, since RLIMIT_NPROC does not bind root."""
    group = PIDS / f"torture-{stage.tag}"
    group.mkdir()
    (group / "pids.max").write_text(str(stage.dice.randint(1, 12)))
    try:
        process = stage.start(preexec_fn=lambda: (group / "cgroup.procs").write_text("0"))
        judge(stage, stage.finish(process), OF_A_LIMIT)
        stage.orphans()
    finally:
        group.rmdir()


def random_size(stage: Stage) -> int:
    """Bytes from a page to somewhat more than the job needs."""
    return 4096 * stage.dice.randint(1, 2 + int(1.2 * stage.usual.bytes) // 4096)


def mounted(stage: Stage, name: str, script: str) -> None:
    """The job in a mount namespace, after a script that mounts something on $0, one of the folders of its stage.

    What the job leaves there is copied out before the namespace ends.
    """
    folder = getattr(stage, name)
    folder.mkdir(exist_ok=True)
    kept = stage.folder / "kept"
    shell = f'cp -a "$0/." {kept}; {script} && cp -a {kept}/. "$0" 2>&-; "$@"; code=$?; rm -rf {kept}; '
    shell += f'mkdir {kept}; cp -a "$0/." {kept}; exit $code'
    kept.mkdir()
    process = stage.start(before=("unshare", "--map-root-user", "--mount", "sh", "-c", shell, str(folder)))
    judge(stage, stage.finish(process), OF_A_LIMIT)
    shutil.rmtree(folder)
    shutil.move(kept, folder)


def full_disk(stage: Stage, name: str) -> None:
    """A file system with less room than the job needs."""
    mounted(stage, name, f'mount -t tmpfs -o size={random_size(stage)} full "$0"')


def read_only(stage: Stage, name: str) -> None:
    mounted(stage, name, 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0"')


def no_home(stage: Stage) -> None:
    """No place for a cache: a home that does not exist and cannot be made."""
    nowhere = {"HOME": "/proc/nowhere", "NETLATHE_CACHE": None, "XDG_CACHE_HOME": None}
    judge(stage, stage.finish(stage.start(env=nowhere)), OF_A_LIMIT)


def no_user(stage: Stage) -> None:
    """A user without a name, as in many containers, and without HOME."""
    nobody = ("unshare", "--user", "--map-user=4242", "--map-group=4242")
    unset = dict.fromkeys(("HOME", "USER", "LOGNAME", "NETLATHE_CACHE", "XDG_CACHE_HOME"))
    judge(stage, stage.finish(stage.start(before=nobody, env=unset)), OF_A_LIMIT)


@cache
def lacks_namespaces() -> str:
    """What is missing here to mount something for one process."""
    command = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "test", "/tmp"]
    done = shutil.which("unshare") and subprocess.run(command, capture_output=True).returncode == 0
    return "" if done else "no user and mount namespaces (unshare)"


def lacks_groups() -> str:
    """What is missing here to limit the number of processes."""
    return "" if os.access(PIDS, os.W_OK) else f"no control group of processes to write ({PIDS})"


KILLS = {
    "SIGKILL to all": Fault(partial(kill, number=signal.SIGKILL, target="all"), 6),
    "SIGKILL to the first": Fault(partial(kill, number=signal.SIGKILL, target="first"), 6),
    "SIGKILL to a child": Fault(partial(kill, number=signal.SIGKILL, target="child"), 5),
    "SIGINT to all": Fault(partial(kill, number=signal.SIGINT, target="all"), 5),
    "SIGINT twice": Fault(partial(kill, number=signal.SIGINT, target="all", twice=True), 3),
    "SIGTERM to all": Fault(partial(kill, number=signal.SIGTERM, target="all"), 4),
    "SIGTERM to the first": Fault(partial(kill, number=signal.SIGTERM, target="first"), 4),
    "SIGTERM to a child": Fault(partial(kill, number=signal.SIGTERM, target="child"), 3),
    "SIGKILL, wrong clock": Fault(partial(kill, number=signal.SIGKILL, target="all", clock=True), 4),
}
FAULTS: dict[str, Fault] = KILLS | {
    "two at once": Fault(two_at_once, 3),
    "full disk": Fault(partial(full_disk, name="out"), 2, lacks_namespaces),
    "full disk of the cache": Fault(partial(full_disk, name="cache"), 1, lacks_namespaces),
    "full disk of /tmp": Fault(partial(full_disk, name="tmp"), 1, lacks_namespaces),
    "limit of a file's size": Fault(small_files, 2),
    "read-only folder": Fault(partial(read_only, name="out"), 1, lacks_namespaces),
    "read-only cache": Fault(partial(read_only, name="cache"), 1, lacks_namespaces),
    "read-only /tmp": Fault(partial(read_only, name="tmp"), 1, lacks_namespaces),
    "no home": Fault(no_home),
    "no user": Fault(no_user, 1, lacks_namespaces),
    "few open files": Fault(few_open_files),
    "little memory": Fault(little_memory),
    "few processes": Fault(few_processes, 1, lacks_groups),
}
