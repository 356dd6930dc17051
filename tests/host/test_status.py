"""`zoneband status`: how server and station are, what to do, and an exit code for a script."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bandbook import DAY, NOON, A, B, BandBook, key
from certificates import Authority, last_days
from postgres import Postgres
from stationed import known
from support import ROOT
from zoneband import authority, seal, station_status
from zoneband import station as stations
from zoneband.seal import Kind
from zoneband.server import status
from zoneband.server.enrolment import Enrolment
from zoneband.server.process import running
from zoneband.server.running import Running
from zoneband.server.tracing_server import TracingServer
from zoneband.spool import Spool
from zoneband.station import Station
from zoneband.upload import Uploader

PASSPHRASE = "correct horse battery staple"


def call(data: Path, *words: str, lang: str = "en") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "zoneband", "--lang", lang, "status", "--data", str(data), *words],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT / "host"), "COLUMNS": "120"},
    )


def asked(data: Path) -> tuple[int, dict[str, Any]]:
    done = call(data, "--json")
    assert not done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


def levels(part: dict[str, Any]) -> dict[str, str]:
    for finding in part["findings"]:
        assert finding["text"] and bool(finding["fix"]) == (finding["level"] != "ok"), finding
    return {finding["name"]: finding["level"] for finding in part["findings"]}


def test_without_server_and_station_it_says_how_to_begin(tmp_path: Path) -> None:
    none = call(tmp_path)
    assert none.returncode == 3 and none.stderr.count("\n") == 1
    assert "station init" in none.stderr


def test_a_server_and_its_station_from_nothing_to_all_is_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = TracingServer(tmp_path / "server")
    server.enrol(Enrolment(A, "virtual", "band", DAY, key(A), bytes(32), key(A + "r")))
    code, told = asked(tmp_path)
    assert code == 1 and levels(told["server"])["running"] == "fault"
    assert levels(told["server"])["stations"] == "warning" and "station" not in told
    secret = known(server, "Chợ")
    authority.make(tmp_path, PASSPHRASE)
    # This computer's clock may be set by nobody here.
    monkeypatch.setattr(stations, "clock_vouched", lambda _: True)
    with running(tmp_path, PASSPHRASE) as url:
        stations.save(tmp_path, Station(url, "Chợ", secret, None))
        book = BandBook(A, tmp_path)
        book.met(B, NOON, 25, -66)
        spool = Spool(tmp_path / "station")
        spool.add(book.batch())
        _code, told = asked(tmp_path)
        assert told["station"]["waiting"] == 1
        assert abs(told["station"]["oldest_s"] - time.time()) < 60
        assert levels(told["station"])["spool"] == "ok"
        assert Uploader(tmp_path, spool, stations.need(tmp_path)).run().sent == 1
        code, told = asked(tmp_path)
        now = told["server"]["condition"]
        assert (now["bands"], now["batches_today"], now["waiting_batches"]) == (1, 1, 0)
        assert (now["encounters"], now["unresolved"], now["days"]) == (5, 5, 1)
        assert now["oldest_day"] == DAY and not now["postgresql"]
        [row] = now["stations"]
        assert row["name"] == "Chợ" and abs(row["seen_s"] - time.time()) < 60
        assert told["server"]["marks"]["Chợ"].startswith("station-")
        assert told["server"]["running"]["url"] == url
        assert told["server"]["running"]["unlocked"] == [1]
        assert set(levels(told["server"]).values()) == {"ok"}
        station = {k: v for k, v in levels(told["station"]).items() if k != "clock"}
        assert set(station.values()) == {"ok"} and told["station"]["waiting"] == 0
        assert told["station"]["reachable"] and told["station"]["oldest_s"] is None
        # The exit code is of what is told, which includes this computer's clock.
        assert code == (1 if "clock" in levels(told["station"]) else 0)
        (tmp_path / "station").rename(tmp_path / "elsewhere")
        assert asked(tmp_path)[0] == 0
        shown = call(tmp_path, lang="vi")
        assert shown.returncode == 0 and "Chợ" in shown.stdout and "✓" in shown.stdout
    assert asked(tmp_path)[1]["server"]["running"] is None


def test_a_locked_server_says_what_waits_and_how_to_unlock_it(tmp_path: Path) -> None:
    public = authority.make(tmp_path, PASSPHRASE)
    server = TracingServer(tmp_path / "server", numbers=[1])
    known(server, "st")
    data = seal.seal(public, Kind.PERSON, {"serial": A, "number": 1})
    server.take_sealed("st", "0" * 64, data)
    with running(tmp_path) as url:
        del url
        code, told = asked(tmp_path)
    assert code == 1 and told["server"]["condition"]["waiting_records"] == 1
    [locked] = [f for f in told["server"]["findings"] if f["name"] == "locked"]
    assert locked["level"] == "warning" and "passphrase: 1." in locked["text"]


def test_a_ledger_that_is_away_is_one_finding(
    postgres: Postgres, home: Path, tmp_path: Path
) -> None:
    TracingServer(home)
    postgres.stop()
    try:
        code, told = asked(tmp_path)
    finally:
        postgres.start()
    assert code == 1 and told["server"]["condition"] is None
    assert levels(told["server"])["ledger"] == "fault"
    code, told = asked(tmp_path)
    assert told["server"]["condition"]["postgresql"]


def now(tmp_path: Path, tls_dir: str = "") -> status.ServerStatus:
    found = status.of(tmp_path / "server")
    assert found.condition is not None
    runs = Running("https://tracing.example.vn", 0, [1], tls_dir)
    return status.ServerStatus(runs, found.condition, "", {}, None, "")


def test_a_station_that_is_silent_for_a_day_is_named(tmp_path: Path) -> None:
    known(TracingServer(tmp_path / "server"), "Cảng")
    for hours, level in ((23, "ok"), (25, "warning")):
        told = status.findings(now(tmp_path), lambda ahead=hours: time.time() + ahead * 3600)
        [found] = [finding for finding in told if finding.name == "stations"]
        assert found.level == level and (level == "ok" or "Cảng" in found.text)


def test_little_room_is_told_on_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known(TracingServer(tmp_path / "server"), "st")
    stations.save(tmp_path, Station("http://127.0.0.1:9", "st", None, None))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3_000_000))
    told = status.findings(now(tmp_path))
    assert [f.level for f in told if f.name == "disk"] == ["fault"]
    station = station_status.look(tmp_path)
    assert station is not None
    told = station_status.findings(station)
    assert [f.level for f in told if f.name == "disk"] == ["fault"]


def test_a_certificate_is_told_before_it_ends(tmp_path: Path) -> None:
    trusted = Authority(tmp_path)
    known(TracingServer(tmp_path / "server"), "st")
    trusted.sign(tmp_path / "tls", *last_days(20))
    with running(tmp_path, tls_dir=tmp_path / "tls"):
        for days, level in ((20, "ok"), (3, "warning"), (-1, "fault")):
            trusted.sign(tmp_path / "tls", *last_days(days))
            told = status.findings(status.of(tmp_path / "server"))
            assert [f.level for f in told if f.name == "certificate"] == [level], days


def test_what_a_station_has_not_sent_for_a_day_is_told(tmp_path: Path) -> None:
    stations.save(tmp_path, Station("http://127.0.0.1:9", "st", None, None))
    spool = Spool(tmp_path / "station")
    book = BandBook(A, tmp_path)
    book.met(B, NOON, 5, -66)
    name = spool.add(book.batch())
    found = station_status.look(tmp_path)
    assert found is not None and found.waiting == 1 and not found.reachable
    for hours, level in ((23, "ok"), (25, "warning")):
        told = station_status.findings(found, lambda ahead=hours: time.time() + ahead * 3600)
        [waits] = [finding for finding in told if finding.name == "spool"]
        assert waits.level == level and waits.text.startswith("Waiting to be sent: 1, ")
        assert [f.level for f in told if f.name == "server"] == ["warning"]
    spool.refused(name, "422")
    found = station_status.look(tmp_path)
    assert found is not None and (found.waiting, found.refused, found.oldest_s) == (0, 1, None)
    told = station_status.findings(found)
    assert [f.level for f in told if f.name == "refused"] == ["fault"]


def test_the_oldest_that_waits_may_be_a_sealed_record(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "station")
    assert spool.oldest_s() is None
    spool.add_sealed(1, A, b"x", ready=False)
    assert spool.oldest_s() is None
    name = spool.add_sealed(1, A, b"y")
    assert abs((spool.oldest_s() or 0) - time.time()) < 60
    spool.sealed_sent(name)
    assert spool.oldest_s() is None
