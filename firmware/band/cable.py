# The cable: power on it, a dock on it, and who is spoken to over it.

from wire import records
from wire.compat import const

from . import modules

TAKING = (
    "band.update", "band.files", "band.ed25519", "band.sha512", "wire.bundle", "wire.updates",
)  # fmt: skip
# Without a pin that sees the cable, silence this long ends a dock.
_UNDOCK_S = const(120)


class Cable:
    def __init__(self, band, board, link):
        self._band = band
        self._board = board
        self._link = link
        self.docked = False
        self._powered = board.on_power()
        self._last_frame_s = 0
        self._greeted = False
        self._waiting = False
        board.when_power_changes(self._changed)

    def _changed(self, _):
        # Between two bytecodes of the main task. In the middle of other work the next burst
        # looks; but a wait may last seconds, and a station may pull EN when it opens the port.
        if self._waiting:
            # One at a time: the flash work below may let the next change in.
            self._waiting = False
            self.watch()
            self._band.tidy()
            self._waiting = True

    def watch(self):
        band = self._band
        powered = self._board.on_power()
        if powered != self._powered:
            self._powered = powered
            # Of a band that ran low this is the moment that it may write again.
            mv = band.journal.check_battery()
            if powered:
                # Save what a reset would take.
                band.flush()
                band.journal.clock(records.SOURCE_RUNNING)
            band.journal.mark(records.CHARGE, records.BEGAN if powered else records.ENDED, mv)
        if not self.docked:
            return
        if self._board.has_vbus():
            gone = not powered
        else:
            gone = band.clock.run()[0] - self._last_frame_s > _UNDOCK_S
        if gone:
            self.docked = False
            band.journal.mark(records.DOCK, records.ENDED)

    def serve(self, wait_ms):
        # Wait, and answer the cable meanwhile. True when a session took the time.
        self._waiting = True
        first = self._link.read(wait_ms)
        self._waiting = False
        if not first:
            return False
        self._greeted = False
        # Only now: a band in the field needs the room, and seldom this.
        from .session import Session

        session = Session(self._band, self._link)
        session.run(first)
        if session.update:
            self._end_update(session)
        if session.cramped:
            from . import trial

            trial.restart(self._band)
        self._last_frame_s = self._band.clock.run()[0]
        return self._greeted

    def _end_update(self, session):
        from . import trial

        if session.update.ready:
            trial.restart(self._band)
        # It did not bring all of it: the room goes back to the band.
        session.update = None
        modules.forget(*TAKING)

    def begins(self):
        # A station has proved itself.
        self._greeted = True
        if not self.docked:
            self.docked = True
            self._band.dock_began()

    def fast_link(self, machine, baud):
        from .fastlink import FastLink

        return FastLink(machine, self._board.uart_pins, baud)
