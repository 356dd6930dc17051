"""Running the server's application with uvicorn, and what it leaves for `zoneband status`."""

import json
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from zoneband import durable
from zoneband.errors import UserError
from zoneband.i18n import _
from zoneband.reasons import said
from zoneband.server.alone import held
from zoneband.server.tls import Tls

_LOOK_S = 15  # how often the certificate's files are looked at


@dataclass(frozen=True)
class Running:
    """A server that runs: its address, since when (UTC seconds), the numbers of the authority's
    keys that it has in memory, and where its certificate is, "" without one."""

    url: str
    since_s: int
    unlocked: list[int]
    tls_dir: str


def url_of(scheme: str, host: str, port: int) -> str:
    """A server's address."""
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def note(directory: Path, running: Running) -> None:
    """Leave word that a server runs here; it counts as long as the directory is held."""
    text = json.dumps(asdict(running)).encode()
    durable.write(directory / "running.json", lambda f: f.write(text), 0o600)


def find(directory: Path) -> Running | None:
    """The server that runs on a directory now."""
    if not held(directory):
        return None
    try:
        return Running(**json.loads((directory / "running.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def listen(host: str, port: int) -> socket.socket:
    """A socket to serve on; port 0: any that is free. Raises UserError."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise UserError(
            _(
                "Cannot listen on {host}, port {port} ({error}). Does another program run there? "
                "Choose another one by --port."
            ).format(host=host, port=port, error=said(error))
        ) from error


def run(
    application: FastAPI,
    directory: Path,
    listening: socket.socket,
    url: str,
    unlocked: Sequence[int],
    tls: Tls | None,
    tls_dir: Path | None,
) -> None:
    """Serve until a signal comes; url: where it listens. Logging is set up already."""
    more: dict[str, Any] = {}
    if tls is not None:
        more["ssl_context_factory"] = lambda *_: tls.context

        async def renew() -> None:
            tls.renew()

        more |= {"callback_notify": renew, "timeout_notify": _LOOK_S}
    note(
        directory,
        Running(url, int(time.time()), list(unlocked), str(tls_dir.absolute()) if tls_dir else ""),
    )
    # uvicorn's own lines about requests tell addresses and whole paths: zoneband.server.watch's do
    # not.
    config = uvicorn.Config(application, ws="none", log_config=None, access_log=False, **more)
    # uvicorn ends in order, and then sends itself the signal again: what is open here must still be
    # closed.
    signal.signal(signal.SIGTERM, _leave)
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run([listening])


def _leave(*_: object) -> None:
    sys.exit(0)
