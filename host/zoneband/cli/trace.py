"""`zoneband trace`: whom a case met."""

import csv
import io
import json
import os
from datetime import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from zoneband import serials
from zoneband.cli.columns import Column
from zoneband.cli.days import read_moment
from zoneband.cli.listing import Listing
from zoneband.cli.options import Data, Json, Server, Token, data_dir
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _
from zoneband.localtime import day_and_time, local
from zoneband.reasons import said
from zoneband.say import say
from zoneband.tracer import Tracer
from zoneband.tracing import case_words, words

Answer = dict[str, Any]


def command(
    band: Annotated[
        str | None, typer.Argument(metavar="[SERIAL]", help=_("Serial of the case's band."))
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="DATE",
            help=_("First day (Vietnam); left out, the days on which the case was infectious."),
        ),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="DATE", help=_("Last day, included."))
    ] = None,
    case: Annotated[
        int | None, typer.Option("--case", min=1, metavar="NUMBER", help=_("Number of the case."))
    ] = None,
    rules: Annotated[
        str | None, typer.Option(metavar="NAME", help=_("The rule set to judge by."))
    ] = None,
    degrees: Annotated[
        int, typer.Option(min=1, max=3, metavar="N", help=_("1: F1 alone; up to 3: F1, F2, F3."))
    ] = 1,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="ENGINE",
            help=_("What answers: duckdb, or the Spark that the server was started with."),
        ),
    ] = None,
    as_csv: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            metavar="FILE",
            help=_("Save as a table. It holds personal data: delete it after."),
        ),
    ] = None,
    server: Server = None,
    token: Token = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Print every contact with its evidence, whom to call first; exit 3 when there is none."""
    if (begin is None) != (end is None):
        raise UserError(_("Give both --from and --to, or none."), ExitCode.USAGE)
    if band is None and (case is None or begin is not None):
        raise UserError(_("Give the band's serial, or --case and its number."), ExitCode.USAGE)
    if case is not None and begin is not None:
        raise UserError(_("Give --case, or --from and --to."), ExitCode.USAGE)
    params: dict[str, str | int] = {"degrees": degrees}
    if rules is not None:
        params["rules"] = rules
    if engine is not None:
        params["engine"] = engine
    tracer = Tracer(data_dir(data), server, token)
    serial = None if band is None else serials.read(band)
    if begin is not None and end is not None:
        span = {"from": read_moment(begin), "to": read_moment(end)}
        found = tracer.ask("GET", f"/v1/traces/{serial}", params=params | span)
    else:
        number = _case_of(tracer, serial, case)
        found = tracer.ask("GET", f"/v1/cases/{number}/contacts", params=params)
    if as_csv is not None:
        _save(as_csv, found)
    if as_json:
        print(json.dumps(found))
    else:
        show(found)
    if not found["contacts"]:
        raise typer.Exit(ExitCode.NOTHING)


def show(found: Answer) -> None:
    """Print an answer: the contacts, then what to know of the whole."""
    console = Console(highlight=False)
    people = [c for c in found["contacts"] if c["role"] != "venue"]
    if found["contacts"]:
        table(found).show()
        console.print(
            _("{called} of {n} people must be called, by the rule set {rules}.").format(
                called=sum(c["must_call"] for c in people),
                n=len(people),
                rules=found["rule"]["name"],
            )
        )
    else:
        console.print(_("No contact is known in this span."))
    for entry in found["notes"]:
        console.print("! " + words.note(entry), style="yellow", markup=False)


def table(found: Answer) -> Listing:
    """The contacts of an answer, whom to call first."""
    title = _("Contacts of {band}").format(band=found["case"])
    if "number" in found:
        title = _("Case {number}: contacts of {band}").format(
            number=found["number"], band=found["case"]
        )
    title += ", " + span(found["from_s"], found["to_s"])
    columns = [
        Column("F"),
        Column(_("band")),
        Column(_("wearer"), wrap=12),
        Column(_("first and last")),
        Column(_("near / all min") + "\n" + _("closest")),
        Column(""),
    ]
    begin = 0 if any(c["degree"] > 1 for c in found["contacts"]) else 1
    view = Listing(columns[begin:], title)
    bands = [c["serial"] for c in found["contacts"]]
    names = {c["serial"]: (c["person"] or {}).get("name") for c in found["contacts"]}
    for c in found["contacts"]:
        several = c["role"] != "venue" and (c["holder"] > 1 or bands.count(c["serial"]) > 1)
        turn = f" #{c['holder']}" if several else ""
        closest = "" if c["closest_db"] is None else f"\n{c['closest_db']:.0f} dB"
        cells = [
            f"F{c['degree']}",
            Text(c["serial"] + turn, "bold"),
            "\n".join(_wearer(c)),
            f"{day_and_time(c['first_s'])}\n{day_and_time(c['last_s'])}",
            f"{c['near_min']:.0f} / {c['total_min']:.0f}{closest}",
            _call(c),
        ]
        view.add(*cells[begin:], below=_evidence(c, names))
    return view


def span(from_s: int, to_s: int) -> str:
    """A span of time as people say it: whole days, the last included, or moments."""
    begin, end = local(from_s), local(to_s - 1)
    if local(to_s).time() == begin.time() == time():
        days = [day.strftime("%d/%m/%Y") for day in (begin, end)]
        return days[0] if days[0] == days[1] else " – ".join(days)
    return f"{day_and_time(from_s)} – {day_and_time(to_s)}"


def reasons(contact: Answer) -> list[str]:
    """Why a contact is in or out, in words."""
    return [words.why(entry) for entry in contact["why"]]


def _call(contact: Answer) -> Text:
    if contact["role"] == "venue":
        return Text(_("the place"))
    return Text(_("CALL"), "bold red") if contact["must_call"] else Text()


def _evidence(contact: Answer, names: dict[str, str | None]) -> Text:
    # The chain is a line of its own; what speaks for and against goes on behind each other.
    text = Text()
    between = contact["path"][1:-1]
    if between:
        way = " → ".join(f"{names[s]} ({s})" if names.get(s) else s for s in between)
        text.append(_("by way of {path}").format(path=way) + "\n")
    return text.append(" ".join(reasons(contact)))


def _wearer(contact: Answer) -> list[str]:
    person = contact["person"] or {}
    return [str(person[key]) for key in ("name", "phone") if person.get(key)]


def _case_of(tracer: Tracer, serial: str | None, number: int | None) -> int:
    # The case that is asked for: by number, or the one of a band that is open.
    if number is not None:
        if serial is not None:
            of = tracer.ask("GET", f"/v1/cases/{number}")["serial"]
            if of != serial:
                raise _refused("case_of_other", number=number, serial=of)
        return number
    cases = tracer.ask("GET", "/v1/cases", params={"state": "open", "serial": serial})
    if len(cases) == 1:
        return cases[0]["number"]
    if cases:
        numbers = [each["number"] for each in cases]
        raise _refused("several_cases", serial=serial, numbers=numbers)
    raise _refused("no_open_case", serial=serial)


def _refused(code: str, **values: Any) -> UserError:
    return UserError(case_words.refusal(code, values) or code, ExitCode.USAGE)


def _save(path: Path, found: Answer) -> None:
    from zoneband.server.report import safe

    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(
        (
            _("degree"), _("band"), _("wearer in turn"), _("name"), _("year of birth"), _("phone"),
            _("whose phone"), _("commune"), _("call"), _("minutes counted"), _("near min"),
            _("total min"), _("closest (dB)"), _("first"), _("last"), _("by way of"), _("why"),
        )
    )  # fmt: skip
    for c in found["contacts"]:
        person = c["person"] or {}
        call = c["must_call"] and c["role"] != "venue"
        cells = (
            f"F{c['degree']}", c["serial"], c["holder"] or "", person.get("name"),
            person.get("birth_year"), person.get("phone"), _whose(person.get("phone_of")),
            person.get("commune"), _("CALL") if call else "", c["weighted_min"], c["near_min"],
            c["total_min"], c["closest_db"], _time(c["first_s"]), _time(c["last_s"]),
            " → ".join(c["path"][1:-1]), " ".join(reasons(c)),
        )  # fmt: skip
        writer.writerow([safe("" if cell is None else str(cell)) for cell in cells])
    try:
        # With a byte order mark, or Excel takes it for another encoding.
        into = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(into, "wb") as file:
            path.chmod(0o600)
            file.write(out.getvalue().encode("utf-8-sig"))
    except OSError as error:
        raise UserError(
            _("{path} cannot be written ({error}).").format(path=path, error=said(error))
        ) from error
    say(_("{path} is written. It holds personal data.").format(path=path), error=True)


def _whose(phone_of: str | None) -> str:
    return {"own": _("own"), "relative": _("a relative's")}.get(phone_of or "", "")


def _time(utc_s: int) -> str:
    return local(utc_s).strftime("%Y-%m-%d %H:%M:%S")
