"""Retention, erasure and persons' requests: what goes, what of it must stay known, who asked."""

import sqlalchemy as sa
from alembic import op

from zoneband.server.migrations import portable

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """What each column means stands in zoneband.server.ledger."""
    op.add_column("batches", sa.Column("refused", sa.Integer, nullable=False, server_default="0"))
    op.add_column("batches", sa.Column("dropped_s", sa.BigInteger))
    nothing = portable.blob(bytes(16))
    op.add_column(
        "slots", sa.Column("gone", sa.LargeBinary, nullable=False, server_default=nothing)
    )
    op.create_table("strips", sa.Column("name", sa.String, primary_key=True))
    op.create_table(
        "kept_receipts",
        sa.Column("serial", sa.String, primary_key=True),
        sa.Column("log_id", sa.BigInteger, primary_key=True),
        sa.Column("first", sa.BigInteger, primary_key=True),
        sa.Column("upto", sa.BigInteger, nullable=False),
        sa.Column("mac", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "retention",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("first_day", sa.Integer, nullable=False),
        sa.Column("ran_s", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "erasures",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("made_s", sa.BigInteger, nullable=False),
        sa.Column("entry", sa.String, nullable=False),
        sa.Column("counts", sa.String),
        sa.Column("done_s", sa.BigInteger),
    )
    op.create_table(
        "erased_spans",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("erasure", sa.String, nullable=False, index=True),
        sa.Column("serial", sa.String, nullable=False, index=True),
        sa.Column("from_s", sa.BigInteger, nullable=False),
        sa.Column("to_s", sa.BigInteger),
        sa.Column("number", sa.BigInteger),
    )
    op.create_table(
        "erased_people",
        sa.Column("serial", sa.String, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True),
    )
    op.create_table(
        "rights",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("serial", sa.String, nullable=False, index=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("came_s", sa.BigInteger, nullable=False),
        sa.Column("answer_by_s", sa.BigInteger, nullable=False),
        sa.Column("done_by_s", sa.BigInteger, nullable=False),
        sa.Column("answered_s", sa.BigInteger),
        sa.Column("done_s", sa.BigInteger),
        sa.Column("erasure", sa.String),
    )


def downgrade() -> None:
    """Batches whose slots were dropped stay known by name alone, erasures by their list's files."""
    gone = (
        "rights",
        "erased_people",
        "erased_spans",
        "erasures",
        "retention",
        "kept_receipts",
        "strips",
    )
    for table in gone:
        op.drop_table(table)
    with op.batch_alter_table("slots") as table:
        table.drop_column("gone")
    with op.batch_alter_table("batches") as table:
        for name in ("dropped_s", "refused"):
            table.drop_column(name)
