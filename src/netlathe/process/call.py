"""One call of a function in a process of its own, with limits: what crashes, hangs or eats memory there ends there.

The process runs this module; its arguments are the format and the limits. The call arrives on standard input and the
answer leaves on standard output, as pickle, or as JSON where what the function reads may have been made to harm.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, ParamSpec, TypeVar

from netlathe.errors import NetlatheError
from netlathe.process.channel import take_stdout
from netlathe.process.child import describe_death, last_line
from netlathe.process.limits import Limits, set_limits
from netlathe.process.start import Leash, kill, start, start_async

P = ParamSpec("P")
T = TypeVar("T")
CALL = "netlathe.process.call"
PIPES: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
LONGEST = 400  # characters of an exception's text


class CallFailed(NetlatheError):
    """A call whose process crashed, raised, or took too long; the message says which, `code` ends in it."""


def call(
    function: Callable[P, T],
    env: Mapping[str, str],
    timeout: float,
    room: str,
    limits: Limits,
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """What a function of a module returns when another process calls it with these arguments, under limits.

    Raises NetlatheError as the function does; CallFailed, with a code ROOM.crash, .failed or .timeout, where the
    process dies, raises anything else, or takes longer than `timeout` seconds.
    """
    request = pickle.dumps((function.__module__, function.__qualname__, args, kwargs))
    with Leash() as leash, start(leash, CALL, "pickle", json.dumps(limits), env=env, **PIPES) as process:
        try:
            stdout, errors = process.communicate(request, timeout)
        except subprocess.TimeoutExpired:
            raise too_late(timeout, room) from None
        finally:
            if process.returncode is None:
                kill(process.pid)
    try:
        answer = pickle.loads(stdout)
    except (EOFError, pickle.UnpicklingError):
        raise crashed(process.returncode, errors, room) from None
    result: T = opened(answer, room)
    return result


async def call_json(
    function: Callable[..., Any], env: Mapping[str, str], timeout: float, room: str, limits: Limits, *args: Any
) -> Any:
    """As `call`, with JSON values in and out, under limits, and without stopping the event loop."""
    request = json.dumps((function.__module__, function.__qualname__, args, {})).encode()
    with Leash() as leash:
        process = await start_async(leash, CALL, "json", json.dumps(limits), env=env, **PIPES)
        try:
            answer, errors = await asyncio.wait_for(process.communicate(request), timeout)
        except TimeoutError:
            raise too_late(timeout, room) from None
        finally:
            if process.returncode is None:
                kill(process.pid)
                await process.wait()
    try:
        return opened(json.loads(answer), room)
    except (ValueError, TypeError) as error:
        if isinstance(error, NetlatheError):
            raise
        raise crashed(process.returncode or 0, errors, room) from None


def too_late(timeout: float, room: str) -> CallFailed:
    return CallFailed(f"it took longer than {timeout:g} s", code=f"{room}.timeout")


def crashed(code: int, errors: bytes, room: str) -> CallFailed:
    return CallFailed(describe_death(code, last_line(errors.decode(errors="replace"))), code=f"{room}.crash")


def opened(answer: Any, room: str) -> Any:
    """The result in an answer; raises the error that it carries."""
    kind, value = answer
    if kind == "error":
        message, code, path, hint = map(str, value)
        raise NetlatheError(message, code=code, path=path, hint=hint)
    if kind == "failed":
        raise CallFailed(value, code=f"{room}.failed")
    return value


def answer_call(module: str, name: str, args: Any, kwargs: Any, limits: Limits) -> tuple[str, Any]:
    """In the process: what the function returned, or what it raised."""
    function = getattr(import_module(module), name)
    set_limits(limits)
    try:
        return "result", function(*args, **kwargs)
    except NetlatheError as error:
        return "error", (error.message, error.code, error.path, error.hint)
    except Exception as error:
        first = next(iter(str(error).strip().splitlines()), "")
        return "failed", f"{type(error).__name__}: {first}"[:LONGEST]


def main(form: str, limits: str) -> None:
    """The process: read the call, make it, answer."""
    replies, request = take_stdout("wb"), sys.stdin.buffer.read()
    module, name, args, kwargs = json.loads(request) if form == "json" else pickle.loads(request)
    answer = answer_call(module, name, args, kwargs, Limits(*json.loads(limits)))
    replies.write(json.dumps(answer).encode() if form == "json" else pickle.dumps(answer))
    replies.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
