"""`zoneband station`: set this station up; on the server's computer, who may come."""

import contextlib
import json
from pathlib import Path
from typing import Annotated

import httpx2
import typer

from zoneband import authority, groups, registration, upload
from zoneband import station as stations
from zoneband.cli import station_list
from zoneband.cli.options import Data, data_dir
from zoneband.errors import ExitCode, UserError
from zoneband.groups import GroupKey, GroupKeys
from zoneband.i18n import _
from zoneband.reasons import of_request
from zoneband.say import say
from zoneband.station import Station

app = typer.Typer(add_completion=False, no_args_is_help=True)


app.command("invite", help=_("Make a code with which a station may come, on the server."))(
    station_list.invite
)
app.command("list", help=_("The stations that the server on this computer knows."))(
    station_list.every
)
app.command("revoke", help=_("Let a station in no more, on the server."))(station_list.revoke)


@app.callback()
def root() -> None:
    """Set this station up."""


@app.command("init", help=_("Register this station at a tracing server."))
def init(
    server: Annotated[
        str | None,
        typer.Option(metavar="URL", help=_("The tracing server; left out, the same as before.")),
    ] = None,
    code: Annotated[
        str | None, typer.Option(help=_("This station's code, of zoneband station invite."))
    ] = None,
    name: Annotated[
        str | None, typer.Option(help=_("This station's name, to see that the code is for it."))
    ] = None,
    ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help=_("The server's own authority (PEM)."))
    ] = None,
    data: Data = None,
) -> None:
    """Register with a new key, which is all that the server will know this station by."""
    where = data_dir(data)
    before = stations.load(where) if server is None else None
    if server is None and before is None:
        raise UserError(_("Give --server URL."), ExitCode.USAGE)
    url = upload.check_url(server or (before.server if before else ""))
    if ca is not None and not ca.exists():
        raise UserError(_("{path} does not exist.").format(path=ca), ExitCode.USAGE)
    if code is None:
        raise UserError(
            _("Give --code CODE. Whoever runs the server makes one: {command}").format(
                command="zoneband station invite NAME"
            ),
            ExitCode.USAGE,
        )
    key = stations.new_key(where)
    ca_file = str(ca) if ca else (before.ca if before else None)
    try:
        answer = registration.ask(url, ca_file, key, code, name)
        with upload.client(url, None, ca_file) as http:
            keys = http.get("/v1/authority")
    except httpx2.HTTPError as error:
        raise UserError(
            _("{url} does not answer ({error}). Is the server running?").format(
                url=url, error=of_request(error)
            )
        ) from error
    if answer.status_code == 403:
        stations.drop_new_key(where)
    station = Station(url, registration.name_in(answer), key, ca_file)
    stations.save(where, station)
    stations.drop_new_key(where)
    say(_("This station is “{name}” at {url}.").format(name=station.name, url=url))
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
    before: list[GroupKey] = []
    with contextlib.suppress(UserError):  # a damaged file is mended by the server's answer
        before = known.load()
    try:
        with upload.station_client(station) as http:
            good = known.fetch(http, station)
    except httpx2.HTTPError:
        good = False
    if good:
        _say_groups(known)
        if names := known.differing(before):
            say(
                _(
                    "This computer had other keys for {names}, of another server. Bands that were "
                    "made with those cannot be docked any more: flash them with ./flash.sh --erase"
                ).format(names=", ".join(names)),
                error=True,
            )
    else:
        say(
            _("The server gave no group keys: bands cannot be docked or flashed here yet."),
            error=True,
        )


def _say_groups(known: GroupKeys) -> None:
    names = dict.fromkeys(key.name for key in known.load())
    say(_("Bands of these groups are docked here: {names}").format(names=", ".join(names)))


def _trust(where: Path, answer: httpx2.Response) -> None:
    # What is sealed from here on, bands' enrolments and wearers' names, is sealed to this key.
    try:
        found = [authority.public_of(key) for key in answer.json()]
    except (ValueError, TypeError):
        found = []
    for key in found:
        authority.trust(where, key)
    if not found:
        say(
            _("The server has no authority key yet: bands cannot be flashed or handed out here."),
            error=True,
        )
