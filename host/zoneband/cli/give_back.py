"""`zoneband return`: take a band back."""

import json
from typing import Annotated

import typer

from zoneband import serials
from zoneband.cli.options import Data, Json, data_dir
from zoneband.handout.handout import Handout
from zoneband.i18n import _
from zoneband.say import say


def command(
    band: Annotated[str, typer.Argument(help=_("Serial of the band."))],
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Take a band back."""
    act = Handout(data_dir(data)).take_back(serials.read(band))
    if act.warning:
        say(act.warning, error=True)
    if as_json:
        print(json.dumps(act.as_json()))
        return
    say(
        _("{serial} is taken back. It takes effect when it is next plugged in here.").format(
            serial=act.serial
        )
    )
