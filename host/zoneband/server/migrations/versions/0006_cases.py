"""Cases are wearers, with an end; wearers who swapped bands."""

import sqlalchemy as sa
from alembic import op

from zoneband.server.migrations import portable

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """What each column means stands in zoneband.server.ledger."""
    # A case may now have the day of a test alone, and be declared again after it was withdrawn.
    op.rename_table("cases", "cases_before")
    op.create_table(
        "cases",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("serial", sa.String, nullable=False, index=True),
        sa.Column("number", sa.BigInteger),
        sa.Column("onset", sa.String),
        sa.Column("tested", sa.String),
        sa.Column("isolated", sa.String),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("declared_s", sa.BigInteger),
        sa.Column("ended_s", sa.BigInteger),
        sa.Column("reason", sa.String),
    )
    op.execute(
        "INSERT INTO cases (id, serial, onset, state) "
        "SELECT id, serial, onset, 'open' FROM cases_before"
    )
    portable.count_on("cases")
    op.drop_table("cases_before")
    op.create_table(
        "swaps",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("serial_a", sa.String, nullable=False, index=True),
        sa.Column("serial_b", sa.String, nullable=False, index=True),
        sa.Column("from_s", sa.BigInteger, nullable=False),
        sa.Column("to_s", sa.BigInteger, nullable=False),
        sa.Column("noted_s", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Withdrawn cases go; a case with a test alone keeps that day as its onset."""
    op.drop_table("swaps")
    op.rename_table("cases", "cases_after")
    op.drop_index("ix_cases_serial", "cases_after")
    op.create_table(
        "cases",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("serial", sa.String, nullable=False),
        sa.Column("onset", sa.String, nullable=False),
        sa.UniqueConstraint("serial", "onset"),
    )
    op.execute(
        "INSERT INTO cases (id, serial, onset) "
        "SELECT MIN(id), serial, COALESCE(onset, tested) FROM cases_after "
        "WHERE state <> 'withdrawn' GROUP BY serial, COALESCE(onset, tested)"
    )
    portable.count_on("cases")
    op.drop_table("cases_after")
