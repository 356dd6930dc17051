"""A server's directory gets a ledger on PostgreSQL: an empty one, its own, or the one in SQLite.

Segments and batches lie in the directory, and what the ledger does not name is swept away: a
directory and a ledger that are not each other's are refused.
"""

from pathlib import Path

from sqlalchemy import URL, Connection, Engine, Integer, select
from sqlalchemy.sql import text

from zoneband.errors import UserError
from zoneband.i18n import _
from zoneband.server import database, ledger
from zoneband.server.owner import other_directory

_ROWS = 1000  # at a time


def settle(directory: Path, url: URL) -> bool:
    """From now on the ledger of a directory is at a PostgreSQL URL; True when all that it had in
    SQLite was moved there. Call it while no server runs. Raises UserError."""
    directory.mkdir(parents=True, exist_ok=True)
    if (directory / "ledger-url").exists() and database.url_of(directory) == url:
        return False
    before = database.sqlite_file(directory)
    moves = before.exists() and not (directory / "ledger-url").exists()
    engine = ledger.open_at(url, directory)
    try:
        with engine.connect() as db:
            empty = all(db.execute(select(table).limit(1)).first() is None for table in _tables())
            _check(db, directory, moves or not empty)
        if moves:
            if not empty:
                raise UserError(
                    _(
                        "Both {path} and {url} hold a ledger. Name an empty database to move the "
                        "first there, or put the first away."
                    ).format(path=before, url=_shown(url))
                )
            _move(directory, engine, url)
            before.rename(database.put_away(directory))
        else:
            database.keep(directory, url)
    finally:
        engine.dispose()
    return moves


def _tables() -> list[ledger.Table]:
    return ledger.meta.sorted_tables


def _shown(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=True)


def _check(db: Connection, directory: Path, known: bool) -> None:
    # Whether the batches of a ledger lie in the directory, and the directory's are in a ledger.
    raw = directory / "batches"
    kept = select(ledger.batches.c.name).where(ledger.batches.c.dropped_s.is_(None))
    name = db.execute(kept.limit(1)).scalar()
    strange = name is not None and not (raw / name).exists()
    if strange or (not known and raw.is_dir() and any(raw.iterdir())):
        raise other_directory(db, directory)


def _move(directory: Path, engine: Engine, url: URL) -> None:
    # All rows in one transaction: the new ledger has everything, or stays empty.
    old = ledger.open_at(database.url_of(directory), directory)
    try:
        with old.connect() as source:
            # Nobody writes into the old one any more, until everybody finds the new one.
            database.lock(source)
            with engine.begin() as target:
                database.lock(target)
                for table in _tables():
                    rows = source.execute(select(table)).mappings()
                    for part in rows.partitions(_ROWS):
                        target.execute(table.insert(), [dict(row) for row in part])
                    _count_on(target, table)
            database.keep(directory, url)
        with old.connect() as source:
            # What is put away is one file.
            source.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        old.dispose()


def _count_on(target: Connection, table: ledger.Table) -> None:
    # New rows get numbers above those that were moved.
    key = table.autoincrement_column
    if key is None or not isinstance(key.type, Integer):
        return
    target.execute(
        text(
            f"SELECT setval(pg_get_serial_sequence('{table.name}', '{key.name}'), "
            f"COALESCE(MAX({key.name}), 0) + 1, false) FROM {table.name}"
        )
    )
