"""The application: one small function a question of the page. Everything that it knows is the catalogue."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from netlathe import zoo
from netlathe.audit.claims import find_claim as known
from netlathe.audit.claims import select_claims
from netlathe.audit.run import check_claim
from netlathe.errors import Exit, NetlatheError
from netlathe.html import STYLE
from netlathe.lab import advice, child, exports
from netlathe.lab.catalogue import Catalogue
from netlathe.lab.charts import charts
from netlathe.lab.facts import LabFacts, read_facts
from netlathe.lab.fair_queue import FairQueue
from netlathe.lab.front import front
from netlathe.lab.modernise import roadmap_steps
from netlathe.lab.running import way_name, way_title
from netlathe.lab.security import SecurityGuard
from netlathe.lab.state import LabState, read_state
from netlathe.lab.view import answer
from netlathe.process.temporary import temporary_file, temporary_folder
from netlathe.report.page import read_asset
from netlathe.report.theme import style
from netlathe.target.device import all_targets

PAGE = Path(__file__).parent / "page"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
UPLOAD = 256 * 10**6  # bytes
QUERY = 8192  # characters of a state
STATUS = {Exit.USAGE: 422, Exit.INFEASIBLE: 422, Exit.MISSING: 501}


def make_app(
    token: str, catalogue: Catalogue | None = None, *, upload: int = UPLOAD, seconds: float = child.SECONDS
) -> ASGIApp:
    """The page for one token. `upload` bounds a file in bytes, `seconds` the time to read it."""
    catalogue = catalogue or Catalogue()

    @lru_cache(maxsize=128)
    def seen(state: LabState) -> tuple[LabFacts, dict[str, Any]]:
        net = catalogue.net(state.net)
        facts = read_facts(state, net, catalogue.card(state.device))
        return facts, answer(state, facts, net)

    async def page(request: Request) -> Response:
        name = request.path_params.get("name") or "index.html"
        file = PAGE / name
        if file.parent != PAGE or not file.is_file():
            return Response(status_code=404)
        return FileResponse(file, media_type=TYPES[file.suffix], headers={"Cache-Control": "no-cache"})

    async def plotly(request: Request) -> Response:
        return FileResponse(plotly_file(), media_type=TYPES[".js"], headers={"Cache-Control": "max-age=86400"})

    async def menu(request: Request) -> Response:
        cards = [
            {
                "name": name,
                "title": title,
                "class": kind,
                "runs": [[way_name(t), way_title(t)] for t in all_targets(catalogue.card(name))],
            }
            for name, title, kind in catalogue.devices()
        ]
        return JSONResponse({"networks": zoo.names(), "uploads": catalogue.networks(), "devices": cards})

    @lru_cache(maxsize=128)
    def written(state: LabState, names: str, tables: bool) -> bytes:
        facts, document = seen(state)
        document = document | {"charts": charts(facts, filter(None, names.split(",")), tables=tables)}
        return json.dumps(document, separators=(",", ":")).encode()

    async def show(request: Request) -> Response:
        state, asked = read_state(await query(request)), request.query_params
        return Response(written(state, asked.get("charts", ""), "tables" in asked), media_type="application/json")

    async def advise(request: Request) -> Response:
        state = read_state(await query(request))

        async def pause() -> None:
            if await request.is_disconnected():  # a knob has moved since
                raise ClientDisconnect
            await turns.pause()

        return JSONResponse(await advice.advice(state, catalogue.net(state.net), catalogue.card(state.device), pause))

    async def fronts(request: Request) -> Response:
        state = read_state(await query(request))
        return JSONResponse(await front(state, catalogue.card(state.device), turns.pause))

    async def roads(request: Request) -> Response:
        state = read_state(await query(request))
        return JSONResponse(await run_in_threadpool(roadmap_steps, catalogue.net(state.net)))

    async def upload_file(request: Request) -> Response:
        name = Path(request.query_params.get("name", "")).name[:120] or "unnamed"
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
            parsed = await child.parse(Path(file.name), name, seconds=seconds)
        mark = catalogue.put(content.hexdigest()[:12], parsed)
        return JSONResponse({"name": mark, "title": parsed.name, "kind": child.KINDS[Path(name).suffix.lower()]})

    async def export(request: Request) -> Response:
        state = read_state(request.url.query)
        net, card = catalogue.net(state.net), catalogue.card(state.device)
        with ExitStack() as stack:
            folder = stack.enter_context(temporary_folder())
            file = await run_in_threadpool(exports.export, request.path_params["what"], state, net, card, folder)
            clean_up = BackgroundTask(stack.pop_all().close)  # when the file has been sent
        return FileResponse(file, filename=file.name, background=clean_up)

    async def claims(request: Request) -> Response:
        return JSONResponse({"claims": [{"id": c.id, "slide": c.slide, "text": c.text} for c in select_claims()]})

    async def claim(request: Request) -> Response:
        facts = await run_in_threadpool(check_claim, known(request.query_params.get("id", "")))
        return JSONResponse(facts.record())

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
        Route("/view", show, methods=["POST"]),
        Route("/advice", advise, methods=["POST"]),
        Route("/front", fronts, methods=["POST"]),
        Route("/road", roads, methods=["POST"]),
        Route("/upload", upload_file, methods=["POST"]),
        Route("/export/{what}", export),
    ]
    app = Starlette(routes=routes, exception_handlers={NetlatheError: refused, ClientDisconnect: gone})
    turns = FairQueue(app, ("/front", "/advice"))
    return SecurityGuard(turns, token)


async def query(request: Request) -> str:
    """The state that a request asks about. Raises NetlatheError for one that no page sends."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > QUERY:
            raise NetlatheError("this address is too long", code="lab.field")
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise NetlatheError("this address is not text", code="lab.field") from None


async def refused(request: Request, error: Exception) -> Response:
    """A mistake of the user, as the page shows it."""
    assert isinstance(error, NetlatheError)
    body = {"code": error.code, "message": error.message, "path": error.path, "hint": error.hint}
    return JSONResponse({"error": body}, status_code=STATUS.get(error.exit, 422))


async def gone(request: Request, error: Exception) -> Response:
    """The reader left."""
    return Response(status_code=499)


def plotly_file() -> Path:
    """The bundle that comes with the installed plotly."""
    spec = importlib.util.find_spec("plotly")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "package_data" / "plotly.min.js"
