"""What all tests share: the parts of a new server that take long to make, made once a process."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, inspect

from zoneband import authority
from zoneband.server import ledger

_MIGRATE = ledger.migrate


@pytest.fixture(scope="session", autouse=True)
def quick_authority() -> Iterator[None]:
    """Argon2id at its least cost for keys of the authority that tests make in this process. A key's
    file says its cost, so whoever unlocks it takes as little; tests/host/test_seal.py has the real
    one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(authority, "_PASSES", 1)
        patch.setattr(authority, "_LANES", 1)
        patch.setattr(authority, "_KIB", 64)
        yield


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The statements that make an empty ledger, from one that was migrated through every form."""
    place = tmp_path_factory.mktemp("migrated")
    ledger.open_ledger(place).dispose()
    with closing(sqlite3.connect(place / "ledger.sqlite")) as db:
        return [line for line in db.iterdump() if line not in ("BEGIN TRANSACTION;", "COMMIT;")]


@pytest.fixture(scope="session", autouse=True)
def quick_ledgers(migrated: list[str]) -> Iterator[None]:
    """New ledgers in SQLite are copies; of all others each migration is run."""

    def migrate(db: Connection, directory: Path, revision: str = "head") -> None:
        if revision != "head" or db.dialect.name != "sqlite" or inspect(db).get_table_names():
            _MIGRATE(db, directory, revision)
            return
        for line in migrated:
            db.exec_driver_sql(line)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "migrate", migrate)
        yield


@pytest.fixture
def every_migration(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what is about migrations: new ledgers go through each."""
    monkeypatch.setattr(ledger, "migrate", _MIGRATE)
