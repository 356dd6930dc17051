"""A device that is no band of ours does not get to say anything, whatever it claims to be."""

import os
import threading
import tty
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from zoneband.dock.job import DockJob, Outcome
from zoneband.spool import Spool
from zoneband.wire import frames, handshake, hello, messages, records, status

SERIAL = "ZB-7F3K-92QD"
KEY = bytes(range(32))
NONCE = bytes(16)


@contextmanager
def device(key: bytes, claims: bytes, noise: bytes = b"", generation: int = 1) -> Generator[str]:
    """The port of something that knows every message of a band and proves itself with `key`;
    claims: added to what it says of itself after the proof was made; noise: a payload that it says
    before each answer."""
    gone = threading.Event()
    ours, theirs = os.openpty()
    for end in (ours, theirs):
        tty.setraw(end)

    def answer() -> None:
        decoder = frames.Decoder()
        while True:
            try:
                data = os.read(ours, 4096)
            except OSError:
                return
            for payload in decoder.feed(data):
                if noise:
                    os.write(ours, frames.encode(noise))
                if payload[0] == messages.HELLO:
                    salt = hello.read_hello(payload)[1]
                    said = hello.hello_ok(SERIAL, 1, generation, status.PROVISIONED, salt, NONCE)
                    os.write(ours, frames.encode(said))
                elif payload[0] == messages.PROOF:
                    nonces = NONCE + hello.read_proof(payload)[0]
                    state = records.ISSUED, 1, 1, 0, 50, 0, 0, 3900, 64, 0, 0
                    body = hello.welcome("virtual", (0, 1, 0), *state)
                    mac = handshake.proof(key, handshake.BAND, SERIAL, nonces + body)
                    if claims:
                        body = body[: -len(claims)] + claims
                    os.write(ours, frames.encode(body + mac))
                else:
                    gone.set()
                    os.close(ours)
                    return

    threading.Thread(target=answer, daemon=True).start()
    try:
        yield os.ttyname(theirs)
    finally:
        os.close(theirs)
        if not gone.is_set():
            os.close(ours)


@pytest.mark.parametrize(
    ("key", "claims", "outcome"),
    ids=["another key", "altered words", "a band"],
    argvalues=[
        (bytes(32), b"", Outcome.REFUSED),
        (KEY, b"\x01", Outcome.REFUSED),
        (KEY, b"", Outcome.BROKEN_OFF),  # proved, and at the first question it is gone
    ],
)
def test_a_device_that_cannot_prove_itself_is_no_band(
    tmp_path: Path, key: bytes, claims: bytes, outcome: Outcome
) -> None:
    spool = Spool(tmp_path)
    with device(key, claims) as port:
        result = DockJob(port, spool, "chợ", True, lambda band: KEY).run()
    assert result.outcome == outcome.value, result
    if outcome is Outcome.REFUSED:
        assert "only claims to be a band" in result.message
        assert result.serial is None
    assert spool.waiting() == []
    spool.close()


@pytest.mark.parametrize("size", [1, 5, 7, 18])
def test_only_a_whole_refusal_is_one_whoever_says_it(tmp_path: Path, size: int) -> None:
    # As a band that still holds another station's session says it: sealed, 18 bytes.
    noise = bytes((messages.REFUSED,)) + bytes(size - 1)
    spool = Spool(tmp_path)
    with device(KEY, b"", noise) as port:
        result = DockJob(port, spool, "chợ", True, lambda band: KEY).run()
    # It came as far as a band does that says nothing else.
    assert result.outcome == Outcome.BROKEN_OFF.value, result
    spool.close()


def test_what_nobody_thought_of_ends_a_dock_in_one_line(tmp_path: Path) -> None:
    def key_of(band: object) -> bytes:
        raise RuntimeError("no such thing")

    spool = Spool(tmp_path)
    with device(KEY, b"") as port:
        result = DockJob(port, spool, "chợ", True, key_of).run()
    assert result.outcome == Outcome.FAILED.value
    assert "RuntimeError no such thing" in result.message and "\n" not in result.message
    spool.close()


def test_a_newer_key_of_its_own_group_is_told_from_another_group(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    told: list[str] = []
    for newest in (0, 1):
        with device(KEY, b"", generation=2) as port:
            known = {1: newest}
            job = DockJob(port, spool, "chợ", True, lambda _: None, newest_key=known.__getitem__)
            result = job.run()
        assert (result.outcome, result.serial) == (Outcome.NO_KEY.value, SERIAL)
        told.append(result.message)
    assert "belongs to another group" in told[0]
    assert "connect this station to the network" in told[1]
    spool.close()
