"""Files and rows that have lost each other: said clearly, and nothing lost."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select
from test_server import Bench

from bandbook import DAY, NOON, A, B, BandBook, key
from zoneband import batch as batches
from zoneband import doctor
from zoneband.server import ledger, wholeness
from zoneband.server.enrolment import Enrolment
from zoneband.server.tracing_server import TracingServer

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def bench(place: Path, tmp_path: Path) -> Bench:
    """A server with both bands and three batches of one."""
    made = Bench(place)
    for serial in (A, B):
        assert made.enrol(serial) == 201
    book = BandBook(A, tmp_path)
    for n in range(3):
        first = book.log.head if n else 0
        book.met(B, NOON + n * 3600, 25, -66)
        assert made.put(book.batch(first)).status_code == 201
    return made


def started(place: Path) -> tuple[TracingServer, list[str]]:
    """A server that starts again, and what it says."""
    server = TracingServer(place, utc=lambda: NOON + 86_400)
    return server, list(wholeness.settle(server, place))


def met(server: TracingServer) -> list[Any]:
    found = server.trace(A, NOON - 86_400, NOON + 86_400)
    return [contact["records"] for contact in found["contacts"]]


def segments(place: Path) -> list[Path]:
    return sorted((place / "encounters").glob("day=*/*"))


def test_a_whole_server_says_nothing(bench: Bench, place: Path) -> None:
    server, said = started(place)
    assert said == [] and met(server) == [15]
    assert [f.level for f in doctor._ledger(place.parent)] == ["ok"]


def test_a_segment_without_its_row_is_told_and_removed_and_nothing_is_lost(
    bench: Bench, place: Path
) -> None:
    orphan = segments(place)[0].with_name("b-" + "0" * 64 + ".parquet")
    shutil.copy(segments(place)[0], orphan)
    server, said = started(place)
    assert len(said) == 1 and said[0].startswith("1 segments are in") and "removed" in said[0]
    assert met(server) == [15]
    for _sweep in range(2):
        server._swept = -1e9
        server._sweep()
    assert not orphan.exists() and met(server) == [15]


def test_a_row_without_its_segment_is_told_and_no_other_file_is_removed(
    bench: Bench, place: Path, tmp_path: Path
) -> None:
    [gone, kept, *_more] = segments(place)
    orphan = kept.with_name("b-" + "0" * 64 + ".parquet")
    shutil.copy(kept, orphan)
    gone.rename(tmp_path / "away")
    server, said = started(place)
    assert len(said) == 1 and "1 segments are in the ledger" in said[0] and "backup" in said[0]
    assert gone.parent.name[4:] in said[0]
    [finding] = doctor._ledger(place.parent)
    assert finding.level == "fault" and "1 segments" in finding.text and "backup" in finding.fix
    for _sweep in range(3):
        server._swept = -1e9
        server._sweep()
    assert orphan.exists()
    notes = server.trace(A, NOON - 86_400, NOON + 86_400)["notes"]
    assert any(note["code"] == "segment_missing" for note in notes)
    (tmp_path / "away").rename(gone)
    assert met(server) == [15]


def test_batches_that_an_older_ledger_does_not_name_are_taken_in_once(
    bench: Bench, place: Path
) -> None:
    # As after a ledger of before was put back: files are there, rows are not.
    server = TracingServer(place, utc=lambda: NOON + 86_400)
    with server.engine.begin() as db:
        for table in (
            ledger.batches, ledger.pieces, ledger.slots, ledger.segments, ledger.clock_spans,
            ledger.marks,
        ):  # fmt: skip
            db.execute(delete(table))
    (place / "batches" / ("0" * 64)).write_bytes(b"no batch")
    (place / "batches" / "torn.new").write_bytes(b"half")
    server, said = started(place)
    assert any("4 batches are in" in line and "taken in" in line for line in said)
    assert any("0" * 64 in line and "no batch" in line for line in said)
    assert met(server) == [15]
    assert not (place / "batches" / "torn.new").exists()
    server, said = started(place)
    assert [line for line in said if "1 batches" in line] and met(server) == [15]
    with server.engine.connect() as db:
        assert set(db.execute(select(ledger.batches.c.station)).scalars()) == {"st"}


def test_a_batch_without_its_bytes_is_told(bench: Bench, place: Path) -> None:
    raw = next(path for path in (place / "batches").iterdir() if path.suffix != ".new")
    assert batches.name(raw.read_bytes()) == raw.name
    raw.unlink()
    server, said = started(place)
    assert len(said) == 1 and "1 batches are in the ledger" in said[0] and "backup" in said[0]
    assert met(server) == [15]


def test_what_was_heard_while_the_servers_clock_was_wrong_is_found_when_it_is_right(
    place: Path, tmp_path: Path
) -> None:
    now = [NOON + 86_400.0]
    server = TracingServer(place, utc=lambda: now[0])
    for serial in (A, B):
        server.enrol(
            Enrolment(serial, "virtual", "band", DAY, key(serial), bytes(32), key(serial + "r"))
        )
    book = BandBook(A, tmp_path)
    book.met(B, NOON, 25, -66)
    data = book.batch()
    now[0] += 400 * 86_400
    server.take("st", batches.name(data), data)
    assert met(server) == []
    now[0] -= 400 * 86_400
    assert met(server) == [5]
