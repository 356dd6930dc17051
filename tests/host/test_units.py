"""The systemd units: systemd itself finds them right and well closed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

import clocked
import debian
from bandbook import DAY, NOON, A, B, BandBook, key
from stationed import known, settings
from support import ROOT
from zoneband import units
from zoneband.errors import UserError
from zoneband.server.enrolment import Enrolment
from zoneband.server.process import running
from zoneband.server.tracing_server import TracingServer
from zoneband.spool import Spool
from zoneband.upload import Uploader

WORST = 2.0  # `systemd-analyze security`: 0 is closed, 10 open; "OK" ends at 4.9


@pytest.fixture(scope="module")
def analyze() -> str:
    """systemd's own checker."""
    return debian.program("systemd", "systemd-analyze")


def call(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "zoneband", "systemd", *words],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": str(ROOT / "host"), "PATH": os.environ["PATH"]},
    )


def unit(folder: Path, role: str) -> Path:
    path = folder / f"zoneband-{role}.service"
    options = ["--host", "0.0.0.0", "--tls-dir", "/etc/zoneband/tls"] if role == "server" else []
    path.write_text(units.render(role, [sys.executable, "-m", "zoneband"], options))
    return path


@pytest.mark.parametrize("role", units.ROLES)
def test_systemd_finds_nothing_wrong_with_a_unit(tmp_path: Path, analyze: str, role: str) -> None:
    path = unit(tmp_path, role)
    done = subprocess.run([analyze, "verify", "--man=no", path], capture_output=True, text=True)
    assert done.returncode == 0 and role not in done.stderr, done.stderr
    # It would have found a fault.
    path.write_text(path.read_text().replace("ProtectSystem=strict", "ProtectSytem=strict"))
    done = subprocess.run([analyze, "verify", "--man=no", path], capture_output=True, text=True)
    assert "ProtectSytem" in done.stderr


def exposure(analyze: str, path: Path) -> float:
    done = subprocess.run(
        [analyze, "security", "--offline=yes", "--no-pager", path], capture_output=True, text=True
    )
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    return float(found[1])


@pytest.mark.parametrize("role", units.ROLES)
def test_a_unit_leaves_little_open(tmp_path: Path, analyze: str, role: str) -> None:
    path = unit(tmp_path, role)
    assert exposure(analyze, path) <= WORST
    path.write_text(
        re.sub(r"(?m)^(CapabilityBoundingSet|Protect|System).*\n", "", path.read_text())
    )
    assert exposure(analyze, path) > WORST


def test_the_verb_prints_a_unit_that_starts_this_program() -> None:
    printed = call("server", "--", "--host", "::", "--ledger", "postgresql://zb@db/zb?a=%20$b")
    assert printed.returncode == 0, printed.stderr
    [line] = re.findall(r"(?m)^ExecStart=(.*)$", printed.stdout)
    wanted = f"{ROOT}/zoneband serve --log-json --host :: --ledger postgresql://zb@db/zb?a=%%20$$b"
    assert line == wanted
    assert "@" not in printed.stdout.replace(line, "").replace("@system-service", "").replace(
        "@privileged @resources", ""
    )


def test_words_are_quoted_as_systemd_reads_them() -> None:
    text = units.render("station", ["/opt/z b/zoneband"], ["--port", 'a"b\\', "", "#x"])
    assert 'ExecStart="/opt/z b/zoneband" dock --port "a\\"b\\\\" "" "#x"\n' in text
    with pytest.raises(UserError):
        units.render("station", ["zoneband"], ["a\nExecStartPre=/bin/sh"])


def test_the_verb_installs_a_unit_and_its_user(tmp_path: Path) -> None:
    done = call("station", "--install", "--root", tmp_path)
    hidden = str(ROOT).startswith(("/home/", "/root/"))
    assert done.returncode == (2 if hidden else 0), done.stderr
    if hidden:
        return
    made = tmp_path / "etc/systemd/system/zoneband-station.service"
    assert str(made) in done.stdout and "systemctl enable --now zoneband-station" in done.stdout
    assert made.stat().st_mode & 0o777 == 0o644
    assert "char-ttyACM" in made.read_text()
    user = tmp_path / "etc/sysusers.d/zoneband.conf"
    made_users = subprocess.run(
        ["systemd-sysusers", f"--root={tmp_path}", user.relative_to(tmp_path).name],
        capture_output=True,
        text=True,
    )
    assert made_users.returncode == 0, made_users.stderr
    assert re.search(r"(?m)^zoneband:", (tmp_path / "etc/passwd").read_text())


def test_wrong_words_are_one_line(tmp_path: Path) -> None:
    for words, text in ((("band",), "server or station"), (("station", "--install"), "")):
        if not text and os.geteuid() == 0:
            continue
        done = call(*words)
        assert done.returncode == 2 and done.stderr.count("\n") == 1 and text in done.stderr
    with pytest.raises(UserError, match="/opt"):
        units.install("server", ["/home/an/zoneband"], [], tmp_path)
    assert not list(tmp_path.iterdir())


# What MemoryDenyWriteExecute= does, without systemd: PR_SET_MDWE (Linux 6.3), kept by all that
# this process becomes.
NO_NEW_CODE = """
import ctypes, os, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):
    sys.exit("PR_SET_MDWE is missing")
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_the_server_takes_logs_and_traces_where_no_memory_may_become_code(tmp_path: Path) -> None:
    tool = [sys.executable, "-c", NO_NEW_CODE, *clocked.tool(NOON + 86_400)]
    tried = subprocess.run([*tool, "--version"], capture_output=True, text=True, cwd=ROOT / "host")
    if "PR_SET_MDWE" in tried.stderr:
        pytest.skip("this kernel has no PR_SET_MDWE")
    assert tried.returncode == 0, tried.stderr
    server = TracingServer(tmp_path / "server", utc=lambda: NOON)
    for serial in (A, B):
        keys = key(serial), bytes(32), key(serial + "r")
        server.enrol(Enrolment(serial, "virtual", "band", DAY, *keys))
    station = known(server, "st")
    with running(tmp_path, tool=tool) as url:
        spool = Spool(tmp_path / "station")
        for serial, other in ((A, B), (B, A)):
            book = BandBook(serial, tmp_path)
            book.met(other, NOON, 25, -66)
            spool.add(book.batch())
        assert Uploader(tmp_path, spool, settings(url, key=station)).run().sent == 2
        token = (tmp_path / "server" / "tracer-token").read_text()
        told = httpx2.get(
            f"{url}/v1/traces/{A}",
            params={"from": "2026-11-03", "to": "2026-11-03"},
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
            timeout=60,
        )
    assert [contact["serial"] for contact in told.json()["contacts"]] == [B]
