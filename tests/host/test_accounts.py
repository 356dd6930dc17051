"""Tracers' accounts: nobody gets in but who has name, password and the code of the moment."""

import fcntl
import json
import os
import pty
import re
import select
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pytest
from argon2 import PasswordHasher
from hypothesis import given, settings
from hypothesis import strategies as st
from pyotp.totp import TOTP
from sqlalchemy import text
from typer.testing import CliRunner

from support import ROOT
from zoneband.cli.tracer_account import app
from zoneband.errors import ExitCode, UserError
from zoneband.server import accounts as module
from zoneband.server.accounts import (
    Accounts,
    TooManyTries,
    WrongLogin,
    enrolment_uri,
    new_secret,
    read_name,
)
from zoneband.server.ledger import open_ledger

NOW = 1_793_700_000
NAME, PASSWORD = "lan.tran", "bốn con mèo trên mái"


class Quick(PasswordHasher):
    """Argon2id at its least cost, for tests that are about something else; counts its checks."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=64, parallelism=1)
        self.checks = 0

    def verify(self, *args: Any, **values: Any) -> Literal[True]:
        self.checks += 1
        return super().verify(*args, **values)


class Desk:
    """Accounts with one tracer, and a clock that the test moves."""

    def __init__(self, path: Path) -> None:
        self.now = NOW
        self.engine = open_ledger(path)
        self.hasher = Quick()
        self.accounts = Accounts(self.engine, utc=lambda: self.now, hasher=self.hasher)
        self.secret = new_secret()
        self.accounts.add(NAME, PASSWORD, self.secret)

    def code(self, off_s: int = 0) -> str:
        return TOTP(self.secret).at(self.now + off_s)

    def wrong_code(self) -> str:
        near = {self.code(off) for off in (-30, 0, 30)}
        return next(c for c in ("000000", "111111", "222222", "333333") if c not in near)

    def login(
        self,
        name: str = NAME,
        password: str = PASSWORD,
        code: str | None = None,
        at: str = "10.0.0.7",
    ) -> str:
        return self.accounts.login(name, password, self.code() if code is None else code, at)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "server")


def test_name_password_and_code_together_let_in(desk: Desk) -> None:
    session = desk.accounts.session(desk.login())
    assert session is not None and session.tracer == NAME


def test_any_one_of_them_wrong_lets_nobody_in(desk: Desk) -> None:
    for name, password, code in (
        ("nobody", PASSWORD, desk.code()),
        (NAME, "five cats on a roof", desk.code()),
        (NAME, PASSWORD, desk.wrong_code()),
        (NAME, PASSWORD, ""),
        ("", "", ""),
    ):
        desk.now += 600
        with pytest.raises(WrongLogin):
            desk.login(name, password, code)


def test_an_unknown_name_costs_as_much_work_as_a_known_one(desk: Desk) -> None:
    with pytest.raises(WrongLogin):
        desk.login(password="five cats on a roof")
    known = desk.hasher.checks
    with pytest.raises(WrongLogin):
        desk.login(name="nobody", password="five cats on a roof")
    assert desk.hasher.checks == 2 * known == 2


def test_passwords_are_hashed_as_rfc_9106_recommends(tmp_path: Path) -> None:
    engine = open_ledger(tmp_path / "server")
    Accounts(engine).add(NAME, PASSWORD, new_secret())
    with engine.connect() as db:
        kept = db.execute(text("SELECT password FROM tracers")).scalar_one()
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")


def test_a_code_counts_once_and_so_does_an_older_one(desk: Desk) -> None:
    code = desk.code()
    desk.login(code=code)
    with pytest.raises(WrongLogin):
        desk.login(code=code)
    with pytest.raises(WrongLogin):
        desk.login(code=desk.code(-30))
    desk.now += 30
    desk.login()


def test_a_code_at_once_from_two_sides_opens_one_session(desk: Desk) -> None:
    code = desk.code()
    opened: list[str] = []

    def enter() -> None:
        try:
            opened.append(desk.login(code=code))
        except WrongLogin:
            pass

    threads = [threading.Thread(target=enter) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 1


def test_a_phone_that_is_half_a_minute_off_still_works_a_whole_minute_not(desk: Desk) -> None:
    for off_s, fits in ((-30, True), (30, True), (-90, False), (90, False)):
        desk.now += 1000
        if fits:
            desk.login(code=desk.code(off_s))
        else:
            with pytest.raises(WrongLogin):
                desk.login(code=desk.code(off_s))


def test_wrong_tries_slow_a_name_down_and_a_right_one_clears_it(desk: Desk) -> None:
    for _ in range(3):
        with pytest.raises(WrongLogin):
            desk.login(code=desk.wrong_code())
    with pytest.raises(TooManyTries) as slow:
        desk.login()
    assert 0 < slow.value.wait_s <= 4
    desk.now += slow.value.wait_s
    desk.login()
    desk.now += 30
    desk.login()


def test_slowed_tries_wait_longer_each_time_but_never_beyond_five_minutes(desk: Desk) -> None:
    waits: list[int] = []
    for _ in range(16):
        try:
            desk.login(code=desk.wrong_code())
        except WrongLogin:
            continue
        except TooManyTries as slow:
            waits.append(slow.wait_s)
            desk.now += slow.wait_s
    assert waits == sorted(waits) and len(set(waits)) > 4
    for _ in range(8):
        desk.now += 300
        with pytest.raises(WrongLogin):
            desk.login(code=desk.wrong_code())


def test_an_address_is_slowed_down_over_many_names(desk: Desk) -> None:
    for n in range(10):
        with pytest.raises(WrongLogin):
            desk.login(name=f"nobody{n}")
    with pytest.raises(TooManyTries):
        desk.login(name="nobody-else")
    with pytest.raises(TooManyTries):
        desk.login()
    desk.login(at="10.0.0.8")


def test_neighbours_in_one_ipv6_network_count_as_one_address(desk: Desk) -> None:
    for n in range(10):
        with pytest.raises(WrongLogin):
            desk.login(name=f"nobody{n}", at=f"2001:db8::{n:x}")
    with pytest.raises(TooManyTries):
        desk.login(name="x", at="2001:db8::ffff")
    desk.login(at="2001:db8:0:1::1")


def test_a_session_ends_half_an_hour_after_its_last_use_and_8_hours_after_its_begin(
    desk: Desk,
) -> None:
    token = desk.login()
    desk.now += module.IDLE_S
    assert desk.accounts.session(token) is None
    token = desk.login()
    for _ in range(8 * 3600 // 1500):
        desk.now += 1500
        assert desk.accounts.session(token) is not None
    desk.now += 8 * 3600 % 1500
    assert desk.accounts.session(token) is None


def test_the_ledger_holds_no_token_no_password_and_no_mistyped_name(
    desk: Desk, tmp_path: Path
) -> None:
    token = desk.login()
    with pytest.raises(WrongLogin):
        desk.login(name="this was my password")
    desk.engine.dispose()
    held = b"".join(each.read_bytes() for each in (tmp_path / "server").glob("ledger.sqlite*"))
    assert NAME.encode() in held and b"$argon2id$" in held
    for secret in (token, PASSWORD, "this was my password"):
        assert secret.encode() not in held


def test_a_new_password_or_a_removal_ends_every_session(desk: Desk) -> None:
    token = desk.login()
    desk.accounts.change(NAME, "năm con mèo dưới nhà")
    assert desk.accounts.session(token) is None
    desk.now += 30
    with pytest.raises(WrongLogin):
        desk.login()
    token = desk.login(password="năm con mèo dưới nhà")
    desk.accounts.remove(NAME)
    assert desk.accounts.session(token) is None
    desk.now += 600
    with pytest.raises(WrongLogin):
        desk.login(password="năm con mèo dưới nhà")


def test_logging_out_ends_that_session_alone(desk: Desk) -> None:
    one = desk.login()
    desk.now += 30
    two = desk.login()
    desk.accounts.end(one)
    assert desk.accounts.session(one) is None
    assert desk.accounts.session(two) is not None


def test_keyboards_may_write_vietnamese_in_either_form(desk: Desk) -> None:
    assert unicodedata.normalize("NFD", PASSWORD) != PASSWORD
    desk.login(password=unicodedata.normalize("NFD", PASSWORD))
    desk.now += 30
    desk.login(name=" Lan.Tran ")


@pytest.mark.parametrize(
    "password", ["", "short", "x" * 201, "aaaaaaaaaaaaaaaa", "zoneband2026", "lan.tran1234"]
)
def test_weak_passwords_are_refused(desk: Desk, password: str) -> None:
    with pytest.raises(UserError):
        desk.accounts.change(NAME, password)
    desk.login()


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "a/b", "<b>", "a\nb"])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(UserError):
        read_name(name)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=12))
def test_nothing_typed_breaks_the_check(name: str, password: str, code: str) -> None:
    # Against one ledger for all, at an hour's distance, so that nothing is slowed down.
    desk = _shared()
    desk.now += 90_000
    with pytest.raises(WrongLogin):
        desk.login(name, password, code)


@cache
def _shared() -> Desk:
    return Desk(Path(tempfile.mkdtemp()) / "server")


def test_apps_read_the_enrolment() -> None:
    uri = enrolment_uri("lan.tran", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    assert uri.startswith(
        "otpauth://totp/Zoneband:lan.tran?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
    )
    assert "issuer=Zoneband" in uri


# --- zoneband tracer -----------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with the password."""
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def run(data: Path, *words: str) -> str:
    """What the verb printed; what goes wrong is raised."""
    done = CliRunner().invoke(app, [*words, "--data", str(data)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return f"{done.exit_code}\n{done.stdout}"


def test_the_verb_adds_lists_changes_and_removes(tmp_path: Path, file: Path) -> None:
    added = run(tmp_path, "add", "Lan.Tran", "--password-file", str(file))
    secret = added.split("secret=")[1].split("&")[0]
    accounts = Accounts(open_ledger(tmp_path / "server"), utc=lambda: NOW)
    accounts.login("lan.tran", PASSWORD, TOTP(secret).at(NOW), "10.0.0.1")
    listed = json.loads(run(tmp_path, "list", "--json").split("\n", 1)[1])
    assert [row["name"] for row in listed] == ["lan.tran"] and listed[0]["seen_s"] == NOW
    file.write_text("another long password", encoding="utf-8")
    file.chmod(0o600)
    changed = run(tmp_path, "password", "lan.tran", "--new-app", "--password-file", str(file))
    other = changed.split("secret=")[1].split("&")[0]
    assert other != secret
    accounts.login("lan.tran", "another long password", TOTP(other).at(NOW), "10.0.0.1")
    run(tmp_path, "remove", "lan.tran")
    assert run(tmp_path, "list").startswith("3\n")


def test_the_verb_says_what_is_wrong_and_changes_nothing(tmp_path: Path, file: Path) -> None:
    for words, code in (
        (("list",), ExitCode.USAGE),  # there is no server
        (("add", "a b", "--password-file", str(file)), ExitCode.USAGE),
        (("add", "lan", "--password-file", str(tmp_path / "none")), ExitCode.USAGE),
        (("add", "lan"), ExitCode.USAGE),  # nobody can be asked
        (("remove", "lan"), ExitCode.NOTHING),
        (("password", "lan", "--password-file", str(file)), ExitCode.NOTHING),
    ):
        with pytest.raises(UserError) as wrong:
            run(tmp_path, *words)
        assert wrong.value.code == code and "\n" not in wrong.value.message, words
    assert run(tmp_path, "list").startswith("3\n")
    run(tmp_path, "add", "lan", "--password-file", str(file))
    with pytest.raises(UserError):
        run(tmp_path, "add", "LAN", "--password-file", str(file))
    file.write_text("short", encoding="utf-8")
    file.chmod(0o600)
    with pytest.raises(UserError):
        run(tmp_path, "password", "lan", "--password-file", str(file))


def test_a_person_is_asked_for_the_password_and_proves_the_app(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "zoneband", "tracer", "add", "minh", "--data", str(tmp_path)],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT / "host", start_new_session=True,
        env={"PATH": "/usr/bin:/bin", "LANG": "en_US.UTF-8", "TERM": "xterm"},
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(theirs)
    seen = ""

    def until(text: str, since: int = 0) -> None:
        nonlocal seen
        while text not in seen[since:]:
            ready, _, _ = select.select([ours], [], [], 60)
            assert ready, seen
            try:
                seen += os.read(ours, 4096).decode("utf-8", "replace")
            except OSError as error:  # the other side has ended
                raise AssertionError(seen) from error

    def say(text: str) -> int:
        at = len(seen)
        os.write(ours, f"{text}\n".encode())
        return at

    until("Password:")
    until("The same again:", say(PASSWORD))
    until("it shows now:", say(PASSWORD))
    assert "█" in seen or "▀" in seen or "▄" in seen  # the QR code
    found = re.search(r"this key into it: ((?:[A-Z2-7]{4} ?){8})", seen)
    assert found is not None
    secret = found[1].replace(" ", "")
    near = {TOTP(secret).at(int(time.time()) + off) for off in (-30, 0, 30, 60)}
    wrong = next(code for code in ("000000", "111111", "222222") if code not in near)
    until("it shows now:", say(wrong))
    until("minh may log in", say(TOTP(secret).now()))
    assert process.wait(20) == 0
    os.close(ours)
    assert PASSWORD not in seen
