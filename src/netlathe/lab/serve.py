"""serve(): the page on the loopback device of this machine until Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
import signal
import socket
from collections.abc import Callable
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from netlathe.arch.net import rewritable
from netlathe.errors import MissingExtra, NetlatheError
from netlathe.files import read_bytes
from netlathe.load import load_any

if TYPE_CHECKING:
    from netlathe.lab.uploads import Uploads

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

    from netlathe.lab.app import LabServer, make_app
    from netlathe.lab.connections import Connection

    lab = LabServer()

    class Server(uvicorn.Server):
        """Ends the workers first, so that no request is left to wait for."""

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            lab.stop()
            await super().shutdown(sockets)

    def end(number: int, frame: object) -> None:
        raise Terminated

    token, terminated = token or new_token(), False
    first = [put_module(lab.uploads, file) if ".py:" in file else put_file(lab.uploads, Path(file)) for file in files]
    with closing(listening(port)) as sock:
        config = uvicorn.Config(
            make_app(token, lab),
            http=Connection,
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        for name in ("uvicorn.error", "asyncio"):  # what somebody sent is not news for the terminal
            logging.getLogger(name).setLevel(logging.CRITICAL)
        before = signal.signal(signal.SIGTERM, end)
        try:
            lab.quick.warm()
            ready(f"http://{HOST}:{sock.getsockname()[1]}/{token}/" + (f"#net={first[0]}" if first else ""))
            Server(config).run(sockets=[sock])
        except Terminated:
            terminated = True
        finally:
            lab.stop()
            signal.signal(signal.SIGTERM, before)
    if terminated:
        signal.raise_signal(signal.SIGTERM)


class Terminated(BaseException):
    """SIGTERM: the server ends as after Ctrl-C, so that what is temporary goes, and then by the signal."""


def put_module(uploads: Uploads, text: str) -> str:
    """What a function of a Python file returns, as an upload: named on the command line, so it may run here."""
    from netlathe.arch.document import to_json
    from netlathe.lab.graph_json import graph_to_json
    from netlathe.lab.uploads import Upload

    (net,) = load_any(text)
    network = rewritable(net)
    kind = "graph" if network is None else "arch"
    content = json.dumps(graph_to_json(net.graph())) if network is None else to_json(network.renamed(text))
    return uploads.put(net.key, Upload(kind, text, text, content))


def put_file(uploads: Uploads, file: Path) -> str:
    """A file as an upload, read as carefully as one that is dropped."""
    from netlathe.lab.child import parse
    from netlathe.lab.uploads import digest_of

    content = read_bytes(file)
    return uploads.put(digest_of(content), asyncio.run(parse(file, file.name)))
