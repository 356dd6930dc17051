"""Nothing that tells of a meeting is kept for more than 21 days, on the server and at stations."""

import json
import subprocess
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select

from bandbook import DAY, NOON, A, B, BandBook, C, id_of
from kept import (
    as_tracer,
    files,
    held,
    ids_in,
    killed,
    operator,
    put,
    rows,
    server_of,
    whole_log_receipt,
    zoneband,
)
from office import D, Office
from stationed import settings
from zoneband import batch as batches
from zoneband import retention
from zoneband import station as stations
from zoneband.inventory import Inventory
from zoneband.server import ledger
from zoneband.server.alone import alone
from zoneband.server.process import running
from zoneband.server.tracing_server import TracingServer
from zoneband.server.upkeep import Upkeep
from zoneband.spool import Receipt, Spool
from zoneband.upload import Uploader
from zoneband.wire import records

DAY_S = 86_400


@pytest.fixture
def office(tmp_path: Path) -> Office:
    """A met B on two days, three weeks apart; the band was docked after each."""
    office = Office(tmp_path)
    office.issue(A, NOON - DAY_S, 41, "Nguyễn Thị Hoa")
    office.book(A).met(B, NOON, 25, -66)
    office.book(B).met(A, NOON, 25, -66)
    office.dock(A, B)
    office.now = NOON + 20 * DAY_S
    office.book(A).met(C, office.now - 3600, 15, -66)
    office.dock(A)
    return office


def test_the_rule_is_one_and_the_same_everywhere() -> None:
    assert retention.DAYS == 21
    assert retention.first_day(DAY * DAY_S) == retention.first_day(DAY * DAY_S + 86_399) == DAY - 21


def test_a_day_goes_when_its_last_moment_is_21_days_old(office: Office) -> None:
    place = office.path / "server"
    office.now = (DAY + 22) * DAY_S - 1
    server_of(office).retention.run()
    assert {start // DAY_S for _a, _b, start in rows(place)} == {DAY, DAY + 20}
    office.now += 1
    done = server_of(office).retention.run()
    assert {start // DAY_S for _a, _b, start in rows(place)} == {DAY + 20}
    assert done.encounters == 10
    assert [f.name for f in (place / "encounters").iterdir()] == ["day=2026-11-23"]
    # The IDs that A's old batch holds are in no file; those of the new day are.
    everything = held(place)
    first = batches.unpack(office.book(A).batch()).chunks
    assert all(id_bytes not in everything for id_bytes in old_ids(first))


def old_ids(chunks: Iterable[tuple[int, bytes]]) -> list[bytes]:
    """The rotating IDs in a log's encounters of the first day, as they stand in its slots."""
    slots = b"".join(part for _cursor, part in chunks)
    at = [slots[n : n + 32] for n in range(0, len(slots), 32)]
    found = [slot[1:13] for slot in at if slot[0] == records.ENCOUNTER]
    assert len(found) == 8
    return list(dict.fromkeys(found[:5]))


def test_what_was_dropped_comes_back_with_no_batch(office: Office) -> None:
    place = office.path / "server"
    old = office.book(B).batch()
    office.now = (DAY + 23) * DAY_S
    server_of(office).retention.run()
    before = files(place), rows(place)
    answer = put(office, old)
    assert answer.status_code == 200
    assert answer.json()["dropped"] and answer.json()["receipt"] is None
    # The same slots in another batch: a station that pulled the band too.
    other = office.book(B).batch(battery_mv=3800)
    answer = put(office, other)
    assert answer.is_success and answer.json()["records_new"] == 0
    assert rows(place) == before[1]
    assert all(one not in held(place) for one in ids_in(old))
    assert len(files(place) - before[0]) == 1  # the other batch, without those slots


def test_a_batch_of_a_dropped_day_is_taken_receipted_and_says_so(office: Office) -> None:
    place = office.path / "server"
    office.now = (DAY + 22) * DAY_S
    server_of(office).retention.run()
    before = rows(place)
    late = office.book(C)
    late.met(A, NOON, 25, -66)
    late.met(A, office.now - 3600, 10, -66)
    data = late.batch()
    answer = put(office, data)
    assert answer.status_code == 201, answer.text
    assert answer.json()["records_refused"] == 5 and answer.json()["records_new"] == 7
    assert put(office, data).json()["records_refused"] == 5
    new = rows(place) - before
    assert {start // DAY_S for _a, _b, start in new} == {DAY + 21} and len(new) == 2
    # The band may forget what nobody keeps.
    assert whole_log_receipt(late, answer.json()["receipt"])
    asked = {"log_id": late.log.log_id, "first": 0}
    again = office.http.get(f"/v1/bands/{C}/receipt", params=asked, auth=office.station)
    assert whole_log_receipt(late, again.json()["receipt"])
    kept = held(place / "batches")
    cut = {one for one in ids_in(data) if one not in kept}
    assert cut == {id_of(A, NOON), id_of(A, NOON + 900)}  # 25 minutes, the IDs of two slots


def test_a_run_that_is_killed_anywhere_is_finished_by_the_next(office: Office) -> None:
    place = office.path / "server"
    now = (DAY + 22) * DAY_S

    # Whole copies, so that each death finds everything still there.
    def copy(name: str) -> Path:
        there = office.path / name
        subprocess.run(["cp", "-a", place, there], check=True)
        return there

    whole = copy("whole")
    TracingServer(whole, utc=lambda: now).retention.run()
    step = 1
    deaths = 0
    while True:
        there = copy(f"killed-{step}")
        if not killed(lambda at=there: TracingServer(at, utc=lambda: now).retention.run(), step):
            break
        deaths += 1
        TracingServer(there, utc=lambda: now).retention.run()
        assert files(there) == files(whole), step
        assert rows(there) == rows(whole), step
        subprocess.run(["rm", "-rf", there], check=True)
        step += 3
    assert deaths >= 15


def test_a_band_that_goes_on_in_an_old_sector_is_understood(office: Office) -> None:
    """It was in a drawer for weeks: its log goes on behind slots of which nothing is kept."""
    place, book = office.path / "server", office.book(B)
    office.now = NOON + 60 * DAY_S
    server_of(office).retention.run()
    assert rows(place) == set()
    assert {name.partition("/")[0] for name in files(place)} == {"sealed"}
    receipted = book.log.head
    book.met(A, office.now - 3600, 10, -66)
    answer = put(office, book.batch(receipted)).json()
    assert answer["records_new"] == 2 and answer["receipt"]["upto"] == book.log.head
    assert len(rows(place)) == 2
    assert not server_of(office).band_state(B)["logs"][0]["bad_slots"]
    assert answer["resend"] is None


def test_a_query_in_flight_keeps_its_files_until_it_has_its_answer(office: Office) -> None:
    server = server_of(office)
    place = office.path / "server"
    office.now = (DAY + 22) * DAY_S
    before = files(place)
    old = {name for name in before if "day=2026-11-03" in name}
    assert old
    with server.tracing._readers.reading():
        thread = threading.Thread(target=server.retention.run)
        thread.start()
        deadline = time.monotonic() + 60
        while DAY in days_of(server) and time.monotonic() < deadline:
            time.sleep(0.05)
        thread.join(0.5)
        # The ledger has forgotten; what the query's list names is still there.
        assert DAY not in days_of(server)
        assert thread.is_alive() and old <= files(place)
    thread.join(60)
    assert not thread.is_alive() and not old & files(place)


def days_of(server: TracingServer) -> set[int]:
    with server._engine.connect() as db:
        return set(db.execute(select(ledger.segments.c.day)).scalars())


def test_what_is_dropped_while_a_sweep_waits_for_queries_is_left_to_a_later_one(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, days = server_of(office), office.path / "server" / "encounters"
    before = set(days.glob("day=*/*"))
    assert before
    wait = server.retention._readers.wait

    def meanwhile(most_s: float) -> Any:
        with server.engine.begin() as db:
            db.execute(delete(ledger.segments))  # as when they are merged
        return wait(most_s)

    monkeypatch.setattr(server.retention._readers, "wait", meanwhile)
    server.retention.sweep()
    for left in (before, before, set[Path]()):
        assert set(days.glob("day=*/*")) == left
        with server.engine.connect() as db:
            server._work.sweep(db)


def test_persons_stay_while_they_wear_a_band_and_go_21_days_after(office: Office) -> None:
    place = office.path / "server"
    server = server_of(office)
    office.issue(D, NOON - DAY_S, 51, "Trần Văn Hải")
    office.dock(D)
    office.record_returned(D, 51, NOON + 3600)
    office.now = (DAY + 22) * DAY_S - 1
    assert server.retention.run().persons == 0
    assert server.people(D)[0]["name"] == "Trần Văn Hải"
    office.now += 1
    assert server.retention.run().persons == 2  # the person, and what became of the band
    assert server.people(D) == [] and server.people(A)[0]["name"] == "Nguyễn Thị Hoa"
    office.now += 100 * DAY_S
    server.retention.run()
    assert server.people(A)[0]["name"] == "Nguyễn Thị Hoa"
    # A's next wearer: A's first one is gone 21 days later, and is still the first.
    office.issue(A, office.now - DAY_S, 42, "Lê Thị Mai")
    office.dock(A)
    assert [turn["name"] for turn in server.people(A)] == ["Nguyễn Thị Hoa", "Lê Thị Mai"]
    office.now += 23 * DAY_S
    server.retention.run()
    assert [turn["name"] for turn in server.people(A)] == ["Lê Thị Mai"]
    case = office.declare(A, onset=f"{retention_day(office.now)}")
    assert case["holder"] == 2 and case["person"]["name"] == "Lê Thị Mai"
    assert not any(b"41" == f.read_bytes() for f in place.glob("sealed/*"))


def retention_day(utc_s: int) -> str:
    from zoneband.server.moments import today

    return today(utc_s).isoformat()


def test_cases_go_21_days_after_their_end_and_their_numbers_are_not_given_again(
    office: Office,
) -> None:
    server = server_of(office)
    number = office.declare(A, onset=retention_day(office.now))["number"]
    server.calls.note(number, B, 1, "reached", "lan")
    office.now += 100 * DAY_S
    server.retention.run()
    assert office.ask("GET", f"/v1/cases/{number}").status_code == 200
    office.ask("POST", f"/v1/cases/{number}/close", json={"reason": "khỏi bệnh, bà Hoa"})
    office.now += 23 * DAY_S
    assert server.retention.run().cases == 1
    assert office.refused("GET", f"/v1/cases/{number}")
    assert office.ask("GET", "/v1/cases").json() == [] and server.calls.last(number) == {}
    assert "khỏi bệnh, bà Hoa".encode() not in held(office.path / "server")
    assert office.declare(B, onset=retention_day(office.now))["number"] == number + 1


# --- the daily run -------------------------------------------------------------------------------


def test_a_running_server_drops_at_its_start_and_each_day_but_by_no_clock_that_jumps(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    vouched = [False]
    upkeep = Upkeep(server_of(office), lambda: office.now, lambda: vouched[0])
    office.now = (DAY + 22) * DAY_S
    assert not upkeep.look()  # nobody vouches for the first one
    assert "clock may be wrong" in caplog.text
    vouched[0] = True
    assert upkeep.look() and not upkeep.look()
    vouched[0] = False
    office.now += DAY_S
    assert upkeep.look()
    before = rows(office.path / "server")
    office.now += 400 * DAY_S
    assert not upkeep.look() and rows(office.path / "server") == before != set()
    # Nor are records refused by such a clock.
    late = office.book(C)
    late.met(A, NOON + 21 * DAY_S, 10, -66)
    assert put(office, late.batch()).json()["records_refused"] == 0


def test_the_verb_works_beside_a_running_server_and_without_one(tmp_path: Path) -> None:
    nobody = zoneband(tmp_path, "retention", "run")
    assert nobody.returncode == 2 and "no tracing server" in nobody.stderr
    TracingServer(tmp_path / "server", utc=lambda: NOON)
    done = zoneband(tmp_path, "retention", "run", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["batches"] == 0, done.stderr
    with running(tmp_path) as url:
        done = zoneband(tmp_path, "retention", "run", "--server", url)
        assert done.returncode == 0 and "is kept" in done.stdout, done.stderr
    with alone(tmp_path / "server"):
        done = zoneband(tmp_path, "retention", "run", "--server", "http://127.0.0.1:9")
        assert done.returncode == 5 and "does not answer" in done.stderr


def test_only_whoever_runs_the_server_may_ask_for_it(office: Office) -> None:
    assert as_tracer(office, "POST", "/v1/retention").status_code == 403
    assert office.http.post("/v1/retention").status_code == 401
    answer = operator(office, "POST", "/v1/retention")
    assert answer.status_code == 200 and answer.json()["first_day"] > 0


# --- stations ------------------------------------------------------------------------------------


def aged(spool: Spool, table: str, days: int) -> None:
    with spool._change() as db:
        db.execute(f"UPDATE {table} SET created_s=created_s-?", (days * DAY_S,))


def test_a_spool_forgets_what_it_sent_but_not_how_far_it_was(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    book = BandBook(A, tmp_path)
    book.met(B, NOON, 25, -66)
    data = book.batch()
    name = spool.add(data)
    spool.sent(name)
    now = spool._one("SELECT created_s FROM batches", ())[0]
    assert spool.expire(now + 21 * DAY_S) == 0 and spool.data(name) == data
    assert spool.expire((retention.first_day(now) + 43) * DAY_S) == 0
    assert spool.data(name) == b"" and spool.cursor(A, 77) == book.log.head
    assert spool.add(data) == name and spool.waiting() == []
    spool.close()
    assert all(one not in (tmp_path / "spool.sqlite").read_bytes() for one in ids_in(data))


def test_what_was_never_sent_is_deleted_with_a_word_and_the_band_may_bring_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stations, "clock_synchronized", lambda: False)
    spool = Spool(stations.directory(tmp_path))
    book = BandBook(A, tmp_path)
    book.met(B, NOON, 25, -66)
    spool.add(book.batch())
    spool.add_sealed(2, A, b"a person", ready=True)
    for table in ("batches", "sealed"):
        aged(spool, table, 23)
    uploader = Uploader(tmp_path, spool, settings("http://127.0.0.1:9"), sleep=lambda _s: None)
    # By a clock that nobody vouches for nothing goes.
    assert uploader.run(tries=1).note == "" and len(spool.waiting()) == 1
    stations.note_server_time(tmp_path, 0.1)
    done = uploader.run(tries=1)
    assert "1 batches could not be sent for 21 days" in done.note and done.waiting == 1
    assert spool.waiting() == [] and spool.cursor(A, 77) == 0
    assert [record.data for record in spool.waiting_sealed()] == [b"a person"]


def test_a_station_forgets_receipts_and_hand_outs_that_are_over(tmp_path: Path) -> None:
    spool, inventory = Spool(tmp_path), Inventory(tmp_path)
    spool.add_receipt(Receipt(A, 77, 0, 9, bytes(32)))
    spool.add_receipt(Receipt(A, 77, 9, 12, bytes(32)))
    spool.delivered(Receipt(A, 77, 0, 9, bytes(32)))
    for state in (records.ISSUED, records.RETURNED, records.ISSUED, records.RETURNED):
        inventory.granted(inventory.ask(A, state))
    later = 9_000_000_000
    spool.expire(later)
    assert spool.receipts(A, 77, 0) == [] and len(spool.receipts(A, 77, 9)) == 1
    assert spool._one("SELECT COUNT(*) FROM receipts", ())[0] == 1
    number = inventory.number(A)
    assert inventory.expire(later) == 2
    assert inventory.number(A) == number != 0
    assert inventory.wish(A) is None
