"""Working days in Vietnam, by which answers to persons are due.

Monday to Friday but public holidays. These come from the package `holidays`: the fixed ones (1
January, 30 April, 1 May, 2 September, 24 November), Tết and Hùng Kings' day by the lunar calendar,
and the day off for one that falls on a weekend. What the Government decides anew each year (which
days are off around Tết and 2 September, and which Saturdays are worked instead) stands in
`working-days.toml` in the server's directory:

    free = [2027-02-05]
    work = [2027-02-20]
"""

import tomllib
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _
from zoneband.reasons import said

if TYPE_CHECKING:
    from holidays import HolidayBase

NAME = "working-days.toml"
_KEYS = {"free", "work"}


class WorkingDays:
    """Which days are worked."""

    def __init__(self, free: frozenset[date] = frozenset(), work: frozenset[date] = frozenset()):
        """free, work: days that differ from the rule."""
        self._free = free
        self._work = work

    @cached_property
    def _holidays(self) -> "HolidayBase":
        # Few servers count days at every start.
        from holidays import country_holidays

        return country_holidays("VN")

    def is_working(self, day: date) -> bool:
        """Whether a day is worked."""
        if day in self._work:
            return True
        return day.weekday() < 5 and day not in self._free and day not in self._holidays

    def after(self, day: date, count: int) -> date:
        """The last of so many working days behind a day, which is not counted itself."""
        while count > 0:
            day += timedelta(days=1)
            count -= self.is_working(day)
        return day


def load(directory: Path) -> WorkingDays:
    """The days of a server's directory. Raises UserError naming what is wrong in its file."""
    path = directory / NAME
    if not path.exists():
        return WorkingDays()
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(
            _("{path} cannot be read: {error}").format(path=path, error=said(error)), ExitCode.USAGE
        ) from error
    if unknown := sorted(values.keys() - _KEYS):
        raise _bad(path, unknown[0])
    free, work = (_days(path, name, values.get(name, [])) for name in ("free", "work"))
    if free & work:
        raise _bad(path, "work")
    return WorkingDays(free, work)


def _days(path: Path, name: str, value: Any) -> frozenset[date]:
    if not isinstance(value, list) or not all(type(day) is date for day in value):
        raise _bad(path, name)
    return frozenset(value)


def _bad(path: Path, name: str) -> UserError:
    return UserError(
        _("{path}: {name} is wrong. It has two lists of days, free and work: free = [2027-02-05]")
        .format(path=path, name=name),
        ExitCode.USAGE,
    )  # fmt: skip
