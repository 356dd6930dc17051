"""The verbs as staff and tracers type them, against a server of their own over TLS."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import clocked
from bandbook import NOON, A, B, BandBook, key
from certificates import Authority
from support import ROOT
from zoneband.server.enrolment import Enrolment
from zoneband.server.tracing_server import TracingServer
from zoneband.spool import Spool


def zoneband(data: Path, *words: str, lang: str = "en") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "zoneband", "--lang", lang, *words, "--data", str(data)],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT / "host"), "COLUMNS": "120"},
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path, str]]:
    """(data directory, certificate, address) of a server that knows two bands."""
    data = tmp_path_factory.mktemp("site")
    trusted = Authority(data)
    trusted.sign(data / "tls")
    server = TracingServer(data / "server", utc=lambda: NOON + 86_400)
    for serial in (A, B):
        server.enrol(Enrolment(serial, "virtual", "band", 20_760, key(serial), bytes(32), key("r")))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run = subprocess.Popen(
        [*clocked.tool(NOON + 86_400), "serve", "--data", str(data), "--port", str(port)]
        + ["--tls-dir", str(data / "tls")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT / "host")},
    )
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    yield data, trusted.file, f"https://localhost:{port}"
    run.terminate()
    run.wait()


def invited(data: Path, name: str) -> str:
    made = zoneband(data, "station", "invite", name)
    assert made.returncode == 0, made.stderr
    return made.stdout.split("\n")[0]


def test_a_stations_day_from_registration_to_trace(
    site: tuple[Path, Path, str], tmp_path: Path
) -> None:
    data, cert, url = site
    code = invited(data, "Chợ")
    init = ("station", "init", "--server", url, "--code", code)
    strange = zoneband(tmp_path, *init)
    assert strange.returncode == 5 and strange.stderr.count("\n") == 1
    done = zoneband(tmp_path, *init, "--ca", str(cert), "--name", "Chợ")
    assert done.returncode == 0, done.stderr
    assert "Chợ" in done.stdout
    for name in ("station.json", "key.pem"):
        assert (tmp_path / "station" / name).stat().st_mode & 0o077 == 0
    again = zoneband(tmp_path / "thief", *init, "--ca", str(cert))
    assert again.returncode == 5 and "used before" in again.stderr

    spool = Spool(tmp_path / "station")
    for serial, other in ((A, B), (B, A)):
        book = BandBook(serial, tmp_path)
        book.met(other, NOON, 25, -66)
        spool.add(book.batch(station="Chợ"))
    sent = zoneband(tmp_path, "upload", "--json")
    assert sent.returncode == 0, sent.stdout + sent.stderr
    assert json.loads(sent.stdout)["sent"] == 2

    asked = ("--server", url, "--token", (data / "server" / "tracer-token").read_text())
    span = ("--from", "2026-11-03", "--to", "2026-11-03")
    env_ca = {"SSL_CERT_FILE": str(cert)}
    os.environ.update(env_ca)
    try:
        code = zoneband(tmp_path, "case", "code", *asked).stdout.split()[0]
        facts = ("--onset", "2026-11-03", "--code", code)
        case = zoneband(tmp_path, "case", "add", A.lower(), *facts, *asked)
        assert case.returncode == 0, case.stderr
        told = zoneband(tmp_path, "trace", A, *span, *asked, lang="vi")
        assert told.returncode == 0 and "GỌI" in told.stdout and B in told.stdout, told.stdout
        facts = zoneband(tmp_path, "trace", A, *span, *asked, "--json")
        [contact] = json.loads(facts.stdout)["contacts"]
        assert contact["serial"] == B and contact["must_call"] and contact["both_sided"]
        empty = zoneband(tmp_path, "trace", A, "--from", "2026-10-01", "--to", "2026-10-02", *asked)
        assert empty.returncode == 3
        for words in (
            ("trace", "ZB-0000-0000", *span),
            ("trace", A, "--from", "yesterday", "--to", "2026-11-03"),
            ("trace", A, "--from", "2026-11-03", "--to", "2026-11-01"),
            ("case", "add", "ZB-0000-0000", "--onset", "2026-11-03"),
            ("case", "add", A, "--onset", "soon"),
        ):
            wrong = zoneband(tmp_path, *words, *asked)
            assert wrong.returncode in (2, 3, 5), words
            assert wrong.stderr.count("\n") == 1, wrong.stderr
    finally:
        del os.environ["SSL_CERT_FILE"]


def test_a_station_on_the_servers_own_computer_needs_a_code_too(
    site: tuple[Path, Path, str], tmp_path: Path
) -> None:
    data, cert, url = site
    init = ("station", "init", "--server", url, "--ca", str(cert))
    none = zoneband(tmp_path, *init)
    assert none.returncode == 2 and "station invite" in none.stderr
    wrong = zoneband(tmp_path, *init, "--code", "00000-00000-00000-00000")
    assert wrong.returncode == 5 and wrong.stderr.count("\n") == 1, wrong.stderr
    assert not (tmp_path / "station" / "station.json").exists()
    assert (data / "server" / "tracer-token").stat().st_mode & 0o077 == 0


def test_plain_http_is_served_to_this_computer_alone(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "localhost.example"):
        refused = zoneband(tmp_path, "serve", "--host", host, "--port", "0")
        assert refused.returncode == 2, host
        assert refused.stderr.count("\n") == 1 and "--tls-dir" in refused.stderr
    assert not (tmp_path / "server").exists()


def test_keys_are_for_their_owner_alone(site: tuple[Path, Path, str], tmp_path: Path) -> None:
    data, cert, url = site
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse battery staple")
    secret.chmod(0o600)
    made = zoneband(tmp_path, "authority", "init", "--passphrase-file", str(secret))
    assert made.returncode == 0, made.stderr
    code = invited(data, "Cảng")
    init = ("station", "init", "--server", url, "--code", code, "--ca", str(cert))
    assert zoneband(tmp_path, *init).returncode == 0
    kept = [tmp_path / "station" / name for name in ("station.json", "key.pem", "groups.json")]
    kept += list((tmp_path / "authority").glob("*.private.json"))
    assert len(kept) == 5
    assert [path.name for path in kept if path.stat().st_mode & 0o077] == []
    assert (tmp_path / "authority").stat().st_mode & 0o077 == 0
