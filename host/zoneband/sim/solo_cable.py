"""The cable between a band in a VM of its own and a station, with whatever happens on the way.

Two ptys and a thread between them, as the line's pace does not matter here. When the VM ends, or on
request, the station's port is gone, as when a band is pulled out.
"""

import contextlib
import os
import select
import threading
import time
import tty
from collections.abc import Callable
from typing import Self

# (bytes, whether they go to the band) -> pieces of (seconds to wait before, bytes)
Fate = Callable[[bytes, bool], list[tuple[float, bytes]]]


def clean(data: bytes, to_band: bool) -> list[tuple[float, bytes]]:
    """Everything arrives as it was sent."""
    return [(0.0, data)]


class SoloCable:
    """Use as a context manager; `terminal` is the VM's, `port` the station's."""

    def __init__(self, fate: Fate = clean) -> None:
        self._fate = fate
        self._band, self.terminal = os.openpty()
        self._station, self._slave = os.openpty()
        for end in (self.terminal, self._slave):
            tty.setraw(end)
        self.port = os.ttyname(self._slave)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._carry, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.unplug()
        self._thread.join(5)
        for end in (self._band, self.terminal):
            os.close(end)

    def unplug(self) -> None:
        """The station's port is gone."""
        self._over.set()
        with self._lock:
            if self._station >= 0:
                os.close(self._slave)
                os.close(self._station)
                self._station = -1

    def rest(self) -> bytes:
        """What the VM wrote and nobody took: how it ended, when it ended badly."""
        os.set_blocking(self._band, False)
        with contextlib.suppress(OSError):
            return os.read(self._band, 65536)
        return b""

    def _carry(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(OSError, ValueError):
                ready, _, _ = select.select([self._band, self._station], [], [], 0.1)
                for end in ready:
                    with self._lock:
                        # A number that is closed may already be another thread's file.
                        if self._station < 0:
                            return
                        to_band = end == self._station
                        data = os.read(end, 4096)
                    self._pass_on(data, to_band)

    def _pass_on(self, data: bytes, to_band: bool) -> None:
        for wait_s, piece in self._fate(data, to_band):
            if wait_s:
                time.sleep(wait_s)
            with self._lock:
                if self._station < 0:
                    return
                os.write(self._band if to_band else self._station, piece)
