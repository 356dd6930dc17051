"""`zoneband case`: declare a wearer a case."""

from typing import Annotated

import typer

from zoneband import serials
from zoneband.cli.options import Data, data_dir
from zoneband.i18n import _

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def root() -> None:
    """Declare a wearer a case."""


@app.command("add", help=_("Declare a band's wearer a case."))
def add(
    band: Annotated[str, typer.Argument(help=_("Serial of the band."))],
    onset: Annotated[str, typer.Option(metavar="DATE", help=_("First day of illness."))],
    server: Annotated[
        str | None, typer.Option(metavar="URL", help=_("The tracing server."))
    ] = None,
    token: Annotated[str | None, typer.Option(help=_("The tracers' token."))] = None,
    data: Data = None,
) -> None:
    """Declare a case."""
    from zoneband.tracer import Tracer

    answer = Tracer(data_dir(data), server, token).ask(
        "POST", "/v1/cases", json={"serial": serials.read(band), "onset": onset}
    )
    print(_("{band} is a case since {onset}.").format(band=answer["serial"], onset=answer["onset"]))
