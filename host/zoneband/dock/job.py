"""One dock from plug to cue: greet, pull into the spool, receipts, clock, cue.

The dock is done only when the log is in the spool.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import Enum

from zoneband import batch as batches
from zoneband.batch import BatchHeader
from zoneband.dock.greeting import (
    Greeting,
    Impostor,
    Keys,
    NoBand,
    NoKey,
    NotProvisioned,
    Refused,
)
from zoneband.dock.link import REPL_BAUD, Link, LinkLost
from zoneband.dock.orders import carry
from zoneband.dock.refusals import no_key, refusal
from zoneband.dock.session import BandSession, Chunks, ClockPair
from zoneband.dock.update import offer
from zoneband.errors import UserError
from zoneband.handout import at_dock
from zoneband.i18n import _
from zoneband.inventory import Inventory
from zoneband.release import Bundle
from zoneband.spool import Spool
from zoneband.wire import log, messages, records, status

# A batch holds whole sectors: below the upload's limit with room for the header.
_SECTORS_PER_BATCH = 60


class Outcome(Enum):
    """How a dock ended; the value is what JSON shows."""

    DONE = "done"
    NO_BAND = "no_band"
    NOT_PROVISIONED = "not_provisioned"
    NO_KEY = "no_key"
    BROKEN_OFF = "broken_off"
    REFUSED = "refused"
    NO_ROOM = "no_room"
    FAILED = "failed"


@dataclass
class DockResult:
    """One dock, for the table and for JSON; notes: what staff should know beside the outcome."""

    port: str
    outcome: str
    message: str
    notes: list[str] = field(default_factory=list[str])
    serial: str | None = None
    battery_mv: int | None = None
    slots: int = 0
    batches: int = 0
    clock_set: bool = False
    receipted: bool = False
    orders: int = 0

    def as_json(self) -> dict[str, object]:
        """Keys and values for a script."""
        values: dict[str, object] = asdict(self)
        del values["notes"]
        return values | {"note": self.note}

    @property
    def note(self) -> str:
        """All notes, one behind the other."""
        return " ".join(self.notes)

    def tell(self, note: str) -> None:
        """Add a note, if it is any."""
        if note:
            self.notes.append(note)


Progress = Callable[[str, int, int], None]  # serial, slots here, slots in all


class DockJob:
    """Docks the band at one port."""

    def __init__(
        self,
        port: str,
        spool: Spool,
        station: str,
        vouched: bool,
        keys: Keys,
        progress: Progress | None = None,
        deliver: Callable[[], None] | None = None,
        state: tuple[int, int] | None = None,
        baud: int = REPL_BAUD,
        utc: Callable[[], float] = time.time,
        inventory: Inventory | None = None,
        fetch_orders: Callable[[str, int], None] = lambda serial, after: None,
        find_update: Callable[[Greeting], Bundle | None] = lambda band: None,
        updating: Callable[[str, str, float], None] = lambda serial, version, share: None,
        newest_key: Callable[[int], int] = lambda group: 0,
    ) -> None:
        """vouched: the station's clock may set the band's; keys: dock keys of bands; deliver:
        uploads what waits, so that the receipt can go back in this dock; fetch_orders: brings a
        band's orders after a number into the spool, where the server can be reached; state: (state,
        issue number) to put the band in; baud: speed that the session moves to, where the band can;
        inventory: remembers the band, and says what it is to become, unless state does;
        find_update: the update for a band; updating: called with serial, version and the share that
        the band has of it; newest_key: generation of a group's newest key that is here, 0 for
        none."""
        self._port = port
        self._spool = spool
        self._station = station
        self._vouched = vouched
        self._keys = keys
        self._fetch_orders = fetch_orders
        self._find_update = find_update
        self._updating = updating
        self._newest_key = newest_key
        self._progress = progress or (lambda serial, here, total: None)
        self._deliver = deliver
        self._state = state
        self._baud = baud
        self._utc = utc
        self._inventory = inventory
        self._slots = 0
        self._batches = 0

    def run(self) -> DockResult:
        """Dock; every way it can end is an outcome, none an exception."""
        result = DockResult(self._port, Outcome.NO_BAND.value, "")
        try:
            self._run(result)
        except Exception as error:  # a thread of its own: nobody else would tell
            result.outcome = Outcome.FAILED.value
            result.message = _("Docking failed: {error}. Tell the engineers.").format(
                error=f"{type(error).__name__} {error}"
            )
        return result

    def _run(self, result: DockResult) -> None:
        try:
            link = Link(self._port)
        except LinkLost:
            result.message = _("This port cannot be opened. Is another program using it?")
            return
        session = BandSession(link, self._keys, self._utc)
        try:
            self._dock(session, result)
        except NotProvisioned:
            result.outcome = Outcome.NOT_PROVISIONED.value
            result.message = _("This band has no keys yet. Flash it again.")
        except NoKey as error:
            result.outcome, result.serial = Outcome.NO_KEY.value, error.serial
            result.message = no_key(error, self._newest_key(error.group))
        except Impostor:
            result.outcome = Outcome.REFUSED.value
            result.message = _("This device only claims to be a band. Put it aside.")
        except NoBand:
            result.message = _("No band answers here. Is this the right device?")
        except Refused as refused:
            result.outcome = Outcome.REFUSED.value
            result.message = refusal(refused.reason)
            _complain(session)
        except LinkLost:
            result.outcome = Outcome.BROKEN_OFF.value
            result.message = _("Unplugged too early. Nothing is lost: plug the band in again.")
        except UserError as error:
            result.outcome = Outcome.NO_ROOM.value
            result.message = error.message
            _complain(session)
        finally:
            result.slots, result.batches = self._slots, self._batches
            link.close()

    def _dock(self, session: BandSession, result: DockResult) -> None:
        band = session.greet()
        result.serial = band.serial or None
        result.battery_mv = band.battery_mv
        if self._baud != REPL_BAUD:
            session.speed(self._baud)
        pair = session.clock()
        self._pull(session, band, pair)
        if self._deliver is not None:
            self._deliver()
        result.receipted = self._receipt(session, band)
        faulty = bool(band.flags & status.LOG_FAULT)
        if self._vouched and not faulty:
            self._set_clock(session, pair, result)
        self._carry_orders(session, band, pair, result)
        if faulty:
            raise Refused(messages.FLASH_FAULT)
        if result.orders:
            band = session.greet()  # what it is now
        if self._vouched:
            if not result.clock_set:
                result.tell(
                    _(
                        "The band's clock is far from this computer's: it was left as it is. Only "
                        "an order of the authority changes it."
                    )
                )
        else:
            result.tell(left_clock())
        if self._spool.has_other_log(band.serial, band.log_id):
            result.tell(
                _(
                    "This serial was docked here with another memory. "
                    "If two bands carry it, put both aside."
                )
            )
        state = self._state
        if band.state == records.RETIRED:
            state = None
            result.tell(_("This band was taken out of use: put it aside."))
        if state is not None:
            session.set_state(*state)
        if self._inventory is not None:
            result.tell(at_dock.meet(self._inventory, session, band, state))
        if result.orders:
            # What the band wrote about them, a new key too, need not wait for its next dock.
            self._pull(session, session.greet(), pair)
        session.cue(status.CUE_DONE)
        result.outcome = Outcome.DONE.value
        result.message = _("Done – take the band off")
        self._update(session, band, result)
        with contextlib.suppress(LinkLost):
            session.bye()

    def _update(self, session: BandSession, band: Greeting, result: DockResult) -> None:
        # The dock is done: who takes the band off now only leaves this for the next one.
        bundle = self._find_update(band)
        if bundle is None:
            return
        version = ".".join(map(str, bundle.version))
        try:
            if offer(session, bundle, lambda share: self._updating(band.serial, version, share)):
                result.tell(_("Updated to {version}.").format(version=version))
        except LinkLost:
            result.tell(
                _("The update to {version} goes on at the next dock.").format(version=version)
            )
        except Refused:
            result.tell(
                _("The band refused the update to {version}: tell the engineers.").format(
                    version=version
                )
            )

    def _pull(self, session: BandSession, band: Greeting, pair: ClockPair) -> None:
        first = max(self._spool.cursor(band.serial, band.log_id), band.receipted, band.tail)
        first = min(first, band.head)
        if first >= band.head:
            return
        held: Chunks = []
        total = band.head - first

        def take(cursor: int, slots: bytes) -> None:
            # What belongs to one batch is kept together; a full one goes to disk at once, so
            # that a long pull that breaks off is not begun anew.
            sector = cursor // log.SLOTS
            begun = held[0][0] // log.SLOTS if held else sector
            if sector - begun >= _SECTORS_PER_BATCH:
                self._keep(band, pair, held)
                held.clear()
            held.append((cursor, slots))
            self._slots += len(slots) // log.SLOT_BYTES
            self._progress(band.serial, min(self._slots, total), total)

        try:
            session.pull(band.log_id, first, take)
        finally:
            if held:
                self._keep(band, pair, held)

    def _keep(self, band: Greeting, pair: ClockPair, chunks: Chunks) -> None:
        last, slots = chunks[-1]
        header = BatchHeader(
            serial=band.serial,
            board=band.board,
            firmware=".".join(map(str, band.firmware)),
            station=self._station,
            log_id=band.log_id,
            receipted=band.receipted,
            first=chunks[0][0],
            end=last + len(slots) // log.SLOT_BYTES,
            boot_id=pair.boot_id,
            run_s=pair.run_s,
            run_ms=pair.run_ms,
            utc_s=pair.utc_s,
            utc_ms=pair.utc_ms,
            error_ms=pair.error_ms,
            vouched=self._vouched,
            state=band.state,
            battery_mv=band.battery_mv,
        )
        self._spool.add(batches.pack(header, chunks))
        self._batches += 1

    def _set_clock(self, session: BandSession, pair: ClockPair, result: DockResult) -> bool:
        try:
            session.set_clock(min(65535, pair.error_ms + 50))
        except Refused as refused:
            if refused.reason != messages.CLOCK_JUMP:
                raise
            return False
        result.clock_set = True
        return True

    def _carry_orders(
        self, session: BandSession, band: Greeting, pair: ClockPair, result: DockResult
    ) -> None:
        self._fetch_orders(band.serial, band.order)
        orders = self._spool.orders(band.serial, band.order)
        set_clock = (lambda: self._set_clock(session, pair, result)) if self._vouched else None
        result.orders, reason = carry(session, orders, set_clock)
        if reason in (messages.LOW_BATTERY, messages.FLASH_FAULT, messages.NO_MEMORY):
            raise Refused(reason)
        if reason:
            result.tell(_("The band refused an order of the server: tell the authority."))
        if not result.orders:
            self._spool.drop_orders(band.serial, band.order)

    def _receipt(self, session: BandSession, band: Greeting) -> bool:
        for receipt in self._spool.receipts(band.serial, band.log_id, band.receipted):
            try:
                session.receipt(receipt.log_id, receipt.first, receipt.upto, receipt.mac)
            except Refused:
                continue
            self._spool.delivered(receipt)
            return True
        return False


def _complain(session: BandSession) -> None:
    # The band itself shows that staff should look.
    with contextlib.suppress(LinkLost, Refused):
        session.cue(status.CUE_ERROR)
        session.bye()


def left_clock() -> str:
    """The note of a band whose clock was not set, as nobody vouches for this computer's."""
    return _("This computer's clock is not vouched for: the band's was left as it is.")


ISSUE = records.ISSUED
RETURN = records.RETURNED
