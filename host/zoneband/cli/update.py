"""`zoneband update`: updates that this station gives to bands at their next dock."""

import json
from pathlib import Path
from typing import Annotated

import typer

from zoneband import release, updates
from zoneband.cli.options import Data, Json, data_dir
from zoneband.cli.release import facts
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def root() -> None:
    """Updates for bands."""


@app.command("add", help=_("Keep an update: bands get it at their next dock here."))
def add(
    file: Annotated[Path, typer.Argument(help=_("The update's file."))], data: Data = None
) -> None:
    """Keep a bundle that the authority signed."""
    bundle = updates.add(data_dir(data), file)
    print(
        _("Update {version} is kept: bands get it at their next dock here.").format(
            version=release.name_of(bundle.version)
        )
    )


@app.command("list", help=_("The updates that are kept here."))
def every(data: Data = None, as_json: Json = False) -> None:
    """List the bundles."""
    found = updates.every(data_dir(data))
    if as_json:
        print(json.dumps([facts(bundle) for bundle in found]))
        return
    for bundle in found:
        names = ", ".join(bundle.boards) or _("all boards")
        print(f"{release.name_of(bundle.version):10s}  {names}")
    if not found:
        raise UserError(_("No update is kept here."), ExitCode.NOTHING)
