"""The typeface of everything printed: Be Vietnam Pro (SIL OFL 1.1), as the package brings it."""

from pathlib import Path
from typing import TYPE_CHECKING

from fontpkg_be_vietnam_pro import ROOT

if TYPE_CHECKING:
    # ReportLab takes a fifth of a second to read: whoever prints reads it.
    from reportlab.pdfbase.pdfmetrics import Font


def file(name: str) -> Path:
    """Its TrueType file; name such as BeVietnamPro-SemiBold."""
    return ROOT / "files" / f"{name}.ttf"


def font(name: str) -> "Font":
    """It, known to reportlab by its name. reportlab may have forgotten it since the last time."""
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    if name not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(TTFont(name, str(file(name))))
    return pdfmetrics.getFont(name)
