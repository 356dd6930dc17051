"""Sealed records: only the authority opens them, and nothing of them can be exchanged."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from bandbook import DAY, NOON, A, B, BandBook, key
from stationed import come
from support import ROOT
from zoneband import authority, seal
from zoneband.errors import UserError
from zoneband.seal import Kind, PublicKey
from zoneband.server.app import make_app

PASSPHRASE = "correct horse battery staple"
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT / "host")}
PRIVATE = X25519PrivateKey.generate()
PUBLIC = PublicKey(1, PRIVATE.public_key().public_bytes_raw())


def enrolment(serial: str, **changes: object) -> dict[str, object]:
    return {
        "serial": serial, "board": "virtual", "role": "band", "base_day": DAY,
        "base_key": key(serial).hex(), "dock_key": "00" * 32,
        "receipt_key": key(serial + "r").hex(),
    } | changes  # fmt: skip


def test_a_sealed_record_opens_to_what_was_sealed() -> None:
    facts = {"serial": A, "name": "Nguyễn Thị Yến", "number": 7}
    data = seal.seal(PUBLIC, Kind.PERSON, facts)
    assert seal.read_head(data) == (Kind.PERSON, 1)
    assert seal.unseal(PRIVATE, data) == facts
    assert "Yến".encode() not in data


def test_the_same_facts_sealed_twice_look_different() -> None:
    assert seal.seal(PUBLIC, Kind.EVENT, {"a": 1}) != seal.seal(PUBLIC, Kind.EVENT, {"a": 1})


@given(st.data())
def test_one_altered_byte_closes_it(data: st.DataObject) -> None:
    sealed = bytearray(seal.seal(PUBLIC, Kind.EVENT, {"serial": A}))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError):
        seal.unseal(PRIVATE, bytes(sealed))


def test_a_record_does_not_pass_for_one_of_another_kind_or_key() -> None:
    sealed = bytearray(seal.seal(PUBLIC, Kind.EVENT, {"serial": A}))
    sealed[9] = Kind.PERSON
    with pytest.raises(ValueError):
        seal.unseal(PRIVATE, bytes(sealed))
    with pytest.raises(ValueError):
        seal.unseal(X25519PrivateKey.generate(), seal.seal(PUBLIC, Kind.EVENT, {"serial": A}))


@given(st.binary(max_size=200))
def test_whatever_comes_is_opened_or_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        seal.unseal(PRIVATE, data)


# --- the authority's keys ----------------------------------------------------------------------


def test_the_private_key_rests_encrypted_and_opens_with_its_passphrase(tmp_path: Path) -> None:
    made = authority.make(tmp_path, PASSPHRASE)
    private = authority.unlock(tmp_path, PASSPHRASE)[1]
    assert private.public_key().public_bytes_raw() == made.key
    raw = private.private_bytes_raw()
    for path in tmp_path.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert raw not in data and raw.hex().encode() not in data
    mode = (tmp_path / "authority" / "key-1.private.json").stat().st_mode
    assert mode & 0o077 == 0
    with pytest.raises(UserError, match="passphrase is wrong"):
        authority.unlock(tmp_path, PASSPHRASE + "r")


def test_a_passphrase_costs_whoever_guesses_it_what_rfc_9106_asks(tmp_path: Path) -> None:
    # As a process of its own makes it: in this one a key costs the least.
    make = "import sys, pathlib, zoneband.authority as a; a.make(pathlib.Path(sys.argv[1]), 'a b')"
    subprocess.run([sys.executable, "-c", make, str(tmp_path)], check=True, env=ENVIRONMENT)
    for name in ("key-1.private.json", "key-1.sign.private.json"):
        facts = json.loads((tmp_path / "authority" / name).read_text())
        assert [facts[k] for k in ("kdf", "passes", "lanes", "kib")] == ["argon2id", 3, 4, 65536]
    assert authority.unlock(tmp_path, "a b")


def test_each_key_has_a_number_of_its_own_and_the_newest_seals(tmp_path: Path) -> None:
    first = authority.make(tmp_path, PASSPHRASE)
    second = authority.make(tmp_path, PASSPHRASE)
    assert (first.number, second.number) == (1, 2)
    assert authority.current(tmp_path) == second
    assert sorted(authority.unlock(tmp_path, PASSPHRASE)) == [1, 2]


def test_a_station_is_told_when_two_keys_claim_one_number(tmp_path: Path) -> None:
    assert authority.trust(tmp_path, PUBLIC)
    assert not authority.trust(tmp_path, PUBLIC)
    other = PublicKey(1, bytes(32))
    with pytest.raises(UserError, match="nothing was changed"):
        authority.trust(tmp_path, other)
    assert authority.current(tmp_path) == PUBLIC


def test_damaged_files_are_named(tmp_path: Path) -> None:
    authority.make(tmp_path, PASSPHRASE)
    path = tmp_path / "authority" / "key-1.private.json"
    path.write_text(path.read_text()[:50])
    with pytest.raises(UserError, match=r"key-1\.private\.json"):
        authority.unlock(tmp_path, PASSPHRASE)
    with pytest.raises(UserError, match="no private key"):
        authority.unlock(tmp_path / "elsewhere", PASSPHRASE)
    with pytest.raises(UserError, match="public key is missing"):
        authority.current(tmp_path / "elsewhere")


def unsigned(data: Path) -> PublicKey:
    """An authority as an earlier program made it: without a signing key."""
    made = authority.make(data, PASSPHRASE)
    (data / "authority" / "key-1.sign.private.json").unlink()
    old = PublicKey(made.number, made.key)
    path = data / "authority" / "key-1.public.json"
    path.write_text(json.dumps(authority.as_json(old)))
    return old


def test_the_signing_key_rests_encrypted_and_opens_with_the_same_passphrase(tmp_path: Path) -> None:
    authority.make(tmp_path, PASSPHRASE)
    made = authority.make(tmp_path, PASSPHRASE)
    private = authority.signing_key(tmp_path, PASSPHRASE)
    public = Ed25519PublicKey.from_public_bytes(authority.current(tmp_path).signing)
    public.verify(private.sign(b"update"), b"update")
    assert public.public_bytes_raw() == made.signing
    raw = private.private_bytes_raw()
    for path in tmp_path.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert raw not in data and raw.hex().encode() not in data
    assert (tmp_path / "authority" / "key-2.sign.private.json").stat().st_mode & 0o077 == 0
    with pytest.raises(UserError, match="passphrase is wrong"):
        authority.signing_key(tmp_path, PASSPHRASE + "r")


def test_a_private_key_does_not_open_under_anothers_name(tmp_path: Path) -> None:
    authority.make(tmp_path, PASSPHRASE)
    folder = tmp_path / "authority"
    (folder / "key-1.sign.private.json").replace(folder / "key-1.private.json")
    with pytest.raises(UserError, match="passphrase is wrong"):
        authority.unlock(tmp_path, PASSPHRASE)


def test_an_authority_without_a_signing_key_gets_one_for_its_newest_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = unsigned(tmp_path)
    with pytest.raises(UserError, match="authority init"):
        authority.signing_key(tmp_path, PASSPHRASE)
    from zoneband.cli.authority import init

    monkeypatch.setenv("ZONEBAND_PASSPHRASE", PASSPHRASE + "r")
    with pytest.raises(UserError, match="passphrase is wrong"):
        init(tmp_path)
    assert authority.public_keys(tmp_path) == [old]
    monkeypatch.setenv("ZONEBAND_PASSPHRASE", PASSPHRASE)
    init(tmp_path)
    assert "no other key was made" in capsys.readouterr().out
    [new] = authority.public_keys(tmp_path)
    assert new.key == old.key
    assert authority.signing_key(tmp_path, PASSPHRASE).public_key().public_bytes_raw() == (
        new.signing
    )
    init(tmp_path)
    assert [key.number for key in authority.public_keys(tmp_path)] == [1, 2]


def test_a_station_learns_a_signing_key_later_but_not_another_one(tmp_path: Path) -> None:
    signing = PublicKey(1, PUBLIC.key, b"s" * 32)
    assert authority.trust(tmp_path, PUBLIC)
    assert authority.trust(tmp_path, signing)
    assert not authority.trust(tmp_path, PUBLIC)
    with pytest.raises(UserError, match="nothing was changed"):
        authority.trust(tmp_path, PublicKey(1, PUBLIC.key, b"x" * 32))
    assert authority.current(tmp_path) == signing
    facts = authority.as_json(signing)
    assert authority.public_of(facts) == signing
    for bad in ("00", "x" * 64, 7, None):
        with pytest.raises(ValueError):
            authority.public_of(facts | {"signing_key": bad})


# --- at the server -----------------------------------------------------------------------------


class Server:
    """A server that may be unlocked later, as after a restart."""

    def __init__(self, path: Path, unlocked: bool) -> None:
        keys = {1: PRIVATE} if unlocked else None
        self.http = TestClient(
            make_app(path, lambda: NOON + 86_400, [PUBLIC], keys), client=("127.0.0.1", 1)
        )
        self.station = come(self.http, path, "st", lambda: NOON + 86_400)
        self.tracer = {"Authorization": f"Bearer {(path / 'tracer-token').read_text()}"}

    def record(self, data: bytes, name: str | None = None) -> int:
        name = name or hashlib.sha256(data).hexdigest()
        path = f"/v1/stations/st/records/{name}"
        return self.http.put(path, content=data, auth=self.station).status_code

    def batch(self, data: bytes) -> int:
        name = hashlib.sha256(data).hexdigest()
        path = f"/v1/stations/st/batches/{name}"
        return self.http.put(path, content=data, auth=self.station).status_code


def test_a_locked_server_keeps_records_and_opens_them_once_it_has_the_key(tmp_path: Path) -> None:
    locked = Server(tmp_path / "s", unlocked=False)
    sealed = seal.seal(PUBLIC, Kind.ENROLMENT, enrolment(A))
    assert locked.record(sealed) == 202
    assert locked.record(sealed) == 202
    book = BandBook(A, tmp_path)
    book.clock(NOON)
    assert locked.batch(book.batch()) == 202
    assert locked.http.get("/healthz").json()["authority"] == "locked"
    unlocked = Server(tmp_path / "s", unlocked=True)
    assert unlocked.record(sealed) == 200
    assert unlocked.batch(book.batch()) == 200
    assert [
        b["serial"] for b in unlocked.http.get("/v1/bands", headers=unlocked.tracer).json()
    ] == [A]


def test_two_bands_with_one_key_or_one_serial_are_refused(tmp_path: Path) -> None:
    server = Server(tmp_path / "s", unlocked=True)
    assert server.record(seal.seal(PUBLIC, Kind.ENROLMENT, enrolment(A))) == 201
    same_key = enrolment(B, base_key=key(A).hex())
    assert server.record(seal.seal(PUBLIC, Kind.ENROLMENT, same_key)) == 409
    other_keys = enrolment(A, base_key=key(B).hex())
    assert server.record(seal.seal(PUBLIC, Kind.ENROLMENT, other_keys)) == 409


def test_hostile_records_are_refused_and_change_nothing(tmp_path: Path) -> None:
    server = Server(tmp_path / "s", unlocked=True)
    good = seal.seal(PUBLIC, Kind.ENROLMENT, enrolment(A))
    assert server.record(b"nothing") == 400
    assert server.record(good, name="0" * 64) == 422
    assert server.record(bytes(20_000)) == 413
    stranger = PublicKey(1, X25519PrivateKey.generate().public_key().public_bytes_raw())
    assert server.record(seal.seal(stranger, Kind.ENROLMENT, enrolment(A))) == 422
    unknown = PublicKey(9, PUBLIC.key)
    assert server.record(seal.seal(unknown, Kind.ENROLMENT, enrolment(A))) == 202
    for facts in ({}, enrolment("nothing"), enrolment(A, base_key="00"), enrolment(A, role="x")):
        assert server.record(seal.seal(PUBLIC, Kind.ENROLMENT, facts)) == 422, facts
    assert server.http.get("/v1/bands", headers=server.tracer).json() == []
    assert server.http.put("/v1/stations/st/records/" + "0" * 64, content=good).status_code == 401


def sealed_text(kind: Kind, text: bytes) -> bytes:
    """Any text sealed as a record: whoever knows the public key can make it."""
    head = seal._MAGIC + bytes((seal._FORMAT, kind, 1))
    return head + seal._SUITE.encrypt(text, PRIVATE.public_key(), info=seal._LABELS[kind] + head)


_PERSON = '{"serial":"%s","number":%s,"name":%s}'
_NONSENSE = {
    "a number above all": (Kind.PERSON, _PERSON % (A, "1e400", '"x"')),
    "a number of 70 bits": (Kind.PERSON, _PERSON % (A, 1 << 70, '"x"')),
    "a number below 0": (Kind.PERSON, _PERSON % (A, -1, '"x"')),
    "a number that is none": (Kind.PERSON, _PERSON % (A, "true", '"x"')),
    "half a character": (Kind.PERSON, _PERSON % ("\\ud800", 1, '"x"')),
    "half a character in a name": (Kind.PERSON, _PERSON % (A, 1, '"\\ud800"')),
    "half a character in a list": (Kind.PERSON, _PERSON % (A, 1, '[{"a":"\\udfff"}]')),
    "a name that is no number": (Kind.PERSON, _PERSON % (A, 1, "NaN")),
    "no end": (Kind.PERSON, "[" * 16_000),
    "nested without end": (Kind.PERSON, _PERSON % (A, 1, "[" * 900 + "]" * 900)),
    "a time of 70 bits": (
        Kind.EVENT,
        json.dumps({"serial": A, "number": 1, "event": "lost", "utc_s": 1 << 70}),
    ),
    "a serial that is a list": (
        Kind.EVENT,
        json.dumps({"serial": A, "number": 1, "event": "lost", "utc_s": 1, "new_serial": [1]}),
    ),
    "a board that is an object": (Kind.ENROLMENT, json.dumps(enrolment(B, board={"a": 1}))),
    "a day of 70 bits": (Kind.ENROLMENT, json.dumps(enrolment(B, base_day=1 << 70))),
    "a day long past": (Kind.ENROLMENT, json.dumps(enrolment(B, base_day=DAY - 20_000_000))),
    "a day before all bands": (Kind.ENROLMENT, json.dumps(enrolment(B, base_day=20_453))),
    "a day to come": (Kind.ENROLMENT, json.dumps(enrolment(B, base_day=DAY + 4))),
    "a group of 70 bits": (Kind.ENROLMENT, json.dumps(enrolment(B, group=1 << 70))),
    "a format to come": (Kind.ENROLMENT, json.dumps(enrolment(B, log_format=7))),
    "a key that is a number": (Kind.ENROLMENT, json.dumps(enrolment(B, base_key=7))),
}


@pytest.mark.parametrize("what", _NONSENSE)
def test_no_sealed_nonsense_stops_the_server_or_its_next_start(tmp_path: Path, what: str) -> None:
    kind, text = _NONSENSE[what]
    nonsense = sealed_text(kind, text.encode())
    good = seal.seal(PUBLIC, Kind.ENROLMENT, enrolment(A))
    locked = Server(tmp_path / "s", unlocked=False)
    assert locked.record(nonsense) == 202 and locked.record(good) == 202
    server = Server(tmp_path / "s", unlocked=True)  # works in what has waited
    assert server.record(nonsense) == 422
    assert server.record(good) == 200
    assert server.http.get(f"/v1/bands/{A}/people", headers=server.tracer).json() == []
    span = {"from": "2026-11-03", "to": "2026-11-03"}
    for serial, status in ((A, 200), (B, 404)):
        answer = server.http.get(f"/v1/traces/{serial}", params=span, headers=server.tracer)
        assert answer.status_code == status


def test_a_poisoned_record_that_an_older_program_took_is_shown_to_nobody(tmp_path: Path) -> None:
    from sqlalchemy import update

    from zoneband.server import ledger

    server = Server(tmp_path / "s", unlocked=True)
    server.record(seal.seal(PUBLIC, Kind.ENROLMENT, enrolment(A)))
    poison = sealed_text(Kind.PERSON, (_PERSON % (A, 1, '"\\ud800"')).encode())
    assert server.record(poison) == 422
    with ledger.open_ledger(tmp_path / "s").begin() as db:
        db.execute(update(ledger.sealed).values(state="opened", serial=A, number=1))
    again = Server(tmp_path / "s", unlocked=True)
    assert again.http.get(f"/v1/bands/{A}/people", headers=again.tracer).json() == []


def test_a_record_that_the_disk_spoilt_holds_up_no_other(tmp_path: Path) -> None:
    locked = Server(tmp_path / "s", unlocked=False)
    records = [seal.seal(PUBLIC, Kind.ENROLMENT, enrolment(serial)) for serial in (A, B)]
    for data in records:
        assert locked.record(data) == 202
    (tmp_path / "s" / "sealed" / hashlib.sha256(records[0]).hexdigest()).unlink()
    unlocked = Server(tmp_path / "s", unlocked=True)
    bands = unlocked.http.get("/v1/bands", headers=unlocked.tracer).json()
    assert [band["serial"] for band in bands] == [B]


def test_an_enrolment_that_came_first_with_other_keys_is_told(tmp_path: Path) -> None:
    # A station can enrol a serial that it reads off a band, with keys of its own. The genuine
    # enrolment is refused then, and the band's state says so.
    server = Server(tmp_path / "s", unlocked=True)
    first = seal.seal(PUBLIC, Kind.ENROLMENT, enrolment(A, base_key="11" * 32))
    assert server.record(first) == 201

    def refused() -> int:
        answer = server.http.get(f"/v1/bands/{A}", headers=server.tracer)
        return answer.json()["enrolments_refused"]

    assert refused() == 0
    for _ in range(2):
        assert server.record(seal.seal(PUBLIC, Kind.ENROLMENT, enrolment(A))) == 409
    assert refused() == 2


def test_a_trace_names_the_wearer_of_the_time_and_a_replacement_is_carried_over(
    tmp_path: Path,
) -> None:
    from zoneband.wire import records

    server = Server(tmp_path / "s", unlocked=True)
    for serial in (A, B):
        server.record(seal.seal(PUBLIC, Kind.ENROLMENT, enrolment(serial)))
    old = "ZB-CCCC-0008"
    person = {"serial": old, "number": 11, "name": "Bà Mai", "phone": "+84912345678"}
    assert server.record(seal.seal(PUBLIC, Kind.PERSON, person)) == 201
    moved = {
        "serial": old, "number": 11, "event": "replaced", "utc_s": NOON - 9000,
        "new_serial": B, "new_number": 22,
    }  # fmt: skip
    assert server.record(seal.seal(PUBLIC, Kind.EVENT, moved)) == 201
    a, b = BandBook(A, tmp_path), BandBook(B, tmp_path)
    b.mark(records.STATE, NOON - 1000, records.ISSUED, 22)
    for each, other in ((a, B), (b, A)):
        each.clock(NOON - 1000)
        each.met(other, NOON, 25, -66)
        assert server.batch(each.batch()) == 201
    span = {"from": "2026-11-03", "to": "2026-11-03"}
    answer = server.http.get(f"/v1/traces/{A}", params=span, headers=server.tracer)
    [contact] = answer.json()["contacts"]
    assert contact["person"]["name"] == "Bà Mai" and contact["holder"] == 1
    # Nobody but a tracer reads it, and it is nowhere in clear.
    assert server.http.get(f"/v1/bands/{B}/people", auth=server.station).status_code == 401
    for path in (tmp_path / "s").rglob("*"):
        if path.is_file():
            assert "Bà Mai".encode() not in path.read_bytes()
            assert json.dumps("Bà Mai").encode() not in path.read_bytes()
