"""What health staff do: give the code of a case, and confirm what a tracer declared."""

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from zoneband.server.pages import words
from zoneband.server.pages.door import Sent
from zoneband.server.pages.one_case import Number
from zoneband.server.pages.templates import page
from zoneband.server.tracing_server import TracingServer


def add(pages: FastAPI, server: TracingServer) -> None:
    """Add what these forms send."""

    @pages.post("/codes")
    def give(request: Request, who: Sent) -> Response:  # pyright: ignore[reportUnusedFunction]
        code, expires_s = server.cases.codes.give(who.session.tracer)
        until = words.moment(expires_s)
        return page(request, "code.html", who, here="/tracer/", code=code, until=until)

    @pages.post("/cases/{number}/confirm")
    def confirm(number: Number, who: Sent) -> Response:  # pyright: ignore[reportUnusedFunction]
        server.cases.confirm(number, who.session.tracer)
        return RedirectResponse("/tracer/?said=confirmed", 303)
