"""`zoneband campaign`: long runs."""

import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def root() -> None:
    """Long runs."""


@app.command("demo", help=_("Many stories; each must be traced right."))
def demo(
    count: Annotated[int, typer.Option("--seeds", min=1)] = 50,
    first: Annotated[int, typer.Option("--first", min=0)] = 0,
) -> None:
    """Live the stories of many seeds."""
    from zoneband.demo import check, story
    from zoneband.demo.run import StoryRun

    console = Console(highlight=False)
    wrong = 0
    yesterday = int(time.time()) // 86400 * 86400 - 86400
    for seed in range(first, first + count):
        began = time.monotonic()
        tale = story.make(seed, yesterday)
        with tempfile.TemporaryDirectory(prefix="zoneband-story") as folder:
            try:
                facts = StoryRun(tale, Path(folder), lambda _line: None, lambda _s: None).run()
                mistakes = check.compare(tale, facts.trace).mistakes
            except UserError as error:
                mistakes = [error.message]
        wrong += bool(mistakes)
        spent = time.monotonic() - began
        console.print(
            f"{seed:5d}  {spent:5.1f} s  {'✗ ' + '; '.join(mistakes) if mistakes else '✓'}"
        )
    console.print(
        _("{right} of {count} stories traced right.").format(right=count - wrong, count=count)
    )
    if wrong:
        raise typer.Exit(ExitCode.WRONG)
