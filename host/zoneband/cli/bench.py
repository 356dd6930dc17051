"""`zoneband bench`: measure, and hold the figures against their bars."""

import importlib
import json
import pkgutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from zoneband.cli.options import Json
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _

_TESTS = Path(__file__).parents[3] / "tests"


def _load() -> dict[str, Any]:
    """All rows of tests/bench, in the order of their files."""
    if not (_TESTS / "bench" / "rows.py").exists():
        raise UserError(
            _("The benchmarks are only in a source checkout: run ./zoneband bench there."),
            ExitCode.NOTHING,
        )
    # As pytest finds them: what the tests share, and the firmware that they run on this Python.
    sys.path[:0] = [str(_TESTS), str(_TESTS.parent / "firmware")]
    package = importlib.import_module("bench")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"bench.{module.name}")
    return importlib.import_module("bench.rows").ROWS


def command(
    only: Annotated[
        str, typer.Option("--only", metavar="NAME[,NAME…]", help=_("Run exactly these rows."))
    ] = "",
    large: Annotated[
        bool, typer.Option("--large", help=_("Also rows over 2 minutes or 1 GB."))
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure and print one table; exit 1 when a bar is not held."""
    table = _load()
    names = [n for n in only.split(",") if n] or [
        n for n, r in table.items() if large or not r.large
    ]
    unknown = [n for n in names if n not in table]
    if unknown:
        raise UserError(
            _("No such row: {names}. Rows are: {rows}").format(
                names=", ".join(unknown), rows=", ".join(table)
            ),
            ExitCode.USAGE,
        )
    console = Console(stderr=True)
    values: dict[str, float] = {}
    for name in names:
        if name not in values:
            with console.status(_("measuring {name} …").format(name=name)):
                values.update(table[name].measure())
    out = [
        {
            "name": n,
            "value": values[n],
            "unit": table[n].unit,
            "bar": table[n].bar,
            "ok": table[n].ok(values[n]),
        }
        for n in names
    ]
    if as_json:
        print(json.dumps(out, indent=1))
    else:
        _show(out, table)
    if any(row["ok"] is False for row in out):
        raise typer.Exit(ExitCode.WRONG)


def _show(out: list[dict[str, Any]], rows: dict[str, Any]) -> None:
    view = Table("", _("value"), _("unit"), _("bar"), "")
    for row in out:
        rule = rows[row["name"]].rule or ""
        bar = "" if row["bar"] is None else f"{rule} {row['bar']:g}"
        mark = {None: "", True: "[green]✓[/]", False: "[bold red]✗[/]"}[row["ok"]]
        view.add_row(row["name"], f"{row['value']:.4g}", row["unit"], bar, mark)
    Console().print(view)
