"""Where secrets come from, and that one which everybody can read is refused."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support import ROOT
from typed import Typed
from zoneband import authority, secret_files, units
from zoneband.cli import engines, passphrases
from zoneband.errors import ExitCode, UserError
from zoneband.server import database, watch
from zoneband.tracing import engine

SECRET = "correct horse battery staple"
# Each secret: systemd's name of it, the environment's, and what looks for it.
SECRETS = {
    "authority-passphrase": ("ZONEBAND_PASSPHRASE", lambda: passphrases.find(None)),
    "ledger-password": ("ZONEBAND_LEDGER_PASSWORD", database._password),  # pyright: ignore[reportPrivateUsage]
    "metrics-token": ("ZONEBAND_METRICS_TOKEN", watch.find_token),
    "engine-token": ("ZONEBAND_ENGINE_TOKEN", engines.find_token),
}


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_a_credential_or_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    variable, find = SECRETS[name]
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.delenv(variable, raising=False)
    assert find() is None
    monkeypatch.setenv(variable, "of the environment")
    assert find() == "of the environment"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert find() == "of the environment"
    (tmp_path / name).write_text(SECRET + "\n")
    for mode in (0o400, 0o440, 0o600):
        (tmp_path / name).chmod(mode)
        assert find() == SECRET


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_that_everybody_can_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    variable, find = SECRETS[name]
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv(variable, "of the environment")
    (tmp_path / name).write_text(SECRET)
    for mode in (0o644, 0o604, 0o602):
        (tmp_path / name).chmod(mode)
        with pytest.raises(UserError) as told:
            find()
        assert told.value.code == ExitCode.USAGE
        assert f"chmod 600 {tmp_path / name}" in told.value.message
        assert SECRET not in told.value.message and "\n" not in told.value.message


def test_a_secret_that_is_no_text_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "ledger-password").write_bytes(b"\xff\xfe")
    (tmp_path / "ledger-password").chmod(0o600)
    with pytest.raises(UserError, match="cannot be read"):
        SECRETS["ledger-password"][1]()


def test_a_metrics_token_that_could_be_guessed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    for short in ("", "x", "15 characters.."):
        monkeypatch.setenv("ZONEBAND_METRICS_TOKEN", short)
        with pytest.raises(UserError, match="openssl rand"):
            watch.find_token()


def test_a_pipe_lies_nowhere(tmp_path: Path) -> None:
    ends = os.pipe()
    os.write(ends[1], SECRET.encode())
    os.close(ends[1])
    assert secret_files.read(Path(f"/dev/fd/{ends[0]}")) == SECRET
    os.close(ends[0])


def test_the_verb_does_not_start_with_a_passphrase_that_everybody_can_read(tmp_path: Path) -> None:
    authority.make(tmp_path / "data", SECRET)
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    file = credentials / "authority-passphrase"
    file.write_text(SECRET)
    file.chmod(0o644)
    place = {"PYTHONPATH": str(ROOT / "host")}
    for words, env in (
        ([], place | {"CREDENTIALS_DIRECTORY": str(credentials)}),
        (["--passphrase-file", str(file)], place),
    ):
        told = subprocess.run(
            [sys.executable, "-m", "zoneband", "serve", "--port", "0", *words]
            + ["--data", str(tmp_path / "data")],
            capture_output=True,
            text=True,
            env=env,
            timeout=60,
        )
        assert told.returncode == 2, told.stderr
        assert told.stderr.count("\n") == 1 and "chmod 600" in told.stderr
        assert SECRET not in told.stderr + told.stdout


def test_a_unit_hands_over_every_secret() -> None:
    unit = units.render("server", ["zoneband"], [])
    given = re.findall("(?m)^LoadCredential=(.*):zoneband[.](.*)$", unit)
    assert given == [(name, name) for name in SECRETS]


@pytest.mark.parametrize(
    "name", ["sc://h:15002/;token=t0psecret", "sc://h/;use_ssl=true;TOKEN=t0psecret",
             "sc://me:t0psecret@h:15002"]
)  # fmt: skip
def test_an_engine_with_a_secret_in_its_name_is_refused(
    typed: Typed, tmp_path: Path, name: str
) -> None:
    # It would stand in ps, in the unit's file and in the shell's history.
    code, out, err = typed("serve", "--data", str(tmp_path), "--engine", name)
    assert code == ExitCode.USAGE and out == ""
    assert "ZONEBAND_ENGINE_TOKEN" in err and err.count("\n") == 1
    assert "t0psecret" not in err


def test_the_engines_token_is_for_the_engine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "checked", lambda name: name)  # which asks for PySpark
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    for token in ("t0p=secret", None):
        if token is None:
            monkeypatch.delenv(engines.TOKEN_VARIABLE)
        else:
            monkeypatch.setenv(engines.TOKEN_VARIABLE, token)
        for name, joint in (("sc://h:1", "/;"), ("sc://h:1/", ";"), ("sc://h/;use_ssl=true", ";")):
            wanted = name if token is None else f"{name}{joint}token=t0p%3Dsecret"
            assert engines.named(name) == wanted == engine.checked(wanted)
            assert engine.shown(wanted).rstrip("/") == name.partition(";")[0].rstrip("/")
        assert engines.named("duckdb") == "duckdb"
