"""Dropping and erasing over HTTP: the verbs on the server's computer ask this way while it runs,
with the token that lies in its directory."""

from typing import Annotated, Any

from fastapi import Depends, FastAPI
from pydantic import BaseModel, Field

from zoneband.server import erasures as erasures_
from zoneband.server.case_routes import Number, Serial, span
from zoneband.server.gate import Asker, asker
from zoneband.server.problem import Problem
from zoneband.server.tracing_server import TracingServer


class EraseBody(BaseModel):
    """Whom to erase: a band's wearer, which one in turn where there were several; or the days from
    and to, as zoneband.server.moments reads them."""

    serial: Serial
    holder: Number | None = None
    begin: str | None = Field(None, alias="from")
    end: str | None = Field(None, alias="to")


class ReplayBody(BaseModel):
    """Erasures as their list has them."""

    erasures: list[Any] = Field(max_length=100_000)


def add_routes(app: FastAPI, server: TracingServer) -> None:
    """Add the routes."""
    for_operator = [Depends(asker)]

    @app.post("/v1/retention", dependencies=for_operator)
    def retain() -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """Drop now what is older than 21 days by this computer's clock: how much, by kind."""
        return server.retention.run().as_json()

    @app.post("/v1/erasures", status_code=201)
    def erase(body: EraseBody, who: Annotated[Asker, Depends(asker)]) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """Erase a band's wearer, or some days of it. Nothing of it is left when this answers: how
        much was erased, by kind."""
        who.note(serial=body.serial)
        from_s, to_s = (None, None) if body.begin is None else span(body.begin, body.end or "")
        return server.erasing.erase(body.serial, body.holder, from_s, to_s)

    @app.get("/v1/erasures", dependencies=for_operator)
    def erasures() -> list[dict[str, Any]]:  # pyright: ignore[reportUnusedFunction]
        """All erasures, oldest first."""
        return server.erasing.every()

    @app.post("/v1/erasures:replay", dependencies=for_operator)
    def replay(body: ReplayBody) -> list[dict[str, Any]]:  # pyright: ignore[reportUnusedFunction]
        """Erase again what a list says that was kept elsewhere; 422 when it is none."""
        try:
            some = [erasures_.read_one(each) for each in body.erasures]
        except ValueError:
            raise Problem(422, "no list of erasures") from None
        return server.erasing.replay(some)
