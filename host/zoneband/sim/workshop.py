"""A provisioning bench with a virtual tray: what flash.sh needs, all of it in one directory.

For tests, benchmarks and campaigns; `zoneband sim tray` gives the same to a person.
"""

import time
from pathlib import Path
from typing import Any

from zoneband import authority
from zoneband import station as stations
from zoneband.dock.link import Link
from zoneband.dock.session import BandSession, Greeting
from zoneband.flash import board as boards
from zoneband.flash import image as images
from zoneband.flash import partitions
from zoneband.flash.job import FlashJob, FlashResult
from zoneband.flash.plan import Plan, Request
from zoneband.flash.repl import Repl, get_attention, restart
from zoneband.inventory import Inventory
from zoneband.sim import keys as sim_keys
from zoneband.sim.simulation import Simulation, VirtualBoard
from zoneband.sim.tray import Tray
from zoneband.spool import Spool

PASSPHRASE = "virtual bands only"
# Enough for a program's shape; a real image's size is for the benchmarks of the line.
SMALL = 60_000
_FILL = """
import esp32
from band import app, seal
from band.bandlog import BandLog
from band.store import Store
from wire import records
store = Store(esp32.NVS("zoneband"))
log = BandLog(
    esp32.Partition.find(1, label="bandlog")[0], store, app.random_u32, seal.for_band(store)
)
log.mount(1)
for n in range({count}):
    base = log.ready(n)
    log.append(records.encounter(bytes(12), n - base, 0, 1, -90, -90, 0, 6))
print('{{"head": %d}}' % log.head)
"""


class Workshop:
    """Use as a context manager; `program_bytes`: size of the stand-in image's program."""

    def __init__(
        self,
        directory: Path,
        board: str = "devkitc",
        program_bytes: int = SMALL,
        baud: int = 921_600,
        seed: int = 1,
    ) -> None:
        self.data = directory / "data"
        self.kind = boards.find(board)
        self.baud = baud
        self.sim = Simulation(directory / "sim", seed, int(time.time()))
        self.tray = Tray(directory / "tray", self.sim, self.kind)
        self.tray.make_image(program_bytes)
        self.spool = Spool(stations.directory(self.data))
        self.inventory = Inventory(stations.directory(self.data))
        stations.note_server_time(self.data, 0.0)
        authority.make(self.data, PASSPHRASE)
        sim_keys.give(self.data)
        images.pin(self.data, self.kind, self.tray.image)

    def __enter__(self) -> "Workshop":
        self.sim.__enter__()
        self.sim.run_on()
        return self

    def __exit__(self, *_: object) -> None:
        self.sim.__exit__()
        self.spool.close()
        self.inventory.close()

    def request(self, **changes: Any) -> Request:
        """What to do, for the tray's own kind of board unless it is changed."""
        values: dict[str, Any] = {"data": self.data, "board": self.kind.name, "baud": self.baud}
        return Request(**(values | changes))

    def job(self, port: Path | str, **changes: Any) -> FlashJob:
        """A job on a port, not begun."""
        return FlashJob(str(port), Plan(self.request(**changes)), self.spool, self.inventory)

    def flash(self, port: Path | str, **changes: Any) -> FlashResult:
        """Flash the board at a port, from the begin to the end."""
        return self.job(port, **changes).run()

    def fill(self, port: Path | str, count: int) -> int:
        """Write encounters with nobody into a band's log, by its own code; the log's head."""
        get_attention(str(port))
        with Repl(str(port), 1) as repl:
            repl.begin()
            head = repl.ask(_FILL.format(count=count))["head"]
        restart(str(port))
        return head

    def greet(self, port: Path | str) -> Greeting:
        """The band's own word of who it is."""
        link = Link(str(port))
        try:
            session = BandSession(link, sim_keys.dock_key)
            found = session.greet(20)
            session.bye()
            return found
        finally:
            link.close()

    def partition(self, board: VirtualBoard, label: str) -> bytes:
        """What stands in a partition of a board's flash."""
        row = partitions.find(partitions.layout(self.kind), label)
        return board.flash.read_bytes()[row.offset : row.offset + row.size]
