"""A table of people and their bands (CSV), as health staff keep one in a spreadsheet."""

import csv
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path

from zoneband import serials
from zoneband.errors import ExitCode, UserError
from zoneband.handout import person
from zoneband.handout.consent import CALL, PURPOSES
from zoneband.handout.handout import Handout
from zoneband.handout.person import Person
from zoneband.i18n import _
from zoneband.reasons import said

COLUMNS = (
    "band", "name", "birth_year", "phone", "relative", "commune", "read_by", "language", *PURPOSES
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A row and the line that it begins at."""

    line: int
    cells: dict[str, str]


@dataclass(frozen=True)
class Told:
    """What became of a row; number is 0 when it was not done; problem: why not, or a warning."""

    line: int
    serial: str
    number: int = 0
    again: bool = False
    problem: str = ""

    @property
    def done(self) -> bool:
        """Whether the row's band is handed out."""
        return self.number != 0

    def as_json(self) -> dict[str, object]:
        """Keys and values for a script."""
        return {**asdict(self), "done": self.done}


def load(path: Path) -> list[Row]:
    """The rows of a file. Raises UserError when it cannot be read or a column is missing."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(
            _("{path} cannot be read: {error}").format(path=path, error=said(error)),
            ExitCode.USAGE,
        ) from error
    except UnicodeError as error:
        raise UserError(
            _("{path} is not UTF-8. Save it again as “CSV UTF-8”.").format(path=path),
            ExitCode.USAGE,
        ) from error
    head = text.partition("\n")[0]
    reader = csv.reader(
        text.splitlines(keepends=True), delimiter=";" if head.count(";") > head.count(",") else ","
    )
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        missing = [name for name in COLUMNS if name not in names]
        if missing:
            raise UserError(
                _("{path} lacks columns: {columns}. Nothing was recorded.").format(
                    path=path, columns=", ".join(missing)
                ),
                ExitCode.USAGE,
            )
        rows: list[Row] = []
        line = reader.line_num + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append(Row(line, dict(zip(names, cells, strict=False))))
            line = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            _("{path}, line {line}: {error}. Nothing was recorded.").format(
                path=path, line=reader.line_num, error=error
            ),
            ExitCode.USAGE,
        ) from error
    if not rows:
        raise UserError(_("{path} has no rows.").format(path=path), ExitCode.NOTHING)
    return rows


def issue(handout: Handout, rows: list[Row], step: Callable[[], None]) -> list[Told]:
    """Hand out every row's band; a row that is wrong holds no other up."""
    told: list[Told] = []
    ours: set[str] = set()
    for row in rows:
        told.append(_issue(handout, row, ours))
        if told[-1].done:
            ours.add(told[-1].serial)
        step()
    return told


def _issue(handout: Handout, row: Row, ours: Collection[str]) -> Told:
    serial = ""
    try:
        serial = _serial(row)
        wearer = _person(row)
        if serial in ours:
            raise UserError(_("{serial} is in this file twice.").format(serial=serial))
        if handout.issued_here(serial):
            return Told(row.line, serial, handout.number(serial), again=True)
        act = handout.issue(serial, wearer)
    except UserError as error:
        return Told(row.line, serial, problem=error.message)
    return Told(row.line, serial, act.number, problem=act.warning)


def _person(row: Row) -> Person:
    given = [purpose for purpose in PURPOSES if _yes(row, purpose)]
    return person.read(
        name=row.cells.get("name", ""),
        birth_year=row.cells.get("birth_year", ""),
        phone=row.cells.get("phone", ""),
        relative=CALL in given and _yes(row, "relative"),
        commune=row.cells.get("commune", ""),
        given=given,
        language=row.cells.get("language", "").strip().lower(),
        read_by=row.cells.get("read_by", ""),
    )


def _serial(row: Row) -> str:
    # Its own message: in a file with shifted columns this cell may be a name.
    try:
        return serials.read(row.cells.get("band", ""))
    except UserError as error:
        raise UserError(_("The band's serial is wrong. Read its label again.")) from error


def _yes(row: Row, column: str) -> bool:
    try:
        return person.read_yes(row.cells.get(column, ""))
    except UserError as error:
        raise UserError(_("{column}: yes or no.").format(column=column)) from error
