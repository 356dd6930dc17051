"""Options that many verbs share."""

import os
from pathlib import Path
from typing import Annotated

import typer

from zoneband.i18n import _

Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help=_("Where Zoneband keeps its data.")),
]
Server = Annotated[str | None, typer.Option(metavar="URL", help=_("The tracing server."))]
Token = Annotated[str | None, typer.Option(help=_("The tracers' token."))]
Json = Annotated[bool, typer.Option("--json", help=_("Print JSON for a script."))]


def data_dir(value: Path | None) -> Path:
    """The data directory: --data, $ZONEBAND_DATA, or the user's own place."""
    if value is not None:
        return value
    if "ZONEBAND_DATA" in os.environ:
        return Path(os.environ["ZONEBAND_DATA"])
    home = os.environ.get("XDG_DATA_HOME")
    return (Path(home) if home else Path.home() / ".local" / "share") / "zoneband"
