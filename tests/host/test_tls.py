"""A server's TLS: what it serves, what it refuses, and what it follows while it runs."""

import logging
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from bandbook import DAY, NOON, A, B, BandBook, key
from certificates import Authority, last_days
from stationed import known
from support import ROOT
from zoneband.errors import UserError
from zoneband.server import tls
from zoneband.server.enrolment import Enrolment
from zoneband.server.process import running
from zoneband.server.tls import Tls
from zoneband.server.tracing_server import TracingServer
from zoneband.spool import Spool
from zoneband.station import Station
from zoneband.upload import Uploader


@pytest.fixture
def trusted(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def refused(folder: Path) -> str:
    with pytest.raises(UserError) as told:
        Tls(folder)
    assert "\n" not in told.value.message
    return told.value.message


def test_a_station_that_trusts_its_authority_uploads_through_it(
    tmp_path: Path, trusted: Authority
) -> None:
    trusted.sign(tmp_path / "tls")
    server = TracingServer(tmp_path / "server", utc=lambda: NOON)
    server.enrol(Enrolment(A, "virtual", "band", DAY, key(A), bytes(32), key(A + "r")))
    secret = known(server, "st")
    with running(tmp_path, tls_dir=tmp_path / "tls") as url:
        assert url.startswith("https://")
        book = BandBook(A, tmp_path)
        book.met(B, NOON, 5, -66)
        spool = Spool(tmp_path / "station")
        name = spool.add(book.batch())
        strange = Uploader(tmp_path, spool, Station(url, "st", secret, None), lambda _s: None)
        assert "cannot be reached" in strange.run(1).problem and spool.waiting() == [name]
        done = Uploader(tmp_path, spool, Station(url, "st", secret, str(trusted.file))).run()
        assert (done.sent, done.waiting, done.problem) == (1, 0, "")
        port = int(url.rsplit(":", 1)[1])
        assert spoken(port, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
        assert spoken(port, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
        with pytest.raises(OSError):
            spoken(port, ssl.TLSVersion.TLSv1_1)
        with pytest.raises(httpx2.HTTPError):
            httpx2.get(f"http://127.0.0.1:{port}/healthz", trust_env=False)


def spoken(port: int, version: ssl.TLSVersion) -> str | None:
    """The version that a server speaks with somebody who speaks nothing else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    # Whether OpenSSL itself would still offer it is not the question.
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", port), 5) as plain:
        with context.wrap_socket(plain) as wrapped:
            return wrapped.version()


def test_a_key_that_others_can_read_is_refused(tmp_path: Path, trusted: Authority) -> None:
    trusted.sign(tmp_path / "tls")
    secret = tmp_path / "tls" / "privkey.pem"
    for mode in (0o644, 0o604, 0o602):
        secret.chmod(mode)
        assert f"chmod 600 {secret}" in refused(tmp_path / "tls")
    for mode in (0o600, 0o640, 0o400):
        secret.chmod(mode)
        Tls(tmp_path / "tls")


def test_what_is_missing_or_damaged_is_named(tmp_path: Path, trusted: Authority) -> None:
    folder = tmp_path / "tls"
    assert "fullchain.pem" in refused(folder)
    trusted.sign(folder)
    (folder / "privkey.pem").unlink()
    assert "privkey.pem is not there" in refused(folder)
    trusted.sign(folder)
    (folder / "privkey.pem").write_text("-----BEGIN nothing-----")
    assert "no private key" in refused(folder)
    trusted.sign(folder)
    (folder / "fullchain.pem").write_bytes(b"\xff\x00")
    assert "no certificate" in refused(folder)


def test_a_key_of_another_certificate_is_refused(tmp_path: Path, trusted: Authority) -> None:
    trusted.sign(tmp_path / "one")
    trusted.sign(tmp_path / "two")
    (tmp_path / "one" / "privkey.pem").write_bytes((tmp_path / "two" / "privkey.pem").read_bytes())
    assert "is not the key of" in refused(tmp_path / "one")


def test_a_certificate_of_another_time_is_refused(tmp_path: Path, trusted: Authority) -> None:
    trusted.sign(tmp_path / "tls", *last_days(-0.001))
    assert "expired on" in refused(tmp_path / "tls")
    begin, end = last_days(60)
    trusted.sign(tmp_path / "tls", begin=end, end=last_days(90)[1])
    assert "not valid yet" in refused(tmp_path / "tls")
    assert begin < end


def test_the_verb_says_it_in_one_line(tmp_path: Path, trusted: Authority) -> None:
    trusted.sign(tmp_path / "tls", *last_days(-1))
    told = subprocess.run(
        [sys.executable, "-m", "zoneband", "serve", "--data", str(tmp_path), "--port", "0"]
        + ["--host", "0.0.0.0", "--tls-dir", str(tmp_path / "tls")],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT / "host")},
        timeout=60,
    )
    assert told.returncode == 5 and told.stderr.count("\n") == 1 and "expired" in told.stderr


@contextmanager
def listening(context: ssl.SSLContext) -> Generator[int]:
    """The port of a server that only shakes hands."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        ended = threading.Event()

        def answer() -> None:
            while not ended.is_set():
                plain, _ = door.accept()
                try:
                    context.wrap_socket(plain, server_side=True).close()
                except OSError:
                    plain.close()

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield door.getsockname()[1]
        ended.set()
        socket.create_connection(door.getsockname()).close()
        thread.join(5)


def test_a_renewed_certificate_is_served_and_a_bad_one_is_not(
    tmp_path: Path, trusted: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    folder = tmp_path / "tls"
    first = trusted.sign(folder)
    served = Tls(folder)

    def shown(port: int) -> int:
        context = ssl.create_default_context(cafile=trusted.file)
        with socket.create_connection(("127.0.0.1", port), 5) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as wrapped:
                found = wrapped.getpeercert()
                assert found is not None
                return int(str(found["serialNumber"]), 16)

    with listening(served.context) as port:
        assert shown(port) == first.serial_number and not served.renew()
        # Half of a renewal: the chain is new already, the key is not.
        kept = (folder / "privkey.pem").read_bytes()
        second = trusted.sign(folder)
        fresh = (folder / "privkey.pem").read_bytes()
        (folder / "privkey.pem").write_bytes(kept)
        assert not served.renew() and not served.renew()
        assert shown(port) == first.serial_number
        assert caplog.text.count("is kept") == 1
        (folder / "privkey.pem").write_bytes(fresh)
        assert served.renew() and shown(port) == second.serial_number
        (folder / "privkey.pem").unlink()
        assert not served.renew() and shown(port) == second.serial_number


def test_until_when_it_is_good_is_known(tmp_path: Path, trusted: Authority) -> None:
    made = trusted.sign(tmp_path / "tls")
    found = tls.read(tmp_path / "tls", NOON)
    assert found.until_s == made.not_valid_after_utc.timestamp()
