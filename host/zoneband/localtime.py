"""Times as people in Vietnam read them. Everything else in this program is UTC."""

from datetime import UTC, datetime, timedelta, timezone

VIETNAM = timezone(timedelta(hours=7))


def local(utc_s: float) -> datetime:
    """A moment (UTC seconds) on Vietnam's clock."""
    return datetime.fromtimestamp(utc_s, UTC).astimezone(VIETNAM)


def day_and_time(utc_s: float) -> str:
    """Such as 24/11 09:30."""
    return local(utc_s).strftime("%d/%m %H:%M")
