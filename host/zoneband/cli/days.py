"""Days and times as they are typed: 2026-11-24, or 24/11/2026 as people in Vietnam write it."""

import re
from datetime import date, datetime

from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _

_LOCAL = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})")


def read_day(text: str) -> str:
    """A day as YYYY-MM-DD. Raises UserError."""
    plain = text.strip()
    found = _LOCAL.fullmatch(plain)
    try:
        if found:
            return date(int(found[3]), int(found[2]), int(found[1])).isoformat()
        return date.fromisoformat(plain).isoformat()
    except ValueError:
        raise _wrong(plain) from None


def read_moment(text: str) -> str:
    """A day as YYYY-MM-DD, or an ISO time with its offset as it was typed. Raises UserError."""
    plain = text.strip()
    if "T" not in plain and " " not in plain:
        return read_day(plain)
    try:
        at = datetime.fromisoformat(plain)
    except ValueError:
        raise _wrong(plain) from None
    if at.tzinfo is None:
        raise _wrong(plain)
    return at.isoformat()


def read_optional(text: str | None) -> str | None:
    """A day, if one was given. Raises UserError."""
    return None if text is None else read_day(text)


def _wrong(text: str) -> UserError:
    return UserError(
        _(
            "{text} is no day. Write it as 2026-11-24 or 24/11/2026; a time as "
            "2026-11-24T09:30+07:00."
        ).format(text=text),
        ExitCode.USAGE,
    )
