"""How long anything may be kept that tells whom somebody met: the same everywhere.

21 days is what Vietnam's health declarations look back on, and what the bands keep in their logs
(21 days of their own run time). A day goes as a whole, once its last moment is that old.
"""

DAYS = 21
DAY_S = 86400


def first_day(utc_s: float) -> int:
    """The first UTC day (since 1970) that is still kept at a moment (UTC seconds)."""
    return int(utc_s) // DAY_S - DAYS


def first_s(utc_s: float) -> int:
    """When that day began, UTC seconds."""
    return first_day(utc_s) * DAY_S
