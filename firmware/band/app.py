# The band's life as bursts: state -> burst -> state.
#
# A burst is one listening window and what follows from it. Nothing is kept between bursts but
# what `save` writes, so a band that sleeps between them runs the same code.

import gc
import os
import struct

from band.cues import Cues
from band.journal import Journal
from wire import bluezone, messages, records
from wire.compat import const

from . import memory
from .link import FastLink
from .session import Session

FIRMWARE = (0, 1, 0)
_DAY_S = const(86400)
_HEALTH_S = const(3600)
_IDLE_MS = const(1000)
_WATCHDOG_MS = const(120000)
# Without a pin that sees the cable, silence this long ends a dock.
_UNDOCK_S = const(120)
_DOCK_ME_PERCENT = const(75)


def random_u32():
    return struct.unpack("<I", os.urandom(4))[0]


class Band:
    def __init__(self, machine, board, store, log, keys, clock, radio, encounters, link, sleep_ms):
        self.board_facts = board
        self.log = log
        self.clock = clock
        self.encounters = encounters
        self.radio = radio
        self._machine = machine
        self._store = store
        self._keys = keys
        self._link = link
        self._rtc = machine.RTC()
        self.cues = Cues(board, sleep_ms)
        self.journal = Journal(log, clock, board.battery_mv)
        self.firmware = FIRMWARE
        self.board = board.name
        self.serial = (store.get_blob("serial") or b"").decode()
        self.receipt_key = store.get_blob("receipt_key") or b""
        self.state = store.get("state", records.NEW)
        self.issue_number = store.get("issue", 0)
        self.provisioned = bool(self.serial and self.receipt_key and keys.load())
        self.docked = False
        self._powered = board.on_power()
        self._last_frame_s = 0
        self._slot = -1
        self._health_s = 0
        self._resets = 0
        self._heap_low = gc.mem_free() if hasattr(gc, "mem_free") else 0
        self._wdt = machine.WDT(timeout=_WATCHDOG_MS)
        self.cold_start()

    # --- waking -----------------------------------------------------------------------------

    def cold_start(self):
        saved = memory.unpack(self._rtc.memory())
        cause = self._machine.reset_cause()
        planned = cause == self._machine.DEEPSLEEP_RESET
        if saved is None:
            self.clock.start(random_u32())
            clean = 0
        else:
            self.clock.restore(saved[0], not planned)
            self._resets = saved[1] + (0 if planned else 1)
            clean = saved[2]
        now_s = self.clock.run()[0]
        self.log.mount(self.clock.boot_id, now_s, saved is not None)
        if saved is None:
            last = self.log.last_clock()
            if last:
                self.clock.guess(last[2])
        elif saved[3]:
            self.encounters.unpack_open(saved[3])
        if not planned:
            self.journal.boot(cause, clean, self.firmware, self._resets)
            self.journal.clock(records.SOURCE_RUNNING)
        self._health_s = now_s
        self.save(0)

    def save(self, clean, keep_open=False):
        # What the next wake needs. Open encounters are packed only on the way to a sleep or a
        # planned reset: packing 48 of them after every window would cost more than it saves.
        buf = b""
        if keep_open:
            buf = self.encounters.pack_open(48, self.journal.encounter)
        self._rtc.memory(memory.pack(self.clock.save(), self._resets, clean, buf))

    # --- life -------------------------------------------------------------------------------

    def active(self):
        return (
            self.provisioned and self.state == records.ISSUED and not self.docked and self.clock.set
        )

    def run(self):
        while True:
            self.burst()

    def burst(self):
        self.clock.tick()
        self._watch_cable()
        if self.active():
            self._listen()
        else:
            if self.radio.advertising:
                self.radio.stop()
                self._slot = -1
            # No scan is due now, so none can vouch for the radio.
            self._wdt.feed()
            self._serve(_IDLE_MS)
        self.log.prepare()
        now_s = self.clock.run()[0]
        if now_s - self._health_s >= _HEALTH_S:
            self._health(now_s)
        self.save(0)

    def _listen(self):
        utc_s = self.clock.utc_s()
        slot = utc_s // bluezone.SLOT_S
        if slot != self._slot:
            self._new_slot(utc_s, slot)
        self.radio.open_window()
        if self._serve(self.radio.window_ms() + 20):
            return
        if self.radio.window_over():
            # Only a finite scan that ended by itself shows that the radio still lives.
            self._wdt.feed()
        now_s = self.clock.run()[0]
        self.encounters.sweep(now_s, self.journal.encounter)
        self._serve(self.radio.next_delay_ms())

    def _new_slot(self, utc_s, slot):
        rotating_id = self._keys.id_at(utc_s, self._latest_utc_s(utc_s))
        self.clock.ahead = self._keys.ahead
        if self._slot >= 0:
            self.encounters.slot_end(self.clock.run()[0], self.journal.encounter)
            self.journal.clock(records.SOURCE_RUNNING)
        # A refused rotation leaves nothing on air: try again at the next window.
        if self.radio.rotate(rotating_id):
            self._slot = slot
        gc.collect()
        if hasattr(gc, "mem_free"):
            self._heap_low = min(self._heap_low, gc.mem_free())
        if self.log.fill_percent() >= _DOCK_ME_PERCENT:
            self.cues.dock_me()

    def _latest_utc_s(self, utc_s):
        # Clock.check has bounded every step, so running UTC is within its bound already; the
        # keys may follow it one day further at most (the next slot of tomorrow).
        return utc_s + _DAY_S

    def _health(self, now_s):
        self._health_s = now_s
        e = self.encounters
        r = self.radio
        mv = self.journal.check_battery()
        evicted, unwritten = e.take_losses()
        refused, errors, late, sightings = r.take_counts()
        self.journal.health(
            (
                evicted,
                unwritten + self.journal.unwritten,
                refused,
                errors,
                late,
                mv,
                self._heap_low,
                sightings,
            )
        )
        self.journal.unwritten = 0

    # --- cable ------------------------------------------------------------------------------

    def _watch_cable(self):
        powered = self.board_facts.on_power()
        if powered != self._powered:
            self._powered = powered
            if powered:
                # A station may pull EN when it opens the port: save what a reset would take.
                self.encounters.flush(self.clock.run()[0], self.journal.encounter)
                self.journal.clock(records.SOURCE_RUNNING)
            mv = self.journal.check_battery()
            self.journal.mark(records.CHARGE, records.BEGAN if powered else records.ENDED, mv)
        if not self.docked:
            return
        if self.board_facts.has_vbus():
            gone = not powered
        else:
            gone = self.clock.run()[0] - self._last_frame_s > _UNDOCK_S
        if gone:
            self.docked = False
            self.journal.mark(records.DOCK, records.ENDED)

    def _serve(self, wait_ms):
        # Wait, and answer the cable meanwhile. True when a session took the time.
        first = self._link.read(wait_ms)
        if not first:
            return False
        self._dock_seen = False
        Session(self, self._link).run(first)
        self._last_frame_s = self.clock.run()[0]
        return self._dock_seen

    # --- what a session asks for ------------------------------------------------------------

    def dock_begins(self):
        # The first good HELLO of a session.
        self._dock_seen = True
        if self.docked:
            return
        self.docked = True
        self.radio.stop()
        self._slot = -1
        self.encounters.flush(self.clock.run()[0], self.journal.encounter)
        self.journal.mark(records.DOCK, records.BEGAN)
        self.journal.clock(records.SOURCE_RUNNING)

    def feed(self):
        self._wdt.feed()

    def fast_link(self, baud):
        return FastLink(self._machine, self.board_facts.uart_pins, baud)

    def battery_mv(self):
        return self.board_facts.battery_mv()

    def set_utc(self, utc_s, utc_ms, error_ms):
        # 0, or the reason of REFUSED.
        reason = self.clock.check(utc_s, self.state == records.ISSUED)
        if reason:
            return reason
        was = self.clock.utc_s()
        self.clock.accept(utc_s, utc_ms)
        self.journal.clock(records.SOURCE_STATION, error_ms, was)
        self.save(0)
        return 0

    def issue(self, state, number):
        if not self.provisioned:
            return messages.NOT_PROVISIONED
        if state not in (records.ISSUED, records.RETURNED):
            return messages.BAD_STATE
        if state == self.state and number == self.issue_number:
            return 0
        self.state = state
        self.issue_number = number
        self._store.put("state", state)
        self._store.put("issue", number)
        if not self.journal.mark(records.STATE, state, number):
            return messages.FLASH_FAULT
        return 0

    def cue(self, kind):
        self.cues.show(kind)

    def self_test(self):
        from band import selftest

        return selftest.run(self)
