"""The recipe for nginx, with a real nginx: what stations sign and tracers type goes through."""

import re
import sqlite3
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pyotp import TOTP

import nginx
from bandbook import DAY, NOON, A, B, BandBook, key
from certificates import Authority
from stationed import known
from zoneband.server.accounts import Accounts, new_secret
from zoneband.server.enrolment import Enrolment
from zoneband.server.ledger import open_ledger
from zoneband.server.process import running
from zoneband.server.tracing_server import TracingServer
from zoneband.signing import Signature
from zoneband.spool import Spool
from zoneband.station import Station
from zoneband.upload import Uploader

STATION = "Trạm chợ: 100 %?"
TRACER, PASSWORD = "lan.tran", "right horse battery staple"
STRANGER = "203.0.113.9"
TOKEN = "metrics-token-of-the-tests"


@dataclass(frozen=True)
class Site:
    """A server behind nginx: its data, nginx' place and address, and who may come."""

    data: Path
    where: Path
    behind: int
    ca: Path
    station: Ed25519PrivateKey
    secret: str

    def client(self, port: int) -> httpx2.Client:
        trusted = ssl.create_default_context(cafile=str(self.ca))
        url = f"https://localhost:{port}"
        return httpx2.Client(base_url=url, verify=trusted, trust_env=False, timeout=30)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    nginx.program()
    data = tmp_path_factory.mktemp("site")
    trusted = Authority(data)
    server = TracingServer(data / "server", utc=lambda: NOON)
    for serial in (A, B):
        keys = key(serial), bytes(32), key(serial + "r")
        server.enrol(Enrolment(serial, "virtual", "band", DAY, *keys))
    secret = new_secret()
    Accounts(open_ledger(data / "server")).add(TRACER, PASSWORD, secret)
    station = known(server, STATION)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZONEBAND_METRICS_TOKEN", TOKEN)
        # Not below pytest's own directory, which nobody else may enter.
        with tempfile.TemporaryDirectory(prefix="zb-nginx-") as there, running(data) as url:
            where = Path(there)
            trusted.sign(where / "tls")
            behind = int(url.rsplit(":", 1)[1])
            yield Site(data, where, behind, trusted.file, station, secret)


@pytest.fixture
def port(site: Site) -> Iterator[int]:
    """nginx' own, with the recipe as it is."""
    chosen = nginx.free_port()
    with nginx.serving(site.where, nginx.recipe(site.where, chosen, site.behind), chosen):
        yield chosen


def upload(site: Site, port: int, folder: Path, serial: str) -> tuple[int, str]:
    """(batches sent, what was wrong) of a station that uploads a log of a band."""
    book = BandBook(serial, folder)
    book.met(B, NOON, 25, -66)
    spool = Spool(folder / "station")
    spool.add(book.batch(station=STATION))
    settings = Station(f"https://localhost:{port}", STATION, site.station, str(site.ca))
    done = Uploader(folder, spool, settings).run(1)
    return done.sent, done.problem


def test_a_signed_batch_goes_through(site: Site, port: int, tmp_path: Path) -> None:
    assert upload(site, port, tmp_path, A) == (1, "")
    with site.client(port) as http:
        # Signed with its query, and a name with all that paths escape.
        asked = {"log_id": 77, "first": 0}
        answer = http.get(f"/v1/bands/{A}/receipt", params=asked, auth=Signature(site.station))
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("line", "instead", "why"),
    [
        ("proxy_set_header Host $http_host;", "proxy_set_header Host backend;", "signature"),
        ("proxy_pass http://127.0.0.1:{0};", "proxy_pass http://127.0.0.1:{0}/;", "signature"),
        ("client_max_body_size 300k;", "client_max_body_size 100;", "413"),
    ],
)
def test_each_line_that_matters_is_needed(
    site: Site, tmp_path: Path, line: str, instead: str, why: str
) -> None:
    port = nginx.free_port()
    text = nginx.recipe(site.where, port, site.behind)
    line, instead = line.format(site.behind), instead.format(site.behind)
    assert line in text
    with nginx.serving(site.where, text.replace(line, instead), port):
        sent, problem = upload(site, port, tmp_path, A)
        if why == "413":
            assert sent == 0 and Spool(tmp_path / "station").counts() == (0, 1)
        else:
            assert sent == 0 and why in problem, problem


def test_a_tracer_logs_in(site: Site, port: int) -> None:
    with site.client(port) as http:
        assert http.get("/").headers["location"] == "/tracer/"
        page = http.get("/tracer/login").text
        [form] = re.findall(r'name="form" value="([^"]+)"', page)
        code = TOTP(site.secret).now()
        values = {"name": TRACER, "password": PASSWORD, "code": code, "form": form}
        done = http.post("/tracer/login", data=values)
        assert done.status_code == 303, done.text
        # The server knows that there is TLS in front of it.
        assert done.headers["set-cookie"].startswith("__Host-zoneband-session=")
        assert "Secure" in done.headers["set-cookie"]
        assert TRACER in http.get("/tracer/").text


def test_who_asks_is_not_what_they_say(site: Site, port: int) -> None:
    with site.client(port) as http:
        http.headers["X-Forwarded-For"] = STRANGER
        [form] = re.findall(r'name="form" value="([^"]+)"', http.get("/tracer/login").text)
        values = {"name": "nobody", "password": "x", "code": "123456", "form": form}
        assert http.post("/tracer/login", data=values).status_code == 401
    with sqlite3.connect(site.data / "server" / "ledger.sqlite") as db:
        subjects = " ".join(row[0] for row in db.execute("SELECT subject FROM login_tries"))
    assert "127.0.0.1" in subjects and STRANGER not in subjects


def test_what_is_too_large_or_not_meant_for_outside_ends_at_nginx(site: Site, port: int) -> None:
    with site.client(port) as http:
        assert http.put("/v1/stations/st/batches/0", content=bytes(310_000)).status_code == 413
        watcher = {"Authorization": f"Bearer {TOKEN}"}
        assert http.get("/metrics", headers=watcher).status_code == 404
        assert "nginx" in http.get("/metrics", headers=watcher).text
    inside = httpx2.get(f"http://127.0.0.1:{site.behind}/metrics", headers=watcher, trust_env=False)
    assert inside.status_code == 200
