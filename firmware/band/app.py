# The band's life as bursts: state -> burst -> state.
#
# A burst is one listening window and what follows from it. Nothing is kept between bursts but
# what `save` writes, so a band that sleeps between them runs the same code.

import os
import struct

from band.cues import Cues
from band.journal import Journal
from wire import bluezone, records
from wire.compat import const

from . import memory, modules, scrub
from .cable import TAKING, Cable
from .health import Health
from .trust import Trust
from .version import VERSION

# As long as a log lives, and a day: keys step no further at once.
FARTHEST_S = 1900800
_IDLE_MS = const(1000)
_WATCHDOG_MS = const(120000)
# A station that has just opened the port, which may be a start, waits for an answer meanwhile.
_LEARN_S = const(60)
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
        self.store = store
        self.keys = keys
        self.cable = Cable(self, board, link)
        self._rtc = machine.RTC()
        self.cues = Cues(board, sleep_ms)
        self.journal = Journal(log, clock, board.battery_mv)
        self.firmware = VERSION
        self.board = board.name
        self.serial = (store.get_blob("serial") or b"").decode()
        self.receipt_key = store.get_blob("receipt_key") or b""
        self.trust = Trust(store, self.journal)
        self.journal.check_battery()
        self.trial = None
        if store.get("place", 0) >> 3 or store.get("undone", 0) >> 24:
            # A new version is on trial, or one was undone and the log does not tell it yet.
            from .trial import Trial

            self.trial = Trial(store, self.journal)
        self.state = store.get("state", records.NEW)
        self.issue_number = store.get("issue", 0)
        # A retired band has no ID keys any more, and still gives its log.
        if self.state == records.RETIRED:
            keys.erase()
        keyed = keys.load(not self.journal.low) or self.state == records.RETIRED
        self.provisioned = bool(self.serial and self.receipt_key and keyed)
        self._slot = -1  # whose ID is on air
        self._begun = -1  # whose beginning is done
        self._learn_s = 0  # run time at which to learn what later docks need, 0: done
        self._resets = 0
        self.health = Health(log, self.journal, encounters, radio)
        self._wdt = machine.WDT(timeout=_WATCHDOG_MS)
        # Secrets are drawn from here on, and an ESP32's random numbers are only such while its
        # radio is on.
        radio.start()
        encounters.table.draw()
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
        self.log.mount(self.clock.boot_id, saved[3] if saved else None, now_s)
        if saved is None:
            # The log cannot be read any more; but the keys stand at the newest ID that was sent.
            if self.provisioned and self.state == records.ISSUED:
                self.clock.guess(self.keys.utc_s())
        elif saved[4]:
            from . import sleep

            sleep.unpack_open(self.encounters, saved[4])
        if not planned:
            self._learn_s = now_s + _LEARN_S
            self.journal.boot(cause, clean, self.firmware, self._resets)
            self.journal.clock(records.SOURCE_RUNNING)
        self.health.begin(now_s)
        modules.forget("band.mount", "band.keystart")
        self.tidy()

    def save(self, clean, keep_open=False):
        # What the next wake needs. Open encounters are packed only on the way to a sleep or a
        # planned reset: packing 48 of them after every window would cost more than it saves.
        buf = b""
        if keep_open:
            from . import sleep

            buf = sleep.pack_open(self.encounters, 48, self.journal.encounter)
        kept = self.log.keep()
        self._rtc.memory(memory.pack(self.clock.save(), self._resets, clean, kept, buf))

    def tidy(self):
        # Before any wait: of what was written, and of IDs that are over, no key stays.
        if self.log.stepped or self.keys.stepped:
            self.save(0)
            self.log.stepped = self.keys.stepped = False
            scrub.free_memory()

    # --- life -------------------------------------------------------------------------------

    def active(self):
        return (
            self.provisioned
            and self.state == records.ISSUED
            and not self.cable.docked
            and not self.journal.low
            and self.clock.set
        )

    def run(self):
        while True:
            self.burst()

    def burst(self):
        self.clock.tick()
        self.cable.watch()
        if self.active():
            self._listen()
        else:
            if self.radio.advertising:
                self.silence()
            # No scan is due now, so none can vouch for the radio.
            self._wdt.feed()
            self.cable.serve(_IDLE_MS)
        now_s = self.clock.run()[0]
        self.health.watch(now_s)
        self.trust.watch(now_s)
        if self.trial and not self.trial.watch(self, now_s):
            self.trial = None
        if not self.journal.low:
            self.log.prepare(now_s)
        self.tidy()
        self.save(0)
        if 0 < self._learn_s <= now_s and not self.cable.docked:
            self._learn_s = 0
            modules.learn(*TAKING)

    def _listen(self):
        utc_s = self.clock.utc_s()
        slot = utc_s // bluezone.SLOT_S
        if slot != self._slot:
            self._new_slot(utc_s, slot)
            if not self.clock.set:
                return
            self.tidy()
        self.radio.open_window()
        if self.cable.serve(self.radio.window_ms() + 20):
            return
        now_s = self.clock.run()[0]
        self.encounters.sweep(now_s, self.journal.encounter)
        self.tidy()
        self.cable.serve(self.radio.next_delay_ms())
        if self.radio.window_over():
            # Only a finite scan that ended by itself, be it late, shows that the radio still lives.
            self._wdt.feed()

    def _new_slot(self, utc_s, slot):
        try:
            rotating_id = self.keys.id_at(utc_s, self.keys.utc_s() + FARTHEST_S)
        except OverflowError:
            # No dock has allowed this: wait for one that does.
            self.clock.set = False
            return
        self.clock.ahead = self.keys.ahead
        if slot != self._begun:
            if self._begun >= 0:
                self.encounters.slot_end(self.clock.run()[0], self.journal.encounter)
                self.journal.clock(records.SOURCE_RUNNING)
            self._begun = slot
            self.health.collect()
            if self.log.fill_percent() >= _DOCK_ME_PERCENT:
                self.cues.dock_me()
        # A refused rotation leaves nothing on air: try again at the next window.
        if self.radio.rotate(rotating_id):
            self._slot = slot

    # --- what a session asks for ------------------------------------------------------------

    def dock_began(self):
        self.silence()
        self.flush()
        self.journal.mark(records.DOCK, records.BEGAN)
        self.journal.clock(records.SOURCE_RUNNING)

    def flush(self):
        # Open encounters to flash: a dock, or a reset that may come.
        self.encounters.flush(self.clock.run()[0], self.journal.encounter)

    def silence(self):
        self.radio.stop()
        self._slot = self._begun = -1

    def feed(self):
        self._wdt.feed()

    def fast_link(self, baud):
        return self.cable.fast_link(self._machine, baud)

    def battery_mv(self):
        return self.board_facts.battery_mv()

    def set_state(self, state, number):
        # In this order: a cut between the two leaves another number than was asked for.
        self.store.put("state", state)
        self.store.put("issue", number)
        self.state = state
        self.issue_number = number

    def retire(self):
        # By order: no ID is left, and nothing goes on air. The log can still be pulled.
        self.silence()
        # In this order: with its keys gone and no such state it would be a band without keys, whose
        # log nobody can pull.
        self.set_state(records.RETIRED, self.issue_number)
        self.keys.erase()
        self.journal.mark(records.STATE, records.RETIRED, self.issue_number)
