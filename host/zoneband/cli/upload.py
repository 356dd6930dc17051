"""`zoneband upload`: send what waits."""

import json
import sys

import typer
from rich.console import Console
from rich.progress import Progress

from zoneband import station as stations
from zoneband.cli.options import Data, Json, data_dir
from zoneband.errors import ExitCode
from zoneband.i18n import _
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
        print(_("{sent} sent, {waiting} waiting.").format(sent=done.sent, waiting=done.waiting))
        if done.refused:
            print(
                _("{n} refused by the server; they are kept here.").format(n=done.refused),
                file=sys.stderr,
            )
        if done.note:
            print(done.note, file=sys.stderr)
        if done.problem:
            print(done.problem, file=sys.stderr)
            print(_("Nothing is lost; it is sent later."), file=sys.stderr)
    if done.waiting or done.refused:
        raise typer.Exit(ExitCode.PARTLY)
