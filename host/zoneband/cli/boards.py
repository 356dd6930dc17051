"""`zoneband boards`: what can become a band, how long a charge lasts, which image it needs."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from zoneband.cli.options import Data, Json, data_dir
from zoneband.errors import UserError
from zoneband.flash import board as boards
from zoneband.flash import board_words, energy, image
from zoneband.flash.board import Board
from zoneband.i18n import _

app = typer.Typer(add_completion=False, invoke_without_command=True)
Folder = Annotated[
    Path, typer.Option("--boards", metavar="DIR", help=_("Folder of the boards' files."))
]


@app.callback()
def listing(
    context: typer.Context,
    folder: Folder = boards.BOARDS,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List the boards, with modelled hours per charge."""
    if context.invoked_subcommand is not None:
        return
    found = list(boards.every(folder))
    if as_json:
        print(json.dumps([_facts(board, data_dir(data)) for board in found], indent=1))
        return
    console = Console()
    console.print(_table(found, data_dir(data)))
    console.print(_assumptions(), style="dim")


def _facts(board: Board, data: Path) -> dict[str, Any]:
    return board.model_dump() | {
        "hours_per_charge_model": round(energy.hours(board), 1),
        "image_pinned": image.pinned(data, board),
    }


def _table(found: list[Board], data: Path) -> Table:
    view = Table(title=_("Boards"))
    for head in (_("board"), _("chip"), _("flash"), _("battery"), _("hours (model)"), _("image")):
        view.add_column(head)
    for board in found:
        hours = energy.hours(board)
        colour = "bold red" if hours < energy.SHORT_H else "green"
        battery = f"{board.battery.mah} mAh" + ("" if board.battery.fitted else " *")
        view.add_row(
            f"[bold]{board.name}[/]\n[dim]{board.title}[/]",
            board.about.title,
            f"{board.flash_kib // 1024} MB",
            battery,
            f"[{colour}]{hours:.1f}[/]",
            board.image.version + ("" if image.pinned(data, board) else " " + _("(hash missing)")),
        )
    return view


def _assumptions() -> str:
    return _(
        "Hours are a model, not a measurement: {usable:.0%} of the battery at the chip's current "
        "with {share:.1%} of the time listening; screen, bridge and power light are not counted. "
        "Red: under {short:.0f} h. * no battery comes with the board, this one is assumed."
    ).format(usable=energy.USABLE, share=energy.listening_share(), short=energy.SHORT_H)


@app.command("show", help=_("One board: its facts, their sources, and what nobody has verified."))
def show(
    name: Annotated[str, typer.Argument(metavar="BOARD")],
    folder: Folder = boards.BOARDS,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Print a board's facts."""
    board = boards.find(name, folder)
    if as_json:
        print(json.dumps(_facts(board, data_dir(data)), indent=1))
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[bold]{board.name}[/]  {board.title}")
    for key, source in board.sources.items():
        console.print(f"  {board_words.name(key)}: {board_words.value(board, key)}", markup=False)
        console.print(f"      {source}", style="dim", markup=False)
    console.print(_("Not verified on hardware:"), style="yellow")
    for line in board.unverified:
        console.print(f"  · {line}", markup=False)


@app.command("pin", help=_("Record the hash of a board's MicroPython image, and keep a copy."))
def pin(
    name: Annotated[str, typer.Argument(metavar="BOARD")],
    file: Annotated[Path, typer.Argument(help=_("The image as downloaded (.bin)."))],
    folder: Folder = boards.BOARDS,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Record an image."""
    board = boards.find(name, folder)
    if not file.is_file():
        raise UserError(_("{path} does not exist.").format(path=file))
    digest = image.pin(data_dir(data), board, file)
    if as_json:
        print(json.dumps({"board": board.name, "sha256": digest}))
        return
    print(_("{board} is flashed with this image from now on.").format(board=board.name))
    print(f'sha256 = "{digest}"')
    print(
        _("For every station: write this line into {path}.").format(
            path=f"boards/{board.name}.toml"
        )
    )
