"""Uploads that wait are worked in together: what each is told, and what is kept, is as if it had
come alone."""

import errno
import os
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sealedserver import KEYS
from sqlalchemy import event, func, select
from sqlalchemy.exc import OperationalError

from bandbook import DAY, NOON, A, B, C, key
from kept import rows, server_of
from office import D, Office
from sealedbook import SealedBook
from zoneband import batch as batches
from zoneband.server import gone, ledger
from zoneband.server.enrolment import Enrolment
from zoneband.server.gone import Cutter
from zoneband.server.sectors import Sectors
from zoneband.server.tracing_server import TracingServer
from zoneband.server.uploads import Answer

ALL = (A, B, C, D)


def made(place: Path, *bands: str) -> TracingServer:
    server = TracingServer(place, utc=lambda: NOON + 86_400)
    for serial in bands:
        keys = key(serial), bytes(32), key(serial + "r")
        server.enrol(Enrolment(serial, "virtual", "band", DAY, *keys))
    server.unlock(KEYS)
    return server


def met(serial: str) -> SealedBook:
    """A band's log: it met all others."""
    book = SealedBook(serial)
    for n, other in enumerate(other for other in ALL if other != serial):
        book.met(other, NOON + 3600 * n, 15, -66)
    return book


def at_once(server: TracingServer, sent: list[tuple[str, bytes]]) -> list[Answer | BaseException]:
    """What stations are told that all wait for their turn, in this order."""
    uploads = server._uploads
    with ThreadPoolExecutor(max(1, len(sent))) as pool:
        told: list[Future[Answer]] = []
        with server._lock:
            for station, data in sent:
                there = len(uploads._queue)
                told.append(pool.submit(server.take, station, batches.name(data), data))
                while len(uploads._queue) == there:
                    time.sleep(0.001)
        return [each.exception() or each.result() for each in told]


def kept(server: TracingServer, place: Path) -> Any:
    """All that a server knows of bands' logs, but for what only counts rows; and its encounters."""
    tables = (
        ledger.batches,
        ledger.slots,
        ledger.pieces,
        ledger.clock_spans,
        ledger.marks,
        ledger.orders,
        ledger.resends,
        ledger.losses,
    )
    with server.engine.connect() as db:
        found = {
            table.name: sorted(
                tuple(value for name, value in row.items() if name != "id")
                for row in db.execute(select(table)).mappings()
            )
            for table in tables
        }
    return found, rows(place)


def segments(server: TracingServer) -> int:
    with server.engine.connect() as db:
        return db.execute(select(func.count()).select_from(ledger.segments)).scalar_one()


def test_all_that_wait_are_one_commit_and_one_segment(tmp_path: Path) -> None:
    server = made(tmp_path / "server", *ALL)
    books = [met(serial) for serial in ALL]
    commits: list[Any] = []
    event.listen(server.engine, "commit", commits.append)
    told = at_once(server, [("st", book.batch()) for book in books])
    assert len(commits) == 1
    for book, answer in zip(books, told, strict=True):
        assert isinstance(answer, Answer) and answer.new
        assert answer.receipt and answer.receipt["serial"] == book.serial
        assert answer.count == 9 and answer.receipt["upto"] == book.head
    assert segments(server) == 1
    # And each is traced as if it had come alone.
    found = server.trace(A, NOON - 3600, NOON + 86_400)["contacts"]
    assert {each["serial"] for each in found} == {B, C, D}


@settings(max_examples=25)
@given(st.data())
def test_together_is_as_one_after_the_other(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    place = tmp_path_factory.mktemp("uploads")
    enrolled = data.draw(st.sets(st.sampled_from(ALL)))
    servers = [made(place / name, *enrolled) for name in ("alone", "together")]
    for serial in data.draw(st.sets(st.sampled_from(sorted(enrolled)))) if enrolled else ():
        for server in servers:
            server.orders.make(serial, "unlock")
    books = {serial: met(serial) for serial in ALL}
    sent: list[tuple[str, bytes]] = []
    for serial in data.draw(st.lists(st.sampled_from(ALL), max_size=6)):
        end = data.draw(st.integers(1, books[serial].head))
        first = data.draw(st.integers(0, end - 1))
        whole = books[serial].batch(first, end)
        sent.append((data.draw(st.sampled_from(["st", "other"])), whole))
    alone = [servers[0].take(station, batches.name(each), each) for station, each in sent]
    assert at_once(servers[1], sent) == alone
    assert kept(servers[1], place / "together") == kept(servers[0], place / "alone")


def test_one_that_fails_is_no_others_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = made(tmp_path / "server", *ALL)
    books = [met(serial) for serial in ALL]
    take = Sectors.take

    def fails(self: Sectors, db: Any, name: str, *more: Any, **named: Any) -> Any:
        if name == batches.name(books[1].batch()):
            raise OSError(28, "No space left on device")
        return take(self, db, name, *more, **named)

    monkeypatch.setattr(Sectors, "take", fails)
    told = at_once(server, [("st", book.batch()) for book in books])
    assert [type(each) for each in told] == [Answer, OSError, Answer, Answer]
    assert server.band_state(B)["logs"] == []
    # Nor is its file left, which no day and no erasure would remove.
    kept_files = {path.name for path in (tmp_path / "server" / "batches").iterdir()}
    assert kept_files == {batches.name(books[n].batch()) for n in (0, 2, 3)}
    for serial in (A, C, D):
        [state] = server.band_state(serial)["logs"]
        assert state["end"] == books[ALL.index(serial)].head and not state["bad_slots"]
    # What failed comes again.
    monkeypatch.undo()
    data = books[1].batch()
    again = server.take("st", batches.name(data), data)
    assert again.new and again.receipt and again.receipt["upto"] == books[1].head


def test_what_fails_once_they_are_kept_is_told_to_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = made(tmp_path / "server", *ALL)
    ran: list[bool] = []

    def fails(_self: Any) -> int:
        ran.append(True)
        raise ValueError("what an older batch holds")

    monkeypatch.setattr(Cutter, "run", fails)
    told = at_once(server, [("st", met(serial).batch()) for serial in ALL])
    assert all(isinstance(each, Answer) and each.new and each.receipt for each in told)
    assert len(ran) == 1  # nor is it all worked in once more


def test_a_batch_that_cannot_be_cut_now_is_cut_later_and_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = made(tmp_path / "server", *ALL)
    data = met(A).batch()
    server.take("st", batches.name(data), data)
    path = tmp_path / "server" / "batches" / batches.name(data)
    read = Path.read_bytes

    def bad_block(self: Path) -> bytes:
        if self == path:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(self)

    monkeypatch.setattr(Path, "read_bytes", bad_block)
    with server.engine.begin() as db:
        gone.mark(db, gone.Log(A, unpacked(data).log_id), {0: (1 << 128) - 1})
    other = met(B).batch()
    assert server.take("st", batches.name(other), other).receipt
    with pytest.raises(OSError, match="Input/output"):
        server.erasing.erase(A)  # is not called done
    started = TracingServer(tmp_path / "started", utc=lambda: NOON + 86_400)
    assert started.bands() == []
    monkeypatch.undo()
    assert len(path.read_bytes()) == len(data)
    server.erasing.catch_up()
    assert len(path.read_bytes()) < len(data)


def test_batches_of_one_band_keep_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = made(tmp_path / "server", *ALL)
    turns: list[list[str]] = []
    together = server._uploads._together

    def noted(uploads: Any) -> None:
        turns.append([upload.batch.header.serial for upload in uploads])
        together(uploads)

    monkeypatch.setattr(server._uploads, "_together", noted)
    large = [with_slots(serial, 8000) for serial in (B, C, A)]
    at_once(server, [("st", data) for data in (*large, with_slots(A, 1), with_slots(D, 1))])
    assert turns == [[B, C, D], [A], [A]]


def with_slots(serial: str, count: int) -> bytes:
    """A batch of so many slots, which nobody wrote."""
    header = unpacked(SealedBook(serial).batch(0, 0, chunks=[]))
    return batches.pack(header, [(0, bytes([count % 256]) * 32 * count)])


def unpacked(data: bytes) -> batches.BatchHeader:
    return batches.unpack(data).header


def test_a_ledger_that_does_not_answer_is_asked_once_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = made(tmp_path / "server", *ALL)
    asked: list[str] = []

    def gone(self: Sectors, db: Any, name: str, *more: Any, **named: Any) -> Any:
        asked.append(name)
        raise OperationalError("SELECT", {}, Exception("gone"))

    monkeypatch.setattr(Sectors, "take", gone)
    told = at_once(server, [("st", met(serial).batch()) for serial in ALL])
    assert [type(each) for each in told] == [OperationalError] * 4 and len(asked) == 1


def test_encounters_of_the_erased_count_for_the_batch_that_brought_them(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.issue(A, NOON - 3600, 41, "Hoa")
    for n, serial in enumerate((B, C)):
        office.book(serial).met(A, NOON, 15 + 15 * n, -66)
        office.book(serial).met(D, NOON + 7200, 10, -66)
    office.dock(A)
    server = server_of(office)
    server.erasing.erase(A)
    told = at_once(server, [("st", office.book(serial).batch()) for serial in (B, C, D)])
    assert all(isinstance(each, Answer) for each in told)
    assert [each.refused for each in told if isinstance(each, Answer)] == [3, 6, 0]
    assert {contact for _observer, contact, _start in rows(office.path / "server")} == {4}


def test_nobody_waits_for_good_when_a_turn_is_broken_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = made(tmp_path / "server", *ALL)
    monkeypatch.setattr(server._uploads, "_together", lambda _uploads: _exit())
    data = met(A).batch()
    done = threading.Event()

    def send() -> None:
        try:
            server.take("st", batches.name(data), data)
        except SystemExit:
            done.set()

    thread = threading.Thread(target=send)
    thread.start()
    thread.join(30)
    assert done.is_set() and not server._uploads._queue


def _exit() -> None:
    raise SystemExit
