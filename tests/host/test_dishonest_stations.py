"""What a dishonest station sends spoils nothing that an honest one brings."""

import os
import struct
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sealedserver import KEYS, Chunks, Server, held_against, in_chunks

from bandbook import NOON, A, B, C, key
from sealedbook import LOG_ID, NUMBER, SealedBook
from zoneband import batch as batches
from zoneband.server import ledger, parse
from zoneband.server.brought import Brought, split
from zoneband.server.opener import Opener
from zoneband.server.pieces import Pieces
from zoneband.wire import bluezone, log, records

ERASED = b"\xff" * 32


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path / "server", log_format=1)


def forged_group(book: SealedBook, at: int) -> bytes:
    """A whole key group, sealed to the authority under the sector's own header: all of it can be
    made without the band's key."""
    forged = SealedBook(book.serial, receipt_key=bytes(32))
    forged.boot_id = 99
    forged.slots = [b""] * at
    forged.group()
    return b"".join(forged.slots[at:])


def forged(book: SealedBook, *chunks: tuple[int, bytes], **changes: Any) -> bytes:
    """A batch of a dishonest station: these slots, under the sectors' own headers."""
    heads = {cursor // 128 * 128 for cursor, _ in chunks}
    first = min(cursor for cursor, _ in chunks)
    end = max(cursor + len(slots) // 32 for cursor, slots in chunks)
    made = [(at, book.slots[at]) for at in sorted(heads) if at < book.head]
    values = {"receipted": 0, "first": first, "end": end, "station": "evil"} | changes
    return book.batch(chunks=[*made, *chunks], **values)


def torn_book() -> tuple[SealedBook, int]:
    """A log with one torn slot, and where it is."""
    book = SealedBook(A)
    book.fill(20, B)
    torn = book.append(records.mark(records.DOCK, 1, 0, 0), torn=13)
    book.lose_power()
    book.fill(200, B)
    return book, torn


# --- time ---------------------------------------------------------------------------------------


def clocked(serial: str = A) -> SealedBook:
    """Slot 4 a start, 5 a clock mark, then 40 encounters, and one more clock mark."""
    book = SealedBook(serial)
    book.append(records.boot(0, 1, 0, 0x0100, 0))
    book.append(records.clock(3600, 0, 0, 0, NOON, 0, 5, 0))
    book.fill(40, B)
    book.append(records.clock(4100, 0, 0, 0, NOON + 500, 0, 5, 0))
    return book


def without_clock(book: SealedBook) -> bytes:
    """Genuine encounters without any clock point of their boot."""
    chunks = [(0, b"".join(book.slots[:4])), (6, b"".join(book.slots[6:46]))]
    return book.batch(chunks=chunks, first=0, end=46, receipted=0, boot_id=4)


def test_a_station_that_holds_back_clock_marks_hides_no_encounter(server: Server) -> None:
    book = clocked()
    assert server.put(without_clock(book), "evil")["records_new"] == 40
    assert B not in server.trace(A)
    answer = server.put(book.batch())
    assert answer["records_new"] == 3
    assert held_against(book, answer["receipt"]) == book.head
    found = server.trace(A)[B]
    assert found["records"] == 40 and found["clock"] == 2
    assert abs(found["first_s"] - NOON) <= 1


def test_what_no_clock_point_places_is_at_no_time(server: Server) -> None:
    server.put(without_clock(clocked()), "evil")
    answer = server.http.get(
        f"/v1/traces/{A}", params={"from": "1969-12-31", "to": "2030-01-01"}, headers=server.tracer
    )
    assert answer.json()["contacts"] == []


def test_the_order_in_which_pulls_come_moves_no_encounter(tmp_path: Path) -> None:
    # The clock's only mark is in the later part, and each header is of the boot after.
    book = SealedBook(A)
    book.fill(20, B)
    book.append(records.clock(3600, 0, 0, 0, NOON, 0, 5, 0))
    parts = [book.batch(0, 20, boot_id=6, run_s=9), book.batch(20, boot_id=6, run_s=9)]
    for n, order in enumerate((parts, parts[::-1])):
        server = Server(tmp_path / str(n))
        for data in order:
            server.put(data)
        assert server.trace(A)[B]["records"] == 20


def test_a_new_key_without_a_clock_point_gets_its_time_when_one_comes(server: Server) -> None:
    # From then on whoever sends IDs of the old key is not the band.
    new = bytes(range(32))
    server.order(B, "rekey")
    b = SealedBook(B)
    b.append(records.clock(3600, 0, 0, 0, NOON, 0, 0, 0))
    for half in range(2):
        part = new[16 * half : 16 * half + 16]
        b.append(records.new_key(NOON + 600 - b.boot_s, half, NOON // 86400, part))
    b.append(records.clock(3600 + 7200, 0, 0, 0, NOON + 7200, 0, 0, 0))
    hidden = [(0, b"".join(b.slots[:4])), (5, b"".join(b.slots[5:7]))]
    server.put(b.batch(chunks=hidden, first=0, end=7, boot_id=4), "evil")
    server.put(b.batch())
    a = SealedBook(A)
    a.met(B, NOON + 7200, 20)
    server.put(a.batch())
    assert server.trace(A)[B]["replay"]


def test_a_hand_out_without_a_clock_point_gets_its_time_when_one_comes(server: Server) -> None:
    b = SealedBook(B)
    b.append(records.clock(3600, 0, 0, 0, NOON, 0, 0, 0))
    b.append(records.mark(records.STATE, 3600, records.ISSUED, 7))
    hidden = [(0, b"".join(b.slots[:4])), (5, b.slots[5])]
    server.put(b.batch(chunks=hidden, first=0, end=6, boot_id=4), "evil")
    server.put(b.batch())
    a = SealedBook(A)
    a.met(B, NOON + 600, 20)
    server.put(a.batch())
    assert server.trace(A)[B]["holder"] == 1


# --- slots that no tag proves -----------------------------------------------------------------


def whole(book: SealedBook, at: int) -> bytes:
    return forged_group(book, at)


def foreign(_book: SealedBook, _at: int) -> bytes:
    return log.pack_group(log.group_head(9, 0), bytes(80))


def junk(_book: SealedBook, _at: int) -> bytes:
    return b"\x11" * 32


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("make", [whole, foreign, junk])
def test_nothing_put_in_a_torn_slots_place_holds_up_the_log_behind_it(
    server: Server, make: Any, first: bool
) -> None:
    book, torn = torn_book()
    new = 0
    for at in (torn - 2, torn - 1, torn, torn + 1, torn + 2, torn + 3):
        evil = forged(book, (at, make(book, at)), utc_ms=at)
        if first:
            server.put(evil, "evil")
        else:
            new += server.put(book.batch(utc_ms=at))["records_new"]
            server.put(evil, "evil")
            book.fill(1, B)
        answer = server.put(book.batch(utc_ms=at + 500))
        new += answer["records_new"]
        assert held_against(book, answer["receipt"]) == book.head, at
        assert held_against(book, server.receipt(book)) == book.head, at
        assert answer["resend"] is None
    assert new == len(book.records)
    assert server.wrong()["torn"] == 1


@pytest.mark.parametrize("first", [True, False])
def test_junk_over_skipped_slots_holds_nothing_up(server: Server, first: bool) -> None:
    book = SealedBook(A)
    book.fill(121, B)
    book.lose_power()
    book.fill(50, B)
    evil = forged(book, (125, os.urandom(96)))
    if first:
        server.put(evil, "evil")
    answer = server.put(book.batch())
    if not first:
        server.put(evil, "evil")
    assert answer["records_new"] == 171 and answer["resend"] is None
    assert held_against(book, server.receipt(book)) == book.head


def test_a_forged_group_of_the_next_sector_does_not_make_a_torn_slot_altered(
    server: Server,
) -> None:
    book = SealedBook(A)
    book.fill(123, B)
    assert book.append(records.mark(records.DOCK, 1, 0, 0), torn=9) == 127
    same = SealedBook(A, receipt_key=bytes(32))
    same.slots = [b""] * 129
    same.group()
    evil = book.batch(chunks=[(128, book.header(1)), (129, b"".join(same.slots[129:]))], end=132)
    server.put(evil, "evil")
    book.boot_id += 1
    book.fill(5, B)
    answer = server.put(book.batch())
    assert held_against(book, answer["receipt"]) == book.head
    assert server.wrong().get("torn") == 1 and answer["resend"] is None


def test_a_receipt_ends_where_the_asking_station_has_brought_no_more(server: Server) -> None:
    # Who says that slots behind the head were skipped, makes no receipt that the band refuses.
    book = SealedBook(A)
    book.fill(121, B)
    server.put(book.batch())
    server.put(forged(book, (125, ERASED * 3), (128, os.urandom(32))), "evil")
    assert held_against(book, server.receipt(book)) == 125
    book.fill(20, B)
    assert held_against(book, server.put(book.batch())["receipt"]) == book.head


def test_what_a_station_brought_first_does_not_count_against_what_it_brings_now(
    server: Server,
) -> None:
    book, torn = torn_book()
    server.put(forged(book, (torn, os.urandom(32))))
    assert held_against(book, server.put(book.batch())["receipt"]) == book.head
    server.put(forged(book, (torn, forged_group(book, torn))))
    assert held_against(book, server.put(book.batch(utc_ms=1))["receipt"]) == book.head


def test_genuine_records_that_pass_as_torn_are_asked_for_once_more_and_found(
    server: Server,
) -> None:
    # Eight groups of a station's own making, with a slot of noise behind each, as eight losses of
    # power in a row would look.
    book = SealedBook(A)
    book.fill(60, B)
    book.lose_power()
    behind = book.head - 3
    book.fill(40, B)
    slots = list(book.slots)
    at = first = behind - 33
    slots[at] = b"\x22" * 32
    for at in range(first + 1, behind - 3, 4):
        group = forged_group(book, at)
        slots[at : at + 4] = [group[:32], group[32:64], group[64:], os.urandom(32)]
    answer = server.put(book.batch(chunks=in_chunks(slots)))
    assert answer["records_new"] == 100 - 33 and server.wrong() == {"torn": 33}
    assert answer["resend"] == first
    # The receipt for it is none that the band takes.
    with pytest.raises(AssertionError):
        held_against(book, answer["receipt"])
    again = server.put(book.batch(answer["resend"], receipted=0))
    assert again["records_new"] == 33 and again["resend"] is None
    assert held_against(book, again["receipt"]) == book.head
    assert server.wrong() == {}


def test_losses_of_power_in_a_row_are_asked_for_once_more_and_no_oftener(server: Server) -> None:
    book = SealedBook(A)
    book.fill(9, C)
    torn = book.head
    for _ in range(3):
        book.append(records.boot(60, 3, 0, 0x0100, 1), torn=13)
        book.lose_power()
    asked = []
    for n in range(4):
        book.fill(5, C)
        asked.append(server.put(book.batch(utc_ms=n))["resend"])
    assert asked == [torn, None, None, None]
    assert held_against(book, server.receipt(book)) == book.head


SCRIPT = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 40)), min_size=1, max_size=12)
SPOIL = st.lists(
    st.tuples(
        st.integers(0, 400), st.sampled_from((whole, foreign, junk, "erase", "move", "genuine"))
    ),
    max_size=12,
)


def written(script: list[tuple[int, int]]) -> SealedBook:
    """Records, and what losses of power leave: a torn record, a torn group, a whole group with
    nothing behind it."""
    book = SealedBook(A)
    for count, cut in script:
        book.fill(count, B)
        if cut > 30 or book.head % 128 == 0:
            continue
        if cut:
            book.append(records.mark(records.DOCK, 1, 0, 0), torn=cut)
        in_group = cut % 3 == 1 and 0 < book.head % 128 < 120
        book.lose_power(3 * cut if in_group else None)
    book.fill(3, B)
    return book


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SCRIPT, st.lists(SPOIL, min_size=1, max_size=4), st.integers(0, 400), st.booleans())
def test_whatever_another_station_sends_the_whole_log_is_read_and_receipted(
    script: list[tuple[int, int]], attacks: list[Any], cut: int, late: bool
) -> None:
    book = written(script)
    cut %= book.head
    evil = [evil_batch(book, each, n) for n, each in enumerate(attacks) if each]
    honest = [book.batch(0, cut)] if cut else []
    honest.append(book.batch(cut, receipted=0))
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), log_format=1)
        turns = [(data, "evil") for data in evil]
        turns[len(turns) // 2 : len(turns) // 2] = [(data, "st") for data in honest]
        if late:
            turns = turns[::-1]
        new = sum(server.put(data, station)["records_new"] for data, station in turns)
        assert new == len(book.records)
        assert held_against(book, server.receipt(book)) == book.head


def evil_batch(book: SealedBook, attack: Any, number: int) -> bytes:
    chunks: Chunks = []
    for at, what in attack:
        at %= book.head
        if at % 128 > 124:
            at -= 3
        if what == "erase":
            chunks.append((at, ERASED * 3))
        elif what == "move":
            chunks.append((at, book.slots[(at + 5) % book.head]))
        elif what == "genuine":
            chunks.append((at, b"".join(book.slots[at : at + 3])))
        else:
            chunks.append((at, what(book, at)))
    return forged(book, *chunks, utc_ms=number)


# --- what it costs ----------------------------------------------------------------------------


def bomb(heads: int, groups: int) -> Chunks:
    """Whole headers that differ, and whole key groups under each other."""
    chunks: Chunks = []
    for n in range(heads):
        body = b"ZBLG" + struct.pack("<BBHIII8s", 1, NUMBER, 0, LOG_ID, 0, n, b"")
        chunks.append((0, body + struct.pack("<I", zlib.crc32(body))))
    for n in range(groups):
        group = log.pack_group(log.group_head(n, 0), os.urandom(80))
        chunks.append((1 + n % 120, group))
    return chunks


class CountingOpener(Opener):
    """Counts what it is asked to open."""

    def __init__(self) -> None:
        super().__init__(KEYS, A, key(A + "r"))
        self.groups = 0

    def chain(self, header: bytes, group: bytes) -> Any:
        self.groups += 1
        return super().chain(header, group)


def test_headers_and_groups_without_end_are_not_all_tried(server: Server) -> None:
    evil = split(bomb(240, 2000))[0]
    opener = CountingOpener()
    parse.judge(LOG_ID, 0, [evil], opener, last=True)
    assert opener.groups <= 128
    # Nor do they use up what is due to another station's log.
    book = SealedBook(A)
    book.fill(100, B)
    opener = CountingOpener()
    mine: Brought = split(book.pull())[0]
    found = parse.judge(LOG_ID, 0, [evil, mine], opener, last=True)
    assert len(found.records) == 100 and opener.groups <= 130
    server.put(book.batch(chunks=bomb(200, 600)), "evil")
    assert held_against(book, server.put(book.batch())["receipt"]) == book.head


def test_contents_of_a_slot_without_end_push_no_genuine_one_out(server: Server) -> None:
    book = SealedBook(A)
    book.fill(30, B)
    server.put(book.batch(end=20))
    for n in range(3):
        noise: Chunks = [(9, os.urandom(32 * 20)) for _ in range(60)]
        server.put(forged(book, *noise, utc_ms=n))
        server.put(forged(book, *noise, utc_ms=n + 10), "evil")
        assert max(map(len, split(noise)[0].slots)) == 4
        # What was proved stays so, and whoever asks gets its receipt.
        assert held_against(book, server.receipt(book, station="courier")) == 20
    answer = server.put(book.batch())
    assert held_against(book, answer["receipt"]) == book.head
    assert server.trace(A)[B]["records"] == 30


def test_many_small_batches_are_not_read_again_with_each_that_comes(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = SealedBook(A)
    book.fill(200, B)
    for n in range(40):
        # The whole span of a log, of which it brings two slots; and the same slot ever again.
        far = ((1 << 32) - 128 * (n + 2), bytes(32))
        server.put(forged(book, (5, b"\x07" * 32), far, end=(1 << 32) - 1, utc_ms=n), "evil")
    reads: list[str] = []
    real = Pieces.read

    def counted(self: Pieces, name: str) -> batches.Batch:
        reads.append(name)
        return real(self, name)

    monkeypatch.setattr(Pieces, "read", counted)
    assert held_against(book, server.put(book.batch())["receipt"]) == book.head
    assert len(set(reads)) <= 3


# --- what is told -------------------------------------------------------------------------------


def test_an_end_that_only_a_station_names_is_no_gap(server: Server) -> None:
    book = SealedBook(A)
    book.fill(20, B)
    server.put(book.batch())
    for end in (1000, (1 << 32) - 1):
        server.put(book.batch(chunks=[(5, book.slots[5])], first=0, end=end), "evil")
    assert server.wrong() == {} and server.state()["gaps"] == []
    assert server.state()["end"] == book.head


def test_a_batch_that_waits_for_a_key_hides_no_gap_that_it_does_not_bring(tmp_path: Path) -> None:
    from sealedbook import AUTHORITY
    from zoneband.server.enrolment import Enrolment
    from zoneband.server.tracing_server import TracingServer

    server = TracingServer(tmp_path, utc=lambda: NOON, numbers=[1, 2])
    server.enrol(Enrolment(A, "virtual", "band", NOON // 86400, key(A), bytes(32), key(A + "r")))
    server.unlock({NUMBER: AUTHORITY})
    book = SealedBook(A)
    book.fill(200, B)
    other = SealedBook(A, number=2)
    evil = book.batch(chunks=[(128, other.header(1))], first=0, end=1000, station="evil")
    parts = (evil, "evil"), (book.batch(0, 50), "st"), (book.batch(150, receipted=0), "st")
    for data, station in parts:
        server.take(station, batches.name(data), data)
    [state] = server.band_state(A)["logs"]
    assert state["waiting"] == 1
    assert state["gaps"] == [[50, 128], [132, 150]]


def test_a_dishonest_stations_resends_use_up_nobody_elses(server: Server) -> None:
    book = SealedBook(A)
    book.fill(40, B)
    asked = [
        server.put(book.batch(chunks=book.pull(0, 20), utc_ms=n), "evil")["resend"]
        for n in range(1, 5)
    ]
    assert asked == [20, 20, 20, None]
    cut = book.batch(chunks=book.pull(0, 20))
    assert server.put(cut)["resend"] == 20
    assert held_against(book, server.put(book.batch(20, receipted=0))["receipt"]) == book.head


# --- a locked server ------------------------------------------------------------------------------


def test_a_piece_without_its_header_waits_at_a_locked_server_and_spoils_no_receipt(
    tmp_path: Path,
) -> None:
    book = SealedBook(A)
    book.fill(200, B)
    Server(tmp_path).put(book.batch())
    locked = Server(tmp_path, unlocked=False)
    bare = book.batch(chunks=[(50, os.urandom(32 * 40))], first=50, end=90, receipted=0)
    assert locked.send(bare, "evil").status_code == 202
    assert locked.state()["waiting"] == 1
    for station in ("st", "evil", "courier"):
        assert held_against(book, locked.receipt(book, station=station)) == book.head
    unlocked = Server(tmp_path)
    assert unlocked.state()["waiting"] == 0
    for station in ("st", "evil", "courier"):
        assert held_against(book, unlocked.receipt(book, station=station)) == book.head
    assert unlocked.wrong() == {}


def test_a_batch_that_cannot_be_read_any_more_holds_up_no_other(tmp_path: Path) -> None:
    locked = Server(tmp_path, unlocked=False)
    books = [SealedBook(serial) for serial in (A, B)]
    for book in books:
        book.fill(30, C)
        locked.put(book.batch())
    spoilt = tmp_path / "batches" / batches.name(books[0].batch())
    assert spoilt.exists()
    spoilt.write_bytes(b"what a bad disk gives")
    unlocked = Server(tmp_path)
    assert unlocked.state(B)["waiting"] == 0
    assert held_against(books[1], unlocked.receipt(books[1])) == books[1].head
    assert unlocked.state(A)["waiting"] == 1
    # The band has it all still.
    answer = unlocked.put(books[0].batch(utc_ms=1))
    assert held_against(books[0], answer["receipt"]) == books[0].head


# --- new keys -----------------------------------------------------------------------------------


def new_key(book: SealedBook, base_key: bytes, day: int) -> None:
    for half in range(2):
        part = base_key[16 * half : 16 * half + 16]
        book.append(records.new_key(3600, half, day, part))


def test_keys_that_nobody_ordered_are_not_taken(tmp_path: Path) -> None:
    # Who read a receipt key out of a band's flash can write such a log.
    day = NOON // 86400
    server = Server(tmp_path)
    book = SealedBook(A)
    for _ in range(40):
        new_key(book, os.urandom(32), day)
    server.put(book.batch())
    assert chains(tmp_path) == 3
    server.order(A, "rekey")
    book.fill(1, B)
    server.put(book.batch())
    new_key(book, os.urandom(32), day)
    server.put(book.batch(utc_ms=1))
    # One order may take several keys: a cut makes a band carry it out again.
    assert 4 <= chains(tmp_path) <= 3 + 8


@pytest.mark.parametrize("day", [0, 1, 20_453, NOON // 86400 - 23, NOON // 86400 + 4, 65535])
def test_a_key_of_another_time_is_not_taken(tmp_path: Path, day: int) -> None:
    server = Server(tmp_path)
    server.order(A, "rekey")
    book = SealedBook(A)
    new_key(book, os.urandom(32), day)
    server.put(book.batch())
    assert chains(tmp_path) == 3
    new_key(book, os.urandom(32), NOON // 86400 - 21)
    server.put(book.batch())
    assert chains(tmp_path) == 4


def chains(path: Path) -> int:
    from sqlalchemy import func, select

    with ledger.open_ledger(path).connect() as db:
        return db.execute(select(func.count()).select_from(ledger.chains)).scalar_one()


def test_a_chain_from_long_ago_costs_a_look_up_nothing() -> None:
    import numpy as np

    from zoneband.server.chains import KeyChain
    from zoneband.server.identities import Identities

    ids = Identities(Path("/nonexistent"))
    ids.add([KeyChain(1, 1, -20_000_000, bytes(32)), KeyChain(2, 2, NOON // 86400, key(B))])
    heard = np.frombuffer(bluezone.day_ids(key(B))[5], np.uint8).reshape(1, 12)
    begun = time.process_time()
    band, _due = ids.find(heard, NOON // 86400, NOON // 86400)
    assert band.tolist() == [2]
    assert time.process_time() - begun < 2
