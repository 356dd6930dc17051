"""What surrounds every page: its language, the security headers, and a limit on what is sent.

Plain ASGI, so that the language is set where the whole answer is made, threads included.
"""

import re
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zoneband.i18n import LANGUAGES, reading

LANGUAGE_COOKIE = "zoneband-language"
_YEAR_S = 365 * 86_400
_MOST_BYTES = 65_536

_HEADERS = {
    # Nothing but what this server sends itself: no inline script or style, no frame around it.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Not "no-referrer": with it browsers would hide a form's own origin, too.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class Shell:
    """Wraps the pages' application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request in its reader's language."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        chosen = _asked(scope)
        language = chosen or _kept(headers) or preferred(headers.get("accept-language", ""))
        size = 0

        async def limited() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > _MOST_BYTES:
                raise HTTPException(413)
            return message

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                out = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    out[name] = value
                # Pages hold personal data; only static files say otherwise.
                out.setdefault("Cache-Control", "no-store")
                out.add_vary_header("Cookie, Accept-Language")
                if chosen:
                    secure = "; Secure" if scope["scheme"] == "https" else ""
                    out.append(
                        "Set-Cookie",
                        f"{LANGUAGE_COOKIE}={chosen}; Path=/; Max-Age={_YEAR_S}; "
                        f"SameSite=Lax; HttpOnly{secure}",
                    )
            await send(message)

        with reading(language):
            await self._app(scope, limited, dressed)


def preferred(accepted: str) -> str:
    """The language of an Accept-Language header; Vietnamese when it asks for neither."""
    found = ("vi", 0.0)
    for part in accepted.split(","):
        matched = re.fullmatch(r"\s*([A-Za-z]+)[\w-]*\s*(?:;\s*q=([0-9.]{1,5}))?\s*", part)
        if matched is None or matched[1].lower() not in LANGUAGES:
            continue
        try:
            weight = float(matched[2] or 1)
        except ValueError:
            continue
        if weight > found[1]:
            found = (matched[1].lower(), weight)
    return found[0]


def _asked(scope: Scope) -> str | None:
    # ?lang=en, from the switch on every page.
    values = parse_qs(scope["query_string"].decode("latin-1")).get("lang", [])
    return values[-1] if values and values[-1] in LANGUAGES else None


def _kept(headers: Headers) -> str | None:
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return None
    found = cookies.get(LANGUAGE_COOKIE)
    return found.value if found is not None and found.value in LANGUAGES else None
