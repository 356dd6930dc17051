"""A band whose battery runs low, whose radio refuses, or whose program fails keeps what it can."""

from pathlib import Path

import pytest

from zoneband.sim import solo
from zoneband.sim.band import Provision
from zoneband.sim.solo import Compiled, Solo

START = 1_793_682_000
# Ten neighbours, of whom some are open when the script looks.
BEGIN = """
import crowd, hashlib
def beacons(window, now_s):
    for n in range(10):
        rid = hashlib.sha256(b"%d %d" % (n, now_s // 900)).digest()[:12]
        yield rid, -52 - n, bytes((0, 0, 0, 0, 0, n))
crowd.install(beacons)
from band import app, memory, run
band = run.make()
battery = [3900]
band.journal._battery_mv = lambda: battery[0]
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return solo.compile_all(tmp_path_factory.mktemp("compiled"))


@pytest.fixture
def worn(tmp_path: Path, compiled: Compiled) -> Solo:
    facts = Provision(
        "ZB-0000-0000", START // 86400, bytes(32), None, bytes(32), issued_utc_s=START
    )
    return Solo(tmp_path / "band", compiled, facts)


def numbers(band: Solo, script: str) -> list[int]:
    """What a script prints last, in a band that was made."""
    return [int(word) for word in band.run(BEGIN + script).splitlines()[-1].split()]


def test_what_was_open_when_it_ran_low_is_written_when_it_is_charged(worn: Solo) -> None:
    open_, left, unwritten = numbers(
        worn,
        """
for _ in range(30):
    band.burst()
battery[0] = 3200
band.journal.check_battery()
was = band.encounters.open
battery[0] = 3900
band.board_facts.on_power = lambda: True
band.cable.watch()
print(was, band.encounters.open, band.journal.unwritten)
""",
    )
    assert open_ == 10
    assert (left, unwritten) == (0, 0)


def test_losses_of_a_low_hour_are_told_when_it_may_write_again(worn: Solo) -> None:
    low, unwritten, told = numbers(
        worn,
        """
now_s = band.clock.run()[0]
band.encounters.table.evicted = 7
band.journal.unwritten = 5
battery[0] = 3200
band.health._tell(now_s)
low = band.encounters.table.evicted
unwritten = band.journal.unwritten
battery[0] = 3900
real, marks = band.journal.health, []
band.journal.health = lambda counters: marks.append(counters) or real(counters)
band.health._tell(now_s)
print(low, unwritten, marks[0][0] * 100 + marks[0][1])
""",
    )
    assert (low, unwritten) == (7, 5)
    assert told == 705


def test_a_radio_that_keeps_its_address_does_not_fill_the_log(worn: Solo) -> None:
    marks, refused, advertising = numbers(
        worn,
        """
real, marks = band.journal.clock, []
band.journal.clock = lambda source: marks.append(source) or real(source)
band.radio._ble.config = lambda *names, **settings: (1, b"stuck!") if names else None
for _ in range(450):
    band.burst()
print(len(marks), band.radio.refused_rotations, int(band.radio.advertising))
""",
    )
    assert refused > 800 and not advertising
    assert 1 <= marks <= 2  # one a quarter of an hour


def test_scans_that_end_late_vouch_for_the_radio_and_those_that_never_end_do_not(
    worn: Solo,
) -> None:
    late, never = numbers(
        worn,
        """
class Watchdog:
    fed = 0
    def feed(self):
        self.fed += 1
scan, longer = band.radio._ble.gap_scan, [100]
band.radio._ble.gap_scan = lambda ms, *rest: scan(ms and ms + longer[0], *rest)
told = []
for more in (100, 100000):
    longer[0] = more
    band._wdt = Watchdog()
    for _ in range(20):
        band.burst()
    told.append(band._wdt.fed)
print(*told)
""",
    )
    assert late >= 19 and never <= 1


@pytest.mark.parametrize("error", ["MemoryError", "OSError(5)"])
def test_a_program_that_fails_leaves_what_is_open_to_the_next_start(worn: Solo, error: str) -> None:
    clean, open_, again = numbers(
        worn,
        f"""
left = [30]
burst = app.Band.burst
def fails(self):
    left[0] -= 1
    if not left[0]:
        raise {error}
    burst(self)
app.Band.burst = fails
run.make = lambda: band
try:
    run.main()
except ({error.split("(")[0]}):
    pass
saved = memory.unpack(band._rtc.memory())
print(saved[2], len(saved[4]) // 34, band.encounters.open)
""",
    )
    assert clean == 0
    assert open_ == again == 10
    restored = worn.run(BEGIN + "print(band.encounters.open)", cause=3)
    assert restored.split()[-1] == "10"


def test_the_heap_that_was_left_is_pythons_own(worn: Solo) -> None:
    # And not what it could still grow by: a leak would hide behind that.
    left, free, growth = numbers(
        worn,
        """
import esp32, gc
band.health._heap_low = 1 << 29
band.health.collect()
growth = max([region[2] for region in esp32.idf_heap_info(esp32.HEAP_DATA)])
gc.collect()
print(band.health._heap_low, gc.mem_free(), growth)
""",
    )
    assert 10_000 < left < free - growth + 1_000
