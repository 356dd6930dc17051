"""Days and times as people give them, into UTC seconds."""

import re
from datetime import UTC, date, datetime, time, timedelta

from zoneband.localtime import VIETNAM

# A state mark may stand a moment behind the first encounter of the new wearer.
HAND_OVER_S = 60


def day_s(day: date) -> int:
    """UTC seconds at which a day begins in Vietnam."""
    return int(datetime.combine(day, time.min, VIETNAM).timestamp())


def today(utc_s: float) -> date:
    """The day in Vietnam at a moment (UTC seconds)."""
    return datetime.fromtimestamp(utc_s, VIETNAM).date()


def moment(value: str, end: bool) -> int:
    """UTC seconds of an ISO time with offset, or of a day in Vietnam: its beginning, or with
    `end` the beginning of the next. Raises ValueError."""
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
            return day_s(date.fromisoformat(value) + timedelta(days=1 if end else 0))
        at = datetime.fromisoformat(value)
        if at.tzinfo is None:
            raise ValueError("a time needs its offset from UTC")
        return int(at.astimezone(UTC).timestamp())
    except OverflowError:
        raise ValueError("no time that a calendar has") from None
