"""`zoneband flash`, which `flash.sh` runs: boards become bands, one or a whole tray."""

import io
import json
import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from zoneband import station as stations
from zoneband.cli.options import Data, Json, data_dir
from zoneband.cli.port_table import Kind, PortRow, PortTable
from zoneband.dock import ports
from zoneband.errors import ExitCode, UserError
from zoneband.flash import board as boards
from zoneband.flash import label, plan
from zoneband.flash.job import FlashJob, FlashResult, Outcome, part_name
from zoneband.flash.plan import Plan, Request
from zoneband.flash.tool import Esptool, check_extra
from zoneband.flash.tray import Slot, Tray
from zoneband.i18n import _
from zoneband.inventory import Inventory
from zoneband.say import say
from zoneband.spool import Spool

_LOOK_S = 0.25


def step_name(step: str) -> str:
    """A step of flashing in the user's language."""
    names = {
        "": _("waiting"),
        "look": _("looking for a band"),
        "update": _("updating"),
        "chip": _("asking the chip"),
        "erase": _("erasing"),
        "write": _("writing"),
        "setup": _("keys and test"),
        "dock": _("starting"),
        "done": _("done"),
    }
    return names.get(step, step)


class Run:
    """One call of the verb: what to do, where its bands are noted, and what came of it."""

    def __init__(self, request: Request, picture: Path | None) -> None:
        self.request = request
        self.picture = picture
        self.plan = Plan(request)
        folder = stations.directory(request.data)
        self.spool = Spool(folder)
        self.inventory = Inventory(folder)
        self.labels = request.data / "labels"
        self.began = time.monotonic()

    def job(self, port: str, report: Callable[[str, float], None]) -> FlashJob:
        """A job for a port."""
        return FlashJob(port, self.plan, self.spool, self.inventory, report)

    def make_label(self, result: FlashResult) -> None:
        """The label of a band, as a picture beside the others."""
        if result.outcome == Outcome.DONE.value and result.serial:
            label.keep(self.labels, result.serial)

    def make_sheet(self, results: list[FlashResult]) -> Path | None:
        """A sheet to print with the labels of this run's new bands."""
        made = [r.serial for r in results if r.new and r.serial and r.outcome == Outcome.DONE.value]
        if not made:
            return None
        return label.keep_sheet(self.labels, made)


def about() -> str:
    """The verb's whole help."""
    return _(
        "Make bands out of boards: one, or a whole tray.\n\n"
        "Without --port and --tray the one board that is plugged in is flashed. A green line is "
        "a tested band, a red one says what to do. Stopping anywhere and starting again is safe: "
        "what stands in flash already is skipped, and log, keys and serial stay unless --erase is "
        "given. The board is found by its chip where that is enough, else name it: --board. "
        "Labels are in the data directory, under labels.\n\n"
        "Exit codes: 0 all done, 2 the call is wrong, 3 no board, 4 some failed, 5 all failed."
    )


def command(
    data: Data = None,
    tray: Annotated[
        bool, typer.Option("--tray", help=_("Every port at once, and board after board."))
    ] = False,
    port: Annotated[
        list[str] | None,
        typer.Option(help=_("A port by name (also socket:// and rfc2217://); repeatable.")),
    ] = None,
    board: Annotated[
        str | None, typer.Option(metavar="NAME", help=_("The board: see zoneband boards."))
    ] = None,
    image: Annotated[
        Path | None, typer.Option(metavar="FILE", help=_("MicroPython image, else the pinned one."))
    ] = None,
    steps: Annotated[
        str, typer.Option(metavar="LIST", help=_("Only these: image,table,app,keys,test"))
    ] = ",".join(plan.STEPS),
    erase: Annotated[
        bool,
        typer.Option("--erase", help=_("Erase all first: log, keys and serial are gone.")),
    ] = False,
    venue: Annotated[
        bool, typer.Option("--venue", help=_("Make venue beacons, which stand for a place."))
    ] = False,
    baud: Annotated[int, typer.Option(help=_("Speed of writing."))] = 460800,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help=_("A config.json for the bands."))
    ] = None,
    esptool_args: Annotated[
        str, typer.Option("--esptool-args", metavar="WORDS", help=_("More words for esptool."))
    ] = "",
    once: Annotated[
        bool, typer.Option("--once", help=_("With --tray: what is plugged in now, then end."))
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help=_("Say what would be done; write nothing."))
    ] = False,
    picture: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=_("Save the table at the end as a picture (SVG).")),
    ] = None,
    folder: Annotated[
        Path, typer.Option("--boards", metavar="DIR", help=_("Folder of the boards' files."))
    ] = boards.BOARDS,
    as_json: Json = False,
) -> None:
    """Make bands out of boards."""
    request = Request(
        data=data_dir(data),
        board=board,
        image=image,
        steps=plan.check_steps(steps),
        erase=erase,
        baud=baud,
        esptool_args=tuple(check_extra(esptool_args)),
        config=config,
        role="venue" if venue else "band",
        folder=folder,
    )
    given = port or []
    run = Run(request, picture)
    if dry_run:
        _say_what(run, given or [each.device for each in ports.find()], as_json)
        return
    if tray:
        _tray(run, given, once, as_json)
        return
    found = given or [each.device for each in ports.find()]
    if not found:
        raise _nothing()
    if len(found) > 1 and not given:
        raise UserError(
            _("Several boards are plugged in ({ports}). Choose with --port, or flash all: --tray")
            .format(ports=", ".join(found)),
            ExitCode.USAGE,
        )  # fmt: skip
    _ports(run, found, as_json)


def _nothing() -> UserError:
    return UserError(
        _("No board is plugged in. Check the cable, then run zoneband doctor."), ExitCode.NOTHING
    )


# --- some ports, once --------------------------------------------------------------------------


def _ports(run: Run, found: list[str], as_json: bool) -> None:
    tray = Tray(run.job, run.make_label)
    tray.look(found)
    _watch(run, tray, as_json, lambda: tray.busy)
    results = [slot.result for slot in tray.slots.values() if slot.result is not None]
    if len(results) == 1 and results[0].choices and sys.stdin.isatty() and not as_json:
        # The chip sits on several boards: ask, and go on.
        chosen = typer.prompt(_("Which board is it ({names})?").format(
            names=", ".join(results[0].choices)
        ))  # fmt: skip
        values = vars(run.request) | {"board": chosen.strip()}
        _ports(Run(Request(**values), run.picture), found, as_json)
        return
    _finish(run, tray, results, as_json)


def _tray(run: Run, given: list[str], once: bool, as_json: bool) -> None:
    lock = threading.Lock()

    def ended(result: FlashResult) -> None:
        run.make_label(result)
        if as_json and not once:
            with lock:
                print(json.dumps(result.as_json()), flush=True)

    tray = Tray(run.job, ended)

    def here() -> list[str]:
        return given or [each.device for each in ports.find()]

    if once:
        tray.look(here())
        if not tray.slots:
            raise _nothing()
        _watch(run, tray, as_json, lambda: tray.busy)
    else:

        def going_on() -> bool:
            tray.look(here())
            return True

        _watch(run, tray, as_json, going_on)
    _finish(run, tray, tray.results, as_json and once, as_json)


def _watch(run: Run, tray: Tray, as_json: bool, going_on: Callable[[], bool]) -> None:
    # Until going_on says no, or Ctrl-C.
    try:
        if as_json:
            while going_on():
                time.sleep(_LOOK_S / 5)
            return
        with Live(_view(run, tray), refresh_per_second=8) as live:
            while going_on():
                live.update(_view(run, tray))
                time.sleep(_LOOK_S / 2)
            live.update(_view(run, tray, whole=True))
        print()
    except KeyboardInterrupt:
        unfinished = tray.busy
        tray.stop()
        if unfinished and not as_json:
            say(_("Stopped. Boards in work are unfinished: flash them once more."))


def _finish(
    run: Run, tray: Tray, results: list[FlashResult], as_json: bool, quiet: bool = False
) -> None:
    if run.picture is not None:
        drawn = Console(record=True, width=100, file=io.StringIO())
        drawn.print(_view(run, tray))
        # Without Rich's fonts, which a viewer would fetch from elsewhere.
        svg = re.sub(r"@font-face {.*?}", "", drawn.export_svg(title="flash.sh --tray"), flags=re.S)
        run.picture.write_text(svg, encoding="utf-8")
    sheet = run.make_sheet(results)
    if as_json:
        print(json.dumps([result.as_json() for result in results]))
    elif not quiet:
        _tell(results)
        if sheet is not None:
            say(_("Labels to print: {path}").format(path=sheet))
    good = sum(result.outcome == Outcome.DONE.value for result in results)
    if good < len(results):
        raise typer.Exit(ExitCode.PARTLY if good else ExitCode.REFUSED)


def _tell(results: list[FlashResult]) -> None:
    # A tray says it in its table; what one band's self-test found belongs below.
    if len(results) != 1:
        return
    console = Console(highlight=False)
    for part, good in results[0].tests.items():
        mark = {True: "[green]✓[/]", False: "[bold red]✗[/]", None: "–"}[good]
        note = "" if good is not None else " " + _("(not on this board)")
        console.print(f"  {mark} {part_name(part)}{note}")


# --- the picture -------------------------------------------------------------------------------


def _view(run: Run, tray: Tray, whole: bool = False) -> PortTable:
    """A line a slot, for someone a metre away; below, how many are done and how fast."""
    results = list(tray.results)
    done = [r for r in results if r.outcome == Outcome.DONE.value]
    foot = _("{good} good, {bad} failed").format(good=len(done), bad=len(results) - len(done))
    if done:
        foot += " · " + _("{seconds:.1f} s a band").format(
            seconds=sum(r.seconds for r in done) / len(done)
        )
        each = (time.monotonic() - run.began) / len(done)
        foot += " · " + _("one every {seconds:.1f} s").format(seconds=each)
    heads = (_("slot"), _("band"), "s", _("progress"), _("state"))
    return PortTable(heads, [_row(slot) for slot in list(tray.slots.values())], foot, whole)


def _row(slot: Slot) -> PortRow:
    name, result = Path(slot.port).name, slot.result
    if result is None and slot.thread is None:
        return PortRow(name, Text(), Text(_("empty"), "dim"), Kind.EMPTY)
    if result is None:
        serial = slot.job.result.serial if slot.job else None
        if slot.step == "done" and slot.job:
            return _done(name, slot.job.result)
        state = Text(step_name(slot.step) + " …", "bold cyan")
        return PortRow(name, Text(serial or "…"), state, Kind.BUSY, "", slot.share)
    if result.outcome == Outcome.DONE.value:
        return _done(name, result)
    why = Text("✗ " + result.message, "bold white on red")
    board = Text(result.serial or result.mac or "?")
    return PortRow(name, board, why, Kind.TROUBLE, f"{result.seconds:.1f}")


def _done(name: str, result: FlashResult) -> PortRow:
    state = Text("✓ " + _("Done – take the band off"), "bold black on green")
    notes = (result.note,) if result.note else ()
    band = Text(result.serial or "?", "bold")
    return PortRow(name, band, state, Kind.DONE, f"{result.seconds:.1f}", 1.0, notes)


# --- dry run -----------------------------------------------------------------------------------


def _say_what(run: Run, found: list[str], as_json: bool) -> None:
    request, made = run.request, run.plan
    if not found:
        raise _nothing()
    out: list[dict[str, object]] = []
    bad = 0
    for port in found:
        line: dict[str, object] = {"port": port}
        try:
            chip = Esptool(port, request.baud, request.esptool_args).find()
            board = made.match(chip)
            regions, _app = made.regions(board)
            line |= vars(chip) | {"board": board.name, "writes": plan.describe(regions)}
            line |= {"steps": list(request.steps), "erase": request.erase}
        except UserError as error:
            line["problem"] = error.message
            bad += 1
        out.append(line)
        if not as_json:
            _print_plan(line)
    if as_json:
        print(json.dumps(out, indent=1))
    if bad:
        raise typer.Exit(ExitCode.PARTLY if bad < len(found) else ExitCode.REFUSED)


def _print_plan(line: dict[str, object]) -> None:
    console = Console(highlight=False)
    if "problem" in line:
        console.print(f"[bold red]✗[/] {line['port']}: {line['problem']}")
        return
    console.print(f"{line['port']}: {line['chip']} {line['mac']} → [bold]{line['board']}[/]")
    if line["erase"]:
        console.print("  " + _("everything is erased first"), style="bold red")
    writes = line["writes"]
    assert isinstance(writes, list)
    for region in writes:
        console.print(f"  {region['offset']:#010x}  {region['bytes']:9,d}  {region['name']}")
    steps = line["steps"]
    assert isinstance(steps, list)
    console.print("  " + ", ".join(map(str, steps)))
