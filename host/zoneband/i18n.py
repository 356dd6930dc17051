"""The user's language: Vietnamese or English, by gettext.

The catalogue is the .po file. It is compiled where it lies, at the first text that is asked for
after it was changed, so that each start reads the compiled one: it bears the .po file's own time,
to the nanosecond, and no other one is read.
"""

import gettext
import io
import os
import struct
from collections.abc import Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import BinaryIO

from zoneband import durable

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
    source = LOCALE / code / "LC_MESSAGES" / "zoneband.po"
    compiled = source.with_suffix(".mo")
    try:
        changed_ns = source.stat().st_mtime_ns
    except FileNotFoundError:
        return gettext.NullTranslations()
    with suppress(OSError, ValueError, struct.error):  # none yet, or damaged
        if compiled.stat().st_mtime_ns == changed_ns:
            return gettext.GNUTranslations(io.BytesIO(compiled.read_bytes()))
    made = _compile(source)
    with suppress(OSError):  # without it each start compiles
        _keep(compiled, made, changed_ns)
    return gettext.GNUTranslations(io.BytesIO(made))


def _compile(source: Path) -> bytes:
    from babel.messages.mofile import write_mo  # a tenth of the time of a start
    from babel.messages.pofile import read_po

    with source.open("rb") as f:
        catalogue = read_po(f)
    out = io.BytesIO()
    write_mo(out, catalogue)
    return out.getvalue()


def _keep(path: Path, data: bytes, changed_ns: int) -> None:
    def fill(file: BinaryIO) -> None:
        file.write(data)
        file.flush()
        # Last of all: while somebody else still writes it, it bears another time.
        os.utime(file.fileno(), ns=(changed_ns, changed_ns))

    durable.write(path, fill)


def number(value: float, digits: int | None = None) -> str:
    """A number with the decimal sign of the language in use, and so many digits behind it; None: as
    many as it has."""
    text = f"{value:g}" if digits is None else f"{value:.{digits}f}"
    return text.replace(".", ",") if language() == "vi" else text


def _(text: str) -> str:
    """The text in the user's language."""
    return _catalogue(language()).gettext(text)
