"""Docking does not wait for the network."""

import time
from pathlib import Path

import pytest
from test_upload import Scripted

from bandbook import NOON, A, B, BandBook
from stationed import settings
from zoneband import sender as senders
from zoneband import upload
from zoneband.sender import Sender
from zoneband.spool import Spool


def spool_with(tmp_path: Path, count: int) -> tuple[Spool, BandBook]:
    spool, book = Spool(tmp_path / "station"), BandBook(A, tmp_path)
    for _ in range(count):
        add(spool, book)
    return spool, book


def add(spool: Spool, book: BandBook) -> None:
    first = book.log.head
    book.met(B, NOON, 5, -66)
    spool.add(book.batch(first))


def test_a_nudge_returns_when_all_is_sent(tmp_path: Path) -> None:
    spool, book = spool_with(tmp_path, 3)
    server = Scripted([])
    sender = Sender(tmp_path, spool, settings(server.url))
    for _ in range(5):
        sender.nudge()
        assert spool.waiting() == []
        add(spool, book)
    assert len(server.came) == 7


def test_a_server_that_hangs_holds_a_dock_up_for_seconds_once_and_the_next_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "TIMEOUT_S", 1.0)
    monkeypatch.setattr(senders, "WAIT_S", 0.3)
    spool, _ = spool_with(tmp_path, 3)
    server = Scripted([], delay_s=5)
    sender = Sender(tmp_path, spool, settings(server.url))
    began = time.monotonic()
    sender.nudge()
    assert time.monotonic() - began < 0.8
    time.sleep(1.5)
    began = time.monotonic()
    for _ in range(20):
        sender.nudge()
    assert time.monotonic() - began < 0.2
    assert len(spool.waiting()) == 3 and sender.last.problem


def test_what_waits_is_sent_without_a_nudge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(senders, "REST_S", 0.2)
    spool, book = spool_with(tmp_path, 1)
    server = Scripted([(500, {}, b""), (503, {}, b"")])
    Sender(tmp_path, spool, settings(server.url))
    deadline = time.monotonic() + 10
    while spool.waiting() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert spool.waiting() == []
    add(spool, book)
    while spool.waiting() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert spool.waiting() == []


def test_a_server_that_takes_no_batch_now_still_gives_orders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        upload.Uploader, "fetch_orders", lambda _self, serial, _after: asked.append(serial)
    )
    spool, _ = spool_with(tmp_path, 1)
    server = Scripted([(507, {}, b"")] * 9)
    sender = Sender(tmp_path, spool, settings(server.url))
    sender.nudge()
    assert sender.last.problem
    sender.fetch_orders(A, 0)
    assert asked == [A]
    server.server.shutdown()
    server.server.server_close()
    monkeypatch.setattr(senders, "REST_S", 0.0)
    sender.nudge()
    monkeypatch.setattr(senders, "REST_S", 60.0)
    sender.fetch_orders(A, 0)
    assert asked == [A] and not sender.last.reached
