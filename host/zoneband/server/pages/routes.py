"""The tracers' pages over HTTP: an application of their own under /tracer."""

import logging
from collections.abc import Callable

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fontpkg_be_vietnam_pro import ROOT
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from zoneband.i18n import _
from zoneband.server import roles
from zoneband.server.audit import Unwritable
from zoneband.server.gate import Gate, guard
from zoneband.server.ledger import Unknown
from zoneband.server.pages import (
    call_pages,
    case_pages,
    code_pages,
    login_pages,
    trace_pages,
    venue_pages,
)
from zoneband.server.pages.door import HOME, ForeignForm, LogInFirst, NoRole, safe_path
from zoneband.server.pages.one_case import refusal
from zoneband.server.pages.shell import Shell
from zoneband.server.pages.templates import STATIC, page, query
from zoneband.server.problem import Problem
from zoneband.server.refused import NoCase, Refused
from zoneband.server.tracing import Busy
from zoneband.server.tracing_server import TracingServer

_FILES = {name: STATIC / name for name in ("tracer.css", "tracer.js", "icon.svg")}
for _weight in ("Regular", "SemiBold", "Bold"):
    _font = f"BeVietnamPro-{_weight}.ttf"
    _FILES[_font] = ROOT / "files" / _font


def add_pages(app: FastAPI, server: TracingServer, utc: Callable[[], float], gate: Gate) -> None:
    """Add the tracers' pages to the server's application. utc: Unix seconds now; gate: of all
    endpoints."""
    pages = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    guard(pages, gate, "/tracer")
    login_pages.add(pages, server)
    case_pages.add(pages, server, utc)
    code_pages.add(pages, server)
    trace_pages.add(pages, server)
    call_pages.add(pages, server, utc)
    venue_pages.add(pages, server, utc)
    _add_files(pages)
    _add_errors(pages)
    pages.add_middleware(Shell)
    app.mount("/tracer", pages)

    @app.get("/", include_in_schema=False)
    def home() -> RedirectResponse:  # pyright: ignore[reportUnusedFunction]
        return RedirectResponse(HOME)


def _add_files(pages: FastAPI) -> None:
    @pages.get("/static/{name}")
    def static(name: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        if name not in _FILES:
            raise HTTPException(404)
        kept = {"Cache-Control": "public, max-age=604800"}
        return FileResponse(_FILES[name], headers=kept)


def _add_errors(pages: FastAPI) -> None:
    def message(request: Request, status: int, heading: str, text: str) -> Response:
        return page(
            request,
            "message.html",
            getattr(request.state, "visitor", None),
            status=status,
            here=HOME,
            section="",
            heading=heading,
            text=text,
            back=HOME,
            back_text=_("To the cases"),
        )

    @pages.exception_handler(LogInFirst)
    async def log_in(request: Request, _error: LogInFirst) -> Response:  # pyright: ignore[reportUnusedFunction]
        # Where somebody wanted to go; what a form would have changed is not done later.
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        after = safe_path(wanted) if request.method == "GET" else HOME
        ended = "ended" if request.cookies else ""
        values = query(next="" if after == HOME else after, why=ended)
        return RedirectResponse(f"/tracer/login{values}", 303)

    @pages.exception_handler(ForeignForm)
    async def foreign(request: Request, _error: ForeignForm) -> Response:  # pyright: ignore[reportUnusedFunction]
        return message(
            request,
            403,
            _("Not done"),
            _("This form is not of this session any more. Open the page again and send it anew."),
        )

    @pages.exception_handler(NoRole)
    async def no_role(request: Request, error: NoRole) -> Response:  # pyright: ignore[reportUnusedFunction]
        names = ", ".join(roles.name(role) for role in roles.ROLES if role in error.roles)
        text = _("This is only for: {roles}. Your account has another role.").format(roles=names)
        return message(request, 403, _("Not done"), text)

    @pages.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> Response:  # pyright: ignore[reportUnusedFunction]
        text = _("The server cannot read this.")
        if error.status == 429:
            wait_s = (error.headers or {}).get("Retry-After", "")
            text = _("Too many questions in a short time. Wait {n} seconds, then try again.")
            text = text.format(n=wait_s)
        answer = message(request, error.status, _("Not done"), text)
        answer.headers.update(error.headers or {})
        return answer

    @pages.exception_handler(Unwritable)
    async def unwritable(request: Request, _error: Unwritable) -> Response:  # pyright: ignore[reportUnusedFunction]
        text = _("The server cannot write its audit log, and answers nothing without it.")
        return message(request, 503, _("Not done"), text)

    @pages.exception_handler(NoCase)
    @pages.exception_handler(Unknown)
    async def missing(request: Request, _error: Exception) -> Response:  # pyright: ignore[reportUnusedFunction]
        return message(
            request, 404, _("Not found"), _("The server knows no such case, band or page.")
        )

    @pages.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> Response:  # pyright: ignore[reportUnusedFunction]
        return message(request, 422, _("Not done"), refusal(error))

    @pages.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:  # pyright: ignore[reportUnusedFunction]
        if error.status_code in (404, 405):
            return await missing(request, error)
        return message(request, error.status_code, _("Not done"), _("The server cannot read this."))

    @pages.exception_handler(RequestValidationError)
    @pages.exception_handler(DataError)
    async def unreadable(request: Request, _error: Exception) -> Response:  # pyright: ignore[reportUnusedFunction]
        return message(request, 400, _("Not done"), _("The server cannot read this."))

    @pages.exception_handler(OperationalError)
    @pages.exception_handler(NoConnection)
    @pages.exception_handler(Busy)
    async def busy(request: Request, _error: Exception) -> Response:  # pyright: ignore[reportUnusedFunction]
        return message(
            request, 503, _("Not done"), _("The server is busy. Try again in a few seconds.")
        )

    @pages.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:  # pyright: ignore[reportUnusedFunction]
        logging.getLogger("zoneband").error("a page failed", exc_info=error)
        return message(
            request,
            500,
            _("Not done"),
            _("The server failed at this. Tell whoever runs it; its log says why."),
        )
