"""Tracers, their sessions, and whom they called."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """What each column means stands in zoneband.server.ledger."""
    op.create_table(
        "tracers",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("password", sa.String, nullable=False),
        sa.Column("totp_secret", sa.String, nullable=False),
        sa.Column("totp_used", sa.BigInteger, nullable=False),
        sa.Column("added_s", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "sessions",
        sa.Column("token_sha256", sa.String, primary_key=True),
        sa.Column("tracer", sa.String, nullable=False, index=True),
        sa.Column("began_s", sa.BigInteger, nullable=False),
        sa.Column("seen_s", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "login_tries",
        sa.Column("subject", sa.String, primary_key=True),
        sa.Column("failed", sa.Integer, nullable=False),
        sa.Column("last_s", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "calls",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("case_number", sa.Integer, nullable=False, index=True),
        sa.Column("serial", sa.String, nullable=False),
        sa.Column("holder", sa.Integer, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("tracer", sa.String, nullable=False),
        sa.Column("at_s", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Nobody can log in any more."""
    for table in ("calls", "login_tries", "sessions", "tracers"):
        op.drop_table(table)
