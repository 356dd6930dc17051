"""`zoneband case`: who is a case, from declaration to end."""

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from zoneband import serials
from zoneband.cli.columns import Column
from zoneband.cli.days import read_optional
from zoneband.cli.listing import Listing
from zoneband.cli.options import Data, Json, Server, Token, data_dir
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _
from zoneband.localtime import day_and_time
from zoneband.say import say
from zoneband.server.audit import OPERATOR
from zoneband.tracer import Tracer
from zoneband.tracing import case_words

app = typer.Typer(add_completion=False, no_args_is_help=True)

Number = Annotated[int, typer.Argument(min=1, help=_("Number of the case."))]
Reason = Annotated[str, typer.Option(metavar="TEXT", help=_("Why, in a few words."))]


@app.callback()
def root() -> None:
    """Declare wearers cases, and end them."""


@app.command("code", help=_("A code of health staff, with which one case is declared."))
def code(
    server: Server = None, token: Token = None, as_json: Json = False, data: Data = None
) -> None:
    """Make a code; it is shown once."""
    made = Tracer(data_dir(data), server, token).ask("POST", "/v1/case-codes")
    if as_json:
        print(json.dumps(made))
        return
    print(made["code"])
    until = day_and_time(made["expires_s"])
    say(_("It declares one case, once, until {time}.").format(time=until), error=True)


@app.command("declare", help=_("Declare a band's wearer a case."), hidden=True)
@app.command("add", help=_("Declare a band's wearer a case."))
def add(
    band: Annotated[str, typer.Argument(help=_("Serial of the band."))],
    onset: Annotated[
        str | None, typer.Option(metavar="DATE", help=_("First day of illness."))
    ] = None,
    tested: Annotated[
        str | None,
        typer.Option(metavar="DATE", help=_("Day of the test, of a case that is not ill.")),
    ] = None,
    isolated: Annotated[
        str | None, typer.Option(metavar="DATE", help=_("Isolated since, if it is known."))
    ] = None,
    holder: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help=_("Which wearer in turn, of a band that several had.")
        ),
    ] = None,
    code: Annotated[
        str | None, typer.Option(help=_("Code of the health staff, of zoneband case code."))
    ] = None,
    server: Server = None,
    token: Token = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Declare a case; once more with --isolated adds that day."""
    if (onset is None) == (tested is None):
        raise UserError(case_words.refusal("one_date", {}) or "", ExitCode.USAGE)
    body = {
        "serial": serials.read(band),
        "onset": read_optional(onset),
        "tested": read_optional(tested),
        "isolated": read_optional(isolated),
        "holder": holder,
        "code": code,
    }
    case = Tracer(data_dir(data), server, token).ask("POST", "/v1/cases", json=body)
    if as_json:
        print(json.dumps(case))
        return
    if case["new"]:
        told = _("Case {number}: {wearer}. Its band draws a new ID key at its next dock.")
    else:
        told = _("This is case {number} already: {wearer}.")
    say(told.format(number=case["number"], wearer=_wearer(case)))
    _print_notes(case)


@app.command("list", help=_("The cases that are open, or all that ever were."))
def every(
    all_: Annotated[
        bool, typer.Option("--all", help=_("Also those that are closed or withdrawn."))
    ] = False,
    server: Server = None,
    token: Token = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """List cases, newest first; exit 3 when there is none."""
    params = {} if all_ else {"state": "open"}
    found = Tracer(data_dir(data), server, token).ask("GET", "/v1/cases", params=params)
    if as_json:
        print(json.dumps(found))
    elif found:
        _table(found).show()
    else:
        say(_("No case is open.") if not all_ else _("No case was declared yet."))
    if not found:
        raise typer.Exit(ExitCode.NOTHING)


@app.command("show", help=_("Everything that is known of a case."))
def show(
    number: Number,
    server: Server = None,
    token: Token = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Show one case; its contacts: zoneband trace --case NUMBER."""
    case = Tracer(data_dir(data), server, token).ask("GET", f"/v1/cases/{number}")
    if as_json:
        print(json.dumps(case))
        return
    view = Table.grid(padding=(0, 2))
    view.add_row(Text(_("case")), Text(str(number), "bold"))
    for name, value in _facts(case):
        if value:
            view.add_row(Text(name), Text(value))
    Console(highlight=False).print(view)
    _print_notes(case)


@app.command("confirm", help=_("Confirm a case that somebody else declared."))
def confirm(
    number: Number,
    server: Server = None,
    token: Token = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Confirm a case, where the server asks for two persons."""
    case = Tracer(data_dir(data), server, token).ask("POST", f"/v1/cases/{number}/confirm")
    _tell(case, _("Case {number} is confirmed."), as_json)


@app.command("close", help=_("End a case that is over. It can still be traced."))
def close(
    number: Number,
    reason: Reason,
    server: Server = None,
    token: Token = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Close a case."""
    case = _end("close", number, reason, data, server, token)
    _tell(case, _("Case {number} is closed."), as_json)


@app.command("withdraw", help=_("Take back a case that never was one: it is traced no more."))
def withdraw(
    number: Number,
    reason: Reason,
    server: Server = None,
    token: Token = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Withdraw a case, such as of the wrong band."""
    case = _end("withdraw", number, reason, data, server, token)
    told = _("Case {number} is withdrawn. Tell whoever was called because of it.")
    _tell(case, told, as_json)


def _end(
    verb: str, number: int, reason: str, data: Data, server: str | None, token: str | None
) -> Any:
    return Tracer(data_dir(data), server, token).ask(
        "POST", f"/v1/cases/{number}/{verb}", json={"reason": reason}
    )


def _tell(case: dict[str, Any], told: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps(case))
    else:
        say(told.format(number=case["number"]))


def _print_notes(case: dict[str, Any]) -> None:
    # A terminal's lines end between words; elsewhere each note is a line.
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    for entry in case["notes"]:
        text = case_words.note(entry)
        if text:
            console.print("! " + text, style="yellow", markup=False)


def _table(found: list[dict[str, Any]]) -> Listing:
    view = Listing(
        [
            Column(_("case")),
            Column(_("band")),
            Column(_("wearer"), wrap=12),
            Column(_("onset or test")),
            Column(_("isolated"), leaves=1),
            Column(_("state")),
        ]
    )
    for case in found:
        person = case["person"] or {}
        known = [person[key] for key in ("name", "phone") if person.get(key)]
        since = _since(case)
        view.add(
            Text(str(case["number"]), "bold"),
            _band(case),
            "\n".join(known),
            "\n".join(since.rsplit(" ", 1)),  # the day in a line of its own
            case_words.day(case["isolated"]) if case["isolated"] else "",
            case_words.state(case["state"]) + (" !" if case["notes"] else ""),
        )
    return view


def _facts(case: dict[str, Any]) -> list[tuple[str, str]]:
    person = case["person"] or {}
    ended = "" if case["ended_s"] is None else f" ({day_and_time(case['ended_s'])})"
    return [
        (_("band"), _band(case)),
        (_("wearer"), person.get("name") or ""),
        (_("year of birth"), str(person.get("birth_year") or "")),
        (_("phone"), person.get("phone") or ""),
        (_("commune"), person.get("commune") or ""),
        (_("onset"), case_words.day(case["onset"]) if case["onset"] else ""),
        (_("test"), case_words.day(case["tested"]) if case["tested"] else ""),
        (_("isolated"), case_words.day(case["isolated"]) if case["isolated"] else ""),
        (_("declared"), "" if case["declared_s"] is None else day_and_time(case["declared_s"])),
        (_("declared by"), _account(case["declared_by"])),
        (_("confirmed by"), _account(case["confirmed_by"])),
        (_("state"), case_words.state(case["state"]) + ended),
        (_("reason"), case["reason"] or ""),
    ]


def _account(name: str | None) -> str:
    return _("the server's own computer") if name == OPERATOR else name or ""


def _wearer(case: dict[str, Any]) -> str:
    name = (case["person"] or {}).get("name")
    return f"{name}, {_band(case)}, {_since(case)}" if name else f"{_band(case)}, {_since(case)}"


def _band(case: dict[str, Any]) -> str:
    # Which wearer is said where there was more than one.
    several = case["holder"] and case["holders"] > 1
    return case["serial"] + (f" #{case['holder']}" if several else "")


def _since(case: dict[str, Any]) -> str:
    if case["onset"]:
        return _("ill since {day}").format(day=case_words.day(case["onset"]))
    return _("tested on {day}").format(day=case_words.day(case["tested"]))
