"""Whether a ledger is its directory's own: files that it does not name are removed."""

from pathlib import Path

from sqlalchemy import Connection, Engine, select

from zoneband.errors import UserError
from zoneband.i18n import _
from zoneband.server import database, ledger


def open_own(directory: Path) -> Engine:
    """The ledger of a directory. Raises UserError when it cannot be opened, or is another's."""
    engine = ledger.open_ledger(directory)
    try:
        with database.telling(directory), engine.connect() as db:
            if database.is_postgresql(db):  # SQLite's lies in the directory
                check(db, directory)
    except BaseException:
        engine.dispose()
        raise
    return engine


def check(db: Connection, directory: Path) -> None:
    """Raise UserError when a ledger is another directory's: it names batches, and none is here."""
    table = ledger.batches
    found = db.execute(select(table.c.name).where(table.c.dropped_s.is_(None))).scalars()
    raw, known = directory / "batches", False
    for name in found:
        known = True
        if (raw / name).exists():
            return
    if known:
        raise other_directory(db, directory)


def other_directory(db: Connection, directory: Path) -> UserError:
    """A ledger and a directory are not each other's, in one line."""
    url = db.engine.url.set(drivername="postgresql").render_as_string(hide_password=True)
    return UserError(
        _("The ledger {url} is not the one of {path}. Nothing was changed.").format(
            url=url, path=directory
        )
    )
