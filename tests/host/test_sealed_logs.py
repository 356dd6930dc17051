"""Sealed logs at the tracing server: what the band wrote is read, whatever else came is noticed."""

import hashlib
import os
import struct
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sealedserver import KEYS, PUBLIC, Chunks, Server, held_against, in_chunks
from sqlalchemy import create_engine, text

from band import logread
from band.ring import Ring
from band.store import Store
from bandbook import DAY, NOON, A, B, BandBook, C, key
from sealedbook import AUTHORITY, LOG_ID, NUMBER, SealedBook
from support import MemoryNvs, NorFlash, run_in_vm
from zoneband import batch as batches
from zoneband.server import migrating
from zoneband.server.enrolment import Enrolment
from zoneband.server.opener import Opener
from zoneband.server.parse import parse
from zoneband.server.tracing_server import TracingServer
from zoneband.spool import Spool
from zoneband.wire import bluezone, records


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path / "server")


@pytest.fixture
def book() -> SealedBook:
    """Two full sectors and a piece of a third."""
    made = SealedBook(A)
    made.fill(124 * 2 + 40, B)
    return made


def changed(book: SealedBook, cursor: int, spoil: Callable[[bytearray], None]) -> Chunks:
    """A pull of the whole log, one slot of it spoilt on the way."""
    slots = list(book.slots)
    slot = bytearray(slots[cursor])
    spoil(slot)
    slots[cursor] = bytes(slot)
    return in_chunks(slots)


def flip(at: int = 3) -> Callable[[bytearray], None]:
    def spoil(slot: bytearray) -> None:
        slot[at] ^= 4

    return spoil


def read(book: SealedBook, chunks: Chunks) -> Any:
    batch = batches.unpack(book.batch(chunks=chunks))
    return parse(batch, Opener(KEYS, book.serial, key(book.serial + "r")))


# --- what the band wrote ------------------------------------------------------------------------


def test_a_sealed_log_is_read_receipted_and_traced(server: Server, book: SealedBook) -> None:
    answer = server.put(book.batch())
    assert answer["records_new"] == 124 * 2 + 40
    assert answer["resend"] is None
    assert held_against(book, answer["receipt"]) == book.head
    assert server.wrong() == {}
    assert server.state()["gaps"] == []
    assert server.trace(A)[B]["records"] == 288


def test_every_record_comes_out_as_it_went_in(book: SealedBook) -> None:
    for kind in (records.STATE, records.ORDER, records.REFUSAL, records.UPDATE):
        book.append(records.mark(kind, 5, 1, 77))
    found = read(book, book.pull()).records
    assert {128 * p.sector + p.slot: p.record for p in found} == book.records
    assert all(p.sealed and p.boot_id == 5 for p in found)


_FIRMWARE = """
from band.seal import Seal
from wire import log, records
seal = Seal(%r, bytes.fromhex(%r), bytes.fromhex(%r))
header = log.pack_header(seal.format, seal.key_id, %d, 0)
head = log.group_head(5, 0)
slots = header + log.pack_group(head, seal.take(header, head))
for n in range(124):
    slots += seal.slot(%d, 0, 4 + n, records.mark(records.DOCK, n, n & 1, n))
print(slots.hex())
"""


def test_what_the_firmware_seals_the_server_opens_and_receipts(tmp_path: Path) -> None:
    facts = A, (bytes([NUMBER]) + PUBLIC.key).hex(), key(A + "r").hex(), LOG_ID, LOG_ID
    image = bytes.fromhex(run_in_vm(_FIRMWARE % facts))
    slots = [image[i : i + 32] for i in range(0, len(image), 32)]
    book = SealedBook(A)
    found = read(book, in_chunks(slots))
    assert [p.record for p in found.records] == [
        records.mark(records.DOCK, n, n & 1, n) for n in range(124)
    ]
    assert (found.torn, found.altered, found.missing, found.foreign) == (0, 0, 0, 0)
    # The band's own check of the receipt, over its own flash.
    server = Server(tmp_path / "server")
    made = server.put(book.batch(chunks=in_chunks(slots), end=128))["receipt"]
    assert made["upto"] == 128
    nvs = MemoryNvs()
    nvs.set_i32("log_id", LOG_ID)
    flash = NorFlash(str(tmp_path / "log.bin"), 4)
    flash.ioctl(6, 0)
    flash.writeblocks(0, image, 0)
    ring = Ring(flash, Store(nvs), lambda: 1, None)
    ring.mount(6)
    mac = bytes.fromhex(made["mac"])
    assert logread.accept_receipt(ring, made["first"], made["upto"], mac, key(A + "r"), A)


@pytest.mark.parametrize("torn", range(1, 31, 6))
@pytest.mark.parametrize("group_bytes", [None, 3, 40, 90])
def test_where_the_power_went_is_torn_and_no_more(
    server: Server, torn: int, group_bytes: int | None
) -> None:
    book = SealedBook(A)
    book.fill(20, B)
    book.append(records.mark(records.DOCK, 1, 0, 0), torn=torn)
    book.lose_power(group_bytes)
    book.fill(20, B)
    answer = server.put(book.batch())
    assert answer["records_new"] == 40 and answer["resend"] is None
    assert held_against(book, answer["receipt"]) == book.head
    lost = 1 if group_bytes is None else 1 + -(-group_bytes // 32)
    assert server.wrong() == {"torn": lost}


def test_a_slot_that_a_reset_cut_is_torn_and_one_that_nothing_cut_is_altered(
    server: Server,
) -> None:
    # A reset keeps run time; but a slot in the middle of which it came has a key group behind it.
    for serial, reset, wrong in ((A, True, {"torn": 1}), (B, False, {"altered": 1})):
        book = SealedBook(serial)
        book.fill(9, C)
        torn = book.append(records.mark(records.DOCK, 1, 0, 0), torn=13)
        if reset:
            book.group()
        book.append(records.boot(60, 3, 0, 0x0100, 1))
        book.fill(9, C)
        answer = server.put(book.batch())
        assert server.wrong(serial) == wrong
        assert answer["records_new"] == 19
        assert answer["receipt"]["upto"] == (book.head if reset else torn)


def test_resets_and_losses_of_power_in_a_row_leave_one_torn_slot_each(server: Server) -> None:
    book = SealedBook(A)
    book.fill(9, C)
    for again in (book.group, book.group, book.lose_power, book.group):
        book.append(records.boot(60, 3, 0, 0x0100, 1), torn=13)
        again()
    book.fill(90, C)
    answer = server.put(book.batch())
    # Four records, and three groups of which no slot was whole.
    assert server.wrong() == {"torn": 4 + 3 * 3}
    assert answer["records_new"] == 99 and answer["receipt"]["upto"] == book.head


def test_a_sectors_last_slot_that_a_reset_cut_is_torn_too(server: Server) -> None:
    for serial, mark, wrong in (
        (A, records.boot(60, 3, 0, 0x0100, 1), {"torn": 1}),
        (B, records.mark(records.DOCK, 60, 1, 0), {"altered": 1}),
    ):
        book = SealedBook(serial)
        book.fill(123, C)
        assert book.append(records.mark(records.DOCK, 1, 0, 0), torn=13) == 127
        book.append(mark)
        book.fill(9, C)
        server.put(book.batch())
        assert server.wrong(serial) == wrong


@pytest.mark.parametrize("used", [121, 122, 123, 124])
def test_a_power_loss_at_a_sectors_end_is_no_fault(server: Server, used: int) -> None:
    book = SealedBook(A)
    book.fill(used, B)
    book.lose_power()
    book.fill(50, B)
    answer = server.put(book.batch())
    assert answer["resend"] is None and server.wrong() == {}
    assert held_against(book, answer["receipt"]) == book.head
    assert answer["records_new"] == used + 50


def test_a_torn_slot_at_the_very_head_waits_for_what_follows(server: Server) -> None:
    book = SealedBook(A)
    book.fill(20, B)
    head = book.append(records.mark(records.DOCK, 1, 0, 0), torn=9)
    answer = server.put(book.batch())
    assert server.wrong() == {"torn": 1} and answer["resend"] is None
    assert held_against(book, answer["receipt"]) == head
    book.lose_power()
    book.fill(5, B)
    answer = server.put(book.batch(head + 1, receipted=0))
    assert server.wrong() == {"torn": 1} and answer["records_new"] == 5
    assert held_against(book, answer["receipt"]) == book.head


def test_a_sectors_last_slot_is_torn_once_the_next_sector_tells(server: Server) -> None:
    book = SealedBook(A)
    book.fill(123, B)
    torn = book.append(records.mark(records.DOCK, 1, 0, 0), torn=9)
    server.put(book.batch())
    made = server.receipt(book)
    assert torn == 127 and made is not None and made["upto"] == 127
    book.boot_id += 1
    book.fill(5, B)
    answer = server.put(book.batch(128, receipted=0))
    assert server.wrong() == {"torn": 1} and answer["resend"] is None
    assert held_against(book, answer["receipt"]) == book.head


def test_pulls_may_break_anywhere_and_come_in_any_order(tmp_path: Path) -> None:
    for cut in (1, 2, 3, 4, 5, 60, 127, 128, 129, 130, 131, 132, 200):
        book = SealedBook(A)
        book.fill(60, B)
        book.lose_power()
        book.fill(130, B)
        early, late = book.batch(0, cut), book.batch(cut, receipted=0)
        for n, order in enumerate(((early, late), (late, early))):
            server = Server(tmp_path / f"{cut}-{n}")
            answers = [server.put(each) for each in order]
            assert sum(each["records_new"] for each in answers) == 190, cut
            assert held_against(book, server.receipt(book)) == book.head, cut
            assert server.wrong() == {}, cut


def test_a_group_that_two_pulls_share_is_put_together(server: Server) -> None:
    book = SealedBook(A)
    book.fill(20, B)
    book.lose_power()
    middle = book.head - 1  # the group's last slot is to come with the next pull
    assert server.put(book.batch(0, middle))["resend"] is None
    book.fill(20, B)
    answer = server.put(book.batch(middle, receipted=0))
    assert answer["records_new"] == 20
    assert held_against(book, answer["receipt"]) == book.head


# --- attacks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("cursor", [0, 1, 2, 3, 4, 50, 127, 128, 129, 131, 255, 256, 290])
def test_one_flipped_bit_anywhere_is_noticed_and_asked_for_again(
    server: Server, book: SealedBook, cursor: int
) -> None:
    answer = server.put(book.batch(chunks=changed(book, cursor, flip())))
    wrong = server.wrong()
    assert set(wrong) <= {"altered", "foreign"} and wrong
    assert answer["resend"] is not None and cursor // 128 == answer["resend"] // 128
    assert answer["resend"] <= max(cursor, 1)
    upto = held_against(book, answer["receipt"]) if answer["receipt"] else 0
    assert upto <= cursor
    # The pull that follows brings what the band has, and all is well but the notice.
    again = server.put(book.batch(answer["resend"], receipted=0))
    assert answer["records_new"] + again["records_new"] == 288
    assert again["resend"] is None
    assert held_against(book, again["receipt"]) == book.head
    assert server.wrong() == wrong


def test_the_headers_and_groups_own_sums_protect_nothing(server: Server, book: SealedBook) -> None:
    # Anybody can mend a CRC. What it covers is in the seal.
    def other_boot(slots: list[bytes]) -> None:
        group = bytearray(b"".join(slots[1:4]))
        group[4] ^= 1
        group[92:] = struct.pack("<I", zlib.crc32(group[:92]))
        slots[1:4] = [bytes(group[i : i + 32]) for i in (0, 32, 64)]

    slots = list(book.slots)
    other_boot(slots)
    answer = server.put(book.batch(chunks=in_chunks(slots)))
    assert server.wrong()["foreign"] == 127
    assert answer["receipt"] is None


def test_swapped_slots_are_noticed(server: Server, book: SealedBook) -> None:
    slots = list(book.slots)
    slots[20], slots[21] = slots[21], slots[20]
    answer = server.put(book.batch(chunks=in_chunks(slots)))
    assert server.wrong() == {"altered": 2}
    assert answer["resend"] == 20 and answer["receipt"]["upto"] == 20
    assert answer["records_new"] == 286


def test_swapped_sectors_are_noticed(server: Server, book: SealedBook) -> None:
    slots = book.slots[128:256] + book.slots[:128] + book.slots[256:]
    answer = server.put(book.batch(chunks=in_chunks(slots)))
    assert server.wrong() == {"foreign": 256}
    assert answer["receipt"] is None and answer["resend"] == 0
    assert answer["records_new"] == 40


@pytest.mark.parametrize("mend", [False, True])
def test_an_old_sector_under_a_newer_number_is_noticed(
    server: Server, book: SealedBook, mend: bool
) -> None:
    slots = list(book.slots)
    slots[128:256] = slots[:128]
    if mend:
        slots[128] = book.header(1)
    answer = server.put(book.batch(chunks=in_chunks(slots)))
    assert server.wrong()["foreign"] >= 127
    assert answer["receipt"]["upto"] == 128 and answer["resend"] in (128, 129)
    assert answer["records_new"] == 164


def test_an_old_slot_in_a_newer_place_is_noticed(server: Server, book: SealedBook) -> None:
    slots = list(book.slots)
    slots[140] = slots[12]
    server.put(book.batch(chunks=in_chunks(slots)))
    assert server.wrong() == {"altered": 1}


def test_a_log_of_a_stations_own_making_is_refused(server: Server) -> None:
    # It knows the public key, the serial, the log id: all but the receipt key.
    forged = SealedBook(A, receipt_key=bytes(32))
    forged.fill(150, C)
    answer = server.put(forged.batch())
    assert answer["records_new"] == 0 and answer["receipt"] is None
    assert server.wrong().keys() == {"altered"}
    assert server.receipt(forged) is None
    assert C not in server.trace(A)


@pytest.mark.parametrize("count", [1, 2, 40])
def test_the_shortest_forgery_is_altered_too(server: Server, count: int) -> None:
    forged = SealedBook(A, receipt_key=bytes(32))
    forged.fill(count, C)
    answer = server.put(forged.batch())
    assert answer["records_new"] == 0 and answer["receipt"] is None
    assert server.wrong()["altered"] >= count


def test_a_forged_group_within_a_genuine_sector_hides_nothing(
    server: Server, book: SealedBook
) -> None:
    forged = SealedBook(A, receipt_key=bytes(32))
    forged.fill(60, C)
    forged.boot_id = 9
    forged.group()
    forged.fill(20, C)
    slots = list(book.slots)
    slots[64:80] = forged.slots[64:80]
    answer = server.put(book.batch(chunks=in_chunks(slots)))
    assert server.wrong() == {"altered": 16}
    assert answer["records_new"] == 288 - 16 and answer["resend"] == 64
    assert C not in server.trace(A)


def test_a_clock_pair_without_a_genuine_record_moves_nothing(
    server: Server, book: SealedBook
) -> None:
    server.put(book.batch())
    before = server.http.get(f"/v1/bands/{A}", headers=server.tracer).json()["clock"]
    header = batches.unpack(book.batch()).header
    late = replace(header, utc_s=header.utc_s + 7200, station="another")
    forged = batches.pack(late, [(book.head, os.urandom(64)), *batches.unpack(book.batch()).chunks])
    server.put(forged)
    assert server.http.get(f"/v1/bands/{A}", headers=server.tracer).json()["clock"] == before


def test_a_forged_log_does_not_keep_the_genuine_one_out(server: Server, book: SealedBook) -> None:
    forged = SealedBook(A, receipt_key=bytes(32))
    forged.fill(150, C)
    server.put(forged.batch())
    answer = server.put(book.batch())
    assert answer["records_new"] == 288 and answer["resend"] is None
    assert held_against(book, answer["receipt"]) == book.head
    assert server.wrong().keys() == {"altered"}  # somebody tried: that stays


def test_a_forged_group_at_the_head_is_no_torn_slot(server: Server) -> None:
    book = SealedBook(A)
    book.fill(20, B)
    head = book.head
    book.lose_power()
    slot = book.append(records.mark(records.DOCK, 1, 0, 0))
    answer = server.put(book.batch(chunks=changed(book, slot, flip())))
    assert server.wrong() == {"altered": 4}
    assert answer["resend"] == head and answer["receipt"]["upto"] == head


@pytest.mark.parametrize("genuine_first", [True, False])
def test_the_genuine_slot_counts_whichever_came_first(
    server: Server, book: SealedBook, genuine_first: bool
) -> None:
    both = [book.batch(), book.batch(chunks=changed(book, 70, flip(28)))]
    for data in both if genuine_first else reversed(both):
        answer = server.put(data)
    assert held_against(book, answer["receipt"]) == book.head
    assert server.trace(A)[B]["records"] == 288


def test_a_log_in_clear_does_not_stand_against_a_sealed_one(tmp_path: Path) -> None:
    clear, book = BandBook(A, tmp_path), SealedBook(A)
    clear.log.log_id = LOG_ID
    clear.met(C, NOON, 60, -60)
    book.fill(40, B)
    forged = b"".join(part for _, part in batches.unpack(clear.batch()).chunks)
    for n, chunks in enumerate(([(0, forged), *book.pull()], [*book.pull(), (0, forged)])):
        found = read(book, chunks).records
        assert {128 * p.sector + p.slot: p.record for p in found} == book.records, n


def test_a_band_that_seals_writes_nothing_in_clear(server: Server, tmp_path: Path) -> None:
    clear = BandBook(A, tmp_path)
    clear.log.log_id = LOG_ID
    book = SealedBook(A)
    book.fill(10, B)
    server.put(book.batch())
    clear.met(C, NOON, 25, -60)
    slots = batches.unpack(clear.batch()).chunks[0][1]
    answer = server.put(book.batch(chunks=[(128, slots)], end=128 + len(slots) // 32))
    assert answer["records_new"] == 0 and C not in server.trace(A)
    assert server.wrong().keys() == {"foreign"}


def test_a_band_enrolled_as_sealing_never_had_a_log_in_clear(tmp_path: Path) -> None:
    server = Server(tmp_path / "server", log_format=1)
    clear = BandBook(A, tmp_path)
    clear.met(C, NOON, 25, -60)
    answer = server.put(clear.batch())
    assert answer["records_new"] == 0 and answer["receipt"] is None
    assert server.wrong().keys() == {"foreign"}


def test_an_updated_bands_old_sectors_stay_readable(server: Server, tmp_path: Path) -> None:
    clear = BandBook(A, tmp_path)
    clear.log.log_id = LOG_ID
    clear.met(B, NOON, 25, -66)
    slots = b"".join(part for _, part in batches.unpack(clear.batch()).chunks)
    book = SealedBook(A)
    book.slots = [slots[i : i + 32] for i in range(0, len(slots), 32)]
    book.slots += [b"\xff" * 32] * (125 - len(book.slots))
    book.slots = book.slots[:125] + [b"\xff" * 32] * 3
    book.boot_id = 6
    book.fill(10, B)
    answer = server.put(book.batch())
    assert answer["records_new"] == 15


def test_a_log_sealed_to_another_authority_is_foreign(server: Server) -> None:
    other = SealedBook(A, public=X25519PrivateKey.generate().public_key())
    other.fill(10, B)
    assert server.put(other.batch())["receipt"] is None
    assert server.wrong() == {"foreign": 13}


def test_an_unknown_key_number_is_foreign(server: Server) -> None:
    other = SealedBook(A, number=9)
    other.fill(10, B)
    assert server.put(other.batch())["records_new"] == 0
    assert server.wrong() == {"foreign": 14}


def test_another_bands_log_under_this_serial_is_refused(server: Server) -> None:
    book = SealedBook(C)
    book.fill(10, B)
    book.serial = A
    answer = server.put(book.batch())
    assert answer["records_new"] == 0 and answer["receipt"] is None
    assert server.wrong().keys() <= {"foreign", "altered"}


# --- missing ------------------------------------------------------------------------------------


def test_a_truncated_batch_is_noticed_and_mended(server: Server, book: SealedBook) -> None:
    answer = server.put(book.batch(chunks=book.pull()[:-3]))
    assert answer["resend"] is not None and answer["resend"] < book.head
    again = server.put(book.batch(answer["resend"], receipted=0))
    assert held_against(book, again["receipt"]) == book.head
    assert server.wrong() == {} and again["resend"] is None


def test_a_batch_that_never_came_is_a_gap_in_the_ledger(server: Server, book: SealedBook) -> None:
    server.put(book.batch(0, 50))
    answer = server.put(book.batch(200, receipted=0))
    assert server.state()["gaps"] == [[50, 128], [132, 200]]
    assert server.wrong() == {"missing": 78 + 68}
    assert answer["resend"] == 50
    assert answer["receipt"]["upto"] == 50


@pytest.mark.parametrize("where", [(60, 61), (124, 128), (4, 128), (250, 256), (290, 296)])
def test_erased_slots_that_the_band_had_written_are_missing(
    server: Server, book: SealedBook, where: tuple[int, int]
) -> None:
    slots = list(book.slots)
    first, end = where
    slots[first:end] = [b"\xff" * 32] * (end - first)
    answer = server.put(book.batch(chunks=in_chunks(slots)))
    wrong = server.wrong()
    assert wrong["missing"] == end - first
    assert answer["resend"] in (first, 1)
    assert answer["receipt"] is None or answer["receipt"]["upto"] <= first
    again = server.put(book.batch(answer["resend"], receipted=0))
    assert held_against(book, again["receipt"]) == book.head


def test_three_erased_slots_at_an_end_without_a_power_loss_are_told(
    server: Server, book: SealedBook
) -> None:
    slots = list(book.slots)
    slots[125:128] = [b"\xff" * 32] * 3
    server.put(book.batch(chunks=in_chunks(slots)))
    assert server.wrong() == {"torn": 3}


def test_what_the_band_declares_lost_is_no_gap_and_receipts_begin_behind_it(
    server: Server, book: SealedBook
) -> None:
    book.append(records.loss(9, records.LOST_OVERWRITTEN, 0, 128))
    answer = server.put(book.batch(128, receipted=128))
    assert server.wrong() == {} and server.state()["gaps"] == []
    assert held_against(book, answer["receipt"]) == book.head
    # A station that only knows the band's older cursor gets what the band takes now.
    made = server.receipt(book, 20)
    assert made is not None and made["first"] == 128
    assert held_against(book, made) == book.head


def test_a_loss_that_nobody_but_a_station_declares_hides_nothing(server: Server) -> None:
    book = SealedBook(A)
    book.fill(20, B)
    forged = SealedBook(A, receipt_key=bytes(32))
    forged.fill(20, B)
    forged.append(records.loss(9, records.LOST_OVERWRITTEN, 0, 128))
    server.put(book.batch(chunks=[*book.pull(8, 24), (24, forged.slots[24])], end=25))
    assert server.state()["gaps"] == [[4, 8]]


# --- three times and no more --------------------------------------------------------------------


def test_what_is_altered_in_flash_itself_is_asked_for_three_times(server: Server) -> None:
    book = SealedBook(A)
    book.fill(60, B)
    broken = bytearray(book.slots[30])
    broken[5] ^= 1
    book.slots[30] = bytes(broken)
    asked: list[int | None] = []
    for _ in range(5):
        first = 0 if not asked or asked[-1] is None else asked[-1]
        book.fill(3, B)
        data = book.batch(first, receipted=0)
        asked.append(server.put(data)["resend"])
        assert server.put(data)["resend"] == asked[-1]  # the same upload once more
    assert asked == [30, 30, 30, None, None]
    assert server.wrong() == {"altered": 1}
    made = server.receipt(book)
    assert made is not None and made["upto"] == 30


def test_a_station_pulls_again_from_where_it_was_asked(tmp_path: Path, book: SealedBook) -> None:
    server, spool = Server(tmp_path / "server"), Spool(tmp_path / "station")
    name = spool.add(book.batch(chunks=changed(book, 150, flip())))
    assert spool.cursor(A, LOG_ID) == book.head
    answer = server.put(spool.data(name))
    spool.add_resend(name, answer["resend"])
    assert spool.cursor(A, LOG_ID) == 150
    assert spool.cursor(B, LOG_ID) == 0
    spool.add(spool.data(name))  # nothing newer
    assert spool.cursor(A, LOG_ID) == 150
    spool.add(book.batch(spool.cursor(A, LOG_ID), receipted=0))
    assert spool.cursor(A, LOG_ID) == book.head


def test_a_pull_that_broke_off_goes_on_with_what_must_come_again(
    tmp_path: Path, book: SealedBook
) -> None:
    spool = Spool(tmp_path / "station")
    name = spool.add(book.batch())
    for cursor in (200, 20, 140):
        spool.add_resend(name, cursor)
    assert spool.cursor(A, LOG_ID) == 20
    spool.add(book.batch(20, 60, receipted=0))
    assert spool.cursor(A, LOG_ID) == 60
    spool.add(book.batch(60, 170, receipted=0))
    assert spool.cursor(A, LOG_ID) == 170
    spool.add(book.batch(170, 201, receipted=0))
    assert spool.cursor(A, LOG_ID) == book.head


def test_what_the_band_has_let_go_of_is_not_waited_for(tmp_path: Path, book: SealedBook) -> None:
    spool = Spool(tmp_path / "station")
    spool.add_resend(spool.add(book.batch()), 20)
    spool.add(book.batch(256, receipted=256))
    assert spool.cursor(A, LOG_ID) == book.head
    with pytest.raises(ValueError):
        spool.add_resend("x", 1 << 40)


# --- locked -------------------------------------------------------------------------------------


def test_a_locked_server_keeps_logs_and_reads_them_once_it_has_the_key(
    tmp_path: Path, book: SealedBook
) -> None:
    path = tmp_path / "server"
    locked = Server(path, unlocked=False)
    parts = [book.batch(0, 100), book.batch(100, receipted=0)]
    for data in (*parts, parts[0]):
        answer = locked.send(data)
        assert answer.status_code == 202
        assert answer.json() == {
            "batch": hashlib.sha256(data).hexdigest(), "records_new": 0, "receipt": None,
            "resend": None, "orders": [], "records_refused": 0, "dropped": False,
            "ask_back": False,
        }  # fmt: skip
    assert locked.receipt(book) is None
    assert locked.wrong() == {} and locked.state()["waiting"] == 2
    clear = BandBook(B, tmp_path)
    clear.met(C, NOON, 25, -66)
    assert locked.send(clear.batch()).status_code == 201
    unlocked = Server(path)
    assert held_against(book, unlocked.receipt(book)) == book.head
    assert unlocked.trace(A)[B]["records"] == 288
    assert unlocked.state()["waiting"] == 0 and unlocked.wrong() == {}
    answer = unlocked.send(parts[1])
    assert (answer.status_code, answer.json()["records_new"]) == (200, 0)


def test_a_part_without_its_header_waits_with_the_others(tmp_path: Path) -> None:
    book = SealedBook(A)
    book.fill(60, B)
    locked = Server(tmp_path / "server", unlocked=False)
    bare = [(30, b"".join(book.slots[30:]))]
    for data in (book.batch(0, 30), book.batch(30, chunks=bare, receipted=0)):
        answer = locked.put(data)
        assert (answer["records_new"], answer["receipt"]) == (0, None)
    assert "foreign" not in locked.wrong() and "altered" not in locked.wrong()
    unlocked = Server(tmp_path / "server")
    assert unlocked.wrong() == {} and unlocked.trace(A)[B]["records"] == 60
    assert held_against(book, unlocked.receipt(book)) == book.head


def test_a_log_to_a_key_that_this_passphrase_does_not_open_waits(tmp_path: Path) -> None:
    server = TracingServer(tmp_path, utc=lambda: NOON, numbers=[1, 2])
    server.enrol(Enrolment(A, "virtual", "band", DAY, key(A), bytes(32), key(A + "r")))
    server.unlock({2: X25519PrivateKey.generate()})
    book = SealedBook(A)
    book.fill(10, B)
    data = book.batch()
    took = server.take("st", batches.name(data), data)
    assert (took.count, took.receipt) == (0, None)
    assert server.band_state(A)["logs"][0]["foreign"] == 0
    server.unlock({2: X25519PrivateKey.generate(), 1: AUTHORITY})
    assert server.receipt(A, LOG_ID, 0) is not None


def test_a_locked_server_still_gives_receipts_for_what_it_has_read(
    tmp_path: Path, book: SealedBook
) -> None:
    altered = book.batch(chunks=changed(book, 20, flip()))
    Server(tmp_path / "server").put(altered)
    Server(tmp_path / "server").put(book.batch())
    locked = Server(tmp_path / "server", unlocked=False)
    assert held_against(book, locked.receipt(book)) == book.head


# --- new keys -----------------------------------------------------------------------------------


def rekey(book: SealedBook, base_key: bytes, day: int = DAY, at_s: int = NOON + 3600) -> None:
    for half in range(2):
        part = base_key[16 * half : 16 * half + 16]
        book.append(records.new_key(at_s - book.boot_s, half, day, part))


def met_under(book: SealedBook, base_key: bytes, start_s: int, count: int = 4) -> None:
    ids = bluezone.day_ids(base_key)
    for n in range(count):
        at = start_s + 300 * n
        rid = ids[bluezone.slot_at(at)]
        book.append(records.encounter(rid, at - book.boot_s, 298, 70, -66, -58, 0xFFF, 6))


@pytest.mark.parametrize("split", [False, True])
def test_ids_of_an_old_and_a_new_key_are_the_same_bands(server: Server, split: bool) -> None:
    new = bytes(range(32))
    a, b = SealedBook(A), SealedBook(B)
    a.met(B, NOON, 20)
    met_under(a, new, NOON + 7200)
    server.put(a.batch())
    assert server.trace(A)[B]["records"] == 4  # the new key has not been heard of
    b.fill(5, C)
    server.order(B, "rekey")
    rekey(b, new)
    for data in [b.batch(0, 10), b.batch(10, receipted=0)] if split else [b.batch()]:
        server.put(data)
    assert server.trace(A)[B]["records"] == 8


def test_a_key_that_a_cut_left_half_counts_for_nothing(tmp_path: Path) -> None:
    server = TracingServer(tmp_path, utc=lambda: NOON + 86_400)
    server.unlock(KEYS)
    for serial in (A, B):
        keys = key(serial), bytes(32), key(serial + "r")
        server.enrol(Enrolment(serial, "virtual", "band", DAY, *keys))
    server.orders.make(B, "rekey")
    book = SealedBook(B)
    book.append(records.new_key(7200, 0, DAY, b"x" * 16))
    book.lose_power()
    rekey(book, bytes(range(32)))
    data = book.batch()
    server.take("st", batches.name(data), data)
    assert server.base_keys(B) == [(DAY, key(B)), (DAY, bytes(range(32)))]
    again = TracingServer(tmp_path, utc=lambda: NOON + 86_400)
    assert again.base_keys(B) == server.base_keys(B)


def test_a_new_key_in_clear_counts_for_nothing(tmp_path: Path) -> None:
    server = TracingServer(tmp_path / "server", utc=lambda: NOON + 86_400)
    server.enrol(Enrolment(B, "virtual", "band", DAY, key(B), bytes(32), key(B + "r")))
    clear = BandBook(B, tmp_path)
    for half in range(2):
        base = clear.log.ready(3600)
        clear.log.append(records.new_key(3600 - base, half, DAY, b"x" * 16))
    data = clear.batch()
    assert server.take("st", batches.name(data), data).count == 2
    assert server.base_keys(B) == [(DAY, key(B))]


def test_who_sends_ids_of_a_key_that_the_band_left_is_shown_as_a_replay(server: Server) -> None:
    a, b = SealedBook(A), SealedBook(B)
    b.append(records.clock(3600, 0, 0, 0, NOON, 0, 0, 0))
    rekey(b, bytes(range(32)), at_s=NOON + 600)
    b.append(records.clock(3600 + 7200, 0, 0, 0, NOON + 7200, 0, 0, 0))
    server.order(B, "rekey")
    server.put(b.batch())
    a.met(B, NOON + 7200, 20)
    server.put(a.batch())
    found = server.trace(A)[B]
    assert found["replay"] and not found["confirmed"]


# --- older ledgers ------------------------------------------------------------------------------


def test_an_older_ledger_keeps_what_it_knew(tmp_path: Path) -> None:
    path = tmp_path / "server"
    path.mkdir()
    clear = BandBook(A, tmp_path)
    clear.met(B, NOON, 25, -66)
    data = clear.batch()
    (path / "batches").mkdir()
    (path / "batches" / batches.name(data)).write_bytes(data)
    keys = {name: key(A + name) for name in ("base_key", "dock_key")}
    with create_engine(f"sqlite:///{path / 'ledger.sqlite'}").begin() as db:
        migrating.migrate(db, path, "0002")
        db.execute(
            text(
                "INSERT INTO bands VALUES (7, :serial, 'virtual', 'band', :day, :base_key, "
                ":dock_key, :receipt_key)"
            ),
            {"serial": A, "day": DAY, "receipt_key": key(A + "r"), **keys},
        )
        db.execute(
            text("INSERT INTO batches VALUES (:name, 'st', :serial, 77, 0, 9, 5, 1)"),
            {"name": batches.name(data), "serial": A},
        )
        seen = bytes([0xF0, 1]) + bytes(14)
        db.execute(
            text("INSERT INTO slots VALUES (:serial, 77, 0, :seen, 2)"), {"serial": A, "seen": seen}
        )
    server = TracingServer(path, utc=lambda: NOON + 86_400)
    state = server.band_state(A)["logs"][0]
    assert (state["altered"], state["missing"], state["end"]) == (2, 0, 9)
    assert server.base_keys(A) == [(DAY, key(A + "base_key"))]
    made = server.receipt(A, 77, 0)
    assert made is not None and made["upto"] == 9
    clear.met(B, NOON + 1800, 10, -66)
    more = clear.batch()
    assert server.take("st", batches.name(more), more).count == 2  # those before are not new
    made = server.receipt(A, 77, 0)
    assert made is not None and made["upto"] == 11


# --- any damage ---------------------------------------------------------------------------------


def pristine() -> SealedBook:
    made = SealedBook(A)
    made.fill(70, B)
    made.append(records.mark(records.DOCK, 1, 0, 0), torn=17)
    made.lose_power()
    made.fill(90, B)
    return made


PRISTINE = pristine()
Damage = list[tuple[int, bytes]]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.integers(0, PRISTINE.head * 32 - 1),
            st.one_of(st.binary(min_size=1, max_size=80), st.just(b"\xff" * 64)),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_damage_never_raises_never_invents_and_never_goes_unseen(damage: Damage) -> None:
    book = PRISTINE
    before = b"".join(book.slots)
    image = bytearray(before)
    for at, junk in damage:
        junk = junk[: len(image) - at]
        image[at : at + len(junk)] = junk
    slots = [bytes(image[i : i + 32]) for i in range(0, len(image), 32)]
    differ = [n for n, slot in enumerate(slots) if slot != book.slots[n]]
    found = read(book, in_chunks(slots))
    for placed in found.records:
        assert book.records[128 * placed.sector + placed.slot] == placed.record
    lost = len(book.records) - len(found.records)
    assert lost >= len([n for n in differ if n in book.records])
    with tempfile.TemporaryDirectory() as folder:
        server = TracingServer(Path(folder), utc=lambda: NOON + 86_400)
        server.unlock(KEYS)
        server.enrol(Enrolment(A, "virtual", "band", DAY, key(A), bytes(32), key(A + "r")))
        data = book.batch(chunks=in_chunks(slots))
        took = server.take("st", batches.name(data), data)
        assert took.count == len(found.records)
        made = took.receipt
        state = server.band_state(A)["logs"][0]
        # 1: what was torn from the start.
        if set(differ) - {74}:
            noticed = state["torn"] + state["altered"] + state["missing"] + state["foreign"]
            assert noticed > (0 if 74 in differ else 1)
        if made:
            # A receipt never covers a record that is not as the band wrote it.
            assert not [n for n in differ if n < made["upto"] and n in book.records][:-1]
        whole = book.batch(receipted=0, end=book.head, utc_ms=1)
        server.take("st", batches.name(whole), whole)
        final = server.receipt(A, LOG_ID, 0)
        if 74 not in differ:
            assert held_against(book, final) == book.head


@given(st.binary(max_size=4096), st.integers(0, 300))
@settings(max_examples=100, deadline=None)
def test_noise_is_no_record(noise: bytes, first: int) -> None:
    noise = noise[: len(noise) // 32 * 32]
    chunks = [(first, noise)] if noise else []
    assert read(PRISTINE, chunks).records == []
