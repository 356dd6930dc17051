"""Run time is the band's own; running UTC is bounded, and marked when it is in doubt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from band import memory
from band.clock import Clock
from band.store import Store
from band.trust import Trust
from support import MemoryNvs
from wire import status

NOON = 1_793_000_000  # a time in 2026


class Hands:
    """A clock's hardware that a test moves by hand; ticks wrap at 2**30 as on an ESP32."""

    def __init__(self, ticks: int = 2**30 - 500) -> None:
        self.ticks = ticks
        self.seconds = 5

    def ticks_ms(self) -> int:
        return self.ticks % 2**30

    @staticmethod
    def ticks_diff(a: int, b: int) -> int:
        return ((a - b + 2**29) % 2**30) - 2**29

    def pass_ms(self, ms: int) -> None:
        self.ticks += ms
        self.seconds += ms // 1000

    def clock(self) -> Clock:
        return Clock(self.ticks_ms, self.ticks_diff, lambda: self.seconds)


@given(st.lists(st.integers(0, 2**29 - 1), max_size=20))
def test_run_time_counts_every_millisecond_over_the_wrap(steps: list[int]) -> None:
    hands = Hands()
    clock = hands.clock()
    clock.start(7)
    for step in steps:
        hands.pass_ms(step)
        clock.tick()
    s, ms = clock.run()
    assert s * 1000 + ms == sum(steps)


def test_an_unset_clock_says_so_and_a_set_one_runs_on() -> None:
    hands = Hands()
    clock = hands.clock()
    clock.start(1)
    assert clock.utc() == (0, 0)
    assert clock.flags() == 0
    hands.pass_ms(1234)
    clock.accept(NOON, 900)
    hands.pass_ms(1150)
    assert clock.utc() == (NOON + 2, 50)
    assert clock.flags() == status.UTC_SET


def test_steps_of_an_issued_band_are_bounded_to_a_day() -> None:
    clock = Hands().clock()
    clock.start(1)
    assert clock.allows(NOON, True)
    clock.accept(NOON, 0)
    assert clock.allows(NOON + 86_000, True)
    assert clock.allows(NOON - 86_000, True)
    assert not clock.allows(NOON + 21 * 86_400, True)
    assert not clock.allows(NOON - 2 * 86_400, True)
    assert clock.allows(NOON + 21 * 86_400, False)
    assert not clock.allows(0, False)


def test_a_band_that_lost_run_time_takes_up_to_three_weeks() -> None:
    clock = Hands().clock()
    clock.start(1)
    clock.guess(NOON)
    assert clock.flags() == status.UTC_SET | status.UTC_SUSPECT
    assert clock.allows(NOON + 20 * 86_400, True)
    assert not clock.allows(NOON + 22 * 86_400, True)
    clock.accept(NOON + 100, 0)
    assert clock.flags() == status.UTC_SET


def test_a_step_is_measured_either_way_and_never_as_nothing() -> None:
    hands = Hands()
    clock = hands.clock()
    clock.start(1)
    assert clock.step_s(NOON, 0) == 0  # nothing to step from
    clock.accept(NOON, 500)
    assert clock.step_s(NOON, 500) == 0
    assert clock.step_s(NOON, 501) == clock.step_s(NOON, 499) == 1
    assert clock.step_s(NOON + 86_400, 500) == clock.step_s(NOON - 86_400, 500) == 86_400


def test_a_receipt_gives_room_only_for_the_settings_that_it_covers() -> None:
    nvs = MemoryNvs()
    trust = Trust(Store(nvs), None)
    trust.walk(1_000, 40)
    trust.walk(500, 50)
    trust.walk(70, 60)
    for upto, left_s in ((40, 1_570), (41, 570), (60, 570), (61, 0)):
        trust.seen(upto)
        assert Trust(Store(nvs), None).walked_s() == trust.walked_s() == left_s


# (what a setting moves the clock by, how many slots a receipt lacks of what was settled)
_SETTLED = st.lists(st.tuples(st.integers(0, 100_000), st.integers(-1, 60)), max_size=40)


@given(_SETTLED)
def test_receipts_that_were_saved_up_give_no_room(settled: list[tuple[int, int]]) -> None:
    nvs = MemoryNvs()
    steps: list[tuple[int, int]] = []  # (cursor, step)
    proved = 0
    for at, (step_s, lacks) in enumerate(settled):
        cursor = 10 * at
        trust = Trust(Store(nvs), None)  # a start loses nothing of it
        trust.walk(step_s, cursor)
        steps.append((cursor, step_s))
        if lacks >= 0:
            upto = max(0, cursor + 1 - lacks)
            trust.seen(upto)
            proved = max(proved, upto)
        unseen_s = sum(step for where, step in steps if where >= proved)
        assert trust.walked_s() >= unseen_s
    trust = Trust(Store(nvs), None)
    trust.seen(10 * len(settled))
    assert trust.walked_s() == 0


@pytest.mark.parametrize("late", [0, 1, 2, 4])
def test_receipts_that_come_some_docks_late_never_bar_an_honest_setting(late: int) -> None:
    # A flat battery makes each setting one of two days; the bound is 22 days.
    trust = Trust(Store(MemoryNvs()), None)
    for dock in range(100):
        if dock > late:
            trust.seen(10 * (dock - late - 1) + 1)
        assert trust.walked_s() + 2 * 86_400 <= 22 * 86_400
        trust.walk(2 * 86_400, 10 * dock)


def test_a_setting_writes_one_small_entry() -> None:
    nvs = MemoryNvs()
    written: list[str] = []
    keep = nvs.set_blob
    nvs.set_blob = lambda name, value: (written.append(name), keep(name, value))[1]  # type: ignore[method-assign]
    trust = Trust(Store(nvs), None)
    for dock in range(3):
        trust.walk(5, dock)
    assert written == ["walk"] * 3 and len(nvs.values["walk"]) == 16


def test_time_goes_on_through_a_reset_and_is_suspect_after_one_nobody_planned() -> None:
    hands = Hands()
    clock = hands.clock()
    clock.start(0xFFFFFFFF)
    clock.accept(NOON, 0)
    hands.pass_ms(10_000)
    kept = memory.pack(clock.save(), 3, 1, (777, bytes(range(32))), b"open")
    hands.seconds += 60
    for cold in (False, True):
        found = memory.unpack(kept)
        assert found is not None
        saved, resets, clean, log, more = found
        assert (resets, clean, more) == (3, 1, b"open")
        assert log == (777, bytes(range(32)))
        after = Hands(ticks=0)
        after.seconds = hands.seconds
        woken = after.clock()
        woken.restore(saved, cold)
        assert woken.boot_id == 0xFFFFFFFF
        assert woken.run() == (70, 0)
        assert woken.utc() == (NOON + 70, 0)
        assert woken.suspect is cold


@given(st.binary(max_size=200), st.integers(0, 199), st.integers(1, 255))
def test_damaged_memory_is_no_memory(more: bytes, at: int, flip: int) -> None:
    clock = Hands().clock()
    clock.start(1)
    kept = bytearray(memory.pack(clock.save(), 0, 0, (0, b""), more))
    assert memory.unpack(bytes(kept)) is not None
    kept[at % len(kept)] ^= flip
    assert memory.unpack(bytes(kept)) is None
    assert memory.unpack(bytes(kept[:10])) is None
