"""The register of persons' requests over HTTP, for whoever runs the server."""

from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Path, Query
from pydantic import BaseModel, Field

from zoneband.server.case_routes import Number, Serial
from zoneband.server.gate import Asker, asker
from zoneband.server.tracing_server import TracingServer

Right = Annotated[int, Path(ge=1, lt=1 << 31)]


class RightBody(BaseModel):
    """What a band's wearer asked for, and when it came (UTC seconds)."""

    kind: Literal[
        "consent", "withdrawal", "deletion", "access", "correction", "restriction", "objection"
    ]
    serial: Serial
    holder: Number | None = None
    came_s: int | None = Field(None, ge=0, lt=1 << 40)


def add_routes(app: FastAPI, server: TracingServer) -> None:
    """Add the routes."""
    for_operator = [Depends(asker)]

    @app.post("/v1/rights", status_code=201)
    def add(body: RightBody, who: Annotated[Asker, Depends(asker)]) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """Record a request: by when it must be answered, and done."""
        who.note(kind=body.kind, serial=body.serial)
        return server.rights.add(body.kind, body.serial, body.holder, body.came_s)

    @app.get("/v1/rights", dependencies=for_operator)
    def every(  # pyright: ignore[reportUnusedFunction]
        every_: Annotated[bool, Query(alias="all")] = False,
    ) -> list[dict[str, Any]]:
        """Requests that are open, or all; what is overdue first."""
        return server.rights.every(every_)

    @app.post("/v1/rights/{right}/answer", dependencies=for_operator)
    def answer(right: Right) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """The person has an answer."""
        return server.rights.answer(right)

    @app.post("/v1/rights/{right}/done", dependencies=for_operator)
    def done(right: Right) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """What was asked for is done; a deletion is carried out now."""
        return server.rights.done(right)
