"""The call list of a case to save: a table for a spreadsheet (CSV); zoneband.server.report_pdf has
the pages to print."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoneband.i18n import _

# A spreadsheet takes a cell that begins so for a formula (OWASP, "CSV injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


@dataclass(frozen=True)
class Line:
    """One person to call, in words; place: from 1 in order of calling."""

    place: int
    name: str
    birth_year: str
    phone: str
    phone_of: str
    band: str
    degree: str
    path: str
    counted: str
    near: str
    first: str
    last: str
    why: str
    state: str


@dataclass(frozen=True)
class CallList:
    """What is printed above the table, and the table. head: (name, value) of the case; notes:
    what a caller must know; made: when and by whom."""

    title: str
    head: Sequence[tuple[str, str]]
    notes: Sequence[str]
    lines: Sequence[Line]
    made: str


def safe(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return "'" + cell if cell.startswith(_FORMULA) else cell


def as_csv(calls: CallList) -> bytes:
    """UTF-8 with a byte order mark, as Excel wants it; RFC 4180."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    columns = _columns()
    writer.writerow([head for head, _value in columns])
    for line in calls.lines:
        writer.writerow([safe(value(line)) for _head, value in columns])
    return out.getvalue().encode("utf-8-sig")


def _columns() -> list[tuple[str, Callable[[Line], str]]]:
    return [
        (_("No."), lambda line: str(line.place)),
        (_("name"), lambda line: line.name),
        (_("year of birth"), lambda line: line.birth_year),
        (_("phone"), lambda line: line.phone),
        (_("whose phone"), lambda line: line.phone_of),
        (_("band"), lambda line: line.band),
        (_("degree"), lambda line: line.degree),
        (_("by way of"), lambda line: line.path),
        (_("minutes counted"), lambda line: line.counted),
        (_("near min"), lambda line: line.near),
        (_("first"), lambda line: line.first),
        (_("last"), lambda line: line.last),
        (_("why"), lambda line: line.why),
        (_("call"), lambda line: line.state),
    ]


def of_contacts(
    contacts: Sequence[Mapping[str, Any]], line: Callable[[int, Mapping[str, Any]], Line]
) -> list[Line]:
    """Lines of those who must be called, people and not places, in the answer's order."""
    due = [c for c in contacts if c["must_call"] and c["role"] != "venue"]
    return [line(place, contact) for place, contact in enumerate(due, 1)]
