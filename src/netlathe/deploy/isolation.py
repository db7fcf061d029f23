"""Converters and runtimes in a process of their own: they can take their process with them, and that is a result.

OpenVINO 2026.4 ends with SIGSEGV on some quantised files, for example, and a calibration can ask for all memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from netlathe.process.call import call
from netlathe.process.limits import machine_memory
from netlathe.process.start import child_environment
from netlathe.runtimes import registry

P = ParamSpec("P")
T = TypeVar("T")


def run_isolated(function: Callable[P, T], threads: int, timeout: float, /, *args: P.args, **kwargs: P.kwargs) -> T:
    """What a function of a module returns when another process calls it, with its numeric libraries on `threads`.

    It may take as much memory as the machine has. Raises CallFailed where the process dies, raises anything but a
    NetlatheError, or takes longer than `timeout` s.
    """
    env = registry.environment() | child_environment(threads)
    return call(function, env, timeout, "deploy", machine_memory(), *args, **kwargs)
