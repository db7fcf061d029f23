"""serve(): the page on the loopback device of this machine until Ctrl-C."""

from __future__ import annotations

import asyncio
import gc
import re
import secrets
import socket
from collections.abc import Callable
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from netlathe.errors import MissingExtra, NetlatheError
from netlathe.load import load_any

if TYPE_CHECKING:
    from netlathe.lab.catalogue import Catalogue

HOST = "127.0.0.1"
TOKEN = re.compile(r"[A-Za-z0-9_-]{16,}")


def refuse_missing() -> None:
    """Raise MissingExtra where a package of the extra `lab` is not installed."""
    for package in ("starlette", "uvicorn", "plotly"):
        if find_spec(package) is None:
            raise MissingExtra(package, "lab")


def listening(port: int) -> socket.socket:
    """A socket of the loopback device alone; port 0 takes a free one. Raises NetlatheError where it is taken."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((HOST, port))
    except OSError as error:
        sock.close()
        hint = "leave out --port, or name another"
        raise NetlatheError(f"port {port} cannot be taken: {error.strerror}", code="lab.port", hint=hint) from None
    sock.listen(64)
    return sock


def new_token() -> str:
    """Enough that nobody guesses it."""
    return secrets.token_urlsafe(18)


def serve(
    files: tuple[str, ...] = (), *, port: int = 0, token: str = "", ready: Callable[[str], None] = lambda url: None
) -> None:
    """Serve until the process is told to stop; `ready` gets the address.

    `files` are put into the catalogue, as if they had been dropped. Raises MissingExtra, and NetlatheError for a port
    that is taken and files with faults.
    """
    refuse_missing()
    if token and not TOKEN.fullmatch(token):
        hint = "letters, digits, - and _, at least 16 of them: who guesses it can use the page"
        raise NetlatheError("this token is no secret that an address can hold", code="lab.token", hint=hint)
    import uvicorn

    from netlathe.lab.app import make_app
    from netlathe.lab.catalogue import Catalogue

    token, catalogue = token or new_token(), Catalogue()
    first = [
        put_module(catalogue, file) if ".py:" in file else asyncio.run(placed(catalogue, Path(file))) for file in files
    ]
    with closing(listening(port)) as sock:
        config = uvicorn.Config(
            make_app(token, catalogue), log_level="error", access_log=False, lifespan="off", timeout_graceful_shutdown=2
        )
        fragment = f"#net={first[0]}" if first else ""
        settle()
        ready(f"http://{HOST}:{sock.getsockname()[1]}/{token}/{fragment}")
        uvicorn.Server(config).run(sockets=[sock])


def settle() -> None:
    """Keep the garbage collector from pausing an answer: what is loaded stays, and what answers make has no cycles.

    A full collection walks every remembered expression, some 50 ms while a knob moves.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 1_000)


def put_module(catalogue: Catalogue, text: str) -> str:
    """What a function of a Python file returns, into the catalogue: named on the command line, so it may run here."""
    (net,) = load_any(text)
    return catalogue.put(net.key, net.renamed(text))


async def placed(catalogue: Catalogue, file: Path) -> str:
    """Put a file into the catalogue, read as carefully as one that is dropped."""
    from netlathe.lab.catalogue import mark_of
    from netlathe.lab.child import parse

    try:
        content = file.read_bytes()
    except OSError as error:
        message = f"cannot read this file: {error.strerror}"
        raise NetlatheError(message, code="file.unreadable", path=str(file)) from None
    return catalogue.put(mark_of(content), await parse(file, file.name))
