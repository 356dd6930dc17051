"""The tracing server on this computer, for verbs of whoever runs it: asked over HTTP while it runs,
opened here while it does not."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoneband.cli.options import data_dir
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _
from zoneband.tracer import Tracer

if TYPE_CHECKING:
    # A station may have no part of the server installed.
    from zoneband.server.tracing_server import TracingServer


def directory(data: Path | None) -> Path:
    """The directory of the server on this computer. Raises UserError when there is none."""
    found = data_dir(data) / "server"
    if not ((found / "ledger.sqlite").exists() or (found / "ledger-url").exists()):
        raise UserError(
            _("There is no tracing server in {path}: do this on the server's computer.").format(
                path=found.parent
            ),
            ExitCode.USAGE,
        )
    return found


def ask(
    data: Path | None,
    url: str | None,
    method: str,
    path: str,
    here: "Callable[[TracingServer], Any]",
    **values: Any,
) -> Any:
    """JSON of a route of the running server, or what `here` makes of a server that is not running.
    url: where the running one listens, unless that is the usual place."""
    from zoneband.server.alone import Running, alone
    from zoneband.server.tracing_server import TracingServer

    there = directory(data)
    try:
        with alone(there):
            return here(TracingServer(there))
    except Running:
        token = (there / "operator-token").read_text(encoding="ascii").strip()
        return Tracer(data_dir(data), url, token).ask(method, path, **values)
