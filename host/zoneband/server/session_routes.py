"""Logging in and out over HTTP, and the audit log for auditors."""

from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from zoneband.server import audit_log
from zoneband.server.accounts import LONGEST_PASSWORD, TooManyTries, WrongLogin
from zoneband.server.gate import Asker, asker
from zoneband.server.logins import log_in
from zoneband.server.problem import Problem
from zoneband.server.tracing_server import TracingServer


class LoginBody(BaseModel):
    """Who logs in; code: of the authenticator app."""

    name: str = Field(max_length=256)
    password: str = Field(max_length=4 * LONGEST_PASSWORD)
    code: str = Field(max_length=16)


def add_routes(app: FastAPI, server: TracingServer) -> None:
    """Add the routes."""

    @app.post("/v1/sessions", status_code=201)
    def begin(body: LoginBody, request: Request) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """Log in: the token that every further request carries, and the account's roles. 401 when
        name, password or code is wrong; 429 after too many wrong tries."""
        address = request.client.host if request.client is not None else ""
        try:
            token = log_in(server, body.name, body.password, body.code, address)
        except WrongLogin:
            raise Problem(401, "name, password or code is wrong", reason="login") from None
        except TooManyTries as error:
            after = {"Retry-After": str(error.wait_s)}
            raise Problem(429, "too many wrong tries", after, reason="login") from None
        session = server.accounts.session(token)
        assert session is not None
        return {"token": token, "name": session.tracer, "roles": sorted(session.roles)}

    @app.delete("/v1/sessions", status_code=204)
    def end(  # pyright: ignore[reportUnusedFunction]
        _: Annotated[Asker, Depends(asker)], authorization: Annotated[str, Header()] = ""
    ) -> Response:
        """Log out: the token that is sent opens nothing any more."""
        server.accounts.end(authorization.removeprefix("Bearer "))
        return Response(status_code=204)

    @app.get("/v1/audit", response_class=StreamingResponse)
    def audit(_: Annotated[Asker, Depends(asker)]) -> StreamingResponse:  # pyright: ignore[reportUnusedFunction]
        """The whole audit log, line by line, as zoneband.server.audit_log describes it."""
        lines = audit_log.lines_of(server.audit.path)
        return StreamingResponse(lines, media_type="application/x-ndjson")
