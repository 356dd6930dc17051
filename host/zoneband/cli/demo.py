"""`zoneband demo`: the whole of it, in a story."""

import json
import secrets
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from zoneband.cli.options import Data
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _

if TYPE_CHECKING:
    from zoneband.demo.check import Outcome


def command(
    seed: Annotated[int | None, typer.Option(help=_("The same seed gives the same story."))] = None,
    again: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help=_("Ask the server of a lived story once more.")),
    ] = None,
    data: Data = None,
) -> None:
    """Live a story, trace its case, and hold the answer against the truth."""
    if again is not None:
        _ask_again(again)
        return
    from zoneband.demo import check, picture, story
    from zoneband.demo.run import StoryRun

    began = time.monotonic()
    if seed is None:
        seed = secrets.randbelow(10_000)
    base = data or Path(tempfile.gettempdir()) / "zoneband-demo"
    base.mkdir(parents=True, exist_ok=True)
    where = Path(tempfile.mkdtemp(prefix=f"seed-{seed}-", dir=base))
    console = Console(highlight=False)
    yesterday = int(time.time()) // 86400 * 86400 - 86400
    tale = story.make(seed, yesterday)
    (where / "story.json").write_text(json.dumps({"seed": seed, "day_utc_s": yesterday}))
    console.print(
        _("Story {seed}. The same again: ./zoneband demo --seed {seed}").format(seed=seed)
    )
    with Progress(
        TextColumn("{task.description}"), BarColumn(), console=console, transient=True
    ) as bar:
        task = bar.add_task(_("the story"), total=1.0)
        run = StoryRun(tale, where, console.print, lambda share: bar.update(task, completed=share))
        facts = run.run()
    outcome = check.compare(tale, facts.trace)
    page = where / "story.html"
    picture.page(tale, outcome.rows, page)
    console.print()
    for line in picture.terminal(tale, outcome.rows):
        console.print(line)
    console.print(_("Above: true distance (█ within 2 m, ▓ 5 m, ▒ 12 m). Below: █ near, ▒ heard."))
    console.print()
    docks = [dock for dock in facts.docks if dock.slots]
    console.print(
        _("{slots} slots pulled in {docks} docks, {batches} batches; trace in {path}").format(
            slots=sum(dock.slots for dock in docks),
            docks=len(facts.docks),
            batches=facts.batches,
            path=where / "trace.json",
        )
    )
    console.print(_("Picture: {url}").format(url=page.as_uri()), soft_wrap=True)
    console.print(_("It took {n} s.").format(n=round(time.monotonic() - began)))
    _judge(console, outcome)


def _ask_again(where: Path) -> None:
    from zoneband.demo import check, story
    from zoneband.demo.run import StoryRun

    try:
        lived = json.loads((where / "story.json").read_text())
        tale = story.make(lived["seed"], lived["day_utc_s"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            _("{path} holds no lived story.").format(path=where), ExitCode.NOTHING
        ) from error
    trace = StoryRun(tale, where, lambda _line: None, lambda _share: None).ask_again()
    _judge(Console(highlight=False), check.compare(tale, trace))


def _judge(console: Console, outcome: "Outcome") -> None:
    for name in [row.name for row in outcome.rows if row.call]:
        console.print(
            "[bold red]" + _("Of the case's own contacts must be called: {name}").format(name=name)
        )
    free = [r.name for r in outcome.rows if not r.call]
    console.print(
        _("Of the case's own contacts need not be called: {names}").format(names=", ".join(free))
    )
    for mistake in outcome.mistakes:
        console.print("[bold red]✗ " + mistake)
    if outcome.mistakes:
        raise typer.Exit(ExitCode.WRONG)
    console.print("[bold green]✓ " + _("The trace agrees with the story."))
