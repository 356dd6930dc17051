"""Stations are known by keys: who comes in with a code, and what a signature must cover."""

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from fastapi.testclient import TestClient
from http_message_signatures import HTTPMessageVerifier, MappingKeyResolver, algorithms
from http_message_signatures.httpx2 import adapt_message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bandbook import NOON, A, BandBook
from served import NOW, Server
from stationed import come, invite, known
from zoneband import station as stations
from zoneband import upload
from zoneband.server.app import make_app
from zoneband.server.limits import Buckets, Limits
from zoneband.server.nonces import WINDOW_S
from zoneband.server.process import running
from zoneband.server.signed import Doorkeeper
from zoneband.server.stations import open_stations
from zoneband.server.tracing_server import TracingServer
from zoneband.signing import Signature
from zoneband.spool import Spool
from zoneband.station import Station
from zoneband.upload import Uploader

PATH = f"/v1/bands/{A}/orders?after=0"


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path / "server")


def signed(server: Server, method: str = "GET", path: str = PATH, body: bytes = b"") -> Any:
    made = server.http.build_request(method, path, content=body)
    server.station.sign(made)
    return made


def reason(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("reason", "")


def comes(server: Server, code: str, key: Ed25519PrivateKey, **more: Any) -> Any:
    body = {"code": code, "public_key": key.public_key().public_bytes_raw().hex(), **more}
    return server.http.post("/v1/stations", json=body, auth=Signature(key, lambda: server.now))


# --- codes -------------------------------------------------------------------------------------


def test_a_code_lets_one_station_in_once(server: Server) -> None:
    code = invite(server.path, "Chợ", lambda: NOW)
    one, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    assert reason(comes(server, code, one, name="Cảng")) == (403, "code-name")
    assert comes(server, code.lower().replace("-", " "), one).json() == {"name": "Chợ"}
    assert reason(comes(server, code, other)) == (403, "code-used")
    # Its answer may have been lost.
    assert comes(server, code, one).json() == {"name": "Chợ"}
    ledger = (server.path / "ledger.sqlite").read_bytes()
    assert code.encode() not in ledger and code.replace("-", "").encode() not in ledger


def test_a_code_that_is_wrong_old_or_replaced_lets_nobody_in(server: Server) -> None:
    key = Ed25519PrivateKey.generate()
    assert reason(comes(server, "00000-00000-00000-00000", key)) == (403, "code")
    assert reason(comes(server, "", key)) == (403, "code")
    first = invite(server.path, "x", lambda: NOW, valid_s=3600)
    code = invite(server.path, "x", lambda: NOW, valid_s=3600)
    assert reason(comes(server, first, key)) == (403, "code")
    server.now += 3600
    assert reason(comes(server, code, key)) == (403, "code-expired")


def test_a_key_must_be_the_callers_own(server: Server) -> None:
    code = invite(server.path, "x", lambda: NOW)
    stranger = Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex()
    mine = Signature(Ed25519PrivateKey.generate(), lambda: NOW)
    body = {"code": code, "public_key": stranger}
    answer = server.http.post("/v1/stations", json=body, auth=mine)
    assert reason(answer) == (401, "key")
    assert reason(server.http.post("/v1/stations", json=body)) == (401, "unsigned")
    assert server.http.post("/v1/stations", content=b"{", auth=mine).status_code == 422
    assert server.http.post("/v1/stations", content=bytes(9000), auth=mine).status_code == 413


def test_a_new_code_replaces_the_key_of_a_name(server: Server) -> None:
    old = server.station
    server.station = server.register("st")
    assert server.pending(A) == []
    assert reason(server.http.get(PATH, auth=old)) == (401, "key")


@pytest.mark.parametrize("kind", ["batches", "records"])
def test_a_station_that_is_revoked_while_its_body_comes_brings_nothing(
    server: Server, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = BandBook(A, tmp_path).batch()
    there = open_stations(tmp_path / "server")
    body = Doorkeeper.body

    async def comes_late(self: Doorkeeper, *given: Any) -> bytes:
        came = await body(self, *given)
        there.revoke("st")
        return came

    monkeypatch.setattr(Doorkeeper, "body", comes_late)
    path = f"/v1/stations/st/{kind}/{hashlib.sha256(data).hexdigest()}"
    assert reason(server.http.put(path, content=data, auth=server.station)) == (403, "revoked")
    assert not list((tmp_path / "server" / "batches").iterdir())


def test_a_revoked_station_is_told_so_until_it_has_a_new_code(server: Server) -> None:
    there = open_stations(server.path)
    there.revoke("st")
    assert reason(server.http.get(PATH, auth=server.station)) == (403, "revoked")
    assert [row["state"] for row in there.every()] == ["revoked"]
    server.station = server.register("st")
    assert server.pending(A) == []
    assert [(r["name"], r["state"], r["groups"]) for r in there.every()] == [
        ("st", "enrolled", ["default"])
    ]


# --- signatures --------------------------------------------------------------------------------


def test_the_rfcs_own_vector() -> None:
    # RFC 9421 B.2.6.
    pem = (
        b"-----BEGIN PUBLIC KEY-----\n"
        b"MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=\n"
        b"-----END PUBLIC KEY-----\n"
    )
    headers = {
        "Host": "example.com",
        "Date": "Tue, 20 Apr 2021 02:07:55 GMT",
        "Content-Type": "application/json",
        "Content-Length": "18",
        "Signature-Input": 'sig-b26=("date" "@method" "@path" "@authority" "content-type" '
        '"content-length");created=1618884473;keyid="test-key-ed25519"',
        "Signature": "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0"
        "w6vuQv5lIp5WPpBKRCw==:",
    }
    request = httpx2.Request("POST", "https://example.com/foo?param=Value&Pet=dog", headers=headers)
    key = load_pem_public_key(pem)
    keys = MappingKeyResolver(public_keys={"test-key-ed25519": key}, private_keys={})
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=keys)
    [found] = verifier.verify(adapt_message(request), max_age=None)
    assert found.parameters["keyid"] == "test-key-ed25519"


def test_nobody_comes_in_without_a_key_that_the_server_knows(server: Server) -> None:
    assert reason(server.http.get(PATH)) == (401, "unsigned")
    old = {"Authorization": "Bearer of-a-station-of-before"}
    assert reason(server.http.get(PATH, headers=old)) == (401, "token")
    stranger = Signature(Ed25519PrivateKey.generate(), lambda: NOW)
    assert reason(server.http.get(PATH, auth=stranger)) == (401, "key")
    other = server.register("other")
    name = hashlib.sha256(b"x").hexdigest()
    for kind in ("batches", "records"):
        path = f"/v1/stations/st/{kind}/{name}"
        assert reason(server.http.put(path, content=b"x", auth=other)) == (403, "station")
        assert reason(server.http.put(path, content=b"x")) == (401, "unsigned")


def test_a_request_is_taken_once_also_by_a_server_that_starts_again(server: Server) -> None:
    asked = signed(server)
    assert server.http.send(asked).status_code == 200
    assert reason(server.http.send(asked)) == (401, "replay")
    again = TestClient(make_app(server.path, lambda: NOW), client=("127.0.0.1", 1))
    assert reason(again.send(asked)) == (401, "replay")


def test_a_batch_that_came_before_is_refused_by_a_server_that_starts_again(
    server: Server, tmp_path: Path
) -> None:
    book = BandBook(A, tmp_path)
    book.met("ZB-BBBB-0002", NOON, 5, -66)
    data = book.batch()
    path = f"/v1/stations/st/batches/{hashlib.sha256(data).hexdigest()}"
    asked = signed(server, "PUT", path, data)
    assert server.http.send(asked).status_code == 201
    again = TestClient(make_app(server.path, lambda: NOW), client=("127.0.0.1", 1))
    assert reason(again.send(asked)) == (401, "replay")
    fresh = again.put(path, content=data, auth=server.station)
    assert fresh.status_code == 200 and fresh.json()["records_new"] == 0


@pytest.mark.parametrize("off_s", [-WINDOW_S - 2, WINDOW_S + 2, 400 * 86_400])
def test_a_clock_too_far_off_is_told_and_mended_by_the_servers(server: Server, off_s: int) -> None:
    asked = signed(server)
    server.now += off_s
    answer = server.http.send(asked)
    assert reason(answer) == (401, "clock") and answer.json()["utc_s"] == server.now
    server.station._utc = lambda: NOW
    assert server.http.get(PATH, auth=server.station).status_code == 200
    assert server.station.ahead_s == -off_s


@pytest.mark.parametrize("off_s", [-WINDOW_S, WINDOW_S])
def test_a_clock_within_two_days_is_right_enough(server: Server, off_s: int) -> None:
    asked = signed(server)
    server.now += off_s
    assert server.http.send(asked).status_code == 200
    assert reason(server.http.send(asked)) == (401, "replay")


def alter(made: Any, what: str, at: int) -> Any:
    """The same request with one thing of it changed, at some place of it."""
    headers = dict(made.headers)
    url, method = str(made.url), made.method
    if what == "method":
        method = ("POST", "PUT", "DELETE", "HEAD")[at % 4]
    elif what == "path":
        url = url.replace("/orders", ("/receipt", "/orders/", "/%6frders", "//orders")[at % 4])
    elif what == "query":
        url = url.replace("after=0", ("after=1", "after=0&after=1", "after=00", "")[at % 4])
    elif what == "host":
        headers["host"] = ("evil.example", "testserver:81", "testserver/v1", "x@testserver")[at % 4]
    elif what == "digest":
        found = hashlib.sha256(b"%d" % at).digest()
        headers["content-digest"] = f"sha-256=:{base64.b64encode(found).decode()}:"
    elif what == "missing":
        del headers[("content-digest", "signature", "signature-input")[at % 3]]
    else:
        # Any letter of the signature's own parameters, or of the signature.
        text = headers[what]
        at %= len(text)
        other = "A" if text[at] != "A" else "B"
        headers[what] = text[:at] + other + text[at + 1 :]
    return httpx2.Request(method, url, headers=headers)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    what=st.sampled_from(
        ["method", "path", "query", "host", "digest", "missing", "signature", "signature-input"]
    ),
    at=st.integers(0, 500),
)
def test_whatever_is_altered_is_refused(server: Server, what: str, at: int) -> None:
    made = signed(server)
    altered = alter(made, what, at)
    answer = server.http.send(altered, follow_redirects=False)
    if what == "signature" and _same_signature(made, altered):
        return
    # Paths and methods that lead nowhere, or elsewhere, are told before anybody looks who asks.
    assert answer.status_code in (307, 401, 403, 404, 405), (what, at, answer.text)
    if answer.status_code == 401 and altered.method != "HEAD":
        assert answer.json().get("reason") in ("signature", "unsigned", "key", None)


def _same_signature(made: Any, altered: Any) -> bool:
    # The last letter before the padding has bits that base64 does not use.
    def bare(request: Any) -> bytes | None:
        text = request.headers["signature"]
        if not text.startswith("station=:") or not text.endswith(":"):
            return None
        try:
            return base64.b64decode(text[len("station=:") : -1])
        except ValueError:  # padding in its middle
            return None

    return bare(made) == bare(altered)


def test_an_altered_body_is_refused_and_may_be_sent_again(server: Server, tmp_path: Path) -> None:
    book = BandBook(A, tmp_path)
    book.met("ZB-BBBB-0002", NOON, 5, -66)
    data = book.batch()
    path = f"/v1/stations/st/batches/{hashlib.sha256(data).hexdigest()}"
    made = signed(server, "PUT", path, data)
    kept = {k: v for k, v in made.headers.items() if k != "content-length"}
    answer = server.http.put(path, content=data[:-1] + b"x", headers=kept)
    assert reason(answer) == (400, "digest")
    assert not list((server.path / "batches").iterdir())
    assert "receipt" in server.put(data)


@pytest.mark.parametrize("left_out", ["@method", "@authority", "@path", "@query", "content-digest"])
def test_a_signature_that_does_not_cover_all_is_refused(
    server: Server, left_out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoneband import signing

    some = tuple(each for each in signing.COMPONENTS if each != left_out)
    whole = signing.COMPONENTS
    monkeypatch.setattr(signing, "COMPONENTS", some)
    made = server.http.build_request("GET", PATH)
    if left_out == "content-digest":
        _sign_without_digest(server.station, made, some)
    else:
        server.station.sign(made)
    monkeypatch.setattr(signing, "COMPONENTS", whole)
    assert reason(server.http.send(made)) == (401, "signature")


def _sign_without_digest(signs: Signature, made: Any, some: tuple[str, ...]) -> None:
    from datetime import UTC, datetime

    prepared = signs._signer.prepare(
        adapt_message(made),
        key_id=signs._key_id,
        created=datetime.fromtimestamp(NOW, UTC),
        nonce="0123456789abcdef",
        tag="zoneband-station",
        covered_component_ids=some,
    )
    text = base64.b64encode(signs._key.sign(prepared.signature_base)).decode()
    made.headers["Signature-Input"] = f"station={prepared.signature_params}"
    made.headers["Signature"] = f"station=:{text}:"
    made.headers["Content-Digest"] = f"sha-256=:{base64.b64encode(bytes(32)).decode()}:"


# --- how much ----------------------------------------------------------------------------------


def test_a_station_that_asks_too_much_waits_and_another_does_not(tmp_path: Path) -> None:
    limits = Limits(station_per_s=0.5, station_burst=3)
    http = TestClient(make_app(tmp_path, lambda: NOW, limits=limits), client=("127.0.0.1", 1))
    one, other = (come(http, tmp_path, name, lambda: NOW) for name in ("one", "other"))
    path = "/v1/stations/{}/groups"
    for _ in range(3):
        assert http.get(path.format("one"), auth=one).status_code == 200
    late = http.get(path.format("one"), auth=one)
    assert reason(late) == (429, "rate") and 1 <= int(late.headers["Retry-After"]) <= 2
    assert http.get(path.format("other"), auth=other).status_code == 200


def test_a_bucket_fills_again_and_many_names_take_no_room() -> None:
    now = 0.0
    buckets = Buckets(2, 4, lambda: now)
    assert [buckets.take("a") for _ in range(5)] == [0, 0, 0, 0, 0.5]
    now = 0.5
    assert buckets.take("a") == 0 and buckets.take("a") == 0.5
    buckets.spend("a", 3)  # what was used already
    assert buckets.wait_s("a") == 2 == buckets.take("a")
    now = 2.5
    assert buckets.wait_s("a") == 0 == buckets.take("a")
    now = 9
    for n in range(30_000):
        assert buckets.take(str(n)) == 0
    assert len(buckets._levels) <= 10_000


# --- a station and a server in processes of their own -------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, Station, Spool]]:
    """A server's data, a station of it, and its spool with one batch."""
    data = tmp_path / "site"
    data.mkdir()
    key = known(TracingServer(data / "server"), "st")
    with running(data) as url:
        spool = Spool(stations.directory(tmp_path))
        book = BandBook(A, tmp_path)
        book.met("ZB-BBBB-0002", NOON, 5, -66)
        spool.add(book.batch())
        yield data, Station(url, "st", key, None), spool
        spool.close()


def test_a_station_says_plainly_what_to_do_and_keeps_everything(
    site: tuple[Path, Station, Spool], tmp_path: Path
) -> None:
    data, station, spool = site
    waiting = spool.waiting()
    tokens = Station(station.server, "st", None, None)
    done = Uploader(tmp_path, spool, tokens).run(1)
    assert "no key yet" in done.problem and spool.waiting() == waiting
    stations.save(tmp_path, station)
    shown = json.dumps({"server": station.server, "name": "st", "token": "t", "ca": None})
    (tmp_path / "station" / "station.json").write_text(shown)  # as before stations had keys
    assert stations.need(tmp_path).name == "st"
    tool = [sys.executable, "-m", "zoneband", "--lang", "en"]
    gone = subprocess.run(
        [*tool, "station", "revoke", "st", "--data", str(data)],
        capture_output=True, text=True, check=True, cwd=Path(upload.__file__).parents[1],
    )  # fmt: skip
    assert "group renew" in gone.stdout
    done = Uploader(tmp_path, spool, station).run(1)
    assert "revoked" in done.problem and "station init" in done.problem
    assert spool.waiting() == waiting and done.refused == 0
    # As it says, with no word of the server, which is known.
    code = open_stations(data / "server").invite("st")
    subprocess.run(
        [*tool, "station", "init", "--code", code, "--data", str(tmp_path)],
        check=True, cwd=Path(upload.__file__).parents[1],
    )  # fmt: skip
    done = Uploader(tmp_path, spool, stations.need(tmp_path)).run(1)
    assert (done.sent, done.waiting, done.problem) == (1, 0, "")
