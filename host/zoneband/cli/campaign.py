"""`zoneband campaign`: long trials, each against what must never happen."""

import importlib
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from zoneband.campaigns import tally as tallies
from zoneband.campaigns.tally import Keeper, Tally
from zoneband.cli.options import Data, Json, data_dir
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _

app = typer.Typer(add_completion=False, no_args_is_help=True)

Told = Callable[[str], None]
Work = Callable[[Tally, int, Told], None]
Seed = Annotated[int, typer.Option(min=0, help=_("Seed of all that is drawn."))]
Resume = Annotated[
    bool, typer.Option("--resume", help=_("Add to the rounds of this seed that are kept."))
]


@app.callback()
def root() -> None:
    """Long trials; exit 1 when something happened that must never happen."""


def _run(
    name: str,
    rounds: int,
    seed: int,
    resume: bool,
    as_json: bool,
    data: Path | None,
    work: Work,
    passed: Callable[[Tally], bool],
) -> None:
    console = Console(highlight=False, stderr=as_json)
    keeper = Keeper(data_dir(data), name, seed, resume)
    with keeper as tally:
        work(tally, rounds, console.print)
    good = passed(tally)
    if as_json:
        print(json.dumps(tally.as_json()))
    else:
        words = ", ".join(f"{name} {getattr(tally, name)}" for name in tallies.FAILURES)
        figures = "".join(f", {name} {value:g}" for name, value in tally.figures.items())
        console.print(f"{'✓' if good else '✗'} {tally.campaign} {tally.rounds}: {words}{figures}")
    if not good:
        raise typer.Exit(ExitCode.WRONG)


def _add(
    name: str,
    about: str,
    rounds_are: str,
    usual: int,
    load: Callable[[], Work],
    passed: Callable[[Tally], bool] = lambda tally: not tally.failures,
) -> None:
    # One verb. load: its work, whose modules only this verb needs.
    def verb(
        rounds: Annotated[int, typer.Option(min=1, help=rounds_are)] = usual,
        seed: Seed = 0,
        resume: Resume = False,
        as_json: Json = False,
        data: Data = None,
    ) -> None:
        _run(name, rounds, seed, resume, as_json, data, load(), passed)

    app.command(name, help=about)(verb)


def _trial(name: str) -> Callable[[], Work]:
    return lambda: importlib.import_module(f"zoneband.campaigns.{name}").run


def _flood_passed(tally: Tally) -> bool:
    from zoneband.campaigns import flood

    return flood.passed(tally)


def _stories(tally: Tally, rounds: int, told: Told) -> None:
    from zoneband.demo import check, story
    from zoneband.demo.run import StoryRun

    yesterday = int(time.time()) // 86400 * 86400 - 86400
    for _round in range(rounds):
        each = tally.seed + tally.rounds
        began = time.monotonic()
        tale = story.make(each, yesterday)
        with tempfile.TemporaryDirectory(prefix="zoneband-story") as folder:
            try:
                facts = StoryRun(tale, Path(folder), lambda _line: None, lambda _s: None).run()
                mistakes = check.compare(tale, facts.trace).mistakes
                tally.witness(str(tale).encode(), json.dumps(facts.trace).encode())
            except UserError as error:
                mistakes = [error.message]
        tally.count(1, lost=int(bool(mistakes)))
        spent = time.monotonic() - began
        told(f"{each:5d}  {spent:5.1f} s  {'✗ ' + '; '.join(mistakes) if mistakes else '✓'}")


def _flashings(tally: Tally, rounds: int, told: Told) -> None:
    from zoneband.sim import interrupts

    def show(each: interrupts.Round) -> None:
        end = "✗ " + "; ".join(each.faults) if each.faults else "✓"
        told(f"{each.number:5d}  {each.kind:5}  {each.how} {each.after_s:4.1f} s  {end}")

    with tempfile.TemporaryDirectory(prefix="zoneband-flash") as folder:
        found = interrupts.run(Path(folder), rounds, tally.seed + tally.rounds, show)
    tally.count(rounds, bricked=sum(bool(each.faults) for each in found))


_add(
    "power",
    _("Power cuts at any byte, while bands log, dock and update."),
    _("How many cuts."),
    10_000,
    _trial("power"),
)
_add(
    "serial",
    _("Docks over a cable that loses, doubles and alters bytes."),
    _("How many docks."),
    2_000,
    _trial("serial"),
)
_add(
    "fuzz",
    _("Bytes from nowhere at every reader, on the host and in the VM."),
    _("Rounds of a minute a target."),
    15,
    _trial("fuzz"),
)
_add(
    "forge",
    _("Forged proofs, frames, receipts, orders, updates and logs."),
    _("How often all of them are tried."),
    20,
    _trial("forge"),
)
_add(
    "flood",
    _("A mass of forged beacons and replayed IDs around one band."),
    _("Hours of flood."),
    6,
    _trial("flood"),
    _flood_passed,
)
_add(
    "access",
    _("Every endpoint, asked by whoever must not be answered."),
    _("How many servers are asked."),
    20,
    _trial("access"),
)
_add(
    "kill",
    _("kill -9 of servers, uploaders and docks; power lost; full disks; clocks that jump."),
    _("Rounds of one to three faults under load."),
    500,
    _trial("kill"),
)
_add(
    "api",
    _("The server's interface against its own description, and uploads from nowhere."),
    _("Rounds of a minute a target."),
    15,
    _trial("api"),
)
_add(
    "demo",
    _("Many stories; each must be traced right."),
    _("How many stories."),
    50,
    lambda: _stories,
)
_add(
    "flash",
    _("Flashing cut at random moments; each must end as a good band."),
    _("How many cuts."),
    200,
    lambda: _flashings,
)
_add(
    "spark",
    _("Every question on DuckDB and on a Spark of two workers, row by row."),
    _("How many towns."),
    20,
    _trial("spark"),
)
