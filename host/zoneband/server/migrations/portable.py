"""What migrations say differently to SQLite and to PostgreSQL."""

from pathlib import Path

import sqlalchemy as sa
from alembic import context, op


def is_postgresql() -> bool:
    """Whether this ledger is in PostgreSQL."""
    return op.get_bind().dialect.name == "postgresql"


def blob(data: bytes) -> sa.TextClause:
    """Some bytes as a column's default."""
    if is_postgresql():
        return sa.text(f"CAST('\\x{data.hex()}' AS BYTEA)")
    return sa.text(f"X'{data.hex()}'")


def count_on(table: str) -> None:
    """Give new rows of a table numbers above those that were copied into it."""
    if is_postgresql():
        op.execute(
            f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), "
            f"COALESCE(MAX(id), 0) + 1, false) FROM {table}"
        )


def directory() -> Path:
    """The server's directory."""
    return context.config.attributes["directory"]
