"""Slots that are opened before it is their batch's turn: nothing but time depends on it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sealedserver import KEYS, held_against

import zoneband
from bandbook import DAY, A, B, key
from sealedbook import LOG_ID, SealedBook
from stationed import known
from zoneband import authority
from zoneband import batch as batches
from zoneband.server.ahead import Ahead
from zoneband.server.brought import split
from zoneband.server.enrolment import Enrolment
from zoneband.server.opener import Known, Opener
from zoneband.server.parse import judge
from zoneband.server.process import running
from zoneband.server.tracing_server import TracingServer
from zoneband.signing import Signature

RECEIPT_KEY = key(A + "r")


class Here(Ahead):
    """Opens in this process, and keeps what it opened."""

    def __init__(self) -> None:
        super().__init__(1)
        self.found: Known = {}

    def opened(self, chunks: Any, keys: Any, serial: str, receipt_key: bytes) -> Known:
        from zoneband.server import ahead

        raw = tuple((number, each.private_bytes_raw()) for number, each in keys.items())
        self.found = ahead._open(chunks, raw, serial, receipt_key)
        return self.found


@pytest.fixture
def ahead() -> Generator[Ahead]:
    """One process."""
    made = Ahead(1)
    yield made
    made.close()


def book() -> SealedBook:
    """Three full sectors and a piece of a fourth, the second with two boots."""
    made = SealedBook(A)
    made.fill(124 + 50, B)
    made.lose_power()
    made.fill(124 + 100, B)
    return made


BOOK = book()
CHUNKS = BOOK.pull()
KNOWN = Here().opened(CHUNKS, KEYS, A, RECEIPT_KEY)


def verdict(sector: int, chunks: list[tuple[int, bytes]], known: Known) -> Any:
    """All that is found out of a sector."""
    opener = Opener(KEYS, A, RECEIPT_KEY, known)
    return astuple(judge(LOG_ID, sector, [split(chunks)[sector]], opener, last=True))


def test_every_whole_piece_of_a_sector_is_opened(ahead: Ahead) -> None:
    found = ahead.opened(CHUNKS, KEYS, A, RECEIPT_KEY)
    assert found == KNOWN
    # In the second sector up to the loss of power; the slot at each group is opened by itself.
    assert [len(run.records) // 24 for run in found.values()] == [123, 49, 123, 28]


@given(
    st.integers(0, 2),
    st.lists(st.tuples(st.integers(0, 127), st.integers(0, 31), st.integers(1, 255)), max_size=3),
)
def test_altered_slots_are_judged_as_if_nothing_were_known(
    sector: int, changes: list[tuple[int, int, int]]
) -> None:
    slots = [bytearray(slot) for slot in BOOK.slots[128 * sector : 128 * sector + 128]]
    for at, byte, mask in changes:
        slots[at][byte] ^= mask
    altered = [(128 * sector, b"".join(slots))]
    assert verdict(sector, altered, KNOWN) == verdict(sector, altered, {})


def test_slots_that_stand_elsewhere_are_not_taken_for_the_known_ones() -> None:
    slots = BOOK.slots[:128]
    for at, good in ((5, 123), (4, 0), (6, 0)):
        chain = Opener(KEYS, A, RECEIPT_KEY, KNOWN).chain(slots[0], b"".join(slots[1:4]))
        assert chain is not None
        chain.step(1)
        assert len(chain.run(at, slots[5:])) == good


def test_of_another_band_nothing_is_opened(ahead: Ahead) -> None:
    assert ahead.opened(CHUNKS, KEYS, B, key(B + "r")) == {}
    assert ahead.opened(CHUNKS, KEYS, A, key(B + "r")) == {}
    assert ahead.opened(CHUNKS, {}, A, RECEIPT_KEY) == {}


def enrolled(folder: Path, ahead: Ahead | None) -> TracingServer:
    """A server that can open the logs of a band."""
    server = TracingServer(folder, ahead=ahead)
    server.enrol(Enrolment(A, "virtual", "band", DAY, key(A), bytes(32), RECEIPT_KEY))
    server.unlock(KEYS)
    return server


def test_a_batch_is_taken_as_it_would_be_otherwise(tmp_path: Path) -> None:
    data = BOOK.batch()
    here = Here()
    first, second = enrolled(tmp_path / "a", here), enrolled(tmp_path / "b", None)
    one, other = (each.take("st", batches.name(data), data) for each in (first, second))
    assert one == other and here.found == KNOWN
    assert held_against(BOOK, one.receipt) == BOOK.head
    # One that comes again costs nothing.
    here.found = {}
    first.take("st", batches.name(data), data)
    assert here.found == {}


def test_a_server_whose_process_was_killed_opens_the_logs_itself(
    tmp_path: Path, ahead: Ahead, caplog: pytest.LogCaptureFixture
) -> None:
    server = enrolled(tmp_path, ahead)
    assert ahead.opened(CHUNKS, KEYS, A, RECEIPT_KEY)
    for process in list(ahead._running()._processes.values()):
        process.kill()
        process.join()
    for n in range(2):
        data = BOOK.batch(utc_ms=n)
        took = server.take("st", batches.name(data), data)
        assert held_against(BOOK, took.receipt) == BOOK.head
    assert "Logs are opened in the server's own process now" in caplog.text


def test_whoever_waits_when_the_processes_end_is_not_kept_waiting(
    ahead: Ahead, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One call is not answered in time and ends them; the others are let go with it.
    assert ahead.opened(CHUNKS, KEYS, A, RECEIPT_KEY)
    with ThreadPoolExecutor(8) as pool:
        running = ahead._running()
        (process,) = running._processes.values()
        assert process.pid
        os.kill(process.pid, signal.SIGSTOP)
        waiting = [pool.submit(ahead.opened, CHUNKS, KEYS, A, RECEIPT_KEY) for _ in range(7)]
        time.sleep(0.2)
        monkeypatch.setattr("zoneband.server.ahead._LONGEST_S", 0.2)
        assert ahead.opened(CHUNKS, KEYS, A, RECEIPT_KEY) == {}
        time.sleep(0.2)
        os.kill(process.pid, signal.SIGCONT)
        assert all(each.result(30) in ({}, KNOWN) for each in waiting)
    assert ahead.opened(CHUNKS, KEYS, A, RECEIPT_KEY) == {}


PIECES = st.lists(
    st.tuples(
        st.integers(0, 400),
        st.integers(0, BOOK.head - 1).flatmap(
            lambda at: st.integers(1, 140).map(lambda count: b"".join(BOOK.slots[at : at + count]))
        )
        | st.binary(min_size=32, max_size=320).map(lambda raw: raw[: len(raw) // 32 * 32]),
    ),
    max_size=6,
)


@given(PIECES)
def test_whatever_a_batch_holds_is_opened_or_left_alone(chunks: list[tuple[int, bytes]]) -> None:
    found = Here().opened(chunks, KEYS, A, RECEIPT_KEY)
    assert all(len(run.slots) // 32 == len(run.records) // 24 for run in found.values())


_SERVER = """
import os, time
from pathlib import Path
from zoneband.server.ahead import Ahead
ahead = Ahead(1)
running = ahead._running()
print(running.submit(os.getpid).result(60), flush=True)
time.sleep(600)
"""


def ends(process: int) -> bool:
    """Whether a process is gone soon."""
    until = time.monotonic() + 30
    while Path(f"/proc/{process}").exists() and time.monotonic() < until:
        time.sleep(0.05)
    return not Path(f"/proc/{process}").exists()


def test_a_server_that_is_killed_leaves_no_process_behind() -> None:
    host = str(Path(zoneband.__file__).parents[1])
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": host},
    )
    assert server.stdout is not None
    process = int(server.stdout.readline())
    os.kill(process, 0)
    server.send_signal(signal.SIGKILL)
    server.wait()
    assert ends(process)


def children(process: int) -> list[int]:
    """Processes that a process has started."""
    told = [each.read_text() for each in Path(f"/proc/{process}/task").glob("*/children")]
    return [int(number) for number in " ".join(told).split()]


def command(process: int) -> list[bytes]:
    """The words that a process was started with."""
    return Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")


def test_a_server_that_ends_takes_its_processes_along_and_says_nothing(tmp_path: Path) -> None:
    server = enrolled(tmp_path / "server", None)
    signs = Signature(known(server, "st"))
    passphrase = "correct horse battery staple"
    number, private = next(iter(KEYS.items()))
    folder = authority.directory(tmp_path)
    authority._lock(folder, number, "", private.private_bytes_raw(), passphrase)
    public = private.public_key().public_bytes_raw()
    authority.trust(tmp_path, authority.PublicKey(number, public))
    data = BOOK.batch()
    with running(tmp_path, passphrase) as url:
        (serving,) = (each for each in children(os.getpid()) if b"serve" in command(each))
        with httpx2.Client(base_url=url, auth=signs, timeout=60) as http:
            path = f"/v1/stations/st/batches/{batches.name(data)}"
            answer = http.put(path, content=data)
        assert answer.status_code == 201 and answer.json()["receipt"]["upto"] == BOOK.head
        started = children(serving)
        assert started or os.cpu_count() == 1
    assert all(map(ends, started))
    log = (tmp_path / "server.log").read_text()
    assert "leaked" not in log and "Traceback" not in log
