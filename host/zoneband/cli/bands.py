"""`zoneband bands`: the bands that this station knows."""

import csv
import json
import sys
from dataclasses import asdict, fields
from typing import Annotated

import typer
from rich.text import Text

from zoneband import serials
from zoneband import station as stations
from zoneband.cli.columns import Column
from zoneband.cli.days import read_moment
from zoneband.cli.listing import Listing
from zoneband.cli.options import Data, Json, Server, Token, data_dir
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _
from zoneband.inventory import BandRow, Inventory, State
from zoneband.localtime import day_and_time
from zoneband.say import say

app = typer.Typer(add_completion=False)


@app.callback(invoke_without_command=True)
def command(
    context: typer.Context,
    as_json: Json = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help=_("Print CSV; times are UTC seconds."))
    ] = False,
    state: Annotated[
        str | None, typer.Option(metavar="|".join(State), help=_("Only bands of this state."))
    ] = None,
    data: Data = None,
) -> None:
    """List bands; exit 3 when there is none."""
    if context.invoked_subcommand is not None:
        return
    if as_json and as_csv:
        raise UserError(_("--json or --csv, not both."), ExitCode.USAGE)
    if state is not None and state not in list(State):
        raise UserError(
            _("--state is one of: {states}.").format(states=", ".join(State)), ExitCode.USAGE
        )
    rows = Inventory(stations.directory(data_dir(data))).rows()
    rows = [row for row in rows if state in (None, row.state)]
    if as_json:
        print(json.dumps([asdict(row) for row in rows]))
    elif as_csv:
        _print_csv(rows)
    elif rows:
        _table(rows).show()
    if not rows:
        if not as_json and not as_csv:
            say(_("No band is known here."), error=True)
        raise typer.Exit(ExitCode.NOTHING)


@app.command("swapped", help=_("Two wearers had each other's band on."))
def swapped(
    band: Annotated[str, typer.Argument(metavar="A", help=_("Serial of the one band."))],
    other: Annotated[str, typer.Argument(metavar="B", help=_("Serial of the other."))],
    begin: Annotated[
        str, typer.Option("--from", metavar="DATE", help=_("Since when, a day or a time."))
    ],
    end: Annotated[
        str, typer.Option("--to", metavar="DATE", help=_("Until when; a day is included."))
    ],
    undo: Annotated[
        bool, typer.Option("--undo", help=_("Take this back: it was noted by mistake."))
    ] = False,
    server: Server = None,
    token: Token = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Tell the server of a swap: its traces then name the right people."""
    from zoneband.tracer import Tracer

    body = {
        "serial_a": serials.read(band),
        "serial_b": serials.read(other),
        "from": read_moment(begin),
        "to": read_moment(end),
    }
    tracer = Tracer(data_dir(data), server, token)
    swap = tracer.ask("POST", "/v1/swaps/undo" if undo else "/v1/swaps", json=body)
    if as_json:
        print(json.dumps(swap))
        return
    if undo:
        told = _("{a} and {b} count as not swapped from {begin} to {end}.")
    else:
        told = _("Traces from {begin} to {end} take {a} for {b}, and {b} for {a}.")
    a, b = swap["bands"]
    begin, end = day_and_time(swap["from_s"]), day_and_time(swap["to_s"])
    say(told.format(a=a, b=b, begin=begin, end=end))


def _print_csv(rows: list[BandRow]) -> None:
    names = [field.name for field in fields(BandRow)]
    writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(asdict(row) | {"waits": "yes" if row.waits else "no"})


def _table(rows: list[BandRow]) -> Listing:
    columns = [
        Column(_("band")),
        Column(_("board"), wrap=8, leaves=3),
        Column(_("firmware"), leaves=4),
        Column(_("state"), wrap=14),
        Column(_("last dock")),
        Column(_("battery"), leaves=1),
        Column(_("log"), leaves=2),
        Column(_("enrolment"), leaves=5),
    ]
    view = Listing(columns, caption=_("bands: {n}").format(n=len(rows)))
    for row in rows:
        battery = f"{row.battery_mv / 1000:.2f} V" if row.battery_mv else ""
        fill = "" if row.log_fill_percent is None else f"{row.log_fill_percent} %"
        view.add(
            Text(row.serial, "bold"),
            row.board,
            row.firmware,
            _state(row),
            "" if row.docked_s is None else day_and_time(row.docked_s),
            battery,
            fill,
            _enrolment(row.enrolment),
            below=_why_refused(row.enrolment),
        )
    return view


def _state(row: BandRow) -> Text:
    words = {
        State.UNFINISHED: _("flashing broke off"),
        State.NEW: _("new"),
        State.ISSUED: _("handed out"),
        State.RETURNED: _("taken back"),
        State.LOST: _("lost"),
        State.RETIRED: _("out of use"),
    }[State(row.state)]
    if row.waits:
        words += " " + _("(waits for the band)")
    if row.successor:
        words += "\n→ " + row.successor
    return Text(words, "red" if row.state == State.LOST else "")


def _enrolment(state: str) -> str:
    return {"": "", "waiting": _("waits"), "sent": _("sent")}.get(state, _("refused"))


def _why_refused(state: str) -> Text | None:
    # It has no column that it would fit into, and must be seen.
    if state in ("", "waiting", "sent"):
        return None
    return Text(f"{_('enrolment')}, {_('refused')}: {state}", "red")
