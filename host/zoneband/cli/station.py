"""`zoneband station`: set this station up."""

import json
import sys
from pathlib import Path
from typing import Annotated

import httpx2
import typer

from zoneband import authority, groups, upload
from zoneband import station as stations
from zoneband.cli.options import Data, data_dir
from zoneband.errors import ExitCode, UserError
from zoneband.groups import GroupKeys
from zoneband.i18n import _
from zoneband.station import Station

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def root() -> None:
    """Set this station up."""


@app.command("init", help=_("Register this station at a tracing server."))
def init(
    server: Annotated[str, typer.Option(metavar="URL", help=_("The tracing server."))],
    name: Annotated[str, typer.Option(help=_("This station's name."))],
    ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help=_("The server's own authority (PEM)."))
    ] = None,
    code: Annotated[
        str | None, typer.Option(help=_("Registration code, as the server prints it."))
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=_("A group whose bands are docked here; repeatable. New bands get the first."),
        ),
    ] = None,
    data: Data = None,
) -> None:
    """Register and remember the token."""
    url = upload.check_url(server)
    if ca is not None and not ca.exists():
        raise UserError(_("{path} does not exist.").format(path=ca), ExitCode.USAGE)
    try:
        with upload.client(url, None, str(ca) if ca else None) as http:
            answer = http.post(
                "/v1/stations", json={"name": name, "code": code, "groups": group or None}
            )
            keys = http.get("/v1/authority")
    except httpx2.HTTPError as error:
        raise UserError(
            _("{url} does not answer ({error}). Is the server running?").format(
                url=url, error=type(error).__name__
            )
        ) from error
    if answer.status_code == 403:
        raise UserError(_("The registration code is wrong. Ask at the server: --code CODE"))
    if answer.status_code == 404:
        raise UserError(
            _("The server does not know one of these groups: {names}. See: zoneband group list")
            .format(names=", ".join(group or [])),
            ExitCode.USAGE,
        )  # fmt: skip
    if answer.status_code != 201:
        raise UserError(_("The server answered {code}.").format(code=answer.status_code))
    where = data_dir(data)
    token = answer.json()["token"]
    station = Station(url, name, token, str(ca) if ca else None)
    stations.save(where, station)
    print(_("This station is “{name}” at {url}.").format(name=name, url=url))
    _trust(where, keys)
    _fetch(where, station)


@app.command("groups", help=_("Keep group keys from a file of zoneband group export."))
def keep_groups(
    file: Annotated[Path, typer.Argument(help=_("The file."))], data: Data = None
) -> None:
    """Keep group keys where the server cannot be reached yet."""
    try:
        keys = groups.read(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UserError(_("{path} holds no group keys.").format(path=file), ExitCode.USAGE) from (
            error
        )
    known = GroupKeys(data_dir(data))
    known.add(keys)
    _say_groups(known)


def _fetch(where: Path, station: Station) -> None:
    # Without group keys no band can be docked or made here.
    known = GroupKeys(where)
    try:
        with upload.client(station.server, station.token, station.ca) as http:
            good = known.fetch(http, station)
    except httpx2.HTTPError:
        good = False
    if good:
        _say_groups(known)
    else:
        print(
            _("The server gave no group keys: bands cannot be docked or flashed here yet."),
            file=sys.stderr,
        )


def _say_groups(known: GroupKeys) -> None:
    names = dict.fromkeys(key.name for key in known.load())
    print(_("Bands of these groups are docked here: {names}").format(names=", ".join(names)))


def _trust(where: Path, answer: httpx2.Response) -> None:
    # What is sealed from here on, bands' enrolments and wearers' names, is sealed to this key.
    try:
        found = [authority.public_of(key) for key in answer.json()]
    except (ValueError, TypeError):
        found = []
    for key in found:
        authority.trust(where, key)
    if not found:
        print(
            _("The server has no authority key yet: bands cannot be flashed or handed out here."),
            file=sys.stderr,
        )
