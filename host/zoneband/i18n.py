"""The user's language: Vietnamese or English, by gettext.

The catalogue is the .po file itself, read at the first text; no compiled file can be stale.
"""

import gettext
import io
import os
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LOCALE = Path(__file__).parent / "locale"
LANGUAGES = ("vi", "en")
_chosen: str | None = None
# Of the request that is being answered: a server speaks each reader's language.
_reader: ContextVar[str | None] = ContextVar("reader", default=None)


def set_language(language: str | None) -> None:
    """Choose "vi" or "en"; None lets LC_ALL, LC_MESSAGES or LANG decide."""
    global _chosen
    _chosen = language


@contextmanager
def reading(language: str) -> Generator[None]:
    """Texts in one language, for what runs inside (a thread, a task), whatever the program's."""
    before = _reader.set(language)
    try:
        yield
    finally:
        _reader.reset(before)


def language() -> str:
    """The language in use."""
    reader = _reader.get()
    if reader is not None:
        return reader
    if _chosen is not None:
        return _chosen
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name)
        if value:
            return "vi" if value.lower().startswith("vi") else "en"
    return "en"


@cache
def _catalogue(code: str) -> gettext.NullTranslations:
    path = LOCALE / code / "LC_MESSAGES" / "zoneband.po"
    if not path.exists():
        return gettext.NullTranslations()
    with path.open("rb") as f:
        catalogue = read_po(f)
    out = io.BytesIO()
    write_mo(out, catalogue)
    out.seek(0)
    return gettext.GNUTranslations(out)


def number(value: float, digits: int | None = None) -> str:
    """A number with the decimal sign of the language in use, and so many digits behind it; None: as
    many as it has."""
    text = f"{value:g}" if digits is None else f"{value:.{digits}f}"
    return text.replace(".", ",") if language() == "vi" else text


def _(text: str) -> str:
    """The text in the user's language."""
    return _catalogue(language()).gettext(text)
