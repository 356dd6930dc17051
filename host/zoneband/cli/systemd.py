"""`zoneband systemd`: print or install the units of server and station."""

from pathlib import Path
from typing import Annotated

import typer

from zoneband import units
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _


def command(
    role: Annotated[str, typer.Argument(metavar="|".join(units.ROLES), help=_("Which unit."))],
    options: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- OPTIONS]", help=_("Options of zoneband serve or zoneband dock.")
        ),
    ] = None,
    install: Annotated[
        bool, typer.Option("--install", help=_("Install it, with its user; else it is printed."))
    ] = False,
    root: Annotated[
        Path, typer.Option(metavar="DIR", help=_("Install below this directory, for an image."))
    ] = Path("/"),
) -> None:
    """Print a unit, or install it."""
    if role not in units.ROLES:
        raise UserError(
            _("There is no unit for {role}: give server or station.").format(role=role),
            ExitCode.USAGE,
        )
    command = units.program()
    if not install:
        print(units.render(role, command, options or []), end="")
        return
    for path in units.install(role, command, options or [], root):
        print(path)
    print(_("Start it: {command}").format(command=f"systemctl enable --now zoneband-{role}"))
