"""`zoneband lost`: a band is lost, or was found again."""

import json
from typing import Annotated

import typer

from zoneband import serials
from zoneband.cli.options import Data, Json, data_dir
from zoneband.handout.handout import Act, Handout
from zoneband.i18n import _
from zoneband.inventory import State
from zoneband.say import say


def command(
    band: Annotated[str, typer.Argument(help=_("Serial of the band."))],
    found: Annotated[bool, typer.Option("--found", help=_("It was found again."))] = False,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Report a band lost, or found again."""
    handout = Handout(data_dir(data))
    serial = serials.read(band)
    act = handout.find(serial) if found else handout.lose(serial)
    if act.warning:
        say(act.warning, error=True)
    if as_json:
        print(json.dumps(act.as_json()))
    else:
        say(_words(act, found))


def _words(act: Act, found: bool) -> str:
    if found and act.waits and act.state == State.RETURNED:
        return _(
            "{serial} is found. Its wearer has another band: it is taken back when it is next "
            "plugged in here."
        ).format(serial=act.serial)
    if found:
        return _("{serial} is found.").format(serial=act.serial)
    return _(
        "{serial} is reported lost. Whoever plugs it in here is told so; give its wearer another: "
        "zoneband replace."
    ).format(serial=act.serial)
