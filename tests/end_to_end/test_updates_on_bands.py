"""A signed update over the dock: the band takes it, starts it by itself and keeps it."""

import shutil
import time
from pathlib import Path

import pytest

from street import Street
from zoneband import batch as batches
from zoneband import release
from zoneband.dock.greeting import Greeting
from zoneband.dock.job import ISSUE, DockJob, DockResult, Outcome
from zoneband.flash import app
from zoneband.release import Bundle
from zoneband.seal import PublicKey
from zoneband.server.parse import parse
from zoneband.sim import keys
from zoneband.sim.band import VirtualBand
from zoneband.wire import bundle as manifests
from zoneband.wire import readers, records

NEXT = (9, 0, 0)


@pytest.fixture
def worn(tmp_path: Path) -> Street:
    """A band that believes the updates of virtual bands' authority."""
    return Street(tmp_path, [0.0])


def newer(folder: Path) -> Bundle:
    """The firmware as it is, under a newer version."""
    shutil.copytree(app.FIRMWARE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    version = folder / "band" / "version.py"
    now = version.read_text()
    version.write_text(now.replace("VERSION = (0, 1, 0)", "VERSION = (9, 0, 0)"))
    assert version.read_text() != now
    public = PublicKey(keys.AUTHORITY_NUMBER, bytes(32), keys.SIGNER)
    return release.make(keys.SIGNING, public, folder=folder)


def dock(street: Street, band: VirtualBand, found: Bundle | None) -> DockResult:
    def find(said: Greeting) -> Bundle | None:
        assert (said.board, said.signer) == ("virtual", keys.AUTHORITY_NUMBER)
        assert found is None or said.firmware < NEXT
        return found

    port = street.sim.plug(band)
    street.sim.run_on()
    job = DockJob(
        port, street.spool, "st", True, keys.dock_key, utc=street.utc, find_update=find
    )  # fmt: skip
    return job.run()


def told(street: Street, band: VirtualBand) -> list[tuple[int, int]]:
    """(what became of it, version) in each update mark of the band's log."""
    found: set[tuple[int, int, int, int]] = set()
    for name in street.spool.waiting():
        batch = batches.unpack(street.spool.data(name))
        for placed in parse(batch, street.opener(band)).records:
            if placed.record[0] == records.UPDATE:
                _, _, value, number = readers.read_mark(placed.record)
                found.add((placed.sector, placed.slot, value, number))
    return [each[2:] for each in sorted(found)]


def test_an_update_comes_after_the_cue_and_the_band_starts_it_and_keeps_it(
    worn: Street, tmp_path: Path
) -> None:
    street, [band] = worn, worn.bands
    try:
        assert street.dock(band, (ISSUE, 1)).outcome == Outcome.DONE.value
        starts = band.stats.starts
        result = dock(street, band, newer(tmp_path / "newer"))
        assert result.outcome == Outcome.DONE.value
        assert "Updated to 9.0.0" in result.note
        deadline = time.monotonic() + 20
        while band.stats.starts == starts and time.monotonic() < deadline:
            time.sleep(0.1)
        assert band.stats.starts == starts + 1
        street.sim.unplug(band)
        street.sim.hold()
        street.later(200)
        assert (band.root / "b.app").exists()
        assert dock(street, band, None).outcome == Outcome.DONE.value
        number = manifests.number(NEXT)
        assert told(street, band) == [
            (records.UPDATE_BEGUN, number),
            (records.UPDATE_KEPT, number),
        ]
    finally:
        street.sim.__exit__()
