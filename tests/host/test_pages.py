"""The tracers' pages without a browser: who gets in, what a form must carry, what is sent along."""

import csv
import io
import re
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from town import AN, NAME, ONSET, PASSWORD, Town
from zoneband.i18n import language, reading
from zoneband.server import report, report_pdf
from zoneband.server.accounts import IDLE_S
from zoneband.server.pages import graph, timeline, words
from zoneband.server.pages.door import safe_path
from zoneband.server.pages.shell import preferred


class Visit:
    """A browser without scripts, over TLS as far as the server knows."""

    def __init__(self, town: Town, address: str = "10.1.1.1") -> None:
        self.town = town
        self.http = TestClient(
            town.app,
            base_url="https://zoneband.example",
            client=(address, 1),
            follow_redirects=False,
        )

    def get(self, path: str, **more: Any) -> Any:
        return self.http.get(path, **more)

    def form_token(self, path: str) -> str:
        found = re.search(r'name="form" value="([^"]+)"', self.get(path).text)
        assert found is not None
        return found[1]

    def log_in(self, **changes: str) -> Any:
        values = {"name": NAME, "password": PASSWORD, "form": self.form_token("/tracer/login")}
        values |= changes
        if "code" not in changes:
            values["code"] = self.town.code()
        return self.http.post("/tracer/login", data=values)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    return Town(tmp_path_factory.mktemp("pages"))


@pytest.fixture
def visit(town: Town) -> Visit:
    town.now += 90_000  # earlier wrong tries are forgotten
    made = Visit(town)
    assert made.log_in().status_code == 303
    return made


PATHS = (
    "/tracer/",
    "/tracer/cases/1",
    "/tracer/cases/1/timeline",
    "/tracer/cases/1/graph",
    "/tracer/cases/1/contacts/x",
    "/tracer/cases/1/calls.csv",
    "/tracer/cases/1/calls.pdf",
    "/tracer/venues",
    "/tracer/venues/x",
)


@pytest.mark.parametrize("path", PATHS)
def test_without_a_session_every_page_sends_to_the_login(town: Town, path: str) -> None:
    answer = Visit(town).get(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(
        "/tracer/login?next=" if path != "/tracer/" else "/tracer/login"
    )
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["cases", "cases/1/calls", "cases/1/end", "logout"])
def test_without_a_session_no_form_does_anything(town: Town, path: str) -> None:
    data = {"serial": AN.serial, "state": "reached", "day": ONSET, "form": "0" * 64}
    answer = Visit(town).http.post(f"/tracer/{path}", data=data)
    assert (answer.status_code, answer.headers["location"]) == (303, "/tracer/login")
    assert town.http.get("/v1/cases", headers=town.tracer).json() == []


@pytest.mark.parametrize("form", ["", "0" * 64])
def test_a_form_of_another_session_is_refused(visit: Visit, form: str) -> None:
    own = visit.form_token("/tracer/")
    other = Visit(visit.town)
    other.log_in()
    for token in (form, other.form_token("/tracer/")):
        data = {"serial": AN.serial, "day": ONSET, "form": token}
        assert visit.http.post("/tracer/cases", data=data).status_code == 403
    assert visit.town.http.get("/v1/cases", headers=visit.town.tracer).json() == []
    assert visit.form_token("/tracer/") == own


def test_the_login_form_of_another_browser_is_refused(town: Town) -> None:
    other = Visit(town).form_token("/tracer/login")
    visit = Visit(town)
    visit.get("/tracer/login")
    assert visit.log_in(form=other).status_code == 403
    assert visit.log_in(form="").status_code == 403


def test_session_cookies_are_kept_from_scripts_other_sites_and_plain_http(town: Town) -> None:
    town.now += 90_000
    session = session_of(Visit(town).log_in())
    for part in ("Secure", "HttpOnly", "SameSite=strict", "Path=/"):
        assert part.lower() in session.lower()
    assert "domain" not in session.lower()


def session_of(answer: Any) -> str:
    """The session's cookie that an answer sets."""
    cookies = answer.headers.get_list("set-cookie")
    return next(c for c in cookies if c.startswith("__Host-zoneband-session="))


def test_a_session_that_was_logged_out_of_opens_nothing_again(town: Town) -> None:
    town.now += 90_000
    visit = Visit(town)
    token = session_of(visit.log_in()).split(";")[0]
    visit.http.post("/tracer/logout", data={"form": visit.form_token("/tracer/")})
    stale = Visit(town).get("/tracer/", headers={"Cookie": token})
    assert stale.status_code == 303
    assert session_of(Visit(town).log_in()).split(";")[0] != token


def test_a_session_ends_by_itself_and_says_so(visit: Visit) -> None:
    visit.town.now += IDLE_S + 1
    answer = visit.get("/tracer/")
    assert answer.status_code == 303
    assert 'role="alert"' in visit.get(answer.headers["location"]).text


def test_wrong_name_password_and_code_get_the_same_answer(town: Town) -> None:
    town.now += 90_000
    bodies: set[tuple[int, str]] = set()
    for changes in ({"name": "nobody"}, {"password": "năm con mèo xanh"}, {"code": "12345"}):
        answer = Visit(town).log_in(**changes)
        text = answer.text.replace("nobody", NAME)
        text = re.sub(r'name="form" value="[^"]+"', "", text)
        bodies.add((answer.status_code, text))
    assert len(bodies) == 1 and bodies.pop()[0] == 401


def test_too_many_tries_are_told_how_long_to_wait(town: Town) -> None:
    town.now += 90_000
    answers = [Visit(town, "10.9.9.9").log_in(name="nobody", code="1") for _ in range(5)]
    last = answers[-1]
    assert last.status_code == 429 and 1 <= int(last.headers["retry-after"]) <= 300


@pytest.mark.parametrize("path", ["/tracer/login", "/tracer/none", "/tracer/static/tracer.css"])
def test_every_answer_forbids_foreign_and_inline_code_and_frames(town: Town, path: str) -> None:
    answer = Visit(town).get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "http" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_pages_hold_no_inline_script_or_style(visit: Visit) -> None:
    for path in ("/tracer/login", "/tracer/", "/tracer/venues"):
        text = Visit(visit.town).get(path).text if "login" in path else visit.get(path).text
        assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", text)


def test_what_people_type_is_shown_as_text_and_never_as_html(visit: Visit) -> None:
    data = {"serial": "<img src=x>", "day": '"><b>', "form": visit.form_token("/tracer/")}
    answer = visit.http.post("/tracer/cases", data=data)
    assert answer.status_code == 422
    assert "<img src=x>" not in answer.text and "<b>" not in answer.text
    assert "&lt;img src=x&gt;" in answer.text


def test_a_form_of_megabytes_is_refused_before_it_is_read(town: Town) -> None:
    answer = Visit(town).http.post("/tracer/login", data={"name": "x" * 2_000_000})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "path",
    ["cases/0", "cases/999999", "cases/99999999999999999999", "cases/x", "nothing", "venues/%00"],
)
def test_what_is_not_there_is_said_on_a_page(visit: Visit, path: str) -> None:
    answer = visit.get(f"/tracer/{path}")
    assert 400 <= answer.status_code < 500
    assert "<h1>" in answer.text and "text/html" in answer.headers["content-type"]


def test_static_files_are_a_fixed_list(town: Town) -> None:
    visit = Visit(town)
    assert visit.get("/tracer/static/tracer.js").status_code == 200
    assert visit.get("/tracer/static/BeVietnamPro-Regular.ttf").status_code == 200
    for path in ("..%2froutes.py", "%2e%2e/routes.py", "BeVietnamPro-Black.ttf", "routes.py"):
        assert visit.get(f"/tracer/static/{path}").status_code == 404


@pytest.mark.parametrize(
    "path",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "/tracer/../x\n", "javascript:x",
     "/tracer", "/v1/cases", "/tracer/x y", "/tracer//evil@x"],
)  # fmt: skip
def test_the_login_leads_to_these_pages_only(path: str) -> None:
    assert safe_path(path) == "/tracer/"


def test_the_login_leads_where_somebody_wanted_to_go(town: Town) -> None:
    town.now += 90_000
    visit = Visit(town)
    wanted = "/tracer/venues?case=3&from=2026-11-01"
    login = visit.get(wanted).headers["location"]
    values = {"name": NAME, "password": PASSWORD, "code": town.code()}
    values["form"] = visit.form_token(login)
    assert visit.http.post(login, data=values).headers["location"] == wanted


@pytest.mark.parametrize(
    ("accepted", "wanted"),
    [("", "vi"), ("en", "en"), ("en-GB,en;q=0.9", "en"), ("fr,de;q=0.5", "vi"),
     ("en;q=0.4, vi;q=0.8", "vi"), ("vi-VN,vi;q=0.9,en;q=0.8", "vi"), ("en;q=x, ;;,", "vi"),
     ("*", "vi")],
)  # fmt: skip
def test_the_browsers_language_decides_until_somebody_chooses(accepted: str, wanted: str) -> None:
    assert preferred(accepted) == wanted


def test_a_chosen_language_stays(town: Town) -> None:
    visit = Visit(town)
    assert '<html lang="en">' in visit.get("/tracer/login?lang=en").text
    assert '<html lang="en">' in visit.get("/tracer/login").text
    assert '<html lang="vi">' in visit.get("/tracer/login?lang=vi").text
    assert visit.get("/tracer/login?lang=xx").text.count('<html lang="vi">') == 1


def test_one_readers_language_is_not_anothers() -> None:
    with reading("vi"):
        assert language() == "vi"
        with reading("en"):
            assert language() == "en"
        assert language() == "vi"


# --- what is saved -------------------------------------------------------------------------------


def line(**changes: str) -> report.Line:
    names = [f for f in report.Line.__dataclass_fields__ if f != "place"]
    return report.Line(1, **({name: "" for name in names} | changes))


def calls(*lines: report.Line) -> report.CallList:
    return report.CallList("Danh sách", [("vòng", AN.serial)], [], lines, "lan")


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_cell_of_the_csv_is_a_formula_and_every_one_reads_back(name: str, why: str) -> None:
    raw = report.as_csv(calls(line(name=name, why=why)))
    rows = list(csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline="")))
    assert len(rows) == 2 and len(rows[0]) == len(rows[1])
    for cell in rows[1]:
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert rows[1][1].removeprefix("'") == name.removeprefix("'")


@pytest.mark.parametrize("cell", ["=1+1", "+84912345678", "-1", "@SUM(A1)", "\t=1"])
def test_formulas_are_defused(cell: str) -> None:
    assert report.safe(cell) == "'" + cell


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=60), st.text(max_size=6000))
def test_the_pdf_takes_whatever_a_line_holds(name: str, why: str) -> None:
    assert report_pdf.as_pdf(calls(line(name=name, why=why))).startswith(b"%PDF")


def test_the_pdf_takes_markup_as_text_and_hundreds_of_lines() -> None:
    many = [line(name="<b>Đặng & Ưng</b> ]]>", why="x" * 400, phone="0912 345 678")] * 300
    raw = report_pdf.as_pdf(calls(*many))
    assert raw.startswith(b"%PDF") and len(raw) < 2_000_000


# --- what is drawn -------------------------------------------------------------------------------


def window(start_s: int, weight: float = 1.0, sides: str = "both") -> dict[str, Any]:
    return {
        "start_s": start_s, "minutes": 5.0, "weight": weight, "near": weight >= 1,
        "attenuation_db": 50.0, "sides": sides,
    }  # fmt: skip


MIDNIGHT = 1_793_811_600  # of 5 November 2026 in Vietnam


def test_windows_that_touch_and_count_the_same_are_one_run() -> None:
    found = timeline.runs(
        [window(MIDNIGHT + at) for at in (0, 300, 900)]
        + [window(MIDNIGHT + 1200, 0.5), window(MIDNIGHT + 1500, 0.5, "case")],
        300,
    )
    assert [(run.start_s - MIDNIGHT, run.end_s - MIDNIGHT) for run in found] == [
        (0, 600), (900, 1200), (1200, 1500), (1500, 1800),
    ]  # fmt: skip
    assert [run.kind for run in found] == ["full", "full", "part", "part"]


def contact(serial: str, **more: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "serial": serial, "holder": 1, "role": "band", "degree": 1, "person": None,
        "must_call": True, "weighted_min": 20.0, "path": [AN.serial, serial], "windows": [],
    }  # fmt: skip
    return values | more


def test_a_night_is_split_at_midnight_in_vietnam_and_drawn_within_its_picture() -> None:
    night = [window(MIDNIGHT + at) for at in range(-900, 900, 300)]
    days = timeline.days([contact("ZB-1", windows=night)], 300)
    assert [day.start_s for day in days] == [MIDNIGHT, MIDNIGHT - 86_400]
    assert [day.rows[0].total for day in days] == [15, 15]
    for day in days:
        drawn = timeline.picture(day)
        for x, wide in re.findall(r'class="run[^"]*" x="([\d.]+)"[^>]* width="([\d.]+)"', drawn):
            assert 232 <= float(x) and float(x) + float(wide) <= 1160


@given(st.sets(st.integers(0, 287), min_size=1, max_size=40))
def test_any_day_is_drawn_with_a_bar_for_every_run(places: set[int]) -> None:
    windows = [window(MIDNIGHT + place * 300) for place in sorted(places)]
    (day,) = timeline.days([contact("ZB-1", windows=windows)], 300)
    drawn = timeline.picture(day)
    assert drawn.count('class="run') == len(day.rows[0].runs)
    hours = [int(hour) for hour in re.findall(r">(\d\d):00<", drawn)]
    assert hours == sorted(hours) and 0 <= hours[0] and hours[-1] <= 24


def test_the_graph_hangs_everybody_behind_whom_they_were_exposed_to() -> None:
    b, c, d = "ZB-B", "ZB-C", "ZB-D"
    found = graph.nodes(
        {
            "case": AN.serial,
            "contacts": [
                contact(d, degree=3, path=[AN.serial, b, c, d]),
                contact(c, degree=2, path=[AN.serial, b, c]),
                contact(b),
                contact("ZB-E", degree=2, path=[AN.serial, "ZB-gone", "ZB-E"]),
            ],
        },
        "",
    )
    assert [node.serial for node in found] == [AN.serial, b, c, d]
    assert [found[place].serial for place in graph.path(found, 3)] == [d, c, b, AN.serial]
    assert graph.picture(found).count("<a ") == 4


def test_names_in_pictures_are_text() -> None:
    person = {"name": '<script>"&'}
    windows = [window(MIDNIGHT)]
    (day,) = timeline.days([contact("ZB-1", windows=windows, person=person)], 300)
    nodes = graph.nodes({"case": "ZB-0", "contacts": [contact("ZB-1", person=person)]}, "")
    for drawn in (timeline.picture(day), graph.picture(nodes)):
        assert "<script" not in drawn and "&lt;script&gt;" in drawn


@pytest.mark.parametrize(
    ("kept", "shown"),
    [("+84912345678", "0912 345 678"), ("+842438225566", "024 3822 5566"),
     ("+842363822556", "0236 3822 556"), (None, ""), ("12", "12")],
)  # fmt: skip
def test_phones_are_shown_as_people_write_them(kept: str | None, shown: str) -> None:
    assert words.phone(kept) == shown
