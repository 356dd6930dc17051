"""`zoneband label`: labels of bands, as pictures and as sheets to print."""

from pathlib import Path
from typing import Annotated

import typer

from zoneband import serials
from zoneband.cli.options import Data, data_dir
from zoneband.flash import label
from zoneband.i18n import _


def command(
    bands: Annotated[list[str], typer.Argument(help=_("Serials of the bands."))],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help=_("Folder for the files."))
    ] = None,
    data: Data = None,
) -> None:
    """Draw labels: a PNG a band and one A4 sheet (PDF); print the sheet at 100 %."""
    read = [serials.read(band) for band in bands]
    folder = to or data_dir(data) / "labels"
    for serial in read:
        print(label.keep(folder, serial))
    print(label.keep_sheet(folder, read))
