"""Labels: read as a phone and a printer read them."""

import io
import os
import random
import subprocess
import sys
import unicodedata
from functools import cache
from itertools import combinations
from pathlib import Path

import pypdfium2
import pypdfium2.raw as pdfium
import pytest
import zxingcpp
from PIL import Image

from zoneband import serials
from zoneband.flash import label

ONE = "ZB-7F3K-92QD"
# No label is wider or narrower than these.
WIDEST, NARROWEST = "ZB-WWWW-WWWW", "ZB-1111-1111"
HOST = Path(label.__file__).parents[2]
MM = 72 / 25.4
QUIET_MM = 4 * 8 * 25.4 / 300
VIETNAMESE = "Nhặt được? Xin mang đến trạm y tế xã, phường gần nhất."
ENGLISH = "Found it? Please bring it to the nearest health station."


def some(count: int) -> list[str]:
    below = random.Random(count).randrange
    return [WIDEST, NARROWEST, ONE, *(serials.make(below) for _ in range(count))][:count]


@cache
def pdf(count: int) -> bytes:
    return label.sheet(some(count))


def picture(serial: str) -> Image.Image:
    return Image.open(io.BytesIO(label.png(serial)))


def words(text: str) -> str:
    return " ".join(text.split())


def letters(page: pypdfium2.PdfPage) -> list[tuple[str, float, float, tuple[float, ...]]]:
    """Of every visible letter: itself, its size in points, its baseline and the box of its ink:
    left, top, right, bottom. Millimetres from the page's left upper corner."""
    text, found = page.get_textpage(), []
    height = page.get_height()
    for i in range(text.count_chars()):
        letter = text.get_text_range(i, 1)
        if not letter.strip():
            continue
        left, bottom, right, top = text.get_charbox(i)
        x, y = pdfium.c_double(), pdfium.c_double()
        pdfium.FPDFText_GetCharOrigin(text, i, x, y)
        box = (left / MM, (height - top) / MM, right / MM, (height - bottom) / MM)
        size = pdfium.FPDFText_GetFontSize(text, i)
        found.append((letter, size, (height - y.value) / MM, box))
    return found


@pytest.mark.parametrize("serial", some(12))
def test_the_picture_scans_as_the_serial_and_nothing_else(serial: str) -> None:
    (code,) = zxingcpp.read_barcodes(picture(serial))
    assert (code.text, code.format) == (serial, zxingcpp.BarcodeFormat.QRCode)
    assert code.ec_level == "Q"


def test_every_code_of_a_sheet_scans_in_its_own_place() -> None:
    page = pypdfium2.PdfDocument(pdf(40))[0]
    codes = zxingcpp.read_barcodes(page.render(scale=300 / 72).to_pil())

    def place(code: zxingcpp.Barcode) -> int:
        x, y = code.position.top_left.x * 25.4 / 300, code.position.top_left.y * 25.4 / 300
        return int((y - 21.5) // 25.4) * 4 + int((x - 8) // 48.5)

    assert [code.text for code in sorted(codes, key=place)] == some(40)
    assert {place(code) for code in codes} == set(range(40))


def test_the_picture_is_50_by_25_mm_at_300_dpi() -> None:
    image = picture(ONE)
    assert image.format == "PNG"
    assert image.size == (round(50 / 25.4 * 300), round(25 / 25.4 * 300))
    assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)


@pytest.mark.parametrize("serial", [ONE, WIDEST, NARROWEST, "ZB-GCQS-0698"])
def test_the_picture_keeps_its_margins_and_the_codes_quiet_zone(serial: str) -> None:
    image = picture(serial).convert("L").point(lambda grey: 255 if grey < 255 else 0)
    left, top, right, bottom = image.getbbox()
    edge = 1.5 * 300 / 25.4
    assert left >= edge and top >= edge
    assert right <= image.width - edge and bottom <= image.height - edge
    (code,) = zxingcpp.read_barcodes(picture(serial))
    x, y = code.position.top_left.x, code.position.top_left.y
    side = 21 * 8
    around = image.crop((x - 32, y - 32, x + side + 32, y + side + 32))
    assert around.getbbox() == (32, 32, 32 + side, 32 + side)


def test_the_sheet_is_a4_with_40_labels_a_page() -> None:
    for count, pages in ((1, 1), (31, 1), (40, 1), (41, 2), (81, 3)):
        document = pypdfium2.PdfDocument(pdf(count))
        assert len(document) == pages
        for page in document:
            assert page.get_size() == pytest.approx((210 * MM, 297 * MM), abs=0.01)
    assert document[2].get_textpage().get_text_range().count("Zoneband") == 1


def test_the_sheets_text_reads_as_serials_and_both_sentences() -> None:
    pages = list(pypdfium2.PdfDocument(pdf(41)))
    text = words(" ".join(page.get_textpage().get_text_range() for page in pages))
    assert text == " ".join(f"Zoneband {VIETNAMESE} {ENGLISH} {serial}" for serial in some(41))
    assert unicodedata.is_normalized("NFC", text)


@pytest.mark.parametrize("language", ["vi", "en"])
def test_a_label_is_in_both_languages_whatever_the_users_is(
    language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoneband.i18n._chosen", language)
    assert label.sheet(some(40)) == pdf(40)


def test_the_sheet_is_drawn_of_shapes_and_fonts_it_carries() -> None:
    data = pdf(41)
    document = pypdfium2.PdfDocument(data)
    assert document.get_metadata_value("Title") == "Zoneband labels"
    kinds = {thing.type for page in document for thing in page.get_objects()}
    assert kinds == {pdfium.FPDF_PAGEOBJ_TEXT, pdfium.FPDF_PAGEOBJ_PATH}
    fonts = {
        (thing.get_font().get_base_name().split("+")[-1], thing.get_font().is_embedded)
        for thing in document[0].get_objects([pdfium.FPDF_PAGEOBJ_TEXT])
    }
    assert fonts == {
        (f"BeVietnamPro-{weight}", True) for weight in ("Bold", "SemiBold", "Medium", "Regular")
    }


def test_no_letter_leaves_its_sticker_or_enters_the_codes_quiet_zone() -> None:
    for letter, _size, _baseline, (left, top, right, bottom) in letters(
        pypdfium2.PdfDocument(pdf(40))[0]
    ):
        x, y = (left - 8) % 48.5, (top - 21.5) % 25.4
        assert x >= 2 and x + right - left <= 48.5 - 2, letter
        assert y >= 2 and y + bottom - top <= 25.4 - 1.5, letter
        edge = 21 * 8 * 25.4 / 300 + 2 * QUIET_MM
        assert x >= edge - 0.01 or y >= edge + 0.2 - 0.01, letter


def test_no_letter_touches_one_of_another_line() -> None:
    for serial in (ONE, WIDEST):
        found = letters(pypdfium2.PdfDocument(label.sheet([serial]))[0])
        assert len({round(baseline, 2) for _, _, baseline, _ in found}) == 7
        for (one, _, y1, box1), (other, _, y2, box2) in combinations(found, 2):
            if abs(y1 - y2) > 0.1:
                apart = max(box2[0] - box1[2], box1[0] - box2[2], box2[1] - box1[3])
                assert max(apart, box1[1] - box2[3]) > 0, (one, other)


def test_type_is_5_points_at_least_and_the_serial_is_large() -> None:
    found = letters(pypdfium2.PdfDocument(pdf(40))[0])
    assert min(size for _, size, _, _ in found) >= 5
    for serial, least in ((ONE, 13), (NARROWEST, 13), (WIDEST, 10)):
        page = pypdfium2.PdfDocument(label.sheet([serial]))[0]
        assert {size >= least for _, size, _, _ in letters(page)[-len(serial) :]} == {True}


def test_the_same_serials_give_the_same_bytes_in_any_process() -> None:
    again = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from zoneband.flash import label\n"
            "sys.stdout.buffer.write(label.png(sys.argv[1]) + label.sheet(sys.argv[1:]))",
            *some(41),
        ],
        env=os.environ | {"PYTHONPATH": str(HOST), "PYTHONHASHSEED": "7"},
        capture_output=True,
        check=True,
    )
    label.sheet(some(5))
    assert label.png(some(41)[0]) + label.sheet(some(41)) == again.stdout


def test_no_serials_are_no_sheet() -> None:
    with pytest.raises(ValueError):
        label.sheet([])


@pytest.mark.parametrize(
    "text", ["", "ZB-7F3K-92Q", "zb-7f3k-92qd", "ZB-7F3K-92QD\n", "ZB-OOOO-OOOO"]
)
def test_what_has_not_the_form_of_a_serial_is_not_drawn(text: str) -> None:
    with pytest.raises(ValueError):
        label.png(text)
    with pytest.raises(ValueError):
        label.sheet([ONE, text])
