"""Who wears a band: what is asked of a person, and how it is checked.

No message repeats what was typed: messages end in logs.
"""

import re
import unicodedata
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from zoneband.errors import ExitCode, UserError
from zoneband.handout import consent
from zoneband.handout.consent import Consent
from zoneband.i18n import _

OWN, RELATIVE = "own", "relative"
_LONGEST_NAME = 80
# A station without network may believe in any year: this program is no older.
_YEAR_AT_LEAST = 2026
# Mobile numbers, and those of houses. Spreadsheets take the 0 in front away.
_PHONE = re.compile(r"(?:\+84|84|0)?([35789][0-9]{8}|2[0-9]{9})")
# Without marks: whoever types in a hurry leaves them away.
_YES = {"yes", "y", "1", "true", "co", "c", "dong y", "co dong y", "vang", "da", "u"}
_NO = {"no", "n", "0", "false", "khong", "ko", "k", "khong dong y"}


@dataclass(frozen=True)
class Person:
    """A wearer; phone and phone_of are None without consent to calls."""

    name: str
    birth_year: int
    phone: str | None
    phone_of: str | None
    commune: str
    language: str
    read_by: str
    consents: tuple[Consent, ...]

    def facts(self) -> dict[str, Any]:
        """All of it, for a sealed record."""
        return asdict(self)


def read(
    *,
    name: str,
    birth_year: str,
    phone: str,
    relative: bool,
    commune: str,
    given: Collection[str],
    language: str,
    read_by: str,
) -> Person:
    """A person from what was typed; given: the purposes agreed to. Raises UserError."""
    reader = read_name(read_by)
    consents = consent.answers(given, read_language(language), reader)
    calls = consent.CALL in given
    return Person(
        name=read_name(name),
        birth_year=read_birth_year(birth_year),
        phone=read_phone(phone) if calls else None,
        phone_of=(RELATIVE if relative else OWN) if calls else None,
        commune=read_commune(commune),
        language=language,
        read_by=reader,
        consents=consents,
    )


def read_name(text: str) -> str:
    """A name: NFC, single spaces, 1 to 80 characters."""
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not 1 <= len(name) <= _LONGEST_NAME or not name.isprintable():
        raise _wrong(_("A name has 1 to {n} characters.").format(n=_LONGEST_NAME))
    return name


def read_birth_year(text: str) -> int:
    """A year of birth."""
    last = max(datetime.now(UTC).year, _YEAR_AT_LEAST)
    plain = text.strip()
    if not re.fullmatch(r"[0-9]{4}", plain) or not 1900 <= int(plain) <= last:
        raise _wrong(_("The year of birth is four digits, 1900 to {last}.").format(last=last))
    return int(plain)


def read_phone(text: str) -> str:
    """A Vietnamese phone number, as +84 and the rest."""
    found = _PHONE.fullmatch(re.sub(r"[\s.()-]", "", text))
    if found is None:
        raise _wrong(_("The phone number is not a Vietnamese one: 0 and nine digits, or +84."))
    return "+84" + found[1]


def read_commune(text: str) -> str:
    """A commune's code."""
    plain = text.strip()
    if not re.fullmatch(r"[0-9]{5}", plain):
        raise _wrong(_("The commune's code is five digits, zeros in front included."))
    return plain


def read_language(text: str) -> str:
    """The language that the consent was read in."""
    if text not in consent.LANGUAGES:
        raise _wrong(_("The language is vi or en."))
    return text


def read_yes(text: str) -> bool:
    """Yes or no. Silence is neither."""
    word = _without_marks(" ".join(text.split()).casefold())
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise _wrong(_("Answer yes or no."))


def _without_marks(text: str) -> str:
    parts = unicodedata.normalize("NFD", text).replace("đ", "d")
    return "".join(part for part in parts if not unicodedata.combining(part))


def _wrong(message: str) -> UserError:
    return UserError(message, ExitCode.USAGE)
