"""The tracing server over HTTP (FastAPI). Errors are problem+json (RFC 9457)."""

import errno
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError
from sqlalchemy.exc import DataError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnection
from starlette.concurrency import run_in_threadpool

from zoneband import __version__, authority, batch, disk, seal
from zoneband.seal import PublicKey
from zoneband.server import (
    api_page,
    case_routes,
    database,
    gate,
    order_routes,
    rights_routes,
    sealed,
    session_routes,
    upkeep_routes,
)
from zoneband.server.ahead import Ahead
from zoneband.server.audit import Unwritable
from zoneband.server.gate import Asker, Gate, asker
from zoneband.server.limits import Limits
from zoneband.server.pages.routes import add_pages
from zoneband.server.problem import Problem
from zoneband.server.problem import answer as _problem
from zoneband.server.signed import NO_BODY, Caller, Doorkeeper
from zoneband.server.stations import NAME_PATTERN, WrongCode
from zoneband.server.tracing import Busy
from zoneband.server.tracing_server import TracingServer, Unknown
from zoneband.server.uploads import Answer
from zoneband.server.watch import Watch
from zoneband.tracing.engine import DUCKDB

_NEWCOMER_BYTES = 4096
_WRONG_CODES = {
    "code": "the code is wrong",
    "code-used": "the code was used before",
    "code-expired": "the code has expired",
    "code-name": "the code is another station's",
    "code-key": "this key cannot be used again",
}


class StationBody(BaseModel):
    """A station that comes with its code. public_key: Ed25519, 32 bytes in hexadecimal; name: what
    it thinks it is, if it does."""

    code: str = Field(max_length=64)
    public_key: str = Field(pattern=r"^[0-9a-f]{64}$")
    name: str | None = Field(default=None, pattern=NAME_PATTERN)


def make_app(
    directory: Path,
    utc: Callable[[], float] = time.time,
    public_keys: Sequence[PublicKey] = (),
    private_keys: Mapping[int, X25519PrivateKey] | None = None,
    limits: Limits | None = None,
    two_persons: bool = False,
    erasures: Path | None = None,
    metrics_token: str | None = None,
    engine: str = DUCKDB,
    ahead: Ahead | None = None,
) -> FastAPI:
    """The application over one data directory. utc: Unix seconds now; public_keys: what stations
    seal to; private_keys: the authority's, by number, None until somebody gives the passphrase;
    limits: of what stations may ask; two_persons: a case is traced only when another account has
    confirmed it; erasures: as in TracingServer; metrics_token: opens /metrics, None: nothing
    does; engine: what traces ask (zoneband.tracing.engine.checked); ahead: as in TracingServer."""
    numbers = [key.number for key in public_keys]
    server = TracingServer(directory, utc, numbers, erasures, engine, ahead)
    server.cases.two_persons = two_persons
    if private_keys:
        server.unlock(private_keys)
    reserve = functools.partial(disk.reserve, directory)
    door = Doorkeeper(server.stations, server.nonces, utc, limits or Limits(), reserve)
    app = FastAPI(
        title="Zoneband tracing server",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
    )
    app.state.server = server
    behind = Gate(door, server.accounts, server.tracer_token, server.audit)
    gate.guard(app, behind)
    watch = Watch(server, directory, utc, metrics_token)
    watch.add(app, utc)

    @app.exception_handler(Problem)
    async def problem(_request: Request, error: Problem) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        return _problem(error.status, error.title, error.headers, error.more)

    @app.exception_handler(Unknown)
    async def unknown(_request: Request, _error: Unknown) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        return _problem(404, "no such band")

    @app.exception_handler(Unwritable)
    async def unwritable(_request: Request, _error: Unwritable) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        return _problem(503, "the audit log cannot be written", {"Retry-After": "60"})

    @app.exception_handler(OSError)
    async def unwritten(_request: Request, error: OSError) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return _problem(507, "the server's disk is full")
        return _problem(500, "the server cannot write")

    @app.exception_handler(Busy)
    async def enough(_request: Request, _error: Busy) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        return _problem(503, "too many questions at once", {"Retry-After": "5"})

    @app.exception_handler(DataError)
    async def unkeepable(_request: Request, _error: DataError) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        return _problem(422, "the ledger cannot hold such a text or number")

    @app.exception_handler(OperationalError)
    @app.exception_handler(InterfaceError)
    @app.exception_handler(NoConnection)
    async def busy(_request: Request, error: SQLAlchemyError) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        if database.is_full(error):
            return _problem(507, "the server's disk is full")
        return _problem(503, "the ledger is busy", {"Retry-After": "5"})

    def signer(request: Request) -> Caller:
        return request.state.caller

    def station(request: Request) -> str:
        caller = signer(request)
        door.check_body(caller.digest, NO_BODY)
        server.nonces.settle(caller.mark)
        return caller.name

    @app.post("/v1/stations", status_code=201)
    async def add_station(request: Request) -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        """Let a station in that comes with the code of `zoneband station invite`: a StationBody,
        signed with the key that it brings. Its name; 403 for a code that does not let it in."""
        door.slow_down(request)
        data = await door.body(request, None, _NEWCOMER_BYTES)
        try:
            body = StationBody.model_validate_json(data)
        except ValidationError:
            raise Problem(422, "no code and public key") from None
        name = await run_in_threadpool(newcomer, request, body, data)
        request.state.came = {"station": name}
        return {"name": name}

    def newcomer(request: Request, body: StationBody, data: bytes) -> str:
        key = bytes.fromhex(body.public_key)
        mark = door.newcomer(request, key, data)
        try:
            name = server.stations.enrol(body.code, key, body.name)
        except WrongCode as error:
            title = _WRONG_CODES[error.reason]
            raise Problem(403, title, reason=error.reason) from None
        server.nonces.settle(mark)
        return name

    async def body_of(
        request: Request, name: str, sha256: str, caller: Caller, limit: int
    ) -> bytes:
        # The bytes of a station's own upload, as its name says.
        if caller.name != name:
            raise Problem(403, "this key is another station's", reason="station")
        data = await door.body(request, caller.digest, limit)
        if caller.digest.hex() != sha256:
            raise Problem(422, "the body is not what its name says")
        return data

    @app.get("/v1/authority")
    def authority_keys() -> list[dict[str, object]]:  # pyright: ignore[reportUnusedFunction]
        """The authority's public keys: records are sealed to the one with the highest number."""
        return [authority.as_json(key) for key in public_keys]

    @app.put("/v1/stations/{name}/records/{sha256}")
    async def put_record(  # pyright: ignore[reportUnusedFunction]
        name: str, sha256: str, request: Request, caller: Annotated[Caller, Depends(signer)]
    ) -> JSONResponse:
        """Take a sealed record (application/octet-stream, at most 16 KiB) named by its SHA-256:
        an enrolment, a person, or what became of a band. Harmless to repeat. Durable when this
        answers: 201 new, 200 known before, 202 kept sealed because its key is not in memory. 409
        when an enrolment contradicts one that is known; 422 when it cannot be opened; 507 and 429
        as for batches."""
        data = await body_of(request, name, sha256, caller, seal.MAX_BYTES)
        try:
            new, state = await run_in_threadpool(take_record, name, sha256, data, caller)
        except ValueError:
            raise Problem(400, "not a sealed record") from None
        if state == sealed.CONFLICT:
            raise Problem(409, "serial or key is enrolled already, with other keys")
        if state == sealed.UNREADABLE:
            raise Problem(422, "sealed to another key than its number says, or altered")
        body = {"record": sha256, "state": state}
        return JSONResponse(body, 202 if state == sealed.KEPT else 201 if new else 200)

    def take_record(name: str, sha256: str, data: bytes, caller: Caller) -> tuple[bool, str]:
        door.still(caller)
        server.nonces.settle(caller.mark)
        new, state = server.take_sealed(name, sha256, data)
        if new:
            door.keeps(caller, max(len(data), disk.BLOCK_BYTES))
        return new, state

    @app.put("/v1/stations/{name}/batches/{sha256}")
    async def put_batch(  # pyright: ignore[reportUnusedFunction]
        name: str, sha256: str, request: Request, caller: Annotated[Caller, Depends(signer)]
    ) -> JSONResponse:
        """Take a batch (application/octet-stream, at most 256 KiB) named by its SHA-256. Harmless
        to repeat. Durable when this answers: 201 new, 200 known before, 202 kept without receipt
        because its band is not enrolled yet, its records cannot be opened yet, or none is genuine.
        507 when the disk is full but for what the server itself needs, 429 (Retry-After) when the
        station brings too much: nothing was changed. The answer's orders are those that the band
        has not carried out; resend is the cursor from which the band must be pulled again because
        what came was altered or missing there, null when nothing is to be mended; records_refused:
        encounters that are not kept, since their days were dropped or they were erased; dropped: so
        was the whole batch; ask_back: its wearer has withdrawn consent."""
        data = await body_of(request, name, sha256, caller, batch.MAX_BYTES)
        try:
            took = await run_in_threadpool(take_batch, name, sha256, data, caller)
        except batch.NoBatch as error:
            raise Problem(400, str(error)) from None
        body = {
            "batch": sha256,
            "records_new": took.count,
            "receipt": took.receipt,
            "records_refused": took.refused,
            "dropped": took.dropped,
            "ask_back": took.ask_back,
            "resend": took.resend,
            "orders": [order.hex() for order in took.orders],
        }
        done = took.receipt or took.dropped
        return JSONResponse(body, (201 if took.new else 200) if done else 202)

    def take_batch(name: str, sha256: str, data: bytes, caller: Caller) -> Answer:
        door.still(caller)
        took = server.take(name, sha256, data)
        server.nonces.settle(caller.mark)
        door.keeps(caller, took.kept)
        watch.metrics.took(took.slots, took.count)
        return took

    @app.get("/v1/bands")
    def bands(_: Annotated[Asker, Depends(asker)]) -> list[dict[str, Any]]:  # pyright: ignore[reportUnusedFunction]
        """Every enrolled band in short."""
        return server.bands()

    @app.get("/v1/bands/{serial}")
    def band(serial: str, _: Annotated[Asker, Depends(asker)]) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """A band's clock, and its logs: how many slots were torn by a loss of power, altered,
        missing or foreign, and the spans of cursors that nobody brought. enrolments_refused: how
        many contradicted the one that counts."""
        return server.band_state(serial)

    @app.get("/v1/bands/{serial}/receipt")
    def receipt(  # pyright: ignore[reportUnusedFunction]
        serial: str,
        log_id: Annotated[int, Query(ge=0, le=order_routes.LAST)],
        first: Annotated[int, Query(ge=0, le=order_routes.LAST)],
        caller: Annotated[str, Depends(station)],
    ) -> dict[str, Any]:
        """The receipt from a band's receipted cursor on, for any station that docks it; null when
        the first slot is missing or not genuine."""
        return {"receipt": server.receipt(serial, log_id, first, caller)}

    @app.get("/v1/bands/{serial}/people")
    def people(serial: str, _: Annotated[Asker, Depends(asker)]) -> list[dict[str, Any]]:  # pyright: ignore[reportUnusedFunction]
        """Everybody whom a band was handed out to; empty while the authority's key is not in
        memory."""
        return server.people(serial)

    order_routes.add_routes(app, server, station)
    case_routes.add_routes(app, server)
    session_routes.add_routes(app, server)
    upkeep_routes.add_routes(app, server)
    rights_routes.add_routes(app, server)
    api_page.add(app)
    add_pages(app, server, utc, behind)
    gate.check(app)
    return app
