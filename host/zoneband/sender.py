"""Uploads beside docking: a dock never waits for a bad network."""

import threading
import time
from pathlib import Path

from zoneband.spool import Spool
from zoneband.station import Station
from zoneband.upload import Sent, Uploader

# As long as a dock waits for its receipt; and how long a server that failed is left alone.
WAIT_S = 3.0
REST_S = 60.0


class Sender:
    """Sends what waits in a spool from a thread of its own."""

    def __init__(self, data: Path, spool: Spool, station: Station) -> None:
        self._data = data
        self._spool = spool
        self._station = station
        self._wanted = threading.Event()
        self._turn = threading.Condition()
        self._turns = 0
        self._failed_at: float | None = None
        self._keys_needed = False
        self.last = Sent()
        threading.Thread(target=self._main, name="sender", daemon=True).start()

    def nudge(self) -> None:
        """Send now, and wait a moment for it; at once back while the server is known to fail."""
        if self._resting():
            return
        with self._turn:
            # A turn that is under way may have looked before the newest batch came.
            wanted = self._turns + 2 if self._wanted.is_set() else self._turns + 1
            self._wanted.set()
            self._turn.wait_for(lambda: self._turns >= wanted or self._resting(), WAIT_S)

    def need_keys(self) -> None:
        """A band came whose group's key is not here: ask the server now, and wait a moment."""
        self._keys_needed = True
        self.nudge()

    def fetch_orders(self, serial: str, after: int) -> None:
        """Bring a band's orders behind a number into the spool, unless the server is known to be
        out of reach."""
        if self.last.reached or not self._resting():
            Uploader(self._data, self._spool, self._station).fetch_orders(serial, after)

    def _resting(self) -> bool:
        return self._failed_at is not None and time.monotonic() - self._failed_at < REST_S

    def _main(self) -> None:
        while True:
            self._wanted.wait(REST_S)
            self._wanted.clear()
            if self._resting() or not (self._keys_needed or self._spool.counts()[0]):
                self._end_turn()
                continue
            needed, self._keys_needed = self._keys_needed, False
            self.last = Uploader(self._data, self._spool, self._station).run(1, needed=needed)
            self._failed_at = time.monotonic() if self.last.problem else None
            self._end_turn()

    def _end_turn(self) -> None:
        with self._turn:
            self._turns += 1
            self._turn.notify_all()
