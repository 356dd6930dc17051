"""All cases, and declaring one."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Form, Query, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from zoneband import serials
from zoneband.errors import UserError
from zoneband.i18n import _
from zoneband.server.gate import Asker, asker
from zoneband.server.ledger import Unknown
from zoneband.server.moments import today
from zoneband.server.pages.door import Seen, Sent, Visitor
from zoneband.server.pages.one_case import refusal
from zoneband.server.pages.templates import page
from zoneband.server.refused import Refused
from zoneband.server.roles import HEALTH, TRACER
from zoneband.server.tracing_server import TracingServer


def add(pages: FastAPI, server: TracingServer, utc: Callable[[], float]) -> None:
    """Add the page of all cases. utc: Unix seconds now."""

    def overview(
        request: Request,
        who: Visitor,
        every: bool = False,
        status: int = 200,
        given: Mapping[str, str] | None = None,
        error: str = "",
        field: str = "",
        holders: list[dict[str, Any]] | None = None,
    ) -> Response:
        empty = {"serial": "", "by": "onset", "day": "", "isolated": "", "code": ""}
        roles = who.session.roles
        return page(
            request,
            "cases.html",
            who,
            status=status,
            here="/tracer/" if given is not None else None,
            cases=server.cases.list(None if every else "open"),
            every=every,
            locked=server.sealed.locked(),
            given=empty | dict(given or {}),
            error=error,
            error_field=field,
            holders=holders or [],
            today=today(utc()).isoformat(),
            may_declare=TRACER in roles,
            may_give=HEALTH in roles,
            two_persons=server.cases.two_persons,
        )

    @pages.get("/")
    def home(
        request: Request, who: Seen, every: Annotated[str, Query(alias="all")] = ""
    ) -> Response:
        return overview(request, who, bool(every))

    @pages.post("/cases")
    def declare(  # pyright: ignore[reportUnusedFunction]
        request: Request,
        who: Sent,
        asked: Annotated[Asker, Depends(asker)],
        serial: Annotated[str, Form()] = "",
        by: Annotated[str, Form()] = "onset",
        day: Annotated[str, Form()] = "",
        isolated: Annotated[str, Form()] = "",
        holder: Annotated[str, Form()] = "",
        code: Annotated[str, Form(max_length=64)] = "",
    ) -> Response:
        given = {"serial": serial.strip(), "by": by, "day": day, "isolated": isolated, "code": code}

        def again(error: str, field: str, holders: list[dict[str, Any]] | None = None) -> Response:
            return overview(request, who, False, 422, given, error, field, holders)

        try:
            read = serials.read(serial)
        except UserError as error:
            return again(error.message, "serial")
        if not _is_day(day):
            return again(_("Give the day as a date."), "day")
        if isolated and not _is_day(isolated):
            return again(_("Give the day as a date."), "isolated")
        asked.note(serial=read)
        onset, tested = (None, day) if by == "tested" else (day, None)
        number = int(holder) if holder.isascii() and holder.isdigit() and len(holder) < 6 else None
        try:
            case = server.cases.declare(
                read, onset, tested, isolated or None, number, code=code, by=who.session.tracer
            )
        except Unknown:
            return again(_("The server knows no band with this serial."), "serial")
        except Refused as error:
            if error.code == "choose_holder":
                text = _("Several people had this band since then: say below which one it is.")
                return again(text, "holder", error.values["holders"])
            asked.note(why=error.code)
            field = {"isolated_before": "isolated", "venue": "serial"}.get(error.code, "day")
            field = "code" if error.code.startswith("code_") else field
            return again(refusal(error), field)
        asked.note(case=case["number"], new=case["new"])
        said = "declared" if case["new"] else "known"
        waits = server.cases.two_persons and case["confirmed_by"] is None
        where = "" if waits else f"cases/{case['number']}"
        return RedirectResponse(f"/tracer/{where}?said={said}", 303)


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return len(text) == 10
