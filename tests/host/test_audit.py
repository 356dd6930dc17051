"""The audit log: every line bound to the one before, whatever is killed, whoever alters it."""

import errno
import hashlib
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandbook import NOON, A, B
from office import PLACE, Office
from support import ROOT
from typed import Typed
from zoneband import i18n
from zoneband.cli import audit_words
from zoneband.server import audit_log, roles
from zoneband.server.audit import OPERATOR, Audit, Unwritable
from zoneband.server.audit_log import AuditLog, Report, parse, verify
from zoneband.tracing import case_words

NOW = 1_793_700_000


def written(path: Path, count: int) -> bytes:
    log = AuditLog(path, lambda: NOW)
    for n in range(count):
        log.write("contacts", f"lan.{n}", case=n + 1)
    return path.read_bytes()


def lines(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


def checked(data: bytes, kept: str | None = None) -> Report:
    return verify(lines(data), kept)


# --- what shows ----------------------------------------------------------------------------------


def test_a_log_as_it_was_written_is_good(tmp_path: Path) -> None:
    data = written(tmp_path / "log", 5)
    report = checked(data)
    assert (report.lines, report.fault, report.mended) == (5, None, 0)
    values = parse(lines(data)[-1])
    assert values is not None and values["account"] == "lan.4" and values["seq"] == 5
    # By hand, as the file's description says it.
    before, last = lines(data)[-2:]
    assert values["prev"] == json.loads(before)["sha256"]
    body = last[: last.index(b',"sha256"')]
    assert values["sha256"] == hashlib.sha256(body).hexdigest() == report.head.sha256
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


_SAMPLE: list[bytes] = []


def sample(folder: Path) -> bytes:
    """A log with a torn line that was mended."""
    if not _SAMPLE:
        path = folder / "sample"
        written(path, 3)
        with path.open("ab") as file:
            file.write(b'{"seq":4,"utc_s":17937')
        log = AuditLog(path, lambda: NOW)
        log.write("declare", "hoà", serial=A, case=1)
        log.write("done", "hoà", of=5, case=1)
        _SAMPLE.append(path.read_bytes())
    return _SAMPLE[0]


@settings(max_examples=400, deadline=None)
@given(at=st.integers(0, 10**6), what=st.integers(1, 255), how=st.sampled_from("xid"))
def test_every_change_of_a_byte_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, at: int, what: int, how: str
) -> None:
    data = sample(tmp_path_factory.mktemp("log") if not _SAMPLE else Path())
    assert checked(data).fault is None
    at %= len(data)
    changed = {
        "x": data[:at] + bytes([data[at] ^ what]) + data[at + 1 :],
        "i": data[:at] + bytes([what]) + data[at:],
        "d": data[:at] + data[at + 1 :],
    }[how]
    assert changed != data
    assert checked(changed).fault is not None


def test_no_change_of_any_bit_of_the_last_line_escapes(tmp_path: Path) -> None:
    data = written(tmp_path / "log", 2)
    first = len(lines(data)[0])
    for at in range(first, len(data)):
        for bit in range(8):
            changed = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
            assert checked(changed).fault is not None, (at, bit)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_lines_that_are_missing_doubled_or_moved_are_noticed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    good = lines(written(tmp_path_factory.mktemp("log") / "log", 6))
    order = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=8))
    found = verify([good[n] for n in order])
    in_order = order == list(range(len(order)))
    assert (found.fault is None) == in_order
    # What is cut off at the end shows against a head that was kept, and only so.
    head = verify(good).head.sha256
    assert verify([good[n] for n in order], head).kept == (order[:6] == list(range(6)))


def test_a_line_that_somebody_made_anew_does_not_fit_the_next(tmp_path: Path) -> None:
    good = lines(written(tmp_path / "log", 3))
    values = json.loads(good[1])
    body = json.dumps({**values, "account": "eve"}, separators=(",", ":"))
    body = body[: body.index(',"sha256"')]
    digest = hashlib.sha256(body.encode()).hexdigest()
    good[1] = f'{body},"sha256":"{digest}"}}\n'.encode()
    assert parse(good[1]) is not None
    fault = verify(good).fault
    assert fault is not None and (fault.kind, fault.seq) == ("replaced", 3)


# --- one writer at a time, and kills -----------------------------------------------------------


def test_two_processes_and_many_threads_write_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "log"

    def work(name: str) -> None:
        log = AuditLog(path)
        threads = [
            threading.Thread(target=lambda: [log.write("look", name) for _n in range(15)])
            for _t in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=work, args=(name,)) for name in ("a", "b")]
    for process in processes:
        process.start()
    work("c")
    for process in processes:
        process.join(60)
    report = checked(path.read_bytes())
    assert (report.lines, report.fault) == (3 * 45, None)


@pytest.mark.parametrize("cut", [1, 30, 80, -1])
def test_a_torn_last_line_is_mended_where_everybody_sees_it(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "log"
    data = written(path, 3)
    torn = lines(data)[2][:cut]
    path.write_bytes(b"".join(lines(data)[:2]) + torn)
    report = checked(path.read_bytes())
    assert report.fault is not None and (report.fault.kind, report.fault.seq) == ("torn", 3)
    AuditLog(path, lambda: NOW).write("look", "lan")
    healed = path.read_bytes()
    assert torn in healed
    report = checked(healed)
    assert (report.fault, report.mended, report.lines) == (None, 1, 4)
    mended = [v for v in map(parse, lines(healed)) if v and v["event"] == "mended"]
    assert mended[0]["bytes"] == len(torn) + 2
    # A mend that is torn, too.
    path.write_bytes(healed[:-90])
    AuditLog(path, lambda: NOW).write("look", "lan")
    assert checked(path.read_bytes()).fault is None


_WRITER = """
import sys
from pathlib import Path
from zoneband.server.audit_log import AuditLog
log = AuditLog(Path(sys.argv[1]))
while True:
    print(log.write("look", "lan", case=1, note="x" * 3000), flush=True)
"""


def test_what_was_written_before_a_kill_is_there(tmp_path: Path) -> None:
    path = tmp_path / "log"
    env = os.environ | {"PYTHONPATH": str(ROOT / "host")}
    last = 0
    for round_ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, env=env
        )
        assert process.stdout is not None
        said = [process.stdout.readline() for _n in range(5 + 7 * round_)]
        process.send_signal(signal.SIGKILL)
        process.wait()
        last = max(last, int(said[-1]))
        AuditLog(path).write("look", "hoa")
        report = checked(path.read_bytes())
        assert report.fault is None and report.lines > last


def test_a_log_that_loses_lines_under_a_server_shows_that(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = AuditLog(path, lambda: NOW)
    for n in range(4):
        log.write("look", f"lan.{n}")
    path.write_bytes(b"".join(lines(path.read_bytes())[:2]))
    log.write("look", "hoa")
    fault = checked(path.read_bytes()).fault
    assert fault is not None and (fault.kind, fault.seq, fault.last) == ("missing", 3, 4)
    path.unlink()
    log.write("look", "hoa")
    fault = checked(path.read_bytes()).fault
    assert fault is not None and (fault.kind, fault.seq, fault.last) == ("missing", 1, 5)


def test_a_line_is_synced_before_its_number_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, sizes = tmp_path / "log", list[int]()
    real = os.fsync

    def sync(fd: int) -> None:
        real(fd)
        sizes.append(os.fstat(fd).st_size)

    monkeypatch.setattr(os, "fsync", sync)
    AuditLog(path).write("look", "lan")
    assert path.stat().st_size in sizes


def test_a_full_disk_adds_nothing_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = Audit(tmp_path, lambda: NOW)
    audit.write("look", "lan")
    before = audit.path.read_bytes()
    real = os.write

    def half(fd: int, data: bytes) -> int:
        if len(data) < 40:
            raise OSError(28, "No space left on device")
        return real(fd, bytes(data)[: len(data) // 2])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(Unwritable, match="No space left"):
        audit.write("look", "lan")
    assert audit.path.read_bytes() == before
    monkeypatch.setattr(os, "write", real)
    audit.write("look", "lan")
    assert checked(audit.path.read_bytes()).lines == 2


def test_a_flood_of_strangers_is_counted_and_fills_no_disk(tmp_path: Path) -> None:
    audit = Audit(tmp_path)
    for _n in range(1000):
        audit.refused(None, "session")
    assert 100 <= checked(audit.path.read_bytes()).lines < 110
    audit.refused("lan", "role")  # whoever is known is always told of
    assert b'"account":"lan"' in audit.path.read_bytes()


def test_those_that_were_only_counted_are_told_when_the_log_can_be_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit, now = Audit(tmp_path), [0.0]
    monkeypatch.setattr(audit._limited, "_clock", lambda: now[0])
    for _n in range(150):
        audit.refused("lan", "rate")
    now[0] += 6
    with monkeypatch.context() as full:
        full.setattr(os, "write", _no_room)
        with pytest.raises(Unwritable):
            audit.refused("lan", "rate")
    now[0] += 6
    audit.refused("lan", "rate")
    assert b'"more":51,' in audit.path.read_bytes().splitlines()[-1]


def _no_room(_fd: int, _data: bytes) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# --- what the server writes ----------------------------------------------------------------------


@pytest.fixture
def office(tmp_path: Path) -> Office:
    made = Office(tmp_path)
    made.issue(A, NOON - 7200, 1, "Trần Thị Lan")
    made.issue(B, NOON - 7200, 2, "Hoa")
    made.book(A).met(B, NOON, 20, -66)
    made.dock()
    return made


def events(office: Office) -> list[dict[str, Any]]:
    found = [parse(line) for line in audit_log.lines_of(office.path / "server" / "audit.log")]
    assert None not in found
    return [values for values in found if values is not None]


def test_every_look_and_every_change_leaves_its_line(office: Office) -> None:
    number = office.declare(A, onset="2026-11-03")["number"]
    span = "from=2026-11-03&to=2026-11-04"
    office.contacts(number, degrees=2)
    for path in (
        "/v1/cases",
        f"/v1/cases/{number}",
        f"/v1/traces/{A}?{span}",
        f"/v1/venues/{PLACE}/visits?{span}&case={number}",
        f"/v1/bands/{A}/people",
        f"/v1/traces/ZB-0000-0000?{span}",
    ):
        office.ask("GET", path)
    office.ask("POST", f"/v1/cases/{number}/close", json={"reason": "well"})
    told = [(v["event"], v.get("case"), v.get("serial")) for v in events(office)]
    assert told[-14:] == [
        ("case_code", None, None),
        ("done", None, None),
        ("declare", None, None),
        ("done", 1, A),
        ("contacts", 1, None),
        ("cases", None, None),
        ("case", 1, None),
        ("trace", None, A),
        ("visits", 1, PLACE),
        ("people", None, A),
        ("trace", None, "ZB-0000-0000"),
        ("refused", None, None),
        ("close", 1, None),
        ("done", None, None),
    ]
    assert {v["account"] for v in events(office)} <= {OPERATOR, None}
    assert checked((office.path / "server" / "audit.log").read_bytes()).fault is None


def test_no_persons_name_or_phone_is_in_the_log(office: Office) -> None:
    number = office.declare(A, onset="2026-11-03")["number"]
    office.contacts(number)
    office.ask("POST", f"/v1/cases/{number}/withdraw", json={"reason": "Lan was never ill"})
    text = (office.path / "server" / "audit.log").read_text()
    assert "Lan" not in text and "Hoa" not in text and "ill" not in text


@pytest.mark.parametrize("path", ["/v1/cases/1/contacts", "/v1/cases", f"/v1/bands/{A}/people"])
def test_without_an_audit_log_no_question_is_answered(office: Office, path: str) -> None:
    office.declare(A, onset="2026-11-03")
    log = office.path / "server" / "audit.log"
    log.rename(log.with_name("away"))
    log.mkdir()  # nothing can be written there
    answer = office.ask("GET", path)
    assert answer.status_code == 503 and "audit log" in answer.json()["title"]
    assert "Lan" not in answer.text
    log.rmdir()
    log.with_name("away").rename(log)
    assert office.ask("GET", path).status_code == 200


def test_without_an_audit_log_nothing_is_changed(office: Office) -> None:
    code = office.case_code()
    log = office.path / "server" / "audit.log"
    log.rename(log.with_name("away"))
    log.mkdir()
    body = {"serial": A, "onset": "2026-11-03", "code": code}
    assert office.ask("POST", "/v1/cases", json=body).status_code == 503
    log.rmdir()
    log.with_name("away").rename(log)
    assert office.ask("GET", "/v1/cases").json() == []


# --- the verbs ------------------------------------------------------------------------------------

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(office: Office, typed: Typed) -> Run:
    """Runs the program on the server's own computer."""
    return lambda *words: typed(*words, "--data", str(office.path))


def test_verify_says_what_is_wrong_in_one_line(office: Office, run: Run) -> None:
    office.declare(A, onset="2026-11-03")
    path = office.path / "server" / "audit.log"
    data = path.read_bytes()
    code, out, _ = run("audit", "verify", "--json")
    good = json.loads(out)
    assert code == 0 and good["good"] and good["lines"] == len(lines(data))
    assert run("audit", "verify", "--head", good["head"])[0] == 0
    parts = lines(data)
    for changed, said in (
        (data.replace(b'"declare"', b'"DECLARE"'), "was altered: line 4"),
        (b"".join(parts[:1] + parts[2:]), "line 2 is missing"),
        (b"".join(parts[:1] + parts[3:]), "lines 2 to 3 are missing"),
        (data[:-20], "torn off"),
        (b"".join([*parts, parts[1]]), "belongs elsewhere"),
    ):
        path.write_bytes(changed)
        code, out, err = run("audit", "verify")
        assert code == 1 and said in err.lower() + err and err.count("\n") == 1, (said, err)
    path.write_bytes(b"".join(parts[:-1]))  # an end that was cut off shows against the head alone
    assert run("audit", "verify")[0] == 0
    code, _, err = run("audit", "verify", "--head", good["head"])
    assert code == 1 and "cut at its end" in err and err.count("\n") == 1
    code, _, err = run("audit", "verify", "--head", "12")
    assert code == 2 and err.count("\n") == 1
    path.unlink()
    code, _, err = run("audit", "verify")
    assert code == 3 and err.count("\n") == 1


def test_a_log_is_exported_with_its_head(office: Office, run: Run, tmp_path: Path) -> None:
    office.declare(A, onset="2026-11-03")
    copy = tmp_path / "copy.log"
    code, out, _ = run("audit", "export", str(copy))
    data = (office.path / "server" / "audit.log").read_bytes()
    assert code == 0 and checked(data).head.sha256 in out and "elsewhere" in out
    assert copy.read_bytes() == data and copy.stat().st_mode & 0o777 == 0o600
    assert run("audit", "verify", "--file", str(copy))[0] == 0
    code, _, err = run("audit", "export", str(copy))
    assert code == 5 and err.count("\n") == 1
    code, out, _ = run("audit", "list", "--last", "2", "--json")
    assert code == 0 and [v["event"] for v in json.loads(out)] == ["declare", "done"]
    assert "server's computer" in run("audit", "list")[1]


def test_who_looked_at_a_case_is_asked_for(office: Office, run: Run) -> None:
    one, other = (office.declare(who, onset="2026-11-03")["number"] for who in (A, B))
    office.contacts(one)

    def events(*words: str) -> list[str]:
        code, out, _ = run("audit", "list", "--json", *words)
        assert code == (0 if json.loads(out) else 3)
        return [line["event"] for line in json.loads(out)]

    every = events()
    assert events("--case", str(one)) == ["declare", "done", "contacts"]
    assert events("--case", str(other)) == ["declare", "done"]
    assert events("--case", str(one), "--account", OPERATOR, "--last", "2") == ["done", "contacts"]
    assert events("--account", OPERATOR) == [e for e in every if e not in ("station", "sealed")]
    assert events("--account", "nobody") == events("--case", "77") == []


def test_no_hit_is_told_in_one_line(office: Office, run: Run, typed: Typed) -> None:
    office.declare(A, onset="2026-11-03")
    words = ("audit", "list", "--account", "nobody")
    assert run(*words) == (3, "", "There is no such line in the audit log.\n")
    assert run(*words, "--json") == (3, "[]\n", "")
    code, out, err = typed(*words, "--data", str(office.path), lang="vi")
    assert code == 3 and not out and err.startswith("Không có dòng nào") and err.count("\n") == 1


def test_the_list_tells_events_and_reasons_in_words(office: Office, typed: Typed) -> None:
    one = office.declare(A, onset="2026-11-03")["number"]
    office.contacts(one)
    log = Audit(office.path / "server")
    log.refused("lan", "confirm_own", case=one)
    log.refused("lan", "something_new", case=one)
    for lang, wanted in (
        (
            "vi",
            ("khai báo ca", "xem người tiếp xúc", f"ca do chính mình khai báo, ca {one}", "xong"),
        ),
        ("en", ("declared a case", "looked at contacts", f"own case, case {one}")),
    ):
        code, out, _err = typed("audit", "list", "--data", str(office.path), lang=lang)
        assert code == 0 and "confirm_own" not in out and "why" not in out and "=" not in out
        assert all(words in out for words in wanted), out
        assert "something_new" in out


def test_every_event_has_words() -> None:
    events = {entry.event for entry in roles.TABLE.values()} - {""}
    sources = "".join(path.read_text() for path in (ROOT / "host/zoneband/cli").glob("*.py"))
    events |= set(re.findall(r'(?:doing|_noting)\("([a-z_]+)"', sources))
    assert len(events) > 30
    for event in {*events, "login", "station", "refused", "mended"}:
        with i18n.reading("en"):
            english = audit_words.event(event)
            assert "_" not in english and (english != event or event in ("refused", "done"))
        with i18n.reading("vi"):
            assert audit_words.event(event) not in (event, english)


def test_every_refusal_has_words() -> None:
    for code in case_words.refusals():
        with i18n.reading("en"):
            english = audit_words.why(code)
            assert "_" not in english and english != code
        with i18n.reading("vi"):
            assert audit_words.why(code) not in (code, english)


def test_a_kept_head_is_still_found_when_the_log_has_grown(office: Office, run: Run) -> None:
    office.declare(A, onset="2026-11-03")
    head = json.loads(run("audit", "verify", "--json")[1])["head"]
    office.contacts(1)
    assert run("audit", "verify", "--head", head)[0] == 0


def test_writing_is_quick_enough_for_every_question(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "log")
    began = time.monotonic()
    for _n in range(200):
        log.write("contacts", "lan", case=1)
    assert (time.monotonic() - began) / 200 < 0.05
