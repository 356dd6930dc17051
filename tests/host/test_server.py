"""The tracing server: takes logs once, in any order, from anybody, and loses none."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from fastapi.testclient import TestClient
from sqlalchemy import text

from band.logread import accept_receipt
from bandbook import DAY, NOON, A, B, BandBook, C, key
from stationed import come
from zoneband import batch as batches
from zoneband import seal
from zoneband.errors import UserError
from zoneband.seal import Kind, PublicKey
from zoneband.server import answer, ledger, tracing_server
from zoneband.server.app import make_app
from zoneband.server.moments import moment
from zoneband.tracing.query import evidence
from zoneband.wire import records


class Bench:
    """A server in a directory, spoken to over its HTTP interface."""

    def __init__(self, path: Path) -> None:
        private = X25519PrivateKey.generate()
        self.authority = PublicKey(1, private.public_key().public_bytes_raw())
        self.http = TestClient(
            make_app(path, lambda: NOON + 86_400, [self.authority], {1: private}),
            client=("127.0.0.1", 1),
            raise_server_exceptions=False,
        )
        self.station = come(self.http, path, "st", lambda: NOON + 86_400)
        tracer = (path / "tracer-token").read_text()
        self.tracer = {"Authorization": f"Bearer {tracer}"}

    def enrol(self, serial: str, **changes: Any) -> int:
        facts = {
            "serial": serial, "board": "virtual", "role": "band",
            "base_day": DAY, "base_key": key(serial).hex(),
            "dock_key": "00" * 32, "receipt_key": key(serial + "r").hex(),
        } | changes  # fmt: skip
        return self.put_record(seal.seal(self.authority, Kind.ENROLMENT, facts)).status_code

    def put_record(self, data: bytes) -> Any:
        name = hashlib.sha256(data).hexdigest()
        return self.http.put(f"/v1/stations/st/records/{name}", content=data, auth=self.station)

    def put(self, data: bytes, name: str | None = None) -> Any:
        name = name or hashlib.sha256(data).hexdigest()
        return self.http.put(f"/v1/stations/st/batches/{name}", content=data, auth=self.station)

    def trace(self, serial: str) -> dict[str, Any]:
        day = "2026-11-03"
        answer = self.http.get(
            f"/v1/traces/{serial}", params={"from": day, "to": day}, headers=self.tracer
        )
        assert answer.status_code == 200, answer.text
        return {c["serial"]: c for c in answer.json()["contacts"]}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path / "server")
    for serial in (A, B, C):
        assert made.enrol(serial) == 201
    return made


def test_the_day_is_the_tests_own() -> None:
    assert moment("2026-11-03", False) <= NOON < moment("2026-11-03", True)


def test_both_sides_are_pooled_and_the_rule_applied(bench: Bench, tmp_path: Path) -> None:
    a, b = BandBook(A, tmp_path), BandBook(B, tmp_path)
    a.met(B, NOON, 25, -66)
    a.met(C, NOON + 3600, 60, -84)
    b.met(A, NOON, 25, -68)
    for each in (a, b):
        each.clock(NOON)
    assert bench.put(a.batch()).status_code == 201
    assert bench.put(b.batch()).status_code == 201
    found = bench.trace(A)
    assert found[B]["must_call"] and found[B]["both_sided"] and found[B]["confirmed"]
    assert 24 <= found[B]["near_min"] <= 25.1
    assert abs(found[B]["first_s"] - NOON) <= 1
    assert found[B]["records"] == 10
    assert not found[C]["must_call"] and found[C]["near_min"] == 0
    assert 59 <= found[C]["total_min"] <= 60.1
    assert bench.trace(B)[A]["near_min"] == found[B]["near_min"]


def test_the_same_log_twice_and_in_overlapping_parts_counts_once(
    bench: Bench, tmp_path: Path
) -> None:
    a = BandBook(A, tmp_path)
    a.met(B, NOON, 25, -66)
    data = a.batch()
    assert bench.put(data).json()["records_new"] == 5
    again = bench.put(data)
    assert (again.status_code, again.json()["records_new"]) == (200, 0)
    a.met(B, NOON + 1800, 5, -66)
    assert bench.put(a.batch()).json()["records_new"] == 1
    assert bench.trace(A)[B]["records"] == 6


def test_parts_may_come_out_of_order(bench: Bench, tmp_path: Path) -> None:
    a = BandBook(A, tmp_path)
    a.met(B, NOON, 25, -66)
    middle = a.log.head
    whole_first = a.batch()
    a.met(B, NOON + 1800, 10, -66)
    header_and_group = a.batch(0)
    late = batches.unpack(header_and_group)
    slots = b"".join(s for _, s in late.chunks)
    chunks = [(0, slots[: 4 * 32]), (middle, slots[middle * 32 :])]
    second = batches.pack(late.header, chunks)
    assert bench.put(second).json()["records_new"] == 2
    answer = bench.put(whole_first).json()
    assert answer["records_new"] == 5
    assert answer["receipt"]["upto"] == a.log.head


def test_the_receipt_is_one_that_the_band_takes(bench: Bench, tmp_path: Path) -> None:
    a = BandBook(A, tmp_path)
    a.met(B, NOON, 60, -66)
    r = bench.put(a.batch()).json()["receipt"]
    assert (r["first"], r["upto"]) == (0, a.log.head)
    assert accept_receipt(a.log, r["first"], r["upto"], bytes.fromhex(r["mac"]), key(A + "r"), A)
    a.met(B, NOON + 7200, 30, -66)
    r2 = bench.put(a.batch(a.log.receipted)).json()["receipt"]
    assert (r2["first"], r2["upto"]) == (a.log.receipted, a.log.head)
    assert bench.trace(A)[B]["records"] == 18


def test_an_unknown_bands_log_waits_for_its_enrolment(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "server")
    bench.enrol(A)
    a, b = BandBook(A, tmp_path), BandBook(B, tmp_path)
    a.met(B, NOON, 25, -66)
    b.met(A, NOON, 25, -66)
    assert bench.put(a.batch()).status_code == 201
    assert bench.put(b.batch()).status_code == 202
    assert bench.trace(A) == {}
    assert bench.enrol(B) == 201
    found = bench.trace(A)
    assert found[B]["records"] == 10
    assert found[B]["must_call"]


def test_a_replayed_id_is_shown_as_unconfirmed(bench: Bench, tmp_path: Path) -> None:
    a = BandBook(A, tmp_path)
    a.met(B, NOON, 25, -60, id_s=NOON - 4 * 3600)
    bench.put(a.batch())
    assert bench.trace(A)[B]["confirmed"] is False
    assert bench.trace(A)[B]["replay"] is False  # nothing of B itself yet
    b = BandBook(B, tmp_path)
    b.clock(NOON - 60)
    bench.put(b.batch())
    assert bench.trace(A)[B]["replay"] is True


def test_two_wearers_of_one_band_stay_two(bench: Bench, tmp_path: Path) -> None:
    a, b = BandBook(A, tmp_path), BandBook(B, tmp_path)
    b.mark(records.STATE, NOON - 600, records.ISSUED, 1)
    b.mark(records.STATE, NOON + 3600, records.RETURNED, 1)
    b.mark(records.STATE, NOON + 4000, records.ISSUED, 2)
    a.met(B, NOON, 20, -66)
    a.met(B, NOON + 7200, 20, -66)
    bench.put(a.batch())
    bench.put(b.batch())
    answer = bench.http.get(
        f"/v1/traces/{A}", params={"from": "2026-11-03", "to": "2026-11-03"}, headers=bench.tracer
    ).json()
    assert sorted(c["holder"] for c in answer["contacts"]) == [1, 2]


@pytest.mark.parametrize(
    "spoil",
    [lambda d: d[:-7], lambda d: d[:40], lambda d: b"", lambda d: b"ZBBATCH1" + b"\xff" * 300],
)
def test_cut_and_foreign_bodies_are_refused(bench: Bench, tmp_path: Path, spoil: Any) -> None:
    a = BandBook(A, tmp_path)
    a.met(B, NOON, 25, -66)
    assert bench.put(spoil(a.batch())).status_code == 400
    assert bench.trace(A) == {}


def test_a_wrong_hash_is_refused(bench: Bench, tmp_path: Path) -> None:
    assert bench.put(BandBook(A, tmp_path).batch(), "0" * 64).status_code == 422


def test_a_hundred_megabytes_of_zeros_are_refused_without_being_read(bench: Bench) -> None:
    sent = 0

    def zeros() -> Any:
        nonlocal sent
        for _ in range(1600):
            sent += 65536
            yield bytes(65536)

    path = "/v1/stations/st/batches/" + "0" * 64
    signed = bench.http.build_request("PUT", path, content=b"")
    bench.station.sign(signed)
    kept = {k: v for k, v in signed.headers.items() if k.startswith(("signature", "content-dig"))}
    answer = bench.http.put(path, content=zeros(), headers=kept)
    assert answer.status_code == 413


def test_altered_slots_are_counted_and_not_believed(bench: Bench, tmp_path: Path) -> None:
    a = BandBook(A, tmp_path)
    a.met(B, NOON, 25, -66)
    whole = batches.unpack(a.batch())
    slots = bytearray(whole.chunks[0][1])
    slots[5 * 32 + 3] ^= 1
    bench.put(batches.pack(whole.header, [(0, bytes(slots))]))
    assert bench.trace(A)[B]["records"] == 4
    state = bench.http.get(f"/v1/bands/{A}", headers=bench.tracer).json()
    assert state["logs"][0]["bad_slots"] == 1


def test_tokens_and_keys_open_only_their_own_doors(bench: Bench) -> None:
    assert bench.http.get("/v1/bands").status_code == 401
    assert bench.http.get("/v1/bands", auth=bench.station).status_code == 401
    assert bench.enrol(A) == 201  # another record that says the same
    assert bench.enrol(A, base_key="11" * 32) == 409
    assert bench.enrol("not a serial") == 422


@pytest.mark.parametrize("left", ["", "ab", " \n", "\xff" * 70, "\0" * 70, "0123456789abcde"])
def test_a_token_that_a_cut_left_short_lets_nobody_in(tmp_path: Path, left: str) -> None:
    path = tmp_path / "server"
    path.mkdir()
    for name in ("registration-code", "tracer-token"):
        (path / name).write_bytes(left.encode("latin-1"))
    bench = Bench(path)
    token = (path / "tracer-token").read_text()
    assert len(token) == 64 and (path / "tracer-token").stat().st_mode & 0o777 == 0o600
    for wrong in (left.strip(), "x"):
        headers = {"Authorization": f"Bearer {wrong}".encode()}
        assert bench.http.get("/v1/bands", headers=headers).status_code in (401, 403)
    # What let any station in before is gone; the token stays.
    assert not (path / "registration-code").exists()
    Bench(path)
    assert (path / "tracer-token").read_text() == token


@pytest.mark.parametrize("value", [-1, 1 << 32, 1 << 70, "x"])
def test_no_number_in_a_question_is_too_large(bench: Bench, value: Any) -> None:
    receipt = f"/v1/bands/{A}/receipt"
    for asked in ({"log_id": value, "first": 0}, {"log_id": 0, "first": value}):
        assert bench.http.get(receipt, params=asked, auth=bench.station).status_code == 422


@pytest.mark.parametrize(
    "span",
    [
        ("2026-01-01", "9999-12-31"),
        ("0001-01-01T00:00:00+14:00", "2026-01-01"),
        ("2026-01-01", "10000-01-01"),
    ],
)
def test_no_day_in_a_question_is_too_far(bench: Bench, span: tuple[str, str]) -> None:
    asked = dict(zip(("from", "to"), span, strict=True))
    answer = bench.http.get(f"/v1/traces/{A}", params=asked, headers=bench.tracer)
    assert answer.status_code == 400


def test_a_batch_whose_names_are_no_text_is_refused(bench: Bench, tmp_path: Path) -> None:
    data = BandBook(A, tmp_path).batch(board="BOARD")
    assert bench.put(data.replace(b'"BOARD"', b'"\\ud800"')).status_code == 400
    for name in ("serial", "firmware", "station"):
        data = BandBook(A, tmp_path).batch(**{name: "X" * 6})
        assert bench.put(data.replace(b'"XXXXXX"', b'"\\udfff"')).status_code == 400


def test_a_ledger_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    engine = ledger.open_ledger(tmp_path)
    with engine.begin() as db:
        db.execute(text("UPDATE alembic_version SET version_num='9999'"))
    with pytest.raises(UserError):
        ledger.open_ledger(tmp_path)


def test_skewed_clocks_are_straightened(bench: Bench, tmp_path: Path) -> None:
    # This band's run time began at another moment; only its clock pair tells.
    a = BandBook(A, tmp_path, boot_s=NOON - 200_000)
    a.met(B, NOON, 25, -66)
    bench.put(a.batch())
    assert abs(bench.trace(A)[B]["first_s"] - NOON) <= 1


def test_an_id_is_held_against_its_own_bands_clock(bench: Bench, tmp_path: Path) -> None:
    # B's clock is two hours fast, so B sends the IDs of two hours later: its own marks say so.
    a, b = BandBook(A, tmp_path), BandBook(B, tmp_path)
    a.met(B, NOON, 25, -66, id_s=NOON + 7200)
    b.clock(NOON - 60, off_s=7200)
    b.clock(NOON + 840, off_s=7200)
    for each in (a, b):
        bench.put(each.batch())
    found = bench.trace(A)[B]
    assert found["confirmed"] and not found["replay"]
    assert abs(found["first_s"] - NOON) <= 1


def test_times_are_mended_when_a_station_with_a_right_clock_comes(
    bench: Bench, tmp_path: Path
) -> None:
    # First docked at a station that believes it is nine hours later, and says it cannot know.
    a = BandBook(A, tmp_path)
    a.met(B, NOON, 25, -66)
    wrong = {"utc_s": NOON + 15 * 3600, "vouched": False}
    assert bench.put(a.batch(**wrong)).status_code == 201
    early = bench.trace(A).get(B)
    assert early is None or early["clock"] == 0
    a.met(B, NOON + 1800, 5, -66)
    assert bench.put(a.batch()).json()["records_new"] == 1
    found = bench.trace(A)[B]
    assert found["records"] == 6 and found["clock"] == 2
    assert abs(found["first_s"] - NOON) <= 1


def test_a_genuine_slot_wins_over_an_altered_one_for_the_receipt(
    bench: Bench, tmp_path: Path
) -> None:
    a = BandBook(A, tmp_path)
    a.met(B, NOON, 25, -66)
    whole = batches.unpack(a.batch())
    slots = bytearray(whole.chunks[0][1])
    slots[5 * 32 + 3] ^= 1
    bench.put(batches.pack(whole.header, [(0, bytes(slots))]))
    r = bench.put(a.batch()).json()["receipt"]
    assert accept_receipt(a.log, r["first"], r["upto"], bytes.fromhex(r["mac"]), key(A + "r"), A)


def test_many_small_batches_become_few_files(bench: Bench, tmp_path: Path) -> None:
    a = BandBook(A, tmp_path)
    for n in range(40):
        a.met(B, NOON + n * 300, 5, -66)
        assert bench.put(a.batch()).status_code == 201
    assert bench.trace(A)[B]["records"] == 40
    folder = tmp_path / "server" / "encounters" / "day=2026-11-03"
    engine = ledger.open_ledger(tmp_path / "server")
    with engine.connect() as db:
        named = list(db.execute(text("SELECT path FROM segments")).scalars())
    assert len(named) < 16
    assert len(list(folder.glob("*.parquet"))) >= len(named)


def test_a_query_still_reads_what_a_merge_has_replaced(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A trace has its list of files when many batches and two sweeps come between.
    a = BandBook(A, tmp_path)

    def sends(count: int) -> None:
        for _ in range(count):
            a.met(B, NOON + a.log.head * 300 % 36_000, 5, -66)
            assert bench.put(a.batch()).status_code == 201

    sends(15)
    folder = tmp_path / "server" / "encounters"
    for path in folder.glob("day=*/*"):
        os.utime(path, (1, 1))
    swept: list[int] = []

    def read(duck: Any, pairs: Any) -> Any:
        if not swept:
            monkeypatch.setattr(tracing_server, "_SWEEP_S", 0.0)
            sends(1)
            swept.append(len(list(folder.glob("day=*/*"))))
            monkeypatch.setattr(tracing_server, "_SWEEP_S", 600.0)
        return evidence(duck, pairs)

    monkeypatch.setattr(answer, "evidence", read)
    assert bench.trace(A)[B]["records"] == 15
    assert swept == [17]  # the old ones beside the one that they are merged into
    # By and by they go.
    monkeypatch.setattr(tracing_server, "_SWEEP_S", 0.0)
    sends(3)
    assert len(list(folder.glob("day=*/*"))) < 15
    assert bench.trace(A)[B]["records"] == 19


def test_every_endpoint_says_what_it_does(bench: Bench) -> None:
    paths = bench.http.get("/openapi.json").json()["paths"]
    assert len(paths) == 34
    for path, verbs in paths.items():
        for verb, facts in verbs.items():
            assert len(facts["description"]) > 15, (verb, path)
