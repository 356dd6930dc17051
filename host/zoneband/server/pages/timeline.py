"""When a case and its contacts were together: a picture for each day, and the same as rows.

A day's picture has a row for each contact and the hours of that day in Vietnam in which anything
happened. Neighbouring windows of 5 minutes that count the same are drawn as one bar. What a window
counts is told by the bar's height as well as by its colour, and a bar that only one of the two
bands recorded is hollow.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from zoneband.i18n import _
from zoneband.localtime import local
from zoneband.server.pages import words
from zoneband.server.pages.svg import element, fit, text, title
from zoneband.tracing.exposure import local_day_s

HOUR_S = 3600
_LABEL, _RIGHT, _TOP, _ROW, _FOOT = 232, 16, 34, 46, 10
_WIDE = 1160
_LEAST_HOURS = 4
# Height of a bar by what its minutes count.
_TALL = {"full": 28, "part": 16, "none": 6}


@dataclass(frozen=True)
class Run:
    """Neighbouring windows that count the same, UTC seconds. attenuation_db: the nearest of
    them."""

    start_s: int
    end_s: int
    minutes: float
    weight: float
    attenuation_db: float | None
    sides: str | None

    @property
    def kind(self) -> str:
        """How its minutes count: "full", "part" or "none"."""
        return "full" if self.weight >= 1 else "part" if self.weight > 0 else "none"


@dataclass(frozen=True)
class Row:
    """A contact's runs in one day."""

    contact: Mapping[str, Any]
    runs: tuple[Run, ...]

    @property
    def weighted(self) -> float:
        """Minutes that count."""
        return sum(run.minutes * run.weight for run in self.runs)

    @property
    def total(self) -> float:
        """All minutes."""
        return sum(run.minutes for run in self.runs)


@dataclass(frozen=True)
class Day:
    """One day in Vietnam; start_s: its beginning in UTC seconds."""

    start_s: int
    rows: tuple[Row, ...]

    @property
    def anchor(self) -> str:
        """Its name in an address."""
        return f"{local(self.start_s):%Y-%m-%d}"


def runs(windows: Sequence[Mapping[str, Any]], window_s: int) -> list[Run]:
    """Windows as an answer has them, put together where they touch and count the same."""
    found: list[Run] = []
    for window in windows:
        start_s, minutes = int(window["start_s"]), float(window["minutes"])
        weight, sides = float(window["weight"]), window["sides"]
        level = window.get("attenuation_db")
        last = found[-1] if found else None
        if (
            last is not None
            and last.end_s == start_s
            and (last.weight, last.sides) == (weight, sides)
            and local(last.start_s).date() == local(start_s).date()
        ):
            levels = [each for each in (last.attenuation_db, level) if each is not None]
            found[-1] = Run(
                last.start_s,
                start_s + window_s,
                last.minutes + minutes,
                weight,
                min(levels) if levels else None,
                sides,
            )
        else:
            found.append(Run(start_s, start_s + window_s, minutes, weight, level, sides))
    return found


def days(contacts: Sequence[Mapping[str, Any]], window_s: int) -> list[Day]:
    """Every day on which anybody was near, newest first, contacts in the answer's order."""
    found: dict[int, list[Row]] = defaultdict(list)
    for contact in contacts:
        mine: dict[int, list[Run]] = defaultdict(list)
        for run in runs(contact["windows"], window_s):
            mine[local_day_s(run.start_s)].append(run)
        for start_s, each in mine.items():
            found[start_s].append(Row(contact, tuple(each)))
    return [Day(start_s, tuple(found[start_s])) for start_s in sorted(found, reverse=True)]


def said(run: Run) -> str:
    """A run in words."""
    level = "" if run.attenuation_db is None else f", {words.number(run.attenuation_db)} dB"
    parts = (
        f"{words.clock(run.start_s)}–{words.clock(run.end_s)}",
        _("{n} min").format(n=words.minutes(run.minutes)),
        weight(run.weight),
    )
    return ", ".join(parts) + level + f", {sides(run.sides)}"


def weight(value: float) -> str:
    """What minutes of a weight count."""
    if value >= 1:
        return _("counts in full")
    if value > 0:
        return _("counts {n} %").format(n=round(100 * value))
    return _("does not count")


def sides(value: str | None) -> str:
    """Whose band recorded it; None: a pause between two sightings."""
    if value is None:
        return _("between two sightings")
    return {
        "both": _("both bands"),
        "case": _("the case's band alone"),
        "contact": _("the contact's band alone"),
    }[value]


def picture(day: Day) -> str:
    """A day as SVG; its classes are in the style sheet."""
    first = min(run.start_s for row in day.rows for run in row.runs)
    last = max(run.end_s for row in day.rows for run in row.runs)
    from_h = (first - day.start_s) // HOUR_S
    to_h = max(-(-(last - day.start_s) // HOUR_S), from_h + _LEAST_HOURS)
    if to_h > 24:
        from_h, to_h = max(from_h - (to_h - 24), 0), max(24, -(-(last - day.start_s) // HOUR_S))
    per_s = (_WIDE - _LABEL - _RIGHT) / ((to_h - from_h) * HOUR_S)
    high = _TOP + len(day.rows) * _ROW + _FOOT

    def x(utc_s: float) -> float:
        return _LABEL + (utc_s - day.start_s - from_h * HOUR_S) * per_s

    parts = [_hours(from_h, to_h, per_s, high)]
    for place, row in enumerate(day.rows):
        top = _TOP + place * _ROW
        middle = top + _ROW / 2
        if place % 2:
            parts.append(element("rect", class_="band", x=0, y=top, width=_WIDE, height=_ROW))
        parts.append(
            text(
                fit(words.who(row.contact), _LABEL - 20, 14, "SemiBold"),
                class_="who",
                x=4,
                y=middle - 3,
            )
        )
        venue = row.contact["role"] == "venue"
        under = [_("a place") if venue else words.degree(row.contact.get("degree", 1))]
        if words.name(row.contact):
            under.append(words.band(row.contact))
        parts.append(text(" · ".join(under), class_="serial", x=4, y=middle + 14))
        parts.append(
            element("line", class_="base", x1=_LABEL, x2=_WIDE - _RIGHT, y1=middle, y2=middle)
        )
        for run in row.runs:
            tall = _TALL[run.kind]
            hollow = "" if run.sides in ("both", None) else " one"
            parts.append(
                element(
                    "rect",
                    title(said(run)),
                    class_=f"run {run.kind}{hollow}",
                    x=x(run.start_s) + 0.75,
                    y=middle - tall / 2,
                    width=max((run.end_s - run.start_s) * per_s - 1.5, 1.5),
                    height=tall,
                    rx=1.5,
                )
            )
    name = f"day-{day.anchor}"
    about = _("Rows: contacts. Across: hours in Vietnam. The table below says the same.")
    return element(
        "svg",
        title(_("Contacts on {day}").format(day=words.weekday(day.start_s)), id=f"{name}-title")
        + element("desc", escape(about), id=f"{name}-desc")
        + "".join(parts),
        class_="timeline",
        viewBox=f"0 0 {_WIDE} {high}",
        width=_WIDE,
        height=high,
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
    )


def legend() -> list[tuple[str, str]]:
    """Small pictures and what they mean."""
    kinds = (
        ("full", "", _("counts in full")),
        ("part", "", _("counts in part")),
        ("none", "", _("heard, too far to count")),
        ("full", " one", _("recorded by one of the two bands alone")),
    )
    return [
        (
            element(
                "svg",
                element(
                    "rect",
                    class_=f"run {kind}{hollow}",
                    x=2,
                    y=16 - _TALL[kind] / 2,
                    width=24,
                    height=_TALL[kind],
                    rx=1.5,
                ),
                class_="timeline key",
                viewBox="0 0 28 32",
                width=28,
                height=32,
                aria_hidden="true",
            ),
            said,
        )
        for kind, hollow, said in kinds
    ]


def _hours(from_h: int, to_h: int, per_s: float, high: int) -> str:
    step = 1 if to_h - from_h <= 14 else 2
    parts: list[str] = []
    for hour in range(from_h, to_h + 1):
        x = _LABEL + (hour - from_h) * HOUR_S * per_s
        shown = (hour - from_h) % step == 0
        parts.append(
            element(
                "line", class_="hour" if shown else "hour faint", x1=x, x2=x, y1=_TOP - 8, y2=high
            )
        )
        if shown:
            anchor = "end" if hour == to_h else "middle"
            parts.append(text(f"{hour:02}:00", class_="at", x=x, y=_TOP - 14, text_anchor=anchor))
    return "".join(parts)
