"""The one gate of all endpoints: who calls, whether a role may, and the line in the audit log.

Every route is of the class that `guard` sets, so that no body is read before the gate has let its
sender in; an endpoint that zoneband.server.roles does not name is refused.
"""

import hmac
import re
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Mount, Route

from zoneband import serials
from zoneband.server import bodies, roles
from zoneband.server.accounts import Accounts
from zoneband.server.audit import DONE, OPERATOR, REFUSED, Audit
from zoneband.server.ledger import Unknown
from zoneband.server.pages.door import LogInFirst, NoRole, visitor_of
from zoneband.server.problem import Problem
from zoneband.server.refused import NoCase, Refused
from zoneband.server.roles import ROLES, TABLE, Entry, Way
from zoneband.server.signed import Doorkeeper

# Whoever has asked too much may leave all the same.
_LEAVING = ("DELETE /v1/sessions", "POST /tracer/logout")
Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Asker:
    """Who asks: an account, or OPERATOR. facts: what the answer's line in the audit log tells."""

    account: str
    roles: frozenset[str]
    facts: dict[str, Any] = field(default_factory=dict[str, Any])

    def note(self, **facts: Any) -> None:
        """Tell the audit log more of what was done."""
        self.facts.update(facts)


def asker(request: Request) -> Asker:
    """Whom the gate let in with an account: a dependency. Raises Problem where it let in nobody."""
    found: Asker | None = getattr(request.state, "asker", None)
    if found is None:
        raise Problem(403, "no account may ask this")
    return found


class Gate:
    """The gate of one server."""

    def __init__(
        self, door: Doorkeeper, accounts: Accounts, operator_token: str, audit: Audit
    ) -> None:
        """operator_token: of whoever works on the server's own computer, who has every role."""
        self._door = door
        self._accounts = accounts
        self._operator_token = operator_token
        self._audit = audit

    async def answer(self, endpoint: str, request: Request, then: Handler) -> Response:
        """What `then` answers, for whoever may ask. endpoint: as zoneband.server.roles names it.
        Raises what tells the caller why not."""
        entry, of = await run_in_threadpool(self._enter, endpoint, request)
        if not entry.event and entry.way not in (Way.STATION, Way.NEWCOMER):
            return await then(request)
        who: Asker | None = getattr(request.state, "asker", None)
        try:
            answer = await then(request)
        except Exception as error:
            await run_in_threadpool(self._not_done, endpoint, who, of, error)
            raise
        if who is not None and (entry.changes or answer.status_code >= 400):
            await run_in_threadpool(self._ended, who, of, answer.status_code)
        if entry.way is Way.NEWCOMER:
            await run_in_threadpool(self._audit.write, "station", None, **request.state.came)
        return answer

    def _enter(self, endpoint: str, request: Request) -> tuple[Entry, int]:
        entry = TABLE.get(endpoint)
        account = None
        try:
            if entry is None:
                raise Problem(403, "nobody may ask this", reason="endpoint")
            if entry.way is Way.STATION:
                request.state.caller = self._door.station(request)
            elif entry.way in (Way.API, Way.PAGE):
                who = self._api(request) if entry.way is Way.API else self._page(request)
                account = who.account
                if account != OPERATOR and endpoint not in _LEAVING:
                    self._door.slow_account_down(account)
                if not roles.may(who.roles, entry):
                    raise _no_role(entry)
                request.state.asker = who
        except (Problem, LogInFirst, NoRole) as error:
            self._audit.refused(account, why(error), endpoint=endpoint, **_named(request))
            raise
        if not entry.event:
            return entry, 0
        named = {"endpoint": endpoint, **_named(request)}
        return entry, self._audit.write(entry.event, account, **named)

    def _api(self, request: Request) -> Asker:
        kind, _space, token = request.headers.get("authorization", "").partition(" ")
        if kind != "Bearer" or not token:
            raise Problem(401, "a token is needed")
        if hmac.compare_digest(token.encode(), self._operator_token.encode()):
            return Asker(OPERATOR, frozenset(ROLES))
        session = self._accounts.session(token)
        if session is None:
            raise Problem(401, "no session has this token, or it has ended", reason="session")
        return Asker(session.tracer, session.roles)

    def _page(self, request: Request) -> Asker:
        request.state.visitor = visitor = visitor_of(request, self._accounts)
        return Asker(visitor.session.tracer, visitor.session.roles)

    def _not_done(self, endpoint: str, who: Asker | None, of: int, error: Exception) -> None:
        if who is not None:
            self._audit.write(REFUSED, who.account, of=of, why=why(error), **who.facts)
        elif isinstance(error, Problem) and error.status in (401, 403):
            self._audit.refused(None, why(error), endpoint=endpoint)

    def _ended(self, who: Asker, of: int, status: int) -> None:
        if status < 400:
            self._audit.write(DONE, who.account, of=of, **who.facts)
        else:
            told = {"why": str(status)} | who.facts
            self._audit.write(REFUSED, who.account, of=of, **told)


def why(error: Exception) -> str:
    """Why something was refused, in a word."""
    if isinstance(error, Problem):
        return str(error.more.get("reason", error.status))
    if isinstance(error, Refused):
        return error.code
    words: dict[type[Exception], str] = {
        LogInFirst: "session",
        NoRole: "role",
        NoCase: "no_case",
        Unknown: "no_band",
        RequestValidationError: "unreadable",
    }
    return words.get(type(error), type(error).__name__)


def _no_role(entry: Entry) -> Exception:
    if entry.way is Way.PAGE:
        return NoRole(entry.roles)
    return Problem(403, "your account has not the role", reason="role", roles=sorted(entry.roles))


def _named(request: Request) -> dict[str, Any]:
    # The case, person's request, band and span that a call names, as far as they can be such:
    # nothing else that somebody may have typed there.
    out: dict[str, Any] = {}
    number = request.path_params.get("number") or request.query_params.get("case") or ""
    if str(number).isascii() and str(number).isdigit() and len(str(number)) < 11:
        out["case"] = int(number)
    right = str(request.path_params.get("right", ""))
    if right.isascii() and right.isdigit() and len(right) < 11:
        out["right"] = int(right)
    serial = request.path_params.get("serial") or request.query_params.get("serial") or ""
    if re.fullmatch(serials.PATTERN, str(serial).strip()):
        out["serial"] = str(serial).strip()
    for name in ("from", "to", "degrees"):
        value = request.query_params.get(name, "")
        if value and len(value) <= 40 and set(value) <= set("0123456789-:.+TZ"):
            out[name] = value
    return out


class GuardedRoute(APIRoute):
    """A route behind a gate; prefix: where its application is mounted."""

    gate: Gate
    prefix: str

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The gate, and behind it what FastAPI does."""
        then = super().get_route_handler()

        async def handler(request: Request) -> Response:
            endpoint = f"{request.method} {self.prefix}{self.path}"
            entry = TABLE.get(endpoint)
            if self.prefix or (entry and entry.way in (Way.STATION, Way.NEWCOMER)):
                return await self.gate.answer(endpoint, request, then)
            try:
                return await self.gate.answer(endpoint, bodies.bounded(request, endpoint), then)
            except HTTPException as error:
                raise bodies.problem(error, endpoint) from None

        return handler


def guard(app: FastAPI, gate: Gate, prefix: str = "") -> None:
    """Put every route that an application gets from now on behind a gate."""
    made = type("Guarded", (GuardedRoute,), {"gate": gate, "prefix": prefix})
    app.router.route_class = made


def check(app: FastAPI, prefix: str = "") -> None:
    """Every route of an application is behind the gate, or in the table as public. Raises
    RuntimeError: the program is wrong, and must not serve."""
    for route in app.routes:
        if isinstance(route, Mount) and isinstance(route.app, FastAPI):
            check(route.app, prefix + route.path)
        elif isinstance(route, GuardedRoute):
            continue
        elif not isinstance(route, Route) or f"GET {prefix}{route.path}" not in roles.PUBLIC:
            raise RuntimeError(f"a route without the gate: {route}")
