"""Who is erased is gone: from every file, for good, whatever is killed, restored or sent again."""

import hashlib
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from bandbook import DAY, NOON, A, B, BandBook, C, id_of, key
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
from zoneband.errors import UserError
from zoneband.seal import Kind
from zoneband.server import audit_log, ledger, store
from zoneband.server.audit import OPERATOR
from zoneband.server.enrolment import Enrolment
from zoneband.server.erasures import NAME, Erasure, Erasures, Part, load, read_one
from zoneband.server.tracing_server import TracingServer
from zoneband.server.unwanted import Erased, Unwanted
from zoneband.tracing import case_words
from zoneband.wire import receipt

DAY_S = 86_400
HOA, HAI = "Nguyễn Thị Hoa", "Trần Văn Hải"


@pytest.fixture
def office(tmp_path: Path) -> Office:
    """A (Hoa), B (Hai) and C met each other on two days."""
    office = Office(tmp_path)
    office.issue(A, NOON - DAY_S, 41, HOA)
    office.issue(B, NOON - DAY_S, 51, HAI)
    for day in (0, 1):
        at = NOON + day * DAY_S
        office.book(A).met(B, at, 25, -66)
        office.book(A).met(C, at + 7200, 10, -66)
        office.book(B).met(A, at, 25, -66)
        office.book(B).met(C, at + 7200, 10, -66)
        office.book(C).met(A, at + 7200, 10, -66)
        office.book(C).met(B, at + 7200, 10, -66)
        for serial in (A, B, C):
            office.book(serial).clock(at + 10_000)
    office.now = NOON + 2 * DAY_S
    office.dock(A, B, C)
    return office


def bands(server: TracingServer) -> dict[str, int]:
    with server._engine.connect() as db:
        return dict(db.execute(select(ledger.bands.c.serial, ledger.bands.c.id)).all())  # type: ignore[arg-type]


Row = tuple[int, int, int]


def without(before: Iterable[Row], band: int, from_s: int = 0, to_s: int = 1 << 40) -> set[Row]:
    """The oracle: a plain filter over the rows that were there."""
    return {
        (observer, contact, start)
        for observer, contact, start in before
        if band not in (observer, contact) or not from_s <= start < to_s
    }


def test_a_person_is_erased_on_both_sides_and_nobody_else_is(office: Office) -> None:
    server, place = server_of(office), office.path / "server"
    who = bands(server)
    before = rows(place)
    logs = {serial: office.book(serial).batch() for serial in (A, B, C)}
    done = server.erasing.erase(A)
    assert rows(place) == without(before, who[A]) != before
    own = {row for row in before if row[0] == who[A]}
    others = {row for row in before if row[1] == who[A]}
    assert done["erased"]["encounters_own"] == len(own) == 14
    assert done["erased"]["encounters_of_others"] == len(others) == 14
    assert done["erased"]["records"] == 1 and done["erased"]["batches"] == 3
    assert done["erased"]["damaged"] == 0 and done["bands"] == [A] and not done["days_only"]
    # Not one ID that A heard or sent is in any file of the server, but those that B and C share.
    everything = held(place)
    ours = {id_of(A, NOON + day * DAY_S + s) for day in (0, 1) for s in (0, 900, 7200)}
    assert ours <= ids_in(logs[B]) | ids_in(logs[C])
    assert not [one for one in ours if one in everything]
    assert server.people(A) == [] and server.people(B)[0]["name"] == HAI
    # What the others' bands heard of each other is as it was.
    traced = server.trace(B, NOON - 3600, office.now)
    assert [c["serial"] for c in traced["contacts"]] == [C]
    assert server.trace(A, NOON - 3600, office.now)["contacts"] == []
    for serial in (B, C):
        assert not server.band_state(serial)["logs"][0]["bad_slots"]


def test_some_days_are_erased_and_the_person_stays(office: Office) -> None:
    server, place = server_of(office), office.path / "server"
    before = rows(place)
    from_s, to_s = NOON - 3600, NOON + 7000
    done = server.erasing.erase(A, from_s=from_s, to_s=to_s)
    assert rows(place) == without(before, bands(server)[A], from_s, to_s) != before
    assert done["days_only"] and done["erased"]["encounters_own"] == 5
    assert server.people(A)[0]["name"] == HOA
    traced = server.trace(A, NOON - 3600, office.now)
    assert {c["serial"]: c["records"] for c in traced["contacts"]} == {B: 10, C: 8}


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_the_rule_is_the_plain_filter(data: st.DataObject) -> None:
    count = data.draw(st.integers(0, 40))
    ints = st.lists(st.integers(-1, 4), min_size=count, max_size=count)
    observer, contact = (np.array(data.draw(ints), np.int64) for _n in range(2))
    start = np.array(
        data.draw(st.lists(st.integers(0, 4 * DAY_S), min_size=count, max_size=count)), np.int64
    )
    first_day = data.draw(st.integers(0, 4))
    ends = st.none() | st.integers(0, 4 * DAY_S)
    erased = data.draw(
        st.lists(st.builds(Erased, st.integers(0, 4), st.integers(0, 4 * DAY_S), ends), max_size=4)
    )
    drop = Unwanted(first_day, erased).rows(
        {"observer": observer, "contact": contact, "start_s": start}
    )
    for n in range(count):
        placed = start[n] >= DAY_S  # the first day is of what no clock point places
        expected = placed and start[n] < first_day * DAY_S
        for band, from_s, to_s in erased:
            if placed and band in (observer[n], contact[n]):
                expected |= bool(from_s <= start[n] < (1 << 40 if to_s is None else to_s))
            expected |= not placed and observer[n] == band and from_s == 0
        assert bool(drop[n]) == bool(expected), n


def test_whoever_is_killed_while_erasing_has_it_done_at_the_next_start(office: Office) -> None:
    place = office.path / "server"
    everything_else = without(rows(place), bands(server_of(office))[A])
    step, deaths = 1, 0
    while True:
        there = office.path / f"killed-{step}"
        subprocess.run(["cp", "-a", place, there], check=True)

        def work(there: Path = there) -> None:
            TracingServer(there, utc=lambda: office.now).erasing.erase(A)

        died = killed(work, step)
        asked = (there / NAME).exists()
        server = TracingServer(there, utc=lambda: office.now)
        if asked:
            # As soon as it is in the list it is done, whatever comes between.
            assert rows(there) == everything_else, step
            told = server.erasing.every()
            assert len(told) == 1 and told[0]["done_s"] is not None
            assert told[0]["erased"]["encounters_own"] == 14, step
            assert told[0]["erased"]["records"] == 1 and server.people(A) == []
            assert not [o for o in (id_of(A, NOON), id_of(A, NOON + DAY_S)) if o in held(there)]
            deaths += died
        else:
            assert len(rows(there)) == len(everything_else) + 28
        shutil.rmtree(there)
        if not died:
            break
        step += 4
    assert deaths >= 10


def test_a_backup_that_is_restored_over_it_is_erased_again(office: Office) -> None:
    place, kept = office.path / "server", office.path / "erasures"
    backup = office.path / "backup"
    subprocess.run(["cp", "-a", place, backup], check=True)
    server = TracingServer(place, utc=lambda: office.now, erasures=kept)
    server.erasing.erase(A)
    left = rows(place)
    del server
    shutil.rmtree(place)
    subprocess.run(["cp", "-a", backup, place], check=True)
    assert len(rows(place)) == len(left) + 28
    again = TracingServer(place, utc=lambda: office.now, erasures=kept)
    assert rows(place) == left and again.people(A) == []
    assert not [one for one in (id_of(A, NOON), id_of(A, NOON + DAY_S)) if one in held(place)]
    assert (place / NAME).read_bytes() == (kept / NAME).read_bytes()
    assert again.erasing.every()[0]["erased"]["encounters_own"] == 14
    # Without the second copy the backup would have brought her back: this is what it is for.
    shutil.rmtree(place)
    subprocess.run(["cp", "-a", backup, place], check=True)
    without_copy = TracingServer(place, utc=lambda: office.now)
    assert len(rows(place)) == len(left) + 28
    # Then the list can be given by hand.
    assert len(without_copy.erasing.replay(load(kept / NAME))) == 1
    assert rows(place) == left
    assert without_copy.erasing.replay(load(kept / NAME)) == []


def test_a_ledger_that_is_restored_alone_loses_nobody_else(office: Office) -> None:
    place = office.path / "server"
    server = server_of(office)
    left = without(rows(place), bands(server)[A])
    server.erasing.erase(A)
    # As a ledger of before in another place: it knows of no erasure.
    with server._engine.begin() as db:
        for table in (ledger.erasures, ledger.erased_spans, ledger.erased_people):
            db.execute(delete(table))
    again = TracingServer(place, utc=lambda: office.now)
    assert rows(place) == left and len(again.erasing.every()) == 1


def test_what_was_erased_comes_back_with_no_batch_and_no_record(office: Office) -> None:
    server, place = server_of(office), office.path / "server"
    sealed = [(f.name, f.read_bytes()) for f in (place / "sealed").iterdir()]
    logs = [office.book(serial).batch() for serial in (A, B, C)]
    others = [office.book(serial).batch(battery_mv=3700) for serial in (A, B, C)]
    server.erasing.erase(A)
    before = rows(place)
    for data in logs + others:
        answer = put(office, data)
        assert answer.is_success and answer.json()["records_new"] == 0, answer.text
    for name, data in sealed:
        path = f"/v1/stations/st/records/{name}"
        assert office.http.put(path, content=data, auth=office.station).is_success
    # And a record of hers that nobody has seen yet.
    office.record(Kind.PERSON, serial=A, number=41, utc_s=NOON, name=HOA, phone=None)
    assert rows(place) == before and server.people(A) == []
    assert not [one for one in (id_of(A, NOON), id_of(A, NOON + DAY_S)) if one in held(place)]
    kept = [f.name for f in (place / "sealed").iterdir()]
    assert len(kept) == len(sealed) - 1


def test_what_comes_later_of_that_time_is_refused_and_receipted(office: Office) -> None:
    server, place = server_of(office), office.path / "server"
    server.erasing.erase(A)
    before = rows(place)
    late = office.book(D)
    late.met(A, NOON, 10, -66)
    late.met(B, NOON + 900, 10, -66)
    answer = put(office, late.batch()).json()
    assert answer["records_new"] == 4 and answer["records_refused"] == 2
    new = rows(place) - before
    assert {row[1] for row in new} == {bands(server)[B]} and len(new) == 2
    assert whole_log_receipt(late, answer["receipt"])
    assert id_of(A, NOON) not in held(place)


def test_ids_that_become_hers_later_are_refused_too(tmp_path: Path) -> None:
    """Somebody's records wait for her band's enrolment; then they are hers, and she is erased."""
    office = Office(tmp_path)
    server, place = server_of(office), office.path / "server"
    stranger = "ZB-EEEE-000S"
    book = office.book(A)
    book.met(stranger, NOON, 10, -66)
    office.dock(A)
    assert {contact for _o, contact, _s in rows(place)} == {-1}

    keys = key(stranger), bytes(32), key(stranger + "r")
    server.enrol(Enrolment(stranger, "virtual", "band", DAY, *keys))
    server.erasing.erase(stranger)
    server.trace(A, NOON - 3600, NOON + 7200)  # resolves what was nobody's
    server.retention.sweep()
    assert rows(place) == set()


def test_receipts_of_others_go_on_across_what_was_cut(office: Office) -> None:
    server = server_of(office)
    before = server.receipt(B, office.book(B).log.log_id, 0, "st")
    server.erasing.erase(A)
    after = server.receipt(B, office.book(B).log.log_id, 0, "st")
    assert before == after and whole_log_receipt(office.book(B), after or {})
    # From right before a hole, and from behind it.
    with server._engine.connect() as db:
        table = ledger.kept_receipts
        holes = db.execute(select(table).where(table.c.serial == B, table.c.first > 0)).all()
    assert holes
    for hole in holes:
        made = server.receipt(B, hole.log_id, hole.first, "st")
        assert made is not None and made["upto"] == hole.upto
        digest_of(office.book(B), made)
    # The band goes on writing, and what is new gets its receipt.
    office.book(B).met(C, NOON + DAY_S + 20_000, 10, -66)
    answer = put(office, office.book(B).batch(after["upto"] if after else 0)).json()
    assert answer["receipt"]["upto"] == office.book(B).log.head
    assert not server.band_state(B)["logs"][0]["bad_slots"]


def digest_of(book: BandBook, made: dict[str, Any]) -> None:
    slots = bytearray()
    for cursor in range(made["first"], made["upto"]):
        one = bytearray(32)
        book.log.read(cursor, one)
        slots += one
    digest = hashlib.sha256(slots).digest()
    mac = receipt.mac(
        key(book.serial + "r"), book.serial, book.log.log_id, made["first"], made["upto"], digest
    )
    assert made["mac"] == mac.hex()


def test_of_a_band_that_several_had_only_one_wearer_is_erased(office: Office) -> None:
    server, place = server_of(office), office.path / "server"
    handed = NOON + DAY_S - 3600
    late = office.book(D)
    office.issue(D, NOON - DAY_S, 61, "Lê Thị Mai")
    late.met(B, NOON, 25, -66)
    office.issue(D, handed, 62, "Phạm Văn Tám")
    late.met(B, NOON + DAY_S, 25, -66)
    office.dock(D)
    answer = refused(office, serial=D)
    assert "--holder" in answer and "#2" in answer
    before = rows(place)
    server.erasing.erase(D, holder=1)
    assert rows(place) == without(before, bands(server)[D], 0, handed - 60)
    assert [person["name"] for person in server.people(D)] == ["Phạm Văn Tám"]
    traced = server.trace(D, NOON - 3600, office.now)
    assert [(c["serial"], c["records"]) for c in traced["contacts"]] == [(B, 5)]
    # Whoever wears it now goes on doing so: what comes later of an erased one does not stay.
    server.erasing.erase(D, holder=2)
    late.met(B, NOON + DAY_S + 7200, 10, -66)
    assert put(office, late.batch()).json()["records_refused"] == 2
    # And the next wearer's does.
    office.issue(D, NOON + DAY_S + 20_000, 63, "Vũ Thị Lan")
    late.met(B, NOON + DAY_S + 21_000, 10, -66)
    assert put(office, late.batch()).json()["records_refused"] == 0
    assert len({row for row in rows(place) if row[0] == bands(server)[D]}) == 2


def refused(office: Office, **body: Any) -> str:
    answer = operator(office, "POST", "/v1/erasures", json=body)
    assert answer.status_code in (400, 409), answer.text
    words = case_words.refusal(answer.json()["code"], answer.json()["values"])
    assert words and not list((office.path / "server").glob(NAME))
    return words


def test_swapped_bands_are_erased_by_who_had_them_on(office: Office) -> None:
    server, place = server_of(office), office.path / "server"
    who = bands(server)
    # All of the second day A and B had each other's band on.
    server.swaps.note(A, B, NOON + DAY_S - 3600, NOON + DAY_S + 20_000)
    before = rows(place)
    server.erasing.erase(A)
    left = without(before, who[A], 0, NOON + DAY_S - 3600)
    left = without(left, who[B], NOON + DAY_S - 3600, NOON + DAY_S + 20_000)
    assert rows(place) == left


def test_who_has_an_open_case_is_erased_once_it_is_closed(office: Office) -> None:
    server = server_of(office)
    number = office.declare(A, onset="2026-11-04")["number"]
    server.calls.note(number, B, 1, "reached", "lan")
    assert f"case {number}" in refused(office, serial=A)
    office.ask("POST", f"/v1/cases/{number}/close", json={"reason": "bà Hoa khỏi bệnh"})
    done = server.erasing.erase(A)
    assert done["erased"]["cases"] == 1 and office.ask("GET", "/v1/cases").json() == []
    assert "bà Hoa khỏi bệnh".encode() not in held(office.path / "server")


def test_a_damaged_segment_is_told_and_left_to_its_day(office: Office) -> None:
    server, place = server_of(office), office.path / "server"
    victim = sorted((place / "encounters").glob("day=2026-11-03/*"))[0]
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    store._whole.clear()
    done = server.erasing.erase(A)
    assert done["erased"]["damaged"] == 1
    assert rows_readable(place) == set(
        row for row in rows_readable(place) if bands(server)[A] not in row[:2]
    )


def rows_readable(place: Path) -> set[Row]:
    root = place / "encounters"
    bad = store.damaged(root.glob("day=*/*"))
    found: set[Row] = set()
    for file in set(root.glob("day=*/*")) - bad:
        part = store.read(root, str(file.relative_to(root)))
        found |= set(
            zip(*(part[n].tolist() for n in ("observer", "contact", "start_s")), strict=True)
        )
    return found


def test_a_query_in_flight_has_its_answer_before_the_files_go(office: Office) -> None:
    server, place = server_of(office), office.path / "server"
    before = files(place)
    with server.tracing._readers.reading():
        thread = threading.Thread(target=server.erasing.erase, args=(A,))
        thread.start()
        deadline = time.monotonic() + 60
        while not server.erasing.every() and time.monotonic() < deadline:
            time.sleep(0.05)
        thread.join(3)
        assert thread.is_alive() and {f for f in before if "day=" in f} <= files(place)
    thread.join(60)
    assert not thread.is_alive() and bands(server)[A] not in {r[0] for r in rows(place)}


def test_it_is_the_same_with_either_database(place: Path) -> None:
    office = Office(place.parent)
    office.issue(A, NOON - DAY_S, 41, HOA)
    office.book(A).met(B, NOON, 25, -66)
    office.book(B).met(A, NOON, 25, -66)
    office.book(B).met(C, NOON, 25, -66)
    office.dock(A, B)
    server, before = server_of(office), rows(place)
    done = server.erasing.erase(A)
    assert done["erased"]["encounters_own"] == done["erased"]["encounters_of_others"] == 5
    assert rows(place) == without(before, bands(server)[A]) != set()
    assert server.rights.add("deletion", B)["ask_back"]
    assert server.rights.done(1)["erased"]["encounters_own"] == 5
    assert [each["id"] for each in server.rights.every(all_=True)] == [1]
    office.book(C).met(D, NOON, 25, -66)
    office.dock(C)
    office.now = NOON + 60 * DAY_S
    dropped = server.retention.run()
    assert dropped.encounters == 5 and dropped.batches == 3 and rows(place) == set()
    assert not list((place / "batches").iterdir())


# --- the list ------------------------------------------------------------------------------------


def test_the_list_names_nobody_and_is_whole_in_every_place(tmp_path: Path) -> None:
    one = Erasure("1" * 32, 5, (Part(A, 0, 9),), ((A, 41),))
    two = Erasure("2" * 32, 6, (Part(A, 0, None, 41),))
    here, there = Erasures([tmp_path / "a"]), Erasures([tmp_path / "b"])
    here.add([one])
    there.add([two])
    both = Erasures([tmp_path / "a", tmp_path / "b"])
    assert both.every() == [one, two]
    both.add([])
    assert here.every() == there.every() == [one, two]
    assert (tmp_path / "a" / NAME).stat().st_mode & 0o077 == 0
    assert read_one(json.loads(json.dumps(two.as_json()))) == two


def test_a_list_that_is_damaged_stops_the_server_with_one_line(office: Office) -> None:
    server_of(office).erasing.erase(A)
    place = office.path / "server"
    path = place / NAME
    path.write_text(path.read_text()[:-20] + "\n")
    with pytest.raises(UserError, match="line 1, is no erasure"):
        TracingServer(place)
    for wrong in ({}, [], 7, {**Erasure("1" * 32, 5, (Part(A, 0, 9),)).as_json(), "id": "x"}):
        with pytest.raises(ValueError):
            read_one(wrong)


def test_the_verb_says_what_was_erased(office: Office) -> None:
    data = office.path
    nobody = zoneband(data, "erase", "ZB-9999-9994")
    assert nobody.returncode in (2, 3) and len(nobody.stderr.splitlines()) == 1, nobody.stderr
    for words in (["erase"], ["erase", A, "--list"], ["erase", A, "--from", "2026-11-03"]):
        assert zoneband(data, *words).returncode == 2
    assert zoneband(data, "erase", "--list").returncode == 3
    done = zoneband(data, "erase", A, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["erased"]["encounters_own"] == 14
    assert (data / "erasures" / NAME).exists()
    # No server runs, and yet its audit log tells.
    lines = [audit_log.parse(line) for line in audit_log.lines_of(data / "server" / "audit.log")]
    told_of = [(line["event"], line["account"], line.get("serial")) for line in lines if line]
    assert ("erase", OPERATOR, A) in told_of and told_of[-1][:2] == ("done", OPERATOR)
    told = zoneband(data, "erase", "--list")
    assert told.returncode == 0 and "14 encounters of its own" in told.stdout, told.stderr
    again = zoneband(data, "erase", "--replay", str(data / "erasures" / NAME))
    assert again.returncode == 3 and again.stdout == "Nothing was erased.\n"
    assert zoneband(data, "erase", "--replay", str(data / "nothing")).returncode == 2


def test_a_tracer_may_not_erase(office: Office) -> None:
    body = {"serial": A}
    assert as_tracer(office, "POST", "/v1/erasures", json=body).status_code == 403
    assert operator(office, "POST", "/v1/erasures", json=body).status_code == 201
    assert len(operator(office, "GET", "/v1/erasures").json()) == 1
    wrong = operator(office, "POST", "/v1/erasures:replay", json={"erasures": [{}]})
    assert wrong.status_code == 422
