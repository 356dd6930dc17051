"""Places: who was at a venue beacon, and when."""

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from zoneband import serials
from zoneband.errors import UserError
from zoneband.i18n import _
from zoneband.server import case_traces
from zoneband.server.ledger import Unknown
from zoneband.server.moments import moment, today
from zoneband.server.pages.door import Seen, Visitor
from zoneband.server.pages.one_case import notes_of, refusal
from zoneband.server.pages.templates import page, query
from zoneband.server.refused import NoCase, Refused
from zoneband.server.tracing_server import TracingServer

_Begin = Annotated[str, Query(alias="from")]
_End = Annotated[str, Query(alias="to")]


def add(pages: FastAPI, server: TracingServer, utc: Callable[[], float]) -> None:
    """Add the page of places. utc: Unix seconds now."""

    def show(
        request: Request, who: Visitor, serial: str, begin: str, end: str, case: str
    ) -> Response:
        now = today(utc())
        number = int(case) if case.isascii() and case.isdigit() and len(case) < 10 else None
        found: list[dict[str, Any]] | None = None
        notes: list[str] = []
        error = ""
        read = serial
        if serial:
            try:
                read = serials.read(serial)
                span = moment(begin, False), moment(end, True)
                answer = case_traces.visits(server, read, *span, number)
                found, notes = answer["visitors"], notes_of(answer["notes"])
            except UserError as wrong:
                error = wrong.message
            except ValueError:
                error = _("Give the first and the last day as dates.")
            except (Unknown, NoCase):
                error = _("The server knows no such case, band or page.")
            except Refused as wrong:
                error = refusal(wrong)
        return page(
            request,
            "venues.html",
            who,
            status=422 if error else 200,
            serial=read,
            first=begin or (now - timedelta(days=14)).isoformat(),
            last=end or now.isoformat(),
            case_number=number,
            cases=[each for each in server.cases.list() if each["state"] != "withdrawn"],
            known=[each["serial"] for each in server.bands() if each["role"] == "venue"],
            found=found,
            notes=notes,
            error=error,
        )

    @pages.get("/venues")
    def choose(  # pyright: ignore[reportUnusedFunction]
        request: Request,
        who: Seen,
        serial: str = "",
        begin: _Begin = "",
        end: _End = "",
        case: str = "",
    ) -> Response:
        if serial and begin and end:
            try:
                kept = serials.read(serial)
            except UserError:
                return show(request, who, serial, begin, end, case)
            values = query(**{"from": begin, "to": end, "case": case})
            return RedirectResponse(f"/tracer/venues/{kept}{values}", 303)
        return show(request, who, serial, begin, end, case)

    @pages.get("/venues/{serial}")
    def visits(  # pyright: ignore[reportUnusedFunction]
        request: Request,
        serial: str,
        who: Seen,
        begin: _Begin = "",
        end: _End = "",
        case: str = "",
    ) -> Response:
        return show(request, who, serial, begin, end, case)
