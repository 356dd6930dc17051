"""`zoneband order`: what a band is to do at its next dock, wherever that is."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from zoneband import serials
from zoneband.cli.options import Data, Json, Server, Token, data_dir
from zoneband.errors import ExitCode
from zoneband.i18n import _
from zoneband.localtime import day_and_time
from zoneband.say import say
from zoneband.tracer import Tracer

app = typer.Typer(add_completion=False, no_args_is_help=True)

Band = Annotated[str, typer.Argument(help=_("Serial of the band."))]


@app.callback()
def root() -> None:
    """Order a band to do something at its next dock."""


def _order(kind: str, band: str, server: str | None, token: str | None, data: Data) -> None:
    serial = serials.read(band)
    answer = Tracer(data_dir(data), server, token).ask(
        "POST", f"/v1/bands/{serial}/orders", json={"kind": kind}
    )
    say(
        _("Order {number} for {band} is made: it is carried out at the band's next dock.").format(
            number=answer["number"], band=serial
        )
    )


@app.command("unlock", help=_("Let engineers to the band's REPL again."))
def unlock(band: Band, server: Server = None, token: Token = None, data: Data = None) -> None:
    """Unlock a band."""
    _order("unlock", band, server, token, data)


@app.command("rekey", help=_("Draw a new ID key, as each case's band does by itself."))
def rekey(band: Band, server: Server = None, token: Token = None, data: Data = None) -> None:
    """Give a band a new base key."""
    _order("rekey", band, server, token, data)


@app.command("retire", help=_("Forget the ID keys and send nothing any more."))
def retire(band: Band, server: Server = None, token: Token = None, data: Data = None) -> None:
    """Take a band out of use."""
    _order("retire", band, server, token, data)


@app.command("clock", help=_("Take the station's time once within 7 days, however far it goes."))
def clock(band: Band, server: Server = None, token: Token = None, data: Data = None) -> None:
    """Allow a large step of a band's clock."""
    _order("clock", band, server, token, data)


@app.command("list", help=_("The orders to a band, and which of them are done."))
def every(
    band: Band,
    server: Server = None,
    token: Token = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List a band's orders; exit 3 when there is none."""
    serial = serials.read(band)
    found = Tracer(data_dir(data), server, token).ask("GET", f"/v1/bands/{serial}/orders/all")
    if as_json:
        print(json.dumps(found))
    elif found:
        view = Table()
        for head in (_("number"), _("order"), _("made"), _("state")):
            view.add_column(head)
        for row in found:
            state = _("done") if row["done"] else _("waits")
            view.add_row(str(row["number"]), _name(row["kind"]), day_and_time(row["made_s"]), state)
        Console().print(view)
    if not found:
        if not as_json:
            say(_("Nothing was ordered of {band}.").format(band=serial))
        raise typer.Exit(ExitCode.NOTHING)


def _name(kind: str) -> str:
    names = {
        "unlock": _("unlock"),
        "rekey": _("new ID key"),
        "dock_key": _("new dock key"),
        "retire": _("retire"),
        "clock": _("set the clock"),
    }
    return names.get(kind, kind)
