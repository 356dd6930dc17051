"""The tracing server on this computer, for verbs of whoever runs it: asked over HTTP while it runs,
opened here while it does not; from elsewhere, asked by whoever has logged in."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoneband.cli.options import data_dir
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _
from zoneband.tracing import case_words

if TYPE_CHECKING:
    # A station may have no part of the server installed.
    from zoneband.server.tracing_server import TracingServer

ERASURES_VARIABLE = "ZONEBAND_ERASURES"


def directory(data: Path | None) -> Path:
    """The directory of the server on this computer. Raises UserError when there is none."""
    found = data_dir(data) / "server"
    if not _is_here(found.parent):
        raise UserError(
            _("There is no tracing server in {path}: do this on the server's computer.").format(
                path=found.parent
            ),
            ExitCode.USAGE,
        )
    return found


def _is_here(data: Path) -> bool:
    names = "ledger.sqlite", "ledger-url"
    return any((data / "server" / name).exists() for name in names)


def erasures(data: Path) -> Path:
    """Where the second copy of the list of erasures is: a folder that no backup of the server's
    directory holds, $ZONEBAND_ERASURES or one beside it."""
    given = os.environ.get(ERASURES_VARIABLE)
    return Path(given) if given else data / "erasures"


def ask(
    data: Path | None,
    url: str | None,
    endpoint: str,
    here: "Callable[[TracingServer], Any]",
    right: int | None = None,
    **values: Any,
) -> Any:
    """JSON of a route of the running server, or what `here` makes of a server that is not running.
    url: where the running one listens, unless that is the usual place; endpoint: as
    zoneband.server.roles names it; right: the number of a person's request in it."""
    from zoneband.server.alone import Running, alone
    from zoneband.server.audit import OPERATOR
    from zoneband.server.database import telling
    from zoneband.server.ledger import Unknown
    from zoneband.server.refused import Refused
    from zoneband.server.roles import TABLE
    from zoneband.server.tracing_server import TracingServer

    # httpx2 is read by whoever asks.
    from zoneband.tracer import SESSION, Tracer

    where = data_dir(data)
    method, path = endpoint.format(**({} if right is None else {"right": right})).split()
    if not _is_here(where) and (url or (where / SESSION).exists()):
        # Somebody with a role who logged in elsewhere.
        return Tracer(where, url, None).ask(method, path, **values)
    there = directory(data)
    named = {} if right is None else {"right": right}
    body: dict[str, Any] = values.get("json") or {}
    facts = {name: body[name] for name in ("kind", "serial") if name in body}
    try:
        with alone(there), telling(there):
            try:
                server = TracingServer(there, erasures=erasures(there.parent))
                with server.audit.doing(TABLE[endpoint].event, OPERATOR, **named, **facts):
                    return here(server)
            except Unknown as error:
                text = _("The server knows no such band.")
                raise UserError(text, ExitCode.NOTHING) from error
            except Refused as error:
                words = case_words.refusal(error.code, error.values) or error.code
                code = ExitCode.USAGE if error.wrong else ExitCode.REFUSED
                raise UserError(words, code) from error
    except Running:
        token = (there / "tracer-token").read_text(encoding="ascii").strip()
        return Tracer(where, url, token).ask(method, path, **values)
