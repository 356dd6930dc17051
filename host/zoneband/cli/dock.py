"""`zoneband dock`: the station's live table."""

import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from zoneband import station as stations
from zoneband import updates
from zoneband.cli.options import Data, Json, data_dir
from zoneband.cli.port_table import Kind, PortRow, PortTable
from zoneband.dock import ports
from zoneband.dock.greeting import Greeting, Hello
from zoneband.dock.job import DockJob, DockResult, Outcome, left_clock
from zoneband.errors import ExitCode, UserError
from zoneband.groups import GroupKeys
from zoneband.i18n import _
from zoneband.inventory import Inventory
from zoneband.release import Bundle
from zoneband.sender import Sender
from zoneband.spool import Spool
from zoneband.upload import Uploader

_POLL_S = 1.0


@dataclass
class _Line:
    """One port in the table."""

    port: str
    serial: str = ""
    here: int = 0
    total: int = 0
    began: float = field(default_factory=time.monotonic)
    result: DockResult | None = None
    update: str = ""  # version that goes to the band now
    share: float = 0.0  # of it that the band has

    def progress(self, serial: str, here: int, total: int) -> None:
        self.serial, self.here, self.total = serial, here, total

    def updating(self, serial: str, version: str, share: float) -> None:
        self.serial, self.update, self.share = serial, version, share


class Station:
    """Docks every band that appears, each port in a thread of its own."""

    def __init__(self, data: Path, given: list[str], baud: int) -> None:
        self._data = data
        self._given = given
        self._baud = baud
        self.spool = Spool(stations.directory(data))
        self._inventory = Inventory(stations.directory(data))
        self._groups = GroupKeys(data)
        self._settings = stations.load(data)
        self.vouched = stations.clock_vouched(data)
        self.lines: dict[str, _Line] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._sender = Sender(data, self.spool, self._settings) if self._settings else None
        self.problem = ""

    def start(self, here: list[str]) -> None:
        """Start a dock at every port that is new."""
        for port in here:
            if port not in self._threads:
                line = self.lines[port] = _Line(port)
                thread = threading.Thread(target=self._dock, args=(line,), daemon=True)
                self._threads[port] = thread
                thread.start()

    def ports(self) -> list[str]:
        """Ports to dock at: those given, else all that may be bands."""
        return self._given or [port.device for port in ports.find()]

    def look(self) -> None:
        """Dock what was plugged in since the last look; forget what is gone."""
        here = [port for port in self.ports() if "://" in port or Path(port).exists()]
        for port in set(self._threads) - set(here):
            if not self._threads[port].is_alive():
                del self._threads[port]
                self.lines.pop(port, None)
        self.start(here)
        if self._sender is not None:
            self.problem = self._sender.last.problem

    def _dock(self, line: _Line) -> None:
        name = self._settings.name if self._settings else "-"
        deliver = self._deliver if self._sender else None
        job = DockJob(
            line.port,
            self.spool,
            name,
            self.vouched,
            self._key_of,
            line.progress,
            deliver,
            baud=self._baud,
            inventory=self._inventory,
            fetch_orders=self._fetch_orders,
            find_update=self._find_update,
            updating=line.updating,
            newest_key=self._groups.newest,
        )
        time.sleep(ports.SETTLE_S)
        line.result = job.run()

    def _key_of(self, band: Hello) -> bytes | None:
        key = self._groups.of_band(band)
        if key is None and self._sender is not None:
            # Its group may be new here, or its key.
            self._sender.need_keys()
            key = self._groups.of_band(band)
        return key

    def _find_update(self, band: Greeting) -> Bundle | None:
        return updates.find(self._data, band.board, band.firmware, band.signer)

    def _fetch_orders(self, serial: str, after: int) -> None:
        if self._sender is not None:
            self._sender.fetch_orders(serial, after)

    def _deliver(self) -> None:
        if self._sender is not None:
            self._sender.nudge()
            self.vouched = stations.clock_vouched(self._data)

    def upload(self) -> None:
        """Send what waits, if a server is set."""
        if self._settings is not None:
            self.problem = Uploader(self._data, self.spool, self._settings).run(1).problem

    def busy(self) -> bool:
        """Whether a dock is still going on."""
        return any(thread.is_alive() for thread in self._threads.values())

    def results(self) -> list[DockResult]:
        """Docks that have ended."""
        return [line.result for line in self.lines.values() if line.result]

    def table(self, whole: bool = False) -> PortTable:
        """The picture for someone a metre away: a line a port."""
        good = [line for line in self.lines.values() if _good(line.result)]
        bad = len(self.results()) - len(good)
        waiting, refused = self.spool.counts()
        foot = _("{good} good, {bad} failed").format(good=len(good), bad=bad)
        foot += " · " + _("waiting to be sent: {n}").format(n=waiting)
        if refused:
            foot += " · " + _("{n} refused by the server").format(n=refused)
        if self.problem:
            foot += " · " + self.problem
        if not self.vouched:
            foot += " · " + _("this computer's clock is not vouched for: no band is set")
        heads = (_("port"), _("band"), _("battery"), _("progress"), _("state"))
        rows = [self._row(line) for line in list(self.lines.values())]
        return PortTable(heads, rows, foot, whole)

    def _row(self, line: _Line) -> PortRow:
        result = line.result
        band = Text((result.serial if result else line.serial) or "?", "bold")
        if result is None:
            return _going_on(line, band)
        battery = f"{result.battery_mv / 1000:.2f} V" if result.battery_mv else ""
        if not _good(result):
            state = Text("✗ " + result.message, "bold red")
            return PortRow(line.port, band, state, Kind.TROUBLE, battery)
        state = Text("✓ " + result.message, "bold green")
        # The foot says it already.
        notes = [note for note in result.notes if self.vouched or note != left_clock()]
        return PortRow(line.port, band, state, Kind.DONE, battery, 1.0, tuple(notes))


def _good(result: DockResult | None) -> bool:
    return result is not None and result.outcome == Outcome.DONE.value


def _going_on(line: _Line, band: Text) -> PortRow:
    if line.update:
        # The dock is done already: this goes on as long as the band stays.
        state = Text("✓ " + _("Done – take the band off"), "bold green")
        note = _("or leave it for the update to {version}").format(version=line.update)
        return PortRow(line.port, band, state, Kind.DONE, "", line.share, (note,))
    spent = max(0.001, time.monotonic() - line.began)
    speed = f" {line.here * 32 / spent / 1000:.1f} kB/s" if line.here else ""
    state = Text(_("Reading…") + speed, "bold cyan")
    return PortRow(line.port, band, state, Kind.BUSY, "", line.here / max(1, line.total))


def command(
    data: Data = None,
    once: Annotated[bool, typer.Option("--once", help=_("Dock what is there, then end."))] = False,
    port: Annotated[
        list[str] | None,
        typer.Option(help=_("A port by name (also socket:// and rfc2217://); repeatable.")),
    ] = None,
    baud: Annotated[
        int, typer.Option(help=_("Speed to move to, where a band can."), min=9600)
    ] = 115200,
    as_json: Json = False,
) -> None:
    """Dock bands as they are plugged in."""
    where = data_dir(data)
    station = Station(where, port or [], baud)
    if once or as_json:
        station.start(station.ports())
        if not station.lines:
            raise UserError(
                _("No band is plugged in. Check the cable, then run zoneband doctor."),
                ExitCode.NOTHING,
            )
        _wait(station, as_json)
        station.upload()
        _finish(station, as_json)
        return
    with Live(station.table(), refresh_per_second=4) as live:
        while True:
            station.look()
            live.update(station.table())
            time.sleep(_POLL_S / 4)


def _wait(station: Station, as_json: bool) -> None:
    if as_json:
        while station.busy():
            time.sleep(0.05)
        return
    with Live(station.table(), refresh_per_second=4) as live:
        while station.busy():
            live.update(station.table())
            time.sleep(0.1)
        live.update(station.table(whole=True))


def _finish(station: Station, as_json: bool) -> None:
    results = station.results()
    if as_json:
        print(json.dumps([result.as_json() for result in results]))
    elif station.problem:
        Console(stderr=True).print(station.problem)
    outcomes = [result.outcome for result in results]
    good = outcomes.count(Outcome.DONE.value)
    if good == len(station.lines):
        return
    if good:
        raise typer.Exit(ExitCode.PARTLY)
    none = outcomes.count(Outcome.NO_BAND.value) == len(station.lines)
    raise typer.Exit(ExitCode.NOTHING if none else ExitCode.REFUSED)
