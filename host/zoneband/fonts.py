"""The typeface of everything printed: Be Vietnam Pro (SIL OFL 1.1), as the package brings it."""

from pathlib import Path

from fontpkg_be_vietnam_pro import ROOT
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont


def file(name: str) -> Path:
    """Its TrueType file; name such as BeVietnamPro-SemiBold."""
    return ROOT / "files" / f"{name}.ttf"


def font(name: str) -> pdfmetrics.Font:
    """It, known to reportlab by its name. reportlab may have forgotten it since the last time."""
    if name not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(TTFont(name, str(file(name))))
    return pdfmetrics.getFont(name)
