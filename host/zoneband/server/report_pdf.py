"""The call list of a case on pages to print (PDF)."""

import io
from collections.abc import Sequence
from typing import Any, Literal
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase.pdfmetrics import registerFontFamily
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table

from zoneband import fonts
from zoneband.i18n import _
from zoneband.server.report import CallList, Line

_REGULAR, _BOLD = "BeVietnamPro-Regular", "BeVietnamPro-SemiBold"
_PADDING = 6  # points, of ReportLab's own frames


def as_pdf(calls: CallList) -> bytes:
    """A4 across, the table's head on every page, space to note on paper what came of a call."""
    _fonts()
    out = io.BytesIO()
    page = landscape(A4)
    document = SimpleDocTemplate(
        out,
        pagesize=page,
        leftMargin=12 * mm,
        rightMargin=12 * mm,
        topMargin=12 * mm,
        bottomMargin=16 * mm,
        title=calls.title,
        author="Zoneband",
    )
    body: list[Any] = [Paragraph(_shown(calls.title), _style(15, _BOLD)), Spacer(1, 2 * mm)]
    facts = " · ".join(f"<b>{_shown(_begun(k))}:</b> {_shown(v)}" for k, v in calls.head)
    body += [Paragraph(facts, _style(9)), Spacer(1, 1.5 * mm)]
    body += [Paragraph("• " + _shown(note), _style(9)) for note in calls.notes]
    body.append(Spacer(1, 3 * mm))
    if calls.lines:
        body.append(_table(calls.lines, page[0] - 24 * mm - 2 * _PADDING))
    else:
        body.append(Paragraph(_shown(_("Nobody has to be called.")), _style(10)))

    def foot(canvas: Canvas, _document: SimpleDocTemplate) -> None:
        canvas.setFont(_REGULAR, 7.5)
        canvas.setFillColor(colors.HexColor("#3d4a54"))
        secret = _("Personal data: keep it locked away, and shred it when the calls are made.")
        canvas.drawString(12 * mm, 9 * mm, f"{calls.made} · {secret}")
        canvas.drawRightString(
            page[0] - 12 * mm, 9 * mm, _("page {n}").format(n=canvas.getPageNumber())
        )

    document.build(body, onFirstPage=foot, onLaterPages=foot)
    return out.getvalue()


def _table(lines: Sequence[Line], wide: float) -> Table:
    small, bold, right = _style(8.5), _style(8.5, _BOLD), _style(8.5, align=2)
    heads = (
        _("No."),
        _("name"),
        _("phone"),
        _("band"),
        _("minutes counted"),
        _("first and last"),
        _("why"),
        _("call"),
        _("noted by hand"),
    )
    rows: list[list[Paragraph]] = [[Paragraph(_shown(_begun(head)), bold) for head in heads]]
    for line in lines:
        born = f"<br/>{_shown(line.birth_year)}" if line.birth_year else ""
        whose = f"<br/>{_shown(line.phone_of)}" if line.phone_of else ""
        path = f"<br/>{_shown(line.path)}" if line.path else ""
        rows.append(
            [
                Paragraph(str(line.place), right),
                Paragraph(f'<font name="{_BOLD}">{_shown(line.name) or "—"}</font>{born}', small),
                Paragraph(f"{_shown(line.phone) or '—'}{whose}", small),
                Paragraph(f"{_shown(line.band)}<br/>{_shown(line.degree)}{path}", small),
                Paragraph(_shown(line.counted), right),
                Paragraph(f"{_shown(line.first)}<br/>{_shown(line.last)}", small),
                Paragraph(_shown(line.why), small),
                Paragraph(_shown(line.state), small),
                Paragraph("", small),
            ]
        )
    shares = (0.04, 0.14, 0.1, 0.13, 0.07, 0.12, 0.2, 0.09, 0.11)
    table = Table(rows, colWidths=[share * wide for share in shares], repeatRows=1, splitInRow=1)
    table.setStyle(
        [
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("GRID", (0, 0), (-1, -1), 0.4, colors.HexColor("#8a969e")),
            ("BACKGROUND", (0, 0), (-1, 0), colors.HexColor("#e3edef")),
            ("TOPPADDING", (0, 0), (-1, -1), 3),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 4),
            ("LEFTPADDING", (0, 0), (-1, -1), 4),
            ("RIGHTPADDING", (0, 0), (-1, -1), 4),
        ]
    )
    return table


def _begun(text: str) -> str:
    return text[:1].upper() + text[1:]


def _shown(text: str) -> str:
    # For ReportLab's little markup language. Be Vietnam Pro has no arrows.
    plain = "".join(c if c.isprintable() else " " for c in text)
    return escape(plain.replace("→", "›"))


def _style(size: float, font: str = _REGULAR, align: Literal[0, 2] = 0) -> ParagraphStyle:
    return ParagraphStyle(
        f"{font}-{size}-{align}", fontName=font, fontSize=size, leading=size * 1.4, alignment=align
    )


def _fonts() -> None:
    for name in (_REGULAR, _BOLD):
        fonts.font(name)
    registerFontFamily(_REGULAR, normal=_REGULAR, bold=_BOLD, italic=_REGULAR, boldItalic=_BOLD)
