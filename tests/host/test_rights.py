"""Persons' requests by law: each is timed, what is overdue comes first, and a withdrawal holds."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandbook import NOON, A, B, C
from kept import as_tracer, held, operator, put, rows, server_of, whole_log_receipt, zoneband
from office import Office
from stationed import settings as station_settings
from zoneband import station as stations
from zoneband.errors import UserError
from zoneband.server.moments import day_s
from zoneband.server.refused import Refused
from zoneband.server.rights import KINDS
from zoneband.server.tracing_server import TracingServer
from zoneband.server.working_days import NAME, WorkingDays, load
from zoneband.spool import Spool
from zoneband.upload import Uploader

DAY_S = 86_400
HOA = "Nguyễn Thị Hoa"
DAYS = st.dates(date(2026, 1, 1), date(2040, 12, 31))


@pytest.fixture
def office(tmp_path: Path) -> Office:
    office = Office(tmp_path)
    office.issue(A, NOON - DAY_S, 41, HOA)
    office.book(A).met(B, NOON, 25, -66)
    office.book(B).met(A, NOON, 25, -66)
    office.now = NOON + DAY_S
    office.dock(A, B)
    return office


# --- working days -------------------------------------------------------------------------------


@settings(deadline=None)
@given(DAYS, st.integers(1, 30), st.frozensets(DAYS, max_size=5))
def test_working_days_are_counted_one_by_one(day: date, count: int, free: frozenset[date]) -> None:
    rule = WorkingDays(free)
    last = rule.after(day, count)
    between = [day + timedelta(days=n) for n in range(1, (last - day).days + 1)]
    assert last > day and rule.is_working(last)
    assert sum(map(rule.is_working, between)) == count
    assert all(not (rule.is_working(d) and (d.weekday() > 4 or d in free)) for d in between)


@settings(deadline=None)
@given(DAYS, DAYS, st.integers(1, 10))
def test_what_comes_later_is_due_no_earlier(one: date, other: date, count: int) -> None:
    rule = WorkingDays()
    first, second = sorted((one, other))
    assert rule.after(first, count) <= rule.after(second, count)
    assert rule.after(rule.after(first, count), 1) == rule.after(first, count + 1)


@settings(deadline=None)
@given(st.integers(2026, 2040))
def test_holidays_are_not_worked_and_what_the_government_says_counts(year: int) -> None:
    fixed = [date(year, 1, 1), date(year, 4, 30), date(year, 5, 1), date(year, 9, 2)]
    assert not any(map(WorkingDays().is_working, fixed))
    assert all(map(WorkingDays(work=frozenset(fixed)).is_working, fixed))


def test_tet_is_not_worked() -> None:
    rule = WorkingDays()
    # The first days of the lunar years 2026 and 2027: 17 February and 6 February.
    assert not rule.is_working(date(2026, 2, 17)) and not rule.is_working(date(2027, 2, 8))
    assert rule.after(date(2026, 2, 13), 1) >= date(2026, 2, 23)


def test_a_file_of_days_that_is_wrong_is_named(tmp_path: Path) -> None:
    assert load(tmp_path).is_working(date(2026, 11, 3))
    (tmp_path / NAME).write_text("free = [2026-11-03]\nwork = [2026-11-07]\n")
    rule = load(tmp_path)
    assert not rule.is_working(date(2026, 11, 3)) and rule.is_working(date(2026, 11, 7))
    for text in (
        "free = 7",
        'free = ["x"]',
        "frei = []",
        "free = [",
        "free = [2026-11-03T01:00:00]",
    ):
        (tmp_path / NAME).write_text(text)
        with pytest.raises(UserError, match=NAME):
            load(tmp_path)
    (tmp_path / NAME).write_text("free = [2026-11-03]\nwork = [2026-11-03]\n")
    with pytest.raises(UserError, match="work is wrong"):
        load(tmp_path)


# --- the register -------------------------------------------------------------------------------


def test_each_request_is_due_in_two_working_days_and_fifteen_days(office: Office) -> None:
    rights = server_of(office).rights
    for kind in KINDS:
        row = rights.add(kind, A)
        # It came on Wednesday 4 November 2026.
        assert row["answer_by_s"] == day_s(date(2026, 11, 7))
        assert row["done_by_s"] == day_s(date(2026, 11, 20))
        assert (row["due_s"] is None) == (kind == "consent") and row["hand_out"] == 41
    friday = day_s(date(2026, 10, 30)) + 3600
    assert rights.add("access", A, came_s=friday)["answer_by_s"] == day_s(date(2026, 11, 4))
    with pytest.raises(ValueError):
        rights.add("anything", A)
    with pytest.raises(Refused):
        rights.add("access", A, came_s=office.now + 1)


def test_what_is_overdue_comes_first(office: Office) -> None:
    rights = server_of(office).rights
    old = rights.add("access", A, came_s=NOON - 20 * DAY_S)
    new = rights.add("correction", A)
    assert [(r["id"], r["overdue"]) for r in rights.every()] == [
        (old["id"], True),
        (new["id"], False),
    ]
    rights.answer(old["id"])
    assert rights.get(old["id"])["overdue"]  # done it must be, too
    rights.done(old["id"])
    assert [r["id"] for r in rights.every()] == [new["id"]]
    assert {r["id"] for r in rights.every(all_=True)} == {old["id"], new["id"]}
    office.now = new["answer_by_s"] - 1
    assert not rights.get(new["id"])["overdue"]
    office.now += 1
    assert rights.get(new["id"])["overdue"]
    first = rights.answer(new["id"])
    assert not first["overdue"] and rights.answer(new["id"]) == first
    with pytest.raises(Refused):
        rights.answer(99)


def test_after_a_withdrawal_nothing_new_of_the_wearer_is_kept(office: Office) -> None:
    server, place = server_of(office), office.path / "server"
    before = rows(place)
    row = server.rights.add("withdrawal", A)
    assert row["ask_back"]
    office.book(A).met(C, office.now + 3600, 10, -66)
    office.book(C).met(A, office.now + 3600, 10, -66)
    office.book(C).met(B, office.now + 3600, 10, -66)
    office.now += 2 * DAY_S
    answer = put(office, office.book(A).batch()).json()
    assert answer["ask_back"] and answer["records_refused"] == 2
    assert whole_log_receipt(office.book(A), answer["receipt"])
    other = put(office, office.book(C).batch()).json()
    assert not other["ask_back"] and other["records_refused"] == 2
    # C's id is 3, B's is 2: as they were enrolled.
    assert rows(place) - before == {row for row in rows(place) if row[:2] == (3, 2)} != set()
    # Once the band is taken back nobody asks for it; what others wear it for is theirs.
    office.record_returned(A, 41, office.now)
    assert not server.rights.get(row["id"])["ask_back"]
    office.issue(A, office.now + 1000, 42, "Lê Thị Mai")
    office.book(A).met(C, office.now + 2000, 10, -66)
    office.now += DAY_S
    answer = put(office, office.book(A).batch()).json()
    assert answer["records_refused"] == 0 and not answer["ask_back"]


def test_consent_that_is_given_again_ends_a_withdrawal(office: Office) -> None:
    server = server_of(office)
    server.rights.add("withdrawal", A)
    office.now += DAY_S
    server.rights.add("consent", A)
    office.book(A).met(C, office.now - 3600, 10, -66)
    office.book(A).met(C, office.now + 3600, 10, -66)
    office.now += DAY_S
    answer = put(office, office.book(A).batch()).json()
    assert not answer["ask_back"] and answer["records_refused"] == 2


def test_a_deletion_is_carried_out_when_it_is_done(office: Office) -> None:
    server, place = server_of(office), office.path / "server"
    row = server.rights.add("deletion", A)
    assert rows(place) and row["ask_back"]
    done = server.rights.done(row["id"])
    assert done["erased"]["encounters_own"] == done["erased"]["encounters_of_others"] == 5
    assert rows(place) == set() and server.people(A) == []
    assert done["erasure"] == server.erasing.every()[0]["id"]
    assert server.rights.done(row["id"])["done_s"] == done["done_s"]
    assert len(server.erasing.every()) == 1
    # The register itself names nobody, and stays.
    assert HOA.encode() not in held(place)
    again = TracingServer(place, utc=lambda: office.now)
    assert [r["kind"] for r in again.rights.every(all_=True)] == ["deletion"]


def test_a_station_is_told_which_bands_to_take_back(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stations, "clock_synchronized", lambda: False)
    server_of(office).rights.add("withdrawal", A)
    spool = Spool(stations.directory(tmp_path / "station"))
    book = office.book(A)
    book.met(C, office.now + 3600, 10, -66)
    spool.add(book.batch())
    key = office.station._key  # type: ignore[attr-defined]
    with office.serving() as url:
        done = Uploader(tmp_path / "station", spool, station_settings(url, key=key)).run(tries=1)
    assert done.sent == 1, done
    assert A in done.note and "Take back" in done.note


def test_the_verb_records_lists_and_answers(office: Office) -> None:
    data = office.path
    assert zoneband(data, "rights", "list").returncode == 3
    assert zoneband(data, "rights", "add", "wish", A).returncode == 2
    assert zoneband(data, "rights", "add", "access", "ZB-9999-9994").returncode in (2, 3)
    # Real time goes on behind this office's, so all of it is long due.
    made = zoneband(data, "rights", "add", "deletion", A, "--came", "01/11/2026")
    assert made.returncode == 0 and "Answer by 03/11/2026" in made.stdout, made.stderr
    assert "do it by 16/11/2026" in made.stdout and "Take the band back" in made.stdout
    shown = zoneband(data, "rights", "list")
    assert shown.returncode == 1 and "OVERDUE" in shown.stdout
    assert "16/11/2026" in zoneband(data, "rights", "answer", "1").stdout
    done = zoneband(data, "rights", "done", "1")
    assert done.returncode == 0 and "5 encounters of its own" in done.stdout, done.stderr
    rows_ = json.loads(zoneband(data, "rights", "list", "--all", "--json").stdout)
    assert [row["kind"] for row in rows_] == ["deletion"] and rows_[0]["done_s"]
    assert zoneband(data, "rights", "done", "7").returncode in (3, 5)


def test_the_register_is_for_whoever_runs_the_server(office: Office) -> None:
    body: dict[str, Any] = {"kind": "access", "serial": A}
    assert as_tracer(office, "POST", "/v1/rights", json=body).status_code == 403
    assert operator(office, "POST", "/v1/rights", json=body).status_code == 201
    assert operator(office, "POST", "/v1/rights", json={**body, "kind": "x"}).status_code == 422
    assert len(operator(office, "GET", "/v1/rights").json()) == 1
    assert operator(office, "POST", "/v1/rights/1/answer").json()["answered_s"]
    assert operator(office, "POST", "/v1/rights/1/done").json()["done_s"]
    assert operator(office, "GET", "/v1/rights").json() == []
    assert len(operator(office, "GET", "/v1/rights", params={"all": True}).json()) == 1
