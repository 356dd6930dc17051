"""`zoneband replace`: give the wearer of a band another one."""

import json
from typing import Annotated

import typer

from zoneband import serials
from zoneband.cli.options import Data, Json, data_dir
from zoneband.handout.handout import Handout
from zoneband.i18n import _
from zoneband.say import say


def command(
    old: Annotated[str, typer.Argument(help=_("Serial of the band that goes."))],
    new: Annotated[str, typer.Argument(help=_("Serial of the band that comes."))],
    returned: Annotated[
        bool, typer.Option("--returned", help=_("The old band is here, and not lost."))
    ] = False,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Give a person another band; the old one is lost unless it was returned."""
    handout = Handout(data_dir(data))
    left, given = handout.replace(serials.read(old), serials.read(new), returned)
    for act in (left, given):
        if act.warning:
            say(act.warning, error=True)
    if as_json:
        print(json.dumps({"old": left.as_json(), "new": given.as_json()}))
        return
    say(
        _(
            "{new} is handed out to the wearer of {old}. It takes effect when it is next plugged "
            "in here."
        ).format(new=given.serial, old=left.serial)
    )
