"""The firmware on the real VM, in the air, on the cable: what an ESP32 would do, it does here."""

import multiprocessing
import os
import pty
import subprocess
import sys
import threading
import time
import tty
from pathlib import Path

import pytest

from street import START, Street
from zoneband import batch as batches
from zoneband.dock.greeting import Hello
from zoneband.dock.job import ISSUE, RETURN, DockJob, Outcome
from zoneband.dock.link import Link, LinkLost
from zoneband.dock.ports import SETTLE_S
from zoneband.dock.session import BandSession, NoBand, Refused
from zoneband.server.parse import parse
from zoneband.sim.keys import dock_key
from zoneband.sim.simulation import Provision, Reset, Simulation
from zoneband.spool import Spool
from zoneband.wire import messages, orders, readers, records


def test_two_bands_meet_and_each_has_the_other_in_its_log(street: Street) -> None:
    street.issue()
    street.later(1500)
    for band in street.bands:
        assert street.dock(band).outcome == Outcome.DONE.value
        found = street.heard(band)
        assert sum(f[2] for f in found) > 1300
        assert len({f[0] for f in found}) in (2, 3)
        assert all(-90 < f[4] < -45 for f in found)


def test_a_band_that_is_not_issued_returned_or_docked_is_nobodys_contact(street: Street) -> None:
    a, b = street.bands
    street.dock(a, (ISSUE, 1))
    street.sim.unplug(a)
    street.later(900)  # b is new
    street.dock(b, (ISSUE, 1))
    street.later(900)  # b stays in its cradle
    street.sim.unplug(b)
    street.dock(b, (RETURN, 1))
    street.sim.unplug(b)
    street.later(900)  # b is returned
    street.dock(a)
    assert street.heard(a) == []


def test_address_and_id_change_in_the_same_step(street: Street) -> None:
    street.issue()
    street.later(2000)
    for band in street.bands:
        assert band.controller is not None
        segments = band.controller.segments
        pairs = {(s.address, s.data) for s in segments}
        assert len({a for a, _ in pairs}) == len({d for _, d in pairs}) == len(pairs)
        assert all(s.pdu_type == 2 and s.address_type == 1 for s in segments)
        assert all(s.address[5] < 0x40 for s in segments)  # non-resolvable


@pytest.mark.timeout(500)
def test_a_band_alone_for_a_day_never_resets(tmp_path: Path) -> None:
    street = Street(tmp_path, [0.0])
    try:
        street.issue()
        street.later(86_400)
        [band] = street.bands
        assert band.stats.watchdog_resets == 0
        assert band.stats.starts == 1
        assert street.dock(band).outcome == Outcome.DONE.value
    finally:
        street.sim.__exit__()


def _busy(stop: float) -> None:
    while time.monotonic() < stop:
        pass


def flash_after_a_run(path: Path, seed: int) -> list[tuple[int, bytes]]:
    with Simulation(path, seed, START, loss=0.3) as sim:
        for n in range(3):
            base, dock, receipt = (bytes([n + 1, k] * 16) for k in range(3))
            facts = Provision(
                f"ZB-000{n}-0000", START // 86400, base, dock, receipt, issued_utc_s=START
            )
            sim.add_band(facts.serial, float(n), 0.0, facts)
        sim.run_until(1800)
        return [
            (band.stats.delivered, (band.directory / "bandlog.bin").read_bytes())
            for band in sim.bands
        ]


def test_the_same_seed_gives_the_same_flash_whatever_the_load(tmp_path: Path) -> None:
    first = flash_after_a_run(tmp_path / "a", 9)
    load = [multiprocessing.Process(target=_busy, args=(time.monotonic() + 20,)) for _ in range(2)]
    for each in load:
        each.start()
    second = flash_after_a_run(tmp_path / "b", 9)
    for each in load:
        each.kill()
    assert all(delivered > 200 for delivered, _ in first)
    assert first == second
    assert flash_after_a_run(tmp_path / "c", 10) != first


def test_power_lost_in_the_field_costs_only_open_encounters(street: Street) -> None:
    street.issue()
    street.later(700)
    street.sim.reset(street.bands[0], Reset.POWER)
    street.later(700)
    assert street.dock(street.bands[0]).outcome == Outcome.DONE.value
    found = street.heard(street.bands[0])
    assert sum(f[2] for f in found) > 700


def test_a_port_that_pulls_en_when_it_opens_loses_nothing(street: Street) -> None:
    street.issue()
    street.later(200)  # one encounter, still open
    [band, _] = street.bands
    band.reset_on_open = True
    port = street.sim.plug(band)
    street.sim.run_on()
    time.sleep(SETTLE_S)
    result = DockJob(port, street.spool, "st", True, dock_key, utc=street.utc).run()
    assert result.outcome == Outcome.DONE.value
    assert band.stats.starts == 2
    found = street.heard(band)
    assert sum(f[2] for f in found) > 150


def test_a_session_moves_to_a_faster_uart_and_gives_the_pins_back(street: Street) -> None:
    street.issue()
    street.later(3600)
    band = street.bands[0]
    port = street.sim.plug(band)
    street.sim.run_on()
    fast = DockJob(port, street.spool, "st", True, dock_key, baud=921_600, utc=street.utc).run()
    assert fast.outcome == Outcome.DONE.value
    assert fast.slots > 12
    assert sum(f[2] for f in street.heard(band)) > 3200
    # The REPL has its pins and its speed again: once an order lets anybody in.
    link = Link(port)
    session = BandSession(link, dock_key)
    session.greet()
    session.order(orders.pack(bytes([1, 2] * 16), band.name, 1, orders.UNLOCK))
    session.bye()
    link.close()
    assert band.stats.starts == 1
    done = subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", port, "exec", "print(6 * 7)"],
        capture_output=True,
        text=True,
        timeout=40,
    )
    assert done.stdout.strip() == "42", done.stdout + done.stderr


def test_a_line_too_poor_for_the_speed_goes_on_at_the_old_one(street: Street) -> None:
    port = street.sim.plug(street.bands[0])
    street.sim.run_on()
    link = Link(port)
    session = BandSession(link, dock_key)
    session.greet()
    link.set_baud = lambda baud, real=link.set_baud: real(9600 if baud > 115_200 else baud)  # type: ignore[method-assign]
    assert session.speed(921_600) is False
    assert session.self_test() == 0
    with pytest.raises(Refused):
        session.ask(messages.one(messages.SPEED, 0, 12_345), messages.OK)
    session.bye()
    link.close()
    # Nor has anything on the way back ended its program.
    session = BandSession(link := Link(port), dock_key)
    session.greet()
    link.close()
    assert street.bands[0].stats.starts == 1


def test_unplugged_in_the_middle_and_plugged_in_again_nothing_is_lost_or_doubled(
    street: Street,
) -> None:
    street.issue()
    street.later(7200)
    band = street.bands[0]

    def pull_out(*_at: object) -> None:
        street.sim.unplug(band)

    def asked_for_its_key(hello: Hello) -> bytes:
        pull_out()
        return dock_key(hello)

    for keys, progress in ((asked_for_its_key, None), (dock_key, pull_out), (dock_key, pull_out)):
        port = street.sim.plug(band)
        street.sim.run_on()
        result = DockJob(port, street.spool, "st", True, keys, progress, utc=street.utc).run()
        assert result.outcome != Outcome.DONE.value
        assert result.message
        street.sim.hold()
    assert street.dock(band).outcome == Outcome.DONE.value
    found = street.heard(band)
    assert len(found) == len(set(found))
    assert sum(f[2] for f in found) > 6500


def test_real_mpremote_gets_in_and_out(street: Street) -> None:
    street.later(5)  # no Ctrl-C gets through before boot.py
    port = street.sim.plug(street.bands[0])
    street.sim.run_on()

    def mpremote(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "mpremote", "connect", port, *words],
            capture_output=True,
            text=True,
            timeout=40,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert mpremote("exec", "print(6 * 7)").strip() == "42"
    assert "main.py" in mpremote("fs", "ls")
    here = Path(__file__)
    mpremote("fs", "cp", str(here), ":copied.py")
    assert (street.bands[0].root / "copied.py").read_bytes() == here.read_bytes()


@pytest.mark.parametrize("how", [[], ["resume"]])
def test_no_watchdog_bites_an_engineer(street: Street, how: list[str]) -> None:
    # mpremote makes a soft reset first, unless it is to resume. The watchdog goes through both.
    band = street.bands[0]
    street.later(30)
    port = street.sim.plug(band)
    street.sim.run_on()
    subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", port, *how, "exec", "print(1)"],
        check=True,
        capture_output=True,
        timeout=40,
    )
    street.sim.hold()
    assert band.watchdog_ms
    starts = band.stats.starts
    street.later(600)
    assert (band.stats.watchdog_resets, band.stats.starts) == (0, starts)


def test_a_program_that_hangs_after_a_soft_reset_meets_the_watchdog(street: Street) -> None:
    band = street.bands[0]
    street.later(30)
    run = band.root / "a" / "band" / "run.mpy"
    run.unlink()
    run.with_suffix(".py").write_text("import time\n\ndef main():\n    time.sleep(1000000)\n")
    street.sim.reset(band, Reset.SOFT)
    street.later(110)
    assert band.stats.watchdog_resets == 0
    street.later(30)
    assert band.stats.watchdog_resets == 1


def test_a_foreign_device_and_a_port_that_is_none_are_told_apart(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    result = DockJob("/dev/does-not-exist", spool, "st", True, dock_key).run()
    assert result.outcome == Outcome.NO_BAND.value and result.message
    master, slave = pty.openpty()
    tty.setraw(slave)
    stop = threading.Event()

    def babble() -> None:
        while not stop.is_set():
            os.write(master, os.urandom(40))
            time.sleep(0.02)

    thread = threading.Thread(target=babble)
    thread.start()
    link = Link(os.ttyname(slave))
    try:
        with pytest.raises(NoBand):
            BandSession(link, dock_key).hello(1.5)
    finally:
        stop.set()
        thread.join()
        link.close()
        os.close(master)
        os.close(slave)


def test_a_session_refuses_what_it_may_not_do(street: Street) -> None:
    street.issue()
    port = street.sim.plug(street.bands[0])
    street.sim.run_on()
    link = Link(port)
    session = BandSession(link, dock_key, lambda: street.utc() + 21 * 86_400)
    greeting = session.greet()
    with pytest.raises(Refused) as refused:
        session.set_clock(5)
    assert refused.value.reason == messages.CLOCK_JUMP
    with pytest.raises(Refused):
        session.receipt(greeting.log_id, 0, greeting.head, bytes(32))
    with pytest.raises(Refused):
        session.set_state(77, 1)
    with pytest.raises(Refused):
        session.pull(greeting.log_id ^ 1, 0, lambda cursor, slots: None)
    assert session.self_test() == 0
    assert session.greet().state == records.ISSUED
    session.bye()
    link.close()
    with pytest.raises(LinkLost):
        Link("/dev/null-port")


def test_an_empty_battery_stops_radio_and_flash_until_it_is_charged(street: Street) -> None:
    street.issue()
    band = street.bands[0]
    street.later(400)
    band.battery_mv = 3200
    street.later(120)
    before = (band.directory / "bandlog.bin").read_bytes()
    assert band.controller is not None and not band.controller.advertising
    street.later(1200)
    street.sim.reset(band, Reset.USB)
    street.later(60)
    assert (band.directory / "bandlog.bin").read_bytes() == before
    band.battery_mv = 3900
    street.later(900)
    assert band.controller.advertising
    assert street.dock(band).outcome == Outcome.DONE.value
    assert sum(f[2] for f in street.heard(band)) > 1000


def test_health_marks_tell_drops_resets_battery_and_heap(street: Street) -> None:
    street.issue()
    street.later(7400)
    band = street.bands[0]
    street.sim.reset(band, Reset.SOFT)
    street.later(60)
    assert street.dock(band).outcome == Outcome.DONE.value
    marks: dict[int, list[bytes]] = {}
    for name in street.spool.waiting():
        batch = batches.unpack(street.spool.data(name))
        if batch.header.serial == band.name:
            for placed in parse(batch, street.opener(band)).records:
                marks.setdefault(placed.record[0], []).append(placed.record)
    health = [readers.read_health(record) for record in marks[records.HEALTH]]
    assert len(health) == 2
    for _, evicted, unwritten, refused, errors, late, mv, heap_low, sightings in health:
        assert evicted == unwritten == refused == errors == late == 0
        assert mv == 3900 and heap_low > 10_000 and sightings > 500
    boots = [readers.read_boot(record) for record in marks[records.BOOT]]
    assert [boot[4] for boot in boots] == [0, 1]  # resets since run time was lost
    charges = [readers.read_mark(record)[2] for record in marks[records.CHARGE]]
    # It was plugged in while it started; then it was worn, then docked again.
    assert charges == [records.ENDED, records.BEGAN]
    docks = [readers.read_mark(record)[2] for record in marks[records.DOCK]]
    assert docks == [records.BEGAN, records.ENDED, records.BEGAN]
