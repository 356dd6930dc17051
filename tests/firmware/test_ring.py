"""The band log: nothing acknowledged is lost, whatever byte the power goes at."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from band import logread
from band.bandlog import BandLog
from band.clock import Clock
from band.journal import Journal
from band.openslots import OpenSlots
from band.store import Store
from support import MemoryNvs, NorFlash, PowerCut
from wire import log, readers, receipt, records

KEY = b"k" * 32
SERIAL = "ZB-TEST-0001"


class Rig:
    """One band's flash and NVS, through any number of power cuts."""

    def __init__(self, path: Path, sectors: int = 4) -> None:
        self.flash = NorFlash(str(path), sectors)
        self.nvs = MemoryNvs()
        self.boots = 0
        self.log = self.boot(False)

    def boot(self, known: bool) -> BandLog:
        kept = self.log.keep() if known else None
        if not known:
            self.boots += 1
        self.log = BandLog(self.flash, Store(self.nvs), lambda: 0xC0FFEE, OpenSlots())
        self.log.mount(self.boots, kept if known else None)
        return self.log

    def add(self, n: int) -> None:
        self.log.ready(n)
        self.log.append(records.mark(records.DOCK, 1, 0, n))

    def numbers(self) -> list[int]:
        """Of the marks that `add` wrote."""
        marks = (record for record in self.records() if record[0] == records.DOCK)
        return [readers.read_mark(record)[3] for record in marks]

    def records(self) -> list[bytes]:
        """What a reader that knows only wire/log.py finds, in order."""
        ring = self.log
        out: list[bytes] = []
        cursor = ring.tail
        buf = bytearray(32)
        while cursor < ring.head:
            if ring.read(cursor, buf):
                sector, slot = divmod(cursor, log.SLOTS)
                record = bytes(buf[:24])
                tag = log.tag_open(ring.log_id, sector, slot, record)
                if slot and bytes(buf[24:]) == tag:
                    out.append(record)
            cursor += 1
        return out


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "log.bin")


def test_records_come_back_in_order_over_sectors_and_boots(rig: Rig) -> None:
    for n in range(200):
        rig.add(n)
        if n % 60 == 59:
            rig.boot(n % 120 == 59)
    assert rig.numbers() == list(range(200))


def test_a_planned_wake_burns_no_slots_and_a_loss_of_power_burns_three(rig: Rig) -> None:
    rig.add(1)
    head = rig.log.head
    rig.boot(True)
    rig.add(2)
    assert rig.log.head == head + 1
    rig.boot(False)
    assert rig.log.head == head + 1
    rig.add(3)
    assert rig.log.head == head + 1 + 3 + 1


def cut_everywhere(tmp_path: Path, before: int, steps: int, erased: int = 0) -> int:
    """Cut the power after every byte of `steps` appends that follow `before` of them; of the
    first `erased` bytes, which are an erase, after every 61st."""
    total = 0
    while True:
        path = tmp_path / "log.bin"
        path.unlink(missing_ok=True)
        rig = Rig(path)
        for n in range(before):
            rig.add(n)
            rig.log.prepare(0)
        rig.flash.cut_after = total
        done = before
        try:
            for n in range(before, before + steps):
                rig.add(n)
                done = n + 1
                rig.log.prepare(0)
        except PowerCut:
            pass
        else:
            return total
        rig.flash.cut_after = -1
        rig.boot(False)
        rig.add(1000)
        found = rig.numbers()
        assert found[-1] == 1000
        kept = found[:-1]
        # All that was acknowledged, then at most the one that was being written.
        assert kept in (list(range(done)), list(range(done + 1))), total
        total += 61 if total + 61 < erased else 1


def test_power_cut_at_every_byte_of_an_append(tmp_path: Path) -> None:
    assert cut_everywhere(tmp_path, 5, 2) == 64


def test_power_cut_at_every_byte_of_the_first_sector(tmp_path: Path) -> None:
    assert cut_everywhere(tmp_path, 0, 1, 4096) >= 4096 + 32 + 96 + 32


def test_power_cut_at_every_byte_of_a_sector_change(tmp_path: Path) -> None:
    # The erase is done ahead, so the change itself is a header, a group and a record.
    assert cut_everywhere(tmp_path, 123, 3) >= 3 * 32 + 128


def test_a_full_ring_drops_the_oldest_and_says_what(rig: Rig) -> None:
    lost: list[tuple[int, int]] = []
    for n in range(700):
        rig.add(n)
        rig.log.prepare(0)
        lost += rig.log.take_lost()
    found = rig.numbers()
    assert found == list(range(found[0], 700))
    assert len(found) >= 2 * log.RECORDS_PER_SECTOR
    assert {why for why, _, _ in lost} == {records.LOST_OVERWRITTEN}
    assert lost[0][1] == 0
    assert all(a[2] == b[1] for a, b in zip(lost, lost[1:], strict=False))
    assert lost[-1][2] == rig.log.tail


def test_a_loss_is_told_though_the_power_went_before_its_mark(rig: Rig) -> None:
    for n in range(700):
        rig.add(n)
    rig.boot(False)  # what was to be told was in memory
    assert rig.log.take_lost() == [(records.LOST_OVERWRITTEN, 0, rig.log.tail)]
    rig.boot(False)
    clock = Clock(lambda: 0, lambda a, b: 0, lambda: 0)
    assert Journal(rig.log, clock, lambda: 4000).mark(records.DOCK, 2)
    [told] = [record for record in rig.records() if record[0] == records.LOSS]
    assert readers.read_loss(told)[1:] == (records.LOST_OVERWRITTEN, 0, rig.log.tail)
    rig.boot(False)
    assert rig.log.take_lost() == []


def test_what_is_receipted_is_no_loss(rig: Rig) -> None:
    for n in range(300):
        rig.add(n)
    upto = rig.log.head
    assert logread.accept_receipt(rig.log, 0, upto, mac_for(rig, 0, upto), KEY, SERIAL)
    assert rig.log.fill_percent() == 0
    for n in range(200):
        rig.add(n)
    assert rig.log.take_lost() == []


def mac_for(rig: Rig, first: int, upto: int) -> bytes:
    digest = hashlib.sha256()
    buf = bytearray(32)
    for cursor in range(first, upto):
        assert rig.log.read(cursor, buf) == 1
        digest.update(buf)
    return receipt.mac(KEY, SERIAL, rig.log.log_id, first, upto, digest.digest())


def test_a_forged_or_displaced_receipt_changes_nothing(rig: Rig) -> None:
    for n in range(150):
        rig.add(n)
    head = rig.log.head
    good = mac_for(rig, 0, head)
    bad = bytes([good[0] ^ 1]) + good[1:]
    assert not logread.accept_receipt(rig.log, 0, head, bad, KEY, SERIAL)
    assert not logread.accept_receipt(rig.log, 0, head, good, b"x" * 32, SERIAL)
    assert not logread.accept_receipt(rig.log, 0, head, good, KEY, "ZB-TEST-0002")
    assert not logread.accept_receipt(rig.log, 0, head - 1, good, KEY, SERIAL)
    assert not logread.accept_receipt(rig.log, 0, head + 1, good, KEY, SERIAL)
    assert rig.log.receipted == 0
    assert logread.accept_receipt(rig.log, 0, head, good, KEY, SERIAL)
    assert not logread.accept_receipt(rig.log, 0, head, good, KEY, SERIAL)
    assert rig.boot(False).receipted == head


def test_sector_numbers_are_never_used_twice_even_on_a_blank_flash(rig: Rig) -> None:
    for n in range(300):
        rig.add(n)
    last = rig.log.head // log.SLOTS
    for block in range(4):
        rig.flash.ioctl(6, block)
    rig.boot(False)
    rig.add(1)
    assert rig.log.head // log.SLOTS > last
    assert rig.numbers() == [1]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 3), st.binary(min_size=1, max_size=300), st.integers(0, 3700))
def test_damage_costs_only_what_it_hits(tmp_path_factory, block: int, junk: bytes, at: int) -> None:
    rig = Rig(tmp_path_factory.mktemp("ring") / "log.bin")
    for n in range(300):
        rig.add(n)
    rig.flash.writeblocks(block, junk, at)
    rig.boot(False)
    rig.add(999)
    found = rig.numbers()
    assert found[-1] == 999
    assert found == sorted(found)


def test_a_pull_from_mid_sector_gets_header_and_groups(rig: Rig) -> None:
    rig.add(0)
    rig.boot(False)
    for n in range(20):
        rig.add(n)
    assert logread.preamble(rig.log, 15) == [(0, 1), (1, 3), (5, 3)]
    assert logread.preamble(rig.log, 128) == []


def test_bytes_and_erases_per_record_stay_within_their_bars(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "log.bin", sectors=64)
    count = 124 * 60
    for n in range(count):
        rig.add(n)
        rig.log.prepare(0)
    assert rig.flash.programmed / (count * 32) <= 1.04
    assert rig.flash.erases / (count / 124) <= 1.02


class WornFlash(NorFlash):
    """Flash in which one place takes nothing any more."""

    worn = (-1, -1)  # block, byte
    page = 1  # bytes from there on

    def writeblocks(self, block: int, buf: bytes, offset: int = 0) -> None:
        super().writeblocks(block, buf, offset)
        first = self.worn[1]
        if self.worn[0] == block and offset < first + self.page and first < offset + len(buf):
            super().writeblocks(block, bytes(len(buf)), offset)


@pytest.mark.parametrize(
    ("at", "lost"), [(10 * 32, (10, 11)), (5, (0, 128)), (70, (0, 128)), (128, (4, 5))]
)
def test_what_the_flash_does_not_take_is_declared_lost(
    tmp_path: Path, at: int, lost: tuple[int, int]
) -> None:
    flash = WornFlash(str(tmp_path / "log.bin"), 4)
    flash.worn = (0, at)
    log_ = BandLog(flash, Store(MemoryNvs()), lambda: 77, OpenSlots())
    log_.mount(1)
    for n in range(20):
        log_.ready(n)
        log_.append(records.mark(records.DOCK, 1, 0, n))
    assert log_.take_lost() == [(records.LOST_UNREADABLE, *lost)]
    assert not log_.fault


def test_sectors_go_21_days_of_run_time_after_they_were_full(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "log.bin", 8)
    day = 86_400
    for n in range(4 * log.RECORDS_PER_SECTOR):
        rig.log.ready(n * 600)  # about 3.4 days
        rig.log.append(records.mark(records.DOCK, 1, 0, n))
    assert not rig.log.expire(21 * day)
    # The second sector was begun at 124 records: the first is old 21 days later.
    second_s = log.RECORDS_PER_SECTOR * 600
    assert not rig.log.expire(second_s + 21 * day - 7200)
    assert rig.log.expire(second_s + 21 * day + 7200)
    assert not rig.log.expire(second_s + 21 * day + 7200)
    assert rig.log.tail == log.SLOTS
    assert rig.log.take_lost() == [(records.LOST_EXPIRED, 0, log.SLOTS)]
    assert rig.numbers() == list(range(log.RECORDS_PER_SECTOR, 4 * log.RECORDS_PER_SECTOR))
    rig.boot(True)
    assert rig.log.tail == log.SLOTS


@pytest.mark.parametrize("worn", [127 * 32, 100 * 32])
def test_the_next_sector_takes_what_worn_slots_do_not(tmp_path: Path, worn: int) -> None:
    flash = WornFlash(str(tmp_path / "log.bin"), 4)
    flash.worn = (0, worn)
    flash.page = 8 * 32 if worn < 127 * 32 else 32
    rig = Rig(tmp_path / "log.bin")
    rig.flash = flash
    rig.boot(False)
    journal = Journal(rig.log, Clock(lambda: 0, lambda a, b: 0, lambda: 0), lambda: 4000)
    assert all(journal.mark(records.DOCK, 1, n) for n in range(200))
    assert rig.numbers() == list(range(200))
    assert not rig.log.fault
    told = [readers.read_loss(record)[1:] for record in rig.records() if record[0] == records.LOSS]
    first = worn // 32
    assert {reason for reason, _, _ in told} == {records.LOST_UNREADABLE}
    lost = {cursor for _, begin, end in told for cursor in range(begin, end)}
    assert lost == set(range(first, 128))


def test_a_block_that_does_not_erase_is_passed_over_and_told(tmp_path: Path) -> None:
    class Stuck(NorFlash):
        def ioctl(self, op: int, arg: int) -> int:
            out = super().ioctl(op, arg)
            if op == 6 and arg == 1:
                super().writeblocks(1, b"\xfe", 77 * 32)
            return out

    rig = Rig(tmp_path / "log.bin")
    rig.flash = Stuck(str(tmp_path / "log.bin"), 4)
    rig.boot(False)
    journal = Journal(rig.log, Clock(lambda: 0, lambda a, b: 0, lambda: 0), lambda: 4000)
    for n in range(200):
        assert journal.mark(records.DOCK, 1, n)
        rig.log.prepare(0)
    assert rig.numbers() == list(range(200))
    told = [readers.read_loss(record)[1:] for record in rig.records() if record[0] == records.LOSS]
    assert told == [(records.LOST_UNREADABLE, 128, 256)]


def test_sectors_go_after_21_days_of_run_time_though_power_is_lost_every_day(rig: Rig) -> None:
    """As of a band that a station resets at each dock."""
    day = 86_400
    for n in range(30):
        rig.boot(False)
        for quarter in range(96):
            rig.log.live_on(quarter * 900)
        for _n in range(12):
            rig.log.ready(day)
            rig.log.append(records.mark(records.DOCK, 1, 0, n))
        while rig.log.expire(day):
            pass
    days = rig.numbers()
    assert days[-1] == 29
    # A sector of this ring lasts seven days.
    assert 29 - 21 - 8 <= days[0] <= 29 - 21
