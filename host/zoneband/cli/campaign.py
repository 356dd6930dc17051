"""`zoneband campaign`: long trials, each against what must never happen."""

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
    work: Callable[[Tally, int, Told], None],
    passed: Callable[[Tally], bool] = lambda tally: not tally.failures,
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


@app.command("power", help=_("Power cuts at any byte, while bands log, dock and update."))
def power(
    rounds: Annotated[int, typer.Option(min=1, help=_("How many cuts."))] = 10_000,
    seed: Seed = 0,
    resume: Resume = False,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Cut the power; no record that a band acknowledged may be lost."""
    from zoneband.campaigns import power as trial

    _run("power", rounds, seed, resume, as_json, data, trial.run)


@app.command("serial", help=_("Docks over a cable that loses, doubles and alters bytes."))
def serial(
    rounds: Annotated[int, typer.Option(min=1, help=_("How many docks."))] = 2_000,
    seed: Seed = 0,
    resume: Resume = False,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Dock over bad cables; nothing may be lost or doubled, no dock may hang."""
    from zoneband.campaigns import serial as trial

    _run("serial", rounds, seed, resume, as_json, data, trial.run)


@app.command("fuzz", help=_("Bytes from nowhere at every reader, on the host and in the VM."))
def fuzz(
    rounds: Annotated[int, typer.Option(min=1, help=_("Rounds of a minute a target."))] = 15,
    seed: Seed = 0,
    resume: Resume = False,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Feed every reader; none may crash or hang."""
    from zoneband.campaigns import fuzz as trial

    _run("fuzz", rounds, seed, resume, as_json, data, trial.run)


@app.command("forge", help=_("Forged proofs, frames, receipts, orders, updates and logs."))
def forge(
    rounds: Annotated[int, typer.Option(min=1, help=_("How often all of them are tried."))] = 20,
    seed: Seed = 0,
    resume: Resume = False,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Try every forgery; each must be refused, and the band's log must tell of it."""
    from zoneband.campaigns import forge as trial

    _run("forge", rounds, seed, resume, as_json, data, trial.run)


@app.command("flood", help=_("A mass of forged beacons and replayed IDs around one band."))
def flood(
    rounds: Annotated[int, typer.Option(min=1, help=_("Hours of flood."))] = 6,
    seed: Seed = 0,
    resume: Resume = False,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Flood a band; its real neighbours must be recorded all the same."""
    from zoneband.campaigns import flood as trial

    _run("flood", rounds, seed, resume, as_json, data, trial.run, trial.passed)


@app.command("demo", help=_("Many stories; each must be traced right."))
def demo(
    rounds: Annotated[int, typer.Option(min=1, help=_("How many stories."))] = 50,
    seed: Annotated[int, typer.Option(min=0, help=_("The first story's seed."))] = 0,
    resume: Resume = False,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Live the stories of many seeds."""
    _run("demo", rounds, seed, resume, as_json, data, _stories)


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


@app.command("flash", help=_("Flashing cut at random moments; each must end as a good band."))
def flash(
    rounds: Annotated[int, typer.Option(min=1, help=_("How many cuts."))] = 200,
    seed: Seed = 0,
    resume: Resume = False,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Cut flashing, and flash again."""
    _run("flash", rounds, seed, resume, as_json, data, _flashings)


def _flashings(tally: Tally, rounds: int, told: Told) -> None:
    from zoneband.sim import interrupts

    def show(each: interrupts.Round) -> None:
        end = "✗ " + "; ".join(each.faults) if each.faults else "✓"
        told(f"{each.number:5d}  {each.kind:5}  {each.how} {each.after_s:4.1f} s  {end}")

    with tempfile.TemporaryDirectory(prefix="zoneband-flash") as folder:
        found = interrupts.run(Path(folder), rounds, tally.seed + tally.rounds, show)
    tally.count(rounds, bricked=sum(bool(each.faults) for each in found))
