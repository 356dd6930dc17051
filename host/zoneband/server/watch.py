"""How a server is watched: every request in log and metrics, /metrics and /healthz.

/metrics is there only for whoever knows its token, also on this computer: behind a proxy every
caller comes from there. Without a token there is no /metrics."""

import asyncio
import hmac
import logging
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zoneband import __version__, disk, secret_files
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _
from zoneband.server.metrics import METHODS, NO_ROUTE, Metrics
from zoneband.server.problem import Problem
from zoneband.server.pseudonyms import Pseudonyms
from zoneband.server.tracing_server import TracingServer

VARIABLE = "ZONEBAND_METRICS_TOKEN"
_CREDENTIAL = "metrics-token"
_SHORTEST_TOKEN = 16
_CONTENT = "text/plain; version=0.0.4; charset=utf-8"
_GONE = 499  # nginx' own word for a caller who did not wait for the answer
_HEALTH_S = 1.0  # as long an answer to /healthz is given again
_say = logging.getLogger("zoneband.requests")
_CREATED = re.compile(rb";created=([0-9]{1,12})(?:;|$)")


def find_token() -> str | None:
    """What opens /metrics: systemd's credential `metrics-token`, else $ZONEBAND_METRICS_TOKEN; None
    for no /metrics. Raises UserError for one that could be guessed."""
    found = secret_files.find(_CREDENTIAL, VARIABLE)
    if found is not None and len(found) < _SHORTEST_TOKEN:
        raise UserError(
            _("The metrics token is too short: make one with {command}").format(
                command="openssl rand -hex 32"
            ),
            ExitCode.USAGE,
        )
    return found


class Watch:
    """The watching of one server."""

    def __init__(
        self, server: TracingServer, directory: Path, utc: Callable[[], float], token: str | None
    ) -> None:
        """utc: Unix seconds now; token: what opens /metrics, None for nothing."""
        self._server = server
        self._directory = directory
        self._token = token
        self._lock = threading.Lock()
        self._parts: tuple[float, dict[str, bool]] = (-_HEALTH_S, {})
        self.pseudonyms = Pseudonyms(directory)
        self.metrics = Metrics(
            lambda: server.condition(directory), server.sealed.locked, self.pseudonyms, utc
        )

    def add(self, app: FastAPI, utc: Callable[[], float]) -> None:
        """Put it around an application."""
        app.add_middleware(_Observed, self, utc)

        @app.get("/healthz")
        def health(request: Request) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
            """Whether the server can take uploads: 200, or 503 and the parts that are not ready.
            authority: whether it can open sealed records and logs; locked, it keeps them. How much
            and why is told only to whoever knows the token of /metrics."""
            parts = self._health()
            words = {name: "ready" if good else "not ready" for name, good in parts.items()}
            key = "locked" if self._server.sealed.locked() else "unlocked"
            good = all(parts.values())
            body: dict[str, Any] = {"status": "ready" if good else "not ready"}
            body |= words | {"authority": key}
            if self._knows(request):
                body["version"] = __version__
                body["disk_free_bytes"] = disk.free_bytes(self._directory)
            return JSONResponse(body, 200 if good else 503, {"Cache-Control": "no-store"})

        @app.get("/metrics", include_in_schema=False)
        def metrics(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
            if not self._knows(request):
                raise Problem(404, "Not Found")
            return Response(self.metrics.text(), media_type=_CONTENT)

    def _knows(self, request: Request) -> bool:
        given = request.headers.get("authorization", "")
        wanted = f"Bearer {self._token}"
        return self._token is not None and hmac.compare_digest(given.encode(), wanted.encode())

    def _health(self) -> dict[str, bool]:
        # Strangers may ask as often as they like: the ledger is not asked as often.
        with self._lock:
            at, parts = self._parts
            if time.monotonic() - at >= _HEALTH_S:
                try:
                    self._server.touch()
                    ledger = True
                except SQLAlchemyError:
                    ledger = False
                room = disk.free_bytes(self._directory) >= disk.LOW_BYTES
                parts = {"ledger": ledger, "disk": room}
                self._parts = time.monotonic(), parts
            return parts


class _Observed:
    """Times each request, and tells what became of it."""

    def __init__(self, app: ASGIApp, watch: Watch, utc: Callable[[], float]) -> None:
        self._app = app
        self._watch = watch
        self._utc = utc

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except (asyncio.CancelledError, ClientDisconnect):
            status = status or _GONE
            raise
        finally:
            self._tell(scope, status or 500, time.perf_counter() - began)

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        route = _template(scope)
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._watch.metrics.request(method, route, status, seconds)
        who: dict[str, str] = {}
        named = scope.get("path_params", {})
        if route.startswith("/v1/stations/{name}") and status < 400:
            who["station"] = self._watch.pseudonyms.station(named["name"])
            created = _CREATED.search(dict(scope["headers"]).get(b"signature-input", b""))
            if created:
                self._watch.metrics.signed(named["name"], int(created[1]) - self._utc())
        if isinstance(named.get("serial"), str):
            who["band"] = self._watch.pseudonyms.band(named["serial"])
        level = logging.ERROR if status >= 500 else logging.INFO
        facts = {"method": method, "route": route, "status": status, "ms": round(seconds * 1e3)}
        _say.log(level, "request", extra=facts | who)


def _template(scope: Scope) -> str:
    # A request's route as it was declared, never what was asked for.
    path = getattr(scope.get("route"), "path", None)
    if not isinstance(path, str):
        return NO_ROUTE
    return scope.get("root_path", "") + path
