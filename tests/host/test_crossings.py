"""Where two parts of the server meet: an erasure and somebody else's ledger, a sweep and a query,
an old ledger and batches that were cut, long traces and uploads."""

import os
import shutil
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import delete, select

from bandbook import NOON, A, B, BandBook, C
from certificates import Authority
from kept import files, put, rows, server_of, zoneband
from office import Office
from postgres import Postgres
from stationed import come
from zoneband import batch as batches
from zoneband import upload
from zoneband.errors import UserError
from zoneband.server import database, ingest, ledger, wholeness
from zoneband.server.app import make_app
from zoneband.server.erasures import Erasure, Erasures, Part
from zoneband.server.process import running
from zoneband.server.tracing import AT_ONCE
from zoneband.server.tracing_server import TracingServer
from zoneband.tracer import Tracer
from zoneband.tracing import engine, words

DAY_S = 86_400


def test_a_ledger_of_another_directory_costs_no_file(postgres: Postgres, tmp_path: Path) -> None:
    # As when a database was put back under the wrong name: the list of erasures is not done there.
    url = database.read_url(postgres.database())
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        database.keep(tmp_path / name, url)
    data = BandBook(A, tmp_path).batch()
    one = TracingServer(tmp_path / "one", utc=lambda: NOON + DAY_S)
    one.take("st", batches.name(data), data)
    other = tmp_path / "other"
    day = other / "encounters" / "day=2026-11-03"
    day.mkdir(parents=True)
    (day / ("s-" + "0" * 64 + ".parquet")).write_bytes(b"of its own ledger")
    Erasures([other]).add([Erasure("1" * 32, 5, (Part(A, 0, 9),))])
    before = files(other)
    with pytest.raises(UserError, match="is not the one of .* Nothing was changed"):
        TracingServer(other, utc=lambda: NOON + DAY_S)
    assert files(other) == before


@pytest.fixture
def office(tmp_path: Path) -> Office:
    """A, B and C met each other, and all were docked."""
    office = Office(tmp_path)
    for one, two, three in ((A, B, C), (B, A, C), (C, A, B)):
        office.book(one).met(two, NOON, 25, -66)
        office.book(one).met(three, NOON + 7200, 10, -66)
        office.book(one).clock(NOON + 10_000)
    office.dock(A, B, C)
    return office


def test_a_query_that_begins_while_files_are_removed_keeps_its_own(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The sweep has waited for whoever read before. Now somebody begins, and a batch comes that
    # merges the very segments that are being read.
    server, place = server_of(office), office.path / "server"
    monkeypatch.setattr(ingest, "MERGE_AT", 2)
    readers = server.tracing._readers  # pyright: ignore[reportPrivateUsage]
    wait = readers.wait
    with ExitStack() as stack:
        mine: set[str] = set()

        def waited(timeout_s: float) -> bool:
            done = wait(timeout_s)
            if not mine:
                stack.enter_context(readers.reading())
                with server.engine.connect() as db:
                    mine.update(db.execute(select(ledger.segments.c.path)).scalars())
                office.book(A).met(C, NOON + 9000, 10, -66)
                office.dock(A)
            return done

        monkeypatch.setattr(readers, "wait", waited)
        server.retention.sweep()
        with server.engine.connect() as db:
            named = set(db.execute(select(ledger.segments.c.path)).scalars())
        assert mine - named, "nothing was merged"
        assert all((place / "encounters" / path).exists() for path in mine)
    server.retention.sweep()
    assert {path.removeprefix("encounters/") for path in files(place) if "day=" in path} == named


def test_an_older_ledger_takes_batches_in_that_were_cut_since(office: Office) -> None:
    server, place = server_of(office), office.path / "server"
    server.erasing.erase(A)
    left = rows(place)
    assert left
    raw = {path.name: path.read_bytes() for path in (place / "batches").iterdir()}
    assert any(batches.name(data) != name for name, data in raw.items())
    with server.engine.begin() as db:
        for table in (
            ledger.batches, ledger.pieces, ledger.slots, ledger.segments, ledger.clock_spans,
            ledger.marks, ledger.strips, ledger.kept_receipts, ledger.erasures,
            ledger.erased_spans, ledger.erased_people,
        ):  # fmt: skip
            db.execute(delete(table))
    shutil.rmtree(place / "encounters")
    again = TracingServer(place, utc=lambda: office.now)
    said = list(wholeness.settle(again, place))
    assert not [line for line in said if "altered" in line], said
    assert rows(place) == left
    # What the disk spoils is still known from what was cut.
    with again.engine.begin() as db:
        for table in (ledger.batches, ledger.pieces, ledger.slots, ledger.segments):
            db.execute(delete(table))
    [spoilt, *_rest] = [
        path for path in (place / "batches").iterdir()
        if batches.name(path.read_bytes()) != path.name
    ]  # fmt: skip
    data = bytearray(spoilt.read_bytes())
    data[-60] ^= 1
    spoilt.write_bytes(data)
    said = list(wholeness.settle(TracingServer(place, utc=lambda: office.now), place))
    assert [line for line in said if str(spoilt) in line and "altered" in line], said


def test_a_log_that_is_dated_ahead_is_told_and_goes_with_its_batch(tmp_path: Path) -> None:
    # A station's clock was wrong, and somebody vouched for it. That day would not come for a year.
    office = Office(tmp_path)
    late = NOON + 400 * DAY_S
    book = BandBook(A, tmp_path, boot_s=late - 3600)
    book.met(B, late, 25, -66)
    answer = put(office, book.batch(utc_s=late + 6 * 3600, run_s=7 * 3600))
    assert answer.status_code == 201 and answer.json()["receipt"]
    server, place = server_of(office), office.path / "server"
    assert len(rows(place)) == 5
    notes = server.trace(A, NOON - DAY_S, NOON + DAY_S)["notes"]
    [told] = [words.note(note) for note in notes if note["code"] == "clock_ahead"]
    assert A in told and "08/12/2027" in told and "to come" in told
    office.now = NOON + 21 * DAY_S
    server.retention.run()
    assert len(rows(place)) == 5
    office.now = NOON + 24 * DAY_S
    assert server.retention.run().encounters == 5
    assert rows(place) == set() and not list((place / "batches").iterdir())
    # A log with a right clock says nothing of the kind.
    office.book(B).met(C, office.now - 3600, 10, -66)
    office.dock(B)
    notes = server.trace(B, office.now - DAY_S, int(office.now))["notes"]
    assert "clock_ahead" not in {note["code"] for note in notes}


# --- long traces and uploads ----------------------------------------------------------------------


@pytest.fixture
def server(place: Path) -> Generator[TracingServer]:
    made = TracingServer(place, utc=lambda: NOON + DAY_S)
    made.engine.pool._timeout = 0.2  # pyright: ignore[reportAttributeAccessIssue]
    yield made
    made.engine.dispose()


def test_as_many_traces_as_the_server_answers_at_once_leave_it_a_ledger(
    server: TracingServer,
) -> None:
    # Each holds a connection until its engine has answered, which may take long.
    with ExitStack() as traces:
        for _ in range(40):
            traces.enter_context(server.engine.connect())
        server.touch()


def test_a_ledger_without_a_free_connection_is_busy_and_no_fault(place: Path) -> None:
    app = make_app(place, lambda: NOON + DAY_S)
    http = TestClient(app, raise_server_exceptions=False)
    server = app.state.server
    headers = {"Authorization": f"Bearer {server.tracer_token}"}
    station = come(http, place, "st", lambda: NOON + DAY_S)
    server.engine.pool._timeout = 0.2
    with ExitStack() as held:
        for _ in range(50):
            held.enter_context(server.engine.connect())
        answer = http.get("/v1/bands", headers=headers)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert http.get("/healthz").json()["ledger"] == "not ready"
        # A station is not told that its signature is wrong, which no later try would mend.
        assert http.get("/v1/stations/st/groups", auth=station).status_code == 503
        # A page needs its session: also that is asked of the ledger.
        http.cookies.set("zoneband-session", "x" * 43)
        assert http.get("/tracer/", follow_redirects=False).status_code == 503
    assert http.get("/v1/bands", headers=headers).status_code == 200


def test_traces_never_take_all_threads_from_stations(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = office.declare(A, tested="2026-11-03")["number"]
    asked, go_on = threading.Semaphore(0), threading.Event()
    opened = engine.opened

    @contextmanager
    def slowly(*given: Any) -> Generator[Any]:
        asked.release()
        assert go_on.wait(60)
        with opened(*given) as found:
            yield found

    monkeypatch.setattr(engine, "opened", slowly)
    with ThreadPoolExecutor(AT_ONCE) as tracers:
        path = f"/v1/cases/{number}/contacts"
        answers = [tracers.submit(office.ask, "GET", path) for _ in range(AT_ONCE)]
        try:
            for _ in range(AT_ONCE):
                assert asked.acquire(timeout=60)
            one_more = office.ask("GET", path)
            assert (one_more.status_code, one_more.headers["Retry-After"]) == (503, "5")
            office.book(A).met(C, NOON + 9000, 10, -66)
            office.dock(A)
        finally:
            go_on.set()
        assert [answer.result().status_code for answer in answers] == [200] * AT_ONCE
    assert office.contacts(number)["contacts"]


# --- verbs beside a running server ----------------------------------------------------------------


def test_verbs_beside_a_server_find_it_behind_its_certificate(tmp_path: Path) -> None:
    # As the how-to has it: the name is another one's than this computer's, and so is the port.
    folder = tmp_path / "tls"
    Authority(tmp_path).sign(folder, names=("tracing.example.vn",))
    with running(tmp_path, tls_dir=folder):
        for verb, wanted in (
            (("retention", "run"), "Everything from"),
            (("rights", "list"), ""),
            (("case", "code"), "-"),
        ):
            done = zoneband(tmp_path, *verb)
            assert done.returncode in (0, 3) and wanted in done.stdout, done.stderr
            assert "does not answer" not in done.stderr and "Traceback" not in done.stderr
        # Whoever else answers there is not given the token.
        Authority(tmp_path).sign(tmp_path / "strange", names=("tracing.example.vn",))
        noted = tmp_path / "server" / "running.json"
        noted.write_text(noted.read_text().replace(str(folder), str(tmp_path / "strange")))
        done = zoneband(tmp_path, "rights", "list")
        assert done.returncode == 5 and "does not answer" in done.stderr


def test_an_answer_may_take_longer_than_a_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An erasure waits for queries, and Spark takes its time.
    monkeypatch.setattr(upload, "TIMEOUT_S", 0.5)

    class Slow(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(1.5)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Slow) as slow:
        thread = threading.Thread(target=slow.handle_request)
        thread.start()
        url = f"http://127.0.0.1:{slow.server_address[1]}"
        assert Tracer(tmp_path, url, "t").ask("GET", "/v1/cases") == []
        thread.join()


# --- an erasure on PostgreSQL ---------------------------------------------------------------------


def test_no_row_that_named_a_case_stays_in_a_table(postgres: Postgres, home: Path) -> None:
    # PostgreSQL leaves the bytes of a dropped row in their page until others need the room.
    office = Office(home.parent)
    office.issue(A, NOON - DAY_S, 41, "Nguyễn Thị Hoa")
    office.book(A).met(B, NOON, 25, -66)
    office.dock(A)
    why = "the reason that a tracer typed"
    number = office.declare(A, tested="2026-11-03")["number"]
    assert office.ask("POST", f"/v1/cases/{number}/close", json={"reason": why}).is_success
    server = server_of(office)

    def held() -> bool:
        with server.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
            path = db.exec_driver_sql("SELECT pg_relation_filepath('cases')").scalar_one()
            db.exec_driver_sql("CHECKPOINT")
        return why.encode() in (postgres.where / "data" / path).read_bytes()

    assert held()
    # While a question reads the table, nothing waits for it for long, and nothing fails.
    with server.engine.connect() as db:
        assert db.execute(select(ledger.cases.c.id)).all()
        assert server.erasing.erase(A)["erased"]["cases"] == 1
    server.retention.run()
    assert not held()


def test_a_ledger_that_moved_holds_nobody_who_is_erased_or_too_old(home: Path) -> None:
    office = Office(home.parent)
    office.issue(A, NOON - DAY_S, 41, "Nguyễn Thị Hoa")
    office.book(A).met(B, NOON, 25, -66)
    office.dock(A)
    server, moved = server_of(office), home / "ledger.sqlite.moved"
    moved.write_bytes(b"all that it held")
    os.utime(moved, (NOON, NOON))
    office.now = NOON + 20 * DAY_S
    server.retention.run()
    assert moved.exists()
    office.now = NOON + 22 * DAY_S
    server.retention.run()
    assert not moved.exists()
    moved.write_bytes(b"all that it held")
    server.erasing.erase(A)
    assert not moved.exists()
