"""Sightings become encounters: right in every figure, without allocation, whatever the crowd."""

from hypothesis import given, settings
from hypothesis import strategies as st

from band import sleep
from band.encounters import Encounters
from support import run_in_vm
from wire import bluezone

Written = list[tuple[bytes, int, int, int, int, int, int, int]]


class Table:
    """A table and what it wrote."""

    def __init__(self, slots: int = 256) -> None:
        self.table = Encounters(slots)
        self.written: Written = []

    def write(self, *record: object) -> None:
        self.written.append(record)  # type: ignore[arg-type]

    def see(self, who: int, rssi: int, now_s: int) -> None:
        data = bluezone.beacon(who.to_bytes(12, "big"))
        self.table.seen(2, 1, rssi, data, bluezone.find_id(data), now_s)
        self.table.drain()


@settings(deadline=None)
@given(st.lists(st.integers(-100, -30), min_size=1, max_size=60))
def test_an_encounter_holds_the_figures_of_its_sightings(levels: list[int]) -> None:
    rig = Table()
    for n, level in enumerate(levels):
        rig.see(7, level, 1000 + 4 * n)
    rig.table.flush(2000, rig.write)
    [(rid, start, duration, count, mean, top, shares, flags)] = rig.written
    n = len(levels)
    assert rid == (7).to_bytes(12, "big")
    assert (start, duration, count, top) == (1000, 4 * (n - 1), n, max(levels))
    assert abs(mean - sum(levels) / n) <= 0.5
    for nibble, bound in ((0, -62), (4, -70), (8, -78)):
        share = sum(level > bound for level in levels)
        assert abs((shares >> nibble & 15) - share * 15 / n) <= 0.5
    assert flags == 0b110


def test_it_closes_after_silence_after_five_minutes_near_and_fifteen_far() -> None:
    rig = Table()
    for t in range(0, 1300, 4):
        rig.see(1, -60, t)
        rig.see(2, -90, t)
        if t < 100:
            rig.see(3, -60, t)
        rig.table.sweep(t, rig.write)
    near = [w for w in rig.written if w[0][-1] == 1]
    assert len(near) == 4
    assert all(296 <= w[2] <= 304 for w in near)
    assert [w[1] for w in rig.written if w[0][-1] == 3] == [0]
    assert not [w for w in rig.written if w[0][-1] == 2]
    rig.table.slot_end(1300, rig.write)
    [far] = [w for w in rig.written if w[0][-1] == 2]
    assert 896 <= far[2] <= 904


def test_at_most_96_are_written_a_slot_and_the_rest_is_counted() -> None:
    rig = Table()
    for who in range(200):
        rig.see(who, -90 if who % 2 else -60, who)
    rig.table.sweep(1000, rig.write)
    rig.table.slot_end(1000, rig.write)
    assert len(rig.written) == 96
    _, unwritten = rig.table.take_losses()
    assert unwritten == 200 - 96
    assert rig.table.open == 0


def test_a_flood_of_forged_ids_cannot_wash_a_neighbour_out() -> None:
    rig = Table(64)
    for t in range(0, 280, 4):
        rig.see(1, -60, t)
        for k in range(100):
            rig.see(1_000_000 + t * 100 + k, -80, t)
        rig.table.sweep(t, rig.write)
    rig.table.flush(300, rig.write)
    mine = [w for w in rig.written if w[0] == (1).to_bytes(12, "big")]
    assert sum(w[3] for w in mine) == 70
    assert rig.table.take_losses()[0] > 0


def test_open_encounters_pass_through_a_sleep() -> None:
    rig = Table()
    for who in range(60):
        for t in range(who % 5 + 1):
            rig.see(who, -50 - who, 100 + t)
    kept = sleep.pack_open(rig.table, 48, rig.write)
    assert len(rig.written) == 12
    assert len(kept) <= 48 * 36
    after = Table()
    sleep.unpack_open(after.table, kept)
    after.see(0, -50, 110)
    after.table.flush(200, after.write)
    assert len(after.written) == 48
    [first] = [w for w in after.written if w[0] == bytes(12)]
    assert first[1:4] == (100, 10, 2)


def test_the_handler_needs_no_heap_and_keeps_nothing_of_it() -> None:
    code = """
import gc, micropython
from band import sleep
from band.encounters import Encounters
from band.radio import Radio
from band.config import Config
from wire import bluezone

class Ble:
    def irq(self, handler): self.handler = handler
    def active(self, on=True): return True

ble, table = Ble(), Encounters(256)
radio = Radio(ble, Config("none"), table, lambda: 1234)
radio.start()
data = memoryview(bluezone.beacon(b"abcdefghijkl"))
other = memoryview(b"\\x02\\x01\\x06\\x03\\x03\\x6f\\xfd")
report = (1, memoryview(b"123456"), 2, -61, data)
foreign = (1, memoryview(b"123456"), 0, -61, other)
_ = before = kept = 0
micropython.heap_lock()
for _ in range(100):
    ble.handler(5, report)
    ble.handler(5, foreign)
micropython.heap_unlock()
table.drain()
gc.disable()
before = gc.mem_alloc()
for _ in range(100):
    ble.handler(5, report)
    ble.handler(5, foreign)
kept = gc.mem_alloc() - before
print(radio.sightings, table.open, radio.handler_errors, kept)
"""
    assert run_in_vm(code).split() == ["200", "1", "0", "0"]


def test_no_big_integer_stands_in_the_path_of_a_sighting() -> None:
    code = """
import sys
for name in (
    "band/sightings.py", "band/table.py", "band/encounters.py", "band/radio.py", "wire/bluezone.py"
):
    with open("firmware/" + name) as f:
        word = ""
        for c in f.read() + " ":
            if c.isdigit():
                word += c
            else:
                assert not word or int(word) < 1 << 30, (name, word)
                word = ""
print("ok")
"""
    assert run_in_vm(code).strip() == "ok"
