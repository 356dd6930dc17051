"""`zoneband trace`: whom a case met."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from zoneband import serials
from zoneband.cli.options import Data, Json, data_dir
from zoneband.errors import ExitCode
from zoneband.i18n import _
from zoneband.localtime import day_and_time


def command(
    band: Annotated[str, typer.Argument(help=_("Serial of the case's band."))],
    begin: Annotated[str, typer.Option("--from", metavar="DATE", help=_("First day (Vietnam)."))],
    end: Annotated[str, typer.Option("--to", metavar="DATE", help=_("Last day, included."))],
    server: Annotated[
        str | None, typer.Option(metavar="URL", help=_("The tracing server."))
    ] = None,
    token: Annotated[str | None, typer.Option(help=_("The tracers' token."))] = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Print every contact with its evidence; exit 3 when there is none."""
    from zoneband.tracer import Tracer

    path = f"/v1/traces/{serials.read(band)}"
    found = Tracer(data_dir(data), server, token).ask(
        "GET", path, params={"from": begin, "to": end}
    )
    if as_json:
        print(json.dumps(found))
    else:
        Console().print(table(found))
    if not found["contacts"]:
        if not as_json:
            print(_("No contact is known in this span."))
        raise typer.Exit(ExitCode.NOTHING)


def table(found: dict[str, Any]) -> Table:
    """The contacts of a trace, nearest first."""
    view = Table(title=_("Contacts of {band}").format(band=found["case"]))
    heads = (
        _("band"),
        _("wearer"),
        _("first"),
        _("last"),
        _("near min"),
        _("total min"),
        _("strongest"),
        "",
    )
    for head in heads:
        view.add_column(head)
    for c in found["contacts"]:
        words = "[bold red]" + _("CALL") + "[/]" if c["must_call"] else ""
        if c["role"] == "venue":
            words = _("the place")
        if c["replay"]:
            words += " " + _("(possible replay)")
        elif not c["confirmed"]:
            words += " " + _("(unconfirmed)")
        if not c["clock"]:
            words += " " + _("(time uncertain)")
        holder = f" #{c['holder']}" if c["holder"] else ""
        person = c.get("person") or {}
        wearer = "\n".join(filter(None, (person.get("name"), person.get("phone"))))
        view.add_row(
            c["serial"] + holder,
            wearer,
            day_and_time(c["first_s"]),
            day_and_time(c["last_s"]),
            f"{c['near_min']:.0f}",
            f"{c['total_min']:.0f}",
            f"{c['rssi_max']} dBm",
            words,
        )
    return view
