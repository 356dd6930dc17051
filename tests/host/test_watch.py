"""A server that is watched: metrics, log and health, and that none of them tells of a person."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

import clocked
from bandbook import DAY, NOON, A, B, key
from postgres import Postgres
from sealedbook import SealedBook
from stationed import come
from support import ROOT
from zoneband import authority, seal
from zoneband.seal import Kind
from zoneband.server import database
from zoneband.server.app import make_app
from zoneband.server.process import running
from zoneband.server.pseudonyms import Pseudonyms

NOW = NOON + 86_400
PASSPHRASE, TOKEN = "correct horse battery staple", "metrics-token-of-the-tests"
NAME, PHONE, STATION, TRACER = "Trần Thị Lan", "0912345678", "Chợ Bình Tây", "lan.tran"
STRANGER, PASSWORD = "203.0.113.9", "a password that is wrong"
WATCHER = {"Authorization": f"Bearer {TOKEN}"}


@dataclass(frozen=True)
class Day:
    """What a day of a server left: its log, its metrics, and everything that neither may tell."""

    log: str
    metrics: str
    private: list[str]
    marks: Pseudonyms

    def requests(self) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == "request"]


def told(text: str, private: list[str]) -> list[str]:
    """What of it stands in a text, however it is written."""
    spellings = {word: {word, json.dumps(word)[1:-1], httpx2.URL("/" + word).raw_path[1:].decode()}
                 for word in private}  # fmt: skip
    return [word for word, ways in spellings.items() if any(way in text for way in ways)]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    """An upload, hand-outs, a case, its contacts, a log-in that fails and questions that are
    nonsense, at a real server in a process of its own."""
    data = tmp_path_factory.mktemp("watched")
    public = authority.make(data, PASSPHRASE)
    os.environ["ZONEBAND_METRICS_TOKEN"] = TOKEN
    clock = lambda: NOW  # noqa: E731
    try:
        with running(data, PASSPHRASE, clocked.tool(NOW)) as url:
            http = httpx2.Client(base_url=url, trust_env=False, timeout=30)
            http.headers["X-Forwarded-For"] = STRANGER
            signs = come(http, data / "server", STATION, clock)
            where = f"/v1/stations/{STATION}"
            names = []

            def record(kind: Kind, **facts: Any) -> None:
                sealed = seal.seal(public, kind, facts)
                names.append(hashlib.sha256(sealed).hexdigest())
                answer = http.put(f"{where}/records/{names[-1]}", content=sealed, auth=signs)
                assert answer.status_code == 201, answer.text

            for number, serial in enumerate((A, B), 1):
                record(
                    Kind.ENROLMENT,
                    serial=serial,
                    board="virtual",
                    role="band",
                    base_day=DAY,
                    base_key=key(serial).hex(),
                    dock_key="00" * 32,
                    receipt_key=key(serial + "r").hex(),
                )
                record(
                    Kind.PERSON,
                    serial=serial,
                    number=number,
                    utc_s=NOON - 3600,
                    name=NAME,
                    phone=PHONE,
                )
            opened = authority.unlock(data, PASSPHRASE)[1].public_key()
            for serial, other in ((A, B), (B, A)):
                book = SealedBook(serial, public=opened)
                book.met(other, NOON, 20, -60)
                batch = book.batch(station=STATION)
                place = f"{where}/batches/{hashlib.sha256(batch).hexdigest()}"
                assert http.put(place, content=batch, auth=signs).status_code == 201
                assert http.put(place, content=batch, auth=signs).status_code == 200
                assert http.put(place, content=b"nonsense", auth=signs).status_code == 422
            assert http.put(place, content=batch).status_code == 401
            token = (data / "server" / "tracer-token").read_text()
            tracer = {"Authorization": f"Bearer {token}"}
            span = {"from": "2026-11-03", "to": "2026-11-03"}
            trace = http.get(f"/v1/traces/{A}", params=span, headers=tracer).json()
            assert [c["serial"] for c in trace["contacts"]] == [B], trace
            people = http.get(f"/v1/bands/{A}/people", headers=tracer).json()
            assert people[0]["name"] == NAME
            code = http.post("/v1/case-codes", headers=tracer).json()["code"]
            case = {"serial": A, "onset": "2026-11-03", "code": code}
            assert http.post("/v1/cases", json=case, headers=tracer).status_code == 201
            assert http.get("/v1/cases/1/contacts", headers=tracer).status_code == 200
            for wrong in (f"/v1/bands/{A}", f"/{NAME}/{PHONE}", f"/v1/nothing/{A}?name={NAME}"):
                assert http.get(wrong).status_code in (401, 404)
            [form] = re.findall(r'name="form" value="([^"]+)"', http.get("/tracer/login").text)
            values = {"name": TRACER, "password": PASSWORD, "code": "123456", "form": form}
            assert http.post("/tracer/login", data=values).status_code == 401
            http.request(f"X{PHONE}", "/healthz")
            metrics = http.get("/metrics", headers=WATCHER)
            assert metrics.status_code == 200
    finally:
        del os.environ["ZONEBAND_METRICS_TOKEN"]
    small = [A.lower(), A.replace("-", ""), B.lower(), B.replace("-", "")]
    private = [A, B, *small, NAME, "Lan", PHONE, STATION, TRACER, PASSWORD, PASSPHRASE, TOKEN]
    private += [token, STRANGER, "127.0.0.1", *names, signs._key_id]
    log = (data / "server.log").read_text()
    # What the verb prints to people is no log.
    log = "\n".join(line for line in log.splitlines() if line.startswith("{"))
    yield Day(log, metrics.text, private, Pseudonyms(data / "server"))


def test_no_line_of_the_log_tells_of_a_person(day: Day) -> None:
    assert len(day.requests()) > 15
    assert told(day.log, day.private) == []
    assert not re.search(r"\b\d{1,3}(\.\d{1,3}){3}\b", day.log)
    # The same search finds what is there.
    for word in day.private:
        assert word in told(day.log + json.dumps({"x": word}), day.private)


def test_no_name_label_or_value_of_the_metrics_tells_of_a_person(day: Day) -> None:
    assert told(day.metrics, day.private) == []
    assert not re.search(r"\b\d{1,3}(\.\d{1,3}){3}\b", day.metrics)
    labels = {
        (name, value)
        for family in text_string_to_metric_families(day.metrics)
        for sample in family.samples
        for name, value in sample.labels.items()
    }
    assert {name for name, _ in labels} == {"le", "method", "route", "status", "result", "station"}
    routes = {value for name, value in labels if name == "route"}
    assert "/v1/stations/{name}/batches/{sha256}" in routes and "none" in routes
    assert any(route.startswith("/tracer/") for route in routes)
    assert {value for name, value in labels if name == "method"} <= {"GET", "PUT", "POST", "other"}


def test_a_request_is_logged_by_route_status_and_time(day: Day) -> None:
    puts = [line for line in day.requests() if line["route"].endswith("/batches/{sha256}")]
    assert sorted(line["status"] for line in puts) == [200, 200, 201, 201, 401, 422, 422]
    for line in puts:
        assert line["method"] == "PUT" and line["level"] == "info"
        assert abs(line["utc_ms"] / 1000 - NOW) < 600 and 0 <= line["ms"] < 60_000
        mark = day.marks.station(STATION) if line["status"] < 300 else None
        assert line.get("station") == mark
    [asked] = [line for line in day.requests() if line["route"] == "/v1/bands/{serial}/people"]
    assert asked["band"] == day.marks.band(A.lower())


def values(text: str) -> dict[str, float]:
    """Metrics by their name and labels."""
    return {
        sample.name + "".join(f" {v}" for k, v in sample.labels.items() if k != "le"): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_metrics_count_what_came(day: Day) -> None:
    found = values(day.metrics)
    assert [found[f"zoneband_batches_total {r}"] for r in ("new", "known", "refused")] == [2, 2, 3]
    assert found["zoneband_batches_total failed"] == 0
    # Four encounters of five minutes each, and a clock mark or two beside.
    assert found["zoneband_encounters"] == 8 and found["zoneband_records_total"] >= 8
    assert found["zoneband_slots_total"] > 2 * found["zoneband_records_total"]
    assert found["zoneband_unresolved_share"] == 0
    assert found["zoneband_bands"] == 2 and found["zoneband_days"] == 1
    assert found["zoneband_waiting_batches"] == found["zoneband_waiting_records"] == 0
    assert found["zoneband_ledger_up"] == 1 and found["zoneband_authority_locked"] == 0
    assert found["zoneband_disk_free_bytes"] > 1e6
    mark = day.marks.station(STATION)
    assert 0 <= found[f"zoneband_station_newest_batch_age_seconds {mark}"] < 600
    assert -600 < found[f"zoneband_station_clock_ahead_seconds {mark}"] <= 1


@pytest.fixture
def http(tmp_path: Path) -> TestClient:
    return TestClient(make_app(tmp_path, lambda: NOW, metrics_token=TOKEN))


def test_metrics_are_for_whoever_knows_their_token(http: TestClient, tmp_path: Path) -> None:
    for wrong in (None, "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer é"):
        headers = {} if wrong is None else {"Authorization": wrong.encode()}
        assert http.get("/metrics", headers=headers).status_code == 404
    assert http.get("/metrics", headers=WATCHER).status_code == 200
    silent = TestClient(make_app(tmp_path, lambda: NOW))
    for headers in ({}, WATCHER, {"Authorization": "Bearer None"}, {"Authorization": "Bearer "}):
        assert silent.get("/metrics", headers=headers).status_code == 404


def test_health_is_one_word_a_part_and_no_more_to_strangers(http: TestClient) -> None:
    answer = http.get("/healthz")
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    parts = {"status": "ready", "ledger": "ready", "disk": "ready", "authority": "locked"}
    assert answer.json() == parts
    known = http.get("/healthz", headers=WATCHER).json()
    assert known.keys() - parts.keys() == {"version", "disk_free_bytes"}


def test_a_full_disk_is_not_ready(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3_000_000))
    answer = http.get("/healthz")
    assert answer.status_code == 503
    assert (answer.json()["status"], answer.json()["disk"]) == ("not ready", "not ready")
    assert answer.json()["ledger"] == "ready"


def test_a_ledger_that_is_away_is_not_ready(postgres: Postgres, home: Path) -> None:
    http = TestClient(make_app(home, lambda: NOW, metrics_token=TOKEN))
    assert http.get("/healthz").status_code == 200
    postgres.stop()
    try:
        time.sleep(1.1)  # an answer is given again for a second
        answer = http.get("/healthz")
        assert answer.status_code == 503 and answer.json()["ledger"] == "not ready"
        assert database.VARIABLE not in answer.text and str(postgres.where) not in answer.text
        found = values(http.get("/metrics", headers=WATCHER).text)
        assert found["zoneband_ledger_up"] == 0 and "zoneband_bands" not in found
    finally:
        postgres.start()
    time.sleep(1.1)
    assert http.get("/healthz").status_code == 200


FAULT = """
import logging, sys
from pathlib import Path
from zoneband.server import logs
logs.configure(sys.argv[2] == "json", Path(sys.argv[1]))
def inner():
    raise ValueError("phone 0912345678 of ZB-AAAA-000K")
try:
    try:
        inner()
    except ValueError as error:
        raise KeyError("Trần Thị Lan") from error
except KeyError:
    logging.getLogger("zoneband").exception("Record of %s could not be opened", "zbaaaa000k")
    logging.getLogger("uvicorn.error").error("Exception in ASGI application", exc_info=True)
logging.getLogger("sqlalchemy.engine").info("SELECT 0912345678")
logging.getLogger("another").warning("of ZB-AAAA-000K")
"""


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_fault_is_told_by_its_place_and_not_by_what_it_says(tmp_path: Path, form: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAULT, str(tmp_path), form],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT / "host"), "PYTHONUTF8": "1"},
        timeout=60,
    )
    assert done.returncode == 0 and not done.stdout
    assert told(done.stderr, [A, A.lower(), "0912345678", "Trần", "zbaaaa000k"]) == []
    mark = Pseudonyms(tmp_path).band(A)
    assert done.stderr.count(mark) == 2 and "inner" in done.stderr
    assert done.stderr.count("builtins.ValueError") == 2 and "Traceback" not in done.stderr
    if form == "json":
        lines = [json.loads(line) for line in done.stderr.splitlines()]
        assert [line["level"] for line in lines] == ["error", "error", "warning"]
        assert [len(line.get("fault", [])) for line in lines] == [2, 2, 0]


def test_marks_are_of_one_server_and_the_same_however_a_serial_is_written(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = Pseudonyms(tmp_path / "one"), Pseudonyms(tmp_path / "two")
    assert (
        one.band(A) == one.band(A.lower().replace("-", "")) == Pseudonyms(tmp_path / "one").band(A)
    )
    assert one.band(A) != two.band(A) != one.band(B)
    assert (tmp_path / "one" / "log-key").stat().st_mode & 0o077 == 0
    assert one.hide(f"{A}, {B.lower()} met") == f"{one.band(A)}, {one.band(B)} met"
