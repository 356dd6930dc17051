"""How much, how fast and how slowly stations may ask and bring; and the list of them."""

import json
import shutil
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
import uvicorn
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from bandbook import DAY, NOON, A, B, BandBook, key
from sealedbook import AUTHORITY, NUMBER, SealedBook
from stationed import come, known
from zoneband import batch as batches
from zoneband.cli.main import main
from zoneband.disk import RESERVE_BYTES
from zoneband.i18n import set_language
from zoneband.server.app import make_app
from zoneband.server.enrolment import Enrolment
from zoneband.server.ledger import station_nonces
from zoneband.server.limits import QUOTA_DAYS, Limits
from zoneband.server.stations import open_stations
from zoneband.server.tracing_server import TracingServer
from zoneband.server.uploads import kept_bytes
from zoneband.signing import Signature
from zoneband.wire import bluezone, log

NOW = NOON + 86_400
STATIONS, EACH = 16, 25


@contextmanager
def served(path: Path, limits: Limits | None = None) -> Generator[str]:
    """A real server in a thread; its URL."""
    app = make_app(path, lambda: NOW, private_keys={NUMBER: AUTHORITY}, limits=limits)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.02)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def enrolled(path: Path, *serials: str) -> TracingServer:
    server = TracingServer(path, utc=lambda: NOW)
    for serial in serials:
        server.enrol(
            Enrolment(serial, "virtual", "band", DAY, key(serial), bytes(32), key(serial + "r"))
        )
    return server


def test_a_body_that_comes_too_slowly_is_given_up(tmp_path: Path) -> None:
    signs = Signature(known(enrolled(tmp_path / "server", A, B), "st"), lambda: NOW)
    book = BandBook(A, tmp_path)
    book.met(B, NOON, 25, -66)
    data = book.batch()
    path = f"/v1/stations/st/batches/{batches.name(data)}"

    def slowly(wait_s: float) -> Any:
        def parts() -> Generator[bytes]:
            for at in range(0, len(data), 100):
                time.sleep(wait_s)
                yield data[at : at + 100]

        signed = httpx2.Request("PUT", url + path, content=data)
        signs.sign(signed)
        headers = {k: v for k, v in signed.headers.items() if k != "content-length"}
        return http.put(path, content=parts(), headers=headers)

    with served(tmp_path / "server", Limits(body_s=1)) as url, httpx2.Client(base_url=url) as http:
        began = time.monotonic()
        answer = slowly(0.3)
        assert answer.status_code == 408 and answer.json()["reason"] == "slow"
        assert time.monotonic() - began < 10
        assert not list((tmp_path / "server" / "batches").iterdir())
        assert slowly(0.001).status_code == 201


def test_an_address_that_asks_too_much_waits_and_another_does_not(tmp_path: Path) -> None:
    limits = Limits(address_per_s=0.5, address_burst=4)
    app = make_app(tmp_path, lambda: NOW, limits=limits)
    one = TestClient(app, client=("127.0.0.1", 1))
    other = TestClient(app, client=("10.0.0.2", 1))
    # Two stations behind one line; coming in with a code counts, too.
    signs = [come(one, tmp_path, name, lambda: NOW) for name in ("a", "b")]
    for name, each in zip(("a", "b"), signs, strict=True):
        assert one.get(f"/v1/stations/{name}/groups", auth=each).status_code == 200
    late = one.get("/v1/stations/a/groups", auth=signs[0])
    assert (late.status_code, late.json()["reason"]) == (429, "rate")
    assert 1 <= int(late.headers["Retry-After"]) <= 2
    # Nobody is asked who he is before that.
    assert one.get("/v1/stations/a/groups").status_code == 429
    assert other.get("/v1/stations/a/groups", auth=signs[0]).status_code == 200


def batches_of(serial: str, count: int) -> list[bytes]:
    """Sealed batches of one band's log, in order."""
    book, made = SealedBook(serial), list[bytes]()
    for n in range(count):
        first = book.head
        book.fill(20, B, NOON + 600 * n)
        made.append(book.batch(first))
    return made


def test_a_station_that_brings_too_much_waits_and_another_does_not(tmp_path: Path) -> None:
    made = batches_of(A, 3)
    cost = kept_bytes(len(made[0]), 1)
    quota = 1.5 * cost / QUOTA_DAYS  # a day
    one, other = (Signature(known(enrolled(tmp_path, A, B), name), lambda: NOW) for name in "ab")
    app = make_app(
        tmp_path, lambda: NOW, private_keys={NUMBER: AUTHORITY}, limits=Limits(quota_per_day=quota)
    )
    http = TestClient(app, client=("127.0.0.1", 1))

    def put(name: str, kind: str, data: bytes, auth: Signature) -> httpx2.Response:
        path = f"/v1/stations/{name}/{kind}/{batches.name(data)}"
        return http.put(path, content=data, auth=auth)

    # What the server has already counts nothing, nor what it does not keep.
    asked = [put("a", "batches", made[0], one).status_code for _ in range(3)]
    asked += [put("a", "batches", b"noise" * 10_000, one).status_code for _ in range(3)]
    assert asked == [201, 200, 200, 400, 400, 400]
    assert put("a", "batches", made[1], one).status_code == 201
    for kind, data in (("batches", made[2]), ("records", bytes(100))):
        late = put("a", kind, data, one)
        assert (late.status_code, late.json()["reason"]) == (429, "quota")
        wait_s = 0.5 * cost / quota * 86_400
        assert int(late.headers["Retry-After"]) == pytest.approx(wait_s, rel=0.01)
    assert len(list((tmp_path / "batches").glob("*"))) == 2
    # It is docked and receipted as before, and another station brings the rest.
    assert http.get(f"/v1/bands/{A}/orders?after=0", auth=one).status_code == 200
    assert put("b", "batches", made[2], other).status_code == 201


def test_a_stations_day_has_room_for_600_bands_that_always_record_the_most() -> None:
    # Each quarter of an hour 96 encounters (tests/firmware/test_encounters.py), a clock mark and
    # the key group of both; and a header for each sector.
    slots = (96 + 1 + log.GROUP_SLOTS) * bluezone.SLOTS_PER_DAY * log.SLOTS // (log.SLOTS - 1)
    one = kept_bytes(slots * log.SLOT_BYTES, slots // log.SLOTS + 1)
    assert 600 * one <= Limits().quota_per_day
    assert 240 * 21 * one <= Limits().quota_per_day * QUOTA_DAYS


def test_stations_leave_room_on_the_disk_for_tracers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [data] = batches_of(A, 1)
    signs = Signature(known(enrolled(tmp_path, A, B), "st"), lambda: NOW)
    app = make_app(tmp_path, lambda: NOW, private_keys={NUMBER: AUTHORITY})
    http = TestClient(app, client=("127.0.0.1", 1))
    tracer = {"Authorization": f"Bearer {app.state.server.tracer_token}"}
    path = f"/v1/stations/st/batches/{batches.name(data)}"
    whole = shutil.disk_usage

    def nonces() -> int:
        with app.state.server.engine.connect() as db:
            return db.execute(select(func.count()).select_from(station_nonces)).scalar_one()

    before = nonces()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=RESERVE_BYTES))
    asked = [
        http.put(path, content=data, auth=signs),
        http.put(f"/v1/stations/st/records/{batches.name(data)}", content=data, auth=signs),
        http.get("/v1/stations/st/groups", auth=signs),
    ]
    assert [answer.status_code for answer in asked] == [507] * 3
    assert all("disk is full" in answer.json()["title"] for answer in asked)
    assert not list((tmp_path / "batches").glob("*")) and nonces() == before
    assert http.get("/v1/cases", headers=tracer).status_code == 200
    assert '"event":"cases"' in (tmp_path / "audit.log").read_text()
    monkeypatch.setattr(shutil, "disk_usage", whole)
    assert http.put(path, content=data, auth=signs).status_code == 201
    assert nonces() == before + 1


def test_sixteen_stations_at_full_speed_are_not_slowed_down(tmp_path: Path) -> None:
    serials = [f"ZB-{n:04d}-0000" for n in range(STATIONS)]
    server = enrolled(tmp_path / "server", B, *serials)
    signers = [Signature(known(server, f"st{n}"), lambda: NOW) for n in range(STATIONS)]
    bodies = [batches_of(serial, EACH) for serial in serials]
    came: list[int] = []
    with served(tmp_path / "server") as url:

        def station(n: int) -> None:
            with httpx2.Client(base_url=url, auth=signers[n], timeout=60) as http:
                for data in bodies[n]:
                    path = f"/v1/stations/st{n}/batches/{batches.name(data)}"
                    came.append(http.put(path, content=data).status_code)

        threads = [threading.Thread(target=station, args=(n,)) for n in range(STATIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert came == [201] * (STATIONS * EACH)


def listed(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *more: str
) -> tuple[int, str]:
    words = ["station", "list", "--data", str(data), *more]
    monkeypatch.setattr(sys, "argv", ["zoneband", "--lang", "en", *words])
    code = 0
    try:
        main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    set_language("en")
    return code, capsys.readouterr().out


def test_the_list_of_stations_says_who_is_in_and_since_when(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    server = enrolled(tmp_path / "server", A)
    code, out = listed(tmp_path, monkeypatch, capsys)
    assert code == 3 and "station invite NAME" in out
    there = open_stations(tmp_path / "server")
    known(server, "Chợ")
    known(server, "Cảng")
    there.revoke("Cảng")
    there.invite("Trạm mới")
    data = BandBook(A, tmp_path).batch()
    server.take("Chợ", batches.name(data), data)
    code, out = listed(tmp_path, monkeypatch, capsys)
    rows = {line.split("│")[1].strip(): line for line in out.splitlines() if line.count("│") > 4}
    assert code == 0 and rows.keys() == {"Chợ", "Cảng", "Trạm mới"}
    assert "enrolled" in rows["Chợ"] and "default" in rows["Chợ"]
    assert "04/11/2026 12:00" in rows["Chợ"], rows["Chợ"]  # its newest batch, at the server
    assert "revoked" in rows["Cảng"] and "code not used yet" in rows["Trạm mới"]
    code, out = listed(tmp_path, monkeypatch, capsys, "--json")
    found = {row["name"]: row for row in json.loads(out)}
    assert code == 0 and found["Chợ"]["seen_s"] == NOW and found["Chợ"]["groups"] == ["default"]
    assert [found[name]["state"] for name in ("Chợ", "Cảng", "Trạm mới")] == [
        "enrolled", "revoked", "invited",
    ]  # fmt: skip
    assert found["Trạm mới"]["code_expires_s"] > time.time()


@pytest.mark.parametrize(
    ("path", "form"),
    [("/v1/sessions", False), ("/tracer/login", True), ("/v1/cases", False)],
)
def test_no_body_that_somebody_sends_fills_the_memory(
    tmp_path: Path, path: str, form: bool
) -> None:
    # Whoever logs in is not known yet, and a tracer is not trusted with the server's memory.
    app = make_app(tmp_path / "server", lambda: NOON)
    http = TestClient(app, raise_server_exceptions=False)
    token = app.state.server.tracer_token
    headers = {"Authorization": f"Bearer {token}"} if path == "/v1/cases" else {}
    kind = "application/x-www-form-urlencoded" if form else "application/json"
    answers = [
        http.post(path, content=content, headers={**headers, "Content-Type": kind})
        # Told in advance, and not.
        for content in (b"a" * 100_000, iter([b"a" * 50_000] * 2))
    ]
    assert [answer.status_code for answer in answers] == [413, 413]
    if not form:
        assert answers[1].headers["content-type"] == "application/problem+json"
    assert (
        http.post(path, content=b"a", headers={**headers, "Content-Type": kind}).status_code < 500
    )
