"""Labels: one as a picture for a label printer, or many on A4 sheets of stickers.

A label is 50 x 25 mm: the QR code (the serial, nothing else), what to do with a band that was
found, and the serial in large type. It is in Vietnamese and in English, whatever the user's
language is: nobody knows who finds a band.

The sheet is Avery Zweckform 3657 and its like: 4 x 10 stickers of 48.5 x 25.4 mm without gaps,
8 mm from the left and 21.5 mm from the top, to be printed at 100 %. On plain paper the crosses
show where to cut.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import segno
from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import inch, mm
from reportlab.pdfgen.canvas import Canvas

from zoneband import durable, fonts
from zoneband import serials as band_serials

NAME = "Zoneband"
# Broken by hand, so that no line ends in the middle of a phrase.
FOUND_VI = ("Nhặt được? Xin mang", "đến trạm y tế", "xã, phường gần nhất.")
FOUND_EN = ("Found it? Please bring it to", "the nearest health station.")

DPI = 300
LABEL_MM = (50.0, 25.0)
STICKER_MM = (48.5, 25.4)
COLUMNS, ROWS = 4, 10
LEFT_MM, TOP_MM = 8.0, 21.5

# What is drawn, the same on both, and in the middle of either. Millimetres from its left upper
# corner; sizes of type in points.
_ART_MM = (48.5, 25.0)
_MODULE_PX = 8
_MODULE_MM = _MODULE_PX * 25.4 / DPI  # whole dots, so that the picture's code is sharp
_QUIET = 4  # modules; as the standard asks
_CODE_MM = _QUIET * _MODULE_MM
_TEXT_MM = (21 + 2 * _QUIET) * _MODULE_MM + 0.1  # behind the quiet zone
_SERIAL_PT = 13.4
_BOLD = "BeVietnamPro-Bold"


@dataclass(frozen=True)
class _Text:
    """One line of type. y: of its baseline; gap: points between its characters."""

    x: float
    y: float
    font: str
    size: float
    text: str
    gap: float = 0.0


def png(serial: str) -> bytes:
    """One label as a PNG at 300 dpi."""
    code = _code(serial)
    width, height = (round(side * DPI / 25.4) for side in LABEL_MM)
    left, top = ((whole - art) / 2 for whole, art in zip(LABEL_MM, _ART_MM, strict=True))
    image = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(image)
    x0, y0 = (round((edge + _CODE_MM) * DPI / 25.4) for edge in (left, top))
    for column, row, length in code:
        x, y = x0 + column * _MODULE_PX, y0 + row * _MODULE_PX
        draw.rectangle((x, y, x + length * _MODULE_PX - 1, y + _MODULE_PX - 1), 0)
    pixel = DPI / inch  # pixels in a point
    for line in _lines(serial):
        font = ImageFont.truetype(
            fonts.file(line.font),
            line.size * pixel,
            layout_engine=ImageFont.Layout.BASIC,  # the other depends on what the system has
        )
        x, y = (left + line.x) * mm * pixel, (top + line.y) * mm * pixel
        for character in line.text:
            draw.text((x, y), character, 0, font, anchor="ls")
            x += (_width(line.font, line.size, character) + line.gap) * pixel
    out = io.BytesIO()
    image.save(out, "PNG", dpi=(DPI, DPI))
    return out.getvalue()


def sheet(serials: Sequence[str]) -> bytes:
    """Labels on A4 pages as a PDF, row by row; the same bytes for the same serials.

    Raises ValueError when there are none."""
    if not serials:
        raise ValueError("no serials to print")
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4, pageCompression=1, invariant=1)
    canvas.setTitle(f"{NAME} labels")
    canvas.setViewerPreference("PrintScaling", "None")  # "fit to page" would miss the stickers
    page = COLUMNS * ROWS
    for first in range(0, len(serials), page):
        places: set[tuple[int, int]] = set()
        for place, serial in enumerate(serials[first : first + page]):
            row, column = divmod(place, COLUMNS)
            _draw(canvas, serial, column, row)
            places |= {(column + right, row + down) for right in (0, 1) for down in (0, 1)}
        _crosses(canvas, places)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def _draw(canvas: Canvas, serial: str, column: int, row: int) -> None:
    left = LEFT_MM + column * STICKER_MM[0] + (STICKER_MM[0] - _ART_MM[0]) / 2
    top = TOP_MM + row * STICKER_MM[1] + (STICKER_MM[1] - _ART_MM[1]) / 2
    # One path: between shapes drawn one by one, viewers let white lines through.
    path = canvas.beginPath()
    side = _MODULE_MM * mm
    for at, down, length in _code(serial):
        x = (left + _CODE_MM) * mm + at * side
        y = A4[1] - (top + _CODE_MM) * mm - (down + 1) * side
        path.rect(x, y, length * side, side)
    canvas.drawPath(path, stroke=0, fill=1)
    for line in _lines(serial):
        canvas.setFont(fonts.font(line.font).fontName, line.size)
        x, y = (left + line.x) * mm, A4[1] - (top + line.y) * mm
        canvas.drawString(x, y, line.text, charSpace=line.gap)


def _crosses(canvas: Canvas, places: set[tuple[int, int]]) -> None:
    """Hairlines where corners of stickers meet."""
    canvas.setLineWidth(0.25)
    canvas.setStrokeGray(0.5)
    arm = 1.5 * mm
    for column, row in sorted(places):
        x = (LEFT_MM + column * STICKER_MM[0]) * mm
        y = A4[1] - (TOP_MM + row * STICKER_MM[1]) * mm
        canvas.line(x - arm, y, x + arm, y)
        canvas.line(x, y - arm, x, y + arm)


def keep(folder: Path, serial: str) -> Path:
    """Write a band's label into a folder as SERIAL.png; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{serial}.png"
    picture = png(serial)
    durable.write(path, lambda f: f.write(picture))
    return path


def keep_sheet(folder: Path, serials: Sequence[str]) -> Path:
    """Write a sheet of labels into a folder under the time of day; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{datetime.now():%Y%m%d-%H%M%S}.pdf"
    drawn = sheet(serials)
    durable.write(path, lambda f: f.write(drawn))
    return path


def _code(serial: str) -> list[tuple[int, int, int]]:
    """The QR code's dark runs: column, row and length in modules, without the quiet zone."""
    if not re.fullmatch(band_serials.PATTERN, serial):
        raise ValueError(f"no serial: {serial!r}")
    code = segno.make_qr(serial, error="q", version=1, boost_error=False)
    return [
        (run.start(), row, len(run[0]))
        for row, line in enumerate(code.matrix)
        for run in re.finditer(rb"\x01+", bytes(line))
    ]


def _lines(serial: str) -> list[_Text]:
    """All type of a label."""
    # Spread from margin to margin, so that all are as wide; the rarest (many W) are set smaller.
    room = (_ART_MM[0] - 2 * _CODE_MM) * mm
    size = min(_SERIAL_PT, 0.98 * room / _width(_BOLD, 1, serial))
    gap = (room - _width(_BOLD, size, serial)) / (len(serial) - 1)
    vi, en = "BeVietnamPro-Medium", "BeVietnamPro-Regular"
    return [
        # From the code's upper edge to its lower one.
        _Text(_TEXT_MM, 4.9, "BeVietnamPro-SemiBold", 8.5, NAME),
        *(_Text(_TEXT_MM, 7.75 + 2.25 * i, vi, 6.0, text) for i, text in enumerate(FOUND_VI)),
        *(_Text(_TEXT_MM, 14.8 + 2.11 * i, en, 5.6, text) for i, text in enumerate(FOUND_EN)),
        _Text(_CODE_MM, 23.22, _BOLD, size, serial, gap),
    ]


def _width(font: str, size: float, text: str) -> float:
    """Points that a text takes."""
    return float(fonts.font(font).stringWidth(text, size))
