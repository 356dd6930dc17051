"""Bands that share one air and one virtual time, as programs and tests use them."""

import struct
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TypeVar

from zoneband.sim import band as bands
from zoneband.sim import packets
from zoneband.sim.air import NEVER, Air, Reset, SimulationError
from zoneband.sim.band import Provision, VirtualBand
from zoneband.sim.board import Hardware, VirtualBoard
from zoneband.sim.controller import BandController
from zoneband.sim.rom import RomFaults

_T = TypeVar("_T")


class Simulation(Air):
    """Runs in a thread of its own; the calls below may come from any other."""

    @property
    def now_s(self) -> float:
        """Virtual seconds since the start."""
        return self._now_us / 1e6

    def call(self, work: Callable[[], _T]) -> _T:
        """Run something in the air's thread, between two moments."""
        future: Future[_T] = Future()
        self._calls.put((work, future))
        self._poke()
        while True:
            try:
                return future.result(0.5)
            except TimeoutError:
                self._check()

    def add_band(
        self, name: str, x: float, y: float, provision: Provision | None = None
    ) -> VirtualBand:
        """A new band at a place (metres), provisioned and switched on."""
        made = VirtualBand(len(self.bands), name, self.directory / name, self._air_path, self.seed)
        made.x, made.y = x, y
        if provision is not None:
            made.provision(provision)
        self.call(lambda: self._enter(made))
        self.call(lambda: self._boot(made, bands.PWRON_RESET, power_lost=True))
        return made

    def add_board(
        self, name: str, hardware: Hardware, faults: RomFaults | None = None
    ) -> VirtualBoard:
        """A board with blank flash, or with what its folder holds; it starts when plugged in."""
        made = VirtualBoard(
            len(self.bands),
            name,
            self.directory / name,
            self._air_path,
            self.seed,
            hardware,
            faults,
        )
        self.call(lambda: self._enter(made))
        return made

    def _enter(self, band: VirtualBand) -> None:
        band.controller = BandController(
            band.name, self.seed, lambda: self._now_us, lambda data: self._to_vm(band, data)
        )
        self.bands.append(band)

    def move(self, band: VirtualBand, x: float, y: float) -> None:
        """Carry a band to a place."""
        self.arrange({band.index: (x, y)})

    def arrange(self, places: Mapping[int, tuple[float, float]]) -> None:
        """Carry bands, by their index, to places, all at the same moment."""

        def go() -> None:
            for index, (x, y) in places.items():
                self.bands[index].x, self.bands[index].y = x, y

        self.call(go)

    def plug(self, band: VirtualBand) -> str:
        """Put a band's cable in; its port."""
        return self.call(lambda: self._power(band, band.plug))

    def unplug(self, band: VirtualBand) -> None:
        """Pull a band's cable out."""
        self.call(lambda: self._power(band, band.unplug))

    def _power(self, band: VirtualBand, change: Callable[[], _T]) -> _T:
        result = change()
        if band.lasts or band.process is not None and band.powered:
            self._at(self._now_us, lambda: self._pin_changed(band))
        elif band.powered:
            self._boot(band, bands.PWRON_RESET, power_lost=True)
        else:
            self._halt(band)
        return result

    def _pin_changed(self, band: VirtualBand) -> None:
        if band.waiting:
            self._deliver(band)
            band.waiting = False
            self._running = band
            self._heard_at = time.monotonic()
            self._send(band, packets.PIN_EVENT, struct.pack("<Q", self._now_us))

    def reset(self, band: VirtualBand, kind: Reset) -> None:
        """Start a band anew."""
        self.call(lambda: self._reset(band, kind))

    def run_until(self, seconds: float) -> None:
        """Let virtual time pass up to a moment; returns when it is reached."""
        self._reached.clear()

        def go() -> None:
            self._limit_us = max(self._limit_us, round(seconds * 1e6))

        self.call(go)
        while not self._reached.wait(0.2):
            self._check()

    def run_on(self) -> None:
        """Let time pass without end, e.g. while stations dock bands."""

        def go() -> None:
            self._limit_us = NEVER

        self.call(go)

    def hold(self) -> None:
        """Let no more time pass."""

        def stop() -> None:
            self._limit_us = self._now_us

        self.call(stop)


__all__ = [
    "Hardware",
    "Provision",
    "Reset",
    "Simulation",
    "SimulationError",
    "VirtualBand",
    "VirtualBoard",
]
