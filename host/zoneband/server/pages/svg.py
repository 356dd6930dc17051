"""Little helpers for SVG made on the server."""

from functools import cache
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from zoneband import fonts

if TYPE_CHECKING:
    # Read when a text must first be measured.
    from reportlab.pdfbase.ttfonts import TTFont


def element(name: str, content: str = "", **attributes: object) -> str:
    """One element; content is SVG already. An attribute's "_" stands for "-", a last one is cut
    (class_)."""
    text = "".join(
        f" {key.rstrip('_').replace('_', '-')}={quoteattr(_value(value))}"
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{text}>{content}</{name}>" if content else f"<{name}{text}/>"


def text(content: str, **attributes: object) -> str:
    """An element with text in it."""
    return element("text", escape(content), **attributes)


def title(content: str, **attributes: object) -> str:
    """What a thing is, as screen readers and tooltips say it."""
    return element("title", escape(content), **attributes)


def fit(content: str, width: float, size: float, weight: str = "Regular") -> str:
    """A text cut to a width, both in the drawing's units, as Be Vietnam Pro sets it."""
    font = _font(weight)
    if font.stringWidth(content, size) <= width:
        return content
    while content and font.stringWidth(content + "…", size) > width:
        content = content[:-1]
    return content.rstrip() + "…"


def _value(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


@cache
def _font(weight: str) -> "TTFont":
    from reportlab.pdfbase.ttfonts import TTFont

    return TTFont(f"Page-{weight}", str(fonts.file(f"BeVietnamPro-{weight}")))
