"""A tracer's calls to the tracing server."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import httpx2

from zoneband import durable, local_server, upload
from zoneband import station as stations
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _
from zoneband.reasons import of_request
from zoneband.server import roles
from zoneband.tracing import case_words

# In the data directory: the token of whoever is logged in, and where.
SESSION, SESSION_SERVER = "tracer-session", "tracer-session-server"
DEFAULT_SERVER = "http://127.0.0.1:8470"
# An erasure waits until no query reads what goes, and Spark may be asked for minutes.
ANSWER_S = 900.0


class Tracer:
    """Asks the server; what goes wrong is a UserError."""

    def __init__(self, data: Path, server: str | None, token: str | None) -> None:
        settings = stations.load(data)
        here = local_server.find(data)
        session, at = _session(data) if token is None else (None, None)
        if here and at and urlsplit(at).hostname in upload.LOOPBACK:
            at = None  # a server of this computer may listen elsewhere by now
        if at and server and at != upload.check_url(server):
            session = None  # no server gets another one's token
        server = server or at
        self._here = None if server else here
        self._url = server or (settings.server if settings else DEFAULT_SERVER)
        if self._here is not None:
            self._url = self._here.url
        self._ca = settings.ca if settings else None
        # Of whoever is logged in here; else of the server's own computer.
        token = token or session or _read(data / "server" / "tracer-token")
        if token is None:
            raise UserError(
                _("Log in first: zoneband tracer login NAME. Or do this on the server's computer."),
                ExitCode.USAGE,
            )
        self._token = token

    def ask(self, method: str, path: str, unknown: str | None = None, **values: Any) -> Any:
        """JSON answer of one call, None when it is empty. unknown: what to say when the server does
        not know what the path names; None: it names a band. A refusal is said in the server's own
        reasons."""
        with self._http() as http:
            answer = http.request(method, path, **values)
        if answer.is_error:
            raise _wrong(answer, unknown)
        return None if answer.status_code == 204 else answer.json()

    def lines(self, path: str) -> Iterator[bytes]:
        """An answer's lines, each with its newline, as they come."""
        with self._http() as http, http.stream("GET", path) as answer:
            if answer.is_error:
                answer.read()
                raise _wrong(answer, None)
            rest = b""
            for part in answer.iter_bytes():
                *whole, rest = (rest + part).split(b"\n")
                yield from (line + b"\n" for line in whole)
            if rest:
                yield rest

    def _client(self) -> httpx2.Client:
        if self._here is not None:
            return self._here.client(self._token)
        return upload.client(self._url, self._token, self._ca)

    @contextmanager
    def _http(self) -> Generator[httpx2.Client]:
        try:
            with self._client() as http:
                http.timeout = httpx2.Timeout(upload.TIMEOUT_S, read=ANSWER_S)
                yield http
        except httpx2.HTTPError as error:
            raise _silent(self._url, error) from error


def log_in(data: Path, server: str | None, name: str, password: str, code: str) -> list[str]:
    """Log in at the server and keep the session's token for `Tracer`; the account's roles. What
    goes wrong is a UserError."""
    settings = stations.load(data)
    url = server or (settings.server if settings else DEFAULT_SERVER)
    body = {"name": name, "password": password, "code": code}
    try:
        with upload.client(url, None, settings.ca if settings else None) as http:
            answer = http.post("/v1/sessions", json=body)
    except httpx2.HTTPError as error:
        raise _silent(url, error) from error
    if answer.status_code == 429:
        wait_s = answer.headers.get("Retry-After", "")
        raise UserError(
            _("Too many wrong tries. Wait {n} seconds, then try again.").format(n=wait_s)
        )
    if answer.status_code in (401, 422):
        raise UserError(_("Name, password or code is wrong. Wait for the next code and try again."))
    if answer.is_error:
        raise _wrong(answer, None)
    made = answer.json()
    data.mkdir(parents=True, exist_ok=True)
    (data / SESSION).unlink(missing_ok=True)  # no server gets another one's token
    durable.write(data / SESSION_SERVER, lambda f: f.write(url.encode()), 0o600)
    durable.write(data / SESSION, lambda f: f.write(made["token"].encode()), 0o600)
    return made["roles"]


def log_out(data: Path, server: str | None) -> bool:
    """End the session that is kept, here and at the server; False when there was none."""
    path = data / SESSION
    if not path.exists():
        return False
    try:
        Tracer(data, server, None).ask("DELETE", "/v1/sessions")
    except UserError:
        pass  # it has ended, or ends by itself
    path.unlink(missing_ok=True)
    (data / SESSION_SERVER).unlink(missing_ok=True)
    return True


def _session(data: Path) -> tuple[str | None, str | None]:
    # The token of whoever is logged in, and at which server, as far as that was kept.
    token = _read(data / SESSION)
    return token, _read(data / SESSION_SERVER) if token else None


def _read(path: Path) -> str | None:
    if not path.exists():
        return None
    return path.read_text(encoding="utf-8", errors="replace").strip() or None


def _silent(url: str, error: httpx2.HTTPError) -> UserError:
    return UserError(
        _(
            "{url} does not answer ({error}). Does the server run elsewhere? Give --server URL."
        ).format(url=url, error=of_request(error))
    )


def _wrong(answer: httpx2.Response, unknown: str | None) -> UserError:
    status = answer.status_code
    said = _reason(answer)
    if status == 404:
        return UserError(said or unknown or _("The server knows no such band."), ExitCode.NOTHING)
    why = _more(answer)
    if why.get("reason") == "role":
        names = ", ".join(roles.name(role) for role in why.get("roles", ()))
        return UserError(
            _("This is only for: {roles}. Your account has another role.").format(roles=names)
        )
    if why.get("reason") == "session":
        return UserError(_("Your session has ended: zoneband tracer login NAME"))
    if status in (401, 403):
        return UserError(_("The server refuses this token."))
    if status in (400, 422):
        text = said or _("The server cannot read this: check serial and dates.")
        return UserError(text, ExitCode.USAGE)
    if why.get("reason") == "rate":
        return UserError(
            _("Too many questions in a short time. Wait {n} seconds, then try again.").format(
                n=answer.headers.get("Retry-After", "")
            )
        )
    if status == 503 and "retry-after" in answer.headers:
        return UserError(_("The server is busy. Try again in a few seconds."))
    return UserError(said or _("The server answered {code}.").format(code=status))


def _more(answer: httpx2.Response) -> dict[str, Any]:
    # All members of problem details (RFC 9457).
    try:
        problem: Any = answer.json()
    except ValueError:
        return {}
    return cast(dict[str, Any], problem) if isinstance(problem, dict) else {}


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
