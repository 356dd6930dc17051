"""Who may see a page: session cookies, and the token that every form carries."""

import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Form, Request
from starlette.responses import Response

from zoneband.server.accounts import SESSION_S, Accounts, Session, csrf

HOME = "/tracer/"


class LogInFirst(Exception):
    """Nobody is logged in, or no more."""


class NoRole(Exception):
    """An account without any of the roles that a page asks for."""

    def __init__(self, roles: frozenset[str]) -> None:
        super().__init__(roles)
        self.roles = roles


class ForeignForm(Exception):
    """A form that this server did not give to this session."""


@dataclass(frozen=True)
class Visitor:
    """Who is logged in, and the token of their session."""

    session: Session
    token: str


def _name(request: Request, which: str) -> str:
    # __Host-: browsers take it over TLS alone, from this host alone, so nobody else can plant one.
    prefix = "__Host-" if request.url.scheme == "https" else ""
    return f"{prefix}zoneband-{which}"


def token_of(request: Request) -> str:
    """The session's token that a request brings, "" without one."""
    return request.cookies.get(_name(request, "session"), "")


def set_session(request: Request, response: Response, token: str) -> None:
    """Give the browser a session's token; "" takes it away."""
    _set(request, response, "session", token, SESSION_S if token else 0)


def _set(request: Request, response: Response, which: str, value: str, age_s: int | None) -> None:
    response.set_cookie(
        _name(request, which),
        value,
        max_age=age_s,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )


def form_token(request: Request) -> tuple[str, str]:
    """For the login form, before there is a session: (its token, the cookie that proves it)."""
    cookie = request.cookies.get(_name(request, "form"), "")
    if not re.fullmatch(r"[\w-]{43}", cookie):
        cookie = secrets.token_urlsafe(32)
    return csrf(cookie), cookie


def set_form(request: Request, response: Response, cookie: str) -> None:
    """Give the browser the cookie that proves its login form."""
    _set(request, response, "form", cookie, None)


def check_login_form(request: Request, given: str) -> None:
    """Raises ForeignForm unless the login form was given to this browser."""
    cookie = request.cookies.get(_name(request, "form"), "")
    if not cookie or not _same(csrf(cookie), given):
        raise ForeignForm


def _same(right: str, given: str) -> bool:
    return hmac.compare_digest(right.encode(), given.encode())


def visitor_of(request: Request, accounts: Accounts) -> Visitor:
    """Who is logged in. Raises LogInFirst."""
    token = token_of(request)
    session = accounts.session(token) if token else None
    if session is None:
        raise LogInFirst
    return Visitor(session, token)


def visitor(request: Request) -> Visitor:
    """Whom the gate let in. Raises LogInFirst where it let in nobody."""
    found: Visitor | None = getattr(request.state, "visitor", None)
    if found is None:
        raise LogInFirst
    return found


Seen = Annotated[Visitor, Depends(visitor)]


def sender(who: Seen, form: Annotated[str, Form()] = "") -> Visitor:
    """Who sent a form of their own session. Raises LogInFirst and ForeignForm."""
    if not _same(who.session.csrf, form):
        raise ForeignForm
    return who


Sent = Annotated[Visitor, Depends(sender)]


def safe_path(text: str) -> str:
    """Where to go after the login: a path of these pages, never another site."""
    return text if re.fullmatch(r"/tracer/[\w/?=&.%+:-]*", text, re.ASCII) else HOME
