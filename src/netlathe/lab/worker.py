"""The process that answers the questions of the page: nothing is computed in the one that serves it.

What takes too much processor time ends this process, whatever it is at: the kernel sends SIGPROF when the time that
came with a question is used up, and the server starts another one (`pool`).
"""

from __future__ import annotations

import gc
import json
import signal
from collections.abc import Mapping
from typing import Any

from netlathe.errors import Exit, NetlatheError
from netlathe.lab.catalogue import Catalogue
from netlathe.lab.questions import QUESTIONS
from netlathe.lab.uploads import Upload, machine_refuses
from netlathe.process.channel import open_channel
from netlathe.process.limits import Limits, set_limits

MEMORY = 4 << 30  # bytes of address space: an ONNX file of 2 GiB can be exported
# What a network with odd numbers or names raises somewhere, and what to say of it.
NOT_FOR_US: dict[type[Exception], str] = {
    RecursionError: "it is nested too deeply",
    OverflowError: "a number in it is too large",
    UnicodeEncodeError: "a name in it holds half a character",
}
LONGEST = 400  # characters of an unexpected error


def main() -> None:
    """Answer until the server closes the pipe."""
    messages, reply = open_channel()
    set_limits(Limits(memory=MEMORY))
    settle()
    catalogue = Catalogue()
    for message in messages:
        signal.setitimer(signal.ITIMER_PROF, message["seconds"])
        reply(answered(catalogue, message))
        signal.setitimer(signal.ITIMER_PROF, 0)


def answered(catalogue: Catalogue, message: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON text of an answer as `body`, the fields of an `error` for the user, or what went wrong as a `bug`."""
    try:
        catalogue.uploads.update({mark: Upload(*fields) for mark, fields in message["uploads"].items()})
        value = QUESTIONS[message["question"]](catalogue, message["about"])
    except NetlatheError as error:
        fields = {"code": error.code, "message": error.message, "path": error.path, "hint": error.hint}
        return {"error": fields, "exit": int(error.exit)}
    except OSError as error:
        return {"error": {"code": "lab.machine", "message": machine_refuses(error)}, "exit": int(Exit.USAGE)}
    except MemoryError:
        return {"died": f"it needs more than {MEMORY >> 30} GiB of memory"}
    except tuple(NOT_FOR_US) as error:
        return {"too_much": NOT_FOR_US[type(error)]}
    except Exception as error:
        return {"bug": f"{type(error).__name__}: {error}"[:LONGEST]}
    try:
        return {"body": json.dumps(value, separators=(",", ":"), allow_nan=False)}
    except ValueError:
        return {"too_much": "a number of the answer is not finite"}


def settle() -> None:
    """Keep the garbage collector from pausing an answer: what is loaded stays, and what answers make has no cycles.

    A full collection walks every remembered expression, some 50 ms while a knob moves.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 1_000)


if __name__ == "__main__":
    main()
