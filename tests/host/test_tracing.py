"""What tracers are told: who, why, in what order, and what the answer lacks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from bandbook import DAY, NOON, A, B, BandBook, C, key
from zoneband.server import ledger
from zoneband.server.enrolment import Enrolment
from zoneband.server.refused import Refused
from zoneband.server.tracing_server import TracingServer, Unknown
from zoneband.tracing import words
from zoneband.wire import records

D, E, MARKET = "ZB-DDDD-0000", "ZB-EEEE-0000", "ZB-MMMM-0000"
END = NOON + 86_400


class Desk:
    """A tracing server, and the bands whose logs it takes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now_s = END
        self.server = TracingServer(path / "server", utc=lambda: self.now_s)
        self.books: dict[str, BandBook] = {}
        for serial in (A, B, C, D, E, MARKET):
            role = "venue" if serial == MARKET else "band"
            keys = key(serial), bytes(32), key(serial + "r")
            self.server.enrol(Enrolment(serial, "devkitc", role, DAY, *keys))

    def book(self, serial: str) -> BandBook:
        """A band's log; the band is on from NOON less an hour to NOON and six hours."""
        if serial not in self.books:
            self.books[serial] = BandBook(serial, self.path)
            self.books[serial].clock(NOON - 3000)
        return self.books[serial]

    def met(
        self, a: str, b: str, at_s: int, minutes: int, rssi: int = -66, sides: str = "both"
    ) -> None:
        if sides != "b":
            self.book(a).met(b, at_s, minutes, rssi)
        if sides != "a":
            self.book(b).met(a, at_s, minutes, rssi)

    def dock(self, *serials: str) -> None:
        """Bring these logs, or all."""
        for serial in serials or self.books:
            self.book(serial).clock(NOON + 20_000)
            data = self.book(serial).batch()
            self.server.take("st", f"{serial}{len(data)}", data)

    def trace(self, serial: str = A, **asked: Any) -> dict[str, Any]:
        return self.server.tracing.trace(serial, NOON - 3600, END, **asked)

    def contacts(self, serial: str = A, **asked: Any) -> dict[str, dict[str, Any]]:
        return {c["serial"]: c for c in self.trace(serial, **asked)["contacts"]}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def codes(entries: list[dict[str, Any]]) -> list[str]:
    for entry in entries:
        text = words.why(entry) if entry["code"] in words._WHY else words.note(entry)
        assert " " in text and "{" not in text, entry
    return [entry["code"] for entry in entries]


# --- who and why --------------------------------------------------------------------------------


def test_contacts_come_in_the_order_in_which_to_call_them(desk: Desk) -> None:
    desk.met(A, B, NOON, 20)
    desk.met(A, C, NOON + 3600, 45)
    desk.met(A, D, NOON + 7200, 10)
    desk.met(A, E, NOON + 9000, 60, -84)
    desk.dock()
    answer = desk.trace()
    assert [c["serial"] for c in answer["contacts"]] == [C, B, D, E]
    assert [c["must_call"] for c in answer["contacts"]] == [True, True, False, False]
    assert [codes(c["why"]) for c in answer["contacts"]] == [
        ["enough"], ["enough"], ["too_short"], ["too_far"],
    ]  # fmt: skip
    first = answer["contacts"][0]
    assert first["degree"] == 1 and first["path"] == [A, C]
    assert first["weighted_min"] == first["near_min"] == first["most_min"]
    assert first["closest_db"] == -20 - (-66 + 8)
    assert {w["sides"] for w in first["windows"]} == {"both"}
    assert {(w["attenuation_db"], w["weight"]) for w in first["windows"]} == {(46, 1)}
    assert first["time_error_s"] is not None and first["time_error_s"] <= 3
    assert answer["rule"]["name"] == "vietnam" and answer["rule"]["min_minutes"] == 15
    assert codes(answer["notes"]) == ["docked_until"]


def test_another_rule_set_gives_another_answer_and_says_which(desk: Desk) -> None:
    desk.met(A, B, NOON, 40, -78)  # 58 dB: near by nobody's first threshold
    desk.dock()
    assert not desk.contacts()[B]["must_call"]
    half = desk.contacts(rules="gaen")[B]
    assert half["must_call"] and half["near_min"] == 0
    assert abs(half["weighted_min"] - half["total_min"] / 2) <= 0.1
    desk.met(A, C, NOON + 7200, 9, -60)
    desk.dock()
    german = desk.contacts(rules="corona-warn-app")[C]
    assert codes(german["why"])[:2] == ["too_short", "dropped_short"]
    with pytest.raises(Refused) as refused:
        desk.trace(rules="italy")
    assert refused.value.code == "no_rules" and "gaen" in refused.value.values["names"]


def test_an_own_rule_set_is_used_and_stored_with_the_answer(tmp_path: Path) -> None:
    folder = tmp_path / "server" / "rules"
    folder.mkdir(parents=True)
    (folder / "strict.toml").write_text('name = "strict"\nsteps = [[60, 1]]\nmin_minutes = 5\n')
    desk = Desk(tmp_path)
    desk.met(A, B, NOON, 10, -78)
    desk.dock()
    answer = desk.trace(rules="strict")
    assert answer["contacts"][0]["must_call"]
    assert answer["rule"]["steps"] == [[60.0, 1.0]]


def test_one_sided_evidence_counts_and_is_marked(desk: Desk) -> None:
    desk.met(A, B, NOON, 20, sides="a")
    desk.dock(A)
    found = desk.contacts()[B]
    assert found["must_call"] and not found["both_sided"]
    assert {w["sides"] for w in found["windows"]} == {"case"}
    assert codes(found["why"]) == ["enough", "one_sided", "other_never_docked", "unconfirmed"]


def test_a_log_that_covers_the_time_and_tells_nothing_contradicts(desk: Desk) -> None:
    desk.met(A, B, NOON, 20, sides="a")
    desk.book(B)
    desk.dock()
    why = desk.contacts()[B]["why"]
    assert codes(why) == ["enough", "one_sided", "contradicted"]
    assert why[2]["silent"] == "contact" and why[2]["minutes"] >= 19
    back = desk.contacts(B)[A]["why"]
    assert back[2] == {**why[2], "silent": "case"}


def test_a_band_in_a_dock_or_with_a_hole_in_its_log_contradicts_nobody(desk: Desk) -> None:
    desk.met(A, B, NOON, 20, sides="a")
    desk.met(A, C, NOON + 3600, 20, sides="a")
    b, c = desk.book(B), desk.book(C)
    b.mark(records.DOCK, NOON - 60, records.BEGAN, 0)
    b.mark(records.DOCK, NOON + 1800, records.ENDED, 0)
    c.log.append(records.loss(0, records.LOST_OVERWRITTEN, 1000, 2000))
    for book in (b, c):
        book.clock(NOON + 7200)
    desk.dock()
    assert "contradicted" not in codes(desk.contacts()[B]["why"])
    assert "contradicted" not in codes(desk.contacts()[C]["why"])


def test_a_replayed_id_and_a_doubtful_clock_are_told(desk: Desk) -> None:
    desk.book(A).met(B, NOON, 20, -66, id_s=NOON - 4 * 3600)
    desk.book(B).clock(NOON - 60)
    desk.dock()
    assert "replay" in codes(desk.contacts()[B]["why"])
    desk.met(C, D, NOON, 20)
    for serial in (C, D):
        desk.server.take("st", serial, desk.book(serial).batch(vouched=False))
    found = desk.contacts(C)[D]
    assert found["clock"] < 2 and found["time_error_s"] is None


def test_a_boards_offset_moves_its_levels(desk: Desk, monkeypatch: Any, tmp_path: Path) -> None:
    from zoneband.flash import board

    folder = tmp_path / "boards"
    folder.mkdir()
    text = (board.BOARDS / "devkitc.toml").read_text()
    (folder / "devkitc.toml").write_text(text.replace("rssi_offset_db = 0", "rssi_offset_db = 5"))
    desk.met(A, B, NOON, 20, -80)
    desk.dock()
    assert desk.contacts()[B]["windows"][0]["attenuation_db"] == 60
    monkeypatch.setattr(board.every, "__defaults__", (folder,))
    found = desk.contacts()[B]
    assert found["windows"][0]["attenuation_db"] == 50 and found["must_call"]


# --- whose band it was --------------------------------------------------------------------------


def test_two_wearers_in_turn_are_two_contacts_and_the_case_that_was_handed_on_says_so(
    desk: Desk,
) -> None:
    desk.book(B).mark(records.STATE, NOON - 600, records.ISSUED, 11)
    desk.book(B).mark(records.STATE, NOON + 4000, records.ISSUED, 22)
    desk.met(A, B, NOON, 20)
    desk.met(A, B, NOON + 7200, 30)
    desk.dock()
    answer = desk.trace()
    assert [(c["holder"], c["must_call"]) for c in answer["contacts"]] == [(2, True), (1, True)]
    assert all("holder_changed" in codes(c["why"]) for c in answer["contacts"])
    notes = {note["code"]: note for note in desk.trace(B)["notes"]}
    holders = notes["handed_on"]["holders"]
    assert [(h["holder"], h["number"]) for h in holders] == [(1, 11), (2, 22)]
    assert codes([notes["handed_on"]])


def test_swapped_bands_name_the_people_who_wore_them(desk: Desk) -> None:
    # From NOON + 1 h on the wearers of A and B have each other's band on.
    desk.met(A, C, NOON, 20)
    desk.met(B, D, NOON + 7200, 20)  # the wearer of A is near D
    desk.met(A, E, NOON + 7200, 20)  # the wearer of B is near E
    desk.met(D, A, NOON + 9000, 20)  # the wearer of B is near D
    desk.dock()
    assert set(desk.contacts()) == {C, D, E}
    desk.server.swaps.note(A, B, NOON + 3600, END)
    answer = desk.trace()
    assert [c["serial"] for c in answer["contacts"]] == [C, D]
    assert answer["contacts"][1]["evidence"][0]["observer"] in (B, D)
    assert all(c["confirmed"] for c in answer["contacts"])
    assert "swapped" in codes(answer["notes"])
    assert set(desk.contacts(D)) == {A, B}
    assert [c["serial"] for c in desk.trace(B)["contacts"]] == [D, E]


def test_a_case_with_a_replaced_band_is_one_answer_over_both_bands(desk: Desk) -> None:
    desk.met(A, C, NOON, 10)
    desk.met(B, C, NOON + 3600, 10)  # B replaced A at NOON + 30 min
    desk.met(A, D, NOON + 7200, 30)  # whoever found A
    desk.dock()
    worn = [(A, NOON - 3600, NOON + 1800), (B, NOON + 1800, END)]
    found = desk.contacts(worn=worn)
    assert set(found) == {C}
    assert found[C]["must_call"] and abs(found[C]["near_min"] - 20) <= 0.2


# --- F2 and F3 ----------------------------------------------------------------------------------


def test_chains_name_the_way_from_the_case(desk: Desk) -> None:
    desk.met(C, E, NOON - 1800, 20)  # before C met anybody infected
    desk.met(A, B, NOON, 20)
    desk.met(B, C, NOON + 3600, 20)
    desk.met(C, D, NOON + 7200, 20)
    desk.met(A, D, NOON + 9000, 5)
    desk.dock()
    for most in (1, 2, 3):
        found = desk.trace(degrees=most)["contacts"]
        called = [(c["degree"], c["path"]) for c in found if c["must_call"]]
        assert called == [(1, [A, B]), (2, [A, B, C]), (3, [A, B, C, D])][:most]
    third = desk.trace(degrees=3)["contacts"][-1]
    assert codes(third["why"]) == ["enough"] and third["evidence"] and third["windows"]
    with pytest.raises(ValueError):
        desk.trace(degrees=4)


def test_a_case_whose_band_was_issued_inside_the_span_is_no_contact_of_its_own(
    desk: Desk,
) -> None:
    desk.book(A).mark(records.STATE, NOON - 600, records.ISSUED, 11)
    desk.book(B).mark(records.STATE, NOON - 600, records.ISSUED, 22)
    desk.met(A, B, NOON, 40)
    desk.met(B, C, NOON, 40)
    desk.dock()
    found = desk.trace(degrees=3)["contacts"]
    assert [c["path"] for c in found] == [[A, B], [A, B, C]]


def test_contacts_of_contacts_go_on_after_the_case_is_isolated(desk: Desk) -> None:
    desk.met(A, B, NOON, 20)
    desk.met(B, C, NOON + 7200, 20)
    desk.dock()
    isolated_s = NOON + 3600
    ask = desk.server.tracing.trace
    assert len(ask(A, NOON, isolated_s, degrees=2)["contacts"]) == 1
    found = ask(A, NOON, isolated_s, degrees=2, until_s=END)["contacts"]
    assert [c["path"] for c in found] == [[A, B], [A, B, C]]


def test_the_next_wearer_of_a_contacts_band_passes_nothing_on(desk: Desk) -> None:
    desk.book(B).mark(records.STATE, NOON - 600, records.ISSUED, 11)
    desk.book(B).mark(records.STATE, NOON + 3600, records.ISSUED, 22)
    desk.met(A, B, NOON, 20)
    desk.met(B, C, NOON + 7200, 20)
    desk.dock()
    assert [c["path"] for c in desk.trace(degrees=2)["contacts"]] == [[A, B]]


def test_a_place_is_listed_and_passes_nothing_on(desk: Desk) -> None:
    desk.met(A, MARKET, NOON, 20)
    desk.met(MARKET, C, NOON + 3600, 20)
    desk.dock()
    found = desk.trace(degrees=3)["contacts"]
    assert [(c["serial"], c["role"]) for c in found] == [(MARKET, "venue")]


# --- what the answer lacks ----------------------------------------------------------------------


def test_a_case_whose_band_was_never_docked_is_traced_by_what_others_heard(desk: Desk) -> None:
    desk.met(A, B, NOON, 20, sides="b")
    desk.dock(B)
    answer = desk.trace()
    assert codes(answer["notes"]) == ["never_docked"]
    assert answer["contacts"][0]["serial"] == B and answer["contacts"][0]["must_call"]
    with pytest.raises(Unknown):
        desk.trace("ZB-0000-0000")


def test_a_log_that_ends_inside_the_span_says_when(desk: Desk) -> None:
    desk.met(A, B, NOON, 20)
    desk.dock()
    note = desk.trace()["notes"][0]
    assert codes([note]) == ["docked_until"] and abs(note["utc_s"] - (NOON + 6 * 3600)) <= 1
    desk.now_s = note["utc_s"]
    assert desk.trace()["notes"] == []


def spoil_nothing_left(path: Path) -> None:
    path.unlink()


def spoil_cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def spoil_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[200] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize("spoil", [spoil_nothing_left, spoil_cut, spoil_a_bit])
@pytest.mark.parametrize("known", [True, False])
def test_a_spoilt_segment_costs_its_own_day_only(
    desk: Desk, spoil: Callable[[Path], None], known: bool
) -> None:
    early = NOON - 3600  # of the same day in UTC as NOON
    desk.met(A, B, NOON + 20 * 3600, 20)  # the next day
    desk.met(A, C, early, 20)
    desk.dock()
    if known:
        assert set(desk.contacts()) == {B, C}
    with desk.server._engine.connect() as db:
        paths = db.execute(
            select(ledger.segments.c.path).where(ledger.segments.c.day == DAY)
        ).scalars()
        for path in paths:
            spoil(desk.path / "server" / "encounters" / path)
    server = desk.server if known else TracingServer(desk.path / "server", utc=lambda: END)
    answer = server.tracing.trace(A, NOON - 3600, END, degrees=2)
    assert {c["serial"] for c in answer["contacts"]} == {B}
    code = "segment_missing" if spoil is spoil_nothing_left else "segment_damaged"
    bad = [note for note in answer["notes"] if note["code"].startswith("segment")]
    assert codes(bad) == [code] and bad[0]["day"] == "2026-11-03"
    # And logs are still taken in.
    desk.met(A, D, NOON + 1800, 20)
    server.take("st", "more", desk.book(A).batch())
    assert D in {c["serial"] for c in server.tracing.trace(A, NOON, END)["contacts"]}


def test_a_withdrawn_case_says_so_with_its_reason(desk: Desk) -> None:
    desk.met(A, B, NOON, 20)
    desk.dock()
    case = desk.server.cases.declare(
        A, onset="2026-11-03", code=desk.server.cases.codes.give("ha")[0]
    )
    assert "withdrawn" not in codes(desk.trace()["notes"])
    desk.server.cases.withdraw(case["number"], "wrong band")
    notes = desk.trace()["notes"]
    assert "withdrawn" in codes(notes)
    assert next(n for n in notes if n["code"] == "withdrawn")["reason"] == "wrong band"


def test_records_keep_their_shares_of_near_sightings(desk: Desk) -> None:
    from zoneband.server import store

    desk.met(A, B, NOON, 20)
    desk.dock(A)
    root = desk.path / "server" / "encounters"
    (path,) = (str(each.relative_to(root)) for each in root.glob("day=*/*.parquet"))
    assert store.read(root, path)["shares"].tolist() == [0xFFF] * 4


# --- places -------------------------------------------------------------------------------------


def test_a_place_tells_who_was_there_and_how_long_with_the_case(desk: Desk) -> None:
    desk.met(A, MARKET, NOON, 60, -80)
    desk.met(B, MARKET, NOON + 1800, 60, -80, sides="a")
    desk.met(C, MARKET, NOON + 7200, 20, -80, sides="b")
    desk.met(C, MARKET, NOON + 10_800, 20, -80)
    desk.dock()
    found = desk.server.tracing.visits(MARKET, NOON - 3600, END)["visitors"]
    assert [v["serial"] for v in found] == [A, B, C]
    assert [len(v["spans"]) for v in found] == [1, 1, 2]
    assert all(v["overlap_min"] is None for v in found)
    assert abs(found[0]["spans"][0]["from_s"] - NOON) <= 1
    with_case = desk.server.tracing.visits(MARKET, NOON - 3600, END, case=A)["visitors"]
    together = {v["serial"]: v["overlap_min"] for v in with_case}
    assert abs(together[B] - 30) <= 0.2 and together[C] == 0
    assert [v["serial"] for v in with_case if v["is_case"]] == [A]
    with pytest.raises(Refused):
        desk.server.tracing.visits(A, NOON, END)
