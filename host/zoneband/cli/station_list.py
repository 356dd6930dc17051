"""`zoneband station invite`, `list`, `revoke`: the stations of the server on this computer."""

import json
import shlex
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from zoneband.cli.options import Data, Json, data_dir
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _
from zoneband.localtime import local

if TYPE_CHECKING:
    # A station may have no part of the server installed.
    from zoneband.server.stations import Stations

Name = Annotated[str, typer.Argument(help=_("The station's name."))]


def invite(
    name: Name,
    group: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=_("A group whose bands are docked there; repeatable. New bands get the first."),
        ),
    ] = None,
    hours: Annotated[int, typer.Option(help=_("How long the code is good."), min=1, max=720)] = 48,
    data: Data = None,
) -> None:
    """Make a code for one station."""
    from zoneband.server.groups import UnknownGroup

    known = _stations(data)
    try:
        with _noting("station_invite", data, name):
            code = known.invite(name, group or None, hours * 3600)
    except ValueError:
        raise UserError(
            _("A station's name has 1 to 64 letters and no stroke (/)."), ExitCode.USAGE
        ) from None
    except UnknownGroup as error:
        raise UserError(
            _("The server does not know one of these groups: {names}. See: zoneband group list")
            .format(names=error),
            ExitCode.USAGE,
        ) from None  # fmt: skip
    print(code)
    print(
        _("Good once, for {hours} hours. At the station run: {command}").format(
            hours=hours,
            command=f"zoneband station init --server URL --name {shlex.quote(name)} --code {code}",
        )
    )


def every(data: Data = None, as_json: Json = False) -> None:
    """List the stations; exit 3 when there is none."""
    found = _stations(data).every()
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
    elif found:
        states = {
            "enrolled": _("enrolled"),
            "invited": _("code not used yet"),
            "revoked": _("revoked"),
            "old": _("needs a code: it had a token"),
        }
        view = Table()
        for head in (_("station"), _("state"), _("groups"), _("enrolled"), _("last batch")):
            view.add_column(head)
        for row in found:
            dates = (_moment(row["enrolled_s"]), _moment(row["seen_s"]))
            view.add_row(row["name"], states[row["state"]], ", ".join(row["groups"]), *dates)
        Console().print(view)
    if not found:
        if not as_json:
            print(_("There is no station yet: zoneband station invite NAME"))
        raise typer.Exit(ExitCode.NOTHING)


def revoke(name: Name, data: Data = None) -> None:
    """End a station's key and its code."""
    from zoneband.server.stations import UnknownStation

    known = _stations(data)
    try:
        with _noting("station_revoke", data, name):
            known.revoke(name)
    except UnknownStation:
        raise UserError(
            _("The server knows no station {name}.").format(name=name), ExitCode.NOTHING
        ) from None
    print(
        _(
            "{name} is let in no more, and keeps what it has not sent. Was it stolen? Then renew "
            "the keys of its groups: zoneband group renew NAME"
        ).format(name=name)
    )


def _noting(event: str, data: Path | None, name: str) -> AbstractContextManager[object]:
    # What is done to a station is in the server's audit log.
    from zoneband.server.audit import OPERATOR, Audit

    return Audit(data_dir(data) / "server").doing(event, OPERATOR, station=name)


def _moment(utc_s: int | None) -> str:
    return f"{local(utc_s):%d/%m/%Y %H:%M}" if utc_s else ""


def _stations(data: Path | None) -> "Stations":
    directory = data_dir(data) / "server"
    try:
        from zoneband.server import database
        from zoneband.server.stations import open_stations
    except ModuleNotFoundError as error:
        raise UserError(
            _("This needs a part that is not installed here ({part}).").format(part=error.name),
            ExitCode.USAGE,
        ) from error
    if not database.exists(directory):
        raise UserError(
            _("There is no tracing server in {path}: do this on the server's computer.").format(
                path=directory.parent
            ),
            ExitCode.USAGE,
        )
    return open_stations(directory)
