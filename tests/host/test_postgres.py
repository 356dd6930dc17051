"""The ledger in PostgreSQL: the same answers, and nothing lost when the database goes away."""

import hashlib
import os
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import test_accounts
import test_cases
import test_groups
import test_orders
import test_sealed_logs
import test_server
from sealedserver import Server as SealedServer
from sqlalchemy import Engine, event
from test_accounts import Desk
from test_server import Bench

from bandbook import DAY, NOON, A, B, BandBook, C, key
from office import Office
from postgres import GUARDED, PASSWORD, Postgres
from served import Server
from zoneband import seal
from zoneband.cli.main import main
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import set_language
from zoneband.seal import Kind
from zoneband.server import database, ledger
from zoneband.server.alone import alone, alone_on_ledger
from zoneband.server.moving import settle
from zoneband.server.process import running
from zoneband.server.tracing_server import TracingServer

Promise = Callable[..., None]

# The first test also waits for a database to be made.
pytestmark = pytest.mark.timeout(300)


# --- the same promises ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "promise",
    [
        test_server.test_both_sides_are_pooled_and_the_rule_applied,
        test_server.test_the_same_log_twice_and_in_overlapping_parts_counts_once,
        test_server.test_the_receipt_is_one_that_the_band_takes,
        test_server.test_times_are_mended_when_a_station_with_a_right_clock_comes,
        test_server.test_many_small_batches_become_few_files,
    ],
)
def test_batches(promise: Promise, home: Path, tmp_path: Path) -> None:
    bench = Bench(home)
    for serial in (A, B, C):
        assert bench.enrol(serial) == 201
    promise(bench, tmp_path)
    assert not (home / "ledger.sqlite").exists()


@pytest.mark.parametrize(
    "promise",
    [
        test_cases.test_a_case_is_the_wearer_that_the_band_was_handed_to,
        test_cases.test_a_wearer_with_a_new_band_is_traced_on_both,
        test_cases.test_a_case_of_the_wrong_band_is_withdrawn_and_traced_no_more,
        test_cases.test_after_a_swap_is_noted_traces_name_the_right_people,
        test_cases.test_a_venue_tells_who_was_there_with_the_case,
    ],
)
def test_cases_and_traces(promise: Promise, home: Path, tmp_path: Path) -> None:
    set_language("en")
    assert home.parent == tmp_path
    promise(Office(tmp_path))


@pytest.mark.parametrize(
    "promise",
    [
        test_orders.test_the_bands_own_mark_ends_an_order_and_those_before_it,
        test_orders.test_a_clock_order_that_a_later_order_overtakes_is_made_again,
        test_groups.test_a_bands_generation_follows_its_own_mark,
    ],
)
def test_orders_and_groups(promise: Promise, home: Path, tmp_path: Path) -> None:
    promise(Server(home), tmp_path)


@pytest.mark.parametrize(
    "promise",
    [
        test_accounts.test_name_password_and_code_together_let_in,
        test_accounts.test_a_code_at_once_from_two_sides_opens_one_session,
        test_accounts.test_wrong_tries_slow_a_name_down_and_a_right_one_clears_it,
        test_accounts.test_a_new_password_or_a_removal_ends_every_session,
    ],
)
def test_logins(promise: Promise, home: Path) -> None:
    promise(Desk(home))


def test_sealed_logs_and_new_keys(home: Path) -> None:
    test_sealed_logs.test_ids_of_an_old_and_a_new_key_are_the_same_bands(SealedServer(home), True)


def test_what_postgresql_cannot_hold_is_refused_and_kept_nowhere(
    home: Path, tmp_path: Path
) -> None:
    bench = Bench(home)
    assert bench.enrol(A) == 201
    assert bench.enrol(B, board="ab\0cd") == 422
    data = BandBook(A, tmp_path).batch(board="X" * 6)
    assert bench.put(data.replace(b'"XXXXXX"', b'"\\u0000"')).status_code == 400
    for path in ("/v1/bands/%00", "/v1/bands/%00/people"):
        assert bench.http.get(path, headers=bench.tracer).status_code == 422
    # The largest numbers that a batch's header may hold.
    book = BandBook(A, tmp_path)
    book.met(B, NOON, 25, -66)
    assert bench.put(book.batch(error_ms=(1 << 32) - 1)).status_code == 201


# --- the database goes away -------------------------------------------------------------------


@contextmanager
def stopped_before(postgres: Postgres, words: str, which: int = 1) -> Generator[None]:
    """PostgreSQL crashes before the first statement that begins so, or a later one."""
    left = [which]

    def look(_db: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if statement.startswith(words):
            left[0] -= 1
            if left[0] == 0:
                postgres.stop()

    def commit(_db: Any) -> None:
        look(None, None, "COMMIT")

    event.listen(Engine, "before_cursor_execute", look)
    event.listen(Engine, "commit", commit)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", look)
        event.remove(Engine, "commit", commit)
        if left[0] <= 0:
            postgres.start()
    assert left[0] <= 0, "it was never reached"


@pytest.mark.parametrize("words", ["INSERT INTO batches", "INSERT INTO segments", "COMMIT"])
def test_a_batch_is_in_once_though_the_database_went_in_its_middle(
    postgres: Postgres, home: Path, tmp_path: Path, words: str
) -> None:
    bench = Bench(home)
    for serial in (A, B):
        bench.enrol(serial)
    book = BandBook(A, tmp_path)
    book.met(B, NOON, 25, -66)
    data = book.batch()
    with stopped_before(postgres, words):
        for _try in range(2):
            answer = bench.put(data)
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["retry-after"]) > 0
        asked = bench.http.get("/v1/bands", headers=bench.tracer)
        assert asked.status_code == 503
    again = bench.put(data)
    assert again.is_success and again.json()["records_new"] == 5
    assert again.json()["receipt"]["upto"] == book.log.head
    assert bench.put(data).json()["records_new"] == 0
    assert bench.trace(A)[B]["records"] == 5


# Before the band is in; after it is in and before the server has learnt its IDs; before what had
# waited for it is worked in.
@pytest.mark.parametrize(
    "words", ["INSERT INTO bands", "SELECT chains.id, chains.band", "INSERT INTO segments"]
)
def test_an_enrolment_is_whole_though_the_database_went_in_its_middle(
    postgres: Postgres, home: Path, tmp_path: Path, words: str
) -> None:
    bench = Bench(home)
    bench.enrol(A)
    a, b = BandBook(A, tmp_path), BandBook(B, tmp_path)
    a.met(B, NOON, 25, -66)
    b.met(A, NOON, 25, -66)
    assert bench.put(a.batch()).status_code == 201
    assert bench.put(b.batch()).status_code == 202
    facts = {
        "serial": B, "board": "virtual", "role": "band", "base_day": DAY,
        "base_key": key(B).hex(), "dock_key": "00" * 32, "receipt_key": key(B + "r").hex(),
    }  # fmt: skip
    record = seal.seal(bench.authority, Kind.ENROLMENT, facts)
    with stopped_before(postgres, words):
        assert bench.put_record(record).status_code == 503
    assert bench.put_record(record).json()["state"] == "opened"
    found = bench.trace(A)[B]
    assert found["records"] == 10 and found["both_sided"]


# --- starting ---------------------------------------------------------------------------------


@pytest.fixture
def said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Generator[Callable[..., tuple[int, str]]]:
    """Runs `zoneband` with some words: its exit code, and the one line that it ends with."""
    for name in ("PGPASSWORD", database.VARIABLE, database.PASSWORD_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["zoneband", "--lang", "en", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        lines = (told.err or told.out).strip().splitlines()
        assert len(lines) == 1, lines
        return int(ended.value.code or 0), lines[0]

    yield run
    set_language("en")


def serve(path: Path, url: str) -> list[str]:
    return ["serve", "--data", str(path), "--port", "0", "--ledger", url]


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("mysql://zoneband@db/zoneband", "takes the URL of a PostgreSQL"),
        ("postgresql://db:port/zoneband", "takes the URL of a PostgreSQL"),
        ("what?", "takes the URL of a PostgreSQL"),
        ("postgresql://zoneband:opensesame@db/zoneband", "Leave the password out"),
        ("postgresql://zoneband@db/zoneband?password=opensesame", "Leave the password out"),
    ],
)
def test_a_url_that_will_not_do_is_told(said: Any, tmp_path: Path, url: str, line: str) -> None:
    code, told = said(*serve(tmp_path, url))
    assert code == ExitCode.USAGE and line in told and "opensesame" not in told
    assert not (tmp_path / "server" / "ledger-url").exists()


def test_a_database_that_cannot_be_opened_is_told(
    said: Any, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(url: str, line: str) -> None:
        code, found = said(*serve(tmp_path, url))
        assert code != 0 and line in found and "opensesame" not in found, found
        assert not (tmp_path / "server" / "ledger-url").exists()

    told("postgresql://zoneband@/zoneband?host=/nowhere", "cannot be opened")
    told(postgres.url("none"), 'database "none" does not exist')
    told(postgres.database("LATIN1"), "encoding UTF8")
    theirs = postgres.database().replace("owner@", f"{GUARDED}@")
    told(theirs, "refuses the user or password")
    monkeypatch.setenv(database.PASSWORD_VARIABLE, "opensesame")
    told(theirs, "refuses the user or password")
    with monkeypatch.context() as missing:
        missing.setitem(sys.modules, "psycopg", None)
        told(theirs, "psycopg[binary]")


@pytest.mark.parametrize("way", ["credential", "variable", "pgpassfile"])
def test_the_password_comes_from_where_nobody_else_reads(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    place = tmp_path / "server"
    url = database.read_url(postgres.database().replace("owner@", f"{GUARDED}@"))
    if way == "variable":
        monkeypatch.setenv(database.PASSWORD_VARIABLE, PASSWORD)
    elif way == "credential":
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
        (tmp_path / "ledger-password").write_text(PASSWORD + "\n")
        (tmp_path / "ledger-password").chmod(0o600)
    else:
        monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))
        (tmp_path / "pgpass").write_text(f"*:*:*:{GUARDED}:{PASSWORD}\n")
        (tmp_path / "pgpass").chmod(0o600)
    settle(place, url)
    kept = place / "ledger-url"
    assert kept.stat().st_mode & 0o777 == 0o600 and PASSWORD not in kept.read_text()
    assert ledger.open_ledger(place).dialect.name == "postgresql"


def test_two_servers_on_one_directory_are_one_too_many(said: Any, tmp_path: Path) -> None:
    with alone(tmp_path / "server"):
        code, line = said("serve", "--data", str(tmp_path), "--port", "0")
        assert code == ExitCode.REFUSED and f"already (process {os.getpid()})" in line
    with alone(tmp_path / "server"):
        pass


# As its directory's files are held against it; as it learns the bands' IDs; as it is held.
@pytest.mark.parametrize(
    "words", ["SELECT batches.name", "SELECT chains.id", "SELECT pg_try_advisory_lock"]
)
def test_a_database_that_goes_while_a_server_starts_is_told(
    said: Any, postgres: Postgres, tmp_path: Path, words: str
) -> None:
    url = postgres.database()
    settle(tmp_path / "server", database.read_url(url))
    with stopped_before(postgres, words):
        code, line = said(*serve(tmp_path, url))
    assert code == ExitCode.REFUSED and "cannot be opened" in line


def test_two_directories_with_one_ledger_are_one_too_many(
    said: Any, postgres: Postgres, tmp_path: Path
) -> None:
    url = postgres.database()
    one, other = tmp_path / "one", tmp_path / "other"
    for place in (one, other):
        place.mkdir()
    with running(one, ledger=url):
        code, line = said(*serve(other, url))
        assert code == ExitCode.REFUSED and "each has its own ledger" in line
    # Nobody holds it, and it is still empty.
    with alone_on_ledger(other / "server"):
        pass
    server = TracingServer(one / "server", utc=lambda: NOON + 86_400)
    data = BandBook(A, tmp_path).batch()
    server.take("st", hashlib.sha256(data).hexdigest(), data)
    code, line = said(*serve(other, url))
    assert code == ExitCode.REFUSED and "is not the one of" in line


def test_a_ledger_is_held_again_when_its_database_was_away(postgres: Postgres, home: Path) -> None:
    def held() -> bool:
        try:
            with alone_on_ledger(home):
                return False
        except UserError as error:
            return "each has its own" in error.message

    with alone_on_ledger(home, look_s=0.2):
        assert held()
        postgres.stop()
        postgres.start()
        until = time.monotonic() + 30
        while not held():
            assert time.monotonic() < until
            time.sleep(0.5)
    assert not held()


def test_every_verb_finds_the_ledger_of_the_server(
    said: Any, postgres: Postgres, tmp_path: Path
) -> None:
    with running(tmp_path, ledger=postgres.database()):
        code, line = said("serve", "--data", str(tmp_path), "--port", "0")
        assert code == ExitCode.REFUSED and "runs on" in line
        code, line = said("tracer", "list", "--data", str(tmp_path))
        assert code == ExitCode.NOTHING and "no tracer yet" in line
        code, line = said("station", "list", "--data", str(tmp_path))
        assert code == ExitCode.NOTHING and "no station yet" in line
        assert not (tmp_path / "server" / "ledger.sqlite").exists()
