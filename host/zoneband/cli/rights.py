"""`zoneband rights`: what persons ask for by law, and by when they must have it."""

import json
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from zoneband import serials
from zoneband.cli import operator
from zoneband.cli.columns import Column
from zoneband.cli.days import read_day
from zoneband.cli.listing import Listing
from zoneband.cli.options import Data, Json, Server
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _
from zoneband.localtime import local
from zoneband.say import say

if TYPE_CHECKING:
    from zoneband.server.tracing_server import TracingServer

app = typer.Typer(add_completion=False, no_args_is_help=True)

Number = Annotated[int, typer.Argument(min=1, help=_("Number of the request."))]
Row = dict[str, Any]


def _kinds() -> dict[str, str]:
    return {
        "consent": _("consent"),
        "withdrawal": _("withdrawal of consent"),
        "deletion": _("deletion"),
        "access": _("access"),
        "correction": _("correction"),
        "restriction": _("restriction"),
        "objection": _("objection"),
    }


@app.callback()
def root() -> None:
    """Persons' requests by Law 91/2025/QH15, and by when they are due."""


@app.command("add", help=_("Record a request that came, or consent that was given."))
def add(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="consent, withdrawal, deletion, access, correction, restriction, objection",
        ),
    ],
    band: Annotated[str, typer.Argument(metavar="SERIAL", help=_("Serial of the person's band."))],
    holder: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help=_("Which wearer in turn, of a band that several had.")
        ),
    ] = None,
    came: Annotated[
        str | None, typer.Option(metavar="DATE", help=_("Day on which it came, unless today."))
    ] = None,
    server: Server = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Record a request and say by when it is due."""
    if kind not in _kinds():
        raise UserError(
            _("{kind} is no kind of request: {kinds}.").format(
                kind=kind, kinds=", ".join(_kinds())
            ),
            ExitCode.USAGE,
        )
    serial = serials.read(band)
    came_s = None if came is None else _day_s(read_day(came))
    body = {"kind": kind, "serial": serial, "holder": holder, "came_s": came_s}
    row = operator.ask(
        data,
        server,
        "POST /v1/rights",
        lambda here: here.rights.add(kind, serial, holder, came_s),
        json=body,
    )
    if as_json:
        print(json.dumps(row))
        return
    if row["due_s"] is None:
        text = _("Recorded as {number}: {kind}, {band}.")
    else:
        text = _("Recorded as {number}: {kind}, {band}. Answer by {answer}, do it by {done}.")
    say(
        text.format(
            number=row["id"],
            kind=_kinds()[row["kind"]],
            band=row["serial"],
            answer=_last_day(row["answer_by_s"]),
            done=_last_day(row["done_by_s"]),
        )
    )
    if row["ask_back"]:
        say(_("Nothing new of this wearer is kept. Take the band back: stations are told so."))


@app.command("list", help=_("What is to be answered or done, what is overdue first."))
def every(
    all_: Annotated[bool, typer.Option("--all", help=_("Also what is done."))] = False,
    server: Server = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """List requests; exit 1 when one is overdue, 3 when there is none."""
    found: list[Row] = operator.ask(
        data,
        server,
        "GET /v1/rights",
        lambda here: here.rights.every(all_),
        params={"all": all_},
    )
    if as_json:
        print(json.dumps(found))
    elif found:
        _table(found).show()
    else:
        say(_("No request is open.") if not all_ else _("No request was recorded yet."))
    if not found:
        raise typer.Exit(ExitCode.NOTHING)
    if any(row["overdue"] for row in found):
        raise typer.Exit(ExitCode.WRONG)


@app.command("answer", help=_("The person has an answer."))
def answer(number: Number, server: Server = None, as_json: Json = False, data: Data = None) -> None:
    """Note that a request was answered."""
    path = "POST /v1/rights/{right}/answer"
    row = operator.ask(data, server, path, lambda here: here.rights.answer(number), number)
    if as_json:
        print(json.dumps(row))
    elif row["due_s"] is None:
        say(_("Request {number} is answered.").format(number=number))
    else:
        say(
            _("Request {number} is answered. Do it by {done}.").format(
                number=number, done=_last_day(row["done_by_s"])
            )
        )


@app.command("done", help=_("What was asked for is done. A deletion is carried out now."))
def done(number: Number, server: Server = None, as_json: Json = False, data: Data = None) -> None:
    """Note that a request is done; a deletion erases the person now."""
    path = "POST /v1/rights/{right}/done"

    def here(there: "TracingServer") -> Row:
        return there.rights.done(number)

    row = operator.ask(data, server, path, here, number)
    if as_json:
        print(json.dumps(row))
        return
    say(_("Request {number} is done.").format(number=number))
    if erased := row.get("erased"):
        say(
            _("Erased: {own} encounters of its own, {others} that others had of it.").format(
                own=erased["encounters_own"], others=erased["encounters_of_others"]
            )
        )


def _table(found: list[Row]) -> Listing:
    view = Listing(
        [
            Column(_("number")),
            Column(_("request"), wrap=12),
            Column(_("band")),
            Column(_("came"), leaves=1),
            Column(_("answer by")),
            Column(_("do by")),
        ]
    )
    for row in found:
        kind = Text(_kinds().get(row["kind"]) or str(row["kind"]))
        remark = _remark(row)
        view.add(
            Text(str(row["id"]), "bold"),
            kind.append("\n").append_text(remark) if remark else kind,
            row["serial"],
            f"{local(row['came_s']):%d/%m/%Y}",
            _("answered") if row["answered_s"] is not None else _last_day(row["answer_by_s"]),
            _("done") if row["done_s"] is not None else _last_day(row["done_by_s"]),
        )
    return view


def _remark(row: Row) -> Text:
    told = [_("OVERDUE")] if row["overdue"] else []
    told += [_("take the band back")] if row["ask_back"] else []
    return Text(", ".join(told), "bold red" if row["overdue"] else "")


def _last_day(by_s: int) -> str:
    # Due before the midnight that ends it.
    return f"{local(by_s - 1):%d/%m/%Y}"


def _day_s(day: str) -> int:
    from zoneband.server.moments import day_s

    return day_s(date.fromisoformat(day))
