"""Cases: the right wearer, the right days, the right bands, and a clear line where that fails."""

from contextlib import nullcontext
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from bandbook import NOON, A, B, C
from office import PLACE, D, Office
from zoneband.i18n import set_language
from zoneband.seal import Kind
from zoneband.server import ledger, migrating
from zoneband.server.cases import Cases
from zoneband.server.moments import day_s
from zoneband.server.tracing_server import TracingServer
from zoneband.tracing import case_words, rules, words
from zoneband.wire import records

HOUR = 3600
TODAY = date(2026, 11, 4)  # of the server; NOON is the day before


@pytest.fixture
def office(tmp_path: Path) -> Office:
    set_language("en")
    return Office(tmp_path)


def met(answer: dict[str, Any]) -> list[tuple[str, str | None, bool]]:
    """(serial, name, whether to call) of each contact, in the answer's order."""
    return [
        (c["serial"], (c["person"] or {}).get("name"), c["must_call"]) for c in answer["contacts"]
    ]


def codes(answer: dict[str, Any]) -> set[str]:
    return {entry["code"] for entry in answer["notes"]}


# --- the wearer --------------------------------------------------------------------------------


def test_a_case_is_the_wearer_that_the_band_was_handed_to(office: Office) -> None:
    office.issue(A, NOON - 2 * HOUR, 71, "Lan")
    office.dock()
    case = office.declare(A, onset="2026-11-03")
    assert (case["holder"], case["hand_out"], case["person"]["name"]) == (1, 71, "Lan")
    assert case["notes"] == [] and case["state"] == "open"
    assert office.ask("GET", f"/v1/cases/{case['number']}").json() == {
        k: v for k, v in case.items() if k != "new"
    }


def test_a_case_before_its_band_was_ever_docked_is_told_and_filled_in_later(office: Office) -> None:
    office.book(B).met(A, NOON, 20, -66)
    office.dock(B)
    case = office.declare(A, onset="2026-11-03")
    assert case["holder"] is None and codes(case) == {"never_docked"}
    note = case_words.note(case["notes"][0])
    assert note and A in note and "never docked" in note
    # What others heard of it counts already.
    assert [c[0] for c in met(office.contacts(case["number"]))] == [B]
    office.issue(A, NOON - HOUR, 9, "Lan")
    office.book(A).met(C, NOON + HOUR, 20, -66)
    office.dock(A)
    case = office.ask("GET", f"/v1/cases/{case['number']}").json()
    assert case["person"]["name"] == "Lan" and case["notes"] == []
    assert {c[0] for c in met(office.contacts(case["number"]))} == {B, C}


def test_a_contact_whose_band_never_came_is_named_by_the_hand_out_if_there_was_one(
    office: Office,
) -> None:
    office.book(A).met(B, NOON, 20, -66)
    office.dock(A)
    given = {"serial": B, "utc_s": NOON - HOUR, "phone": "+84912345678"}
    office.record(Kind.PERSON, number=7, name="Lan", **given)
    number = office.declare(A, onset="2026-11-03")["number"]
    [contact] = office.contacts(number)["contacts"]
    assert contact["person"]["name"] == "Lan"
    assert [words.why(e) for e in contact["why"] if e["code"] == "by_hand_out"] == [
        "Named by the hand-out alone: the band's log has not told who wore it."
    ]
    # Of two it may have been either: nobody is called by the wrong name.
    office.record(Kind.PERSON, number=8, name="Minh", **given)
    [contact] = office.contacts(number)["contacts"]
    assert contact["person"] is None
    assert "by_hand_out" not in {entry["code"] for entry in contact["why"]}


def test_of_a_band_with_two_wearers_in_turn_the_tracer_chooses_one(office: Office) -> None:
    office.issue(A, NOON - 5 * HOUR, 1001, "Lan")
    office.book(A).met(B, NOON - 4 * HOUR, 20, -66)
    office.issue(A, NOON, 1002, "Minh")
    office.book(A).met(C, NOON + HOUR, 20, -66)
    office.dock()
    body = {"serial": A, "onset": "2026-11-03"}
    line = office.refused("POST", "/v1/cases", json=body)
    assert "--holder" in line and "#1 Lan" in line and "#2 Minh" in line
    assert "#7" in office.refused("POST", "/v1/cases", json=body | {"holder": 7})
    first = office.declare(A, onset="2026-11-03", holder=1)
    second = office.declare(A, onset="2026-11-03", holder=2)
    assert first["number"] != second["number"]
    assert [c[0] for c in met(office.contacts(first["number"]))] == [B]
    assert [c[0] for c in met(office.contacts(second["number"]))] == [C]


def test_where_a_late_log_tells_of_two_wearers_the_case_asks_which(office: Office) -> None:
    case = office.declare(A, onset="2026-11-03")
    office.issue(A, NOON - 5 * HOUR, 1001, "Lan")
    office.book(A).met(B, NOON - 4 * HOUR, 20, -66)
    office.issue(A, NOON, 1002, "Minh")
    office.book(A).met(C, NOON + HOUR, 20, -66)
    office.dock()
    answer = office.contacts(case["number"])
    assert {c[0] for c in met(answer)} == {B, C} and "choose_holder" in codes(answer)
    [line] = [words.note(e) for e in answer["notes"] if e["code"] == "choose_holder"]
    assert "declare the case again" in line and "#2 Minh" in line
    again = office.declare(A, onset="2026-11-03", holder=2)
    assert (again["number"], again["new"], again["notes"]) == (case["number"], False, [])
    assert [c[0] for c in met(office.contacts(case["number"]))] == [C]


def test_whoever_gets_the_band_after_the_declaration_is_no_case(office: Office) -> None:
    case = office.declare(A, onset="2026-11-03")  # before any dock: no wearer is known yet
    office.issue(A, NOON - 5 * HOUR, 5, "Lan")
    office.dock()
    office.now += 5 * 86_400
    office.issue(A, office.now - HOUR, 6, "Minh")
    office.book(A).met(B, office.now - HOUR // 2, 20, -66)
    office.dock()
    case = office.ask("GET", f"/v1/cases/{case['number']}").json()
    assert case["person"]["name"] == "Lan" and case["notes"] == []
    assert met(office.contacts(case["number"])) == []


def test_a_wearer_with_a_new_band_is_traced_on_both(office: Office) -> None:
    # Ten minutes with C on the lost band, ten on the new one: only together they are enough.
    office.issue(A, NOON - 5 * HOUR, 11, "Lan")
    office.book(A).met(C, NOON - HOUR, 10, -66)
    lost = {"serial": A, "number": 11, "utc_s": NOON, "event": "replaced"}
    office.record(Kind.EVENT, **lost, new_serial=B, new_number=12)
    office.book(B).mark(records.STATE, NOON, records.ISSUED, 12)
    office.book(B).met(C, NOON + HOUR, 10, -66)
    # Whoever finds the lost band meets nobody for her.
    office.book(A).met(D, NOON + 2 * HOUR, 30, -60)
    office.dock()
    case = office.declare(B, onset="2026-11-03")
    assert case["person"]["name"] == "Lan"
    answer = office.contacts(case["number"])
    assert met(answer) == [(C, None, True)]
    assert 19 <= answer["contacts"][0]["near_min"] <= 20.5


def test_contacts_in_one_answer_each_have_their_own_name(office: Office) -> None:
    # B by the number in its log, C by the band before, D by the only hand-out, the place by none.
    for other, minutes in ((B, 30), (C, 25), (D, 20), (PLACE, 18)):
        office.book(A).met(other, NOON, minutes, -66)
    office.issue(B, NOON - 5 * HOUR, 21, "Lan")
    office.issue(B, NOON + 5 * HOUR, 22, "Hoa")
    lost = "ZB-3333-0000"
    office.record(Kind.PERSON, serial=lost, number=31, utc_s=NOON, name="Minh", phone=None)
    replaced = {"serial": lost, "number": 31, "utc_s": NOON - 5 * HOUR, "event": "replaced"}
    office.record(Kind.EVENT, **replaced, new_serial=C, new_number=32)
    office.book(C).mark(records.STATE, NOON - 5 * HOUR, records.ISSUED, 32)
    office.record(Kind.PERSON, serial=D, number=41, utc_s=NOON, name="Tâm", phone=None)
    office.dock(A, B, C)
    case = office.declare(A, onset="2026-11-03")
    answer = office.contacts(case["number"])
    assert {serial: name for serial, name, _call in met(answer)} == {
        B: "Lan", C: "Minh", D: "Tâm", PLACE: None,
    }  # fmt: skip
    by_hand_out = [
        c["serial"] for c in answer["contacts"] if "by_hand_out" in {w["code"] for w in c["why"]}
    ]
    assert by_hand_out == [D]


# --- days --------------------------------------------------------------------------------------


def test_an_answer_without_names_says_that_they_are_sealed(office: Office) -> None:
    office.issue(A, NOON - 7200, 1, "Lan")
    office.issue(PLACE, NOON - 7200, 2, "Chợ")
    office.book(A).met(PLACE, NOON, 20, -66)
    office.dock()
    span = NOON - 86_400, NOON + 86_400
    locked = TracingServer(office.path / "server", utc=lambda: office.now)
    for answer in (locked.tracing.trace(A, *span), locked.tracing.visits(PLACE, *span)):
        assert "names_sealed" in [note["code"] for note in answer["notes"]]
        assert "sealed" in words.note({"code": "names_sealed"})
    day = "from=2026-11-03&to=2026-11-04"
    office.declare(A, onset="2026-11-03")
    told = office.ask("GET", f"/v1/traces/{A}?{day}").json()["notes"]
    assert "names_sealed" not in [note["code"] for note in told]


def test_the_window_is_counted_from_onset_or_test_and_ends_with_isolation(office: Office) -> None:
    for days, other in ((-3, D), (-2, B), (0, C)):
        office.book(A).met(other, NOON + days * 86_400 + HOUR, 20, -66)
    office.dock()
    ill = office.declare(A, onset="2026-11-03")
    assert {c[0] for c in met(office.contacts(ill["number"]))} == {B, C}
    assert office.declare(A, onset="2026-11-03", isolated="2026-11-02")["new"] is False
    assert {c[0] for c in met(office.contacts(ill["number"]))} == {B}
    office.ask("POST", f"/v1/cases/{ill['number']}/close", json={"reason": "well"})
    tested = office.declare(A, tested="2026-11-04")
    assert (tested["onset"], tested["tested"]) == (None, "2026-11-04")
    assert {c[0] for c in met(office.contacts(tested["number"]))} == {C}


def test_days_that_cannot_be_are_refused_in_words(office: Office) -> None:
    def line(**facts: Any) -> str:
        return office.refused("POST", "/v1/cases", json={"serial": A, **facts})

    assert "one of them" in line()
    assert "one of them" in line(onset="2026-11-03", tested="2026-11-03")
    assert "05/11/2026 has not come yet" in line(onset="2026-11-05")
    assert "09/11/2026 has not come yet" in line(onset="2026-11-03", isolated="2026-11-09")
    assert "check the dates" in line(tested="0001-01-01")
    assert "nobody can have been infected" in line(onset="2026-11-03", isolated="2026-10-20")
    for bad in ("soon", "2026-13-01", "9999-99-99"):
        answer = office.ask("POST", "/v1/cases", json={"serial": A, "onset": bad})
        assert answer.status_code == 422
    assert office.ask("GET", "/v1/cases").json() == []


def test_a_case_of_long_ago_is_told_that_bands_forget(office: Office) -> None:
    assert codes(office.declare(A, onset="2026-10-01")) == {"never_docked", "long_ago"}


@given(st.integers(0, 60), st.none() | st.integers(0, 60), st.integers(0, 21), st.integers(0, 31))
def test_a_window_is_whole_days_in_vietnam_up_to_today_or_isolation(
    ago: int, isolated_ago: int | None, before: int, after: int
) -> None:
    rule = rules.RuleSet(days_before=before, days_after=after)
    engine = create_engine("sqlite://")
    cases = Cases(engine, nullcontext(), lambda: NOON + 86_400, lambda *_: None, rule)
    onset = TODAY - timedelta(days=ago)
    isolated = None if isolated_ago is None else TODAY - timedelta(days=isolated_ago)
    case = {
        "onset": onset.isoformat(),
        "tested": None,
        "isolated": None if isolated is None else isolated.isoformat(),
    }
    from_s, to_s = cases.window(case, rule)
    assert from_s == day_s(onset - timedelta(days=before)) <= to_s
    assert (to_s - from_s) % 86_400 == 0 and to_s <= day_s(TODAY + timedelta(days=1))
    last = min(d for d in (onset + timedelta(days=after), TODAY, isolated) if d is not None)
    assert to_s == max(from_s, day_s(last + timedelta(days=1)))


# --- ends --------------------------------------------------------------------------------------


def test_a_case_of_the_wrong_band_is_withdrawn_and_traced_no_more(office: Office) -> None:
    office.book(A).met(B, NOON, 20, -66)
    office.dock()
    number = office.declare(A, onset="2026-11-03")["number"]
    assert met(office.contacts(number)) == [(B, None, True)]
    path = f"/v1/cases/{number}/withdraw"
    done = office.ask("POST", path, json={"reason": "  wrong \n band "}).json()
    assert (done["state"], done["reason"], done["ended_s"]) == (
        "withdrawn",
        "wrong band",
        office.now,
    )
    answer = office.contacts(number)
    assert answer["contacts"] == [] and codes(answer) == {"withdrawn"}
    assert "wrong band" in words.note(answer["notes"][0])
    assert office.ask("POST", path, json={"reason": "again"}).json()["reason"] == "wrong band"
    assert "withdrawn" in office.refused("POST", f"/v1/cases/{number}/close", json={"reason": "x"})
    # The right one may be declared, even of the same band and day.
    assert office.declare(A, onset="2026-11-03")["number"] == number + 1


def test_a_closed_case_can_still_be_traced_and_withdrawn(office: Office) -> None:
    office.book(A).met(B, NOON, 20, -66)
    office.dock()
    number = office.declare(A, onset="2026-11-03")["number"]
    assert office.ask("POST", f"/v1/cases/{number}/close", json={"reason": "well"}).is_success
    assert met(office.contacts(number)) == [(B, None, True)]
    assert office.ask("POST", f"/v1/cases/{number}/withdraw", json={"reason": "x"}).is_success
    assert met(office.contacts(number)) == []


def test_an_end_needs_a_reason_and_a_case(office: Office) -> None:
    number = office.declare(A, onset="2026-11-03")["number"]
    path = f"/v1/cases/{number}/close"
    for reason in ("   ", "x" * 501):
        assert "reason" in office.refused("POST", path, json={"reason": reason})
    assert "no case 99" in office.refused("POST", "/v1/cases/99/close", json={"reason": "x"})
    assert "no case 99" in office.refused("GET", "/v1/cases/99")
    assert "no case 99" in office.refused("GET", "/v1/cases/99/contacts")
    assert office.ask("GET", f"/v1/cases/{number}").json()["state"] == "open"


def test_to_declare_again_is_harmless_and_another_day_is_refused(office: Office) -> None:
    first = office.declare(A, onset="2026-11-03")
    again = office.declare(A, onset="2026-11-03", isolated="2026-11-04")
    assert first["new"] and not again["new"] and again["number"] == first["number"]
    assert again["isolated"] == "2026-11-04"
    assert office.declare(A, onset="2026-11-03")["isolated"] == "2026-11-04"
    body = {"serial": A, "onset": "2026-11-01"}
    assert f"case {first['number']}" in office.refused("POST", "/v1/cases", json=body)
    orders = office.ask("GET", f"/v1/bands/{A}/orders/all").json()
    assert [order["kind"] for order in orders] == ["rekey"]
    office.declare(B, onset="2026-11-01")
    listed = office.ask("GET", "/v1/cases", params={"state": "open"}).json()
    assert [case["serial"] for case in listed] == [B, A]
    mine = office.ask("GET", "/v1/cases", params={"serial": A}).json()
    assert [case["serial"] for case in mine] == [A]


# --- swaps -------------------------------------------------------------------------------------


def swap(a: str, b: str, begin: str, end: str) -> dict[str, str]:
    return {"serial_a": a, "serial_b": b, "from": begin, "to": end}


SPAN = ("2026-11-03T12:00+07:00", "2026-11-03T14:00+07:00")  # from NOON on


def test_after_a_swap_is_noted_traces_name_the_right_people(office: Office) -> None:
    office.issue(A, NOON - 5 * HOUR, 1, "Lan")
    office.issue(B, NOON - 5 * HOUR, 2, "Minh")
    office.issue(C, NOON - 5 * HOUR, 3, "Hoa")
    office.book(A).met(D, NOON - 2 * HOUR, 20, -66)  # Lan
    office.book(A).met(C, NOON + HOUR // 2, 20, -66)  # Minh, with Lan's band on
    office.dock()
    lan = office.declare(A, onset="2026-11-03")["number"]
    minh = office.declare(B, onset="2026-11-03")["number"]
    assert {c[0] for c in met(office.contacts(lan))} == {C, D}
    assert met(office.contacts(minh)) == []
    noted = office.ask("POST", "/v1/swaps", json=swap(B, A, *SPAN))
    assert noted.status_code == 201 and noted.json()["bands"] == [A, B]
    assert [c[0] for c in met(office.contacts(lan))] == [D]
    assert met(office.contacts(minh)) == [(C, "Hoa", True)]
    assert "swapped" in codes(office.contacts(minh)) and "swapped" in codes(office.contacts(lan))
    # And the other way round: whom Hoa met was Minh.
    hoa = office.declare(C, onset="2026-11-03")["number"]
    assert met(office.contacts(hoa)) == [(B, "Minh", True)]
    assert office.ask("POST", "/v1/swaps/undo", json=swap(A, B, *SPAN)).status_code == 200
    assert office.ask("GET", "/v1/swaps").json() == []
    assert met(office.contacts(hoa)) == [(A, "Lan", True)]


def test_swaps_that_cannot_be_are_refused_in_words(office: Office) -> None:
    def line(*facts: str) -> str:
        return office.refused("POST", "/v1/swaps", json=swap(*facts))

    assert "itself" in line(A, A, *SPAN)
    assert "ends before" in line(A, B, *reversed(SPAN))
    assert "has not come yet" in line(A, B, "2026-12-01", "2026-12-02")
    assert "nobody wears it" in line(A, PLACE, *SPAN)
    office.ask("POST", "/v1/swaps", json=swap(A, B, *SPAN))
    assert office.ask("POST", "/v1/swaps", json=swap(B, A, *SPAN)).status_code == 201
    assert len(office.ask("GET", "/v1/swaps").json()) == 1
    assert "--undo" in line(B, C, "2026-11-03", "2026-11-03")
    undo = office.refused("POST", "/v1/swaps/undo", json=swap(A, B, "2026-11-03", "2026-11-03"))
    assert "No swap" in undo
    unknown = office.ask("POST", "/v1/swaps", json=swap(A, "ZB-0000-0000", *SPAN))
    assert unknown.status_code == 404
    for bad in ("yesterday", "2026-11-03T10:00", "9999-12-31"):
        answer = office.ask("POST", "/v1/swaps", json=swap(A, C, bad, bad))
        assert answer.status_code == 400, bad


# --- the rest of the interface -----------------------------------------------------------------


def test_rule_sets_are_listed_and_chosen_by_name(office: Office) -> None:
    office.book(A).met(B, NOON, 20, -80)  # 60 dB: half a minute each for GAEN, none for Vietnam
    office.dock()
    number = office.declare(A, onset="2026-11-03")["number"]
    listed = office.ask("GET", "/v1/rules").json()
    assert [rule["name"] for rule in listed] == sorted(rules.load())
    default, gaen = office.contacts(number), office.contacts(number, rules="gaen")
    assert default["rule"]["name"] == "vietnam" and gaen["rule"]["name"] == "gaen"
    assert default["contacts"][0]["weighted_min"] == 0
    assert 9 <= gaen["contacts"][0]["weighted_min"] <= 10.5
    path = f"/v1/cases/{number}/contacts"
    line = office.refused("GET", path, params={"rules": "strict"})
    assert "strict" in line and "vietnam" in line
    for degrees in (0, 4, "x"):
        assert office.ask("GET", path, params={"degrees": degrees}).status_code == 422


def test_a_venue_tells_who_was_there_with_the_case(office: Office) -> None:
    office.book(A).met(PLACE, NOON, 30, -70)
    office.book(B).met(PLACE, NOON + 600, 30, -70)
    office.book(C).met(PLACE, NOON + 3 * HOUR, 30, -70)
    office.dock()
    number = office.declare(A, onset="2026-11-03")["number"]
    span = {"from": "2026-11-03", "to": "2026-11-03"}
    path = f"/v1/venues/{PLACE}/visits"
    alone = office.ask("GET", path, params=span).json()
    assert {v["serial"] for v in alone["visitors"]} == {A, B, C}
    beside = office.ask("GET", path, params=span | {"case": number}).json()
    minutes = {v["serial"]: v["overlap_min"] for v in beside["visitors"]}
    assert 18 <= minutes[B] <= 21 and minutes[C] == 0
    assert A in office.refused("GET", f"/v1/venues/{A}/visits", params=span)
    assert "no case 9" in office.refused("GET", path, params=span | {"case": 9})
    body = {"serial": PLACE, "onset": "2026-11-03"}
    assert "nobody wears it" in office.refused("POST", "/v1/cases", json=body)


def test_only_tracers_may_ask_about_cases(office: Office) -> None:
    office.declare(A, onset="2026-11-03")
    calls = [
        ("GET", "/v1/cases"), ("GET", "/v1/cases/1"), ("GET", "/v1/cases/1/contacts"),
        ("POST", "/v1/cases/1/close"), ("POST", "/v1/cases/1/withdraw"), ("POST", "/v1/cases"),
        ("GET", "/v1/rules"), ("GET", "/v1/swaps"), ("POST", "/v1/swaps"),
        ("POST", "/v1/swaps/undo"),
        ("GET", f"/v1/traces/{A}?from=2026-11-03&to=2026-11-03"),
        ("GET", f"/v1/venues/{PLACE}/visits?from=2026-11-03&to=2026-11-03"),
    ]  # fmt: skip
    for method, path in calls:
        assert office.http.request(method, path, json={}).status_code == 401, path
        answer = office.http.request(method, path, json={}, auth=office.station)
        assert answer.status_code == 401, path
    assert office.ask("GET", "/v1/cases/1").json()["state"] == "open"


# --- the ledger --------------------------------------------------------------------------------


def test_cases_of_an_earlier_program_are_kept_there_and_back(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    with engine.begin() as db:
        migrating.migrate(db, tmp_path, "0004")
        db.execute(text(f"INSERT INTO cases VALUES (4, '{A}', '2026-11-01')"))
        db.execute(text(f"INSERT INTO cases VALUES (7, '{A}', '2026-11-02')"))
    now = ledger.open_ledger(tmp_path)
    columns = "id, serial, onset, tested, state, number, declared_s"
    with now.begin() as db:
        rows = [tuple(row) for row in db.execute(text(f"SELECT {columns} FROM cases"))]
        assert rows == [
            (4, A, "2026-11-01", None, "open", None, None),
            (7, A, "2026-11-02", None, "open", None, None),
        ]
        db.execute(
            text(f"INSERT INTO cases (serial, tested, state) VALUES ('{B}', '2026-11-03', 'open')")
        )
        db.execute(text("UPDATE cases SET state='withdrawn' WHERE id=7"))
    with engine.begin() as db:
        migrating.migrate(db, tmp_path, "0004")
        rows = [tuple(row) for row in db.execute(text("SELECT * FROM cases"))]
        assert rows == [(4, A, "2026-11-01"), (8, B, "2026-11-03")]
        migrating.migrate(db, tmp_path)
        assert db.execute(text("SELECT count(*) FROM cases")).scalar() == 2


def test_old_cases_of_one_band_are_listed_and_each_can_be_ended(office: Office) -> None:
    with ledger.open_ledger(office.path / "server").begin() as db:
        for onset in ("2026-11-01", "2026-11-02"):
            values = {"serial": A, "onset": onset, "state": "open"}
            db.execute(ledger.cases.insert().values(**values))
    found = office.ask("GET", "/v1/cases", params={"serial": A, "state": "open"}).json()
    assert [case["number"] for case in found] == [2, 1]
    assert office.declare(A, onset="2026-11-01")["number"] == 1
    assert office.ask("POST", "/v1/cases/2/withdraw", json={"reason": "twice"}).is_success
