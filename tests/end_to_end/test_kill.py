"""The campaign of kills: all is well; and with a guard taken out it sees what must never happen."""

import os
import time
from pathlib import Path

import pytest

from trials import failures, seen
from zoneband.campaigns import kill, powerloss
from zoneband.campaigns.nursery import Clock, Nursery
from zoneband.campaigns.tally import Tally

pytestmark = pytest.mark.timeout(300)

NO_FSYNC = """
import os, types
from zoneband import durable
durable.os = types.SimpleNamespace(**{**vars(os), "fsync": lambda fd: None})
"""
# The ledger names a file before the file is there.
ROW_FIRST = """
import threading
from zoneband import durable
write = durable.write
def later(path, fill, mode=0o644):
    if "server" not in path.parts:
        return write(path, fill, mode)
    threading.Timer(0.05, write, (path, fill, mode)).start()
durable.write = later
"""
# Of what was taken before, some is taken again. (All of it again is the same segment again, and the
# ledger takes no segment twice.)
NO_DEDUPE = """
import os
from zoneband.server.sectors import Sectors
known = Sectors.around
def forget(seen):
    return bytes(one & other for one, other in zip(seen, os.urandom(16)))
def forgetful(self, *words):
    return {n: {**row, "seen": forget(row["seen"])} for n, row in known(self, *words).items()}
Sectors.around = forgetful
"""


def trial(rounds: int, changes: str = "", only: str = "", seed: int = 0) -> Tally:
    tally = Tally("kill", seed)
    kill.run(tally, rounds, changes=changes, only=only)
    return tally


def shows(monkeypatch: pytest.MonkeyPatch, failure: str, changes: str, only: str) -> bool:
    """Whether faults show what a guard that was taken out lets through: where they fall is the
    computer's own timing, so they may miss a few times."""
    tally = Tally("kill", 0)
    # Small sites, each judged for itself, out of one nursery.
    monkeypatch.setattr(kill, "ROUNDS_PER_SITE", 2)
    return seen(tally, failure, lambda told: kill.run(tally, 20, told, changes=changes, only=only))


def test_whatever_is_killed_every_encounter_is_in_once() -> None:
    tally = trial(10)
    assert tally.rounds == 10 and not failures(tally)
    assert sum(tally.figures.values()) >= 10 and len(tally.figures) >= 3


@pytest.mark.parametrize("only", ["server_full", "station_full", "server_clock", "station_clock"])
def test_full_disks_and_clocks_that_jump_lose_and_double_nothing(only: str) -> None:
    assert not failures(trial(3, only=only, seed=1))


def test_a_server_that_syncs_nothing_is_seen_to_lose(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shows(monkeypatch, "lost", NO_FSYNC, "power")


def test_a_ledger_that_names_a_file_before_it_is_there_is_seen_to_lose(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert shows(monkeypatch, "lost", ROW_FIRST, "server")


def test_a_server_that_takes_a_record_again_is_seen_to_double(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert shows(monkeypatch, "doubled", NO_DEDUPE, "dock")


def test_a_loss_of_power_takes_what_nobody_synced_and_leaves_the_rest(tmp_path: Path) -> None:
    root, journal = tmp_path / "root", tmp_path / "journal"
    (root / "old").mkdir(parents=True)
    (root / "old" / "before").write_text("kept")
    durable = powerloss.inodes(root)
    # In a process of its own: the journal is kept by changing what `os` does.
    child = os.fork()
    if child == 0:
        try:
            powerloss.keep_journal(str(journal))
            _live(root)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert powerloss.take_back(root, journal, durable) == 5
    left = {str(p.relative_to(root)): p.read_text() for p in root.rglob("*") if p.is_file()}
    assert left == {"old/before": "kept", "old/whole": "whole", "old/unsynced": "", "new/in": "in"}


def _live(root: Path) -> None:
    from zoneband.durable import folder, write

    write(root / "old" / "whole", lambda f: f.write(b"whole"))
    folder(root / "new")
    write(root / "new" / "in", lambda f: f.write(b"in"))
    (root / "lost").mkdir()  # nobody syncs the folder that it is in
    write(root / "lost" / "with it", lambda f: f.write(b"x"))
    (root / "old" / "torn.new").write_text("x")
    (root / "old" / "unsynced.new").write_text("not synced, but its name is")
    (root / "old" / "unsynced.new").replace(root / "old" / "unsynced")
    fd = os.open(root / "old", os.O_RDONLY)
    os.fsync(fd)
    (root / "old" / "late.new").write_text("x")
    (root / "old" / "late.new").replace(root / "old" / "late")


def test_a_process_of_the_nursery_lives_by_a_clock_that_jumps_and_dies_at_once(
    tmp_path: Path,
) -> None:
    clock = Clock(tmp_path / "clock")
    out = tmp_path / "out"
    show = "import time, zoneband.errors as e\ndef show():\n" + (
        "    while True:\n        print(time.time(), flush=True)\n        time.sleep(0.01)\n"
        "e.show = show\n"
    )
    with Nursery(show) as nursery:
        child = nursery.start("zoneband.errors:show", [], out, clock)
        time.sleep(0.3)
        clock.ahead_s = 1e6
        time.sleep(0.3)
        assert child.alive()
        child.kill()
        assert not child.alive()
        told = [float(line) for line in out.read_text().splitlines()]
        assert abs(told[0] - time.time()) < 60 and abs(told[-1] - time.time() - 1e6) < 60
        other = nursery.start("zoneband.errors:show", [], out, clock)
    assert not other.alive()
