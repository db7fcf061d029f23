"""The guard of the page: only this machine, only this page.

Every address begins with the token. The Host must be a name of the loopback device (an attacker's name that resolves to
127.0.0.1 is not), a request that says where it comes from must come from the page itself, and what is sent back allows
the browser nothing beyond this origin.
"""

from __future__ import annotations

import re
import secrets
import sys

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LONGEST = 32_000  # bytes of headers
LOOPBACK = re.compile(r"(127\.0\.0\.1|localhost)(:[0-9]{1,5})?")
# Plotly sets its few rules in a style element; it needs no inline script, no eval and nothing from elsewhere.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class SecurityGuard:
    """ASGI middleware: refuses what does not hold the token or comes from elsewhere; `/token/path` becomes `/path`."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app, self.token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # no web sockets here, and nothing to start or stop

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self.refused(scope)
        if refusal is not None:
            await PlainTextResponse(refusal, status_code=403)(scope, receive, guarded)
            return
        rest = scope["path"].split("/", 2)[2]
        try:
            await self.app({**scope, "path": f"/{rest}", "root_path": ""}, receive, guarded)
        except Exception as error:  # it was answered: no traceback of a bug fills the terminal
            print(f"netlathe lab: a bug at /{rest!a}: {type(error).__name__}: {str(error)[:400]!a}", file=sys.stderr)

    def refused(self, scope: Scope) -> str | None:
        """Why a request is refused, if it is."""
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if not LOOPBACK.fullmatch(host):
            return "this page answers to 127.0.0.1 only"
        if origin is not None and origin != f"http://{host}":
            return "another page may not ask this one"
        if sum(len(name) + len(value) for name, value in headers.raw) > LONGEST:
            return "the headers of this request are too long"
        if "upgrade" in headers:
            return "this page speaks HTTP alone, and no web sockets"
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return "another page may not ask this one"
        parts = scope["path"].split("/", 2)
        if len(parts) < 3 or not secrets.compare_digest(parts[1].encode(), self.token.encode()):
            return "wrong token: open the address that `netlathe lab` printed"
        return None
