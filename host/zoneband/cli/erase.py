"""`zoneband erase`: take a person, or some days, out of the tracing server for good."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoneband import serials
from zoneband.cli import operator
from zoneband.cli.days import read_moment
from zoneband.cli.options import Data, Json, Server
from zoneband.errors import ExitCode, UserError
from zoneband.handout import ask
from zoneband.i18n import _
from zoneband.localtime import local
from zoneband.say import say

if TYPE_CHECKING:
    from zoneband.server.tracing_server import TracingServer

Answer = dict[str, Any]


def command(
    band: Annotated[
        str | None, typer.Argument(metavar="SERIAL", help=_("Serial of the person's band."))
    ] = None,
    holder: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help=_("Which wearer in turn, of a band that several had.")
        ),
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option("--from", metavar="DATE", help=_("Only from this day on (Vietnam).")),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option("--until", metavar="DATE", help=_("Only to this day, included.")),
    ] = None,
    listed: Annotated[
        bool, typer.Option("--list", help=_("Say what was erased so far, and erase nothing."))
    ] = False,
    replay: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=_("Erase again what this list says (erasures.jsonl).")),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help=_("Do not ask whether this is meant."))
    ] = False,
    server: Server = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Erase a band's wearer: encounters on both sides, records, and what else tells of them."""
    if (band is not None) + listed + (replay is not None) != 1:
        raise UserError(_("Give the serial of a band, --list or --replay FILE."), ExitCode.USAGE)
    if (begin is None) != (end is None):
        raise UserError(_("--from and --until belong together."), ExitCode.USAGE)
    if band is not None:
        serial = serials.read(band)
        if sys.stdin and sys.stdin.isatty() and not yes:
            question = _("What is erased does not come back. Erase what tells of {serial}?")
            if not ask.yes(question.format(serial=serial)):
                raise UserError(_("Nothing was erased."))
        done = [_erase(data, server, serial, holder, begin, end)]
    elif replay is not None:
        done = _replay(data, server, replay)
    else:
        done = operator.ask(data, server, "GET /v1/erasures", lambda here: here.erasing.every())
    if as_json:
        print(json.dumps(done[0] if band is not None else done))
    else:
        for each in done:
            say(_told(each))
    if not done:
        if not as_json:
            say(_("Nothing was erased."))
        raise typer.Exit(ExitCode.NOTHING)
    if any(each["erased"]["damaged"] for each in done):
        raise typer.Exit(ExitCode.PARTLY)


def _erase(
    data: Path | None,
    server: str | None,
    serial: str,
    holder: int | None,
    begin: str | None,
    end: str | None,
) -> Answer:
    body: dict[str, Any] = {"serial": serial, "holder": holder}
    if begin is not None and end is not None:
        body |= {"from": read_moment(begin), "to": read_moment(end)}

    def here(there: "TracingServer") -> Answer:
        from zoneband.server.case_routes import span

        from_s, to_s = span(body["from"], body["to"]) if "from" in body else (None, None)
        return there.erasing.erase(serial, holder, from_s, to_s)

    return operator.ask(data, server, "POST /v1/erasures", here, json=body)


def _replay(data: Path | None, server: str | None, file: Path) -> list[Answer]:
    from zoneband.server import erasures

    if not file.exists():
        raise UserError(_("{path} is not there.").format(path=file), ExitCode.USAGE)
    some = erasures.load(file)
    body = {"erasures": [each.as_json() for each in some]}
    path = "POST /v1/erasures:replay"
    return operator.ask(data, server, path, lambda here: here.erasing.replay(some), json=body)


def _told(done: Answer) -> str:
    erased = done["erased"]
    text = _(
        "Erased on {day}: {bands}. {own} encounters of its own, {others} that others had of it, "
        "{batches} batches cut, {records} records of persons, {marks} marks, {cases} cases."
    ).format(
        day=f"{local(done['made_s']):%d/%m/%Y %H:%M}",
        bands=", ".join(done["bands"]),
        own=erased["encounters_own"],
        others=erased["encounters_of_others"],
        **{name: erased[name] for name in ("batches", "records", "marks", "cases")},
    )
    if erased["damaged"]:
        text += " " + _(
            "{n} segments are damaged and could not be looked through: they go with their days."
        ).format(n=erased["damaged"])
    if done["done_s"] is None:
        text += " " + _("It is not finished: start the server.")
    return text
