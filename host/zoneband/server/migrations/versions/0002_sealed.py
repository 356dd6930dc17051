"""Sealed records: enrolments, persons and what became of bands."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """What each column means stands in zoneband.server.ledger."""
    op.create_table(
        "sealed",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("station", sa.String, nullable=False),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("key_number", sa.Integer, nullable=False),
        sa.Column("came_s", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("serial", sa.String, index=True),
        sa.Column("number", sa.BigInteger),
    )
    op.create_table(
        "events",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("serial", sa.String, nullable=False, index=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("event", sa.String, nullable=False),
        sa.Column("utc_s", sa.BigInteger, nullable=False),
        sa.Column("new_serial", sa.String, index=True),
        sa.Column("new_number", sa.BigInteger),
    )


def downgrade() -> None:
    """The records' files stay."""
    op.drop_table("events")
    op.drop_table("sealed")
