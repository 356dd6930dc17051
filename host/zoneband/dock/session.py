"""A station's side of a dock session."""

import contextlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from zoneband.dock.greeting import (
    Greeting,
    Hello,
    Impostor,
    Keys,
    NoBand,
    NoKey,
    NotProvisioned,
    Refused,
)
from zoneband.dock.link import REPL_BAUD, Link, LinkLost
from zoneband.wire import frames, handshake, hello, log, messages

HELLO_S = 5.0
ANSWER_S = 2.0
TRIES = 5
_SETTINGS = 3  # of a clock
WINDOW = 4
# A band gives a session up after 10 s of silence: when this much has passed, is it still there?
_SURE_S = 5.0
# From the band's answer to its UART at the new speed.
_SETTLE_S = 0.06
_WELCOME_S = 1.0


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
    """One session over one link. Raises NoBand, Refused or LinkLost, and before the band has
    proved itself what `greet` names."""

    def __init__(self, link: Link, keys: Keys, utc: Callable[[], float] = time.time) -> None:
        self._link = link
        self._keys = keys
        self._utc = utc
        self._channel: handshake.Channel | None = None
        self._heard = 0.0  # when a message of the session last came (time.monotonic)

    def greet(self, timeout_s: float = HELLO_S) -> Greeting:
        """Greet until the band answers, and prove each to the other. Raises NotProvisioned, NoKey,
        Impostor too."""
        deadline = time.monotonic() + timeout_s
        while True:
            band = self.hello(max(0.0, deadline - time.monotonic()))
            if not band.provisioned:
                raise NotProvisioned
            key = self._keys(band)
            if key is None:
                raise NoKey(band.group, band.generation, band.serial)
            found = self._prove(band, key)
            if found is not None:
                return found

    def hello(self, timeout_s: float = HELLO_S) -> Hello:
        """Ask who is there until a band answers; noise and a starting board's text are passed
        over."""
        deadline = time.monotonic() + timeout_s
        self._channel = None
        self._link.send(b"\x00")
        while time.monotonic() < deadline:
            salt = secrets.randbits(32)
            while not hello.quiet(hello.hello(salt)):
                salt = secrets.randbits(32)
            self._link.send(frames.encode(hello.hello(salt)))
            until = min(deadline, time.monotonic() + 0.5)
            while time.monotonic() < until:
                payload = self._link.receive(until - time.monotonic())
                if payload is None:
                    break
                _raise_if_refused(payload)
                try:
                    serial, group, generation, flags, told, nonce = hello.read_hello_ok(payload)
                except ValueError:
                    continue
                if told == salt:
                    return Hello(serial, group, generation, flags, nonce)
        raise NoBand

    def _prove(self, band: Hello, key: bytes) -> Greeting | None:
        # None when the answer was lost.
        while True:
            nonce = secrets.token_bytes(handshake.NONCE_BYTES)
            nonces = band.nonce + nonce
            mac = handshake.proof(key, handshake.HOST, band.serial, nonces)
            if hello.quiet(hello.proof(nonce, mac)):
                break
        self._link.send(frames.encode(hello.proof(nonce, mac)))
        deadline = time.monotonic() + _WELCOME_S
        while (left := deadline - time.monotonic()) > 0:
            payload = self._link.receive(left)
            if payload is None:
                break
            _raise_if_refused(payload)
            try:
                fields = hello.read_welcome(payload)
            except ValueError:
                continue
            body, mac = payload[:-32], payload[-32:]
            wanted = handshake.proof(key, handshake.BAND, band.serial, nonces + body)
            if not handshake.same(wanted, mac):
                raise Impostor
            self._channel = handshake.Channel(key, handshake.HOST, band.serial, nonces)
            self._heard = time.monotonic()
            return Greeting(band.serial, *fields)
        return None

    def _send(self, message: bytes) -> None:
        if self._channel is None:
            raise LinkLost("no session")
        self._link.send(frames.encode(self._channel.seal(message)))

    def _send_quietly(self, kind: int) -> None:
        # CLOCK_GET or BYE in a frame without 0x03: a band whose session is over, and that is not
        # locked, takes that for Ctrl-C.
        if self._channel is None:
            raise LinkLost("no session")
        while True:
            # A number that the band passes over, or the counter's bytes alone might never do.
            message = messages.one(kind, 0, secrets.randbits(32))
            frame = frames.encode(self._channel.seal(message))
            if b"\x03" not in frame:
                self._link.send(frame)
                return

    def _find(self, timeout_s: float = ANSWER_S) -> None:
        # Raises LinkLost unless the band still holds this session. A late answer to what was asked
        # before is passed over; that it was refused is as good as ever.
        for n in range(TRIES):
            self._send_quietly(messages.CLOCK_GET)
            if self._wait(messages.CLOCK_NOW, timeout_s) is not None:
                if n:
                    # The answers to the others must not be taken for later ones.
                    while self._receive(0.4) is not None:
                        pass
                return
        raise LinkLost("no answer")

    def _wait(self, wanted: int, timeout_s: float) -> bytes | None:
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            payload = self._receive(left)
            if payload is None:
                break
            if payload[0] == wanted:
                return payload
            _raise_if_refused(payload)
        return None

    def _receive(self, timeout_s: float) -> bytes | None:
        # The next message that is of this session; what is not is passed over as noise.
        deadline = time.monotonic() + timeout_s
        while True:
            payload = self._link.receive(max(0.0, deadline - time.monotonic()))
            if payload is None:
                return None
            if self._channel is None:
                raise LinkLost("no session")
            with contextlib.suppress(ValueError):
                message = self._channel.open(payload)
                self._heard = time.monotonic()
                return message

    def ask(
        self, message: bytes | Callable[[], bytes], wanted: int, timeout_s: float = ANSWER_S
    ) -> bytes:
        """Send a message until an answer of the wanted type comes; that answer. A callable makes
        it anew for each try."""
        for n in range(TRIES):
            if n or time.monotonic() - self._heard > _SURE_S:
                self._find()
            self._send(message if isinstance(message, bytes) else message())
            answer = self._wait(wanted, timeout_s)
            if answer is not None:
                return answer
        raise LinkLost("no answer")

    def speed(self, baud: int) -> bool:
        """Move to another baud; False, and all as before, when the band or the line cannot."""
        try:
            self.ask(messages.one(messages.SPEED, 0, baud), messages.OK)
        except Refused:
            return False
        self._link.set_baud(baud)
        time.sleep(_SETTLE_S)
        try:
            self._find(0.25)
        except LinkLost:
            # The band takes the speed back by itself when nothing good comes.
            self._link.set_baud(REPL_BAUD)
            self.greet()
            return False
        return True

    def clock(self) -> ClockPair:
        """The clock pair with the smallest error of three; half the round trip is its error."""
        best: ClockPair | None = None
        for _ in range(3):
            sent = self._utc()
            payload = self.ask(messages.one(messages.CLOCK_GET), messages.CLOCK_NOW)
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
        """Set the band's UTC to the station's, within error_ms. When it turns out to be off by
        more, as after a line that held the message back, it is set again; the last of three tells
        the log how far off that line makes it."""
        off_ms = 0
        for n in range(_SETTINGS):
            bound_ms = error_ms if n + 1 < _SETTINGS else min(65535, error_ms + off_ms)
            self.ask(partial(self._clock_set, bound_ms), messages.OK)
            sent = self._utc()
            payload = self.ask(messages.one(messages.CLOCK_GET), messages.CLOCK_NOW)
            came = self._utc()
            utc_s, utc_ms = messages.read_clock_now(payload)[3:5]
            off_ms = abs(utc_s * 1000 + utc_ms - round((sent + came) * 500))
            if off_ms <= bound_ms + round((came - sent) * 500):
                return

    def _clock_set(self, error_ms: int) -> bytes:
        now_ms = round(self._utc() * 1000)
        return messages.clock_set(now_ms // 1000, now_ms % 1000, error_ms)

    def receipt(self, log_id: int, first: int, upto: int, mac: bytes) -> None:
        """Hand the server's receipt to the band."""
        self.ask(messages.receipt(log_id, first, upto, mac), messages.OK, 5)

    def order(self, data: bytes) -> bool:
        """Hand an order of the server to the band. True: an order waits for the clock to be set,
        and would be void when a later one is carried out."""
        answer = self.ask(messages.order(data), messages.OK, 5)
        return messages.read_one(answer)[0] == messages.CLOCK_NEXT

    def set_state(self, state: int, number: int) -> None:
        """Issue a band (records.ISSUED, issue number) or take it back (records.RETURNED)."""
        self.ask(messages.one(messages.STATE_SET, state, number), messages.OK)

    def cue(self, kind: int) -> None:
        """Show the wearer that it is done, or not."""
        self.ask(messages.one(messages.CUE, kind), messages.OK)

    def self_test(self) -> int:
        """Bits of what failed (band/selftest.py); 0: all well."""
        payload = self.ask(messages.one(messages.SELF_TEST), messages.SELF_TEST_OK, 20)
        return messages.read_one(payload)[1]

    def bye(self) -> None:
        """End the session. Raises LinkLost when the band does not say that it has."""
        for _ in range(2):
            self._send_quietly(messages.BYE)
            if self._wait(messages.OK, ANSWER_S) is not None:
                return
        raise LinkLost("no answer")

    def pull(
        self, log_id: int, first: int, take: Callable[[int, bytes], None], stall_s: float = 2.0
    ) -> int:
        """All slots from `first` on, handed to take(cursor, slots) as they come, the sector's
        preamble first. Damage and loss are repaired by asking again from the last good
        cursor. Returns the cursor behind the last slot."""
        at = first
        for n in range(TRIES):
            if n or time.monotonic() - self._heard > _SURE_S:
                self._find()
            self._send(messages.pull(log_id, at, WINDOW))
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
            payload = self._receive(stall_s)
            if payload is None:
                return None, at
            _raise_if_refused(payload)
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
            self._send(messages.ack(at))

    def _drain(self) -> None:
        # Something between was lost: let the stream run dry, then ask again.
        while (payload := self._receive(0.4)) is not None:
            if payload[0] == messages.DATA_END:
                return


def _raise_if_refused(payload: bytes) -> None:
    # One that is sealed, of a session that another station had, is longer.
    if payload[0] == messages.REFUSED and len(payload) == 6:
        raise Refused(messages.read_one(payload)[0])
