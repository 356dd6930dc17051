"""The spool: what is in it stays in it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bandbook import NOON, A, B, BandBook
from support import ROOT
from zoneband.errors import UserError
from zoneband.spool import Receipt, Spool


def batch(tmp_path: Path, minutes: int) -> bytes:
    book = BandBook(A, tmp_path)
    book.met(B, NOON, minutes, -66)
    return book.batch()


def test_the_same_batch_twice_is_one(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    data = batch(tmp_path, 25)
    assert spool.add(data) == spool.add(data)
    assert len(spool.waiting()) == 1
    assert spool.cursor(A, 77) == 9
    assert spool.cursor(A, 78) == spool.cursor(B, 77) == 0


def test_what_was_sent_stays_until_nobody_needs_it_and_is_not_sent_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    data = batch(tmp_path, 25)
    name = spool.add(data)
    spool.sent(name)
    assert spool.waiting() == []
    assert spool.cursor(A, 77) == 9
    spool.close()
    assert Spool(tmp_path / "s").data(name) == data


def test_receipts_wait_for_their_band_and_older_ones_go_with_the_newer(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    for upto in (5, 9):
        spool.add_receipt(Receipt(A, 77, 0, upto, bytes([upto] * 32)))
    assert [r.upto for r in spool.receipts(A, 77, 0)] == [9, 5]
    assert spool.receipts(A, 77, 4) == spool.receipts(A, 78, 0) == []
    spool.delivered(spool.receipts(A, 77, 0)[0])
    assert spool.receipts(A, 77, 0) == []


def test_a_full_disk_is_said_in_one_line_and_nothing_in_the_spool_is_hurt(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    kept = spool.add(batch(tmp_path, 25))
    pages = spool._db.execute("PRAGMA page_count").fetchone()[0]
    spool._db.execute(f"PRAGMA max_page_count={pages + 1}")  # SQLite's own "disk is full"
    (tmp_path / "big").mkdir()
    with pytest.raises(UserError, match="disk"):
        spool.add(batch(tmp_path / "big", 3000))
    assert spool.waiting() == [kept]
    spool._db.execute("PRAGMA max_page_count=1000000")
    (tmp_path / "later").mkdir()
    spool.add(batch(tmp_path / "later", 3000))
    assert len(spool.waiting()) == 2


def test_a_station_killed_at_any_moment_finds_what_it_was_told_is_kept(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path[:0] = sys.argv[1:3]; from pathlib import Path\n"
        "from bandbook import *; from zoneband.spool import Spool\n"
        "where = Path(sys.argv[3]); spool = Spool(where / 's'); book = BandBook(A, where)\n"
        "while True:\n"
        "    book.met(B, NOON, 5, -66)\n"
        "    print(spool.add(book.batch(book.log.head - 1)), flush=True)\n"
    )
    for n in range(3):
        where = tmp_path / str(n)
        where.mkdir()
        run = subprocess.Popen(
            [sys.executable, "-c", code, str(ROOT / "tests"), str(ROOT / "host"), str(where)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT / "firmware")},
        )
        assert run.stdout is not None
        told = [run.stdout.readline().strip() for _ in range(20 + 13 * n)]
        run.send_signal(signal.SIGKILL)
        run.wait()
        kept = Spool(where / "s").waiting()
        assert set(told) <= set(kept)


def test_a_spool_that_is_none_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "spool.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(UserError, match="cannot be opened"):
        Spool(tmp_path)
