"""Lists on narrow terminals: serials, phones, days and times are whole, in both languages."""

import io
from collections.abc import Iterator

import pytest
from rich.console import Console, RenderableType

from bandbook import NOON
from zoneband import i18n
from zoneband.cli import audit, bands, case, rights, trace, venue
from zoneband.cli.columns import Column
from zoneband.cli.listing import Listing
from zoneband.inventory import BandRow

SERIAL, OTHER = "ZB-ESWY-1RZN", "ZB-WGJK-GDDX"
NAME, PHONE = "Nguyễn Hoàng Thị Phương Khanh", "+84939747900"


@pytest.fixture(params=["en", "vi"])
def language(request: pytest.FixtureRequest) -> Iterator[str]:
    with i18n.reading(request.param):
        yield request.param


def shown(view: RenderableType, width: int, terminal: bool = True) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=terminal, color_system=None).print(
        view, crop=terminal
    )
    lines = out.getvalue().splitlines()
    assert not terminal or all(len(line) <= width for line in lines), lines
    assert "…" not in out.getvalue()
    return lines


def whole(lines: list[str], *words: str) -> None:
    for word in words:
        assert any(word in line for line in lines), (word, lines)


@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.usefixtures("language")
def test_cases_are_listed_with_whole_phones_and_days(width: int) -> None:
    found = {
        "number": 12, "serial": SERIAL, "holder": 2, "holders": 2, "notes": [{}],
        "person": {"name": NAME, "phone": PHONE}, "onset": None, "tested": "2026-11-03",
        "isolated": "2026-11-05", "state": "withdrawn",
    }  # fmt: skip
    lines = shown(case._table([found]), width)
    whole(lines, f"{SERIAL} #2", PHONE, "03/11/2026", "Khanh", "!")
    if width == 80:
        whole(lines, "05/11/2026")


@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.usefixtures("language")
def test_requests_are_listed_with_whole_serials_and_days(width: int) -> None:
    day_s = 86_400
    row = {
        "id": 123, "kind": "withdrawal", "serial": SERIAL, "came_s": NOON, "answered_s": None,
        "answer_by_s": NOON + 2 * day_s, "done_s": None, "done_by_s": NOON + 15 * day_s,
        "overdue": True, "ask_back": True,
    }  # fmt: skip
    lines = shown(rights._table([row]), width)
    whole(lines, SERIAL, "05/11/2026", "18/11/2026")
    assert len(lines) <= 8


@pytest.mark.parametrize("width", [60, 80])
def test_bands_are_listed_with_whole_successors(language: str, width: int) -> None:
    row = BandRow(
        serial=SERIAL, board="m5stickc-plus2", firmware="0.1.0", state="lost",
        waits=True, successor=OTHER, docked_s=NOON, battery_mv=3900, log_fill_percent=73,
        enrolment="waiting",
    )  # fmt: skip
    lines = shown(bands._table([row]), width)
    whole(lines, SERIAL, f"→ {OTHER}", "03/11 12:00", "3.90 V")
    assert len(lines) <= 7, lines
    assert lines[-1].strip() == {"en": "bands: 1", "vi": "số vòng: 1"}[language]


@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.usefixtures("language")
def test_a_contact_has_its_reasons_below_over_the_whole_width(width: int) -> None:
    why = {"code": "enough", "weighted_min": 32.6, "min_minutes": 15, "period_s": 86_400}
    contact = {
        "serial": SERIAL, "holder": 1, "role": "band", "degree": 2, "must_call": True,
        "person": {"name": NAME, "phone": PHONE}, "first_s": NOON, "last_s": NOON + 3600,
        "near_min": 132.6, "total_min": 145.0, "closest_db": 30, "path": ["ZB-A", OTHER, SERIAL],
        "why": [why, {"code": "one_sided", "side": "case"}],
    }  # fmt: skip
    near = contact | {"serial": OTHER, "degree": 1, "path": ["ZB-A", OTHER]}
    found = {"case": "ZB-A", "from_s": NOON, "to_s": NOON + 86_400, "contacts": [near, contact]}
    lines = shown(trace.table(found), width)
    whole(lines, SERIAL, PHONE, "03/11 12:00", "03/11 13:00", "133 / 145", "30 dB", f"({OTHER})")
    if width == 80:
        assert len(lines) <= 15, lines


@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.usefixtures("language")
def test_the_audit_log_is_listed_in_words_not_in_signs_of_a_program(width: int) -> None:
    line = {
        "seq": 1234, "utc_s": NOON, "event": "POST /v1/cases/{number}/contacts",
        "account": "lan.tran", "serials": [SERIAL, OTHER], "new": True, "prev": "", "sha256": "",
    }  # fmt: skip
    lines = shown(audit._table([line]), width)
    whole(lines, "03/11/2026 12:00:00", "lan.tran", SERIAL, OTHER)
    said = " ".join(lines)
    assert "[" not in said and "'" not in said and "=" not in said
    if width == 80:
        whole(lines, "POST /v1/cases/{number}/contacts")


@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.usefixtures("language")
def test_visitors_are_listed_with_whole_phones_and_times(width: int) -> None:
    visitor = {
        "serial": SERIAL, "holder": 2, "person": {"name": NAME, "phone": PHONE}, "minutes": 60.0,
        "spans": [{"from_s": NOON, "to_s": NOON + 3600}], "is_case": False, "overlap_min": 1234.0,
    }  # fmt: skip
    case = visitor | {"serial": OTHER, "is_case": True, "overlap_min": None}
    found = {"venue": SERIAL, "from_s": NOON, "to_s": NOON + 86_400, "case": OTHER}
    lines = shown(venue._table(found | {"visitors": [visitor, case]}), width)
    whole(lines, f"{SERIAL} #2", PHONE, "03/11 12:00 – 13:00", "1234", OTHER)


def test_columns_leave_a_narrow_terminal_in_their_order_and_come_back_on_a_wide_one() -> None:
    columns = [Column("a"), Column("b", leaves=1), Column("c", leaves=2), Column("d", wrap=10)]
    view = Listing(columns)
    view.add("A" * 12, "B" * 12, "C" * 12, "some words that may be wrapped")
    for width, there in ((80, "ABC"), (60, "ABC"), (45, "AB"), (30, "A")):
        text = "\n".join(shown(view, width))
        assert {letter for letter in "ABC" if letter * 12 in text} == set(there), width
        assert "wrapped" in text


def test_what_is_no_terminal_gets_every_column() -> None:
    view = Listing([Column("a"), Column("b", leaves=1)])
    view.add("A" * 50, "B" * 50)
    assert "B" * 50 in "\n".join(shown(view, 80, terminal=False))


def test_why_the_server_refused_an_enrolment_is_never_left_out() -> None:
    row = BandRow(SERIAL, "devkitc", "0.1.0", "new", False, None, None, None, "422 taken", None)
    for width in (60, 80):
        whole(shown(bands._table([row]), width), "enrolment, refused: 422 taken")
