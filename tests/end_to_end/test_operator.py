"""The operator's how-to, followed to the letter, as far as a temporary directory allows.

Its commands are taken out of the text and run by a shell. What would change this computer has a
stand-in on the PATH: apt, sudo and chown do nothing of their own, certbot signs with a test's
authority and runs its hook, systemctl starts what the installed unit says, with the credentials
that it names."""

import os
import re
import shlex
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psycopg
import pytest
from pyotp import TOTP, parse_uri

import nginx
from certificates import Authority
from postgres import Postgres, cluster
from support import ROOT

HOW_TO = ROOT / "README.md"
NAME, PASSWORD = "tracing.example.vn", "right horse battery staple"

STAND_INS = {
    "apt": "exit 0",
    "chown": "exit 0",
    # As root and as everybody else: the test is only one user.
    "sudo": 'while [ "${1#-}" != "$1" ]; do case $1 in -u) shift 2;; *) shift;; esac; done\n'
    'exec "$@"',
    "install": 'set -- "$@" --; while [ "$1" != -- ]; do case $1 in -g|-o) shift 2;; '
    '*) set -- "$@" "$1"; shift;; esac; done; shift; exec /usr/bin/install "$@"',
    "certbot": 'while [ $# -gt 0 ]; do [ "$1" != --deploy-hook ] || hook=$2; shift; done\n'
    'RENEWED_LINEAGE="$ZB_ROOT/live" sh -c "$hook"',
    "systemd-sysusers": "exit 0",
}
SYSTEMCTL = """
import os, re, shlex, subprocess, sys
from pathlib import Path
if sys.argv[1:] == ["daemon-reload"]:
    sys.exit()
assert sys.argv[1:3] == ["enable", "--now"], sys.argv
root = Path(os.environ["ZB_ROOT"])
text = (root / "etc/systemd/system" / f"{sys.argv[3]}.service").read_text()
[line] = re.findall("(?m)^ExecStart=(.*)$", text)
words = [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(line)]
env = dict(os.environ)
for setting in re.findall("(?m)^Environment=(.*)$", text):
    name, value = setting.split("=", 1)
    env[name] = value.replace("%S", str(root / "var/lib"))
given = root / "credentials" / sys.argv[3]
given.mkdir(parents=True)
for name, source in re.findall("(?m)^LoadCredential=(.*):(.*)$", text):
    if (root / "etc/credstore" / source).exists():
        made = given / name
        made.touch(0o400)
        made.write_bytes((root / "etc/credstore" / source).read_bytes())
env["CREDENTIALS_DIRECTORY"] = str(given)
log = (root / f"{sys.argv[3]}.log").open("w")
run = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=env)
(root / f"{sys.argv[3]}.pid").write_text(str(run.pid))
"""


def commands(heading: str) -> list[str]:
    """The commands of a chapter of the how-to, in order."""
    [chapter] = re.findall(
        rf"(?ms)^### {re.escape(heading)}$(.*?)(?=^###? |\Z)", HOW_TO.read_text()
    )
    found = re.findall(r"(?ms)^```sh\n(.*?)^```$", chapter)
    lines = [line for block in found for line in block.splitlines()]
    assert lines and all(line.startswith("sudo ") for line in lines)
    return lines


class Computer:
    """A computer's root directory, and a shell in it."""

    def __init__(self, root: Path, postgres: Postgres, port: int) -> None:
        self.root = root
        self._bin = root / "bin"
        self._bin.mkdir(parents=True)
        for name, text in STAND_INS.items():
            self._program(name, f"#!/bin/sh\n{text}\n")
        self._program("systemctl", f"#!{sys.executable}\n{SYSTEMCTL}")
        # The real programs of PostgreSQL, to a database of the test.
        for name in ("createuser", "createdb"):
            (self._bin / name).symlink_to(postgres.programs / name)
        tool = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m zoneband "$@"\n'
        self._program("zoneband", tool)
        self._env = {
            "PATH": f"{self._bin}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / "host"),
            "LC_ALL": "C.UTF-8",
            "ZB_ROOT": str(root),
            "PGHOST": str(postgres.where),
            "PGUSER": "owner",
            "COLUMNS": "120",
        }
        # Where the text's places are here, and nothing else of it changed.
        self._places = (
            ("/opt/zoneband/zoneband", str(self._bin / "zoneband")),
            ("host=/var/run/postgresql", f"host={postgres.where}"),
            ("/etc/", f"{root}/etc/"),
            ("/var/lib/zoneband", f"{root}/var/lib/zoneband"),
            ("--install", f"--install --root {root}"),
            (NAME, "localhost"),
            ("8470", str(port)),
        )

    def _program(self, name: str, text: str) -> None:
        (self._bin / name).write_text(text)
        (self._bin / name).chmod(0o755)

    def run(self, line: str, **words: str) -> str:
        """What a command of the text prints. words: what a person writes in place of some."""
        for there, here in (*self._places, *words.items()):
            line = line.replace(there, here)
        done = subprocess.run(
            ["/bin/sh", "-c", line],
            capture_output=True,
            text=True,
            env=self._env,
            stdin=subprocess.DEVNULL,
            cwd=self.root,
            timeout=100,
        )
        log = self.root / "zoneband-server.log"
        more = log.read_text() if log.exists() else ""
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}{more}"
        return done.stdout

    def stop(self) -> None:
        """End what its systemctl started."""
        for path in self.root.glob("*.pid"):
            try:
                os.kill(int(path.read_text()), 15)
            except ProcessLookupError:
                continue

    def here(self, service: str) -> str:
        """A unit's command line with this computer's program in place of the checkout's."""
        path = self.root / f"etc/systemd/system/zoneband-{service}.service"
        text = path.read_text()
        for mine in (str(ROOT / "zoneband"), str(self._bin / "zoneband")):
            text = text.replace(f"ExecStart={mine} ", f"ExecStart={self._bin / 'zoneband'} ")
        path.write_text(text)
        [line] = re.findall(r"(?m)^ExecStart=(.*)$", text)
        return line


@pytest.fixture
def computers(tmp_path: Path) -> Iterator[tuple[Computer, Computer, int]]:
    """(the server's, the station's, the server's port)."""
    trusted = Authority(tmp_path)
    port = nginx.free_port()
    with cluster() as postgres:
        server = Computer(tmp_path / "server", postgres, port)
        station = Computer(tmp_path / "station", postgres, port)
        trusted.sign(server.root / "live")
        try:
            yield server, station, port
        finally:
            server.stop()
            station.stop()
            time.sleep(1)


@pytest.mark.timeout(400)
def test_the_how_to_gives_a_tls_server_on_postgresql_with_a_station_and_a_tracer(
    computers: tuple[Computer, Computer, int],
) -> None:
    server, station, port = computers
    said: dict[str, str] = {}
    password = server.root / "password"
    password.touch(0o600)
    password.write_text(PASSWORD)
    for line in commands("The server"):
        if "tracer add" in line:
            line += f" --password-file {password}"  # which a person would type
        said[line] = server.run(line)
        if "systemd server" in line:
            assert server.here("server").startswith(str(server.root / "bin" / "zoneband"))
        if "enable --now" in line:
            _answers(server, port)
    [invited] = [text for line, text in said.items() if "station invite" in line]
    code = invited.splitlines()[0]
    for line in commands("The station"):
        if "station init" in line:
            line += f" --ca {server.root.parent / 'ca.pem'}"  # which nobody's computer knows
        station.run(line, CODE=code)
        if "systemd station" in line:
            station.here("station")
    [check] = commands("Is all well?")
    told = server.run(check)
    assert "PostgreSQL" in told and "Trạm 1" in told and f"https://0.0.0.0:{port}" in told
    # Nobody vouches for this computer's clock, which is all that a new station may lack.
    assert "✓" in station.run(check + " || true")

    # What it says is so: TLS, a tracer who logs in, and a ledger that is not in a file.
    trusted = httpx2.Client(
        base_url=f"https://localhost:{port}", verify=_trust(server), trust_env=False, timeout=30
    )
    health = trusted.get("/healthz").json()
    assert health["status"] == "ready" and health["authority"] == "unlocked"
    [form] = re.findall(r'name="form" value="([^"]+)"', trusted.get("/tracer/login").text)
    [uri] = [text for line, text in said.items() if "tracer add" in line]
    app = parse_uri(re.findall(r"otpauth://\S+", uri)[0])
    assert isinstance(app, TOTP)
    values = {"name": "lan.tran", "password": PASSWORD, "code": app.now(), "form": form}
    assert trusted.post("/tracer/login", data=values).status_code == 303
    data = server.root / "var/lib/zoneband"
    assert not (data / "server" / "ledger.sqlite").exists()
    where = (data / "server" / "ledger-url").read_text().strip()
    with psycopg.connect(where) as db:
        assert db.execute("SELECT name FROM stations").fetchall() == [("Trạm 1",)]
    assert (station.root / "var/lib/zoneband/station/key.pem").stat().st_mode & 0o077 == 0
    assert (server.root / "etc/credstore/zoneband.authority-passphrase").stat().st_mode & 0o77 == 0


def _trust(server: Computer) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(server.root.parent / "ca.pem"))


def _answers(server: Computer, port: int) -> None:
    deadline = time.monotonic() + 60
    with httpx2.Client(trust_env=False, verify=False, timeout=2) as http:
        while True:
            try:
                if http.get(f"https://localhost:{port}/healthz").status_code == 200:
                    return
            except httpx2.HTTPError:
                pass
            log = server.root / "zoneband-server.log"
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
