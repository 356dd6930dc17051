"""`zoneband retention`: drop what is too old."""

import json
from datetime import UTC, datetime

import typer

from zoneband import retention
from zoneband.cli import operator
from zoneband.cli.options import Data, Json, Server
from zoneband.i18n import _

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def root() -> None:
    """Drop what is older than 21 days from the tracing server."""


@app.command("run", help=_("Drop it now: a running server does so by itself, once a day."))
def run(server: Server = None, data: Data = None, as_json: Json = False) -> None:
    """Drop what is too old by this computer's clock, and say how much that was."""
    done = operator.ask(
        data, server, "POST /v1/retention", lambda here: here.retention.run().as_json()
    )
    if as_json:
        print(json.dumps(done))
        return
    first = datetime.fromtimestamp(done["first_day"] * retention.DAY_S, UTC)
    print(
        _(
            "Everything from {day} on is kept. Dropped: {encounters} encounters, {batches} "
            "batches, {persons} records of persons, {marks} marks."
        ).format(day=f"{first:%d/%m/%Y}", **done)
    )
