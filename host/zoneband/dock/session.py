"""A station's side of a dock session."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from zoneband.dock.link import REPL_BAUD, Link, LinkLost
from zoneband.wire import frames, log, messages

HELLO_S = 5.0
ANSWER_S = 2.0
TRIES = 5
WINDOW = 4
# From the band's answer to its UART at the new speed.
_SETTLE_S = 0.06


class NoBand(Exception):
    """Nothing that speaks Zoneband answered."""


class Refused(Exception):
    """The band refused; `reason` is one of wire.messages."""

    def __init__(self, reason: int) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Greeting:
    """Who a band says it is; cursors as in wire.messages.hello_ok."""

    serial: str
    board: str
    firmware: tuple[int, int, int]
    state: int
    log_id: int
    boot_id: int
    tail: int
    head: int
    receipted: int
    flags: int
    battery_mv: int
    sectors: int

    @property
    def provisioned(self) -> bool:
        """Whether it has a serial and keys."""
        return bool(self.flags & messages.PROVISIONED)

    @property
    def fill_percent(self) -> int:
        """Share of the ring that waits for a receipt."""
        return (self.head - self.receipted) * 100 // (self.sectors * log.SLOTS)


@dataclass(frozen=True)
class ClockPair:
    """The band's run time and the station's UTC at one moment, within error_ms."""

    boot_id: int
    run_s: int
    run_ms: int
    utc_s: int
    utc_ms: int
    error_ms: int
    band_utc_s: int
    flags: int


Chunks = list[tuple[int, bytes]]


class BandSession:
    """One session over one link. Raises NoBand, Refused or LinkLost."""

    def __init__(self, link: Link, utc: Callable[[], float] = time.time) -> None:
        self._link = link
        self._utc = utc

    def hello(self, timeout_s: float = HELLO_S) -> Greeting:
        """Greet until the band answers; noise and a starting board's text are passed over."""
        deadline = time.monotonic() + timeout_s
        self._link.send(b"\x00")
        while time.monotonic() < deadline:
            salt = secrets.randbits(32)
            frame = messages.hello_frame(salt)
            self._link.send(frame)
            salt = messages.read_hello(frames.decode(frame[:-1]))[1]
            until = min(deadline, time.monotonic() + 0.5)
            while time.monotonic() < until:
                payload = self._link.receive(until - time.monotonic())
                if payload is None:
                    break
                if payload[0] == messages.REFUSED:
                    raise Refused(messages.read_one(payload)[0])
                try:
                    f = messages.read_hello_ok(payload)
                except ValueError:
                    continue
                if f[4] == salt:
                    return Greeting(*f[:4], *f[5:])
        raise NoBand

    def _ask(self, message: bytes, wanted: int, timeout_s: float = ANSWER_S) -> bytes:
        for _ in range(TRIES):
            self._link.send(frames.encode(message))
            deadline = time.monotonic() + timeout_s
            while (left := deadline - time.monotonic()) > 0:
                payload = self._link.receive(left)
                if payload is None:
                    break
                if payload[0] == wanted:
                    return payload
                if payload[0] == messages.REFUSED:
                    raise Refused(messages.read_one(payload)[0])
        raise LinkLost("no answer")

    def speed(self, baud: int) -> bool:
        """Move to another baud; False, and all as before, when the band or the line cannot."""
        try:
            self._ask(messages.one(messages.SPEED, 0, baud), messages.OK)
        except Refused:
            return False
        self._link.set_baud(baud)
        time.sleep(_SETTLE_S)
        try:
            self._ask(messages.one(messages.CLOCK_GET), messages.CLOCK_NOW, 0.25)
        except LinkLost:
            # The band takes the speed back by itself when nothing good comes.
            self._link.set_baud(REPL_BAUD)
            self.hello()
            return False
        return True

    def clock(self) -> ClockPair:
        """The clock pair with the smallest error of three; half the round trip is its error."""
        best: ClockPair | None = None
        for _ in range(3):
            sent = self._utc()
            payload = self._ask(messages.one(messages.CLOCK_GET), messages.CLOCK_NOW)
            came = self._utc()
            error_ms = min(65535, max(1, round((came - sent) * 500)))
            utc_ms = round((sent + came) * 500)
            boot_id, run_s, run_ms, band_utc, _, flags = messages.read_clock_now(payload)
            pair = ClockPair(
                boot_id, run_s, run_ms, utc_ms // 1000, utc_ms % 1000, error_ms, band_utc, flags
            )
            if best is None or pair.error_ms < best.error_ms:
                best = pair
        assert best is not None
        return best

    def set_clock(self, error_ms: int) -> None:
        """Set the band's UTC to the station's."""
        now_ms = round(self._utc() * 1000)
        self._ask(messages.clock_set(now_ms // 1000, now_ms % 1000, error_ms), messages.OK)

    def receipt(self, log_id: int, first: int, upto: int, mac: bytes) -> None:
        """Hand the server's receipt to the band."""
        self._ask(messages.receipt(log_id, first, upto, mac), messages.OK, 5)

    def set_state(self, state: int, number: int) -> None:
        """Issue a band (records.ISSUED, issue number) or take it back (records.RETURNED)."""
        self._ask(messages.one(messages.STATE_SET, state, number), messages.OK)

    def cue(self, kind: int) -> None:
        """Show the wearer that it is done, or not."""
        self._ask(messages.one(messages.CUE, kind), messages.OK)

    def self_test(self) -> int:
        """Bits of what failed (band/selftest.py); 0: all well."""
        payload = self._ask(messages.one(messages.SELF_TEST), messages.SELF_TEST_OK, 20)
        return messages.read_one(payload)[1]

    def bye(self) -> None:
        """End the session."""
        self._ask(messages.one(messages.BYE), messages.OK)

    def pull(
        self, log_id: int, first: int, take: Callable[[int, bytes], None], stall_s: float = 2.0
    ) -> int:
        """All slots from `first` on, handed to take(cursor, slots) as they come, the sector's
        preamble first. Damage and loss are repaired by asking again from the last good
        cursor. Returns the cursor behind the last slot."""
        at = first
        for _ in range(TRIES):
            self._link.send(frames.encode(messages.pull(log_id, at, WINDOW)))
            end, moved = self._stream(at, take, stall_s)
            if end is not None:
                return end
            at = moved
        raise LinkLost("the log keeps breaking off")

    def _stream(
        self, at: int, take: Callable[[int, bytes], None], stall_s: float
    ) -> tuple[int | None, int]:
        # (end or None when it broke off, cursor up to which all is here)
        while True:
            payload = self._link.receive(stall_s)
            if payload is None:
                return None, at
            if payload[0] == messages.REFUSED:
                raise Refused(messages.read_one(payload)[0])
            if payload[0] == messages.DATA_END:
                end = messages.read_data_end(payload)
                return (end, at) if at >= end else (None, at)
            if payload[0] != messages.DATA:
                continue
            try:
                cursor, slots = messages.read_data(payload)
            except ValueError:
                return self._drain(), at
            count = len(slots) // log.SLOT_BYTES
            if cursor + count <= at:
                take(cursor, slots)  # the preamble
                continue
            if cursor > at:
                if cursor % log.SLOTS == 0 and at % log.SLOTS == 0:
                    at = cursor  # the band skipped what it has lost
                else:
                    return self._drain(), at
            take(cursor, slots)
            at = max(at, cursor + count)
            self._link.send(frames.encode(messages.ack(at)))

    def _drain(self) -> None:
        # Something between was lost: let the stream run dry, then ask again.
        while (payload := self._link.receive(0.4)) is not None:
            if payload[0] == messages.DATA_END:
                return
