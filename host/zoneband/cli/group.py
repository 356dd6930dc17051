"""`zoneband group`: groups of bands, and their keys."""

import json
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer
from rich.console import Console
from rich.table import Table

from zoneband import durable
from zoneband.cli.options import Data, Json, Server, Token, data_dir
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _
from zoneband.tracer import Tracer

app = typer.Typer(add_completion=False, no_args_is_help=True)

Name = Annotated[str, typer.Argument(help=_("Name of the group: a commune, a market, a factory."))]


@app.callback()
def root() -> None:
    """Groups of bands, and their keys."""


@app.command("add", help=_("Make a group with a key of its own."))
def add(name: Name, server: Server = None, token: Token = None, data: Data = None) -> None:
    """Make a group."""
    answer = Tracer(data_dir(data), server, token).ask("POST", "/v1/groups", json={"name": name})
    print(
        _("Group {name} has the number {number}. Stations join it with: {command}").format(
            name=answer["name"],
            number=answer["number"],
            command=f"zoneband station invite NAME --group {json.dumps(name, ensure_ascii=False)}",
        )
    )


@app.command("list", help=_("All groups, and how many of their bands have the newest key."))
def every(
    server: Server = None, token: Token = None, data: Data = None, as_json: Json = False
) -> None:
    """List the groups."""
    found = Tracer(data_dir(data), server, token).ask("GET", "/v1/groups")
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    view = Table()
    for head in (_("number"), _("group"), _("key"), _("bands"), _("with the newest key")):
        view.add_column(head)
    for row in found:
        numbers = (row["generation"], row["bands"], row["bands_newest"])
        view.add_row(str(row["number"]), row["name"], *map(str, numbers))
    Console().print(view)


@app.command("renew", help=_("Replace a group's key, as after a stolen station."))
def renew(name: Name, server: Server = None, token: Token = None, data: Data = None) -> None:
    """Give a group a new key, and its bands the order to take it."""
    answer = Tracer(data_dir(data), server, token).ask(
        "POST",
        f"/v1/groups/{quote(name, safe='')}/renew",
        unknown=_("The server knows no such group."),
    )
    print(
        _("Key {generation} of group {name} is made: {bands} bands take it at their next dock.")
        .format(generation=answer["generation"], name=name, bands=answer["bands"])
    )  # fmt: skip


@app.command("export", help=_("Write a group's keys into a file, for a station without a network."))
def export(
    name: Name,
    file: Annotated[Path, typer.Argument(help=_("The file to write."))],
    data: Data = None,
) -> None:
    """Write a group's keys, as they stand in this computer's server."""
    from zoneband.server import database
    from zoneband.server.groups import UnknownGroup, keys_in

    where = data_dir(data) / "server"
    if not database.exists(where):
        raise UserError(
            _("There is no tracing server in {path}: do this on the server's computer.").format(
                path=where
            ),
            ExitCode.USAGE,
        )
    try:
        keys = keys_in(where, name)
    except UnknownGroup as error:
        raise UserError(_("The server knows no such group."), ExitCode.NOTHING) from error
    text = json.dumps({"groups": keys}, indent=1, ensure_ascii=False).encode() + b"\n"
    durable.write(file, lambda f: f.write(text), 0o600)
    print(
        _(
            "{path} opens every band of {name}: carry it to the station yourself, run {command} "
            "there, and delete it."
        ).format(path=file, name=name, command="zoneband station groups FILE")
    )
