"""What a tracer does in a browser: log in, declare a case, see whom to call and why, save the list.

Vietnamese texts are read from the catalogue, so that a better word breaks nothing here.
"""

import csv
import io
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import axe_playwright_python
import pypdfium2
import pytest
from conftest import Site
from playwright.sync_api import Page, expect

from town import (
    AN,
    BINH,
    CUONG,
    DUNG,
    EM,
    GIANG,
    HAI,
    KHANH,
    LINH,
    MARKET,
    NAME,
    ONSET,
    PASSWORD,
    PHUONG,
)
from zoneband.i18n import _, reading

pytestmark = pytest.mark.timeout(400)

TO_CALL = [BINH, CUONG, EM]
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def vi(text: str) -> str:
    with reading("vi"):
        return _(text)


@pytest.fixture(scope="session")
def case(site: Site) -> int:
    """The number of An's case, declared as a tracer does."""
    with site.context() as context:
        page = context.new_page()
        page.goto("/tracer/")
        declare(page, AN.serial, ONSET)
        return int(page.url.split("/cases/")[1].split("?")[0])


@pytest.fixture
def page(site: Site) -> Generator[Page]:
    """A page of somebody who is logged in and reads Vietnamese."""
    with site.context() as context:
        yield context.new_page()


def code_of(page: Page) -> str:
    """A code of health staff, made on the page of cases; there again afterwards."""
    page.get_by_role("button", name=vi("Make a code")).click()
    code = page.locator("main strong").inner_text()
    page.goto("/tracer/")
    return code


def declare(page: Page, serial: str, day: str) -> None:
    code = code_of(page)
    page.fill("#serial", serial)
    page.fill("#day", day)
    page.fill("#code", code)
    page.get_by_role("button", name=vi("Declare a case")).click()
    page.wait_for_url("**/tracer/cases/*")


def names(page: Page, section: str) -> list[str]:
    rows = page.locator(f"section[aria-labelledby='{section}'] tbody tr th a:first-child")
    return rows.all_text_contents()


# --- logging in ----------------------------------------------------------------------------------


def test_nobody_sees_a_page_before_the_login_and_comes_to_it_after(site: Site, case: int) -> None:
    with site.context(logged_in=False) as context:
        page = context.new_page()
        page.goto(f"/tracer/cases/{case}/timeline?degrees=2")
        assert "/tracer/login" in page.url
        page.fill("#name", NAME)
        page.fill("#password", PASSWORD)
        page.fill("#code", "000000")
        page.click("main button")
        expect(page.get_by_role("alert")).to_be_visible()
        expect(page.locator("#name")).to_have_value(NAME)
        expect(page.locator("#password")).to_have_value("")
        page.fill("#password", PASSWORD)
        page.fill("#code", site.town.code())
        page.click("main button")
        page.wait_for_url(f"**/tracer/cases/{case}/timeline?degrees=2")
        page.get_by_role("button", name=vi("Log out")).click()
        expect(page.get_by_role("status")).to_have_text(vi("You are logged out."))
        page.goto("/tracer/")
        assert "/tracer/login" in page.url


def test_scripts_can_neither_read_the_session_nor_run_from_a_page(page: Page, case: int) -> None:
    blocked: list[str] = []
    page.on("console", lambda message: blocked.append(message.text))
    page.goto(f"/tracer/cases/{case}")
    assert page.evaluate("document.cookie") == ""
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'),"
        "{textContent: 'window.ran = 1'}))"
    )
    assert page.evaluate("window.ran") is None
    assert any("Content Security Policy" in text for text in blocked)


# --- whom to call --------------------------------------------------------------------------------


def test_contacts_stand_in_the_order_of_calling_with_phone_and_reason(
    page: Page, case: int
) -> None:
    page.goto(f"/tracer/cases/{case}")
    assert names(page, "to-call") == [who.name for who in TO_CALL]
    assert set(names(page, "others")) == {DUNG.name, PHUONG.name}
    first = page.locator(f"#contact-{BINH.serial}-1")
    expect(first).to_contain_text("0987 654 321")
    expect(first.locator(".why li").first).not_to_be_empty()
    # Only one of the two bands was ever docked: the row says so.
    lone = page.locator(f"#contact-{EM.serial}-0, #contact-{EM.serial}-1")
    assert lone.locator(".why li").count() >= 2
    # Nor has its log told who wore it: the hand-out's record does.
    expect(lone).to_contain_text("0555 666 777")
    expect(page.get_by_role("link", name=MARKET.serial)).to_be_visible()


def test_chains_name_the_way_from_the_case(page: Page, case: int) -> None:
    page.goto(f"/tracer/cases/{case}")
    page.select_option("#degrees", "3")
    page.get_by_role("button", name=vi("Show")).click()
    assert GIANG.name in names(page, "to-call") and HAI.name in names(page, "to-call")
    row = page.locator("tr", has_text=HAI.name)
    expect(row).to_contain_text(f"F0 → {BINH.name} → {GIANG.name}")
    expect(row).to_contain_text("F3")


def test_another_rule_set_counts_otherwise(page: Page, case: int) -> None:
    page.goto(f"/tracer/cases/{case}?rules=gaen")
    assert DUNG.name in names(page, "to-call")
    page.goto(f"/tracer/cases/{case}?rules=none-such")
    expect(page.get_by_role("heading", level=1)).to_have_text(vi("Not done"))


def test_a_contact_shows_its_evidence_from_both_bands(page: Page, case: int) -> None:
    page.goto(f"/tracer/cases/{case}")
    page.get_by_role("link", name=CUONG.name).click()
    page.locator("details").last.locator("summary").click()
    observers = page.locator("details").last.locator("tbody td.serial").all_text_contents()
    assert {AN.serial, CUONG.serial} <= set(observers)


def test_a_call_is_noted_with_who_and_when(page: Page, case: int) -> None:
    page.goto(f"/tracer/cases/{case}")
    row = page.locator("tr", has_text=CUONG.name)
    row.get_by_role("combobox").select_option("reached")
    row.get_by_role("button").click()
    expect(page.get_by_role("status")).to_have_text(vi("The call is noted."))
    row = page.locator("tr", has_text=CUONG.name)
    expect(row.get_by_role("combobox")).to_have_value("reached")
    expect(row).to_contain_text(NAME)


def test_a_wrong_serial_or_day_is_said_at_the_form_and_nothing_typed_is_lost(page: Page) -> None:
    page.goto("/tracer/")
    page.fill("#serial", "ZB-1234-5678")
    page.fill("#day", ONSET)
    page.get_by_role("button", name=vi("Declare a case")).click()
    expect(page.get_by_role("alert")).to_contain_text("ZB-1234-5678")
    expect(page.locator("#serial")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#day")).to_have_value(ONSET)
    assert page.title().startswith(vi("Error"))
    page.fill("#serial", MARKET.serial)
    page.get_by_role("button", name=vi("Declare a case")).click()
    expect(page.get_by_role("alert")).to_contain_text(MARKET.serial)


def test_of_a_band_that_was_handed_on_a_tracer_says_whose_case_it_is(page: Page) -> None:
    page.goto("/tracer/")
    code = code_of(page)
    page.fill("#serial", KHANH.serial)
    page.fill("#day", "2026-11-01")
    page.fill("#code", code)
    page.get_by_role("button", name=vi("Declare a case")).click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert page.get_by_role("radio", name=KHANH.name).is_visible()
    page.get_by_role("radio", name=LINH.name).check()
    page.get_by_role("button", name=vi("Declare a case")).click()
    page.wait_for_url("**/tracer/cases/*")
    expect(page.get_by_role("heading", level=1)).to_contain_text(LINH.name)


def test_a_withdrawn_case_is_traced_no_more_and_names_whom_somebody_called(
    site: Site, page: Page
) -> None:
    page.goto("/tracer/")
    declare(page, HAI.serial, ONSET)
    row = page.locator("tr", has_text=GIANG.name)
    row.get_by_role("combobox").select_option("reached")
    row.get_by_role("button").click()
    page.locator("section.ending summary").click()
    page.check("#withdraw")
    page.fill("#reason", "nhầm vòng")
    page.locator("section.ending button").click()
    expect(page.get_by_role("status")).to_have_text(vi("The case is withdrawn."))
    assert names(page, "to-call") == []
    expect(page.locator("section[aria-labelledby=told]")).to_contain_text(GIANG.name)
    expect(page.locator(".notes, .facts").first).to_be_visible()
    expect(page.locator("main")).to_contain_text("nhầm vòng")


# --- timeline and graph --------------------------------------------------------------------------


def test_the_timeline_has_a_bar_for_every_meeting_and_a_table_that_says_the_same(
    page: Page, case: int
) -> None:
    page.goto(f"/tracer/cases/{case}/timeline")
    drawn = set(page.locator("svg.timeline .who").all_text_contents())
    assert drawn == {who.name for who in TO_CALL} | {MARKET.serial}
    page.get_by_role("link", name=vi("Also those who need not be called")).click()
    page.wait_for_url("**/timeline?all=1")  # whole: what is counted is not waited for
    for day in ("2026-11-01", "2026-11-02", "2026-11-03"):
        section = page.locator(f"section[aria-labelledby='{day}']")
        bars = section.locator("svg rect.run")
        assert bars.count() == section.locator("tbody tr").count() > 0
    # On 2 November, Cường near from 8 to 10:30 in Vietnam, and far after noon.
    second = page.locator("section[aria-labelledby='2026-11-02'] svg")
    titles = second.locator("rect.run title").all_text_contents()
    assert any(title.startswith("08:00–10:30") for title in titles)
    assert second.locator("rect.none").count() >= 2 and second.locator("rect.full").count() >= 3
    assert second.locator("rect.one").count() >= 1


def test_the_graph_marks_the_path_of_whoever_is_chosen(page: Page, case: int) -> None:
    page.goto(f"/tracer/cases/{case}/graph?degrees=3")
    marked = page.locator(".graph .node.on .who")
    assert marked.count() == 0
    page.locator(f"#node-{HAI.serial}-1").click()
    chain = [AN.name, BINH.name, GIANG.name, HAI.name]
    assert sorted(marked.all_text_contents()) == sorted(chain)
    assert page.locator(".graph .line.on").count() == 3
    page.locator(f"#node-{CUONG.serial}-1").focus()
    assert sorted(marked.all_text_contents()) == sorted([AN.name, CUONG.name])


def test_all_of_it_works_without_scripts(site: Site, case: int) -> None:
    with site.context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"/tracer/cases/{case}/graph?degrees=3")
        page.locator(f"#node-{GIANG.serial}-1").click()
        chosen = page.locator(".graph .node.on .who").all_text_contents()
        assert sorted(chosen) == sorted([AN.name, BINH.name, GIANG.name])
        page.goto(f"/tracer/cases/{case}")
        row = page.locator("tr", has_text=BINH.name)
        row.get_by_role("combobox").select_option("no_answer")
        row.get_by_role("button").click()
        expect(page.get_by_role("status")).to_have_text(vi("The call is noted."))


# --- the call list -------------------------------------------------------------------------------


def saved(page: Page, name: str) -> bytes:
    with page.expect_download() as waiting:
        page.get_by_role("link", name=name).click()
    path = waiting.value.path()
    return path.read_bytes()


def test_the_call_list_as_csv_reads_back_in_order(page: Page, case: int) -> None:
    page.goto(f"/tracer/cases/{case}?degrees=3")
    raw = saved(page, "CSV")
    assert raw.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"))))
    assert [row[vi("name")] for row in rows][:1] == [BINH.name]
    assert {row[vi("name")] for row in rows} == {w.name for w in (*TO_CALL, GIANG, HAI)}
    assert rows[0][vi("phone")] == "0987 654 321"
    assert rows[-1][vi("degree")] == "F3"


def test_the_call_list_as_pdf_reads_back_in_vietnamese(page: Page, case: int) -> None:
    page.goto(f"/tracer/cases/{case}?degrees=3")
    document = pypdfium2.PdfDocument(saved(page, "PDF"))
    text = " ".join("".join(each.get_textpage().get_text_range() for each in document).split())
    for who in (*TO_CALL, GIANG, HAI):
        assert who.name in text
    assert DUNG.name not in text and "0987 654 321" in text
    assert text.index(BINH.name) < text.index(CUONG.name) < text.index(EM.name)
    assert vi("Call list of case {number}").format(number=case) in text


def test_on_paper_there_is_the_list_and_none_of_the_buttons(page: Page, case: int) -> None:
    page.goto(f"/tracer/cases/{case}")
    page.emulate_media(media="print")
    expect(page.locator("section[aria-labelledby=to-call] table")).to_be_visible()
    for gone in (".top", ".filter", ".save", ".tabs", "section[aria-labelledby=others]"):
        expect(page.locator(gone)).to_be_hidden()
    assert page.locator("main button:visible, main select:visible").count() == 0


# --- places --------------------------------------------------------------------------------------


def test_a_place_tells_who_was_there_and_how_long_with_the_case(page: Page, case: int) -> None:
    page.goto(f"/tracer/cases/{case}")
    page.get_by_role("link", name=MARKET.serial).click()
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(2)
    with_case = page.locator("tr", has_text=PHUONG.name)
    # An was there from 17:00 to 17:30, Phượng from 17:15 on.
    expect(with_case.locator("td.strong")).to_have_text("15")


# --- languages, access, small screens ------------------------------------------------------------


def pages_of(case: int) -> list[str]:
    return [
        "/tracer/",
        f"/tracer/cases/{case}?degrees=3",
        f"/tracer/cases/{case}/timeline?degrees=3&all=1",
        f"/tracer/cases/{case}/graph?degrees=3&all=1&show={HAI.serial}-1",
        f"/tracer/cases/{case}/contacts/{CUONG.serial}-1",
        "/tracer/venues",
        f"/tracer/venues/{MARKET.serial}?from=2026-11-01&to=2026-11-03&case={case}",
        "/tracer/cases/999999",
    ]


def test_the_language_is_the_readers_and_can_be_switched_for_good(site: Site, case: int) -> None:
    with site.context("en") as context:
        page = context.new_page()
        page.goto(f"/tracer/cases/{case}?degrees=2")
        assert page.locator("html").get_attribute("lang") == "en"
        expect(page.get_by_role("heading", name="To call: 4")).to_be_visible()
        page.get_by_role("link", name="Tiếng Việt").click()
        assert page.locator("html").get_attribute("lang") == "vi"
        expect(page.locator("#degrees")).to_have_value("2")
        page.goto("/tracer/")
        expect(page.get_by_role("heading", level=1)).to_have_text(vi("Cases"))


def violations(page: Page, contrast: bool = True) -> list[str]:
    """What axe finds. Colours are the same in every language, and most of its work."""
    page.evaluate(AXE)
    rules = {} if contrast else {"color-contrast": {"enabled": False}}
    options = json.dumps({"runOnly": TAGS, "rules": rules, "resultTypes": ["violations"]})
    found: dict[str, Any] = page.evaluate(f"axe.run(document, {options})")
    return [
        f"{page.url}: {each['id']}: {node['html'][:160]}"
        for each in found["violations"]
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("language", ["vi", "en"])
def test_axe_finds_no_violation_on_any_page(site: Site, case: int, language: str) -> None:
    found: list[str] = []
    with site.context(language) as context:
        page = context.new_page()
        for path in pages_of(case):
            page.goto(path)
            page.evaluate("document.querySelectorAll('details').forEach((d) => d.open = true)")
            found += violations(page, language == "vi")
    with site.context(language, logged_in=False) as context:
        page = context.new_page()
        page.goto("/tracer/login")
        page.click("main button", no_wait_after=True)
        found += violations(page)
    assert found == []


def test_no_page_scrolls_sideways_at_320_pixels_and_axe_is_content_there(
    site: Site, case: int
) -> None:
    found: list[str] = []
    small = {"width": 320, "height": 640}
    with site.context(viewport=small) as context:
        page = context.new_page()
        for path in pages_of(case):
            page.goto(path)
            page.evaluate("document.querySelectorAll('details').forEach((d) => d.open = true)")
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= 320, (path, wide)
        page.goto(f"/tracer/cases/{case}?degrees=3")
        found += violations(page)
    assert found == []


def test_the_keyboard_alone_is_enough(site: Site) -> None:
    with site.context(logged_in=False) as context:
        page = context.new_page()
        page.goto("/tracer/")
        page.keyboard.press("Tab")
        expect(page.locator(".skip")).to_be_focused()
        page.keyboard.press("Enter")
        for text in (NAME, PASSWORD, site.town.code()):
            page.keyboard.press("Tab")
            page.keyboard.type(text)
        page.keyboard.press("Enter")
        page.wait_for_url("**/tracer/")
        walk_to(page, "section.panel form[action$=codes] button.main")
        page.keyboard.press("Enter")
        code = page.locator("main strong").inner_text()
        page.goto("/tracer/")
        walk_to(page, "#serial")
        page.keyboard.type(GIANG.serial)
        walk_to(page, "#day")
        # The browser's own language decides what comes first, day or month.
        page.keyboard.type("03112026")
        if page.locator("#day").input_value() != ONSET:
            page.keyboard.press("ArrowLeft")
            page.keyboard.press("ArrowLeft")
            page.keyboard.type("11032026")
        assert page.locator("#day").input_value() == ONSET
        walk_to(page, "#code")
        page.keyboard.type(code)
        walk_to(page, "form[action$='/cases'] button.main")
        page.keyboard.press("Enter")
        page.wait_for_url("**/tracer/cases/*")
        walk_to(page, "nav.tabs li:nth-child(3) a")
        page.keyboard.press("Enter")
        page.wait_for_url("**/graph")
        walk_to(page, ".graph a.node.call")
        assert page.locator(".graph .node.on").count() == 2


def walk_to(page: Page, selector: str) -> None:
    """Press Tab until an element has the focus; everything on the way shows that it has it."""
    for _step in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("(s) => document.activeElement.matches(s)", selector):
            break
        seen = page.evaluate(
            "() => { const e = document.activeElement, s = getComputedStyle(e);"
            " return e === document.body || e.matches('svg a') || s.outlineStyle !== 'none' }"
        )
        assert seen, page.evaluate("document.activeElement.outerHTML")
    else:
        raise AssertionError(f"Tab never came to {selector}")
