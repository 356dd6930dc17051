"""`zoneband return`: take a band back."""

import json
import sys
from typing import Annotated

import typer

from zoneband import serials
from zoneband.cli.options import Data, Json, data_dir
from zoneband.handout.handout import Handout
from zoneband.i18n import _


def command(
    band: Annotated[str, typer.Argument(help=_("Serial of the band."))],
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Take a band back."""
    act = Handout(data_dir(data)).take_back(serials.read(band))
    if act.warning:
        print(act.warning, file=sys.stderr)
    if as_json:
        print(json.dumps(act.as_json()))
        return
    print(
        _("{serial} is taken back. It takes effect when it is next plugged in here.").format(
            serial=act.serial
        )
    )
