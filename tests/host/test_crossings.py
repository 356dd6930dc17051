"""Where two parts of the server meet: an erasure and somebody else's ledger, a sweep and a query,
an old ledger and batches that were cut, long traces and uploads."""

import shutil
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import delete, select

from bandbook import NOON, A, B, BandBook, C
from certificates import Authority
from kept import files, rows, server_of, zoneband
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
from zoneband.server.tracing_server import TracingServer
from zoneband.tracer import Tracer

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


# --- verbs beside a running server ----------------------------------------------------------------


def test_verbs_beside_a_server_find_it_behind_its_certificate(tmp_path: Path) -> None:
    # As the how-to has it: the name is another one's than this computer's, and so is the port.
    folder = tmp_path / "tls"
    Authority(tmp_path).sign(folder, names=("tracing.example.vn",))
    with running(tmp_path, tls_dir=folder):
        for words, wanted in (
            (("retention", "run"), "Everything from"),
            (("rights", "list"), ""),
            (("case", "code"), "-"),
        ):
            done = zoneband(tmp_path, *words)
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
