"""A tracer's calls to the tracing server."""

from pathlib import Path
from typing import Any, cast

import httpx2

from zoneband import station as stations
from zoneband import upload
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _
from zoneband.tracing import case_words

DEFAULT_SERVER = "http://127.0.0.1:8470"


class Tracer:
    """Asks the server; what goes wrong is a UserError."""

    def __init__(self, data: Path, server: str | None, token: str | None) -> None:
        settings = stations.load(data)
        self._url = server or (settings.server if settings else DEFAULT_SERVER)
        self._ca = settings.ca if settings else None
        path = data / "server" / "tracer-token"
        if token is None and path.exists():
            token = path.read_text(encoding="ascii").strip()
        if token is None:
            raise UserError(
                _("Give --token TOKEN: it is the file tracer-token in the server's data."),
                ExitCode.USAGE,
            )
        self._token = token

    def ask(self, method: str, path: str, unknown: str | None = None, **values: Any) -> Any:
        """JSON answer of one call. unknown: what to say when the server does not know what the path
        names; None: it names a band. A refusal is said in the server's own reasons."""
        try:
            with upload.client(self._url, self._token, self._ca) as http:
                answer = http.request(method, path, **values)
        except httpx2.HTTPError as error:
            raise UserError(
                _("{url} does not answer ({error}). Is the server running?").format(
                    url=self._url, error=type(error).__name__
                )
            ) from error
        if answer.is_error:
            raise _wrong(answer, unknown)
        return None if answer.status_code == 204 else answer.json()


def _wrong(answer: httpx2.Response, unknown: str | None) -> UserError:
    status = answer.status_code
    said = _reason(answer)
    if status == 404:
        return UserError(said or unknown or _("The server knows no such band."), ExitCode.NOTHING)
    if status in (401, 403):
        return UserError(_("The server refuses this token."))
    if status in (400, 422):
        text = said or _("The server cannot read this: check serial and dates.")
        return UserError(text, ExitCode.USAGE)
    return UserError(said or _("The server answered {code}.").format(code=status))


def _reason(answer: httpx2.Response) -> str | None:
    # Problem details (RFC 9457) with a code that this program has words for.
    try:
        problem: Any = answer.json()
        code, values = problem["code"], problem["values"]
    except (ValueError, TypeError, KeyError):
        return None
    if not isinstance(code, str) or not isinstance(values, dict):
        return None
    return case_words.refusal(code, cast(dict[str, Any], values))
