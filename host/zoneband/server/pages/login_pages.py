"""Logging in and out."""

from typing import Annotated

from fastapi import FastAPI, Form, Query, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from zoneband.i18n import _
from zoneband.server.accounts import TooManyTries, WrongLogin
from zoneband.server.logins import log_in
from zoneband.server.pages import door
from zoneband.server.pages.door import HOME, Sent
from zoneband.server.pages.templates import page
from zoneband.server.tracing_server import TracingServer


def add(pages: FastAPI, server: TracingServer) -> None:
    """Add the login page."""
    accounts = server.accounts

    def form(
        request: Request, status: int = 200, error: str = "", name: str = "", after: str = ""
    ) -> Response:
        token, cookie = door.form_token(request)
        answer = page(
            request,
            "login.html",
            status=status,
            section="",
            form=token,
            error=error,
            name=name,
            next=after,
        )
        door.set_form(request, answer, cookie)
        return answer

    @pages.get("/login")
    def show(  # pyright: ignore[reportUnusedFunction]
        request: Request,
        after: Annotated[str, Query(alias="next")] = "",
        why: str = "",
    ) -> Response:
        if accounts.session(door.token_of(request)) is not None:
            return RedirectResponse(door.safe_path(after), 303)
        brought = bool(door.token_of(request))
        error = ""
        if why == "ended" and brought:
            error = _("Your session has ended, by its time or by a new password. Log in again.")
        return form(request, error=error, after=after)

    @pages.post("/login")
    def send(  # pyright: ignore[reportUnusedFunction]
        request: Request,
        form_token: Annotated[str, Form(alias="form")] = "",
        name: Annotated[str, Form()] = "",
        password: Annotated[str, Form()] = "",
        code: Annotated[str, Form()] = "",
        after: Annotated[str, Query(alias="next")] = "",
    ) -> Response:
        door.check_login_form(request, form_token)
        address = request.client.host if request.client is not None else ""
        try:
            token = log_in(server, name, password, code, address)
        except WrongLogin:
            wrong = _("Name, password or code is wrong. Wait for the next code and try again.")
            return form(request, 401, wrong, name, after)
        except TooManyTries as error:
            text = _("Too many wrong tries. Wait {n} seconds, then try again.").format(
                n=error.wait_s
            )
            answer = form(request, 429, text, name, after)
            answer.headers["Retry-After"] = str(error.wait_s)
            return answer
        answer = RedirectResponse(door.safe_path(after) if after else HOME, 303)
        # A new session has a new token, whatever the browser brought.
        if old := door.token_of(request):
            accounts.end(old)
        door.set_session(request, answer, token)
        return answer

    @pages.post("/logout")
    def log_out(request: Request, who: Sent) -> Response:  # pyright: ignore[reportUnusedFunction]
        accounts.end(who.token)
        answer = RedirectResponse("/tracer/login?said=out", 303)
        door.set_session(request, answer, "")
        return answer
