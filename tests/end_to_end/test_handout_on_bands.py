"""Handing out, on bands that run the firmware: what was asked for takes effect at the next dock."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from street import Street
from support import ROOT
from zoneband import authority
from zoneband import batch as batches
from zoneband.dock.job import DockJob, Outcome
from zoneband.dock.link import Link
from zoneband.dock.session import BandSession
from zoneband.handout import person
from zoneband.handout.handout import Handout
from zoneband.handout.person import Person
from zoneband.inventory import State
from zoneband.server.parse import parse
from zoneband.sim import keys
from zoneband.sim.keys import dock_key
from zoneband.sim.simulation import VirtualBand
from zoneband.wire import readers, records

WORDS = (
    "--name", "Lê Thị Hoa", "--birth-year", "1950", "--commune", "26740", "--read-by", "Bình",
    "--consent", "trace",
)  # fmt: skip


def wearer(name: str) -> Person:
    return person.read(
        name=name, birth_year="1948", phone="0912345678", relative=False, commune="26740",
        given=["trace", "call"], language="vi", read_by="Bình",
    )  # fmt: skip


@pytest.fixture
def handout(street: Street, tmp_path: Path) -> Handout:
    """The hand-out at the street's station."""
    authority.make(tmp_path, "correct horse battery")
    keys.give(tmp_path)
    return Handout(tmp_path, street.utc)


def state(street: Street, band: VirtualBand) -> int:
    """What the band says of itself."""
    port = street.sim.plug(band)
    street.sim.run_on()
    link = Link(port)
    session = BandSession(link, dock_key)
    found = session.greet().state
    session.bye()
    link.close()
    street.sim.hold()
    street.sim.unplug(band)
    return found


def marks(street: Street, band: VirtualBand) -> list[tuple[int, int]]:
    """(state, number) of each state mark in the band's log, as far as it was pulled."""
    found: dict[tuple[int, int], tuple[int, int]] = {}
    for name in street.spool.waiting():
        batch = batches.unpack(street.spool.data(name))
        if batch.header.serial == band.name:
            for placed in parse(batch, street.opener(band)).records:
                if placed.record[0] == records.STATE:
                    _, _, value, number = readers.read_mark(placed.record)
                    found[placed.sector, placed.slot] = (value, number)
    return [found[place] for place in sorted(found)]


def test_a_hand_out_takes_effect_at_the_next_dock_and_two_wearers_stay_two(
    street: Street, handout: Handout
) -> None:
    [band, _] = street.bands
    first = handout.issue(band.name, wearer("Nguyễn Thị Yến"))
    result = street.dock(band)
    assert result.outcome == Outcome.DONE.value and "Handed out" in result.note
    street.sim.unplug(band)
    assert state(street, band) == records.ISSUED
    row = street.inventory.row(band.name)
    assert row is not None and row.state == State.ISSUED and not row.waits

    assert "Handed out" not in street.dock(band).note
    street.sim.unplug(band)
    handout.take_back(band.name)
    assert "Taken back" in street.dock(band).note
    street.sim.unplug(band)
    assert state(street, band) == records.RETURNED

    second = handout.issue(band.name, wearer("Lê Thị Hoa"))
    street.dock(band)
    street.sim.unplug(band)
    street.dock(band)
    found = marks(street, band)
    assert [value for value, _ in found] == [records.ISSUED, records.RETURNED, records.ISSUED]
    assert found[0][1] == first.number and found[2][1] == second.number != first.number


def test_a_band_that_nobody_has_docked_between_two_wearers_still_tells_them_apart(
    street: Street, handout: Handout
) -> None:
    [band, _] = street.bands
    first = handout.issue(band.name, wearer("Nguyễn Thị Yến"))
    street.dock(band)
    street.sim.unplug(band)
    handout.take_back(band.name)
    second = handout.issue(band.name, wearer("Lê Thị Hoa"))
    for _ in range(2):
        street.dock(band)
        street.sim.unplug(band)
    issued = [number for value, number in marks(street, band) if value == records.ISSUED]
    assert issued == [first.number, second.number]


def test_a_lost_band_that_is_docked_is_put_aside_and_its_log_is_kept(
    street: Street, handout: Handout
) -> None:
    street.issue()
    street.later(600)
    [band, other] = street.bands
    handout.lose(band.name)
    result = street.dock(band)
    assert result.outcome == Outcome.DONE.value and "lost: put it aside" in result.note
    assert result.slots > 0 and street.heard(band)
    street.sim.unplug(band)

    street.dock(other)
    street.sim.unplug(other)
    handout.find(band.name)
    handout.take_back(band.name)
    handout.take_back(other.name)
    street.inventory.leave(other.name, State.RETIRED)
    assert "out of use: put it aside" in street.dock(other).note
    street.sim.unplug(other)
    assert state(street, other) == records.ISSUED  # no wish is granted to such a band
    assert "Taken back" in street.dock(band).note


def test_a_dock_that_breaks_off_leaves_the_wish_and_the_next_one_grants_it_once(
    street: Street, handout: Handout, monkeypatch: pytest.MonkeyPatch
) -> None:
    [band, _] = street.bands
    act = handout.issue(band.name, wearer("Nguyễn Thị Yến"))
    with monkeypatch.context() as patch:
        patch.setattr(street.inventory, "granted", _cut)
        assert street.dock(band).outcome != Outcome.DONE.value
    assert street.inventory.wish(band.name) is not None
    for _ in range(2):
        street.sim.unplug(band)
        street.dock(band)
    assert street.inventory.wish(band.name) is None
    assert marks(street, band) == [(records.ISSUED, act.number)]


def _cut(wish: object) -> None:
    from zoneband.dock.link import LinkLost

    raise LinkLost("the cable is out")


def test_a_dock_without_an_inventory_changes_no_state(street: Street, handout: Handout) -> None:
    [band, _] = street.bands
    handout.issue(band.name, wearer("Nguyễn Thị Yến"))
    port = street.sim.plug(band)
    street.sim.run_on()
    result = DockJob(port, street.spool, "st", True, dock_key, utc=street.utc).run()
    street.sim.hold()
    assert result.outcome == Outcome.DONE.value
    assert street.inventory.wish(band.name) is not None


def test_a_band_in_its_cradle_is_active_at_once(
    street: Street, handout: Handout, tmp_path: Path
) -> None:
    def zoneband(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "zoneband", "--lang", "en", *words, "--data", str(tmp_path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            env=os.environ | {"PYTHONPATH": str(ROOT / "host")},
        )

    [band, other] = street.bands
    ports = [street.sim.plug(other), street.sim.plug(band)]
    street.sim.run_on()
    given = [word for port in ports for word in ("--port", port)]
    done = zoneband("issue", band.name, *WORDS, "--now", *given, "--json")
    assert done.returncode == 0, done.stderr
    assert not json.loads(done.stdout)["waits"]
    docked = zoneband("dock", "--once", "--json", "--port", ports[1])
    assert docked.returncode == 0, docked.stdout + docked.stderr
    [line] = json.loads(docked.stdout)
    assert line["serial"] == band.name and "Handed out" not in line["note"]
    assert zoneband("return", band.name).returncode == 0
    docked = zoneband("dock", "--once", "--json", "--port", ports[1])
    assert "Taken back" in json.loads(docked.stdout)[0]["note"]
    elsewhere = zoneband("issue", band.name, *WORDS, "--port", ports[0])
    assert elsewhere.returncode == 4 and "did not answer" in elsewhere.stderr
    street.sim.hold()
    street.sim.unplug(band)
    assert state(street, band) == records.RETURNED
