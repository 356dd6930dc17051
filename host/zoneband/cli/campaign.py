"""`zoneband campaign`: long runs."""

import json
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from zoneband.cli.options import Json
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def root() -> None:
    """Long runs."""


@app.command("demo", help=_("Many stories; each must be traced right."))
def demo(
    rounds: Annotated[int, typer.Option(min=1, help=_("How many stories."))] = 50,
    seed: Annotated[int, typer.Option(min=0, help=_("The first story's seed."))] = 0,
    as_json: Json = False,
) -> None:
    """Live the stories of many seeds."""
    from zoneband.demo import check, story
    from zoneband.demo.run import StoryRun

    console = Console(highlight=False, stderr=as_json)
    failed: list[dict[str, object]] = []
    yesterday = int(time.time()) // 86400 * 86400 - 86400
    for each in range(seed, seed + rounds):
        began = time.monotonic()
        tale = story.make(each, yesterday)
        with tempfile.TemporaryDirectory(prefix="zoneband-story") as folder:
            try:
                facts = StoryRun(tale, Path(folder), lambda _line: None, lambda _s: None).run()
                mistakes = check.compare(tale, facts.trace).mistakes
            except UserError as error:
                mistakes = [error.message]
        if mistakes:
            failed.append({"seed": each, "mistakes": mistakes})
        spent = time.monotonic() - began
        console.print(
            f"{each:5d}  {spent:5.1f} s  {'✗ ' + '; '.join(mistakes) if mistakes else '✓'}"
        )
    if as_json:
        print(json.dumps({"name": "demo", "rounds": rounds, "seed": seed, "failed": failed}))
    else:
        console.print(
            _("{right} of {count} stories traced right.").format(
                right=rounds - len(failed), count=rounds
            )
        )
    if failed:
        raise typer.Exit(ExitCode.WRONG)


@app.command("flash", help=_("Flashing cut at random moments; each must end as a good band."))
def flash(
    rounds: Annotated[int, typer.Option(min=1, help=_("How many cuts."))] = 200,
    seed: Annotated[int, typer.Option(min=0, help=_("Seed of the moments."))] = 0,
    as_json: Json = False,
) -> None:
    """Cut flashing, and flash again."""
    from zoneband.sim import interrupts

    console = Console(highlight=False, stderr=as_json)

    def told(each: interrupts.Round) -> None:
        end = "✗ " + "; ".join(each.faults) if each.faults else "✓"
        console.print(f"{each.number:5d}  {each.kind:5}  {each.how} {each.after_s:4.1f} s  {end}")

    with tempfile.TemporaryDirectory(prefix="zoneband-flash") as folder:
        found = interrupts.run(Path(folder), rounds, seed, told)
    failed = [{"round": each.number, "faults": list(each.faults)} for each in found if each.faults]
    if as_json:
        print(json.dumps({"name": "flash", "rounds": rounds, "seed": seed, "failed": failed}))
    else:
        console.print(
            _("{right} of {count} boards became good bands, and kept what they held.").format(
                right=rounds - len(failed), count=rounds
            )
        )
    if failed:
        raise typer.Exit(ExitCode.WRONG)
