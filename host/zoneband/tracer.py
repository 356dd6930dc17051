"""A tracer's calls to the tracing server."""

from pathlib import Path
from typing import Any

import httpx2

from zoneband import station as stations
from zoneband import upload
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _

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
        names; None: it names a band."""
        try:
            with upload.client(self._url, self._token, self._ca) as http:
                answer = http.request(method, path, **values)
        except httpx2.HTTPError as error:
            raise UserError(
                _("{url} does not answer ({error}). Is the server running?").format(
                    url=self._url, error=type(error).__name__
                )
            ) from error
        if answer.status_code == 404:
            raise UserError(unknown or _("The server knows no such band."), ExitCode.NOTHING)
        if answer.status_code in (401, 403):
            raise UserError(_("The server refuses this token."))
        if answer.status_code in (400, 422):
            raise UserError(
                _("The server cannot read this: check serial and dates."), ExitCode.USAGE
            )
        if answer.is_error:
            raise UserError(_("The server answered {code}.").format(code=answer.status_code))
        return answer.json()
