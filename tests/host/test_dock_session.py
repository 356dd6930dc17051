"""A station's session on a line that loses and delays: what it says then, and what it does not."""

import time
from collections import deque
from collections.abc import Callable
from typing import cast

import pytest

from zoneband.dock.greeting import Hello
from zoneband.dock.link import Link, LinkLost
from zoneband.dock.session import BandSession
from zoneband.wire import frames, handshake, hello, messages, records, status
from zoneband.wire.handshake import Channel

SERIAL = "ZB-7F3K-92QD"
KEY = bytes(range(32))
NONCE = bytes(16)
OK = messages.one(messages.OK)
NOW = messages.clock_now(1, 2, 3, 4, 5, 0)

Answer = Callable[[bytes], bytes | None]


class Line:
    """A band's end of the handshake; `answer` says what becomes of each message after it. What
    has no answer is not waited for."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.frames: list[bytes] = []
        self.asked: list[int] = []  # kinds of the messages
        self._decoder = frames.Decoder()
        self._answers: deque[bytes] = deque()
        self._channel: Channel | None = None

    def send(self, frame: bytes) -> None:
        self.frames.append(frame)
        for payload in self._decoder.feed(frame):
            answer = self._take(payload)
            if answer is not None:
                self._answers.append(answer)

    def _take(self, payload: bytes) -> bytes | None:
        if self._channel is not None:
            message = self._channel.open(payload)
            self.asked.append(message[0])
            answer = self.answer(message)
            return None if answer is None else self._channel.seal(answer)
        if payload[0] == messages.HELLO:
            salt = hello.read_hello(payload)[1]
            return hello.hello_ok(SERIAL, 1, 1, status.PROVISIONED, salt, NONCE)
        nonces = NONCE + hello.read_proof(payload)[0]
        self._channel = Channel(KEY, handshake.BAND, SERIAL, nonces)
        state = records.ISSUED, 1, 1, 0, 50, 0, 0, 3900, 64, 0, 0
        body = hello.welcome("virtual", (0, 1, 0), *state)
        return body + handshake.proof(KEY, handshake.BAND, SERIAL, nonces + body)

    def receive(self, timeout_s: float) -> bytes | None:
        return self._answers.popleft() if self._answers else None


def key_of(band: Hello) -> bytes:
    return KEY


def met(answer: Answer, utc: Callable[[], float] = time.time) -> tuple[BandSession, Line]:
    """A session that both ends have proved."""
    line = Line(answer)
    session = BandSession(cast(Link, line), key_of, utc)
    session.greet()
    line.frames.clear()
    return session, line


WORK: dict[str, Callable[[BandSession], object]] = {
    "order": lambda session: session.order(b"\x03" * 76),
    "receipt": lambda session: session.receipt(3, 0, 3, b"\x03" * 32),
    "state": lambda session: session.set_state(3, 3),
    "cue": lambda session: session.cue(3),
    "clock": lambda session: session.set_clock(3),
    "pull": lambda session: session.pull(3, 3, lambda cursor, slots: None),
}


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize("said_before", [0, 90, 300])
def test_what_is_said_into_a_silence_interrupts_no_band(work: str, said_before: int) -> None:
    # An unlocked band whose session is over takes 0x03 for Ctrl-C.
    for _ in range(10):
        session, line = met(lambda message: NOW)
        for _n in range(said_before // 3):
            session.clock()
        line.frames.clear()
        line.answer = lambda message: None
        with pytest.raises(LinkLost):
            WORK[work](session)
        # The first was said before anybody could know; the rest only look for the session.
        assert len(line.frames) > 1
        assert not any(b"\x03" in frame for frame in line.frames[1:])
        assert set(line.asked[said_before + 1 :]) == {messages.CLOCK_GET}


@pytest.mark.parametrize("said_before", [0, 90, 300, 771])
def test_no_goodbye_interrupts_a_band(said_before: int) -> None:
    for _ in range(10):
        session, line = met(lambda message: NOW)
        for _n in range(said_before // 3):
            session.clock()
        line.frames.clear()
        line.answer = lambda message: None
        with pytest.raises(LinkLost):
            session.bye()
        assert len(line.frames) > 1
        assert not any(b"\x03" in frame for frame in line.frames)


def test_a_message_comes_again_only_when_the_band_still_holds_the_session() -> None:
    lost = [1]

    def answer(message: bytes) -> bytes | None:
        if message[0] == messages.CLOCK_GET:
            return NOW
        if lost:
            lost.clear()
            return None
        return OK

    session, line = met(answer)
    session.cue(1)
    assert line.asked == [messages.CUE, messages.CLOCK_GET, messages.CUE]
    session.cue(1)  # nothing was lost: nothing more is said
    assert line.asked[3:] == [messages.CUE]


def test_after_a_long_pause_the_session_is_looked_for_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session, line = met(lambda message: NOW if message[0] == messages.CLOCK_GET else OK)
    session.cue(1)
    later = time.monotonic() + 8
    monkeypatch.setattr(time, "monotonic", lambda: later)
    session.cue(1)
    session.cue(1)
    assert line.asked == [messages.CUE, messages.CLOCK_GET, messages.CUE, messages.CUE]


# --- the clock -----------------------------------------------------------------------------------


class LateClock:
    """A band's clock behind a line that holds each setting back, or loses it; `utc` is the
    station's."""

    def __init__(self, held_s: list[float], lost: int = 0) -> None:
        self.now_s = 1_795_000_000.0
        self.off_s = 1e6
        self.bounds_ms: list[int] = []
        self._held_s = held_s
        self._lost = lost

    def utc(self) -> float:
        return self.now_s

    def answer(self, message: bytes) -> bytes | None:
        if message[0] == messages.CLOCK_GET:
            ms = round((self.now_s + self.off_s) * 1000)
            return messages.clock_now(1, 2, 3, ms // 1000, ms % 1000, 0)
        utc_s, utc_ms, error_ms = messages.read_clock_set(message)
        if self._lost:
            self._lost -= 1
            self.now_s += 2.0
            return None
        self.now_s += self._held_s.pop(0)
        self.bounds_ms.append(error_ms)
        self.off_s = utc_s + utc_ms / 1000 - self.now_s
        return OK


def test_a_setting_that_comes_again_says_the_time_of_its_own_try() -> None:
    band = LateClock([0.0], lost=3)
    session, _ = met(band.answer, band.utc)
    session.set_clock(60)
    assert abs(band.off_s) < 0.001 and band.bounds_ms == [60]


def test_a_setting_that_the_line_held_back_is_made_again() -> None:
    band = LateClock([1.0, 0.02])
    session, _ = met(band.answer, band.utc)
    session.set_clock(60)
    assert abs(band.off_s) < 0.06 and band.bounds_ms == [60, 60]


def test_a_line_that_holds_every_setting_back_is_told_to_the_log() -> None:
    band = LateClock([1.0, 0.5, 0.7])
    session, _ = met(band.answer, band.utc)
    session.set_clock(60)
    assert len(band.bounds_ms) == 3 and band.bounds_ms[-1] >= 500
