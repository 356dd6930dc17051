"""What goes wrong at a station, with real bands on real ports: one clear line, nothing lost."""

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
import tty
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import clocked
from stationed import known
from street import START, Street
from support import ROOT
from zoneband import authority
from zoneband import batch as batches
from zoneband.cli.dock import Station as DockStation
from zoneband.dock.job import ISSUE, DockJob, DockResult, Outcome
from zoneband.dock.link import Link
from zoneband.dock.session import BandSession, Refused
from zoneband.server.enrolment import Enrolment
from zoneband.server.process import running
from zoneband.server.tracing_server import TracingServer
from zoneband.sim import keys
from zoneband.sim.keys import dock_key
from zoneband.sim.simulation import Provision, Reset
from zoneband.spool import Spool
from zoneband.station import Station
from zoneband.upload import Uploader
from zoneband.wire import frames, messages, records, status

PASSPHRASE = "correct horse battery"


def slots_of(spool: Spool) -> dict[tuple[str, int], dict[int, bytes]]:
    """(serial, log id) to {cursor: slot} of all that a spool holds; the same slot twice must be
    the same."""
    found: dict[tuple[str, int], dict[int, bytes]] = {}
    for name in spool.waiting():
        batch = batches.unpack(spool.data(name))
        held = found.setdefault((batch.header.serial, batch.header.log_id), {})
        for cursor, slots in batch.chunks:
            for i in range(0, len(slots), 32):
                slot = slots[i : i + 32]
                assert held.setdefault(cursor + i // 32, slot) == slot
    return found


def whole(held: dict[int, bytes]) -> bool:
    """Whether the slots are a log from its beginning on without a gap."""
    return sorted(held) == list(range(len(held)))


def facts(n: int, **more: Any) -> Provision:
    """A band that is handed out already."""
    base, receipt = bytes([n + 1, 0] * 16), bytes([n + 1, 2] * 16)
    serial, day = f"ZB-{n:04d}-0000", START // 86400
    return Provision(serial, day, base, None, receipt, issued_utc_s=START, **more)


def cli(*words: str, data: Path) -> subprocess.Popen[str]:
    keys.give(data)
    return subprocess.Popen(
        [sys.executable, "-m", "zoneband", "--lang", "en", *words, "--data", str(data)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "host"), "TERM": "dumb"},
    )


def test_a_station_killed_in_the_middle_of_a_pull_goes_on_where_it_was(tmp_path: Path) -> None:
    street = Street(tmp_path, [])
    try:
        band = street.sim.add_band("a", 0, 0, facts(0, filled=3000))
        port = street.sim.plug(band)
        street.sim.run_on()
        data = tmp_path / "data"
        for pause_s in (2.5, 4.0):
            run = cli("dock", "--once", "--json", "--port", port, data=data)
            time.sleep(pause_s)
            run.send_signal(signal.SIGKILL)
            run.wait()
        run = cli("dock", "--once", "--json", "--port", port, data=data)
        out, err = run.communicate(timeout=60)
        assert run.returncode == 0, err
        [result] = json.loads(out)
        assert result["outcome"] == "done" and result["serial"] == "ZB-0000-0000"
        [held] = slots_of(Spool(data / "station")).values()
        assert whole(held) and len(held) > 3000
    finally:
        street.sim.__exit__()


def test_a_hub_that_loses_power_with_twelve_docks_open(tmp_path: Path) -> None:
    street = Street(tmp_path, [])
    try:
        bands = [street.sim.add_band(str(n), n, 0, facts(n, filled=700)) for n in range(12)]
        street.sim.run_on()

        def dock_all(cut_after_s: float | None) -> list[DockResult]:
            results: list[DockResult] = []
            ports = [street.sim.plug(band) for band in bands]
            threads = [
                threading.Thread(
                    target=lambda port=port: results.append(
                        DockJob(port, street.spool, "st", True, dock_key, utc=street.utc).run()
                    )
                )
                for port in ports
            ]
            for thread in threads:
                thread.start()
            if cut_after_s is not None:
                time.sleep(cut_after_s)
                for band in bands:
                    street.sim.unplug(band)
                    street.sim.reset(band, Reset.POWER)
            for thread in threads:
                thread.join()
            return results

        first = dock_all(1.0)
        assert {r.outcome for r in first} <= {Outcome.BROKEN_OFF.value, Outcome.NO_BAND.value}
        assert all(r.message for r in first)
        second = dock_all(None)
        assert [r.outcome for r in second] == [Outcome.DONE.value] * 12
        found = slots_of(street.spool)
        assert len(found) == 12
        assert all(whole(held) and len(held) > 700 for held in found.values())
    finally:
        street.sim.__exit__()


def test_a_port_that_becomes_another_bands_in_the_middle_of_a_dock(tmp_path: Path) -> None:
    street = Street(tmp_path, [])
    try:
        a, b = (street.sim.add_band(str(n), n, 0, facts(n, filled=2000)) for n in range(2))
        street.sim.run_on()
        name = tmp_path / "ttyUSB0"
        name.symlink_to(street.sim.plug(a))

        def swap() -> None:
            street.sim.unplug(a)
            name.unlink()
            name.symlink_to(street.sim.plug(b))

        timer = threading.Timer(1.5, swap)
        timer.start()
        first = DockJob(str(name), street.spool, "st", True, dock_key, utc=street.utc).run()
        timer.join()
        assert first.outcome == Outcome.BROKEN_OFF.value
        second = DockJob(str(name), street.spool, "st", True, dock_key, utc=street.utc).run()
        assert second.outcome == Outcome.DONE.value and second.serial == "ZB-0001-0000"
        street.sim.unplug(b)
        third = DockJob(
            street.sim.plug(a), street.spool, "st", True, dock_key, utc=street.utc
        ).run()
        assert third.outcome == Outcome.DONE.value and third.serial == "ZB-0000-0000"
        found = slots_of(street.spool)
        assert sorted(serial for serial, _ in found) == ["ZB-0000-0000", "ZB-0001-0000"]
        assert all(whole(held) and len(held) > 2000 for held in found.values())
    finally:
        street.sim.__exit__()


def test_two_bands_with_one_serial_are_kept_apart_and_told(tmp_path: Path) -> None:
    street = Street(tmp_path, [])
    try:
        for n in range(2):
            band = street.sim.add_band(str(n), n, 0, facts(0, filled=50))
            street.sim.run_on()
            result = DockJob(
                street.sim.plug(band), street.spool, "st", True, dock_key, utc=street.utc
            ).run()
            assert result.outcome == Outcome.DONE.value
        assert "two bands" in result.note
        found = slots_of(street.spool)
        assert len(found) == 2
        assert all(whole(held) for held in found.values())
    finally:
        street.sim.__exit__()


def test_a_half_provisioned_band_is_put_aside(tmp_path: Path) -> None:
    street = Street(tmp_path, [])
    try:
        for n, missing in enumerate(("serial", "receipt_key", "bandkeys")):
            band = street.sim.add_band(str(n), n, 0, facts(n, missing=missing))
            street.sim.run_on()
            result = DockJob(
                street.sim.plug(band), street.spool, "st", True, dock_key, utc=street.utc
            ).run()
            assert result.outcome == Outcome.NOT_PROVISIONED.value
            assert result.message
            time.sleep(1.5)
            assert band.lights == 1  # one long blink
        assert street.spool.waiting() == []
    finally:
        street.sim.__exit__()


def test_a_band_at_two_stations_of_which_one_is_offline(tmp_path: Path) -> None:
    street = Street(tmp_path, [0.0, 1.0], authority=authority.make(tmp_path, PASSPHRASE))
    try:
        _at_two_stations(street, tmp_path)
    finally:
        street.sim.__exit__()


def _at_two_stations(street: Street, tmp_path: Path) -> None:
    street.issue()
    band, other = street.bands
    offline = Spool(tmp_path / "offline")
    online = Spool(tmp_path / "online")
    server = TracingServer(tmp_path / "server", utc=street.utc)
    for n, each in enumerate(street.bands):
        base, dock, receipt = (bytes([n + 1, k] * 16) for k in range(3))
        server.enrol(Enrolment(each.name, "virtual", "band", START // 86400, base, dock, receipt))
    keys = {name: known(server, name) for name in ("off", "on")}

    def dock(spool: Spool, name: str, url: str | None) -> DockResult:
        port = street.sim.plug(band)
        street.sim.run_on()
        deliver = None
        if url is not None:
            settings = Station(url, name, keys[name], None)
            deliver = lambda: Uploader(tmp_path, spool, settings).run(1)  # noqa: E731
        result = DockJob(port, spool, name, True, dock_key, deliver=deliver, utc=street.utc).run()
        street.sim.unplug(band)
        street.sim.hold()
        assert result.outcome == Outcome.DONE.value
        return result

    with running(tmp_path, PASSPHRASE, clocked.tool(street.utc())) as url:
        street.later(1200)
        dock(offline, "off", None)
        street.later(1200)
        assert dock(online, "on", url).receipted
        street.later(1200)
        assert not dock(offline, "off", None).receipted
        street.later(600)
        assert dock(online, "on", url).receipted
        # The offline station comes back at last: nothing of it counts twice.
        done = Uploader(tmp_path, offline, Station(url, "off", keys["off"], None)).run(1)
        assert done.waiting == done.refused == 0
    found = TracingServer(tmp_path / "server", utc=street.utc).trace(
        band.name, START - 3600, START + 86_400
    )
    [contact] = found["contacts"]
    assert contact["serial"] == other.name
    places = [(e["log_id"], e["sector"], e["slot"]) for e in contact["evidence"]]
    assert len(places) == len(set(places))
    assert 60 < contact["total_min"] < 72


def test_a_station_that_nobody_vouches_for_pulls_and_sets_no_clock(street: Street) -> None:
    band = street.bands[0]
    port = street.sim.plug(band)
    street.sim.run_on()
    wrong = DockJob(port, street.spool, "st", False, dock_key, utc=lambda: 1_000.0).run()
    assert wrong.outcome == Outcome.DONE.value
    assert not wrong.clock_set and "vouched" in wrong.note
    link = Link(port)
    session = BandSession(link, dock_key, street.utc)
    assert not session.greet().flags & status.UTC_SET
    session.bye()
    link.close()
    right = DockJob(port, street.spool, "st", True, dock_key, utc=street.utc).run()
    assert right.clock_set


def test_clocks_that_jump(street: Street) -> None:
    """Three weeks forward is refused; a day back is taken, and the band sends its earliest ID."""
    street.issue()
    street.later(1000)
    band = street.bands[0]
    port = street.sim.plug(band)
    street.sim.run_on()
    weeks = DockJob(
        port, street.spool, "st", True, dock_key, utc=lambda: street.utc() + 21 * 86_400
    ).run()
    assert weeks.outcome == Outcome.DONE.value and not weeks.clock_set
    assert "far from" in weeks.note
    link = Link(port)
    session = BandSession(link, dock_key, lambda: street.utc() - 80_000)
    session.greet()
    session.set_clock(5)
    session.bye()
    link.close()
    street.sim.unplug(band)
    street.sim.hold()
    assert band.controller is not None
    before = {s.data for s in band.controller.segments}
    street.later(30)
    link = Link(street.sim.plug(band))
    street.sim.run_on()
    session = BandSession(link, dock_key, street.utc)
    assert session.greet().flags & status.UTC_AHEAD
    session.set_clock(5)
    session.bye()
    link.close()
    # No earlier ID than those it had sent came out.
    sent = {s.data for s in band.controller.segments} - before
    assert len(sent) <= 1
    street.sim.hold()
    found = slots_of(street.spool)
    assert found


def test_an_issued_band_without_a_clock_takes_no_step_beyond_a_logs_life(tmp_path: Path) -> None:
    street = Street(tmp_path, [0.0])
    try:
        band = street.bands[0]
        assert street.dock(band, (ISSUE, 1)).outcome == Outcome.DONE.value
        street.sim.unplug(band)
        street.later(60)
        # Its flash log is lost and so is its time: only the keys know where they stand.
        street.sim.call(lambda: (band.directory / "bandlog.bin").unlink())
        street.sim.reset(band, Reset.POWER)
        port = street.sim.plug(band)
        street.sim.run_on()
        link = Link(port)
        session = BandSession(link, dock_key, lambda: street.utc() + 40 * 86_400)
        assert session.greet().state == records.ISSUED
        with pytest.raises(Refused) as refused:
            session.set_clock(5)
        assert refused.value.reason == messages.CLOCK_JUMP
        session.bye()
        link.close()
        assert street.dock(band).clock_set
    finally:
        street.sim.__exit__()


def test_a_foreign_device_beside_a_band_and_nothing_at_all(tmp_path: Path) -> None:
    street = Street(tmp_path, [0.0])
    master, slave = pty.openpty()
    tty.setraw(slave)
    try:
        port = street.sim.plug(street.bands[0])
        street.sim.run_on()
        other = os.ttyname(slave)
        run = cli("dock", "--once", "--json", "--port", port, "--port", other, data=tmp_path / "d")
        out, err = run.communicate(timeout=60)
        assert run.returncode == 4, err
        assert {r["outcome"] for r in json.loads(out)} == {"done", "no_band"}
        run = cli("dock", "--once", "--port", other, data=tmp_path / "d")
        out, err = run.communicate(timeout=60)
        assert run.returncode == 3
        assert "No band answers here" in out and "Traceback" not in out + err
    finally:
        os.close(master)
        os.close(slave)
        street.sim.__exit__()


def test_noise_and_half_frames_before_and_in_a_session(street: Street) -> None:
    port = street.sim.plug(street.bands[0])
    street.sim.run_on()
    link = Link(port)
    session = BandSession(link, dock_key, street.utc)
    link.send(bytes(range(4, 200)) + b"\x00")
    link.send(b"\x05\x01\x07")
    greeting = session.greet()
    assert greeting.serial == "ZB-0000-0000"
    # Half a frame, then a whole one; a frame with one bit turned.
    whole_frame = frames.encode(messages.one(messages.CLOCK_GET))
    link.send(whole_frame[: len(whole_frame) // 2])
    link.send(b"\x00")
    broken = bytearray(whole_frame)
    broken[2] ^= 0x10
    link.send(bytes(broken))
    assert session.clock().boot_id == greeting.boot_id
    # What does not prove that it is of this session is not answered at all.
    link.send(frames.encode(bytes([0x7E, 1, 2])))
    assert link.receive(0.5) is None
    # A type that nobody knows, and one that is cut short.
    for message, reason in (
        (bytes([0x7E, 1, 2]), messages.UNKNOWN_TYPE),
        (bytes([messages.PULL]), messages.BAD_MESSAGE),
    ):
        with pytest.raises(Refused) as refused:
            session.ask(message, messages.OK)
        assert refused.value.reason == reason
    session.bye()
    link.close()


def test_bands_are_docked_as_they_are_plugged_in_and_again_when_they_come_back(
    tmp_path: Path,
) -> None:
    street = Street(tmp_path, [])
    try:
        a, b = (street.sim.add_band(str(n), n, 0, facts(n, filled=100)) for n in range(2))
        street.sim.run_on()
        names = [tmp_path / f"ttyUSB{n}" for n in range(2)]
        keys.give(tmp_path / "data")
        station = DockStation(tmp_path / "data", [str(name) for name in names], 115_200)

        def docked(wanted: list[str]) -> None:
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                station.look()
                outcomes = sorted(str(r.serial) for r in station.results() if r.outcome == "done")
                if outcomes == wanted:
                    return
                time.sleep(0.1)
            pytest.fail(f"docked {outcomes}, wanted {wanted}")

        station.look()
        assert station.lines == {}
        names[0].symlink_to(street.sim.plug(a))
        docked(["ZB-0000-0000"])
        names[1].symlink_to(street.sim.plug(b))
        docked(["ZB-0000-0000", "ZB-0001-0000"])
        text = Console(width=110, record=True, file=open(os.devnull, "w"))
        text.print(station.table())
        shown = text.export_text()
        assert shown.count("Done – take the band off") == 2 and "3.90 V" in shown
        street.sim.unplug(a)
        names[0].unlink()
        docked(["ZB-0001-0000"])
        names[0].symlink_to(street.sim.plug(a))
        docked(["ZB-0000-0000", "ZB-0001-0000"])
        assert all(whole(held) for held in slots_of(station.spool).values())
    finally:
        street.sim.__exit__()


def test_a_spool_without_room_is_said_by_band_and_station_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    street = Street(tmp_path, [])
    try:
        band = street.sim.add_band("a", 0, 0, facts(0, filled=4000))
        port = street.sim.plug(band)
        street.sim.run_on()
        spool = street.spool
        pages = spool._db.execute("PRAGMA page_count").fetchone()[0]
        spool._db.execute(f"PRAGMA max_page_count={pages + 8}")  # SQLite's own "disk is full"
        full = DockJob(port, spool, "st", True, dock_key, utc=street.utc).run()
        assert full.outcome == Outcome.NO_ROOM.value and "disk" in full.message
        assert spool.waiting() == []
        spool._db.execute("PRAGMA max_page_count=1000000")
        again = DockJob(port, spool, "st", True, dock_key, utc=street.utc).run()
        assert again.outcome == Outcome.DONE.value
        [held] = slots_of(spool).values()
        assert whole(held) and len(held) > 4000
    finally:
        street.sim.__exit__()


def test_unplugged_at_each_phase_of_a_dock_and_plugged_in_again(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    street.issue()
    street.later(1500)
    band = street.bands[0]
    for phase in ("hello", "clock", "pull", "set_clock", "cue", "bye"):
        port = street.sim.plug(band)
        street.sim.run_on()
        real = getattr(BandSession, phase)

        def pulled(self: BandSession, *args: Any, real: Any = real, **more: Any) -> Any:
            street.sim.unplug(band)
            return real(self, *args, **more)

        with monkeypatch.context() as patch:
            patch.setattr(BandSession, phase, pulled)
            result = DockJob(port, street.spool, "st", True, dock_key, utc=street.utc).run()
        if phase == "bye":  # the cue has come: the band may be taken off
            assert result.outcome == Outcome.DONE.value
        else:
            assert result.outcome == Outcome.BROKEN_OFF.value, phase
            assert "Nothing is lost" in result.message
        street.sim.hold()
    assert street.dock(band).outcome == Outcome.DONE.value
    held = slots_of(street.spool)[
        next(key for key in slots_of(street.spool) if key[0] == band.name)
    ]
    assert whole(held)
    assert sum(f[2] for f in street.heard(band)) > 1300
