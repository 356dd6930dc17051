"""Handing out: who gets a band, what is recorded of them, and who can read it."""

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from support import ROOT
from zoneband import authority, seal, serials
from zoneband import station as stations
from zoneband.errors import UserError
from zoneband.handout import consent, person, sheet
from zoneband.handout.handout import Handout
from zoneband.handout.person import Person
from zoneband.inventory import Inventory, State
from zoneband.spool import Spool
from zoneband.wire import records

PASSPHRASE = "correct horse battery"
A, B, C = (str(serials.of_number(n)) for n in (1_000_003, 2_000_007, 3_000_028))
NAME = "Nguyễn Thị Yến"
SHOWN = "0912 345.678"
ROW = {
    "band": A, "name": NAME, "birth_year": "1948", "phone": SHOWN, "relative": "có",
    "commune": "26740", "read_by": "Trần Văn Bình", "language": "vi",
    "trace": "có", "call": "có", "statistics": "không",
}  # fmt: skip
WORDS = (
    "--name", NAME, "--birth-year", "1948", "--phone", SHOWN, "--relative", "--commune", "26740",
    "--read-by", "Trần Văn Bình", "--consent", "trace,call", "--language", "vi",
)  # fmt: skip


def wearer(**changes: Any) -> Person:
    values: dict[str, Any] = dict(
        name=NAME, birth_year="1948", phone=SHOWN, relative=True, commune="26740",
        given=["trace", "call"], language="vi", read_by="Trần Văn Bình",
    )  # fmt: skip
    return person.read(**(values | changes))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory whose station knows the authority's key."""
    authority.make(tmp_path, PASSPHRASE)
    return tmp_path


def opened(data: Path) -> list[tuple[seal.Kind, dict[str, Any]]]:
    """What the authority reads in the records that wait at the station."""
    keys = authority.unlock(data, PASSPHRASE)
    out = []
    for one in Spool(stations.directory(data)).waiting_sealed():
        kind, number = seal.read_head(one.data)
        assert kind == one.kind
        out.append((kind, seal.unseal(keys[number], one.data)))
    return out


def zoneband(data: Path, *words: str, lang: str = "en") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "zoneband", "--lang", lang, *words, "--data", str(data)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT / "host"), "COLUMNS": "140"},
    )


def table(path: Path, *rows: dict[str, str], encoding: str = "utf-8", delimiter: str = ",") -> Path:
    text = io.StringIO()
    writer = csv.DictWriter(text, sheet.COLUMNS, delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue(), encoding=encoding)
    return path


# --- what is asked of a person --------------------------------------------------------------


@pytest.mark.parametrize(
    "typed",
    ["0912345678", "+84912345678", "84912345678", "0912 345 678", "0912.345.678", "+84-912-345-678",
     "(0912) 345 678", "912345678", " 0912\u00a0345\u00a0678 "],
)  # fmt: skip
def test_a_phone_number_is_one_however_it_is_written(typed: str) -> None:
    assert person.read_phone(typed) == "+84912345678"


def test_a_house_phone_has_a_digit_more() -> None:
    assert person.read_phone("028 3822 5678") == "+842838225678"
    assert person.read_phone("841234567") == "+84841234567"


@pytest.mark.parametrize(
    "typed",
    ["", "091234567", "09123456789", "0112345678", "+1 912345678", "none yet", "٠٩١٢٣٤٥٦٧٨"],
)
def test_what_is_no_phone_number_is_refused_without_repeating_it(typed: str) -> None:
    with pytest.raises(UserError) as caught:
        person.read_phone(typed)
    assert not typed or typed not in caught.value.message


def test_a_name_is_kept_in_one_form() -> None:
    assert person.read_name("  " + unicodedata.normalize("NFD", NAME) + " ") == NAME
    assert person.read_name("N" * 80)
    for wrong in ("", "  ", "N" * 81, "N\x00m"):
        with pytest.raises(UserError):
            person.read_name(wrong)


def test_years_and_communes_are_checked() -> None:
    assert person.read_birth_year(" 1900 ") == 1900
    for year in ("1899", "48", "2999", "19x8", "١٩٤٨"):
        with pytest.raises(UserError):
            person.read_birth_year(year)
    assert person.read_commune("00070") == "00070"
    for code in ("70", "267400", "2674a"):
        with pytest.raises(UserError):
            person.read_commune(code)


def test_yes_and_no_are_understood_and_silence_is_neither() -> None:
    for yes in (
        "yes", "Y", "Có", unicodedata.normalize("NFD", "có"), "co", "c", "1", "TRUE", "vâng",
        "VANG", "dạ", "da", "Ừ", "u", "đồng ý", unicodedata.normalize("NFD", "Đồng  Ý "), "dong y",
    ):  # fmt: skip
        assert person.read_yes(yes), yes
    for no in ("no", "N", "không", "KHONG", "ko", "K", "không đồng ý", "0", "False"):
        assert not person.read_yes(no), no
    for neither in ("", "maybe", "để xem", "có không"):
        with pytest.raises(UserError):
            person.read_yes(neither)


def test_the_consent_is_read_aloud_in_30_seconds() -> None:
    # Slow speech: 200 Vietnamese syllables or 140 English words a minute.
    for language, at_most in (("vi", 100), ("en", 70)):
        texts = consent.TEXTS[language]
        assert set(texts) == set(consent.PURPOSES)
        assert sum(len(text.split()) for text in texts.values()) <= at_most


def test_without_consent_to_tracing_there_is_no_band(data: Path) -> None:
    with pytest.raises(UserError, match="consent to tracing"):
        wearer(given=["call", "statistics"])
    done = zoneband(data, "issue", A, *WORDS[:-3], "call", *WORDS[-2:])
    assert done.returncode == 5 and done.stderr.count("\n") == 1
    assert opened(data) == [] and Inventory(data / "station").rows() == []


def test_without_consent_to_calls_no_phone_number_is_kept(data: Path) -> None:
    quiet = wearer(given=["trace"])
    assert quiet.phone is None and quiet.phone_of is None
    assert wearer(given=["trace"], phone="").phone is None
    with pytest.raises(UserError):
        wearer(phone="")


# --- what is recorded -----------------------------------------------------------------------


def test_the_authority_reads_who_wears_a_band_and_what_they_agreed_to(data: Path) -> None:
    act = Handout(data, utc=lambda: 1_793_682_000.5).issue(A, wearer())
    [(kind, facts)] = opened(data)
    assert kind == seal.Kind.PERSON
    answers = facts.pop("consents")
    assert facts == {
        "serial": A, "number": act.number, "utc_s": 1_793_682_000, "station": "-", "name": NAME,
        "birth_year": 1948, "phone": "+84912345678", "phone_of": "relative", "commune": "26740",
        "language": "vi", "read_by": "Trần Văn Bình",
    }  # fmt: skip
    assert [(a["purpose"], a["given"]) for a in answers] == [
        ("trace", True), ("call", True), ("statistics", False)
    ]  # fmt: skip
    for answer in answers:
        assert answer["version"] == consent.VERSION
        assert answer["language"] == "vi" and answer["read_by"] == "Trần Văn Bình"


def test_nothing_of_a_person_is_left_in_clear_at_the_station(data: Path) -> None:
    people = table(data / "people.csv", ROW | {"band": B})
    assert zoneband(data, "issue", A, *WORDS).returncode == 0
    assert zoneband(data, "issue", "--csv", str(people), "--delete-after").returncode == 0
    assert not people.exists()
    assert zoneband(data, "replace", A, C).returncode == 0
    assert len(opened(data)) == 4
    forms = [SHOWN, "0912345678", "+84912345678", "84912345678", "912345678", "Trần Văn Bình"]
    for form in ("NFC", "NFD", "NFKD"):
        forms.append(unicodedata.normalize(form, NAME))
    forms += [NAME.upper(), "Nguy", "Binh", "26740", json.dumps(NAME)[1:-1]]
    searched = 0
    for path in data.rglob("*"):
        if path.is_file():
            searched += 1
            held = path.read_bytes()
            for form in forms:
                for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
                    assert form.encode(encoding) not in held, (path, form)
    assert searched >= 3


def test_two_people_in_turn_are_two_records_with_two_numbers(data: Path) -> None:
    handout = Handout(data)
    first = handout.issue(A, wearer())
    with pytest.raises(UserError, match="zoneband return"):
        handout.issue(A, wearer(name="Lê Thị Hoa"))
    back = handout.take_back(A)
    assert back.number == first.number and not back.again
    assert handout.take_back(A).again
    second = handout.issue(A, wearer(name="Lê Thị Hoa"))
    assert second.number != first.number
    found = opened(data)
    people = [facts for kind, facts in found if kind == seal.Kind.PERSON]
    assert [(p["name"], p["number"]) for p in people] == [
        (NAME, first.number), ("Lê Thị Hoa", second.number)
    ]  # fmt: skip
    [event] = [facts for kind, facts in found if kind == seal.Kind.EVENT]
    assert event["event"] == "returned" and event["number"] == first.number
    wish = Inventory(data / "station").wish(A)
    assert wish is not None and wish.number == second.number


def test_the_last_wish_is_the_one_that_counts_however_fast_they_came(data: Path) -> None:
    inventory = Inventory(data / "station")
    for n in range(40):
        state = (records.ISSUED, records.RETURNED)[n % 2]
        asked = inventory.ask(A, state)
        assert inventory.wish(A) == asked


def test_a_replacement_links_the_two_hand_outs(data: Path) -> None:
    handout = Handout(data)
    first = handout.issue(A, wearer())
    left, given = handout.replace(A, B, returned=False)
    assert (left.state, left.number) == (State.LOST, first.number)
    events = [facts for kind, facts in opened(data) if kind == seal.Kind.EVENT]
    assert [e["event"] for e in events] == ["lost", "replaced"]
    assert events[1] | {"utc_s": 0} == {
        "event": "replaced", "serial": A, "number": first.number, "new_serial": B,
        "new_number": given.number, "utc_s": 0, "station": "-",
    }  # fmt: skip
    inventory = Inventory(data / "station")
    wish = inventory.wish(B)
    assert wish is not None and (wish.state, wish.number) == (records.ISSUED, given.number)
    row = inventory.row(A)
    assert row is not None and row.state == State.LOST and row.successor == B
    with pytest.raises(UserError, match=B):
        handout.replace(A, C, returned=False)
    third = handout.replace(B, C, returned=True)[1]
    assert opened(data)[-1][1]["number"] == given.number
    assert handout.number(C) == third.number


def test_a_band_that_is_found_is_taken_back_when_its_wearer_has_another(data: Path) -> None:
    handout = Handout(data)
    handout.issue(A, wearer())
    handout.issue(B, wearer())
    handout.lose(A)
    assert handout.lose(A).again
    assert handout.find(A).state == State.ISSUED
    handout.replace(A, C, returned=False)
    for refused in (handout.take_back, handout.may_issue):
        with pytest.raises(UserError, match="--found"):
            refused(A)
    act = handout.find(A)
    assert act.state == State.RETURNED and act.waits
    events = [facts["event"] for kind, facts in opened(data) if kind == seal.Kind.EVENT]
    assert events == ["lost", "found", "lost", "replaced", "found", "returned"]


def test_a_hand_out_at_another_station_is_not_taken_for_this_stations_own(data: Path) -> None:
    inventory = Inventory(data / "station")
    handout = Handout(data)
    first = handout.issue(A, wearer())
    assert handout.issued_here(A)
    inventory.granted(inventory.ask(A, records.RETURNED))
    inventory.saw(A, "classic", "0.1.0", records.RETURNED, 3900, 1)
    assert handout.number(A) == first.number
    inventory.saw(A, "classic", "0.1.0", records.ISSUED, 3900, 1)
    assert handout.number(A) == 0 and not handout.issued_here(A)
    assert handout.lose(A).number == 0


def test_bands_that_cannot_be_worn_are_not_handed_out(data: Path) -> None:
    inventory = Inventory(data / "station")
    inventory.begin(A, "aa", "classic", "0.1.0", bytes(32), bytes(8), "none")
    inventory.leave(B, State.RETIRED)
    handout = Handout(data)
    for serial, word in ((A, "flash"), (B, "out of use")):
        with pytest.raises(UserError, match=word):
            handout.issue(serial, wearer())
    with pytest.raises(UserError, match="itself"):
        handout.replace(C, C, returned=False)
    assert opened(data) == []


def test_a_station_without_the_authoritys_key_records_nothing(tmp_path: Path) -> None:
    done = zoneband(tmp_path, "issue", A, *WORDS)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "public key" in done.stderr
    assert not (tmp_path / "station").exists()


# --- the verbs ------------------------------------------------------------------------------


def test_a_band_is_handed_out_in_one_line_offline(data: Path) -> None:
    done = zoneband(data, "issue", A.lower().replace("-", ""), *WORDS, "--json")
    assert done.returncode == 0, done.stderr
    assert "not seen" in done.stderr
    facts = json.loads(done.stdout)
    assert facts["serial"] == A and facts["state"] == "issued" and facts["waits"]
    again = zoneband(data, "issue", A, *WORDS)
    assert again.returncode == 5 and "zoneband return" in again.stderr
    wrong = zoneband(data, "issue", A[:-1] + "*", *WORDS)
    assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1


def test_a_script_is_told_which_options_are_missing(data: Path) -> None:
    done = zoneband(data, "issue", A, "--name", NAME, "--consent", "trace,call")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    for option in ("--birth-year", "--commune", "--read-by", "--phone"):
        assert option in done.stderr
    assert "--name" not in done.stderr
    for words in ((), (A, "--csv", "x.csv"), ("--csv", "x.csv", "--now")):
        assert zoneband(data, "issue", *words).returncode == 2


def test_staff_at_the_door_are_asked_and_read_the_consent_aloud(data: Path) -> None:
    ours, theirs = pty.openpty()
    command = ("--lang", "vi", "issue", A, "--json", "--data", str(data))
    run = subprocess.Popen(
        [sys.executable, "-m", "zoneband", *command],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "host"), "COLUMNS": "140"},
    )
    os.close(theirs)
    typed = [
        "Trần Văn Bình",
        "vâng",
        "để xem",
        "đồng ý",
        "ko",
        NAME,
        "48",
        "1948",
        SHOWN,
        "có",
        "26740",
    ]
    os.write(ours, "".join(line + "\n" for line in typed).encode())
    out, err = run.communicate(timeout=60)
    os.close(ours)
    assert run.returncode == 0, err
    assert json.loads(out)["serial"] == A
    shown = re.sub(r"[\s│]+", " ", err)
    for text in consent.TEXTS["vi"].values():
        assert text in shown
    for title in ("truy vết", "gọi điện", "thống kê"):
        assert f"─ {title} · {consent.VERSION} ─" in shown
    [(_, facts)] = opened(data)
    assert (facts["name"], facts["birth_year"], facts["phone_of"]) == (NAME, 1948, "relative")
    assert [a["given"] for a in facts["consents"]] == [True, True, False]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_a_table_from_a_spreadsheet_is_handed_out(
    data: Path, encoding: str, delimiter: str
) -> None:
    people = table(
        data / "people.csv",
        ROW,
        ROW | {"band": B, "name": "Lê, Văn; Tám", "call": "0", "phone": "", "relative": ""},
        encoding=encoding,
        delimiter=delimiter,
    )
    done = zoneband(data, "issue", "--csv", str(people))
    assert done.returncode == 0, done.stderr
    assert people.exists()
    names = [(facts["name"], facts["phone"]) for _, facts in opened(data)]
    assert names == [(NAME, "+84912345678"), ("Lê, Văn; Tám", None)]


def test_a_bad_row_is_named_and_holds_no_other_up(data: Path) -> None:
    people = table(
        data / "people.csv",
        ROW | {"phone": "12"},
        ROW | {"band": B},
        ROW | {"band": B},
        ROW | {"band": C, "statistics": ""},
        ROW | {"band": NAME},
    )
    done = zoneband(data, "issue", "--csv", str(people), "--delete-after", "--json")
    assert done.returncode == 4
    facts = json.loads(done.stdout)
    assert [row["line"] for row in facts["rows"] if not row["done"]] == [2, 4, 5, 6]
    assert not facts["deleted"] and people.exists()
    for told in ("line 2: The phone", "line 4: " + B, "line 5: statistics", "line 6: The band"):
        assert told in done.stderr
    assert NAME not in done.stderr + done.stdout
    # Mended, the same table goes on where it was.
    table(people, ROW, ROW | {"band": B}, ROW | {"band": C})
    again = zoneband(data, "issue", "--csv", str(people), "--delete-after")
    assert again.returncode == 0, again.stderr
    assert "2 handed out, 1 were before, 0 not done" in again.stdout
    assert f"line 3: {B} was handed out here before" in again.stderr
    # It may have been to somebody else, whom the station cannot read any more.
    assert people.exists() and "compare it with these rows" in again.stderr
    assert [facts["serial"] for _, facts in opened(data)] == [B, A, C]


def test_a_table_whose_every_row_was_done_is_deleted(data: Path) -> None:
    people = table(data / "people.csv", ROW, ROW | {"band": B})
    done = zoneband(data, "issue", "--csv", str(people), "--delete-after")
    assert done.returncode == 0 and not people.exists(), done.stderr


def test_a_table_that_cannot_be_understood_changes_nothing(data: Path) -> None:
    people = data / "people.csv"
    cases: list[tuple[bytes, int]] = [
        (b"band,name\n", 2),
        (",".join(sheet.COLUMNS).encode() + b"\n", 3),
        (",".join(sheet.COLUMNS).encode("utf-16"), 2),
        (b"", 2),
    ]
    for held, code in cases:
        people.write_bytes(held)
        done = zoneband(data, "issue", "--csv", str(people), "--delete-after")
        assert done.returncode == code, done.stderr
        assert done.stderr.count("\n") == 1
    assert people.exists()
    assert zoneband(data, "issue", "--csv", str(data / "none.csv")).returncode == 2
    assert opened(data) == []


def test_return_lost_found_and_replace_are_said_in_one_line(data: Path) -> None:
    assert zoneband(data, "issue", A, *WORDS).returncode == 0
    for words, state in (
        (("return", A), "returned"),
        (("lost", A.lower()), "lost"),
        (("lost", A, "--found"), "returned"),
    ):
        done = zoneband(data, *words, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["state"] == state
    assert "not handed out" in zoneband(data, "lost", B).stderr
    done = zoneband(data, "replace", B, C, "--json")
    facts = json.loads(done.stdout)
    assert (facts["old"]["state"], facts["new"]["serial"]) == ("lost", C)
    for words in (("return", "nonsense"), ("return", B), ("replace", B, A)):
        wrong = zoneband(data, *words)
        assert wrong.returncode in (2, 5) and wrong.stderr.count("\n") == 1, wrong.stderr


def test_the_inventory_is_a_table_json_or_csv(data: Path) -> None:
    assert zoneband(data, "bands").returncode == 3
    inventory = Inventory(data / "station")
    inventory.saw(A, "classic", "0.1.0", records.NEW, 3912, 7)
    assert zoneband(data, "issue", A, *WORDS).returncode == 0
    assert zoneband(data, "lost", B).returncode == 0
    shown = zoneband(data, "bands", lang="en").stdout
    for text in (A, "classic", "handed out (waits for the band)", "3.91 V", "7 %", B, "lost"):
        assert text in shown
    assert re.search(r"\d\d/\d\d \d\d:\d\d", shown)
    rows = json.loads(zoneband(data, "bands", "--json").stdout)
    by_serial = {row["serial"]: row for row in rows}
    assert by_serial[A]["state"] == "issued" and by_serial[A]["waits"]
    lines = zoneband(data, "bands", "--csv", "--state", "issued").stdout.splitlines()
    [row] = list(csv.DictReader(lines))
    assert row["serial"] == A and row["waits"] == "yes" and int(row["docked_s"]) > 1_600_000_000
    assert zoneband(data, "bands", "--state", "strange").returncode == 2
    assert zoneband(data, "bands", "--state", "retired").returncode == 3
