"""`zoneband upload`: send what waits."""

import json

import typer
from rich.console import Console
from rich.progress import Progress

from zoneband import station as stations
from zoneband.cli.options import Data, Json, data_dir
from zoneband.errors import ExitCode
from zoneband.i18n import _
from zoneband.say import say
from zoneband.spool import Spool
from zoneband.upload import Uploader


def command(data: Data = None, as_json: Json = False) -> None:
    """Send what waits; exit 4 when something is left."""
    where = data_dir(data)
    station = stations.need(where)
    spool = Spool(stations.directory(where))
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(_("sending"), total=None)
        done = Uploader(where, spool, station).run(
            progress=lambda n, total: bar.update(task, completed=n, total=total)
        )
    if as_json:
        print(json.dumps(vars(done)))
    else:
        say(_("{sent} sent, {waiting} waiting.").format(sent=done.sent, waiting=done.waiting))
        if done.refused:
            say(
                _("{n} refused by the server; they are kept here.").format(n=done.refused),
                error=True,
            )
        if done.note:
            say(done.note, error=True)
        if done.problem:
            say(done.problem, error=True)
            say(_("Nothing is lost; it is sent later."), error=True)
    if done.waiting or done.refused:
        raise typer.Exit(ExitCode.PARTLY)
