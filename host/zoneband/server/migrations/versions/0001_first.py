"""The first ledger."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """All tables; what each column means stands in zoneband.server.ledger."""
    op.create_table(
        "bands",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("serial", sa.String, unique=True, nullable=False),
        sa.Column("board", sa.String, nullable=False),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("base_day", sa.Integer, nullable=False),
        sa.Column("base_key", sa.LargeBinary, nullable=False),
        sa.Column("dock_key", sa.LargeBinary, nullable=False),
        sa.Column("receipt_key", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "stations",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("token_sha256", sa.String, nullable=False),
    )
    op.create_table(
        "batches",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("station", sa.String, nullable=False),
        sa.Column("serial", sa.String, nullable=False, index=True),
        sa.Column("log_id", sa.BigInteger, nullable=False),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("end", sa.BigInteger, nullable=False),
        sa.Column("came_s", sa.BigInteger, nullable=False),
        sa.Column("ingested", sa.Boolean, nullable=False),
    )
    op.create_table(
        "slots",
        sa.Column("serial", sa.String, primary_key=True),
        sa.Column("log_id", sa.BigInteger, primary_key=True),
        sa.Column("sector", sa.BigInteger, primary_key=True),
        sa.Column("seen", sa.LargeBinary, nullable=False),
        sa.Column("bad", sa.Integer, nullable=False),
    )
    op.create_table(
        "clock_spans",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("serial", sa.String, nullable=False, index=True),
        sa.Column("boot_id", sa.BigInteger, nullable=False),
        sa.Column("run_s", sa.Float, nullable=False),
        sa.Column("until_s", sa.Float, nullable=False),
        sa.Column("utc_s", sa.Float, nullable=False),
        sa.Column("error_ms", sa.BigInteger, nullable=False),
        sa.Column("quality", sa.Integer, nullable=False),
        sa.Column("of_band", sa.Boolean, nullable=False),
        sa.UniqueConstraint("serial", "boot_id", "run_s", "until_s", "quality", "of_band"),
    )
    op.create_table(
        "marks",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("serial", sa.String, nullable=False, index=True),
        sa.Column("log_id", sa.BigInteger, nullable=False),
        sa.Column("sector", sa.BigInteger, nullable=False),
        sa.Column("slot", sa.Integer, nullable=False),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("utc_s", sa.BigInteger),
        sa.Column("value", sa.Integer, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("serial", "log_id", "sector", "slot"),
    )
    op.create_table(
        "segments",
        sa.Column("path", sa.String, primary_key=True),
        sa.Column("day", sa.Integer, nullable=False, index=True),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("level", sa.Integer, nullable=False),
        sa.Column("unresolved", sa.Integer, nullable=False),
        sa.Column("tried", sa.Integer, nullable=False),
        sa.Column("loose", sa.Integer, nullable=False),
    )
    op.create_table(
        "cases",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("serial", sa.String, nullable=False),
        sa.Column("onset", sa.String, nullable=False),
        sa.UniqueConstraint("serial", "onset"),
    )


def downgrade() -> None:
    """Nothing was before."""
    for table in (
        "cases",
        "segments",
        "marks",
        "clock_spans",
        "slots",
        "batches",
        "stations",
        "bands",
    ):
        op.drop_table(table)
