"""`zoneband doctor`: findings and fixes."""

import json
from dataclasses import asdict

import typer
from rich.console import Console

from zoneband.cli.options import Data, Json, data_dir
from zoneband.doctor import examine
from zoneband.errors import ExitCode

_MARKS = {"ok": "[green]✓[/]", "warning": "[yellow]![/]", "fault": "[bold red]✗[/]"}


def command(data: Data = None, as_json: Json = False) -> None:
    """Look at ports, rights, clock, disk and server; exit 1 on a fault."""
    findings = []
    console = Console(highlight=False)
    for finding in examine(data_dir(data)):
        findings.append(finding)
        if not as_json:
            console.print(f"{_MARKS[finding.level]} {finding.text}")
            if finding.fix:
                console.print(f"    → {finding.fix}")
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings]))
    if any(finding.level == "fault" for finding in findings):
        raise typer.Exit(ExitCode.WRONG)
