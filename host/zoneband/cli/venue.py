"""`zoneband venue`: who was at a place, and when."""

import json
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from zoneband import serials
from zoneband.cli.days import read_moment
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
        console.print(_table(found))
    else:
        console.print(_("Nobody is known to have been there."))
    for entry in found["notes"]:
        console.print("! " + words.note(entry), style="yellow", markup=False)


def _table(found: Answer) -> Table:
    title = _("At {venue}").format(venue=found["venue"])
    title += ", " + span(found["from_s"], found["to_s"])
    view = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False)
    heads = [_("band"), _("wearer"), _("phone"), _("from and to"), _("min")]
    if found["case"]:
        heads.append(_("min with the case"))
    for at, head in enumerate(heads):
        view.add_column(head, no_wrap=at in (0, 2, 3), justify="right" if at > 3 else "left")
    bands = [visitor["serial"] for visitor in found["visitors"]]
    for visitor in found["visitors"]:
        person = visitor["person"] or {}
        several = visitor["holder"] > 1 or bands.count(visitor["serial"]) > 1
        holder = f" #{visitor['holder']}" if several else ""
        cells = [
            Text(visitor["serial"] + holder, "bold"),
            Text(person.get("name") or ""),
            Text(person.get("phone") or ""),
            "\n".join(map(_stay, visitor["spans"])),
            f"{visitor['minutes']:.0f}",
        ]
        if visitor["is_case"]:
            cells.append(Text(_("the case"), "bold"))
        elif found["case"]:
            cells.append(f"{visitor['overlap_min']:.0f}")
        view.add_row(*cells)
    return view


def _stay(stay: dict[str, int]) -> str:
    begin, end = local(stay["from_s"]), local(stay["to_s"])
    until = end.strftime("%H:%M" if begin.date() == end.date() else "%d/%m %H:%M")
    return f"{day_and_time(stay['from_s'])} – {until}"
