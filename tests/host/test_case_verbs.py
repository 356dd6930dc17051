"""`zoneband case`, `trace`, `venue` and `bands swapped`, as a tracer types them."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from bandbook import NOON, A, B, C
from office import PLACE, D, Office
from support import ROOT
from typed import Typed
from zoneband.cli import trace
from zoneband.cli.days import read_day, read_moment
from zoneband.errors import UserError
from zoneband.tracing import case_words

HOUR = 3600
Result = tuple[int, str, str]
Run = Callable[..., Result]


@pytest.fixture
def office(tmp_path: Path) -> Office:
    """Lan (A) met Hoa (B) for 20 minutes at the place, and Minh (C) across the aisle; Hoa met Tuấn
    (D) after that."""
    made = Office(tmp_path)
    people = ((A, "Trần Thị Lan"), (B, "=Hoa"), (C, "Minh"), (D, "Tuấn"))
    for number, (serial, name) in enumerate(people, 1):
        made.issue(serial, NOON - 2 * HOUR, number, name)
    made.book(A).met(B, NOON, 20, -66)
    made.book(B).met(A, NOON, 20, -68)
    made.book(A).met(C, NOON, 40, -84)
    made.book(B).met(D, NOON + 2 * HOUR, 30, -60)
    for serial in (A, B):
        made.book(serial).met(PLACE, NOON, 20, -70)
    made.dock()
    return made


@pytest.fixture
def run(office: Office, typed: Typed) -> Iterator[Run]:
    """Runs the program against the office's own server."""
    with office.serving() as url:
        yield lambda *words, **more: typed(
            *words, "--server", url, "--data", str(office.path), **more
        )


def declare(run: Run, *words: str) -> Result:
    """Declare a case with a new code of the health staff."""
    code, out, _ = run("case", "code")
    assert code == 0
    return run("case", "add", *words, "--code", out.strip())


def test_from_a_case_to_the_people_to_call(run: Run) -> None:
    code, out, _ = declare(run, A.lower(), "--onset", "03/11/2026")
    assert code == 0 and "Case 1: Trần Thị Lan" in out and "ill since 03/11/2026" in out
    code, out, _ = run("case", "list")
    assert code == 0 and "Trần Thị Lan" in out and A in out
    code, out, _ = run("trace", A)
    assert code == 0
    # Whom to call comes first, with the reason; names are there.
    assert out.index("=Hoa") < out.index("Minh") and out.index("CALL") < out.index("Minh")
    assert "1 of 2 people must be called, by the rule set vietnam." in out
    assert "Tuấn" not in out and "01/11/2026 – 04/11/2026" in out
    assert run("trace", "--case", "1") == (0, out, "")
    code, out, _ = run("trace", A, "--degrees", "3")
    assert code == 0 and "F2" in out and f"by way of =Hoa ({B})" in out
    assert out.count("Trần Thị Lan") == 0  # nobody is a contact of himself
    code, out, _ = run("trace", A, "--from", "2026-11-03", "--to", "2026-11-03", "--json")
    found = json.loads(out)
    assert code == 0 and {c["serial"] for c in found["contacts"]} == {B, C, PLACE}


def test_a_case_ends_in_words(run: Run) -> None:
    declare(run, A, "--tested", "2026-11-03", "--isolated", "2026-11-04")
    assert "chính máy chủ" in run("case", "show", "1", lang="vi")[1]
    code, out, _ = run("case", "show", "1")
    assert "the server's own computer" in out and "(server)" not in out
    assert code == 0 and "04/11/2026" in out and "Trần Thị Lan" in out and "open" in out
    assert run("case", "close", "1", "--reason", "well again")[:2] == (0, "Case 1 is closed.\n")
    assert run("case", "list")[0] == 3 and run("case", "list", "--all")[0] == 0
    code, _, err = run("trace", A)
    assert code == 2 and "no open case" in err and err.count("\n") == 1
    assert run("trace", "--case", "1")[0] == 0
    code, out, _ = run("case", "withdraw", "1", "--reason", "wrong band")
    assert code == 0 and "Tell whoever was called" in out
    code, out, _ = run("trace", "--case", "1")
    assert code == 3 and "was withdrawn" in out and "wrong band" in out and B not in out
    assert "wrong band" in run("case", "show", "1")[1]


def test_the_table_to_save_is_for_a_spreadsheet_and_for_its_owner(
    run: Run, office: Office, tmp_path: Path
) -> None:
    declare(run, A, "--onset", "2026-11-03")
    path = tmp_path / "contacts.csv"
    code, _, err = run("trace", A, "--csv", str(path), "--degrees", "2", lang="vi")
    assert code == 0 and str(path) in err
    assert path.read_bytes().startswith(b"\xef\xbb\xbf") and path.stat().st_mode & 0o077 == 0
    rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    assert len({len(row) for row in rows}) == 1
    assert rows[1][1] == B and rows[1][3] == "'=Hoa" and rows[-1][3] == "Tuấn"
    assert run("trace", A, "--csv", str(tmp_path / "no" / "x.csv"))[0] == 5


def test_swaps_and_venues_as_they_are_typed(run: Run) -> None:
    declare(run, A, "--onset", "2026-11-03")
    times = ("--from", "2026-11-03T12:00+07:00", "--to", "2026-11-03T13:00+07:00")
    code, out, _ = run("bands", "swapped", C, A, *times)
    assert code == 0 and A in out and C in out
    code, out, _ = run("trace", A)
    assert "had each other's band" in out and "=Hoa" not in out
    assert run("bands", "swapped", A, C, *times, "--undo")[0] == 0
    assert "=Hoa" in run("trace", A)[1]
    day = ("--from", "2026-11-03", "--to", "03/11/2026")
    code, out, _ = run("venue", PLACE, *day, "--case", "1")
    assert code == 0 and "=Hoa" in out and "the case" in out and "12:00 – 12:19" in out
    assert run("venue", PLACE, "--from", "2026-11-01", "--to", "2026-11-01")[0] == 3
    # The station's own list is still there.
    assert run("bands", "--json")[0] == 2


WRONG = [
    (("case", "add", A), 2, "one of them"),
    (("case", "add", A, "--onset", "soon"), 2, "soon is no day"),
    (("case", "add", A, "--onset", "31/02/2026"), 2, "no day"),
    (("case", "add", A, "--onset", "2026-12-01"), 2, "has not come yet"),
    (("case", "add", A, "--onset", "2026-11-03", "--holder", "4"), 5, "no wearer #4"),
    (("case", "add", PLACE, "--onset", "2026-11-03"), 2, "nobody wears it"),
    (("case", "add", "ZB-0000-0000", "--onset", "2026-11-03"), 3, "no such band"),
    (("case", "add", "ZB-AAAA-000J", "--onset", "2026-11-03"), 2, "no serial"),
    (("case", "add", A, "--onset", "2026-11-03"), 2, "with a code of the health staff"),
    (("case", "add", A, "--onset", "2026-11-03", "--code", "7F3K9-2QDTA"), 2, "no such code"),
    (("case", "confirm", "9"), 3, "no case 9"),
    (("case", "show", "9"), 3, "no case 9"),
    (("case", "close", "9", "--reason", "x"), 3, "no case 9"),
    (("trace", A), 2, "no open case"),
    (("trace",), 2, "serial"),
    (("trace", A, "--from", "2026-11-03"), 2, "both"),
    (("trace", A, "--from", "2026-11-03", "--to", "2026-11-01"), 2, "ends before"),
    (("trace", A, "--from", "2026-11-03", "--to", "2026-11-03", "--case", "1"), 2, "--case"),
    (("trace", "--case", "7"), 3, "no case 7"),
    (("trace", A, "--from", "2026-11-03", "--to", "2026-11-03", "--rules", "x"), 2, "rule set x"),
    (("venue", A, "--from", "2026-11-03", "--to", "2026-11-03"), 2, "worn by a person"),
    (("bands", "swapped", A, A, "--from", "2026-11-03", "--to", "2026-11-03"), 2, "itself"),
]


def test_what_cannot_be_is_said_in_one_line(run: Run) -> None:
    for words, code, said in WRONG:
        done, out, err = run(*words)
        assert (done, out, err.count("\n")) == (code, "", 1), (words, done, out, err)
        assert said in err, (words, err)
    assert run("case", "list")[0] == 3


def test_a_case_of_another_band_is_not_traced_by_mistake(run: Run) -> None:
    declare(run, A, "--onset", "2026-11-03")
    code, _, err = run("trace", B, "--case", "1")
    assert code == 2 and A in err


def test_days_are_read_as_they_are_written_in_vietnam() -> None:
    for text in ("2026-11-03", "03/11/2026", "3/11/2026", "3.11.2026", " 3-11-2026 "):
        assert read_day(text) == "2026-11-03"
        assert read_moment(text) == "2026-11-03"
    assert read_moment("2026-11-03T09:30+07:00") == "2026-11-03T09:30:00+07:00"
    for text in ("", "11/2026", "2026-11-31", "13/13/2026", "2026-11-03T09:30", "today"):
        with pytest.raises(UserError):
            read_moment(text)


def test_every_refusal_and_every_note_of_the_server_has_words() -> None:
    code = "".join(path.read_text() for path in (ROOT / "host/zoneband/server").rglob("*.py"))
    refused = set(re.findall(r'Refused\(\s*"(\w+)"', code))
    assert len(refused) > 10
    assert refused <= set(case_words.refusals())


def test_on_80_columns_no_serial_name_phone_or_time_is_cut() -> None:
    why = {"code": "enough", "weighted_min": 32.6, "min_minutes": 15, "period_s": 86_400}
    contact = {
        "serial": "ZB-ESWY-1RZN", "holder": 1, "role": "band", "degree": 2, "must_call": True,
        "person": {"name": "Nguyễn Hoàng Thị Phương Khanh", "phone": "+84939747900"},
        "first_s": NOON, "last_s": NOON + 3600, "near_min": 32.6, "total_min": 45.0,
        "closest_db": 30, "path": ["ZB-A", "ZB-B", "ZB-ESWY-1RZN"], "why": [why],
    }  # fmt: skip
    found = {"case": "ZB-A", "from_s": NOON, "to_s": NOON + 86_400, "contacts": [contact]}
    out = io.StringIO()
    Console(file=out, width=80).print(trace.table(found))
    for word in ("ZB-ESWY-1RZN", "+84939747900", "Phương", "Khanh", "03/11", "30 dB", "CALL"):
        assert word in out.getvalue(), word
    assert "…" not in out.getvalue()
