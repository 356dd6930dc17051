"""The air owns time: the loop that grants moments to VMs, starts and stops them, and serves cables.

A band runs, then waits for a moment; the air grants the earliest moment that any band waits for,
one band at a time, and works out what was heard up to then. While a program has a band's port
open, virtual time keeps to the wall clock. What programs and tests call is in
zoneband.sim.simulation.
"""

import asyncio
import heapq
import math
import queue
import select
import selectors
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from enum import Enum
from pathlib import Path
from typing import Any, Self

from zoneband.sim import band as bands
from zoneband.sim import packets
from zoneband.sim.band import VirtualBand
from zoneband.sim.pace import Pace
from zoneband.sim.radio import Segment, hear, in_reach

NEVER = 1 << 62


_ROM_TEXT = b"ets Jul 29 2019 12:21:46\r\n\r\nrst:0x1 (POWERON_RESET),boot:0x13\r\n"


class Reset(Enum):
    """Ways to start a band anew."""

    POWER = "power"
    EN = "en"  # what a bridge's control lines do: a loss of power to the chip
    USB = "usb"  # the USB-JTAG port's own
    SOFT = "soft"


# (reset cause, whether RTC memory and run time are gone)
_RESETS = {
    Reset.POWER: (bands.PWRON_RESET, True),
    Reset.EN: (bands.PWRON_RESET, True),
    Reset.USB: (bands.USB_RESET, False),
    Reset.SOFT: (bands.SOFT_RESET, False),
}


class SimulationError(Exception):
    """The simulation cannot go on; says what broke."""


class Air:
    """Runs in a thread of its own."""

    def __init__(
        self,
        directory: Path,
        seed: int,
        start_utc_s: int,
        realtime: bool = False,
        loss: float = 0.1,
    ) -> None:
        self.directory = directory
        self.seed = seed
        self.start_utc_s = start_utc_s
        self.loss = loss
        self.bands: list[VirtualBand] = []
        self._now_us = 0
        self._limit_us = 0
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0
        self._calls: queue.Queue[tuple[Callable[[], Any], Future[Any]]] = queue.Queue()
        self._selector = selectors.DefaultSelector()
        self._running: VirtualBand | None = None
        self._reached = threading.Event()
        self._failure: BaseException | None = None
        self._heard_at = 0.0
        self._stop = False
        self._drained = 0.0
        self._pace = Pace(realtime)
        # A socket's path may be 107 bytes long: not below a deep data directory.
        self._sockets = Path(tempfile.mkdtemp(prefix="zbair"))
        self._air_path = self._sockets / "air"
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(self._air_path))
        self._server.listen(64)
        self._wake_r, self._wake_w = socket.socketpair()
        self._wake_r.setblocking(False)
        self._selector.register(self._wake_r, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._main, name="air", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop = True
        self._poke()
        self._thread.join(10)
        for each in self.bands:
            each.close()
        self._server.close()
        shutil.rmtree(self._sockets, ignore_errors=True)

    def _check(self) -> None:
        if self._failure is not None:
            raise SimulationError(str(self._failure)) from self._failure
        if not self._thread.is_alive():
            raise SimulationError("the air has stopped")

    def _poke(self) -> None:
        self._wake_w.send(b"x")

    def _reset(self, band: VirtualBand, kind: Reset) -> None:
        cause, power_lost = _RESETS[kind]
        if kind is Reset.EN:
            band.cable.say(_ROM_TEXT)
        self._boot(band, cause, power_lost)

    # --- the air's thread -------------------------------------------------------------------

    def _main(self) -> None:
        try:
            # Bumble wants an event loop to exist; nothing here waits on it.
            asyncio.run(self._loop())
        except BaseException as error:  # handed to the caller's thread
            self._failure = error
        finally:
            self._reached.set()

    async def _loop(self) -> None:
        while not self._stop:
            self._serve(0 if self._running is None else 0.05)
            while not self._calls.empty():
                work, future = self._calls.get()
                try:
                    future.set_result(work())
                except Exception as error:
                    future.set_exception(error)
            if self._running is not None:
                self._park()
                continue
            due = self._events[0][0] if self._events else NEVER
            if due > self._limit_us or not self._events:
                if self._limit_us < NEVER:
                    self._now_us = max(self._now_us, self._limit_us)
                    self._reached.set()
                self._serve(0.01)
                continue
            if self._ahead_of_wall(due):
                continue
            at, _, work = heapq.heappop(self._events)
            self._now_us = max(self._now_us, at)
            work()

    def _park(self) -> None:
        # A band at its REPL reads its terminal without asking the air: time goes on.
        band = self._running
        if band is None:
            return
        if time.monotonic() - self._heard_at <= 0.1 or not band.at_prompt():
            return
        # It sleeps. When it is for an answer of the air, its question is in the socket by now:
        # on a loaded machine it is this thread that comes late.
        band.cable.to_host()
        if band.sock is None or not select.select([band.sock], [], [], 0)[0]:
            self._running = None
            if band.to_raw:
                # Not before: what comes earlier is lost when the prompt sets up its terminal.
                band.to_raw = False
                band.enter_raw()

    def _ahead_of_wall(self, due_us: int) -> bool:
        # Whether time must not pass yet; serves the cables meanwhile.
        left = self._pace.left_s(due_us, self._now_us)
        if left <= 0:
            return False
        self._now_us = self._pace.now_us(self._now_us, due_us)
        self._serve(min(left, 0.005))
        return self._running is not None or self._pace.left_s(due_us, self._now_us) > 0

    def _look_at_port(self, band: VirtualBand) -> None:
        is_open = band.cable.host_is_open()
        if is_open:
            self._pace.touch()
        opened = is_open and not band.was_open
        band.was_open = is_open
        if opened and band.reset_on_open:
            self._soon(lambda: self._reset(band, Reset.EN))

    def _interrupt(self, band: VirtualBand, process: object) -> None:
        # Between two moments, so that it never cuts a packet to or from the VM in two.
        if band.process is not process:
            return
        band.ctrl_c = False
        if not band.interruptible() or (not band.waiting and band.at_prompt()):
            band.cable.hand_over(b"\x03")  # by now it is a byte like any other
            return
        if band.waiting:
            band.waiting = False
            band.generation += 1
            self._running = band
            self._heard_at = time.monotonic()
        band.interrupt()

    def _download(self, band: VirtualBand) -> None:
        # Esptool asks for the chip, or has just let go of it.
        if band.asked:
            asked, band.asked = band.asked, b""
            self._halt(band)
            band.download(asked)
        elif band.leaves_download():
            self._soon(lambda: self._reset(band, Reset.EN))

    def _at(self, at_us: int, work: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._events, (at_us, self._order, work))

    def _soon(self, work: Callable[[], None]) -> None:
        # From the loop itself, when no band runs: what starts or stops VMs must not do so while
        # sockets are being looked through.
        self._at(self._now_us, work)

    def _serve(self, timeout: float) -> None:
        # Sockets and cables; waits at most `timeout` seconds of the wall clock.
        wall = time.monotonic()
        drain = wall > self._drained + 1
        plugged = any(band.cable.port is not None for band in self.bands)
        if plugged or drain:
            self._serve_cables(drain)
        if drain:
            self._drained = wall
        running = self._running
        if timeout and not plugged and running is not None and running.reader is not None:
            # Nobody else can say anything now: most of a simulation's time is this one wait.
            if running.reader.wait(timeout):
                self._from_vm(running)
            return
        for key, _ in self._selector.select(min(timeout, 0.0005) if plugged else timeout):
            if key.data is None:
                try:
                    self._wake_r.recv(4096)
                except BlockingIOError:
                    pass
            else:
                self._from_vm(key.data)

    def _serve_cables(self, drain: bool) -> None:
        for band in self.bands:
            if band.cable.port is None:
                # Nobody reads; but a full terminal would stop the VM.
                if drain:
                    band.cable.to_host()
                continue
            self._look_at_port(band)
            band.from_host()
            self._download(band)
            if band.ctrl_c_new:
                band.ctrl_c_new = False
                process = band.process
                self._soon(lambda b=band, p=process: self._interrupt(b, p))
            band.cable.to_host()
            if band.waiting and band.wants_stdin and band.cable.band_waiting():
                if self._running is None:
                    self._grant(band, True)

    # --- starts and resets ------------------------------------------------------------------

    def _halt(self, band: VirtualBand) -> None:
        # No program runs there any more, and nothing that it waited for comes.
        if band.sock is not None:
            self._selector.unregister(band.sock)
        band.stop()
        band.generation += 1
        band.watchdog_generation += 1
        band.waiting = False
        if self._running is band:
            self._running = None

    def _boot(
        self, band: VirtualBand, cause: int, power_lost: bool, with_main: bool = True
    ) -> None:
        self._halt(band)
        if not band.lasts and not band.powered:
            return
        if power_lost:
            band.wipe_rtc()
            band.power_on_us = self._now_us
        band.cable.reset()
        now = time.monotonic()
        if cause == bands.SOFT_RESET:
            band.busy_until = now + bands.MOUNT_US / 1e6
        else:
            band.raw_repl = False
            band.deaf_until = now + band.deaf_s
        complaint = band.will_boot()
        if complaint:
            band.cable.say(complaint)
            return
        band.start(self._now_us, cause, with_main)
        band.to_raw = not with_main
        self._watch(band)
        self._server.settimeout(10)
        sock, _ = self._server.accept()
        sock.settimeout(20)
        band.sock, band.reader = sock, packets.Reader(sock)
        _name, *more = band.reader.take()
        self._selector.register(sock, selectors.EVENT_READ, band)
        self._running = band
        # Until the newcomer waits, nobody else moves.
        self._heard_at = time.monotonic()
        for kind, data in more:
            self._packet(band, kind, data)
        while self._running is band and not self._stop:
            self._serve(0.05)
            self._park()

    def _ended(self, band: VirtualBand, process: "subprocess.Popen[bytes]") -> None:
        if band.process is not process:
            return  # it was started anew meanwhile
        code = process.returncode
        if code == 31:
            if self._running is band:
                self._running = None
            band.stop()
            return  # its wake-up is among the events
        # Ctrl-D at the REPL, or a crash of the VM: both start anew, as a board does.
        band.cable.say(b"MPY: soft reboot\r\n")
        self._boot(band, bands.SOFT_RESET, power_lost=False, with_main=not band.raw_repl)

    # --- packets of a VM --------------------------------------------------------------------

    def _send(self, band: VirtualBand, kind: int, payload: bytes) -> None:
        if band.sock is not None:
            try:
                packets.write(band.sock, kind, payload)
            except OSError:
                pass  # it died: the process's end says how

    def _to_vm(self, band: VirtualBand, event: bytes, at_us: int | None = None) -> None:
        at = self._now_us if at_us is None else at_us
        self._send(band, packets.HCI_EVENT, struct.pack("<Q", at) + event)

    def _from_vm(self, band: VirtualBand) -> None:
        self._heard_at = time.monotonic()
        try:
            assert band.reader is not None
            came = band.reader.take()
        except OSError:
            self._hung_up(band)
            return
        for kind, data in came:
            self._packet(band, kind, data)

    def _packet(self, band: VirtualBand, kind: int, data: bytes) -> None:
        if kind == packets.WAIT:
            until, flags = struct.unpack("<QB", data)
            self._waits(band, until, flags)
        elif kind == packets.HCI_COMMAND:
            assert band.controller is not None
            self._deliver(band)
            band.controller.on_packet(data)
        elif kind == packets.PIN_GET:
            self._send(band, packets.PIN_GET, bytes((1 if band.powered else 0,)))
        elif kind == packets.ADC:
            # Behind a divider of two equal resistors.
            self._send(band, packets.ADC, struct.pack("<I", band.battery_mv * 500))
        elif kind == packets.PIN_SET:
            band.lights += data[1]
        elif kind == packets.WATCHDOG:
            (band.watchdog_ms,) = struct.unpack("<I", data)
            self._watch(band)
        elif kind == packets.TIMER:
            band.timer_feeds = data != b"\x00"
            self._watch(band)
        elif kind == packets.UART:
            band.cable.move(*struct.unpack("<IH", data))
            self._send(band, packets.UART, b"")
        elif kind == packets.RESET:
            self._soon(lambda: self._boot(band, bands.HARD_RESET, power_lost=False))
        elif kind == packets.SLEEP:
            (until,) = struct.unpack("<Q", data)
            self._at(until, lambda: self._boot(band, bands.DEEPSLEEP_RESET, power_lost=False))

    def _hung_up(self, band: VirtualBand) -> None:
        if band.sock is not None:
            self._selector.unregister(band.sock)
            band.hang_up()
        if self._running is band:
            self._running = None
        if band.process is not None:
            process = band.process
            process.wait()
            self._soon(lambda: self._ended(band, process))

    def _watch(self, band: VirtualBand) -> None:
        # Its watchdog, if it is armed, was fed just now, or starts to count again.
        band.watchdog_generation += 1
        generation = band.watchdog_generation
        if band.watchdog_ms and not band.timer_feeds:
            due = self._now_us + band.watchdog_ms * 1000
            self._at(due, lambda: self._bite(band, generation))

    def _bite(self, band: VirtualBand, generation: int) -> None:
        if generation == band.watchdog_generation and band.process is not None:
            band.stats.watchdog_resets += 1
            self._boot(band, bands.WDT_RESET, power_lost=False)

    def _waits(self, band: VirtualBand, until_us: int, flags: int) -> None:
        band.waiting = True
        band.wake_us = until_us
        band.wants_stdin = bool(flags & packets.STDIN)
        if flags & packets.DEAF:
            band.reports.deaf(self._now_us, until_us)
        band.generation += 1
        generation = band.generation
        if self._running is band:
            self._running = None
        if until_us < NEVER:
            self._at(until_us, lambda: self._wake(band, generation))
        if band.wants_stdin and band.cable.band_waiting():
            self._at(self._now_us, lambda: self._wake(band, generation, True))

    def _wake(self, band: VirtualBand, generation: int, stdin: bool = False) -> None:
        if band.waiting and band.generation == generation:
            self._grant(band, stdin)

    def _grant(self, band: VirtualBand, stdin: bool) -> None:
        self._deliver(band)
        band.waiting = False
        self._running = band
        self._heard_at = time.monotonic()
        self._send(band, packets.WAIT, struct.pack("<QB", self._now_us, 1 if stdin else 0))

    # --- reports ----------------------------------------------------------------------------

    def _deliver(self, band: VirtualBand) -> None:
        # All that the band's radio heard up to now, through its host's eight buffers.
        controller = band.controller
        if controller is None or controller.scan_from_us is None:
            return
        late = self._pace.is_late(self._now_us)
        for channel, from_us, to_us in controller.windows(self._now_us):
            senders: list[tuple[int, float, list[Segment]]] = []
            for other in self.bands:
                metres = math.hypot(other.x - band.x, other.y - band.y)
                if other is band or other.controller is None or not in_reach(metres):
                    continue
                on_air = [
                    s
                    for s in other.controller.segments
                    if s.start_us < to_us and (s.end_us is None or s.end_us > from_us)
                ]
                senders.append((other.index, metres, on_air))
            for heard in hear(self.seed, band.index, channel, from_us, to_us, senders, self.loss):
                if not band.reports.offer(heard.at_us):
                    band.stats.lost_reports += 1
                    continue
                band.stats.delivered += 1
                band.stats.late += late
                self._to_vm(band, controller.report(heard), heard.at_us)
