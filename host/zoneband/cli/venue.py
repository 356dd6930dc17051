"""`zoneband venue`: who was at a place, and when."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from zoneband import serials
from zoneband.cli.columns import Column
from zoneband.cli.days import read_moment
from zoneband.cli.listing import Listing
from zoneband.cli.options import Data, Json, Server, Token, data_dir
from zoneband.cli.trace import span
from zoneband.errors import ExitCode
from zoneband.i18n import _
from zoneband.localtime import day_and_time, local
from zoneband.tracer import Tracer
from zoneband.tracing import words

Answer = dict[str, Any]


def command(
    venue: Annotated[str, typer.Argument(metavar="SERIAL", help=_("Serial of the beacon."))],
    begin: Annotated[str, typer.Option("--from", metavar="DATE", help=_("First day (Vietnam)."))],
    end: Annotated[str, typer.Option("--to", metavar="DATE", help=_("Last day, included."))],
    case: Annotated[
        int | None,
        typer.Option(
            "--case", min=1, metavar="NUMBER", help=_("Count the minutes together with this case.")
        ),
    ] = None,
    server: Server = None,
    token: Token = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Print who was at a place; exit 3 when nobody was."""
    params: dict[str, str | int] = {"from": read_moment(begin), "to": read_moment(end)}
    if case is not None:
        params["case"] = case
    path = f"/v1/venues/{serials.read(venue)}/visits"
    found = Tracer(data_dir(data), server, token).ask("GET", path, params=params)
    if as_json:
        print(json.dumps(found))
    else:
        _show(found)
    if not found["visitors"]:
        raise typer.Exit(ExitCode.NOTHING)


def _show(found: Answer) -> None:
    console = Console(highlight=False)
    if found["visitors"]:
        _table(found).show()
    else:
        console.print(_("Nobody is known to have been there."))
    for entry in found["notes"]:
        console.print("! " + words.note(entry), style="yellow", markup=False)


def _table(found: Answer) -> Listing:
    title = _("At {venue}").format(venue=found["venue"])
    title += ", " + span(found["from_s"], found["to_s"])
    columns = [
        Column(_("band")),
        Column(_("wearer"), wrap=12),
        Column(_("from and to")),
        Column(_("min"), leaves=1, right=True),
    ]
    if found["case"]:
        columns.append(Column(_("min with the case"), wrap=5, right=True))
    view = Listing(columns, title)
    bands = [visitor["serial"] for visitor in found["visitors"]]
    for visitor in found["visitors"]:
        person = visitor["person"] or {}
        several = visitor["holder"] > 1 or bands.count(visitor["serial"]) > 1
        holder = f" #{visitor['holder']}" if several else ""
        cells = [
            Text(visitor["serial"] + holder, "bold"),
            "\n".join(str(person[key]) for key in ("name", "phone") if person.get(key)),
            "\n".join(map(_stay, visitor["spans"])),
            f"{visitor['minutes']:.0f}",
        ]
        if found["case"]:
            alone = f"{visitor['overlap_min'] or 0:.0f}"
            cells.append(Text(_("the case"), "bold") if visitor["is_case"] else alone)
        view.add(*cells)
    return view


def _stay(stay: dict[str, int]) -> str:
    begin, end = local(stay["from_s"]), local(stay["to_s"])
    until = end.strftime("%H:%M" if begin.date() == end.date() else "%d/%m %H:%M")
    return f"{day_and_time(stay['from_s'])} – {until}"
