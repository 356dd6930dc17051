"""Ledgers of earlier programs, and ledgers that move: whole at any moment, in either database."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from bandbook import DAY, NOON, A, B, BandBook, key
from kept import killed
from office import Office
from postgres import Postgres
from zoneband import batch as batches
from zoneband.errors import UserError
from zoneband.i18n import set_language
from zoneband.server import database, ledger, migrating
from zoneband.server.alone import alone
from zoneband.server.moving import settle
from zoneband.server.tracing_server import TracingServer

# The first test also waits for a database to be made.
pytestmark = pytest.mark.timeout(300)

# --- migrations -------------------------------------------------------------------------------


def at_revision(place: Path, revision: str) -> None:
    engine = database.connect(database.url_of(place))
    with engine.begin() as db:
        database.lock(db)
        migrating.migrate(db, place, revision)
    engine.dispose()


def shape(place: Path) -> dict[str, Any]:
    """Tables with their columns, indexes and what is unique."""
    engine = database.connect(database.url_of(place))
    with engine.connect() as db:
        look = inspect(db)
        found: dict[str, Any] = {}
        for name in look.get_table_names():
            columns = look.get_columns(name)
            found[name] = (
                sorted((c["name"], str(c["type"]), c["nullable"]) for c in columns),
                sorted(look.get_pk_constraint(name)["constrained_columns"]),
                sorted(map(str, (each["column_names"] for each in look.get_indexes(name)))),
                sorted(str(each["column_names"]) for each in look.get_unique_constraints(name)),
            )
    engine.dispose()
    return found


def rows(place: Path) -> dict[str, list[tuple[Any, ...]]]:
    engine = database.connect(database.url_of(place))
    with engine.connect() as db:
        found = {
            name: sorted(
                tuple(sorted((str(key), repr(value)) for key, value in row.items()))
                for row in db.execute(text(f'SELECT * FROM "{name}"')).mappings()
            )
            for name in inspect(db).get_table_names()
        }
    engine.dispose()
    return found


def held(place: Path) -> dict[str, list[str]]:
    """All rows, as the program reads them."""
    engine = database.connect(database.url_of(place))
    with engine.connect() as db:
        tables = ledger.meta.sorted_tables
        found = {t.name: sorted(map(repr, db.execute(t.select()).all())) for t in tables}
    engine.dispose()
    return found


def is_as_the_program_means_it(place: Path) -> bool:
    engine = ledger.open_ledger(place)
    with engine.connect() as db:
        different = compare_metadata(MigrationContext.configure(db), ledger.meta)
    engine.dispose()
    assert different == []
    return True


def test_every_step_up_is_undone_by_its_step_down(place: Path) -> None:
    revisions = migrating.revisions()[::-1]
    assert revisions[-1] == ledger.newest()
    shapes: dict[str, dict[str, Any]] = {}
    for revision in revisions:
        at_revision(place, revision)
        shapes[revision] = shape(place)
    assert is_as_the_program_means_it(place)
    for revision in revisions[-2::-1]:
        at_revision(place, revision)
        assert shape(place) == shapes[revision], revision
    at_revision(place, "base")
    assert shape(place).keys() == {"alembic_version"}
    assert is_as_the_program_means_it(place)


def test_a_new_ledger_is_as_every_migration_would_leave_it(place: Path) -> None:
    ledger.open_ledger(place).dispose()
    new = shape(place)
    assert new.keys() == {table.name for table in ledger.meta.sorted_tables} | {"alembic_version"}
    at_revision(place, "0001")
    assert shape(place) != new
    ledger.open_ledger(place).dispose()
    assert shape(place) == new
    # Not by way of a new one.
    at_revision(place, "base")
    at_revision(place, "head")
    assert shape(place) == new and is_as_the_program_means_it(place)


def old_ledger(place: Path, tmp_path: Path) -> None:
    """A ledger of the second program with a band, a batch and a sector."""
    at_revision(place, "0002")
    book = BandBook(A, tmp_path)
    book.met(B, NOON, 25, -66)
    data = book.batch()
    (place / "batches").mkdir()
    (place / "batches" / batches.name(data)).write_bytes(data)
    engine = database.connect(database.url_of(place))
    with engine.begin() as db:
        db.execute(
            text("INSERT INTO bands VALUES (7, :s, 'virtual', 'band', :day, :k, :k, :k)"),
            {"s": A, "day": DAY, "k": key(A)},
        )
        db.execute(
            text("INSERT INTO batches VALUES (:name, 'st', :s, 77, 0, 9, 5, :yes)"),
            {"name": batches.name(data), "s": A, "yes": True},
        )
        db.execute(text("INSERT INTO slots VALUES (:s, 77, 0, :m, 0)"), {"s": A, "m": bytes(16)})
        db.execute(text("INSERT INTO cases VALUES (4, :s, '2026-11-01')"), {"s": A})
    engine.dispose()


def test_a_migration_that_is_killed_leaves_the_old_ledger_whole(
    place: Path, tmp_path: Path
) -> None:
    old_ledger(place, tmp_path)
    before = shape(place), rows(place)
    for at in (8, 20, 32, 45):
        assert killed(lambda: ledger.open_ledger(place), at)
        assert (shape(place), rows(place)) == before, at
    assert is_as_the_program_means_it(place)
    after = rows(place)
    assert after["pieces"] and after["chains"] and len(after["cases"]) == 1
    # A case gets a number that none has.
    with ledger.open_ledger(place).begin() as db:
        made = db.execute(ledger.cases.insert().values(serial=B, state="open"))
        assert made.inserted_primary_key == (5,)


def test_a_ledger_of_a_newer_program_is_refused(home: Path) -> None:
    with ledger.open_ledger(home).begin() as db:
        db.execute(text("UPDATE alembic_version SET version_num='9999'"))
    with pytest.raises(UserError, match="newer program"):
        ledger.open_ledger(home)


# --- from SQLite to PostgreSQL ----------------------------------------------------------------


def test_a_ledger_that_outgrew_sqlite_moves_whole_or_not_at_all(
    postgres: Postgres, tmp_path: Path
) -> None:
    set_language("en")
    place = tmp_path / "server"
    office = Office(tmp_path)
    office.issue(A, NOON - 86_400, 41, "Hoa")
    office.book(A).met(B, NOON, 25, -66)
    office.dock(A)
    office.declare(A, onset="2026-11-03")
    url = database.read_url(postgres.database())
    traced = TracingServer(place, utc=lambda: office.now).trace(A, NOON - 3600, NOON + 7200)
    assert traced["contacts"]
    before = held(place)
    with alone(place):
        for at in (10, 45):  # as the new tables are made, and as rows are copied
            assert killed(lambda: settle(place, url), at)
            assert not (place / "ledger-url").exists() and held(place) == before
            ledger.open_at(url, place).dispose()
        assert settle(place, url) and not settle(place, url)
    assert held(place) == before
    assert (place / "ledger.sqlite.moved").exists() and not (place / "ledger.sqlite").exists()
    server = TracingServer(place, utc=lambda: office.now)
    assert server.trace(A, NOON - 3600, NOON + 7200) == traced
    code = server.cases.codes.give("ha")[0]
    assert server.cases.declare(B, onset="2026-11-03", code=code)["number"] == 2


def test_a_ledger_of_another_directory_is_refused(
    postgres: Postgres, home: Path, tmp_path: Path
) -> None:
    server = TracingServer(home, utc=lambda: NOON + 86_400)
    data = BandBook(A, tmp_path).batch()
    server.take("st", hashlib.sha256(data).hexdigest(), data)
    theirs = database.url_of(home)
    with pytest.raises(UserError, match="is not the one of"):
        settle(tmp_path / "other", theirs)
    # And the directory's segments would be swept away with an empty one.
    with pytest.raises(UserError, match="is not the one of"):
        settle(home, database.read_url(postgres.database()))
    assert database.url_of(home) == theirs
