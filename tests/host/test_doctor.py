"""The doctor: each finding comes with its fix."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from bandbook import NOON, A, B, BandBook
from stationed import known, settings
from support import ROOT
from zoneband import doctor, station_status
from zoneband import station as stations
from zoneband.dock import ports
from zoneband.server.process import running
from zoneband.server.stations import open_stations
from zoneband.server.tracing_server import TracingServer
from zoneband.spool import Spool


def findings(data: Path) -> dict[str, doctor.Finding]:
    found = {finding.name: finding for finding in doctor.examine(data)}
    for finding in found.values():
        assert finding.text
        assert bool(finding.fix) == (finding.level != "ok"), finding
    return found


def test_what_is_missing_is_named_with_its_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "find", list)
    found = findings(tmp_path / "not" / "there")
    assert found["ports"].level == "warning"
    assert "station init" in found["server"].fix
    assert found["disk"].level == "ok"


def test_a_port_that_may_not_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "find", lambda: [ports.Port("/dev/none0", "CP210x")])
    found = findings(tmp_path)
    assert found["ports"].level == "ok" and "/dev/none0" in found["ports"].text
    assert found["access"].level == "fault" and "dialout" in found["access"].fix


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3_000_000))
    assert findings(tmp_path)["disk"].level == "fault"


@pytest.fixture
def modem_manager(tmp_path: Path) -> Iterator[None]:
    """A process of that name."""
    program = tmp_path / "ModemManager"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    run = subprocess.Popen([str(program), "60"])
    # Linux gives a process its name only after it has told its parent that it runs.
    name = Path(f"/proc/{run.pid}/comm")
    while name.read_text().strip() != "ModemManager":
        assert run.poll() is None
    yield
    run.kill()
    run.wait()


def test_a_service_that_grabs_ports(tmp_path: Path, modem_manager: None) -> None:
    found = findings(tmp_path)
    assert found["grabber"].level == "fault" and "ModemManager" in found["grabber"].text


def test_a_server_that_answers_and_one_that_does_not(tmp_path: Path) -> None:
    key = known(TracingServer(tmp_path / "server"), "st")
    with running(tmp_path) as url:
        stations.save(tmp_path, settings(url, key=key))
        assert findings(tmp_path)["server"].level == "ok"
        open_stations(tmp_path / "server").revoke("st")
        found = findings(tmp_path)["server"]
        assert found.level == "fault" and "station init --code CODE" in found.fix
        now = station_status.look(tmp_path)
        assert now is not None
        assert [f.level for f in station_status.findings(now) if f.name == "server"] == ["fault"]
    assert findings(tmp_path)["server"].level == "warning"


def test_what_cannot_be_looked_at_is_a_finding_and_the_next_is_looked_at(tmp_path: Path) -> None:
    stations.save(tmp_path, settings("http://127.0.0.1:9"))
    (tmp_path / "station" / "station.json").write_text("{")
    found = findings(tmp_path)
    assert found["server"].level == "fault" and "station.json" in found["server"].text
    assert "authority" in found
    (tmp_path / "file").write_text("")
    found = findings(tmp_path / "file")
    assert found["folder"].level == "fault" and "--data" in found["folder"].fix
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "ledger.sqlite").write_bytes(b"noise" * 1000)
    found = findings(tmp_path)
    assert found["ledger"].level == "fault" and "ledger" in found["ledger"].text


def test_what_waits_and_what_was_refused_is_told(tmp_path: Path) -> None:
    stations.save(tmp_path, settings("http://127.0.0.1:9"))
    spool = Spool(tmp_path / "station")
    book = BandBook(A, tmp_path)
    book.met(B, NOON, 5, -66)
    spool.add(book.batch())
    book.met(B, NOON + 600, 5, -66)
    spool.refused(spool.add(book.batch()), "422")
    found = findings(tmp_path)
    assert "1" in found["spool"].text and "upload" in found["spool"].fix
    assert found["refused"].level == "fault"


def test_the_verb_says_it_to_people_and_to_scripts(tmp_path: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "zoneband", "--lang", "vi", "doctor", "--data", str(tmp_path)]
            + list(words),
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT / "host"), "COLUMNS": "100"},
        )

    told = run("--json")
    levels = [finding["level"] for finding in json.loads(told.stdout)]
    assert told.returncode == (1 if "fault" in levels else 0)
    assert "→" in run().stdout
