"""`zoneband issue`: hand a band out to a person, or a list of bands to a list of people."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from zoneband import serials
from zoneband.cli.options import Data, Json, data_dir
from zoneband.errors import ExitCode, UserError
from zoneband.handout import ask, sheet
from zoneband.handout.ask import Given
from zoneband.handout.handout import Handout
from zoneband.handout.now import dock_now
from zoneband.i18n import _
from zoneband.reasons import said
from zoneband.say import say


def command(
    band: Annotated[
        str | None, typer.Argument(metavar="[BAND]", help=_("Serial of the band."))
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help=_("The wearer's name. Left out, it is asked for, and in no history.")),
    ] = None,
    birth_year: Annotated[
        str | None, typer.Option(metavar="YEAR", help=_("Year of birth."))
    ] = None,
    phone: Annotated[
        str | None, typer.Option(metavar="NUMBER", help=_("Kept only with consent to calls."))
    ] = None,
    relative: Annotated[
        bool, typer.Option("--relative", help=_("The phone is a relative's."))
    ] = False,
    commune: Annotated[
        str | None, typer.Option(metavar="CODE", help=_("The commune's code, five digits."))
    ] = None,
    read_by: Annotated[
        str | None, typer.Option(metavar="NAME", help=_("Who read the consent out."))
    ] = None,
    consent: Annotated[
        str | None,
        typer.Option(metavar="trace,call,statistics", help=_("What the wearer agreed to.")),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(metavar="vi|en", help=_("Language that the consent is read in.")),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=_(
                "A table with the columns {columns}. It holds personal data: delete it after."
            ).format(columns=", ".join(sheet.COLUMNS)),
        ),
    ] = None,
    delete_after: Annotated[
        bool,
        typer.Option("--delete-after", help=_("Delete the table when every row was done.")),
    ] = False,
    now: Annotated[
        bool, typer.Option("--now", help=_("The band is plugged in: dock it at once."))
    ] = False,
    port: Annotated[
        list[str] | None,
        typer.Option(help=_("A port by name (also socket:// and rfc2217://); repeatable.")),
    ] = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Hand a band out; exit 4 when rows of a table, or the dock at once, were not done."""
    where = data_dir(data)
    if (csv is None) == (band is None) or (csv is not None and (now or port)):
        raise UserError(
            _("Give a band, or --csv and a table; --now and --port go with a band."),
            ExitCode.USAGE,
        )
    handout = Handout(where)
    if csv is not None:
        _table(handout, csv, delete_after, as_json)
        return
    serial = serials.read(band or "")
    handout.may_issue(serial)
    person = ask.complete(
        Given(name, birth_year, phone, relative, commune, read_by, consent, language)
    )
    act = handout.issue(serial, person)
    if act.warning:
        say(act.warning, error=True)
    if phone is not None and person.phone is None:
        say(_("The phone number was not kept: no consent to calls."), error=True)
    if now or port:
        _dock(where, serial, port or [])
    waits = handout.waits(serial)
    if as_json:
        print(json.dumps(act.as_json() | {"waits": waits}))
    elif waits:
        say(
            _("{serial} is handed out. It takes effect when it is next plugged in here.").format(
                serial=serial
            )
        )
    else:
        say(_("{serial} is handed out, and the band knows it.").format(serial=serial))
    if waits and (now or port):
        raise typer.Exit(ExitCode.PARTLY)


def _dock(where: Path, serial: str, given: list[str]) -> None:
    result = dock_now(where, serial, given)
    if result is None:
        text = _("{serial} did not answer at any port.").format(serial=serial)
    else:
        text = f"{result.message} · {result.note}"
    say(text, error=True)


def _delete(path: Path) -> bool:
    try:
        path.unlink()
    except OSError as error:
        say(
            _("{path} cannot be deleted ({error}): delete it yourself.").format(
                path=path, error=said(error)
            ),
            error=True,
        )
        return False
    return True


def _table(handout: Handout, path: Path, delete_after: bool, as_json: bool) -> None:
    rows = sheet.load(path)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(_("handing out"), total=len(rows))
        told = sheet.issue(handout, rows, lambda: bar.advance(task))
    bad = [one for one in told if not one.done]
    for one in told:
        text = one.problem
        if one.again:
            text = _(
                "{serial} was handed out here before. See that it was to this person: if not, take "
                "it back first."
            ).format(serial=one.serial)
        if text:
            say(_("line {line}: {text}").format(line=one.line, text=text), error=True)
    again = sum(one.again for one in told)
    # To whom a band was handed out before this station cannot read: somebody must compare.
    deleted = delete_after and not bad and not again and _delete(path)
    if as_json:
        print(json.dumps({"rows": [one.as_json() for one in told], "deleted": deleted}))
    else:
        say(
            _("{done} handed out, {again} were before, {bad} not done.").format(
                done=len(told) - len(bad) - again, again=again, bad=len(bad)
            )
        )
        if deleted:
            say(_("{path} is deleted.").format(path=path))
    if bad and delete_after:
        say(_("{path} is kept until every row is done.").format(path=path), error=True)
    elif again and delete_after:
        say(
            _("{path} is kept: compare it with these rows, then delete it.").format(path=path),
            error=True,
        )
    if bad:
        raise typer.Exit(ExitCode.PARTLY)
