"""`zoneband status`: how the server and the station on this computer are."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from zoneband import station_status
from zoneband.cli.options import Data, Json, data_dir
from zoneband.doctor import Finding
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _, number
from zoneband.localtime import day_and_time

if TYPE_CHECKING:
    # A station may have no part of the server installed.
    from zoneband.server.status import ServerStatus

_MARKS = {"ok": "[green]✓[/]", "warning": "[yellow]![/]", "fault": "[bold red]✗[/]"}


def command(data: Data = None, as_json: Json = False) -> None:
    """How server and station are; exit 1 when something needs doing."""
    where = data_dir(data)
    out: dict[str, Any] = {}
    found: list[Finding] = []
    console = Console(highlight=False)
    server = _server(where / "server")
    if server is not None:
        from zoneband.server import status

        told = status.findings(server)
        out["server"] = asdict(server) | {"findings": [asdict(each) for each in told]}
        found += told
        if not as_json:
            _show_server(console, server, told)
    station = station_status.look(where)
    if station is not None:
        told = station_status.findings(station)
        out["station"] = asdict(station) | {"findings": [asdict(each) for each in told]}
        found += told
        if not as_json:
            _show_station(console, station, told)
    if as_json:
        print(json.dumps(out, ensure_ascii=False))
    if not out:
        raise UserError(
            _(
                "There is neither a server nor a station in {path}. Set one up: "
                "zoneband authority init and zoneband serve, or zoneband station init"
            ).format(path=where),
            ExitCode.NOTHING,
        )
    if any(finding.fix for finding in found):
        raise typer.Exit(ExitCode.WRONG)


def _server(directory: Path) -> "ServerStatus | None":
    if not any((directory / name).exists() for name in ("ledger.sqlite", "ledger-url")):
        return None
    try:
        from zoneband.server.status import of
    except ModuleNotFoundError as error:
        raise UserError(
            _("This needs a part that is not installed here ({part}).").format(part=error.name),
            ExitCode.USAGE,
        ) from error
    return of(directory)


def _show_server(console: Console, server: "ServerStatus", told: Sequence[Finding]) -> None:
    view = Table(title=_("Tracing server"), show_header=False, title_justify="left")
    now = server.condition
    if now is not None:
        from zoneband.server.condition import day_name

        since = (
            f" ({_('since {day}').format(day=day_name(now.oldest_day))})" if now.oldest_day else ""
        )
        share = now.unresolved / now.encounters * 100 if now.encounters else 0
        view.add_row(_("bands"), str(now.bands))
        view.add_row(_("batches today"), str(now.batches_today))
        view.add_row(_("logs not worked in"), str(now.waiting_batches))
        view.add_row(_("sealed records that wait"), str(now.waiting_records))
        view.add_row(_("encounters"), str(now.encounters))
        view.add_row(_("of devices that nobody knows"), f"{number(share, 1)} %")
        view.add_row(_("days held"), f"{now.days}{since}")
        view.add_row(_("disk"), _gigabytes(now.disk_free))
        view.add_row(_("ledger"), "PostgreSQL" if now.postgresql else "SQLite")
    if server.running is not None:
        key = ", ".join(map(str, server.running.unlocked))
        state = _("unlocked, key {numbers}").format(numbers=key) if key else _("locked")
        view.add_row(_("authority's key"), state)
    console.print(view)
    if now is not None and now.stations:
        view = Table()
        for head in (_("station"), _("last batch")):
            view.add_column(head)
        for row in now.stations:
            seen = day_and_time(row["seen_s"]) if row["seen_s"] else "–"
            view.add_row(escape(row["name"]), seen)
        console.print(view)
    _show(console, told)


def _show_station(
    console: Console, now: station_status.StationStatus, told: Sequence[Finding]
) -> None:
    title = _("Station {name}").format(name=escape(now.name))
    view = Table(title=title, show_header=False, title_justify="left")
    view.add_row(_("waiting"), str(now.waiting))
    view.add_row(_("oldest since"), day_and_time(now.oldest_s) if now.oldest_s else "–")
    view.add_row(_("refused"), str(now.refused))
    view.add_row(_("server"), escape(now.server))
    view.add_row(_("disk"), _gigabytes(now.disk_free))
    console.print(view)
    _show(console, told)


def _show(console: Console, told: Sequence[Finding]) -> None:
    for finding in told:
        console.print(f"{_MARKS[finding.level]} {escape(finding.text)}")
        if finding.fix:
            console.print(f"    → {escape(finding.fix)}")


def _gigabytes(free: int) -> str:
    return _("{n} GB free").format(n=number(free / 1e9, 1))
