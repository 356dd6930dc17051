"""`zoneband evaluate`: the exposure rules against public measurements of real people."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from zoneband.cli.options import Data, Json, data_dir
from zoneband.errors import ExitCode, UserError
from zoneband.evaluate.sets import Found
from zoneband.i18n import _

# Of files that give nothing, so many are named.
_NAMED = 20


def command(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH…", help=_("Files or folders of public data sets.")),
    ],
    rules: Annotated[
        str | None,
        typer.Option("--rules", metavar="NAME", help=_("Only this rule set.")),
    ] = None,
    near_m: Annotated[
        float, typer.Option("--near-m", min=0.1, max=50, help=_("Near is up to this, in metres."))
    ] = 2.0,
    near_min: Annotated[
        float,
        typer.Option("--near-min", min=0.1, max=1440, help=_("and for these minutes of a scene.")),
    ] = 10.0,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Hold rule sets against public measurements of who was near whom."""
    from zoneband.evaluate import report, score, sets
    from zoneband.tracing import rules as rule_sets

    own = data_dir(data) / "server" / "rules"
    known = rule_sets.load(own if own.is_dir() else None)
    chosen = [rule_sets.choose(known, rules)] if rules is not None else list(known.values())
    err = Console(stderr=True)
    with Progress(console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task(_("reading"), total=None)
        found = sets.read(
            paths, progress=lambda n, total: bar.update(task, completed=n, total=total)
        )
        bar.update(task, description=_("judging"), completed=0)
        results = score.evaluate(
            found.scenes,
            chosen,
            near_m,
            near_min,
            progress=lambda n, total: bar.update(task, completed=n, total=total),
        )
    if as_json:
        print(json.dumps(report.as_json(results, found, near_m, near_min), indent=1))
    elif found.scenes:
        console = Console()
        console.print(report.table(results, near_m, near_min))
        for line in report.notes(results):
            console.print(line, highlight=False)
    _complain(found)
    if not any(r.judged.pairs for r in results):
        raise UserError(
            _(
                "Nothing could be evaluated: no scene with known distances is there. Give "
                "DP-3T's SQLite scenes or MIT's and MITRE's range-angle logs."
            ),
            ExitCode.NOTHING,
        )
    if found.unread:
        raise typer.Exit(ExitCode.PARTLY)


def _complain(found: Found) -> None:
    for path, why in found.unread[:_NAMED]:
        print(_("{path}: not read: {why}.").format(path=path, why=why), file=sys.stderr)
    more = len(found.unread) - _NAMED
    if more > 0:
        print(_("… not read besides: {n}.").format(n=more), file=sys.stderr)
    if found.passed_over:
        print(
            _("Files of other forms passed over: {n}.").format(n=len(found.passed_over)),
            file=sys.stderr,
        )
