"""Cases, swapped bands, venues and rule sets over HTTP: what zoneband.server.app adds to its other
routes. All of it is for accounts."""

from datetime import date
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from zoneband import serials
from zoneband.server import case_traces, problem
from zoneband.server.gate import Asker, asker
from zoneband.server.moments import moment
from zoneband.server.problem import Problem
from zoneband.server.refused import NoCase, Refused
from zoneband.server.tracing_server import TracingServer
from zoneband.tracing.rules import DEFAULT

Serial = Annotated[str, Field(pattern=serials.PATTERN)]
Number = Annotated[int, Field(ge=1, lt=1 << 31)]
Degrees = Annotated[int, Query(ge=1, le=3)]
Begin = Annotated[str, Query(alias="from")]
End = Annotated[str, Query(alias="to")]
Who = Annotated[Asker, Depends(asker)]
Engine = Annotated[str | None, Query(max_length=500)]


class CaseBody(BaseModel):
    """A wearer declared a case."""

    serial: Serial
    onset: date | None = None
    tested: date | None = None
    isolated: date | None = None
    holder: Number | None = None
    code: str | None = Field(default=None, max_length=64)


class EndBody(BaseModel):
    """Why a case ended."""

    reason: str = Field(min_length=1, max_length=2000)


class SwapBody(BaseModel):
    """Two wearers who had each other's band on, from and to as `moment` reads them."""

    serial_a: Serial
    serial_b: Serial
    begin: str = Field(alias="from")
    end: str = Field(alias="to")


def span(begin: str, end: str) -> tuple[int, int]:
    """UTC seconds from and before, of what a tracer gave. Raises Problem and Refused."""
    try:
        from_s, to_s = moment(begin, False), moment(end, True)
    except ValueError:
        raise Problem(400, "from and to are days or ISO times with an offset") from None
    if to_s <= from_s:
        raise Refused("span_backwards", wrong=True)
    return from_s, to_s


def add_routes(app: FastAPI, server: TracingServer) -> None:
    """Add the routes."""
    for_accounts = [Depends(asker)]

    @app.exception_handler(Refused)
    async def refused(_request: Request, error: Refused) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        title = f"refused: {error.code}"
        more = {"code": error.code, "values": error.values}
        return problem.answer(400 if error.wrong else 409, title, more=more)

    @app.exception_handler(NoCase)
    async def no_case(request: Request, _error: NoCase) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        values = {"number": request.path_params.get("number") or request.query_params.get("case")}
        more = {"code": "no_case", "values": values}
        return problem.answer(404, "no such case", more=more)

    @app.post("/v1/case-codes", status_code=201)
    def give_code(who: Who) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """A code with which one case may be declared, once, until expires_s (UTC seconds)."""
        code, expires_s = server.cases.codes.give(who.account)
        return {"code": code, "expires_s": expires_s}

    @app.post("/v1/cases", status_code=201)
    def declare(body: CaseBody, who: Who) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """Declare a wearer a case, by the first day of illness (onset) or the day of the test
        (tested), with a code of health staff, and by which wearer of the band in turn (holder)
        where several had it since: 409 choose_holder names them. Harmless to repeat, then without a
        code; adds isolated and holder where they were not known."""
        who.note(serial=body.serial)
        days = (
            None if day is None else day.isoformat()
            for day in (body.onset, body.tested, body.isolated)
        )
        case = server.cases.declare(
            body.serial, *days, holder=body.holder, code=body.code, by=who.account
        )
        who.note(case=case["number"], new=case["new"])
        return case

    @app.get("/v1/cases", dependencies=for_accounts)
    def cases(  # pyright: ignore[reportUnusedFunction]
        state: Literal["open", "closed", "withdrawn"] | None = None,
        serial: Annotated[str | None, Query(pattern=serials.PATTERN)] = None,
    ) -> list[dict[str, Any]]:
        """All cases, or those of one state, or of one band, newest first."""
        return server.cases.list(state, serial)

    @app.get("/v1/cases/{number}", dependencies=for_accounts)
    def case(number: Number) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """One case: its band and wearer, days, state, and notes that a tracer must know."""
        return server.cases.get(number)

    @app.post("/v1/cases/{number}/confirm")
    def confirm(number: Number, who: Who) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """Confirm a case that another account has declared. Harmless to repeat."""
        return server.cases.confirm(number, who.account)

    @app.post("/v1/cases/{number}/close", dependencies=for_accounts)
    def close(number: Number, body: EndBody) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """End a case that is over. It can still be traced."""
        return server.cases.close(number, body.reason)

    @app.post("/v1/cases/{number}/withdraw", dependencies=for_accounts)
    def withdraw(number: Number, body: EndBody) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """Take back a case that never was one, such as of the wrong band: it is traced no more."""
        return server.cases.withdraw(number, body.reason)

    @app.get("/v1/cases/{number}/contacts", dependencies=for_accounts)
    def contacts(  # pyright: ignore[reportUnusedFunction]
        number: Number, rules: str = DEFAULT, degrees: Degrees = 1, engine: Engine = None
    ) -> dict[str, Any]:
        """Whom a case met in its infectious window, by a rule set: F1, and with degrees=2 or 3 also
        whom they met since. Whom to call comes first. A withdrawn case has no contacts, and a note
        that says so. engine: "duckdb" or the one that the server was started with, which is used
        unless given."""
        return case_traces.contacts(server, number, rules, degrees, engine)

    @app.get("/v1/traces/{serial}")
    def trace(  # pyright: ignore[reportUnusedFunction]
        serial: str,
        begin: Begin,
        end: End,
        who: Who,
        rules: str = DEFAULT,
        degrees: Degrees = 1,
        engine: Engine = None,
    ) -> dict[str, Any]:
        """Every contact of a band from one moment to another by a rule set, whom to call first,
        with its windows of 5 minutes and the records of either side; with degrees=2 or 3 also whom
        those met. Days are Vietnam's, both included; ISO times need an offset. Times in the answer
        are UTC seconds. 409 for an account when no wearer of the band is a case. engine: as for a
        case's contacts."""
        server.cases.check_band(serial, who.account)
        return server.tracing.trace(serial, *span(begin, end), rules, degrees, asked=engine)

    @app.get("/v1/venues/{serial}/visits", dependencies=for_accounts)
    def visits(  # pyright: ignore[reportUnusedFunction]
        serial: str, begin: Begin, end: End, case: Annotated[int | None, Query(ge=1)] = None
    ) -> dict[str, Any]:
        """Who was at a venue beacon, when, and with case= for how long together with that case.
        Days are Vietnam's, both included."""
        return case_traces.visits(server, serial, *span(begin, end), case)

    @app.get("/v1/rules", dependencies=for_accounts)
    def rules() -> list[dict[str, Any]]:  # pyright: ignore[reportUnusedFunction]
        """Every rule set that a trace can be judged by, with its parameters."""
        return [rule.as_json() for _name, rule in sorted(server.rules.items())]

    @app.post("/v1/swaps", status_code=201, dependencies=for_accounts)
    def swap(body: SwapBody, who: Who) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """Note that two wearers had each other's band on: every trace then names the right people.
        Harmless to repeat."""
        from_s, to_s = span(body.begin, body.end)
        who.note(serials=[body.serial_a, body.serial_b], from_s=from_s, to_s=to_s)
        return server.swaps.note(body.serial_a, body.serial_b, from_s, to_s).as_json()

    @app.get("/v1/swaps", dependencies=for_accounts)
    def swaps() -> list[dict[str, Any]]:  # pyright: ignore[reportUnusedFunction]
        """All swaps that were noted, oldest first."""
        return [each.as_json() for each in server.swaps.every()]

    @app.post("/v1/swaps/undo", dependencies=for_accounts)
    def undo_swap(body: SwapBody, who: Who) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """Strike out a swap that was noted by mistake, by the same bands and times."""
        from_s, to_s = span(body.begin, body.end)
        who.note(serials=[body.serial_a, body.serial_b], from_s=from_s, to_s=to_s)
        return server.swaps.undo(body.serial_a, body.serial_b, from_s, to_s).as_json()
