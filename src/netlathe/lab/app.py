"""The application: one small function a question of the page. What is computed is computed in workers (`pool`)."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from netlathe.errors import Exit, NetlatheError
from netlathe.html import STYLE
from netlathe.lab import child
from netlathe.lab.pool import Admission, WorkerPool
from netlathe.lab.security import SecurityGuard
from netlathe.lab.state import LONGEST, LabState, read_state
from netlathe.lab.uploads import Upload, Uploads, machine_refuses
from netlathe.process.temporary import temporary_file, temporary_folder
from netlathe.report.page import read_asset
from netlathe.report.theme import style

PAGE = Path(__file__).parent / "page"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
JSON = "application/json"
UPLOAD = 256 * 10**6  # bytes
REMEMBERED = 128  # answers
STATUS = {
    Exit.USAGE: 422,
    Exit.INFEASIBLE: 422,
    Exit.MISSING: 501,
    "lab.size": 413,
    "lab.busy": 503,
    "lab.stopping": 503,
    "lab.machine": 507,
}


class LabServer:
    """What the application holds: the uploads, the workers, and who may come in."""

    def __init__(self, *, seconds: float = 3.0) -> None:
        """`seconds` of processor time for what follows a knob; what a page can wait for has ten times as many."""
        self.uploads = Uploads()
        self.quick = WorkerPool(2, 32, seconds)
        self.patient = WorkerPool(2, 16, 10 * seconds, nice=5)
        self.arriving, self.parsing = Admission(8, 0, "uploads"), Admission(2, 8, "uploads")
        self.exporting = Admission(4, 0, "exports")
        self.memory: OrderedDict[Any, asyncio.Future[bytes]] = OrderedDict()

    def asked_of(self, state: LabState) -> dict[str, Upload]:
        """The uploads that a state names."""
        return self.uploads.those(state.net, state.device)

    async def remember(self, key: Any, answer: Callable[[], Awaitable[bytes]]) -> bytes:
        """An answer that was given before, or is on its way; else a new one."""
        if key not in self.memory:
            self.memory[key] = asyncio.ensure_future(answer())
            while len(self.memory) > REMEMBERED:
                self.memory.popitem(last=False)
        try:
            return await asyncio.shield(self.memory[key])
        except BaseException:
            self.memory.pop(key, None)
            raise

    def stop(self) -> None:
        """End the workers; whoever waits for an answer is told."""
        self.quick.stop()
        self.patient.stop()


def make_app(
    token: str, server: LabServer | None = None, *, upload: int = UPLOAD, seconds: float = child.SECONDS
) -> ASGIApp:
    """The page for one token. `upload` bounds a file in bytes, `seconds` the time to read it."""
    lab = server or LabServer()

    async def page(request: Request) -> Response:
        file = PAGE / (request.path_params.get("name") or "index.html")
        if file.parent != PAGE or file.suffix not in TYPES or not file.is_file():
            return Response(status_code=404)
        return FileResponse(file, media_type=TYPES[file.suffix], headers={"Cache-Control": "no-cache"})

    async def plotly(request: Request) -> Response:
        return FileResponse(plotly_file(), media_type=TYPES[".js"], headers={"Cache-Control": "max-age=86400"})

    async def menu(request: Request) -> Response:
        content = json.loads(await lab.quick.ask("menu", {}, lab.uploads.cards()))
        return as_json(content | {"uploads": lab.uploads.networks()})

    async def view(request: Request) -> Response:
        text = await query(request)
        charts, tables = request.query_params.get("charts", "")[:LONGEST], "tables" in request.query_params
        about = {"state": text, "charts": list(filter(None, charts.split(","))), "tables": tables}
        uploads = lab.asked_of(read_state(text))
        key = (text, charts, tables, *uploads)
        return Response(await lab.remember(key, lambda: lab.quick.ask("view", about, uploads)), media_type=JSON)

    async def at_rest(request: Request) -> Response:
        text, question = await query(request), request.scope["path"].strip("/")
        uploads = lab.asked_of(read_state(text))
        answer = await lab.patient.ask(question, {"state": text}, uploads, request.is_disconnected)
        return Response(answer, media_type=JSON)

    async def upload_file(request: Request) -> Response:
        name = Path(request.query_params.get("name", "")).name[:120] or "unnamed"
        async with lab.arriving:
            with temporary_file() as file:
                content, size = hashlib.sha256(), 0
                async for piece in request.stream():
                    size += len(piece)
                    if size > upload:
                        raise NetlatheError(
                            f"{name} is larger than {upload / 1e6:g} MB",
                            code="lab.size",
                            hint="netlathe cost FILE reads it from the command line",
                        )
                    content.update(piece)
                    file.write(piece)
                file.flush()
                async with lab.parsing:
                    parsed = await child.parse(Path(file.name), name, seconds=seconds)
        mark = lab.uploads.put(content.hexdigest(), parsed)
        return as_json({"name": mark, "title": parsed.title, "kind": parsed.kind})

    async def export(request: Request) -> Response:
        text = request.scope["query_string"].decode("latin-1")
        state, what = read_state(text), request.path_params["what"]
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(lab.exporting)
            folder = stack.enter_context(temporary_folder())
            about = {"state": text, "what": what, "folder": str(folder)}
            file = folder / json.loads(await lab.patient.ask("export", about, lab.asked_of(state)))
            return FileResponse(file, filename=file.name, background=BackgroundTask(stack.pop_all().aclose))

    async def claims(request: Request) -> Response:
        return Response(await lab.quick.ask("claims", {}, {}), media_type=JSON)

    async def claim(request: Request) -> Response:
        about = {"id": request.query_params.get("id", "")[:40]}
        return Response(await lab.patient.ask("claim", about, {}), media_type=JSON)

    async def alive(request: Request) -> Response:
        return Response(status_code=204)

    async def theme(request: Request) -> Response:
        return Response(STYLE + style(), media_type=TYPES[".css"])

    async def paint(request: Request) -> Response:
        return Response(read_asset("paint.js"), media_type=TYPES[".js"])

    routes = [
        Route("/theme.css", theme),
        Route("/paint.js", paint),
        Route("/", page),
        Route("/page/{name}", page),
        Route("/plotly.js", plotly),
        Route("/menu", menu),
        Route("/claims", claims),
        Route("/claim", claim),
        Route("/alive", alive),
        Route("/view", view, methods=["POST"]),
        Route("/advice", at_rest, methods=["POST"]),
        Route("/front", at_rest, methods=["POST"]),
        Route("/road", at_rest, methods=["POST"]),
        Route("/upload", upload_file, methods=["POST"]),
        Route("/export/{what}", export),
    ]
    handlers = {NetlatheError: refused, OSError: no_room, ClientDisconnect: gone, Exception: failed}
    return SecurityGuard(Starlette(routes=routes, exception_handlers=handlers), token)


def as_json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A value in JSON, as ASCII: a name may hold half a character, which no UTF-8 can say."""
    return Response(json.dumps(value), status, headers, JSON)


async def query(request: Request) -> str:
    """The state that a request asks about. Raises NetlatheError for one that no page sends."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > LONGEST:
            raise NetlatheError("this address is too long", code="lab.field")
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise NetlatheError("this address is not text", code="lab.field") from None


async def refused(request: Request, error: Exception) -> Response:
    """A mistake of the user, as the page shows it."""
    assert isinstance(error, NetlatheError)
    body = {"code": error.code, "message": error.message, "path": error.path, "hint": error.hint}
    status = STATUS.get(error.code, STATUS.get(error.exit, 422))
    headers = {"Retry-After": "1"} if status == 503 else None
    return as_json({"error": body}, status, headers)


async def no_room(request: Request, error: Exception) -> Response:
    """The machine has no room on its disk, for another process or another file."""
    assert isinstance(error, OSError)
    return await refused(request, NetlatheError(machine_refuses(error), code="lab.machine"))


async def gone(request: Request, error: Exception) -> Response:
    """The reader left."""
    return Response(status_code=499)


async def failed(request: Request, error: Exception) -> Response:
    """A mistake of ours; the guard tells it in the terminal."""
    body = {"code": "bug", "message": f"this is a bug in Netlathe: {error}", "path": "", "hint": ""}
    return as_json({"error": body}, 500)


def plotly_file() -> Path:
    """The bundle that comes with the installed plotly."""
    spec = importlib.util.find_spec("plotly")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "package_data" / "plotly.min.js"
